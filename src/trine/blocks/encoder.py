"""All columns of x, each through its block, joined: batch → representation z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trine import collective
from trine.choices import Choices
from trine.domains import Domain
from trine.errors import SchemaError

from ._base import field_encoder
from .dense import Dense
from .members import Members
from .sequence import SequenceBlock

HIDDEN = (256, 256)
"""Widths of the trunk of a table's network."""


class Encoder(nn.Module):
    """x → z: (batch, features), or (members, batch, features) with weight-sharing members.

    Columns of one pack share a field (``x.numbers``, ``x.categories``), every other column has its own
    (``x.<column>``); each field goes through its block, the outputs are joined, pass the member adapter where there are
    members, and a dense trunk. Where a field of its own is missing in a row (``x.<column>.present`` is False), a
    learned vector stands in for its features. Of ragged fields the states over time are kept as well: the memory that a
    decoder may attend to.

    Where choices have a weight for the unknown, a row with nothing known at all has a representation of its own: a learned
    vector that starts at 0, where a rule answers with the marginal of y, and that no other row can pull along. On request
    such a blank row is put last.

    Defaults, where a choice is None: a trunk of 256, 256 (none when x is a single column with a field of its own), ReLU,
    no normalisation, no residual path, no dropout, one member.

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
        self.reads = tuple((field, members[0].pack, members[0]) for field, members in fields.items())
        # A list, because a user's column may hold a dot, which a ModuleDict refuses.
        self.blocks = nn.ModuleList(field_encoder(members[0], members, choices) for members in fields.values())
        widths = [_features(block) for block in self.blocks]
        self.absent = nn.ParameterDict(
            {str(i): torch.zeros(widths[i]) for i, pack in enumerate(self.packs) if pack is None}
        )
        joined = sum(widths)
        count = choices.members or 1
        self.members = Members(count, joined, sees=_sees(self.blocks, count)) if count > 1 else None
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
        self.nothing = nn.Parameter(torch.zeros(self.features)) if choices.unknown else None

    def forward(self, batch: Mapping[str, Tensor], blank: bool = False) -> Tensor:
        """The representation of the rows of ``batch``; with ``blank`` of one more row, the last, with nothing known."""
        return self.encode(batch, blank)[0]

    def encode(self, batch: Mapping[str, Tensor], blank: bool = False) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """(representation as :meth:`forward` gives it, memory).

        The memory has, for each ragged field, (batch, steps, width) states and (batch,) how many are the row's own; a
        missing value has none.
        """
        memory: list[tuple[Tensor, Tensor]] = []
        parts = [self._part(batch, i, block, memory) for i, block in enumerate(self.blocks)]
        return self._join(batch, parts, blank), memory

    def _join(self, batch: Mapping[str, Tensor], parts: list[Tensor], blank: bool) -> Tensor:
        """Features of all fields → z."""
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        if self.members is not None:
            joined = self.members(joined)
        z: Tensor = self.trunk(joined)
        if self.nothing is None:
            return z
        nothing = self.nothing.to(z.dtype)
        if blank:
            return torch.cat([z, nothing.expand(*z.shape[:-2], 1, -1)], dim=-2)
        return z if self.training else torch.where(self.unknown(batch)[:, None], nothing, z)

    def unknown(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch,) bool: the rows of which no input is known. An unseen category is known to be another."""
        unknown: Tensor | None = None
        for field, pack in zip(self.fields, self.packs, strict=True):
            if pack is not None:
                missing = batch[field].isnan() if pack == "numbers" else batch[field] == MISSING[pack]
                here = missing.all(dim=1)
            elif f"{field}.present" in batch:
                here = ~batch[f"{field}.present"]
            else:
                here = torch.zeros(len(batch[field]), dtype=torch.bool, device=batch[field].device)
            unknown = here if unknown is None else unknown & here
        assert unknown is not None, "there is at least one field"
        return unknown

    def _part(
        self, batch: Mapping[str, Tensor], i: int, block: nn.Module, memory: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Features of field ``i``, the missing as its domain has them, (batch, features); adds to the memory."""
        field, pack = self.fields[i], self.packs[i]
        part: Tensor
        part = (
            block(batch[field], batch[f"{field}.length"], memory)
            if isinstance(block, SequenceBlock)
            else block(batch[field])
        )
        if pack is not None:
            return part
        present = batch.get(f"{field}.present")
        if present is not None:
            part = torch.where(present[:, None], part, self.absent[str(i)].to(part.dtype))
        # Among several processes each has a gradient for every parameter; alone it would only ask for one of the pixels.
        shared = self.training and collective.processes() > 1
        return part + 0.0 * self.absent[str(i)].to(part.dtype) if shared else part


MISSING: dict[str, float] = {"numbers": float("nan"), "categories": -1}
"""Pack → how it marks a missing value."""


def _fields(domains: Mapping[str, Domain]) -> dict[str, Sequence[Domain]]:
    """Field of the batch → the domains in it, packed as the store packs columns."""
    fields: dict[str, list[Domain]] = {}
    for column, domain in domains.items():
        fields.setdefault(f"x.{domain.pack or column}", []).append(domain)
    return dict(fields)


def _sees(blocks: nn.ModuleList, count: int) -> Tensor | None:
    """(count, features) of 0 and 1: which members see which features, where a block has parts for some of them alone."""
    seen = [
        block.sees(count) if isinstance(block, SequenceBlock) else torch.ones(count, _features(block))
        for block in blocks
    ]
    found = torch.cat(seen, 1)
    return None if bool(found.all()) else found


def _features(block: nn.Module) -> int:
    features = block.features
    assert isinstance(features, int)
    return features
