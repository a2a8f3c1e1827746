"""How large activations and gradients are, layer by layer: what vanishing and exploding look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def layer_scales(model: nn.Module, run_backward: Callable[[], Tensor]) -> list[dict[str, Any]]:
    """The scale of each layer's output, and of the loss's gradient with respect to it, on one batch.

    A layer is a module that says so by ``is_layer = True`` (with all that is in it), else one with a weight of its own
    of two or more dimensions (linear, convolutional, embedding …), in the order of the forward pass. Observing changes
    nothing: gradients, buffers (running statistics) and torch's generator are put back.

    Args:
        model: what to observe.
        run_backward: computes the loss of one batch through ``model``, calls its ``backward`` and returns it.

    Returns:
        One row a layer: ``layer`` (dotted name), ``kind`` (class), ``depth`` (from 0), ``activation`` (standard
        deviation) and ``gradient`` (root mean square; None for a layer that the loss does not reach).
    """
    rows: dict[str, dict[str, Any]] = {}
    handles = [module.register_forward_hook(_observe(name, rows)) for name, module in _layers(model)]
    try:
        _untouched(model, run_backward)
    finally:
        for handle in handles:
            handle.remove()
    return list(rows.values())


def time_scales(model: nn.Module, run_backward: Callable[[], Tensor]) -> list[dict[str, Any]]:
    """The scale of the loss's gradient with respect to the state at each step, of every recurrent layer, on one batch.

    A recurrent layer is a module with an attribute ``watch`` (see :class:`trine.blocks.recurrent.Layer`). Steps count from
    the first that is read: backwards, step 0 is a row's last. Observing changes nothing, as with :func:`layer_scales`.

    Args:
        model: what to observe.
        run_backward: computes the loss of one batch through ``model``, calls its ``backward`` and returns it.

    Returns:
        One row a layer and direction: ``layer`` (dotted name), ``direction`` (``onward`` or ``back``) and ``gradient``, the
        root mean square at steps 0, 1, …; None where the loss does not reach a state.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    watched = [(name, module) for name, module in model.named_modules() if hasattr(module, "watch")]
    before = [module.watch for _, module in watched]
    try:
        for name, module in watched:
            module.watch = _watch(name, rows)
        if watched:
            _untouched(model, run_backward)
    finally:
        for (_, module), watch in zip(watched, before, strict=True):
            module.watch = watch
    return list(rows.values())


def _watch(name: str, rows: dict[tuple[str, str], dict[str, Any]]) -> Callable[[str, int, Tensor], None]:
    def watch(direction: str, step: int, state: Tensor) -> None:
        row = rows.setdefault((name, direction), {"layer": name, "direction": direction, "gradient": []})
        found: list[float | None] = row["gradient"]
        if step == 0:  # a layer that is called again is shown as it was called last
            found = row["gradient"] = []
        found.append(None)
        if state.requires_grad:
            state.register_hook(lambda gradient: found.__setitem__(step, _rms(gradient)))  # type: ignore[no-untyped-call]

    return watch


def _untouched(model: nn.Module, run_backward: Callable[[], Tensor]) -> None:
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng():
            for parameter, _ in gradients:
                parameter.grad = None
            run_backward()
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def _layers(module: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    if getattr(module, "is_layer", False) or any(p.ndim >= 2 for p in module.parameters(recurse=False)):
        return [(name, module)]
    return [
        found
        for child, part in module.named_children()
        for found in _layers(part, f"{name}.{child}" if name else child)
    ]


def _observe(name: str, rows: dict[str, dict[str, Any]]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            return
        row = rows.setdefault(name, {"layer": name, "kind": type(module).__name__, "depth": len(rows)})
        row["activation"] = _std(tensor)
        row.setdefault("gradient", None)
        if tensor.requires_grad:
            tensor.register_hook(lambda gradient: row.update(gradient=_rms(gradient)))  # type: ignore[no-untyped-call]

    return hook


def _rms(tensor: Tensor) -> float:
    return float(tensor.detach().float().square().mean().sqrt())


def _std(tensor: Tensor) -> float:
    return float(tensor.detach().float().std(correction=0))
