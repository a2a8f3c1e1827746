"""Nested state on disk: one safetensors file, with the structure as JSON in its header. Nothing in it can execute."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trine.errors import RunError
from trine.training import _files

FORMAT = 1
_TENSOR, _ITEMS, _TUPLE = "$tensor", "$items", "$tuple"


def save(path: Path, state: Any) -> None:
    """Write nested dicts, lists and tuples of tensors and JSON scalars, atomically and durably.

    The new file takes the old one's place only when it is complete on disk, so a kill at any moment leaves one of the two.
    Strides, sharing of memory and devices are not kept: who loads copies the values to where they belong.

    Raises:
        RunError: the disk is full or may not be written; the old file is unchanged.
    """
    from safetensors.torch import save as to_bytes

    tensors: dict[str, Tensor] = {}
    structure = json.dumps(take_apart(state, tensors, ""))
    seal = _seal(structure, tensors)
    data = to_bytes(tensors, metadata={"format": str(FORMAT), "structure": structure, "sha256": seal})
    _files.replace(path, [data])


def load(path: Path) -> Any:
    """What :func:`save` wrote, equal in structure and bits; tensors are contiguous and on the CPU.

    Raises:
        RunError: the file is truncated, altered, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if int(metadata["format"]) > FORMAT:
            raise RunError(f"The checkpoint {path} was written by a newer trine; resume with that one.")
        structure = metadata["structure"]
        if _seal(structure, tensors) != metadata["sha256"]:
            raise RunError(f"The checkpoint {path} was altered or damaged, and is not used.")
        return put_together(json.loads(structure), tensors)
    except SafetensorError as error:
        raise RunError(f"The checkpoint {path} is truncated or damaged ({error}), and is not used.") from None
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"The checkpoint {path} cannot be read ({error!r}), and is not used.") from None


def take_apart(value: Any, tensors: dict[str, Tensor], name: str, *, copy: bool = True) -> Any:
    """Nested state as JSON; its tensors go into ``tensors`` by their place, copied to the CPU or as they are."""
    if isinstance(value, Tensor):
        # A copy, since the file's writer refuses tensors that share memory, as tied weights do.
        tensors[name] = (
            value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format) if copy else value.detach()
        )
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        items = {k: take_apart(v, tensors, f"{name}/{k}", copy=copy) for k, v in value.items()}
        if all(isinstance(k, str) and not k.startswith("$") for k in items):
            return items
        return {_ITEMS: [[k, v] for k, v in items.items()]}
    if isinstance(value, list | tuple):
        parts = [take_apart(v, tensors, f"{name}/{i}", copy=copy) for i, v in enumerate(value)]
        return parts if isinstance(value, list) else {_TUPLE: parts}
    return value


def put_together(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What :func:`take_apart` took apart."""
    if isinstance(value, list):
        return [put_together(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _ITEMS in value:
        return {k: put_together(v, tensors) for k, v in value[_ITEMS]}
    if _TUPLE in value:
        return tuple(put_together(v, tensors) for v in value[_TUPLE])
    return {k: put_together(v, tensors) for k, v in value.items()}


def _seal(structure: str, tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256(structure.encode())
    _digest(total, tensors)
    return total.hexdigest()


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in hexadecimal: equal for weights that are equal bit for bit."""
    total = hashlib.sha256()
    _digest(total, tensors)
    return total.hexdigest()


def _digest(total: Any, tensors: Mapping[str, Tensor]) -> None:
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy())
