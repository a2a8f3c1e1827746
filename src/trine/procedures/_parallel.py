"""Gradients of several processes added up, each process's being of its own rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trine import collective
from trine.errors import TrainingError


class Parallel:
    """Of one model and its critics: whose gradient is added up by whom.

    - The model's by DistributedDataParallel, in buckets while the gradient is still being computed.
    - A sharded model's by ``fully_shard`` itself, each rank keeping its part.
    - A critic's after its backward pass, all in one buffer: DistributedDataParallel counts on one forward pass for each
      backward pass, and a critic judges twice for one and is differentiated twice (R1).
    - The model's in that manner too in the first step, and in all steps if some parameter had no gradient in it on some
      rank, which DistributedDataParallel would wait for without end.

    Args:
        model, forward: the model, and what computes its outputs (the model itself, or compiled). parameters: those that move.
        critics: the critics' parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[..., Any],
        parameters: Sequence[nn.Parameter],
        critics: Sequence[nn.Parameter],
    ) -> None:
        self.parameters, self.critics = parameters, critics
        self.sharded = any(collective.in_shards(p) for p in parameters)
        self.apart = [p for p in parameters if not collective.in_shards(p)] if self.sharded else list(parameters)
        self.forward = forward
        self._model = model
        self._settled = self.sharded
        self._wrapped = False

    def backward(self, total: Tensor) -> None:
        """∂ Σ over ranks of ``total`` / ∂ parameters, on every rank."""
        if self.sharded or self._wrapped:
            total = total * collective.processes()  # both take the mean over ranks
        # A sharded parameter is put together for the forward pass alone, so that it cannot be named here.
        inputs = None if self.sharded or not self.critics else self.parameters
        total.backward(inputs=inputs)  # type: ignore[no-untyped-call]
        if self.sharded:
            if all(p.grad is None for p in self.parameters):
                raise TrainingError(
                    "No gradient came out of the sharded model, whose backward pass fully_shard did not notice: choose "
                    "sharding=none, and report the model."
                )
            self._add_apart()
        elif not self._wrapped:
            everywhere = self.add_up(self.parameters)
            if not self._settled:
                self._settled = True
                if everywhere:
                    self._wrap()

    def add_up(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Add up the gradients of ``parameters`` in one exchange; whether every rank had one for each."""
        with torch.no_grad():
            known = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
            parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            flat = collective.add(torch.cat([known, *(part.reshape(-1) for part in parts)]))
            had, *sums = torch.split(flat, [len(parts), *(part.numel() for part in parts)])
            for p, part, count, value in zip(parameters, parts, had.tolist(), sums, strict=True):
                # As in one process, a parameter that no row reaches has no gradient and is left where it is.
                p.grad = part.copy_(value.view(part.shape)) if count else None
            return bool((had == collective.processes()).all())

    def _add_apart(self) -> None:
        """What ``fully_shard`` leaves alone: parameters that are one number."""
        if self.apart:
            with torch.no_grad():
                for p in self.apart:
                    if p.grad is not None:
                        p.grad.div_(collective.processes())
            self.add_up(self.apart)

    def _wrap(self) -> None:
        devices = [self.parameters[0].device] if self.parameters[0].is_cuda else None
        self.forward = nn.parallel.DistributedDataParallel(
            self.forward if isinstance(self.forward, nn.Module) else self._model,
            device_ids=devices,
            forward_sync_buffers=False,  # running statistics are of the whole batch, and so alike
            gradient_as_bucket_view=True,
        )
        self._wrapped = True

    @contextlib.contextmanager
    def critics_at_rest(self) -> Iterator[None]:
        """Inside, what is computed has no gradient for the critics, where the backward pass cannot name what it is for."""
        resting = self.critics if self.sharded else ()
        for p in resting:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in resting:
                p.requires_grad_(True)


def total_norm(values: Sequence[Tensor]) -> Tensor:
    """The norm of all ``values`` together, a scalar; of sharded ones that of the whole."""
    norm = nn.utils.get_total_norm(_of_a_kind(values)[0], foreach=True)
    if not collective.in_shards(norm):
        return norm
    whole: Tensor = norm.full_tensor()  # type: ignore[attr-defined]
    plain = _of_a_kind(values)[1]
    return torch.hypot(whole, nn.utils.get_total_norm(plain)) if plain else whole


def clip_to(parameters: Sequence[nn.Parameter], bound: float, norm: Tensor) -> None:
    """Scale the gradients of ``parameters``, of that norm together, to at most ``bound``."""
    for kind in _of_a_kind(parameters):
        if kind:
            nn.utils.clip_grads_with_norm_(kind, bound, norm, foreach=True)


def _of_a_kind(values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """(the sharded, the others) where there are both; (all, none) where all are of one kind."""
    sharded = [value for value in values if collective.in_shards(value)]
    others = [value for value in values if not collective.in_shards(value)]
    return (sharded, others) if sharded else (others, [])
