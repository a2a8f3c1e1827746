"""Total variation: the greatest difference of two probabilities of one event."""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Statement, divergences
from ._densities import DensityDivergence, larger, ratio


@divergences.register("tv")
class TotalVariation(DensityDivergence):
    r"""Total variation distance, in [0, 1]:

    .. math:: \mathrm{TV}(p, q) = \sup_A |P(A) - Q(A)| = \tfrac12 \int |p - q|

    A metric; 1 on disjoint supports, whatever lies between them. By Pinsker's inequality at most √(KL/2).

    References:
        Levin, Peres and Wilmer, `Markov Chains and Mixing Times`, 2009, section 4.1.
    """

    title = "Total variation"
    formula = "TV({p}, {q}) = ½ ∫ |{p} − {q}|"
    statement = Statement("densities; masses", symmetric=True, metric="itself", finite_on_disjoint=True, unbiased=False)

    def integrand(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        apart = -torch.expm1(-ratio(log_p, log_q).abs().clamp_max(700.0))
        return 0.5 * larger(log_p, log_q) * apart
