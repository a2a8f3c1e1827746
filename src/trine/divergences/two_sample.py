r"""Divergences between two samples, as differentiable functions of both.

======================  =========================================================  =================================
function                what                                                       cost for n samples of k numbers
======================  =========================================================  =================================
``wasserstein_1d``      exact W_p, weights allowed                                 O(n log n)
``sliced_wasserstein``  W_p of projections, averaged                               O(projections · n (k + log n))
``sinkhorn``            entropic transport, without its bias on demand             O(iterations · n² k), memory O(n k)
``energy_distance``     2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖                          O(n log n), beyond 1-D O(n² k)
``mmd``                 squared maximum mean discrepancy of a kernel               O(n² k), memory O(n k)
======================  =========================================================  =================================

Samples are tensors, (n,) or (n, k), and (m,) or (m, k). What needs all pairs sees them a block of rows at a time; where
a gradient is asked for, a block is computed again in the backward pass instead of being kept. Values are exact for the
two samples at hand. As an estimate of the divergence between the distributions behind them a V-statistic is biased by
O(1/n), as are all Wasserstein distances; the U-statistics (``unbiased=True``) are not, and may be below zero.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trine.errors import ChoiceError

from ._ordered import energy_of_sorted_pair, matched, mean_difference, order_of, sorted_values, weighed

BLOCK = 1 << 20
"""Pairs that are seen at a time."""
KEPT = 1 << 24
"""Up to so many costs are kept between Sinkhorn's iterations instead of being computed in each."""
DIRECT = 32
"""Up to so many dimensions a distance is a sum of squared differences; beyond, a matrix product of centred samples."""

Kernel = Literal["rbf", "laplace", "imq"]


# One dimension ---------------------------------------------------------------------------------------------------


def wasserstein_1d(
    x: Tensor, y: Tensor, p: float = 1.0, x_weights: Tensor | None = None, y_weights: Tensor | None = None
) -> Tensor:
    r"""Exact W_p of samples of one number, (∫ |F⁻¹(u) − G⁻¹(u)|^p du)^(1/p), in the units of the samples.

    Of equal numbers of samples that is the mean distance of the sorted ones. A metric; its gradient over minibatches is
    biased (Bellemare et al., 2017).

    Args:
        x: (..., n). y: (..., m).
        p: at least 1; ``inf`` gives the largest distance.
        x_weights: (..., n), non-negative, of positive sum, by which they are divided; equal by default.
        y_weights: (..., m), likewise.

    Returns:
        (...): the leading dimensions, broadcast.

    Raises:
        ChoiceError: no samples, p below 1, weights of another shape, negative or all zero.
    """
    if not p >= 1:
        raise ChoiceError(f"p is {p}; the order of a Wasserstein distance is at least 1.")
    x, y = _numbers(x, y)
    amount: Tensor | None = None
    if x_weights is None and y_weights is None:
        x, y = sorted_values(x), sorted_values(y)
        if x.shape[-1] != y.shape[-1]:
            i, j, amount = matched(x.shape[-1], y.shape[-1], x.device)
            x, y = x.index_select(-1, i), y.index_select(-1, j)
    else:
        (x, of_x), (y, of_y) = _in_order(x, x_weights, "x_weights"), _in_order(y, y_weights, "y_weights")
        lead = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1], of_x.shape[:-1], of_y.shape[:-1])  # type: ignore[no-untyped-call]
        x, of_x, y, of_y = (value.expand(*lead, value.shape[-1]) for value in (x, of_x, y, of_y))
        i, j, amount = weighed(of_x, of_y)
        x, y = x.gather(-1, i), y.gather(-1, j)
    return _mean_power((x - y).abs(), p, amount)


def _mean_power(distance: Tensor, p: float, amount: Tensor | None) -> Tensor:
    """(Σ amount · distance^p)^(1/p) over the last dimension, in units of the largest distance: nothing overflows."""
    if amount is not None:
        amount = amount.to(distance.dtype)
        if p == math.inf:
            return torch.where(amount > 0, distance, 0.0).amax(-1)
    if p == 1:
        return distance.mean(-1) if amount is None else (amount * distance).sum(-1)
    largest = distance.detach().amax(-1, keepdim=True)
    if p == math.inf:
        return distance.amax(-1)
    part = (distance / torch.where(largest > 0, largest, 1.0)) ** p
    mean = part.mean(-1) if amount is None else (amount * part).sum(-1)
    # The root has no derivative at zero, where the distance has its minimum: its gradient is 0 there.
    none = mean == 0
    return torch.where(none, 0.0, largest.squeeze(-1) * torch.where(none, 1.0, mean) ** (1 / p))


def _in_order(values: Tensor, weights: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    """Values in increasing order and their weights beside them, in float64, of sum one."""
    if weights is None:
        weights = values.new_ones(values.shape[-1])
    if weights.shape[-1:] != values.shape[-1:]:
        raise ChoiceError(
            f"{name} has shape {tuple(weights.shape)} for samples of shape {tuple(values.shape)}; give one weight a sample."
        )
    total = weights.double().sum(-1, keepdim=True)
    if bool((weights < 0).any()) or not bool((total > 0).all()):
        raise ChoiceError(f"{name} has negative values or no positive one; weights are non-negative, of positive sum.")
    shape = torch.broadcast_shapes(values.shape, weights.shape)  # type: ignore[no-untyped-call]
    order = order_of(values).expand(shape)
    return values.expand(shape).gather(-1, order), (weights.double() / total).expand(shape).gather(-1, order)


def sliced_wasserstein(
    x: Tensor, y: Tensor, p: float = 2.0, projections: int = 64, generator: torch.Generator | None = None
) -> Tensor:
    r"""(mean over directions u of W_p(⟨u, x⟩, ⟨u, y⟩)^p)^(1/p), directions uniform on the sphere.

    Directions are drawn in orthogonal sets of up to k, which leaves the mean over the sphere unbiased and lowers its
    variance: where x is y shifted by d, ``projections`` a multiple of k give SW₂ = ‖d‖/√k exactly.

    Args:
        x: (n, k). y: (m, k). Samples of one number give the exact distance.
        p: at least 1, finite.
        projections: number of directions.
        generator: where they are drawn from, on the CPU; torch's default otherwise.

    Returns:
        A scalar in the units of the samples.

    Raises:
        ChoiceError: other shapes, p or ``projections`` out of range.

    References:
        Rabin et al., `Wasserstein Barycenter and its Application to Texture Mixing`, 2011. Rowland et al., `Orthogonal
        Estimation of Wasserstein Distances`, 2019.
    """
    if not 1 <= p < math.inf or projections < 1:
        raise ChoiceError(f"p is {p} and projections {projections}; both are at least 1, and p is finite.")
    x, y = _vectors(x, y)
    if x.shape[1] == 1:
        return wasserstein_1d(x.squeeze(1), y.squeeze(1), p)
    directions = _directions(x.shape[1], projections, generator).to(x)
    # One direction a row: rows are sorted.
    each = wasserstein_1d(directions @ x.mT, directions @ y.mT, p)
    return _mean_power(each, p, None)


def _directions(k: int, count: int, generator: torch.Generator | None) -> Tensor:
    """(count, k) unit vectors, each uniform on the sphere, orthogonal within sets of k."""
    sets = -(-count // k)
    noise = torch.randn(sets, k, min(k, count), generator=generator, dtype=torch.float64)
    # The sign that makes the triangular factor's diagonal positive makes the orthogonal one uniform (Mezzadri, 2007).
    orthogonal, triangular = torch.linalg.qr(noise)
    orthogonal = orthogonal * triangular.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    directions: Tensor = orthogonal.mT.reshape(-1, k)[:count]
    return directions


# All pairs ---------------------------------------------------------------------------------------------------------


def energy_distance(x: Tensor, y: Tensor, unbiased: bool = False) -> Tensor:
    r"""2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖; in one dimension 2 ∫ (F − G)², twice Cramér's distance.

    SciPy's ``energy_distance`` is its square root, which is a metric. Its U-statistic has unbiased gradients.

    Args:
        x: (n,) or (n, k). y: (m,) or (m, k).
        unbiased: leave the pairs of a sample with itself out of the means (U-statistic); values may be below zero.

    Returns:
        A scalar in the units of the samples.

    Raises:
        ChoiceError: other shapes, or fewer than two samples for the U-statistic.

    References:
        Székely and Rizzo, `Energy Statistics`, 2013.
    """
    x, y = _vectors(x, y)
    _enough(x, y, unbiased)
    n, m = len(x), len(y)
    if x.shape[1] == 1:
        x, y = x.squeeze(1), y.squeeze(1)
        value = energy_of_sorted_pair(x, y)
        return value - mean_difference(x) / (n - 1) - mean_difference(y) / (m - 1) if unbiased else value
    x, y = _centred(x, y)
    within_x, within_y = _mean_of_pairs(x, x, _euclidean), _mean_of_pairs(y, y, _euclidean)
    if unbiased:
        within_x, within_y = within_x * (n / (n - 1)), within_y * (m / (m - 1))
    return (2 * _mean_of_pairs(x, y, _euclidean) - within_x - within_y).to(x.dtype)


def mmd(
    x: Tensor,
    y: Tensor,
    bandwidth: float | Sequence[float] | None = None,
    kernel: Kernel = "rbf",
    unbiased: bool = True,
) -> Tensor:
    r"""Squared maximum mean discrepancy, E k(X, X') + E k(Y, Y') − 2 E k(X, Y).

    Args:
        x: (n,) or (n, k). y: (m,) or (m, k).
        bandwidth: σ > 0 in the units of the samples; of several the kernels' mean is taken. By default the median
            distance within both samples together (of at most 1024 of them, evenly spaced in their order), which has no
            gradient.
        kernel: ``rbf`` exp(−d²/2σ²), ``laplace`` exp(−d/σ), ``imq`` 1/√(1 + d²/2σ²), whose tail is heavy.
        unbiased: the U-statistic, without the pairs of a sample with itself; it may be below zero. Else the V-statistic.

    Returns:
        A scalar, at most 2. Its root is a metric between distributions, for every one of these kernels.

    Raises:
        ChoiceError: other shapes, an unknown kernel, a bandwidth that is not positive, or fewer than two samples for the
            U-statistic.

    References:
        Gretton et al., `A Kernel Two-Sample Test`, 2012.
    """
    x, y = _centred(*_vectors(x, y))
    _enough(x, y, unbiased)
    if kernel not in _KERNELS:
        raise ChoiceError(f"kernel is {kernel!r}; choose one of {', '.join(_KERNELS)}.")
    given = _median_distance(x, y) if bandwidth is None else bandwidth
    widths = list(given) if isinstance(given, Sequence) else [given]
    if not widths or not all(width > 0 for width in widths):
        raise ChoiceError(f"bandwidth is {bandwidth}; give one positive number, or several.")
    shape = _KERNELS[kernel]

    def k(a: Tensor, b: Tensor) -> Tensor:
        distance = _euclidean(a, b)
        return sum((shape(distance / width) for width in widths), distance.new_zeros(())) / len(widths)

    n, m = len(x), len(y)
    within_x, within_y = _mean_of_pairs(x, x, k), _mean_of_pairs(y, y, k)
    if unbiased:  # a sample's kernel with itself is 1
        within_x, within_y = (within_x * n - 1) / (n - 1), (within_y * m - 1) / (m - 1)
    return (within_x + within_y - 2 * _mean_of_pairs(x, y, k)).to(x.dtype)


_KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "rbf": lambda d: torch.exp(-0.5 * d * d),
    "laplace": lambda d: torch.exp(-d),
    "imq": lambda d: torch.rsqrt(1 + 0.5 * d * d),
}


@torch.no_grad()
def _median_distance(x: Tensor, y: Tensor) -> float:
    both = torch.cat([x, y])
    some = both[:: -(-len(both) // 1024)]
    distances = torch.nn.functional.pdist(some)
    median = distances.median().item() if len(distances) else 0.0
    return median or float(distances.mean().item() if len(distances) else 0.0) or 1.0


# Entropic transport ------------------------------------------------------------------------------------------------


def sinkhorn(
    x: Tensor,
    y: Tensor,
    epsilon: float | None = None,
    p: float = 2.0,
    debiased: bool = True,
    iterations: int = 500,
    tolerance: float = 1e-4,
) -> Tensor:
    r"""Entropic optimal transport, in the log domain.

    .. math:: OT_\epsilon(x, y) = \min_P \langle P, C \rangle + \epsilon KL(P \| 1/n \otimes 1/m),
              \qquad C_{ij} = \|x_i - y_j\|^p

    Debiased it is OT_ε(x, y) − ½ OT_ε(x, x) − ½ OT_ε(y, y) (Feydy et al., 2019), which is zero between equal samples,
    else above, and lies between W_p^p (ε → 0) and, for p = 1, half the energy distance (ε → ∞).

    The value is that of the semi-dual problem at the potentials found, so never above the optimum of OT_ε; the gradient
    is that of C under the plan found, without one through the iterations. ε falls from the largest cost to its value by
    halves (ε-scaling), which is what makes small ε affordable.

    Args:
        x: (n,) or (n, k). y: (m,) or (m, k).
        epsilon: in the units of C, positive; by default a twentieth of the mean cost between x and y.
        p: exponent of the cost, positive.
        debiased: whether the two terms within a sample are taken off.
        iterations: most of them at the last ε.
        tolerance: they end when the plan's marginals are wrong by less than this share in all.

    Returns:
        A scalar in the units of C.

    Raises:
        ChoiceError: other shapes, ``epsilon``, ``p``, ``iterations`` or ``tolerance`` not positive.

    Warns:
        RuntimeWarning: the marginals are still wrong by more than ``tolerance`` after the last iteration.

    References:
        Cuturi, `Sinkhorn Distances`, 2013. Feydy et al., `Interpolating between Optimal Transport and MMD using Sinkhorn
        Divergences`, 2019.
    """
    if (epsilon is not None and not epsilon > 0) or not p > 0 or iterations < 1 or not tolerance > 0:
        raise ChoiceError(
            f"epsilon is {epsilon}, p {p}, iterations {iterations}, tolerance {tolerance}; all of them are positive."
        )
    x, y = _centred(*_vectors(x, y))

    def cost(a: Tensor, b: Tensor) -> Tensor:
        distance = _euclidean(a, b)
        return distance if p == 1 else distance * distance if p == 2 else distance**p

    if epsilon is None:
        with torch.no_grad():
            epsilon = 0.05 * _mean_of_pairs(x, y, cost).item()
        if epsilon == 0:  # all samples are one point
            return _mean_of_pairs(x, y, cost).to(x.dtype)
    value = _entropic(x, y, cost, epsilon, iterations, tolerance, symmetric=False)
    if not debiased:
        return value
    within_x = _entropic(x, x, cost, epsilon, iterations, tolerance, symmetric=True)
    within_y = _entropic(y, y, cost, epsilon, iterations, tolerance, symmetric=True)
    return value - 0.5 * (within_x + within_y)


def _entropic(
    x: Tensor,
    y: Tensor,
    cost: Callable[[Tensor, Tensor], Tensor],
    epsilon: float,
    iterations: int,
    tolerance: float,
    symmetric: bool,
) -> Tensor:
    """OT_ε(x, y); where both are one sample the two potentials are one, found by averaging it with its own update."""
    with torch.no_grad():
        kept = cost(x, y) if len(x) * len(y) <= KEPT else None

        def update(potential: Tensor, at: float, rows: bool) -> Tensor:
            """The best potential of x (rows) or y, given the other's."""
            if kept is not None:
                return _soft_least(kept if rows else kept.mT, potential, at)
            a, b = (x, y) if rows else (y, x)
            return _by_blocks(a, b, lambda part, whole: _soft_least(cost(part, whole), potential, at))

        largest = _largest(x, y, cost, kept)
        at = max(epsilon, largest)
        # Exponents are known to the rounding of the largest cost: less error than that cannot be asked for.
        tolerance = max(tolerance, 4 * torch.finfo(x.dtype).eps * largest / epsilon)
        g = x.new_zeros(len(y))
        done, error = 0, math.inf
        while done < iterations:
            f = update(g, at, True)
            new = 0.5 * (f + g) if symmetric else update(f, at, False)
            if at > epsilon:
                g, at = new, max(0.5 * at, epsilon)
                continue
            # The plan of f and the old g has the right sum over y; over x, it is wrong by e^((g − new)/ε).
            error = torch.expm1(((f - g if symmetric else g - new) / at).clamp_max(80.0)).abs().mean().item()
            g, done = new, done + 1
            if error <= tolerance:
                break
        if not error <= tolerance:
            warnings.warn(
                f"Sinkhorn's iteration ends after {iterations} steps at epsilon {epsilon:.3g} with marginals wrong by "
                f"{error:.2g}; the value is a lower bound. Raise epsilon or iterations.",
                RuntimeWarning,
                stacklevel=4,
            )
    f = _by_blocks(x, y, lambda part, whole: _soft_least(cost(part, whole), g, epsilon))
    return f.mean() + g.mean()


def _soft_least(cost: Tensor, potential: Tensor, epsilon: float) -> Tensor:
    """−ε log mean over columns of exp((potential − cost)/ε), (rows,)."""
    return -epsilon * (((potential - cost) / epsilon).logsumexp(-1) - math.log(cost.shape[-1]))


def _largest(x: Tensor, y: Tensor, cost: Callable[[Tensor, Tensor], Tensor], kept: Tensor | None) -> float:
    if kept is not None:
        return kept.max().item()
    corner = torch.stack([torch.maximum(x.amax(0), y.amax(0)), torch.minimum(x.amin(0), y.amin(0))])
    return cost(corner[:1], corner[1:]).item()


# Shared ------------------------------------------------------------------------------------------------------------


def _mean_of_pairs(x: Tensor, y: Tensor, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Mean of ``function`` over all pairs of rows, a block of rows of x at a time, in float64: means are subtracted."""
    sums = _by_blocks(x, y, lambda part, whole: function(part, whole).sum(1))
    return sums.double().sum() / (len(x) * len(y))


def _by_blocks(x: Tensor, y: Tensor, rows: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """``rows(part of x, y)``, (rows of the part,), for all parts; a part is computed again for its gradient."""
    size = max(1, BLOCK // len(y))
    if len(x) <= size:
        return rows(x, y)
    again = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    parts: list[Tensor] = [
        checkpoint(rows, part, y, use_reentrant=False) if again else rows(part, y) for part in torch.split(x, size)
    ]
    return torch.cat(parts)


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖, with the gradient 0 where it is 0."""
    mode = "donot_use_mm_for_euclid_dist" if a.shape[1] <= DIRECT else "use_mm_for_euclid_dist"
    return torch.cdist(a, b, compute_mode=mode)


def _centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both samples less one point in their midst, so that a matrix product of them keeps its digits."""
    middle = y.detach().mean(0)
    return x - middle, y - middle


def _numbers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two samples of numbers in one floating-point type, none of them empty."""
    dtype = torch.promote_types(x.dtype, y.dtype)
    if not dtype.is_floating_point:
        dtype = torch.get_default_dtype()
    if x.dim() == 0 or y.dim() == 0 or x.shape[-1] == 0 or y.shape[-1] == 0 or x.is_complex() or y.is_complex():
        raise ChoiceError(
            f"Samples of shapes {tuple(x.shape)} and {tuple(y.shape)} cannot be compared; give at least one number each."
        )
    return x.to(dtype), y.to(dtype)


def _vectors(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two samples as (n, k) and (m, k)."""
    x, y = (value.unsqueeze(-1) if value.dim() == 1 else value for value in _numbers(x, y))
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise ChoiceError(
            f"Samples of shapes {tuple(x.shape)} and {tuple(y.shape)} cannot be compared; give (n, k) and (m, k), one "
            "sample a row, of the same k."
        )
    return x, y


def _enough(x: Tensor, y: Tensor, unbiased: bool) -> None:
    if unbiased and min(len(x), len(y)) < 2:
        raise ChoiceError(
            f"{len(x)} and {len(y)} samples have no pairs within; the unbiased estimate needs 2 each. Choose unbiased=False."
        )
