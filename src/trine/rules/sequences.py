"""Series and sounds → a distribution over the numbers of every step, and over how many steps there are."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Laplace, Normal

from trine.blocks import field_decoder, own_steps
from trine.choices import Choices
from trine.domains import Audio, Domain, Series

from ._base import Linear, Rule, default_reconstruction, rules
from ._lengths import LengthLogistic
from ._links import Head, bounded, inverse_softplus, positive
from ._parameters import map_arguments, point
from .pixels import DiscretisedLogistic

LEAST_SCALE = 1e-2
"""Least scale of a channel, in its standard deviations, where values are told more finely than that: what can be told exactly
would else take all of the criterion."""
FULL, LEVELS = 32768.0, 65536
"""Full scale of 16 bits, and how many levels they have."""
LOUDEST = 1.0
"""Largest scale of a sample, in full scales."""
FASTER = 5.0
"""Factor of the learned scale of a channel: it has far to go, from 1 to what is left, and few parameters share its way."""
STRETCH = 2
"""Sampled sequences have at most so many times the steps of the longest training row."""

Draw = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""z (batch, features), lengths (batch,) and steps → location and scale, each (batch, steps, channels)."""
Family = Callable[..., Distribution]


class SampledLogistic(DiscretisedLogistic):
    """A logistic distribution over the 65,536 levels of a 16-bit sample, values in [−1, 1) as a batch holds them.

    Args:
        loc: in full scales. scale: likewise, positive.
    """

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        super().__init__((loc + 1) * (FULL / (LEVELS - 1)), scale * (FULL / (LEVELS - 1)), LEVELS)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the level's probability."""
        return super().log_prob((value + 1) * (FULL / (LEVELS - 1)))

    @property
    def mean(self) -> Tensor:
        """In full scales; the ends, which no mean of a sound comes near, are left out of account."""
        return self.loc * ((LEVELS - 1) / FULL) - 1

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples, at the levels."""
        return super().sample(sample_shape) * ((LEVELS - 1) / FULL) - 1


class Steps(Distribution):
    r"""q(x) = P(L) Π_t Π_c q(x_tc given L): a length, and given it independent numbers at every step.

    Values are (batch, steps, width), as a batch holds them but for what is padded: it is NaN beyond a row's end, as codes are −1
    there, so that a value tells its own length (a batch pads numbers by 0, which a row may hold as well). Of the ``width`` numbers
    the first ``channels`` are drawn; where there are gaps, as many that tell which of them are known, and a last one may tell the
    time since the step before. Both are given, not drawn: a missing number adds nothing.

    What a step has is drawn when it is asked for, since a batch's own steps, not the longest row's, are what it costs.

    Args:
        draw: gives location and scale; its parameters are not arguments of the distribution.
        z: (batch, features), what they are drawn from.
        family: (location, scale) → the distribution of each number.
        channels: numbers of a step that are drawn. width: numbers of a step.
        longest: steps that a sample has at most.
        length: P(L), batch shape (batch,); or the one length that all rows had, which then counts for nothing.
        gaps: whether the second ``channels`` numbers tell what is known.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    ragged = True

    def __init__(
        self,
        draw: Draw,
        z: Tensor,
        family: Family,
        *,
        channels: int,
        width: int,
        longest: int,
        length: Distribution | int,
        gaps: bool = False,
    ) -> None:
        self.draw, self.z, self.family = draw, z, family
        self.channels, self.width, self.longest, self.length, self.gaps = channels, width, longest, length, gaps
        super().__init__(z.shape[:-1], torch.Size([longest, width]), validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Lengths that are drawn have no gradient, and levels neither."""
        return isinstance(self.length, int) and self.family is not SampledLogistic

    def given(self, lengths: Tensor, steps: int) -> Distribution:
        """The distribution of the numbers of every step, batch shape (batch, steps, channels), of rows with these lengths."""
        location, scale = self.draw(self.z, lengths, steps)
        return self.family(location, scale, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(..., batch) logarithm of the density (of levels the probability) of sequences (..., batch, steps, width), NaN beyond
        their ends; of numbers that are known.
        """
        if value.dim() > 3:
            lead = value.shape[:-3]
            repeated = self.expand((lead.numel() * len(self.z),))
            return repeated.log_prob(value.flatten(0, -3)).view(*lead, len(self.z))
        return self.step_log_prob(value).sum(1) + self.length_log_prob(value)

    def step_log_prob(self, value: Tensor) -> Tensor:
        """(batch, steps) of each step, given how many there are; 0 beyond a row's end."""
        own, known = self._known(value)
        numbers = value[..., : self.channels]
        each = self.given(own.sum(1), value.shape[1]).log_prob(torch.where(known, numbers, 0.0))
        return torch.where(known, each, 0.0).sum(2)

    def squared_errors(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """((batch,) mean squared distance of the known numbers of sequences from their means given the length, and from 0)."""
        own, known = self._known(value)
        numbers = torch.where(known, value[..., : self.channels], 0.0)
        off = (self.given(own.sum(1), value.shape[1]).mean - numbers).masked_fill(~known, 0.0)
        count = known.sum((1, 2)).clamp_min(1)
        return off.square().sum((1, 2)) / count, numbers.square().sum((1, 2)) / count

    def _known(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """((batch, steps) which steps are a row's own, (batch, steps, channels) which numbers are known)."""
        own = ~value[..., 0].isnan()
        known = own[..., None].expand(*own.shape, self.channels)
        return own, known & (value[..., self.channels : 2 * self.channels] > 0.5) if self.gaps else known

    def length_log_prob(self, value: Tensor) -> Tensor:
        """(batch,) of how many steps there are; 0 where all training rows had as many."""
        lengths = (~value[..., 0].isnan()).sum(1)
        if isinstance(self.length, int):
            return torch.zeros(len(value), dtype=self.z.dtype, device=value.device)
        return self.length.log_prob(lengths.clamp_min(1))

    @property
    def lengths(self) -> Tensor:
        """(batch,) int64: the median of each row's length, at most ``longest``."""
        if isinstance(self.length, int):
            return torch.full((len(self.z),), self.length, device=self.z.device)
        return point(self.length).clamp_max(self.longest)

    @property
    def mean(self) -> Tensor:
        """(batch, steps, width) the mean of every number of sequences of median length, NaN beyond their ends."""
        lengths = self.lengths
        return self._whole(self.given(lengths, int(lengths.max())).mean, lengths)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """(*sample_shape, batch, steps, width) sequences drawn from q, NaN beyond their ends."""
        with torch.no_grad():
            return self._drawn(sample_shape, lambda q: q.sample())

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Likewise, with gradients of the numbers, not of the lengths.

        Raises:
            NotImplementedError: numbers that are levels have none.
        """
        return self._drawn(sample_shape, lambda q: q.rsample())

    def _drawn(self, sample_shape: Any, numbers: Callable[[Distribution], Tensor]) -> Tensor:
        shape = torch.Size(sample_shape)
        q = self.expand((shape.numel() * len(self.z),))
        lengths = q.lengths if isinstance(q.length, int) else q.length.sample().clamp(1, q.longest)
        found = q._whole(numbers(q.given(lengths, int(lengths.max()))), lengths)
        return found.view(*shape, len(self.z), *found.shape[1:])

    def _whole(self, numbers: Tensor, lengths: Tensor) -> Tensor:
        """Numbers with what stands beside them: all are known, and steps as far apart as is typical."""
        parts = [numbers]
        if self.gaps:
            parts.append(torch.ones_like(numbers))
        if (more := self.width - self.channels * len(parts)) > 0:
            apart = torch.full_like(numbers[..., :1], math.log(2.0)).expand(-1, -1, more).clone()
            apart[:, 0] = 0.0
            parts.append(apart)
        found = torch.cat(parts, -1) if len(parts) > 1 else numbers
        return found.masked_fill(~own_steps(lengths, found.shape[1])[..., None], math.nan)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Steps:
        """The same distribution, repeated whole over ``batch_shape`` of one dimension."""
        times = torch.Size(batch_shape).numel() // max(len(self.z), 1)
        changed = map_arguments(self, lambda value: value.repeat(times, *(1,) * (value.dim() - 1)))
        assert isinstance(changed, Steps)
        return changed


@map_arguments.register
def _(q: Steps, change: Callable[[Tensor], Tensor]) -> Distribution:
    length = q.length if isinstance(q.length, int) else map_arguments(q.length, change)
    return Steps(
        q.draw,
        change(q.z),
        q.family,
        channels=q.channels,
        width=q.width,
        longest=q.longest,
        length=length,
        gaps=q.gaps,
    )


class StepsRule(Rule):
    """Base: features are drawn as numbers of every step, and decide how many steps there are where rows differ.

    Class attributes:
        family: of each number. varies: whether each step has a scale of its own, or each channel has one.
    """

    wants_choices = True
    marks_ends = True
    family: ClassVar[Family]
    varies: ClassVar[bool] = False

    def __init__(
        self,
        features: int,
        domain: Domain,
        linear: Linear = nn.Linear,
        *,
        channels: int,
        span: tuple[int, float, int],
        choices: Choices | None = None,
    ) -> None:
        """``span``: steps of the shortest, the median and the longest training row."""
        super().__init__(features, domain, linear)
        self.channels, self.width, self.gaps = (
            channels,
            max(domain.width, channels),
            bool(getattr(domain, "gaps", False)),
        )
        shortest, typical, self.furthest = span
        outputs = (2 if self.varies else 1) * channels
        self.drawing = field_decoder(domain, features, outputs, choices or Choices())
        self.scale = None if self.varies else nn.Parameter(torch.zeros(channels))
        self.length: Head | None = None
        if shortest < self.furthest:
            # A logistic's scale is an eighth of what lies between its outer parts.
            width = max((math.log(self.furthest) - math.log(shortest)) / 8, 1e-2)
            self.length = Head(features, [math.log(max(typical, 1.0)), inverse_softplus(width)], linear)

    def forward(self, features: Tensor) -> Steps:
        return Steps(
            self.located,
            features,
            type(self).family,
            channels=self.channels,
            width=self.width,
            longest=self.furthest if self.length is None else STRETCH * self.furthest,
            length=self.furthest if self.length is None else self._lengths(features),
            gaps=self.gaps,
        )

    def _lengths(self, features: Tensor) -> LengthLogistic:
        assert self.length is not None
        location, raw = self.length(features).float().unbind(-1)
        # At a tenth of a step of the longest row a length is as good as certain.
        return LengthLogistic(location, positive(raw, low=math.log(0.1 / self.furthest)))

    def located(self, z: Tensor, lengths: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Location and scale, each (batch, steps, channels), in full precision, whatever the products are in."""
        drawn = self.drawing(z.to(next(self.drawing.parameters()).dtype), lengths, steps).float()
        location, *rest = drawn.split(self.channels, -1)
        if rest:
            return self.placed(location), self.scaled(rest[0])
        assert self.scale is not None
        return self.placed(location), self.scaled(FASTER * self.scale).expand_as(location)

    @abc.abstractmethod
    def placed(self, raw: Tensor) -> Tensor:
        """Raw numbers to locations."""

    @abc.abstractmethod
    def scaled(self, raw: Tensor) -> Tensor:
        """Raw numbers to scales, positive."""


class SeriesRule(StepsRule):
    """Base of the rules over series, whose channels are encoded with mean 0 and standard deviation 1."""

    serves = (Series,)
    floor: Tensor

    def __init__(
        self, features: int, domain: Series, linear: Linear = nn.Linear, *, choices: Choices | None = None
    ) -> None:
        span = (domain.shortest, domain.typical, domain.furthest)
        super().__init__(features, domain, linear, channels=domain.channels, span=span, choices=choices)
        # Values that lie h apart are told to h/√12 at best.
        steps = domain.resolution or (0.0,) * domain.channels
        least = [max(step / std / math.sqrt(12), LEAST_SCALE) for step, std in zip(steps, domain.std, strict=True)]
        self.register_buffer("floor", torch.tensor(least), persistent=False)

    def placed(self, raw: Tensor) -> Tensor:
        return raw

    def scaled(self, raw: Tensor) -> Tensor:
        return self.floor + positive(raw + inverse_softplus(1.0))


@rules.register("series-normal-fixed")
class SeriesNormalFixedRule(SeriesRule):
    r"""q(x given z) = P(L) Π N(location_tc(z), scale_c), one learned scale a channel: the squared error is derived, not chosen.

    .. math:: -\log q(x) = -\log P(L) + \sum_{t \le L} \sum_c \frac{(x_{tc} - m_{tc})^2}{2 s_c^2} + \log s_c + \text{const}

    No scale is below what the training values can tell, or a hundredth of the channel's standard deviation.
    """

    formula = "all steps at once → Normal(location, one learned scale a channel), and how many steps there are"
    identity = (
        "Σ (x − location)² / (2 scale²) + log scale: squared error over a row's own steps, one learned scale a channel"
    )
    family = Normal


@rules.register("series-normal")
class SeriesNormalRule(SeriesRule):
    """q(x given z) = P(L) Π N(location_tc(z), scale_tc(z)): the scale too is drawn, of each step and channel."""

    formula = "all steps at once → Normal(location, scale), and how many steps there are"
    identity = (
        "Σ (x − location)² / (2 scale²) + log scale: squared error over a row's own steps, weighed by a drawn scale"
    )
    family = Normal
    varies = True


class SoundRule(StepsRule):
    """Base of the rules over waveforms: location and scale of each sample, around silence and the training sounds' loudness.

    The scale is drawn with the waveform, since what a code can tell of most sounds is how loud they are when, not each sample.
    """

    serves = (Audio,)
    varies = True
    least: ClassVar[float] = 1.0 / math.sqrt(12) / FULL

    def __init__(
        self, features: int, domain: Audio, linear: Linear = nn.Linear, *, choices: Choices | None = None
    ) -> None:
        shortest, furthest = domain.samples
        span = (shortest, domain.typical * domain.rate, furthest)
        super().__init__(features, domain, linear, channels=domain.channels, span=span, choices=choices)
        self.loudness = min(max(domain.loudness, 10 / FULL), 0.5)

    def placed(self, raw: Tensor) -> Tensor:
        return self.loudness * raw

    def scaled(self, raw: Tensor) -> Tensor:
        # By its logarithm: sounds and the pauses between them are some orders of magnitude apart.
        return bounded(raw + math.log(0.5 * self.loudness), math.log(self.least), math.log(LOUDEST)).exp()


@rules.register("sound-logistic")
class SoundLogisticRule(SoundRule):
    """q(x given z) = P(L) Π discretised Logistic(location_t(z), scale_t(z)) over the levels of 16 bits: a probability."""

    formula = "all samples at once → Logistic(location, scale) rounded to 16 bits, and how many samples there are"
    identity = "−log P(level): absolute error far out, squared error near, in units of a drawn scale"
    family = SampledLogistic
    least = 0.25 / FULL


@rules.register("sound-normal")
class SoundNormalRule(SoundRule):
    """q(x given z) = P(L) Π N(location_t(z), scale_t(z)), no scale below what a level of 16 bits can tell."""

    formula = "all samples at once → Normal(location, scale), and how many samples there are"
    identity = "Σ (x − location)² / (2 scale²) + log scale: squared error, weighed by a drawn scale"
    family = Normal


@rules.register("sound-laplace")
class SoundLaplaceRule(SoundRule):
    """q(x given z) = P(L) Π Laplace(location_t(z), scale_t(z)), no scale below what a level of 16 bits can tell."""

    formula = "all samples at once → Laplace(location, scale), and how many samples there are"
    identity = "Σ |x − location| / scale + log scale: absolute error, weighed by a drawn scale"
    family = Laplace


@default_reconstruction.register
def _(domain: Series) -> str:
    return "series-normal-fixed"


@default_reconstruction.register
def _(domain: Audio) -> str:
    return "sound-logistic"
