"""A model as rows for the derivation: each block, the shape it gives, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution


class Row(NamedTuple):
    """One block of a model.

    Attributes:
        name: what the block is, in words.
        shape: what it gives, e.g. ``(batch, 256)``.
        parameters: how many numbers it learns.
    """

    name: str
    shape: str
    parameters: int


def titles(module: nn.Module) -> list[str]:
    """What the blocks within ``module`` are called, in the order in which they are built."""
    return [title for _, title in _blocks(module)]


def summary(model: nn.Module, batch: Mapping[str, Tensor]) -> list[Row]:
    """The blocks of ``model`` in the order in which ``batch`` passes them.

    A block is a module that names itself, by a method ``title()`` or an attribute ``formula`` (decision rules), else a
    module with parameters and no parts. Of a model that says in ``called`` what its children are, a name begins with
    that. The model is run once, in evaluation mode and without gradients, and left as it
    was.
    """
    size = len(next(iter(batch.values())))
    found: dict[int, Row] = {}
    parts: Mapping[str, str] = getattr(model, "called", {})
    named = [(f"{parts[name]}: " if name in parts else "", child) for name, child in model.named_children()]
    blocks = [(module, part + title) for part, child in named for module, title in _blocks(child)]
    handles = [
        module.register_forward_hook(lambda m, _, output, title=title: _record(found, m, title, output, size))
        for module, title in (blocks if parts else _blocks(model))
    ]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), torch.random.fork_rng():
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return list(found.values())


def _blocks(module: nn.Module) -> list[tuple[nn.Module, str]]:
    """The blocks within ``module`` with their titles, outermost first found."""
    title = _title(module)
    if title is not None:
        return [(module, title)]
    children = list(module.children())
    if not children:
        return [(module, type(module).__name__)] if any(True for _ in module.parameters()) else []
    return [block for child in children for block in _blocks(child)]


def _title(module: nn.Module) -> str | None:
    title = getattr(module, "title", None)
    if callable(title):
        return str(title())
    formula = getattr(module, "formula", None)
    return formula if isinstance(formula, str) else None


def _record(found: dict[int, Row], module: nn.Module, title: str, output: Any, size: int) -> None:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    found.setdefault(id(module), Row(title, _shape(output, size), parameters))


def _shape(output: Any, size: int) -> str:
    if isinstance(output, Distribution):
        dimensions = (*output.batch_shape, *output.event_shape)
    elif isinstance(output, Tensor):
        dimensions = tuple(output.shape)
    else:
        return ""
    names = [str(dimension) for dimension in dimensions]
    # The batch is the first dimension, or the second behind the members'; or the first is that of several batches at once.
    for i, dimension in enumerate(dimensions[:2]):
        if dimension == size:
            names[i] = "batch"
            break
    else:
        if size > 2 and dimensions and dimensions[0] and not dimensions[0] % size:
            names[0] = f"{dimensions[0] // size} · batch"
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
