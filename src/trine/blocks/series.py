"""Series through convolutions over time, or through recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence

from trine.choices import Choices
from trine.domains import Domain
from trine.domains.series import Series

from ._base import field_encoder
from .recurrent import Recurrent
from .sequence import SequenceBlock
from .temporal import Temporal

UNITS = 128
"""Width of a recurrent layer."""


@field_encoder.register(Series)
def series(first: Series, domains: Sequence[Domain], choices: Choices) -> SequenceBlock:
    """The block of a series' own field; by default convolutional.

    Recurrent layers start with time scales up to the length of a typical row.
    """
    dropout = choices.dropout or 0.0
    if choices.sequence in (None, "convolutional"):
        return Temporal(
            first.width,
            choices.channels or 128,
            activation=choices.activation or "relu",
            normalization=choices.normalization or "batch",
            residual=bool(choices.residual),
            dropout=dropout,
            pooling=choices.pooling or "mean",
        )
    return Recurrent(
        first.width,
        choices.units or UNITS,
        layers=choices.layers or 1,
        kind=choices.sequence,
        bidirectional=bool(choices.bidirectional),
        normalization=choices.normalization or "layer",
        dropout=dropout,
        pooling=choices.pooling or "last",
        memory=first.typical,
    )
