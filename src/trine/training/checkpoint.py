"""Nested state on disk: one safetensors file, with the structure as JSON in its header. Nothing in it can execute."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trine.errors import RunError

FORMAT = 1
_TENSOR, _ITEMS, _TUPLE = "$tensor", "$items", "$tuple"


def save(path: Path, state: Any) -> None:
    """Write nested dicts, lists and tuples of tensors and JSON scalars, atomically and durably.

    The new file takes the old one's place only when it is complete on disk, so a kill at any moment leaves one of the two.

    Raises:
        RunError: the disk is full or may not be written; the old file is unchanged.
    """
    from safetensors.torch import save as to_bytes

    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_take_apart(state, tensors, ""), allow_nan=True)
    data = to_bytes(tensors, metadata={"checkpoint": structure, "format": str(FORMAT)})
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(data).digest())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        cause = "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror or error)
        raise RunError(
            f"The checkpoint {path} could not be written: {cause}. The last good checkpoint is kept; make room and go on "
            f"with: trine resume {path.parent}"
        ) from None


def load(path: Path) -> Any:
    """What :func:`save` wrote, equal in structure and bits.

    Raises:
        RunError: the file is truncated, altered, or of a newer format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    data = path.read_bytes()
    seal, data = data[:32], data[32:]
    if hashlib.sha256(data).digest() != seal:
        raise RunError(f"The checkpoint {path} is truncated or was altered, and is not used.")
    try:
        tensors = from_bytes(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        if int(metadata["format"]) > FORMAT:
            raise RunError(f"The checkpoint {path} was written by a newer trine; resume with that one.")
        return _put_together(json.loads(metadata["checkpoint"]), tensors)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise RunError(f"The checkpoint {path} is not one that trine wrote ({error}).") from None


def _take_apart(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    if isinstance(value, Tensor):
        key = name or "/"
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: key}
    if isinstance(value, dict):
        items = {k: _take_apart(v, tensors, f"{name}/{k}") for k, v in value.items()}
        if all(isinstance(k, str) and not k.startswith("$") for k in items):
            return items
        return {_ITEMS: [[k, v] for k, v in items.items()]}
    if isinstance(value, list | tuple):
        items_ = [_take_apart(v, tensors, f"{name}/{i}") for i, v in enumerate(value)]
        return items_ if isinstance(value, list) else {_TUPLE: items_}
    return value


def _put_together(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_put_together(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _ITEMS in value:
        return {k: _put_together(v, tensors) for k, v in value[_ITEMS]}
    if _TUPLE in value:
        return tuple(_put_together(v, tensors) for v in value[_TUPLE])
    return {k: _put_together(v, tensors) for k, v in value.items()}


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names and bytes, in hexadecimal: equal for weights that are equal bit for bit."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
