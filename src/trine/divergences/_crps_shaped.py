"""The CRPS of families with a shape: incomplete gamma and beta functions, in float64, with their slopes.

Values are SciPy's and NumPy's, on the CPU: PyTorch has not all of these functions, and on rows as few as a batch's a call of
its own costs twice as much. A slope in a location, a scale or a rate follows from the distribution function alone, for
∂CRPS/∂y = 2F(y) − 1. One in a shape a is the difference of the whole score at a and a (1 + 2e-7), which is exact to some
1e-14, so that the slope is to 1e-4 of its scale, for shapes up to 1e4; a second call on the other side would cost as much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, gammainc, gammaln, i0e, i1e

Array = npt.NDArray[np.float64]
Found = tuple[Array, Sequence[Array | None]]

STEP = 2.0**-22
WAYS = np.array([1.0, 1 + STEP])
TINY = float(np.finfo(np.float64).tiny)
LOG_PI = math.log(math.pi)
FEW = 48
"""Of fewer counts than this all masses are summed, which costs less than an incomplete beta function."""


def _around(shape: Array, wanted: bool, dims: int) -> Array:
    """The shape, and what lies next to it where its slope is wanted, along a new first dimension before ``dims`` others."""
    return _among(shape, WAYS if wanted else WAYS[:1], dims)


def _among(shape: Array, ways: Array, dims: int) -> Array:
    """``shape`` times each of ``ways``, along a new first dimension before ``dims`` others."""
    times: Array = shape.reshape((1,) * (1 + dims - shape.ndim) + shape.shape) * ways.reshape(-1, *(1,) * dims)
    return times


def _slope(values: Array, shape: Array) -> Array:
    """∂/∂shape of what was computed at :func:`_around`."""
    rise: Array = (values[1] - values[0]) / (STEP * shape)
    return rise


def student(wanted: list[bool], df: Array, loc: Array, scale: Array, y: Array) -> Found:
    """Scale times [z (2 T(z) − 1) + 2/(ν − 1) (t(z) (ν + z²) − √ν B(½, ν − ½) / B(½, ν/2)²)], z = (y − loc)/s."""
    z = (y - loc) / scale
    nu = _around(df, wanted[0], z.ndim)
    log_nu, log_half = np.log(nu), gammaln((nu + 1) / 2) - gammaln(nu / 2)
    # √ν B(½, ν − ½) / B(½, ν/2)², the beta functions written out.
    spread = np.exp(gammaln(nu - 0.5) - gammaln(nu) + 2 * log_half + 0.5 * (log_nu - LOG_PI))
    z2 = z * z
    ratio = z2 / nu
    density = np.exp((log_half + 0.5 * (log_nu - LOG_PI)) - (nu - 1) / 2 * np.log1p(ratio))  # t(z) (ν + z²)
    rest = (density - spread) * (2 / (nu - 1))
    # 2 T(z) − 1: an incomplete beta function, of the smaller of its two arguments where that keeps digits.
    lean = np.copysign(betainc(0.5, nu / 2, ratio / (1 + ratio)), z)
    values = z * lean + rest
    slopes = [_slope(values, df) * scale if wanted[0] else None, -lean[0], rest[0], lean[0]]
    return scale * values[0], slopes


def gamma(wanted: list[bool], concentration: Array, rate: Array, y: Array) -> Found:
    """[(x − a)(2 P(a, x) − 1) + 2a (P(a, x) − P(a + 1, x)) − 1/B(½, a)] / rate at x = rate · y."""
    x = rate * y
    inside = np.maximum(x, TINY)
    a = _around(concentration, wanted[0], x.ndim)
    log_a = gammaln(a)
    step = np.exp(a * np.log(inside) - inside - log_a)  # a (P(a, x) − P(a + 1, x))
    spread = np.exp(gammaln(a + 0.5) - log_a - 0.5 * LOG_PI)  # 1/B(½, a) = ½ E|X − X'|, with rate 1
    lean = 2 * gammainc(a, inside) - 1
    values = (x - a) * lean + 2 * step - spread
    value, lean = values[0] / rate, lean[0]
    return value, [_slope(values, concentration) / rate if wanted[0] else None, (y * lean - value) / rate, lean]


def beta(wanted: list[bool], concentration1: Array, concentration0: Array, y: Array) -> Found:
    """(y − m)(2 I_y(a, b) − 1) + 2m (I_y(a, b) − I_y(a + 1, b)) − 2m B(2a, 2b) / (a B(a, b)²), m = a/(a + b)."""
    dims = max(concentration1.ndim, concentration0.ndim, y.ndim)
    count = 3 if wanted[0] or wanted[1] else 1
    of_a, of_b = np.array([1.0, 1 + STEP, 1.0]), np.array([1.0, 1.0, 1 + STEP])
    a, b = _among(concentration1, of_a[:count], dims), _among(concentration0, of_b[:count], dims)
    x = np.clip(y, 1e-300, 1 - 1e-16)
    log_ab = gammaln(a) + gammaln(b) - gammaln(a + b)
    mean = a / (a + b)
    step = np.where((y > 0) & (y < 1), np.exp(a * np.log(x) + b * np.log1p(-x) - log_ab), 0.0)
    spread = np.exp(gammaln(2 * a) + gammaln(2 * b) - gammaln(2 * (a + b)) - 2 * log_ab)
    lean = 2 * betainc(a, b, np.clip(y, 0.0, 1.0)) - 1
    values = (y - mean) * lean + 2 * mean * (step - spread) / a
    if len(values) == 1:
        return values[0], [None, None, lean[0]]
    rise = (values[1:] - values[:1]) / STEP
    return values[0], [rise[0] / concentration1, rise[1] / concentration0, lean[0]]


def poisson(wanted: list[bool], rate: Array, y: Array) -> Found:
    """(y − λ)(2F(y) − 1) + λ (2 P(y) − e^(−2λ) (I₀(2λ) + I₁(2λ))); its slope in λ is 1 − 2F(y − 1) − e^(−2λ) I₀(2λ).

    For to add to λ is to add one to X with as much chance: ∂E g(X)/∂λ = E[g(X + 1) − g(X)].
    """
    at = np.exp(y * np.log(rate) - rate - gammaln(y + 1))
    lean = 1 - 2 * gammainc(y + 1, rate)
    zero = i0e(2 * rate)
    value = (y - rate) * lean + rate * (2 * at - zero - i1e(2 * rate))
    return value, [2 * at - lean - zero, lean]


def negative_binomial(wanted: list[bool], total: Array, logits: Array, y: Array) -> Found:
    """(y − μ)(2F(y) − 1) + 2μ (F_n(y) − F_{n+1}(y − 1)) − ½ E|X − X'|, with mean μ = n e^logits.

    In the odds θ = e^logits, ∂E g(X)/∂θ = n E[g(X' + 1) − g(X')] with X' of n + 1 for n.
    """
    odds = np.exp(logits)
    log_p = -np.logaddexp(0.0, logits)
    log_1p = logits + log_p
    half, in_total, in_logits = half_spread(total, log_p, log_1p)
    most = float(y.max(initial=0.0))
    if most < FEW and float((total * log_p).min(initial=0.0)) > -600:
        near, lean, step, rise = _by_running_sums(total, odds, log_p, log_1p, y, int(most) + 1)
        slope = rise - in_total if wanted[0] else None
    else:
        n = _around(total, wanted[0], max(total.ndim, logits.ndim, y.ndim))
        mean = n * odds
        steps = np.exp(n * log_p + y * log_1p + (gammaln(n + y + 1) - gammaln(n + 1) - gammaln(y + 1)))
        leans = 2 * betainc(n, y + 1, np.exp(log_p)) - 1
        values = (y - mean) * leans + 2 * mean * steps
        near, lean, step = values[0], leans[0], steps[0]
        slope = _slope(values, total) - in_total if wanted[0] else None
    below = lean - 2 * step  # 2 F_{n+1}(y − 1) − 1
    return near - half, [slope, -total * odds * below - in_logits, lean]


def _by_running_sums(
    total: Array, odds: Array, log_p: Array, log_1p: Array, y: Array, count: int
) -> tuple[Array, Array, Array, Array]:
    """E|X − y|, 2F(y) − 1, F_n(y) − F_{n+1}(y − 1), and the slope of the first in n, by the masses of counts below ``count``.

    The slope of a mass's logarithm in n is log p + Σ 1/(n + i) over i < k.
    """
    k = np.arange(1.0, count)
    n = total[..., None]
    shape = np.broadcast_shapes(total.shape, log_p.shape)
    mass = np.empty((*shape, count))
    mass[..., 0] = np.exp(total * log_p)
    np.multiply((n + (k - 1)) / k, np.exp(log_1p)[..., None], out=mass[..., 1:])
    np.cumprod(mass, axis=-1, out=mass)
    harmonic = np.zeros((*total.shape, count))
    np.cumsum(1 / (n + (k - 1)), axis=-1, out=harmonic[..., 1:])
    at = np.broadcast_to(y, np.broadcast_shapes(shape, y.shape)).astype(np.intp)[..., None]
    counted = mass * (np.arange(count) <= at)
    below = counted.sum(-1)
    last = np.take_along_axis(np.broadcast_to(mass, (*at.shape[:-1], count)), at, -1)[..., 0]
    passed = np.take_along_axis(np.broadcast_to(harmonic, (*at.shape[:-1], count)), at, -1)[..., 0]
    step = last * (total + y) / total
    mean, lean = total * odds, 2 * below - 1
    in_below = (counted * harmonic).sum(-1) + log_p * below
    in_step = step * (log_p + passed + 1 / (total + y) - 1 / total)
    rise = -odds * lean + 2 * (y - mean) * in_below + 2 * odds * step + 2 * mean * in_step
    return (y - mean) * lean + 2 * mean * step, lean, step, rise


def half_spread(total: Array, log_p: Array, log_1p: Array) -> tuple[Array, Array, Array]:
    """½ E|X − X'| of a negative binomial, n (1−p)/p² · ₂F₁(n + 1, ½; 2; −w) with w = 4 (1−p)/p²; slopes in n and logits.

    Euler's integral of ₂F₁, with s the tangent of its angle, is (4/π) ∫ (1 + s²)^(n−1) (1 + (1 + w) s²)^(−n−1) ds over
    s > 0: even in s, with its bend at about s₀ = 1/√(1 + (n + 1) w). In v, s = s₀ sinh v, the trapezoid rule converges
    exponentially, whatever the scale; past the bend the integrand falls at least as fast as e^(−(1 + 2n) v) or e^(−3v).
    """
    step, last = 0.27, 2 + 18 / min(3.0, 1 + 2 * float(total.min()))
    v = np.arange(0.0, last, step)
    weight: Array = step * np.cosh(v)
    weight[0] *= 0.5
    n, log_ratio = total[..., None], log_1p - 2 * log_p
    w = 4 * np.exp(np.minimum(log_ratio, 300.0))[..., None]  # beyond e^300 nothing changes but the factor in front
    bend2 = 1 / (1 + (n + 1) * w)
    s2 = bend2 * np.sinh(v) ** 2
    inverse = 1 / (1 + (1 + w) * s2)
    log_r = np.log((1 + s2) * inverse)
    integrand = np.exp((n - 1) * log_r)
    integrand *= inverse
    integrand *= inverse
    factor = (4 / math.pi) * total * np.exp(log_ratio) * np.sqrt(bend2[..., 0])
    value = factor * (integrand @ weight)
    in_total = factor * ((integrand * log_r) @ weight) + value / total
    # ∂w/∂logits = w (1 + 2θ)/(1 + θ) = w (2 − p), and so for the factor; under the integral −(n + 1) s²/(1 + u²).
    integrand *= s2
    integrand *= inverse
    in_logits = (2 - np.exp(log_p)) * (value - factor * ((n + 1) * w)[..., 0] * (integrand @ weight))
    return value, in_total, in_logits
