"""What a finished run leaves: one safetensors file whose header carries a JSON manifest. Nothing in it can execute.

Layout: the model's tensors under their state-dict names; in the header's metadata, ``trine`` holds the manifest as JSON
text and ``sha256`` the digest of manifest and tensors. A digest guards against damage and careless edits; it is no
signature: whoever can write the file can also write a new digest, so trust a file as far as you trust where it came from.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from trine.errors import ArtefactError

FORMAT = 1
"""Version of the layout; a file with a larger one was written by a newer trine and is refused."""

MAX_HEADER = 100_000_000
"""Largest header in bytes that safetensors itself accepts."""


def save(path: str | os.PathLike[str], manifest: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write an artefact atomically: the old file at ``path`` stays until the new one is complete.

    Args:
        path: where to; by custom it ends in ``.trine``.
        manifest: JSON values: method, schema, choices, seed, versions, data fingerprint, held-out metrics.
        tensors: the model's state dict.

    Raises:
        ArtefactError: the file cannot be written (no such folder, no space, no permission).
    """
    from safetensors.torch import save_file

    target = Path(path)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # Not sorted: the order of columns in a schema is the order of the model's inputs.
    text = json.dumps({"format": FORMAT, **manifest}, allow_nan=False)
    metadata = {"trine": text, "sha256": digest(text, plain)}
    handle, temporary = None, None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
        save_file(plain, temporary, metadata=metadata)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except Exception as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise ArtefactError(
            f"The artefact {target} could not be written: {error}. Check that the folder exists, that it may be written "
            "and that the disk has space; an artefact already there is unchanged."
        ) from None
    return target


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read an artefact back: (manifest, tensors).

    Raises:
        ArtefactError: no such file; not an artefact; truncated, altered, or written by a newer trine.
    """
    from safetensors import SafetensorError, safe_open

    source = Path(path)
    if not source.is_file():
        raise ArtefactError(f"There is no artefact at {source}. Give the file that `save` or `trine fit` wrote.")
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
            text = metadata.get("trine")
            if text is None:
                raise ArtefactError(
                    f"{source} holds tensors but no trine manifest: another program wrote it. Give a file that trine saved."
                )
            manifest = _manifest(source, text)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"{source} is not a complete trine artefact ({error}). It was truncated or is another kind of file; "
            "copy it again or save the model again."
        ) from None
    if metadata.get("sha256") != digest(text, tensors):
        raise ArtefactError(
            f"{source} was altered or damaged after it was saved: its digest does not match its content. "
            "It is refused; copy it again from its source or save the model again."
        )
    return manifest, tensors


def _manifest(source: Path, text: str) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtefactError(
            f"{source} has a manifest that is not JSON ({error}); it was altered and is refused."
        ) from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(version, int):
        raise ArtefactError(f"{source} has a manifest without a format version; it was altered and is refused.")
    if version > FORMAT:
        # A newer format may have put the versions elsewhere.
        versions = manifest.get("versions")
        writer = versions.get("trine", "one") if isinstance(versions, dict) else "one"
        raise ArtefactError(
            f"{source} has format {version}; this trine reads up to {FORMAT}. Install a newer trine "
            f"(it was written by {writer}) to read it."
        )
    return dict(manifest)


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of a manifest and of each tensor's name, type, shape and bytes."""
    import torch

    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
