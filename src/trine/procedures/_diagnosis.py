"""Where a training broke: the first layer that is not finite, found by doing the failing batch again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from trine import collective
from trine.criterion import Criterion


def diagnose(model: nn.Module, criterion: Criterion, batch: Mapping[str, Tensor], noise: Tensor) -> str:
    """What is not finite, and where, as a clause for a message.

    Looked for, in this order: a weight, the output of a layer in the order of computation, the gradient at a layer's
    output in the order of differentiation. Layers of critics are called ``critic.<name>``.

    Args:
        noise: the generator's state before the failing step, so that dropout and noise inputs are drawn again alike.
    """
    if any(collective.in_shards(p) for p in model.parameters()):
        return "where it began cannot be told of a model in shards"
    with collective.by_itself():
        return _diagnose(model, criterion, batch, noise)


def _diagnose(model: nn.Module, criterion: Criterion, batch: Mapping[str, Tensor], noise: Tensor) -> str:
    modules = {**_named(model, ""), **_named(criterion, "critic.")}
    for name, module in modules.items():
        for weight, value in module.named_parameters(recurse=False):
            if not _finite(value):
                return f"the weights {_join(name, weight)!r} were not finite already: an earlier gradient was not"

    forward: list[str] = []
    backward: list[str] = []
    leaves = {name: module for name, module in modules.items() if not any(True for _ in module.children())}
    handles: list[RemovableHandle] = [
        module.register_forward_hook(_looking(name, forward, backward)) for name, module in leaves.items()
    ]
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(noise)
            loss = criterion(model(batch), batch)
            weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
            slopes: Sequence[Tensor | None] = []
            if not forward and bool(loss.total.isfinite()):
                slopes = torch.autograd.grad(loss.total, list(weights.values()), allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    if forward:
        return f"the first layer whose output is not finite is {forward[0]!r}"
    if backward:
        return f"the first layer whose gradient is not finite is {backward[0]!r}, counted from the loss"
    bad = [name for name, slope in zip(weights, slopes, strict=False) if slope is not None and not _finite(slope)]
    if bad:
        return f"the first weights whose gradient is not finite are {bad[0]!r}"
    return "the outputs and gradients of all layers are finite"


def _looking(name: str, forward: list[str], backward: list[str]) -> Callable[..., None]:
    """A hook that notes ``name`` where the layer's output, or the gradient there, is not finite."""

    def look(gradient: Tensor) -> None:
        if not _finite(gradient):
            backward.append(name)

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        for value in _tensors(output):
            if not _finite(value):
                forward.append(name)
            elif value.requires_grad:
                value.register_hook(look)  # type: ignore[no-untyped-call]

    return hook


def _tensors(output: Any) -> Iterator[Tensor]:
    values = output if isinstance(output, list | tuple) else [output]
    yield from (value for value in values if isinstance(value, Tensor) and value.is_floating_point())


def _finite(value: Tensor) -> bool:
    return bool(value.detach().isfinite().all())


def _named(module: nn.Module, prefix: str) -> dict[str, nn.Module]:
    return {prefix + name: part for name, part in module.named_modules()}


def _join(module: str, parameter: str) -> str:
    return f"{module}.{parameter}" if module else parameter
