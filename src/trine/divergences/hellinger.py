"""Hellinger: the squared distance of the roots of two densities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from ._base import Statement, divergences
from ._densities import DensityDivergence, larger, ratio
from ._overlap import log_overlap


@divergences.register("hellinger")
class Hellinger(DensityDivergence):
    r"""Squared Hellinger distance, in [0, 1]:

    .. math:: H^2(p, q) = \tfrac12 \int (\sqrt p - \sqrt q)^2 = 1 - \int \sqrt{p q}

    Symmetric; its root is a metric; 1 on disjoint supports. H² ≤ TV ≤ H √2. In closed form between two normals, of
    vectors too, exponentials, gammas, betas, log-normals or Poissons.

    References:
        Le Cam and Yang, `Asymptotics in Statistics`, 2000, chapter 3.
    """

    title = "Hellinger's distance"
    formula = "H²({p}, {q}) = ½ ∫ (√{p} − √{q})²"
    statement = Statement("densities; masses", symmetric=True, metric="root", finite_on_disjoint=True, unbiased=False)

    def closed(self, p: Distribution, q: Distribution) -> Tensor | None:
        value = log_overlap(p, q, 0.5)
        return None if value is None else -torch.expm1(value.clamp_max(0.0))

    def integrand(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        half = torch.expm1(-0.5 * ratio(log_p, log_q).abs().clamp_max(1400.0))
        return 0.5 * larger(log_p, log_q) * half * half

    def factors(self, each: Tensor, dimensions: tuple[int, ...]) -> Tensor | None:
        return -torch.expm1(torch.log1p(-each).sum(dimensions))
