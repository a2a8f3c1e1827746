"""Rényi: the family of divergences between Hellinger's and the greatest ratio."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ChoiceError

from . import line
from ._base import Estimate, Statement, Value, divergences
from ._densities import DensityDivergence, densities, exact, ratio
from ._overlap import log_overlap


@divergences.register("renyi")
class Renyi(DensityDivergence):
    r"""Rényi divergence of order α of p from q, the prediction, in nats:

    .. math:: D_\alpha(p \| q) = \frac{1}{\alpha - 1} \log \int p^\alpha q^{1 - \alpha}

    It grows with α: −2 log(1 − H²) at ½, KL towards 1, log(1 + χ²) at 2. Symmetric at ½ alone; not a metric;
    infinite on disjoint supports. The α-divergence of the same order is (e^((α−1) D) − 1) / (α (α − 1)).

    Args:
        alpha: order, above 0 and not 1, where it is ``kl``.

    Raises:
        ChoiceError: ``alpha`` out of its range.

    References:
        Rényi, `On Measures of Entropy and Information`, 1961. Van Erven and Harremoës, `Rényi Divergence and
        Kullback-Leibler Divergence`, 2014.
    """

    title = "Rényi's divergence"
    formula = "D_α({p} ‖ {q}) = log ∫ {p}^α {q}^(1−α) / (α − 1)"
    statement = Statement("densities; masses", symmetric=False, metric="no", finite_on_disjoint=False, unbiased=False)

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        if not (alpha > 0 and math.isfinite(alpha)) or alpha == 1:
            raise ChoiceError(f"alpha is {alpha}; the order of Rényi's divergence is above 0 and not 1, which is kl.")
        self.alpha = alpha

    def closed(self, p: Distribution, q: Distribution) -> Tensor | None:
        value = log_overlap(p, q, self.alpha)
        return None if value is None else (value / (self.alpha - 1)).clamp_min(0.0)

    def integrand(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        # p^α q^(1−α) − α p − (1 − α) q: its integral is that of the first less 1, of second order where p is near q.
        alpha, r = self.alpha, ratio(log_p, log_q)
        near = r.abs() < 1
        small = torch.where(near, r, 0.0)
        close = log_p.exp() * (torch.expm1((1 - alpha) * small) - (1 - alpha) * torch.expm1(small))
        far = self._log_power(log_p, log_q).exp() - alpha * log_p.exp() - (1 - alpha) * log_q.exp()
        return torch.where(near, close, far)

    def _log_power(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """The logarithm of p^α q^(1−α)."""
        nothing = torch.isneginf(log_p) | torch.isneginf(log_q)
        a, b = torch.where(nothing, 0.0, log_p), torch.where(nothing, 0.0, log_q)
        value = torch.where(nothing, -math.inf, self.alpha * a + (1 - self.alpha) * b)
        impossible = torch.isneginf(log_q) & (log_p.exp() > 0) & (self.alpha > 1)
        return torch.where(impossible, math.inf, value)

    def compare(self, p: Value, q: Value, draws: int = 1024) -> Estimate:
        """Where little of p and q overlap the integral itself is taken, in place of what it is short of 1."""
        found = super().compare(p, q, draws)
        apart = found.value.detach() * (1 - self.alpha) > 0.5
        assert isinstance(p, Distribution)
        assert isinstance(q, Distribution)
        if found.error is None or not bool(apart.any()) or p.event_shape or self.alpha > 1:
            return found
        p, q = exact(p), exact(q)
        with torch.no_grad():
            first = densities(p, q, line.kind(p), self.integrand, draws, idle=True)
            top = self._log_power(first.p, first.q).nan_to_num(-math.inf, math.inf, -math.inf).amax(0).clamp_min(-1e300)

        def scaled(log_p: Tensor, log_q: Tensor) -> Tensor:
            return torch.exp(self._log_power(log_p, log_q) - top)

        again = densities(p, q, line.kind(p), scaled, draws)
        values = scaled(again.p, again.q)
        total = again.grid.sum(values)
        some = total > 0
        value = (torch.where(some, total, 1.0).log() + top) / (self.alpha - 1)
        value = torch.where(apart, torch.where(some, value, math.inf), found.value)
        error = (again.grid.error_of(values) / total.clamp_min(line.TINY)).detach() / abs(self.alpha - 1)
        return Estimate(value, torch.where(apart, torch.where(total > 0, error, 0.0), found.error), found.method)

    def finish(self, total: Tensor) -> Tensor:
        return (torch.log1p(total.clamp_min(-1.0 + 1e-15)) / (self.alpha - 1)).clamp_min(0.0)

    def factors(self, each: Tensor, dimensions: tuple[int, ...]) -> Tensor | None:
        return each.sum(dimensions)

    def describe(self, predicted: str, target: str) -> str:
        """The formula with the names of a term and the order put in."""
        return super().describe(predicted, target).replace("α", f"{self.alpha:g}")
