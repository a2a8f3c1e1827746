"""Maximum mean discrepancy: the distance of two distributions' means in the space of a kernel."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from trine.errors import ChoiceError

from . import line
from ._base import Divergence, Estimate, Statement, Value, check_shapes, divergences, over_members, refused
from ._between import Panels, counts, panels_of, quadrature
from ._densities import dtype_of, exact, kinds, log_masses
from ._pairs import Pairs
from .two_sample import mmd

means = Pairs()
"""(family, family) → E k(X, Y) of the normal kernel as a function of (p, q, bandwidth); open by ``means.register``."""

MOST_NODES = 6000
"""Of a double integral or sum."""
ROWS = 256
"""Of its kernel that are in memory at a time."""


@divergences.register("mmd")
class MMD(Divergence):
    r"""Squared maximum mean discrepancy under the normal kernel k(x, y) = exp(−‖x − y‖² / 2 h²), in [0, 2]:

    .. math:: \mathrm{MMD}^2(p, q) = \sup_{\|f\|_k \le 1} (E f(X) - E f(Y))^2 = E k(X, X') + E k(Y, Y') - 2 E k(X, Y)

    Its root is a metric; finite on disjoint supports, where it tells near from far up to a few bandwidths. Its minibatch
    gradient is unbiased. Over categories k is 1{i = j}. In closed form between normals and mixtures of them, of vectors
    too; else by quadrature, a sum or Monte Carlo.

    At a data point it is the kernel score ½ − E k(Y, y) + ½ E k(Y, Y'), proper, half of the expected MMD² up to what no
    parameter changes: in closed form for a normal and for categories, else by pairs of reparameterised samples.

    Args:
        bandwidth: h, in the units of the values; by default 1 at data points (encoded numbers have a scale of about 1),
            and the median distance of two draws of ½p + ½q between distributions and between samples (of each
            minibatch its own then; set it where gradients must be unbiased).
        samples: pairs of samples that estimate the kernel score where it has no closed form, without bias.

    Raises:
        ChoiceError: ``bandwidth`` is not above 0; ``samples`` below 1.

    References:
        Gretton et al., `A Kernel Two-Sample Test`, 2012. Gneiting and Raftery, 2007, section 5 (kernel scores).
    """

    unbiased = True
    formula = "MMD²(data, q)/2 = ½ − E k(Y, {t}) + ½ E k(Y, Y'), Y ~ q(· | {x}, θ), k(a, b) = exp(−(a − b)²/2h²)"
    statement = Statement(
        "data points; samples; numbers, counts, categories, vectors",
        symmetric=True,
        metric="root",
        finite_on_disjoint=True,
        unbiased=True,
    )

    def __init__(self, bandwidth: float | None = None, samples: int = 32) -> None:
        super().__init__()
        if bandwidth is not None and not (bandwidth > 0 and math.isfinite(bandwidth)):
            raise ChoiceError(f"bandwidth is {bandwidth}; the width of MMD's kernel is above 0.")
        if samples < 1:
            raise ChoiceError(f"samples is {samples}; the kernel score needs at least 1 pair.")
        self.bandwidth = bandwidth
        self.samples = samples

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if isinstance(predicted, Distribution) and isinstance(target, Tensor):
            check_shapes(predicted, target)
            return over_members(self._score(predicted, target))
        if isinstance(predicted, Distribution) and isinstance(target, Distribution):
            return over_members(self.compare(target, predicted, self.samples).value.to(dtype_of(predicted)))
        if isinstance(predicted, Tensor) and isinstance(target, Tensor):
            return mmd(predicted, target, self.bandwidth, unbiased=True).expand(len(predicted))
        reason = "samples are compared with samples. Draw samples of the target first."
        raise refused("MMD", predicted, target, reason)

    def compare(self, p: Value, q: Value, draws: int = 1024) -> Estimate:
        if isinstance(p, Tensor) and isinstance(q, Tensor):
            return Estimate(mmd(p, q, bandwidth=self.bandwidth, unbiased=False), None, "samples")
        if isinstance(p, Tensor) or isinstance(q, Tensor):
            reason = "one is known and the other sampled. Draw samples of the first, and compare two samples."
            raise refused("MMD", q, p, reason)
        p, q = exact(p), exact(q)
        kind = kinds("MMD", p, q)
        if kind == "categories":
            value = ((log_masses(p).exp() - log_masses(q).exp()) ** 2).sum(0)
            return Estimate(value, torch.zeros_like(value).detach(), "sum")
        h = torch.as_tensor(
            self.bandwidth or median_distance(p, q, kind), dtype=torch.float64, device=line.components(p)[0].mean.device
        )
        each = [mean_kernel(a, b, h) for a, b in ((p, p), (q, q), (p, q))]
        if each[0] is not None and each[1] is not None and each[2] is not None:
            return Estimate((each[0] + each[1] - 2 * each[2]).clamp_min(0.0), None, "closed form")
        if kind == "vector":
            return self._of_draws(p, q, h, draws)
        return self._on_line(p, q, h, kind)

    def _on_line(self, p: Distribution, q: Distribution, h: Tensor, kind: str) -> Estimate:
        """∬ (p − q) k (p − q) over the nodes of both densities, halved until the value stays."""
        if kind == "line":
            p, q = line.stretched(p, q)

        def both(x: Tensor) -> Tensor:
            return line.log_density(p, x).exp() + line.log_density(q, x).exp()

        def value(at: Tensor, weight: Tensor) -> Tensor:
            masses = line.log_density(p, at).exp() - line.log_density(q, at).exp()
            masses = torch.where(weight > 0, masses * weight, 0.0).movedim(0, -1)
            x = (line.unstretched(p, at) / h).movedim(0, -1).clamp(-1e150, 1e150)
            total = torch.zeros_like(masses[..., 0])
            for rows in torch.split(torch.arange(x.shape[-1]), ROWS):
                kernel = torch.exp(-0.5 * (x[..., rows].unsqueeze(-1) - x.unsqueeze(-2)) ** 2)
                total = total + ((kernel @ masses.unsqueeze(-1)).squeeze(-1) * masses[..., rows]).sum(-1)
            return total

        if kind == "counts":
            grid = counts(p, q, both)
            if grid.method != "sum" or len(grid.at) > MOST_NODES:
                reason = f"more than {MOST_NODES} counts matter. Choose cramer or wasserstein."
                raise refused("MMD", q, p, reason)
            total = value(grid.at, grid.weight)
            return Estimate(total, 1e-14 * torch.ones_like(total).detach(), "sum")
        panels = panels_of(p, q)
        grid = quadrature(both, panels)
        which = _heavy(grid.weight * both(grid.at))
        if len(which) > MOST_NODES:
            reason = "its densities are too rough for a double integral. Choose cramer or wasserstein."
            raise refused("MMD", q, p, reason)
        total = value(grid.at[which], grid.weight[which])
        with torch.no_grad():
            finer = quadrature(both, _halves(panels))
            also = _heavy(finer.weight * both(finer.at))
            error = (value(finer.at[also], finer.weight[also]) - total).abs() + 1e-15
        return Estimate(total.clamp_min(0.0), error, "quadrature")

    def _of_draws(self, p: Distribution, q: Distribution, h: Tensor, draws: int) -> Estimate:
        """By draws of two of each, without bias, with its standard error."""
        events = tuple(range(-len(p.event_shape), 0))
        h = h.reshape(*h.shape, *(1,) * len(events))

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            return torch.exp(-0.5 * ((a - b) / h).square().sum(events))

        def two(d: Distribution) -> tuple[Tensor, Tensor]:
            draw = d.rsample if d.has_rsample else d.sample
            return draw((draws,)), draw((draws,))

        (x, x_), (y, y_) = two(p), two(q)
        across = 0.5 * (kernel(x, y) + kernel(x, y_) + kernel(x_, y) + kernel(x_, y_))
        each = kernel(x, x_) + kernel(y, y_) - across
        return Estimate(each.mean(0), each.detach().std(0) / draws**0.5, f"Monte Carlo, {draws:,} draws")

    def _score(self, q: Distribution, y: Tensor) -> Tensor:
        if isinstance(q, Categorical):
            probs = q.logits.softmax(-1)
            at = probs.gather(-1, y.long().expand(q.batch_shape).unsqueeze(-1)).squeeze(-1)
            return 0.5 - at + 0.5 * (probs * probs).sum(-1)
        h = self.bandwidth or 1.0
        if isinstance(q, Bernoulli):
            return -math.expm1(-0.5 / h**2) * (torch.sigmoid(q.logits) - y) ** 2
        if isinstance(q, Normal):
            near = _normal_kernel(q.loc - y, q.scale**2, h)
            return 0.5 - near + 0.5 * _normal_kernel(torch.zeros_like(q.loc), 2 * q.scale**2, h)
        component = q.component_distribution if isinstance(q, MixtureSameFamily) else q
        if not component.has_rsample:
            what = "sequences or sets" if q.event_shape else "counts"
            instead = "kl" if q.event_shape else "cramer"
            reason = f"its values are {what}, which have no gradient of a sample. Choose divergence={instead}."
            raise refused("MMD", q, y, reason)
        return _score_of_draws(q, y, h, self.samples)

    def describe(self, predicted: str, target: str) -> str:
        """The kernel score for a field of the batch, MMD² for two outputs of the model."""
        side, _, column = target.partition(".")
        if side in ("x", "y"):
            return self.formula.format(p=predicted, t=column or side, x="x" if side == "y" else "z")
        return f"∬ ({predicted} − {target})(a) k(a, b) ({predicted} − {target})(b)"


def _heavy(mass: Tensor) -> Tensor:
    """The nodes with more mass than rounding leaves of 1."""
    found: Tensor = (mass.detach().reshape(len(mass), -1).amax(1) > 1e-18).nonzero().squeeze(1)
    return found


def _halves(panels: Panels) -> Panels:
    return panels.halved(torch.arange(len(panels.low)))


def _score_of_draws(q: Distribution, y: Tensor, h: float, samples: int) -> Tensor:
    """½ − E k(Y, y) + ½ E k(Y, Y') by pairs of draws; of a mixture every component is drawn, and weighed."""
    events = tuple(range(-len(q.event_shape), 0)) if q.event_shape else ()
    mixed = isinstance(q, MixtureSameFamily)
    source = q.component_distribution if isinstance(q, MixtureSameFamily) else q
    at = len(events)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        square = ((a - b) / h) ** 2
        return torch.exp(-0.5 * (square.sum(events) if events else square))

    first, second = source.rsample((samples,)), source.rsample((samples,))
    if not mixed:
        near = 0.5 * (kernel(first, y) + kernel(second, y))
        return (0.5 - near + 0.5 * kernel(first, second)).mean(0)
    assert isinstance(q, MixtureSameFamily)
    weight = q.mixture_distribution.probs
    y = y.unsqueeze(-at - 1)
    near = (weight * 0.5 * (kernel(first, y) + kernel(second, y))).sum(-1)
    apart = kernel(first.unsqueeze(-at - 1), second.unsqueeze(-at - 2))
    return (0.5 - near + 0.5 * (weight.unsqueeze(-1) * weight.unsqueeze(-2) * apart).sum((-2, -1))).mean(0)


@torch.no_grad()
def median_distance(p: Distribution, q: Distribution, kind: str) -> Tensor:
    """The median of |X − X'| for X, X' from ½p + ½q, of the batch shape: by quantiles on a line, by draws of vectors."""
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)  # type: ignore[no-untyped-call]
    if kind == "vector":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            x = torch.cat([d.expand(batch).sample((128,)) for d in (p, q)])
        x = x.reshape(len(x), *batch, -1)
        apart = torch.linalg.vector_norm(x.unsqueeze(0) - x.unsqueeze(1), dim=-1)
    else:
        levels = (torch.arange(64, dtype=torch.float64, device=line.components(p)[0].mean.device) + 0.5) / 64
        upper, shape = levels > 0.5, (-1, *(1,) * len(batch))
        u = torch.minimum(levels, 1 - levels).reshape(shape).expand(-1, *batch)
        x = torch.cat([line.quantile(d.expand(batch), u, upper.reshape(shape)) for d in (p, q)])
        x = x.ceil() if kind == "counts" else x
        apart = (x.unsqueeze(0) - x.unsqueeze(1)).abs()
    rows, columns = torch.triu_indices(len(apart), len(apart), 1)
    found = apart[rows, columns].median(0).values
    # More than half of the pairs the same: the mean distance then, and 1 where all are the same.
    found = torch.where(found > 0, found, apart.mean((0, 1)))
    return torch.where(found > 0, found, 1.0)


# E k(X, Y) ------------------------------------------------------------------------------------------------------------


def mean_kernel(p: Distribution, q: Distribution, h: Tensor) -> Tensor | None:
    """E k(X, Y) for independent X ~ p, Y ~ q, of the batch shape; None where no closed form is known."""
    return means.value(p, q, h)


def _normal_kernel(d: Tensor, variance: Tensor, h: Tensor | float) -> Tensor:
    """E exp(−(d + √variance Z)² / 2 h²)."""
    wide = 1 + variance / h**2
    return torch.exp(-0.5 * (d / h) ** 2 / wide) * wide.rsqrt()


@means.register(Normal, Normal)
def _(p: Normal, q: Normal, h: Tensor) -> Tensor:
    return _normal_kernel(p.loc - q.loc, p.scale**2 + q.scale**2, h)


@means.register(MultivariateNormal, MultivariateNormal)
def _(p: MultivariateNormal, q: MultivariateNormal, h: Tensor) -> Tensor:
    h = h[..., None, None]
    wide = (
        torch.eye(p.loc.shape[-1], dtype=p.loc.dtype, device=p.loc.device)
        + (p.covariance_matrix + q.covariance_matrix) / h**2
    )
    root = torch.linalg.cholesky(wide)
    z = torch.linalg.solve_triangular(root, ((p.loc - q.loc).unsqueeze(-1)) / h, upper=False)
    log_root = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return torch.exp(-0.5 * (z * z).sum((-2, -1)) - log_root)


@means.register(Independent, Independent)
def _(p: Independent[Any], q: Independent[Any], h: Tensor) -> Tensor | None:
    dims = p.reinterpreted_batch_ndims
    if dims != q.reinterpreted_batch_ndims or p.base_dist.event_shape:
        return None
    each = mean_kernel(p.base_dist, q.base_dist, h.reshape(*h.shape, *(1,) * dims))
    return None if each is None else each.log().sum(tuple(range(-dims, 0))).exp()


@means.register(MixtureSameFamily, MixtureSameFamily)
@means.register(MixtureSameFamily, Normal)
@means.register(Normal, MixtureSameFamily)
@means.register(MixtureSameFamily, MultivariateNormal)
@means.register(MultivariateNormal, MixtureSameFamily)
def _(p: Distribution, q: Distribution, h: Tensor) -> Tensor | None:
    parts = [line.components(d) for d in (p, q)]
    weights = [line.weights(d).unbind(-1) for d in (p, q)]
    total: Tensor | None = None
    for a, part in zip(weights[0], parts[0], strict=True):
        for b, other in zip(weights[1], parts[1], strict=True):
            each = mean_kernel(part, other, h)
            if each is None:
                return None
            total = a * b * each if total is None else total + a * b * each
    return total
