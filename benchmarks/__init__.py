"""Measurements of quality and speed; their results, with commands and conditions, are kept in `results/`."""
