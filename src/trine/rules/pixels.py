"""Images → a distribution at every pixel: Bernoulli, discretised logistic, normal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal, constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid, softplus

from trine.blocks import field_decoder
from trine.choices import Choices
from trine.domains import Image

from ._base import Linear, Rule, default_reconstruction, rules
from ._links import inverse_softplus, logit, positive
from ._parameters import map_arguments

LEAST_SCALE = -7.0
"""Logarithm of the least scale of a pixel, in [0, 1]: a quarter of a level of eight bits."""


class DiscretisedLogistic(Distribution):
    r"""A logistic distribution rounded to the levels 0, 1/(L − 1) … 1, all that lies beyond counted to the ends:

    .. math:: P(y) = \sigma\Bigl(\frac{y + \delta/2 - m}{s}\Bigr) - \sigma\Bigl(\frac{y - \delta/2 - m}{s}\Bigr),
              \qquad \delta = \frac{1}{L - 1}

    A probability of what the pixels are, whole numbers, so that no scale makes it unbounded.

    Args:
        loc: m. scale: s, positive. levels: L, 2 or more.

    References:
        Kingma et al., `Improved Variational Inference with Inverse Autoregressive Flow`, 2016, section 5.2.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.unit_interval

    def __init__(self, loc: Tensor, scale: Tensor, levels: int = 256, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        self.levels = levels
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        shape = torch.Size(batch_shape)
        return DiscretisedLogistic(self.loc.expand(shape), self.scale.expand(shape), self.levels)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of P, of values in [0, 1]; those between two levels count as the interval of one level around them."""
        half = 0.5 / (self.levels - 1)
        above, below = (value - self.loc + half) / self.scale, (value - self.loc - half) / self.scale
        bottom, top = value < half, value > 1 - half
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b}): no digits are lost however far out both are.
        inside = torch.log(-torch.expm1(-2 * half / self.scale))
        return (
            torch.where(top, 0.0, logsigmoid(above))
            + torch.where(bottom, 0.0, logsigmoid(-below))
            + torch.where(top | bottom, 0.0, inside)
        )

    @property
    def mean(self) -> Tensor:
        """Mean of the logistic with what lies beyond [0, 1] at the ends; rounding moves it by less than half a level."""
        return self.scale * (softplus(self.loc / self.scale) - softplus((self.loc - 1) / self.scale))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples, at the levels."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(1e-7, 1 - 1e-7)
            raw = (self.loc + self.scale * torch.logit(uniform)).clamp(0.0, 1.0)
            return (raw * (self.levels - 1)).round() / (self.levels - 1)


@map_arguments.register
def _(q: DiscretisedLogistic, change: Callable[[Tensor], Tensor]) -> Distribution:
    return DiscretisedLogistic(change(q.loc), change(q.scale), q.levels)


class PixelRule(Rule):
    """Base: features are drawn as a picture of numbers, from which each pixel has its distribution, given z independent."""

    serves = (Image,)
    wants_choices = True

    def __init__(
        self, features: int, domain: Image, linear: Linear = nn.Linear, *, choices: Choices | None = None
    ) -> None:
        super().__init__(features, domain, linear)
        self.drawing = field_decoder(domain, features, domain.channels, choices or Choices())

    def drawn(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) numbers, in full precision, whatever the products are in."""
        drawn: Tensor = self.drawing(features)
        return drawn.float() if drawn.dtype == torch.bfloat16 else drawn

    def begin(self, mean: Tensor) -> None:
        """Start at each pixel's own mean, (channels, height, width) in [0, 1], where what draws has a number for each pixel.

        It is learned sooner than it would be found: a step moves a logit by no more than its size.
        """
        begin: Any = getattr(self.drawing, "begin", None)
        if begin is not None:
            begin(self._level(mean))

    def _level(self, mean: Tensor) -> Tensor:
        """What is to be drawn for this mean."""
        raise NotImplementedError


@rules.register("pixel-bernoulli")
class PixelBernoulliRule(PixelRule):
    r"""q(x given z) = Π Bernoulli(sigmoid(a(z))), of pixels that are 0 or 1.

    Of pixels in between it is the cross-entropy with each taken as a probability, and no likelihood.

    .. math:: -\log q(x) = \sum_i \operatorname{softplus}(a_i) - x_i a_i
    """

    formula = "sigmoid → Bernoulli(probability) of each pixel"
    identity = "Σ −x log p − (1 − x) log(1 − p): binary cross-entropy, summed over pixels"

    start: Tensor

    def __init__(
        self, features: int, domain: Image, linear: Linear = nn.Linear, *, choices: Choices | None = None
    ) -> None:
        super().__init__(features, domain, linear, choices=choices)
        levels = [logit(min(max(mean, 1e-3), 1 - 1e-3)) for mean in domain.mean]
        start = torch.tensor(levels).view(-1, 1, 1)
        begin: Any = getattr(self.drawing, "begin", None)
        self.begins = begin is not None
        if begin is not None:
            begin(start.expand(domain.channels, domain.height, domain.width))
        self.register_buffer("start", start, persistent=False)

    def _level(self, mean: Tensor) -> Tensor:
        return torch.logit(mean.clamp(1e-3, 1 - 1e-3))

    def forward(self, features: Tensor) -> Distribution:
        logits = self.drawn(features)
        logits = logits if self.begins else logits + self.start
        return Independent(Bernoulli(logits=logits, validate_args=False), 3, False)


class _Located(PixelRule):
    """Base of the rules with a location a pixel."""

    start: Tensor

    def __init__(
        self, features: int, domain: Image, linear: Linear = nn.Linear, *, choices: Choices | None = None
    ) -> None:
        super().__init__(features, domain, linear, choices=choices)
        self.register_buffer("start", torch.tensor(domain.mean).float().view(-1, 1, 1), persistent=False)
        self.unit = max(sum(domain.std) / len(domain.std), 1e-2)

    def _level(self, mean: Tensor) -> Tensor:
        return (mean - self.start) / self.unit

    def location(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width)."""
        located: Tensor = self.start + self.unit * self.drawn(features)
        return located


@rules.register("pixel-logistic")
class PixelLogisticRule(_Located):
    """q(x given z) = Π discretised Logistic(location(z), scale), a learned scale for each place of the picture."""

    formula = "linear → Logistic(location, one learned scale a place), rounded to the pixels' levels"
    identity = "−log P(level): absolute error far out, squared error near, in units of a learned scale for each place"

    def __init__(
        self, features: int, domain: Image, linear: Linear = nn.Linear, *, choices: Choices | None = None
    ) -> None:
        super().__init__(features, domain, linear, choices=choices)
        self.levels = 2**domain.bits
        self.scale = nn.Parameter(torch.zeros(domain.channels, domain.height, domain.width))

    def forward(self, features: Tensor) -> Distribution:
        scale = positive(self.scale + inverse_softplus(0.5 * self.unit), low=LEAST_SCALE)
        return Independent(DiscretisedLogistic(self.location(features), scale, self.levels), 3, False)


@rules.register("pixel-normal")
class PixelNormalRule(_Located):
    """q(x given z) = Π N(location(z), scale), one learned scale a channel: the squared error is derived, not chosen.

    References:
        Rybkin, Daniilidis and Levine, `Simple and Effective VAE Training with Calibrated Decoders`, 2021.
    """

    formula = "linear → Normal(location, one learned scale a channel)"
    identity = "(x − location)² / (2 scale²) + log scale: squared error, with one learned scale a channel"

    def __init__(
        self, features: int, domain: Image, linear: Linear = nn.Linear, *, choices: Choices | None = None
    ) -> None:
        super().__init__(features, domain, linear, choices=choices)
        self.scale = nn.Parameter(torch.zeros(domain.channels, 1, 1))

    def forward(self, features: Tensor) -> Distribution:
        scale = positive(self.scale + inverse_softplus(self.unit), low=LEAST_SCALE)
        location = self.location(features)
        return Independent(Normal(location, scale.expand_as(location), validate_args=False), 3, False)


@default_reconstruction.register
def _(domain: Image) -> str:
    return "pixel-bernoulli" if domain.binary else "pixel-logistic"
