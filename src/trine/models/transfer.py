"""A pretrained encoder under new rules, of which as many layers move as are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from trine.models.supervised import Supervised
from trine.rules import Rule


class Topped(nn.Module):
    """An encoder with dense layers on its z.

    Args:
        encoder: batch → z. top: z → features; has ``features``, their number.
    """

    def __init__(self, encoder: nn.Module, top: nn.Module) -> None:
        super().__init__()
        self.encoder, self.top = encoder, top
        self.features = top.features

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch, features), or (members, batch, features)."""
        z: Tensor = self.top(self.encoder(batch).float())
        return z


class Tuned(Supervised):
    """Encoder → z → rules, as :class:`Supervised`, with the encoder's layers in groups from the bottom to the top.

    A closed group keeps every parameter, running statistic and buffer: its parameters take no gradient and its modules stay in
    evaluation mode.

    Args:
        encoder: batch → z. rules: target → decision rule on z.
        groups: names of modules of the encoder that hold parameters, a list for each group.
        opened: how many groups, from the top, are open to begin with.
    """

    def __init__(
        self, encoder: nn.Module, rules: Mapping[str, Rule], groups: Sequence[Sequence[str]], opened: int
    ) -> None:
        super().__init__(encoder, rules)
        self.groups = tuple(tuple(f"encoder.{name}" if name else "encoder" for name in group) for group in groups)
        self.opened = -1
        self.open(opened)

    def parameter_groups(self) -> list[list[str]]:
        """Names of the parameters of each group."""
        return [
            [
                f"{owner}.{name}"
                for owner in group
                for name, _ in self.get_submodule(owner).named_parameters(recurse=False)
            ]
            for group in self.groups
        ]

    def open(self, count: int) -> None:
        """Let the ``count`` uppermost groups move, and no others."""
        if count == self.opened:
            return
        self.opened = count
        for place, group in enumerate(self.groups):
            moves = place >= len(self.groups) - count
            for owner in group:
                for parameter in self.get_submodule(owner).parameters(recurse=False):
                    parameter.requires_grad_(moves and parameter.is_floating_point())
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation; closed groups are always in evaluation."""
        super().train(mode)
        if mode:
            closed = len(getattr(self, "groups", ())) - getattr(self, "opened", 0)
            for group in getattr(self, "groups", ())[: max(closed, 0)]:
                for owner in group:
                    # Its own mode: what lies in it has one of its own.
                    self.get_submodule(owner).training = False
        return self


def layer_groups(encoder: nn.Module, batch: Mapping[str, Tensor], most: int) -> list[list[str]]:
    """Names of the modules of ``encoder`` that hold parameters or buffers, in at most ``most`` groups from the bottom to the top.

    The order is that in which a pass over ``batch`` comes to them. A layer begins at each module with a weight of two dimensions
    or more, and what follows it without one (normalisation, gains) belongs to it; a module that no pass comes to is at the bottom.
    """
    seen: list[str] = []
    handles = []
    owners = [
        name
        for name, module in encoder.named_modules()
        if any(True for _ in module.parameters(recurse=False)) or any(True for _ in module.buffers(recurse=False))
    ]

    def note(name: str) -> None:
        if name not in seen:
            seen.append(name)

    for name in owners:
        module = encoder.get_submodule(name)
        handles.append(module.register_forward_pre_hook(lambda _module, _given, name=name: note(name)))
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        with torch.no_grad():
            encoder(batch)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    layers: list[list[str]] = []
    for name in [*(name for name in owners if name not in seen), *seen]:
        weighs = any(parameter.dim() > 1 for parameter in encoder.get_submodule(name).parameters(recurse=False))
        started = bool(layers) and any(
            parameter.dim() > 1
            for part in layers[-1]
            for parameter in encoder.get_submodule(part).parameters(recurse=False)
        )
        if not layers or (weighs and started and name in seen):
            layers.append([])
        layers[-1].append(name)
    count = min(most, len(layers))
    ends = [round(len(layers) * (i + 1) / count) for i in range(count)] if count else []
    starts = [0, *ends[:-1]]
    return [[name for layer in layers[a:b] for name in layer] for a, b in zip(starts, ends, strict=True)]
