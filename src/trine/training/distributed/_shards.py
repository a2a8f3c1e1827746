"""A model of which each rank holds a part."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine import collective
from trine.rules import map_arguments

WORTH_A_UNIT = 2**16
"""Parameters from which a child module is gathered by itself, while the others wait in shards."""


def shard(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose parameters, gradients and moments each rank holds a part of (``fully_shard``, ZeRO-3).

    A parameter that is one number stays whole.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    sharded = copy.deepcopy(model)
    for p in sharded.parameters():
        p.data = p.data.contiguous()  # what fully_shard needs; the shards are vectors anyway
    mesh = init_device_mesh(next(sharded.parameters()).device.type, (collective.processes(),))
    whole = {p for p in sharded.parameters() if p.dim() == 0}
    for part in _units(sharded):
        fully_shard(part, mesh=mesh, ignored_params=whole)
    sharded.register_forward_hook(_with_tensors)  # before fully_shard's own, which looks for tensors
    fully_shard(sharded, mesh=mesh, ignored_params=whole)
    return sharded


def _with_tensors(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """The outputs, and beside them the tensors that distributions are made of.

    ``fully_shard`` notices the backward pass by hooks on the output's tensors, and does not look into a distribution.
    """
    found: dict[str, Tensor] = {}

    def note(value: Tensor) -> Tensor:
        if value.requires_grad:
            found[f"tensor {len(found)}"] = value
        return value

    for value in outputs.values():
        if isinstance(value, Distribution):
            map_arguments(value, note)
    return {**outputs, **found}


def _units(module: nn.Module) -> list[nn.Module]:
    """The parts that hold enough to be gathered one by one: torch's own modules, and those without parts."""
    found: list[nn.Module] = []
    for child in module.children():
        if sum(p.numel() for p in child.parameters()) < WORTH_A_UNIT:
            continue
        lists = isinstance(child, nn.ModuleList | nn.ModuleDict | nn.Sequential)
        # A module of torch's own may use its parts' weights without calling them, as attention does.
        own = type(child).__module__.startswith("torch.nn.") and not lists
        found += [child] if own or not any(True for _ in child.children()) else _units(child)
    return found


def gather(sharded: nn.Module, model: nn.Module) -> None:
    """Put the whole weights of ``sharded`` into ``model``, on every rank, one after the other."""
    own = model.state_dict()
    with torch.no_grad():
        for name, value in sharded.state_dict().items():
            own[name].copy_(whole(value))


def whole(value: Tensor) -> Tensor:
    """A tensor that may be in shards, put together."""
    if not collective.in_shards(value):
        return value
    found: Tensor = value.full_tensor()  # type: ignore[attr-defined]
    return found


def is_sharded(model: nn.Module) -> bool:
    """Whether each rank holds a part of the parameters."""
    return any(collective.in_shards(p) for p in model.parameters())


def mesh_of(tensors: Sequence[Tensor]) -> Any:
    """The ranks that sharded ones among ``tensors`` lie on; None where none is sharded."""
    return next((value.device_mesh for value in tensors if hasattr(value, "device_mesh")), None)
