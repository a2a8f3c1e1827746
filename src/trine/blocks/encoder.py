"""All columns of x, each through its block, joined: batch → representation z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trine.choices import Choices
from trine.domains import Domain
from trine.errors import SchemaError

from ._base import field_encoder
from .dense import Dense
from .members import Members

HIDDEN = (256, 256)
"""Widths of the trunk of a table's network."""


class Encoder(nn.Module):
    """x → z: (batch, features), or (members, batch, features) with weight-sharing members.

    Columns of one pack share a field (``x.numbers``, ``x.categories``), every other column has its own
    (``x.<column>``); each field goes through its block, the outputs are joined, pass the member adapter where there are
    members, and a dense trunk. Where a field of its own is missing in a row (``x.<column>.present`` is False), a
    learned vector stands in for its features. While training, a share ``choices.unknown`` of rows has every input
    hidden, drawn from torch's global generator, so that a row with nothing known is answered by the prior.

    Defaults, where a choice is None: a trunk of 256, 256 (none when x is images only), ReLU, no normalisation, no
    residual path, no dropout, one member, nothing hidden.

    Args:
        domains: column → fitted domain of x, in the schema's order.
        choices: the user's choices.

    Raises:
        SchemaError: x is empty or a domain has no block. ChoiceError: a choice is unknown or out of range.
    """

    def __init__(self, domains: Mapping[str, Domain], choices: Choices) -> None:
        super().__init__()
        if not domains:
            raise SchemaError("x has no columns; name at least one input column besides y.")
        fields = _fields(domains)
        self.fields = tuple(fields)
        self.packs = tuple(members[0].pack for members in fields.values())
        # A list, because a user's column may hold a dot, which a ModuleDict refuses.
        self.blocks = nn.ModuleList(field_encoder(members[0], members, choices) for members in fields.values())
        widths = [_features(block) for block in self.blocks]
        self.absent = nn.ParameterDict(
            {str(i): torch.zeros(widths[i]) for i, pack in enumerate(self.packs) if pack is None}
        )
        self.unknown = choices.unknown or 0.0
        joined = sum(widths)
        count = choices.members or 1
        self.members = Members(count, joined) if count > 1 else None
        table = any(pack is not None for pack in self.packs) or len(fields) > 1
        hidden = choices.hidden if choices.hidden is not None else (HIDDEN if table else ())
        self.trunk = Dense(
            joined,
            hidden,
            activation=choices.activation or "relu",
            normalization=choices.normalization or "none",
            prenorm=bool(choices.prenorm),
            residual=bool(choices.residual),
            dropout=choices.dropout or 0.0,
        )
        self.features = self.trunk.features

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        inputs = [batch[field] for field in self.fields]
        hidden = None
        if self.training and self.unknown:
            hidden = torch.rand(len(inputs[0]), device=inputs[0].device) < self.unknown
        parts = [
            self._part(batch, i, block, values, hidden)
            for i, (block, values) in enumerate(zip(self.blocks, inputs, strict=True))
        ]
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        if self.members is not None:
            joined = self.members(joined)
        z: Tensor = self.trunk(joined)
        return z

    def _part(
        self, batch: Mapping[str, Tensor], i: int, block: nn.Module, values: Tensor, hidden: Tensor | None
    ) -> Tensor:
        """Features of field ``i``, with its missing and hidden rows as its domain has them, (batch, features)."""
        if self.packs[i] is not None:
            if hidden is not None:
                values = values.masked_fill(hidden[:, None], MISSING[self.packs[i]])
            part: Tensor = block(values)
            return part
        part = block(values)
        absent = torch.zeros(len(part), dtype=torch.bool, device=part.device) if hidden is None else hidden
        name = f"{self.fields[i]}.present"
        if name in batch:
            absent = absent | ~batch[name]
        # Always taken, so that every process of a distributed run has a gradient for every parameter.
        return torch.where(absent[:, None], self.absent[str(i)], part)


MISSING: dict[str | None, float] = {"numbers": float("nan"), "categories": -1}
"""Pack → how it marks a missing value."""


def _fields(domains: Mapping[str, Domain]) -> dict[str, Sequence[Domain]]:
    """Field of the batch → the domains in it, packed as the store packs columns."""
    fields: dict[str, list[Domain]] = {}
    for column, domain in domains.items():
        fields.setdefault(f"x.{domain.pack or column}", []).append(domain)
    return dict(fields)


def _features(block: nn.Module) -> int:
    features = block.features
    assert isinstance(features, int)
    return features
