"""An ensemble in one network: readers of the same field that share no weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .sequence import SequenceBlock


class Readers(SequenceBlock):
    """Several blocks that read the same series or text, each for some of the members alone: an ensemble in one network.

    Readers share no weight, so that their errors are more unlike than those of members that share them (Lakshminarayanan,
    Pritzel and Blundell, `Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles`, 2017, section 2.4). Member
    m sees the features of reader m modulo their number.

    Args:
        readers: blocks of the same field, whose states are as many. States of a step lie side by side.
    """

    def __init__(self, readers: Sequence[SequenceBlock]) -> None:
        super().__init__()
        self.readers = nn.ModuleList(readers)
        self.width = sum(reader.width for reader in readers)
        self.features = sum(reader.features for reader in readers)

    def sees(self, count: int) -> Tensor:
        features = [block.features for block in self.readers if isinstance(block, SequenceBlock)]
        reader = torch.arange(len(features)).repeat_interleave(torch.tensor(features))
        return (torch.arange(count)[:, None] % len(features) == reader).float()

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        found = [block.states(values, lengths) for block in self.readers if isinstance(block, SequenceBlock)]
        return torch.cat([states for states, _ in found], 2), found[0][1]

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        blocks = [block for block in self.readers if isinstance(block, SequenceBlock)]
        parts = torch.split(states, [block.width for block in blocks], 2)
        return torch.cat([block.pool(part, lengths) for block, part in zip(blocks, parts, strict=True)], 1)

    def forward(self, values: Tensor, lengths: Tensor, memory: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
        read: list[tuple[Tensor, Tensor]] = []
        pooled = torch.cat([block(values, lengths, read) for block in self.readers], 1)
        if memory is not None:
            memory.append((torch.cat([states for states, _ in read], 2), read[0][1]))
        return pooled

    def title(self) -> str:
        """The row of the derivation."""
        return f"{len(self.readers)} readers, each for its own members"
