"""Series through convolutions over time, or through recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence

from trine.choices import Choices
from trine.domains import Domain
from trine.domains.series import Series

from ._base import field_encoder
from .readers import Readers
from .recurrent import Recurrent
from .sequence import SequenceBlock
from .temporal import KERNELS, Temporal

UNITS = 128
"""Width of a recurrent layer."""
READERS = ((1, False), (1, True), (2, True))
"""Of up to three convolutional readers, which serve some of the members each: the factor of the filters' lengths, and whether
layers add their input. Readers that differ err differently."""


@field_encoder.register(Series)
def series(first: Series, domains: Sequence[Domain], choices: Choices) -> SequenceBlock:
    """The block of a series' own field; by default convolutional, with members up to three readers.

    Recurrent layers start with time scales up to the length of a typical row.
    """
    dropout = choices.dropout or 0.0
    if choices.sequence is None or choices.sequence == "convolutional":
        count = min(choices.members or 1, len(READERS))
        kinds = READERS[:count] if count > 1 else ((1, choices.residual is not False),)
        readers: list[SequenceBlock] = [
            Temporal(
                first.width,
                choices.channels or 128,
                kernels=tuple(factor * kernel for kernel in KERNELS),
                activation=choices.activation or "relu",
                normalization=choices.normalization or "batch",
                residual=residual if choices.residual is None or count > 1 else choices.residual,
                dropout=dropout,
                pooling=choices.pooling or "mean",
            )
            for factor, residual in kinds
        ]
        return readers[0] if count == 1 else Readers(readers)
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
