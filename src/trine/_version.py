"""The version, which artefacts and caches are marked with."""

__version__ = "0.1.0"
