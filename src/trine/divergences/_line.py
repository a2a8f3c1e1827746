"""What quadrature asks of a distribution on a line: density, both tails and their inverses, each to full precision.

``1 − F`` has no digits left where F is within 1e-16 of 1, and integrals over heavy tails live there; so each tail has a
function of its own. All are in float64, differentiable in the parameters but for the inverses, and open by
``.register(Family)``. Values have shape (..., *batch shape of the distribution).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import scipy.special
import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    Distribution,
    Exponential,
    Gamma,
    Geometric,
    HalfCauchy,
    HalfNormal,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    OneHotCategorical,
    Poisson,
    StudentT,
    TransformedDistribution,
    Uniform,
    constraints,
)
from torch.nn.functional import logsigmoid

from trine.rules import LogitNormal, cdf, map_arguments, special
from trine.rules.special import scipy_elementwise

FARTHEST = 1e150
"""Where the line ends: its square is still a number."""
TINY = torch.finfo(torch.float64).tiny
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@map_arguments.register
def _(q: MultivariateNormal, change: Callable[[Tensor], Tensor]) -> Distribution:
    return MultivariateNormal(change(q.loc), scale_tril=change(q.scale_tril), validate_args=False)


@functools.singledispatch
def components(q: Distribution) -> list[Distribution]:
    """What ``q`` is mixed of, each of the batch shape of ``q``; itself where it is no mixture."""
    return [q]


@components.register
def _(q: MixtureSameFamily) -> list[Distribution]:
    at, members = len(q.batch_shape), q.component_distribution.batch_shape[-1]

    def member(k: int) -> Distribution:
        return map_arguments(q.component_distribution, lambda value: value.select(at, k))

    return [part for k in range(members) for part in components(member(k))]


@functools.singledispatch
def weights(q: Distribution) -> Tensor:
    """Of the components, (*batch or (), components)."""
    return torch.ones(1, dtype=q.mean.dtype, device=q.mean.device)


@weights.register
def _(q: MixtureSameFamily) -> Tensor:
    return q.mixture_distribution.probs


def mixed(q: Distribution) -> bool:
    """Whether ``q`` has components other than itself."""
    return components(q)[0] is not q


def kind(q: Distribution) -> str:
    """``line`` (a density), ``counts`` (whole numbers), ``categories`` or ``vector``: how ``q`` is summed over."""
    if q.event_shape:
        return "categories" if isinstance(q, OneHotCategorical) else "vector"
    if isinstance(components(q)[0], Categorical):
        return "categories"
    return "counts" if _support(q).is_discrete else "line"


def ends(q: Distribution) -> tuple[Tensor | float, Tensor | float]:
    """Where the support begins and ends, infinite where it does not; of a mixture, of one component."""
    support = _support(q)
    if support is constraints.boolean:
        return 0.0, 1.0
    return getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf)


def _support(q: Distribution) -> Any:
    return components(q)[0].support


# Density --------------------------------------------------------------------------------------------------------------


def log_density(q: Distribution, x: Tensor) -> Tensor:
    """The logarithm of q(x), −∞ outside the support; of counts also between whole numbers, where Γ continues it."""
    if mixed(q):
        each = [log_density(part, x) for part in components(q)]
        return torch.logsumexp(torch.stack(each, -1) + weights(q).log(), -1)
    low, high = ends(q)
    inside = (x >= low) & (x <= high)
    values = _log_density(q, torch.where(inside, x, _somewhere(q, x)))
    return torch.where(inside, values, -math.inf)


def _somewhere(q: Distribution, x: Tensor) -> Tensor:
    """A point of the support, for the arguments that are not."""
    low, high = (torch.as_tensor(end, dtype=x.dtype, device=x.device) for end in ends(q))
    if bool(torch.isinf(high).any()):
        return low + 1.0 if not bool(torch.isinf(low).any()) else torch.zeros_like(x)
    return 0.5 * (low + high) if not bool(torch.isinf(low).any()) else high - 1.0


@functools.singledispatch
def _log_density(q: Distribution, x: Tensor) -> Tensor:
    return q.log_prob(x)


@_log_density.register
def _(q: Poisson, x: Tensor) -> Tensor:
    return _log_poisson(x, q.rate)


@_log_density.register
def _(q: Gamma, x: Tensor) -> Tensor:
    at = x.clamp_min(TINY)
    return _log_poisson(q.concentration, q.rate * at) + q.concentration.log() - at.log()


@_log_density.register
def _(q: Beta, x: Tensor) -> Tensor:
    # Next to 1 there is no number between; what a spike holds there is missing, and the error says so.
    value: Tensor = q.log_prob(x.clamp(TINY, 1 - 2.0**-53))  # type: ignore[no-untyped-call]
    return value


@_log_density.register
def _(q: NegativeBinomial, x: Tensor) -> Tensor:
    n, stop, more = q.total_count, logsigmoid(-q.logits), logsigmoid(q.logits)
    k = x.clamp_min(1e-9)
    whole = n + k
    spread = relative_entropy(n, whole * stop.exp()) + relative_entropy(k, whole * more.exp())
    value = _stirling(whole) - _stirling(n) - _stirling(k) - spread - HALF_LOG_2PI + 0.5 * (n / (whole * k)).log()
    return torch.where(x > 0, value, n * stop)


def _log_poisson(x: Tensor, rate: Tensor) -> Tensor:
    """The value x log rate − rate − log Γ(x + 1) without the cancellation of large numbers (Loader, 2000)."""
    at = x.clamp_min(1e-300)
    value = -_stirling(at) - relative_entropy(at, rate) - HALF_LOG_2PI - 0.5 * at.log()
    return torch.where(x > 0, value, -rate)


def relative_entropy(x: Tensor, mean: Tensor) -> Tensor:
    """The value x log(x / mean) + mean − x, at least 0."""
    mean = mean.clamp_min(torch.finfo(mean.dtype).tiny)
    near = (x - mean).abs() < 0.5 * mean
    # Where it is not near, a quotient may overflow, if only in its gradient.
    safe = torch.where(near, mean, 1.0)
    off = (torch.where(near, x, 1.0) - safe) / safe
    far = x * (x.clamp_min(torch.finfo(x.dtype).tiny).log() - mean.log()) + mean - x
    return torch.where(near, safe * ((1 + off) * torch.log1p(off) - off), far)


def _stirling(n: Tensor) -> Tensor:
    """By how much log Γ(n + 1) exceeds Stirling's (n + ½) log n − n + ½ log 2π."""
    large = n > 16
    m = torch.where(large, n, 17.0)
    m2 = m * m
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / m2) / m2) / m2) / m2) / m
    k = torch.where(large, 1.0, n)
    return torch.where(large, series, torch.lgamma(k + 1) - (k + 0.5) * k.log() + k - HALF_LOG_2PI)


# Tails ----------------------------------------------------------------------------------------------------------------


@functools.singledispatch
def below(q: Distribution, x: Tensor) -> Tensor:
    """P(Y ≤ x), to relative precision also where it is tiny."""
    return cdf(q, x)


@functools.singledispatch
def above(q: Distribution, x: Tensor) -> Tensor:
    """P(Y > x), to relative precision also where it is tiny."""
    return 1 - below(q, x)


@functools.singledispatch
def lower_quantile(q: Distribution, u: Tensor) -> Tensor:
    """The x with P(Y ≤ x) = u, for u in (0, ½]; no gradient."""
    return q.icdf(u)


@functools.singledispatch
def upper_quantile(q: Distribution, u: Tensor) -> Tensor:
    """The x with P(Y > x) = u, for u in (0, ½]; no gradient."""
    return q.icdf((1 - u).clamp_max(1 - 2.0**-53))


def _inside(q: Distribution, x: Tensor, value: Tensor, *, upper: bool = False) -> Tensor:
    """A tail's value, 0 or 1 beyond the ends of the support."""
    low, high = ends(q)
    value = torch.where(x <= low, 1.0 if upper else 0.0, value)
    return torch.where(x >= high, 0.0 if upper else 1.0, value)


@below.register
def _(q: Normal, x: Tensor) -> Tensor:
    value: Tensor = torch.special.ndtr((x - q.loc) / q.scale)
    return value


@above.register
def _(q: Normal, x: Tensor) -> Tensor:
    value: Tensor = torch.special.ndtr((q.loc - x) / q.scale)
    return value


@lower_quantile.register
def _(q: Normal, u: Tensor) -> Tensor:
    z: Tensor = torch.special.ndtri(u)
    return q.loc + q.scale * z


@upper_quantile.register
def _(q: Normal, u: Tensor) -> Tensor:
    z: Tensor = torch.special.ndtri(u)
    return q.loc - q.scale * z


def _laplace_below(z: Tensor) -> Tensor:
    far = 0.5 * torch.exp(-z.abs())
    return torch.where(z < 0, far, 1 - far)


@below.register
def _(q: Laplace, x: Tensor) -> Tensor:
    return _laplace_below((x - q.loc) / q.scale)


@above.register
def _(q: Laplace, x: Tensor) -> Tensor:
    return _laplace_below((q.loc - x) / q.scale)


@lower_quantile.register
def _(q: Laplace, u: Tensor) -> Tensor:
    return q.loc + q.scale * (2 * u).log()


@upper_quantile.register
def _(q: Laplace, u: Tensor) -> Tensor:
    return q.loc - q.scale * (2 * u).log()


@above.register
def _(q: StudentT, x: Tensor) -> Tensor:
    return special.stdtr(q.df, (q.loc - x) / q.scale)


def _student_quantile(df: Tensor, u: Tensor) -> Tensor:
    """Of the lower tail; far out, where SciPy's search fails, by the power that the density has become."""
    log_norm = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (df * math.pi).log()
    far = (log_norm + 0.5 * (df + 1) * df.log() - df.log() - u.log()) / df
    value = scipy_elementwise(scipy.special.stdtrit, *torch.broadcast_tensors(df, u))  # type: ignore[no-untyped-call]
    return torch.where(far > 18.0 + df.log(), -far.clamp_max(345.0).exp(), value)


@lower_quantile.register
def _(q: StudentT, u: Tensor) -> Tensor:
    return q.loc + q.scale * _student_quantile(q.df, u)


@upper_quantile.register
def _(q: StudentT, u: Tensor) -> Tensor:
    return q.loc - q.scale * _student_quantile(q.df, u)


@below.register
def _(q: Cauchy, x: Tensor) -> Tensor:
    return torch.atan2(torch.ones_like(x), (q.loc - x) / q.scale) / math.pi


@above.register
def _(q: Cauchy, x: Tensor) -> Tensor:
    return torch.atan2(torch.ones_like(x), (x - q.loc) / q.scale) / math.pi


@lower_quantile.register
def _(q: Cauchy, u: Tensor) -> Tensor:
    return q.loc - q.scale / torch.tan(math.pi * u)


@upper_quantile.register
def _(q: Cauchy, u: Tensor) -> Tensor:
    return q.loc + q.scale / torch.tan(math.pi * u)


@below.register
def _(q: Exponential, x: Tensor) -> Tensor:
    return -torch.expm1(-q.rate * x.clamp_min(0.0))


@above.register
def _(q: Exponential, x: Tensor) -> Tensor:
    return torch.exp(-q.rate * x.clamp_min(0.0))


@lower_quantile.register
def _(q: Exponential, u: Tensor) -> Tensor:
    return -torch.log1p(-u) / q.rate


@upper_quantile.register
def _(q: Exponential, u: Tensor) -> Tensor:
    return -u.log() / q.rate


@below.register
def _(q: Uniform, x: Tensor) -> Tensor:
    return ((x - q.low) / (q.high - q.low)).clamp(0.0, 1.0)


@above.register
def _(q: Uniform, x: Tensor) -> Tensor:
    return ((q.high - x) / (q.high - q.low)).clamp(0.0, 1.0)


@lower_quantile.register
def _(q: Uniform, u: Tensor) -> Tensor:
    return q.low + u * (q.high - q.low)


@upper_quantile.register
def _(q: Uniform, u: Tensor) -> Tensor:
    return q.high - u * (q.high - q.low)


def _valued(value: Tensor, differentiable: Tensor) -> Tensor:
    """``value`` with the gradient of ``differentiable``."""
    return value + (differentiable - differentiable.detach())


@above.register
def _(q: Gamma, x: Tensor) -> Tensor:
    x = x.clamp_min(0.0)
    value = scipy_elementwise(scipy.special.gammaincc, *torch.broadcast_tensors(q.concentration, q.rate * x))  # type: ignore[no-untyped-call]
    return _valued(value, -below(q, x))


@lower_quantile.register
def _(q: Gamma, u: Tensor) -> Tensor:
    return scipy_elementwise(scipy.special.gammaincinv, q.concentration, u) / q.rate


@upper_quantile.register
def _(q: Gamma, u: Tensor) -> Tensor:
    return scipy_elementwise(scipy.special.gammainccinv, q.concentration, u) / q.rate


@above.register
def _(q: Beta, x: Tensor) -> Tensor:
    return special.betainc(q.concentration0, q.concentration1, 1 - x)


@lower_quantile.register
def _(q: Beta, u: Tensor) -> Tensor:
    return scipy_elementwise(scipy.special.betaincinv, q.concentration1, q.concentration0, u)


@upper_quantile.register
def _(q: Beta, u: Tensor) -> Tensor:
    return 1 - scipy_elementwise(scipy.special.betaincinv, q.concentration0, q.concentration1, u)


@below.register
def _(q: HalfNormal, x: Tensor) -> Tensor:
    return torch.erf(x.clamp_min(0.0) / (q.scale * math.sqrt(2.0)))


@above.register
def _(q: HalfNormal, x: Tensor) -> Tensor:
    return torch.erfc(x.clamp_min(0.0) / (q.scale * math.sqrt(2.0)))


@upper_quantile.register
def _(q: HalfNormal, u: Tensor) -> Tensor:
    z: Tensor = torch.special.ndtri(u / 2)
    return -q.scale * z


@below.register
def _(q: HalfCauchy, x: Tensor) -> Tensor:
    return torch.atan(x.clamp_min(0.0) / q.scale) * (2 / math.pi)


@above.register
def _(q: HalfCauchy, x: Tensor) -> Tensor:
    return torch.atan2(torch.ones_like(x), x.clamp_min(0.0) / q.scale) * (2 / math.pi)


@upper_quantile.register
def _(q: HalfCauchy, u: Tensor) -> Tensor:
    return q.scale / torch.tan(math.pi / 2 * u)


# Of counts the tails are continued smoothly between whole numbers, so that long sums can be integrals.


@below.register
def _(q: Poisson, x: Tensor) -> Tensor:
    k, rate = torch.broadcast_tensors(x.clamp_min(0.0) + 1, q.rate)  # type: ignore[no-untyped-call]
    value = scipy_elementwise(scipy.special.gammaincc, k, rate)
    return torch.where(x >= 0, _valued(value, -special.gammainc(k, rate)), 0.0)


@above.register
def _(q: Poisson, x: Tensor) -> Tensor:
    return torch.where(x >= 0, special.gammainc(x.clamp_min(0.0) + 1, q.rate), 1.0)


@below.register
def _(q: NegativeBinomial, x: Tensor) -> Tensor:
    value = special.betainc(q.total_count, x.clamp_min(0.0) + 1, torch.sigmoid(-q.logits))
    return torch.where(x >= 0, value, 0.0)


@above.register
def _(q: NegativeBinomial, x: Tensor) -> Tensor:
    value = special.betainc(x.clamp_min(0.0) + 1, q.total_count, torch.sigmoid(q.logits))
    return torch.where(x >= 0, value, 1.0)


@below.register
def _(q: Binomial, x: Tensor) -> Tensor:
    left = (q.total_count - x).clamp_min(0.5)
    value = special.betainc(left, x.clamp_min(0.0) + 1, torch.sigmoid(-q.logits))
    return torch.where(x < 0, 0.0, torch.where(x >= q.total_count, 1.0, value))


@above.register
def _(q: Binomial, x: Tensor) -> Tensor:
    left = (q.total_count - x).clamp_min(0.5)
    value = special.betainc(x.clamp_min(0.0) + 1, left, torch.sigmoid(q.logits))
    return torch.where(x < 0, 1.0, torch.where(x >= q.total_count, 0.0, value))


@below.register
def _(q: Geometric, x: Tensor) -> Tensor:
    return -torch.expm1((x + 1).clamp_min(0.0) * logsigmoid(-q.logits))


@above.register
def _(q: Geometric, x: Tensor) -> Tensor:
    return torch.exp((x + 1).clamp_min(0.0) * logsigmoid(-q.logits))


@above.register
def _(q: Bernoulli, x: Tensor) -> Tensor:
    return torch.where(x < 0, 1.0, torch.where(x < 1, torch.sigmoid(q.logits), 0.0))


def _increasing(q: TransformedDistribution) -> bool:
    sign = 1
    for transform in q.transforms:
        step = transform.sign
        sign = sign * (step if isinstance(step, int) else int(torch.as_tensor(step).flatten()[0].item()))
    return sign > 0


def _back(q: TransformedDistribution, x: Tensor) -> Tensor:
    for transform in reversed(q.transforms):
        x = transform.inv(x)
    return x


def _onward(q: TransformedDistribution, x: Tensor) -> Tensor:
    for transform in q.transforms:
        x = transform(x)
    return x


@below.register
def _(q: TransformedDistribution, x: Tensor) -> Tensor:
    value = (below if _increasing(q) else above)(q.base_dist, _back(q, _held(q, x)))
    return _inside(q, x, value)


@above.register
def _(q: TransformedDistribution, x: Tensor) -> Tensor:
    value = (above if _increasing(q) else below)(q.base_dist, _back(q, _held(q, x)))
    return _inside(q, x, value, upper=True)


def _held(q: Distribution, x: Tensor) -> Tensor:
    """``x`` where it is inside the support, else a point that is."""
    low, high = ends(q)
    return torch.where((x > low) & (x < high), x, _somewhere(q, x))


@lower_quantile.register
def _(q: TransformedDistribution, u: Tensor) -> Tensor:
    return _onward(q, (lower_quantile if _increasing(q) else upper_quantile)(q.base_dist, u))


@upper_quantile.register
def _(q: TransformedDistribution, u: Tensor) -> Tensor:
    return _onward(q, (upper_quantile if _increasing(q) else lower_quantile)(q.base_dist, u))


# Mixtures -------------------------------------------------------------------------------------------------------------


def tail(q: Distribution, x: Tensor, *, upper: bool) -> Tensor:
    """P(Y > x) if ``upper``, else P(Y ≤ x), of a mixture from its components'."""
    of = above if upper else below
    if not mixed(q):
        return of(q, x)
    each = torch.stack([of(part, x) for part in components(q)], -1)
    return (each * weights(q)).sum(-1)


def tail_quantile(q: Distribution, u: Tensor, *, upper: bool) -> Tensor:
    """The x whose lower or upper tail is u; of a mixture it lies between those of its components."""
    of = upper_quantile if upper else lower_quantile
    if not mixed(q):
        return of(q, u)
    each = torch.stack([of(part, u) for part in components(q)])
    low, high = each.amin(0), each.amax(0)
    return _bisect(lambda x: (tail(q, x, upper=True) > u) if upper else (tail(q, x, upper=False) < u), low, high)


def _bisect(short: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, steps: int = 80) -> Tensor:
    """Where ``short`` turns from true to false between ``low`` and ``high``."""
    for _ in range(steps):
        middle = 0.5 * low + 0.5 * high
        before = short(middle)
        low, high = torch.where(before, middle, low), torch.where(before, high, middle)
    return high


def apart(p: Distribution, q: Distribution, x: Tensor) -> Tensor:
    """The difference of both distribution functions at x, from the tails that have digits."""
    under, its = tail(p, x, upper=False), tail(q, x, upper=False)
    over = tail(q, x, upper=True) - tail(p, x, upper=True)
    return torch.where(under + its < 1, under - its, over)


def quantile(q: Distribution, u: Tensor, upper: Tensor) -> Tensor:
    """Quantiles of tails ``u``, upper ones where ``upper``; differentiable in the parameters, as −∂F / density."""
    with torch.no_grad():
        x = torch.where(upper, tail_quantile(q, u, upper=True), tail_quantile(q, u, upper=False))
    if not torch.is_grad_enabled() or isinstance(q, Empirical):
        return x
    under, over = tail(q, x, upper=False), tail(q, x, upper=True)
    moved = torch.where(upper, over - over.detach(), under.detach() - under)
    return x + moved / log_density(q, x).exp().detach().clamp_min(TINY)


def infinite_variance(q: Distribution) -> bool:
    """Whether a variance of ``q`` is infinite, or there is none."""
    return not isinstance(q, Empirical) and not bool(q.variance.isfinite().all())


class Empirical(Distribution):
    """Samples of a number as a distribution: each of the same mass.

    Args:
        samples: (n,) or (n, 1).
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real

    def __init__(self, samples: Tensor) -> None:
        super().__init__(validate_args=False)
        self.samples = samples.flatten().double().sort().values

    def expand(self, batch_shape: Any, _instance: Any = None) -> Empirical:
        if torch.Size(batch_shape):
            raise NotImplementedError("samples have no batch shape")
        return self

    @property
    def mean(self) -> Tensor:
        """Of the samples."""
        return self.samples.mean()


@below.register
def _(q: Empirical, x: Tensor) -> Tensor:
    return torch.searchsorted(q.samples, x.contiguous(), right=True).double() / len(q.samples)


def _ranked(q: Empirical, level: Tensor) -> Tensor:
    return q.samples[level.ceil().long().clamp(1, len(q.samples)) - 1]


@lower_quantile.register
def _(q: Empirical, u: Tensor) -> Tensor:
    return _ranked(q, u * len(q.samples))


@upper_quantile.register
def _(q: Empirical, u: Tensor) -> Tensor:
    return _ranked(q, (1 - u) * len(q.samples))


@lower_quantile.register(Poisson)
@lower_quantile.register(NegativeBinomial)
@lower_quantile.register(Binomial)
@lower_quantile.register(Geometric)
def _(q: Distribution, u: Tensor) -> Tensor:
    low, high = _counted(q, u)
    return _bisect(lambda x: below(q, x) < u, low, high, 46)


@lower_quantile.register
def _(q: Bernoulli, u: Tensor) -> Tensor:
    return (u > torch.sigmoid(-q.logits)).double()


@upper_quantile.register
def _(q: Bernoulli, u: Tensor) -> Tensor:
    return (u < torch.sigmoid(q.logits)).double()


@upper_quantile.register(Poisson)
@upper_quantile.register(NegativeBinomial)
@upper_quantile.register(Binomial)
@upper_quantile.register(Geometric)
def _(q: Distribution, u: Tensor) -> Tensor:
    low, high = _counted(q, u)
    return _bisect(lambda x: above(q, x) > u, low, high, 46)


def _counted(q: Distribution, u: Tensor) -> tuple[Tensor, Tensor]:
    """Counts between which all quantiles of tails of 1e-300 lie."""
    low, high = torch.zeros_like(u), (q.mean + 40 * q.stddev + 10).expand(u.shape)
    for _ in range(20):
        high = torch.where(above(q, high) > 1e-300, 2 * high, high)
    return low, high


# Stretched ends -------------------------------------------------------------------------------------------------------


class Stretched(Distribution):
    """Y seen through log Y, or log Y / (1 − Y): the line in place of a half-line or an interval.

    Densities that are infinite at an end of their support have mass nearer to it than floating point can tell; here
    that end is far away. What is an integral of densities does not change with the coordinate.

    Args:
        q: over (0, ∞) or (0, 1), no mixture.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real

    def __init__(self, q: Distribution, *, both: bool) -> None:
        super().__init__(q.batch_shape, validate_args=False)
        self.q = q
        self.both = both

    @property
    def mean(self) -> Tensor:
        """Of the device and dtype that the distribution has; not the mean in this coordinate."""
        return self.q.mean

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density in this coordinate."""
        if isinstance(self.q, Beta):
            a, b = self.q.concentration1, self.q.concentration0
            return a * logsigmoid(value) + b * logsigmoid(-value) - special.lbeta(a, b)
        if isinstance(self.q, Gamma):
            a, rate = self.q.concentration, self.q.rate
            near = value.abs() < 600
            inside = torch.where(near, value, 0.0)
            far = a * (value + rate.log()) - (value + rate.log()).clamp_max(700.0).exp() - torch.lgamma(a)
            return torch.where(near, _log_poisson(a, rate * inside.exp()) + a.log(), far)
        if isinstance(self.q, LogNormal | LogitNormal):
            normal: Tensor = self.q.base_dist.log_prob(value)  # type: ignore[no-untyped-call]
            return normal
        # Densities without a spike have nothing to tell further out.
        inside = value.clamp(-700.0, 36.0 if self.both else 700.0)
        at = torch.sigmoid(inside) if self.both else inside.exp()
        slope = logsigmoid(inside) + logsigmoid(-inside) if self.both else inside
        return torch.where(value == inside, log_density(self.q, at) + slope, -math.inf)


def stretched(p: Distribution, q: Distribution) -> tuple[Distribution, Distribution]:
    """Both in a coordinate in which neither has an infinite density, where they are over one half-line or interval."""
    each = [*components(p), *components(q)]
    spans = {tuple(_same(end) for end in ends(part)) for part in each}
    spiked = any(isinstance(part, Gamma | Beta | LogitNormal) for part in each)
    if not spiked or spans not in ({(0.0, 1.0)}, {(0.0, math.inf)}):
        return p, q
    high = spans.pop()[1]
    return _stretched(p, both=high == 1.0), _stretched(q, both=high == 1.0)


def _same(end: Tensor | float) -> float:
    """An end as a number; not a number where it is not the same for all of a batch."""
    if not isinstance(end, Tensor):
        return float(end)
    first = end.flatten()[0]
    return first.item() if bool((end == first).all()) else math.nan


def _stretched(q: Distribution, *, both: bool) -> Distribution:
    return StretchedMixture(q, both=both) if mixed(q) else Stretched(q, both=both)


class StretchedMixture(Distribution):
    """A mixture of which every component is :class:`Stretched`."""

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real

    def __init__(self, q: Distribution, *, both: bool) -> None:
        super().__init__(q.batch_shape, validate_args=False)
        self.parts = [Stretched(part, both=both) for part in components(q)]
        self.probs = weights(q)


@components.register
def _(q: StretchedMixture) -> list[Distribution]:
    return list(q.parts)


@weights.register
def _(q: StretchedMixture) -> Tensor:
    return q.probs


def unstretched(q: Distribution, y: Tensor) -> Tensor:
    """The value at ``y`` in the coordinate of ``q``."""
    part = components(q)[0]
    if not isinstance(part, Stretched):
        return y
    return torch.sigmoid(y) if part.both else y.clamp_max(300.0).exp()


def _logarithm(q: Distribution, u: Tensor, *, upper: bool) -> Tensor:
    """The logarithm of a quantile, also where the quantile is nearer to 0 than floating point can tell."""
    value = (upper_quantile if upper else lower_quantile)(q, u).clamp_min(TINY).log()
    if not isinstance(q, Gamma | Beta) or upper:
        return value
    # Near 0 the distribution function is c x^a.
    if isinstance(q, Gamma):
        a, log_c = q.concentration, q.concentration * q.rate.log() - torch.lgamma(q.concentration + 1)
    else:
        a = q.concentration1
        log_c = -special.lbeta(a, q.concentration0) - a.log()
    near = (u.log() - log_c) / a
    return torch.where(value < -600, torch.minimum(near, value), value)


@lower_quantile.register
def _(q: Stretched, u: Tensor) -> Tensor:
    value = _logarithm(q.q, u, upper=False)
    return value - torch.log1p(-value.exp().clamp_max(1 - 1e-16)) if q.both else value


@upper_quantile.register
def _(q: Stretched, u: Tensor) -> Tensor:
    if not q.both:
        return _logarithm(q.q, u, upper=True)
    if isinstance(q.q, Beta):
        return -lower_quantile(Stretched(Beta(q.q.concentration0, q.q.concentration1, False), both=True), u)
    value = upper_quantile(q.q, u).clamp(TINY, 1 - 2.0**-53)
    return value.log() - torch.log1p(-value)
