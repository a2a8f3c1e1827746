"""Noise, and a condition where there is one → made rows, beside the true ones as a critic sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine import collective
from trine.blocks import Encoder
from trine.blocks.counted import Drawn, onto
from trine.blocks.makers import Made
from trine.data import Batch, Share
from trine.rules import map_arguments

EXPECTED = 2 / math.pi**0.5
"""E|u − u'| of two normal numbers."""
AGAIN = 4
"""One row of so many is made twice where answers are to be kept apart: a generator's pass is what costs."""
FEWEST = 2
"""Rows of a batch that are made twice, at least: how far the answers of one row are apart says little."""


class Noise(Drawn):
    """u ~ N(0, I), (batch, width). In training the draw follows from the run's seed and from how many were drawn, and of rows that
    several processes share each draws the whole and takes its own: together they draw what one process draws.

    Args:
        width: numbers of noise. stream: which of a model's noises it is, from 0; in evaluation all come from torch's generator.
    """

    def __init__(self, width: int, stream: int = 0) -> None:
        super().__init__(stream * 1_000_003)
        self.width = width

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Noise for the rows of a batch."""
        like = next(iter(batch.values()))
        rows = batch.size if isinstance(batch, Batch) else len(like)
        if not self.training:
            return torch.randn(rows, self.width, device=like.device)
        whole = batch.whole if isinstance(batch, Share) else rows
        found = torch.randn(whole, self.width, generator=self.generator())
        return onto(collective.share(found) if whole != rows else found, like.device)


class Generator(nn.Module):
    """x = g(u) of noise u, or y = g(u, c) of noise and the encoded condition c.

    Outputs: ``fake``, what is made, and ``real``, the batch's own, both as a critic sees them, (batch, *shape); of a condition
    also ``given``, the batch that a critic reads it from. Where ``twice``, in training also ``other``, what the first
    quarter of the conditions, two at least, give under other noise, and ``apart``, (rows,), how far the two noises are from each
    other, 1 in the mean; of a share those of the whole batch's first quarter that are in it, be it none.

    Args:
        noise: draws u. trunk: (batch, noise [+ condition]) → features of the makers; the identity where a picture is made alone.
        made: the columns that are made.
        condition: the encoder of x, or None.
        twice: whether a second draw is made in training, which a term may keep apart from the first.
        density: of rows made of noise alone, whether in training there is also ``answer``, p(row given u), (batch,) of rows as a
            critic sees them, for the likelihood of the true ones; every column is to be drawn, and none to follow from u.
    """

    def __init__(
        self,
        noise: Noise,
        trunk: nn.Module,
        made: Made,
        condition: Encoder | None = None,
        twice: bool = False,
        density: bool = False,
    ) -> None:
        super().__init__()
        self.noise, self.trunk, self.made, self.condition = noise, trunk, made, condition
        self.twice, self.density = twice, density

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives."""
        more: Sequence[str] = () if self.condition is None else ("given",)
        return (
            "fake",
            "real",
            *more,
            *(("other", "apart") if self.twice else ()),
            *(("answer",) if self.density else ()),
        )

    def make(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, width) noise [, (batch, features) of the condition] → made rows, as a critic sees them."""
        found: Tensor = self.made(self.trunk(noise if condition is None else torch.cat([noise, condition], 1)))
        return found

    def changed(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What training sees of a batch: here the batch itself."""
        return batch

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """Named outputs for the rows of ``batch``."""
        noise = self.noise(batch)
        rows, batch = batch, self.changed(batch)
        condition = None if self.condition is None else self.condition(batch)
        outputs: dict[str, Any] = {"real": self.made.seen(batch)}
        if self.density and self.training:
            features = self.trunk(noise)
            outputs |= {"fake": self.made(features), "answer": DrawnRows(self.made, features)}
        else:
            outputs["fake"] = self.make(noise, condition)
        if self.condition is not None:
            outputs["given"] = batch
        if self.twice and self.training:
            some = self._again(rows, len(noise))
            other = self.noise(rows)[:some]
            given = None if condition is None else condition[:some]
            outputs["other"] = self.make(other, given) if some else outputs["fake"][:0]
            outputs["apart"] = (other - noise[:some]).abs().mean(1) / EXPECTED
        return outputs

    @staticmethod
    def _again(rows: Mapping[str, Tensor], own: int) -> int:
        """How many of these ``own`` rows are made twice: of the whole batch the first, of which a process makes those it has."""
        whole = rows.whole if isinstance(rows, Share) else own
        first = collective.place(whole).start if isinstance(rows, Share) else 0
        return min(max(max(whole // AGAIN, FEWEST) - first, 0), own)


class DrawnRows(Distribution):
    """p(row | features), rows as a critic sees them: (batch,) of events of the shape of ``made``, for a likelihood.

    Args:
        made: whose columns are all drawn. features: (batch, features) that they are made from.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, made: Made, features: Tensor) -> None:
        self.made, self.features = made, features
        super().__init__(torch.Size((len(features),)), torch.Size(made.shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(batch, *shape) → (batch,), in nats; see :meth:`Made.log_density`."""
        return self.made.log_density(self.features, value)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Made rows, of sample shape, batch and the shape of ``made``."""
        many = torch.Size(sample_shape)
        with torch.no_grad():
            made: Tensor = self.made(self.features.repeat(many.numel(), 1))
        return made.view(*many, len(self.features), *self.event_shape)


@map_arguments.register
def _(q: DrawnRows, change: Callable[[Tensor], Tensor]) -> Distribution:
    return DrawnRows(q.made, change(q.features))
