"""Texts: embedded tokens read by convolutions or a recurrent layer, beside the sum of their n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trine.choices import Choices
from trine.domains import Domain, Text
from trine.errors import ChoiceError, nearest

from ._base import field_encoder
from .pooling import Max
from .readers import Readers
from .recurrent import Recurrent
from .sequence import SequenceBlock, own_steps

DIMS = {"characters": 32, "words": 48, "pieces": 48}
"""Unit → width of a token's embedding."""
CHANNELS, WIDTHS = 100, (3, 4, 5)
"""Filters of each width, and the widths, of Kim (2014)."""
UNITS = {"characters": 96, "words": 48, "pieces": 48}
"""Unit → width of a recurrent layer, in each direction."""
NGRAMS = {"characters": (1, 2, 3, 4), "words": (1, 2), "pieces": (1, 2)}
"""Unit → lengths of the n-grams that are summed."""
BUCKETS, BAG = {"characters": 2**16, "words": 2**15, "pieces": 2**15}, 32
"""Unit → places that n-grams of two tokens and more share by their hash; the width of their vectors."""
START, BAG_START = 0.1, 0.01
"""Standard deviation of the first vectors of tokens and of n-grams: small, so that rare ones add little noise."""
DROPPED = {"characters": 0.06, "words": 0.1, "pieces": 0.1}
"""Unit → share of tokens that become unknown while training."""

READERS = 3
"""Most readers of a text, each of which serves some of the members."""
BAG_DROPPED = {"characters": 0.3, "words": 0.0, "pieces": 0.0}
"""Unit → share of n-grams left out while training: of a name's many, that overlap, most others still tell."""
VECTOR_DROPOUT = 0.4
"""Dropout of tokens' vectors, relative to that of the pooled states."""

_ODD, _MIX = 0x5851F42D4C957F2D, 0x2127599BF4325C37  # of 64 bits, as signed ones


class Convolutions(SequenceBlock):
    """φ of filters of several widths, side by side, and the maximum of each over the steps.

    (batch, longest, channels_in) → (batch, longest, widths · channels). Beyond a row's ends are zeros, whatever was padded.

    Args:
        channels_in: width of a step. channels: filters of each width. widths: steps that they span.
        dropout: share of pooled features zeroed while training.

    References:
        Kim, `Convolutional Neural Networks for Sentence Classification`, 2014, section 2.
    """

    def __init__(
        self, channels_in: int, channels: int = CHANNELS, widths: Sequence[int] = WIDTHS, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.filters = nn.ModuleList(nn.Conv1d(channels_in, channels, width) for width in widths)
        for conv in self.filters:
            assert isinstance(conv, nn.Conv1d)
            nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.margins = [((width - 1) // 2, width // 2) for width in widths]
        self.width = self.features = channels * len(self.filters)
        self.pooling = Max(self.width)
        self.dropout = nn.Dropout(dropout)
        self.words = f"filters of {', '.join(map(str, widths))} steps, {channels} each, max over time"

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        own = own_steps(lengths, values.shape[1])[:, None]
        x = values.transpose(1, 2) * own
        found = [conv(functional.pad(x, margin)) for conv, margin in zip(self.filters, self.margins, strict=True)]
        return (torch.relu(torch.cat(found, 1)) * own).transpose(1, 2), lengths

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        pooled: Tensor = self.dropout(self.pooling(states, lengths))
        return pooled

    def title(self) -> str:
        """The row of the derivation."""
        return self.words


class Bag(nn.Module):
    """The n-grams of a row, each by a vector, averaged: (batch, longest) codes, lengths → (batch, features).

    A token has a vector of its own; n-grams of several tokens share ``buckets`` vectors by a hash, whose collisions are rare
    among frequent ones. Of characters, the row's beginning and end are tokens too.

    Args:
        size: number of token codes. ngrams: lengths of the n-grams. edges: whether beginning and end count as tokens.
        buckets: places of the longer n-grams. features: width of a vector. dropout: share of n-grams left out in training.

    References:
        Joulin, Grave, Bojanowski and Mikolov, `Bag of Tricks for Efficient Text Classification`, 2017, section 2.
    """

    def __init__(
        self,
        size: int,
        ngrams: Sequence[int] = (1, 2),
        *,
        edges: bool = False,
        buckets: int = 2**15,
        features: int = BAG,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.size, self.ngrams, self.edges, self.buckets, self.features = size, tuple(ngrams), edges, buckets, features
        self.dropout = dropout
        self.table = nn.Parameter(torch.empty(size + (buckets if max(ngrams) > 1 else 0) + 1, features))
        nn.init.normal_(self.table, std=BAG_START)
        with torch.no_grad():
            self.table[-1] = 0.0

    def places(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """(batch, n-grams) rows of the table; its last row where there is none."""
        if self.edges:
            codes = functional.pad(codes, (1, 1), value=-1)
            codes[:, 0] = Text.begin
            codes = codes.scatter(1, lengths[:, None] + 1, Text.end)
            lengths = lengths + 2
        none = len(self.table) - 1
        found = []
        for n in self.ngrams:
            steps = codes.shape[1] - n + 1
            if steps < 1:
                continue
            key = codes[:, :steps]
            if n > 1:
                for k in range(1, n):
                    key = (key + 1) * _ODD + codes[:, k : k + steps]
                # So that every bit of the key moves every bit of the place.
                for _ in range(2):
                    key = (key ^ (key >> 31)) * _MIX
                key = self.size + (key ^ (key >> 29)).remainder(self.buckets)
            found.append(key.masked_fill(~own_steps(lengths - n + 1, steps), none))
        return torch.cat(found, 1)

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        places = self.places(codes, lengths)
        none = len(self.table) - 1
        if self.training and self.dropout:
            places = places.masked_fill(torch.rand(places.shape, device=places.device) < self.dropout, none)
        total = functional.embedding_bag(places, self.table, mode="sum", padding_idx=none)
        return total / (places != none).sum(1, keepdim=True).clamp_min(1).to(total.dtype).sqrt()


class TextBlock(SequenceBlock):
    """Codes of tokens (padding −1) → vectors → states over time → pooled, beside the bag of n-grams.

    While training, some tokens are read as unknown, which so learns to stand for any other and keeps the rest from leaning on
    single words (Iyyer et al., `Deep Unordered Composition Rivals Syntactic Methods for Text Classification`, 2015, section 3.1).

    Args:
        size: number of codes. dims: width of a token's vector. inner: reads the vectors. bag: of n-grams, or None.
        dropped: share of tokens that become unknown while training, but for the bag. dropout: of tokens' vectors.
    """

    def __init__(
        self, size: int, dims: int, inner: SequenceBlock, bag: Bag | None, dropped: float = 0.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.table = nn.Parameter(START * torch.randn(size, dims))
        with torch.no_grad():
            self.table[Text.unknown] = 0.0
        self.inner, self.bag = inner, bag
        self.dropped = dropped
        self.dropout = nn.Dropout(dropout)
        self.width = inner.width
        self.features = inner.features + (bag.features if bag is not None else 0)

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.states(self.dropout(functional.embedding(values.clamp_min(0), self.table)), lengths)

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        return self.inner.pool(states, lengths)

    def forward(self, values: Tensor, lengths: Tensor, memory: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
        kept = values
        if self.training and self.dropped:
            lost = torch.rand(values.shape, device=values.device) < self.dropped
            kept = torch.where(lost & (values >= 0), Text.unknown, values)
        pooled = super().forward(kept, lengths, memory)
        if self.bag is None:
            return pooled
        return torch.cat([pooled, self.bag(values, lengths).to(pooled.dtype)], 1)

    def title(self) -> str:
        """The row of the derivation."""
        size, dims = self.table.shape
        inner = getattr(self.inner, "words", type(self.inner).__name__)
        bag = f"; n-grams of 1 to {max(self.bag.ngrams)}" if self.bag is not None else ""
        return f"{size:,} tokens of {dims} features; {inner}{bag}"


@field_encoder.register(Text)
def texts(first: Text, domains: Sequence[Domain], choices: Choices) -> TextBlock | Readers:
    """The block of a text: by default a GRU both ways, its greatest states, and the bag; with members, up to three of them.

    ``channels`` are the filters of each width, ``units`` the recurrent layer's; ``pooling`` is that of the recurrent layer.
    """
    count = min(choices.members or 1, READERS)
    readers = [_reader(first, choices) for _ in range(count)]
    return readers[0] if count == 1 else Readers(readers)


def _reader(first: Text, choices: Choices) -> TextBlock:
    unit: Literal["characters", "words", "pieces"] = first.unit  # type: ignore[assignment]
    dropout = choices.dropout if choices.dropout is not None else 0.5
    kind = choices.sequence or "gru"
    dims = DIMS[unit]
    inner: SequenceBlock
    if kind == "convolutional":
        inner = Convolutions(dims, choices.channels or CHANNELS, dropout=dropout)
    elif kind in ("gru", "lstm", "rnn"):
        inner = Recurrent(
            dims,
            choices.units or UNITS[unit],
            layers=choices.layers or 1,
            kind=kind,
            bidirectional=True if choices.bidirectional is None else choices.bidirectional,
            dropout=dropout,
            pooling=choices.pooling or "max",
        )
    else:
        known = ("convolutional", "gru", "lstm", "rnn")
        raise ChoiceError(f"A text cannot be read by {kind!r}.{nearest(kind, known)} Known: {', '.join(known)}.")
    lost = dropout > 0  # without dropout nothing is left out: what is written from a text needs every letter of it
    bag = Bag(
        first.size,
        NGRAMS[unit],
        edges=unit == "characters",
        buckets=BUCKETS[unit],
        dropout=BAG_DROPPED[unit] if lost else 0.0,
    )
    return TextBlock(first.size, dims, inner, bag, DROPPED[unit] if lost else 0.0, VECTOR_DROPOUT * dropout)
