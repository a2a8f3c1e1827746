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
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng():
            for parameter, _ in gradients:
                parameter.grad = None
            run_backward()
    finally:
        for handle in handles:
            handle.remove()
        for parameter, gradient in gradients:
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
    return list(rows.values())


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
