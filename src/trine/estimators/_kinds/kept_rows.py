"""Encoded rows as part of an artefact: their tensors, and what each is as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trine.data import Store
from trine.data._store import Field


def to_tensors(store: Store) -> dict[str, Tensor]:
    """The fields of a store, and of each its offsets and marks of what is present, where it has any."""
    found: dict[str, Tensor] = {}
    for name, field in store.fields.items():
        more = {"": field.data, "#offsets": field.offsets, "#present": field.present}
        found |= {name + ending: part.contiguous() for ending, part in more.items() if part is not None}
    return found


def to_json(store: Store) -> dict[str, Any]:
    """What each field is, besides its tensors."""
    return {name: _about(field) for name, field in store.fields.items()}


def _about(field: Field) -> dict[str, Any]:
    columns = {name: None if part is None else [part.start, part.stop] for name, part in field.columns.items()}
    return {"columns": columns, "divisor": field.divisor, "index": field.index}


def restored(fields: Mapping[str, Mapping[str, Any]], tensors: Mapping[str, Tensor]) -> Store:
    """The store that :func:`to_json` and :func:`to_tensors` kept."""
    found = {}
    for name, about in fields.items():
        columns = {logical: None if part is None else slice(*part) for logical, part in about["columns"].items()}
        present, offsets = tensors.get(f"{name}#present"), tensors.get(f"{name}#offsets")
        found[name] = Field(tensors[name], columns, about["divisor"], bool(about["index"]), present, offsets)
    return Store(found)
