"""Jensen-Shannon between distributions: how far both are from their average."""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Statement, divergences
from ._densities import DensityDivergence, larger, ratio


@divergences.register("js")
class JS(DensityDivergence):
    r"""Jensen-Shannon divergence, in nats:

    .. math:: \mathrm{JS}(p, q) = \tfrac12 \mathrm{KL}(p \| m) + \tfrac12 \mathrm{KL}(q \| m), \quad m = (p + q) / 2

    Symmetric, at most log 2, which it is on disjoint supports, whatever lies between them; its root is a metric.
    No closed form but over categories. Between samples it is learned by a critic, `trine.divergences.JensenShannon`.

    References:
        Lin, `Divergence Measures Based on the Shannon Entropy`, 1991. Endres and Schindelin, `A New Metric for
        Probability Distributions`, 2003.
    """

    title = "Jensen-Shannon's divergence"
    formula = "JS({p}, {q}) = ½ KL({p} ‖ m) + ½ KL({q} ‖ m), m = ½ {p} + ½ {q}"
    statement = Statement("densities; masses", symmetric=True, metric="root", finite_on_disjoint=True, unbiased=False)

    def integrand(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        # With t = (q − p) / (q + p): ½ m ((1 − t) log(1 − t) + (1 + t) log(1 + t)), of second order in t.
        r = ratio(log_p, log_q).abs().clamp_max(700.0)
        e = torch.exp(-r)
        mean = larger(log_p, log_q) * (1 + e) / 2
        t = -torch.expm1(-r) / (1 + e)
        small = torch.where(t < 1e-3, t, 0.0) ** 2
        series = small * (1 + small / 6 * (1 + small * 2 / 5))
        near, a = t < 0.5, 2 * e / (1 + e)
        log_a = torch.where(near, torch.log1p(-torch.where(near, t, 0.0)), torch.where(near, 1.0, a).log())
        return 0.5 * mean * torch.where(t < 1e-3, series, a * log_a + (1 + t) * torch.log1p(t))
