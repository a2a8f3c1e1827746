"""Pearson's χ²: the mean squared relative difference of two densities."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from ._base import Statement, divergences
from ._densities import DensityDivergence, ratio
from ._overlap import log_overlap


@divergences.register("chi2")
class Chi2(DensityDivergence):
    r"""Pearson's χ² divergence of p from q, the prediction:

    .. math:: \chi^2(p \| q) = \int \frac{(p - q)^2}{q}

    Not symmetric, not a metric; infinite where q has lighter tails than √q's rule allows, for two normals where q's
    variance is at most half of p's. KL ≤ log(1 + χ²) ≤ χ². In closed form where Hellinger's distance is.

    References:
        Pearson, `On the Criterion that a Given System of Deviations …`, 1900.
    """

    title = "Pearson's χ²"
    formula = "χ²({p} ‖ {q}) = ∫ ({p} − {q})² / {q}"
    statement = Statement("densities; masses", symmetric=False, metric="no", finite_on_disjoint=False, unbiased=False)

    def closed(self, p: Distribution, q: Distribution) -> Tensor | None:
        value = log_overlap(p, q, 2.0)
        return None if value is None else torch.expm1(value.clamp_min(0.0))

    def integrand(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        r = ratio(log_p, log_q)
        near = r.abs() < 1
        close = log_q.exp() * torch.expm1(-torch.where(near, r, 0.0)) ** 2
        impossible = torch.isneginf(log_q) & (log_p.exp() > 0)
        a = torch.where(near | torch.isneginf(log_q), -math.inf, 2 * log_p - log_q)
        far = a.exp() - 2 * log_p.exp() + log_q.exp()
        return torch.where(impossible, math.inf, torch.where(near, close, far.clamp_min(0.0)))

    def factors(self, each: Tensor, dimensions: tuple[int, ...]) -> Tensor | None:
        return torch.expm1(torch.log1p(each).sum(dimensions))
