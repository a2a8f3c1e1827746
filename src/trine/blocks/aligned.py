"""Series that are aligned, read as one vector: what happens at a step means the same in every row."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .dense import Dense
from .sequence import SequenceBlock, own_steps

HIDDEN = (256, 256)
DROPOUT = 0.2


class Aligned(SequenceBlock):
    """All steps at once through dense layers: (batch, longest, channels_in) → (batch, features).

    For rows of one length whose steps correspond, as heartbeats cut at the same phase; there a multilayer perceptron may be the
    better reader (Wang, Yan and Oates, `Time Series Classification from Scratch with Deep Neural Networks`, 2017, section II-A).
    A row that is shorter is filled with zeros, the mean; of a longer one the first steps are read.

    Args:
        channels_in: width of a step. steps: of a training row. activation: name in ``activations``.
        dropout: share of hidden units zeroed while training.
    """

    def __init__(self, channels_in: int, steps: int, *, activation: str = "relu", dropout: float = DROPOUT) -> None:
        super().__init__()
        self.steps = steps
        self.width = channels_in
        self.drop = nn.Dropout(dropout / 2)
        self.dense = Dense(channels_in * steps, HIDDEN, activation=activation, dropout=dropout)
        self.features = self.dense.features

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return values, lengths

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        x = states.masked_fill(~own_steps(lengths, states.shape[1])[:, :, None], 0.0)[:, : self.steps]
        x = functional.pad(x, (0, 0, 0, self.steps - x.shape[1]))
        found: Tensor = self.dense(self.drop(x.flatten(1)))
        return found

    def title(self) -> str:
        """The row of the derivation."""
        return f"{self.steps} steps at once, dense {' → '.join(map(str, HIDDEN))}"
