"""Jensen-Shannon, learned by a discriminating critic: the adversarial loss."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import softplus

from trine.divergences._base import Statement

from ._base import Dual, learned


@learned.register("js")
class JensenShannon(Dual):
    r"""Jensen-Shannon divergence between samples, as the supremum over critics of

    .. math:: \log 2 + \tfrac12 E \log \sigma(D(t)) + \tfrac12 E \log (1 - \sigma(D(p)))

    which the critic D approaches by descending softplus(−D(t)) + softplus(D(p)): half of its least value is
    log 2 − JS(p, t), reached at D = log t − log p. The model descends the non-saturating softplus(−D(p)), whose
    gradient does not vanish where the critic is sure.

    Domain and arguments: as of every :class:`~trine.divergences.learned._base.Dual`.

    References:
        Goodfellow et al., `Generative Adversarial Nets`, 2014. Mescheder et al., `Which Training Methods for GANs do
        actually Converge?`, 2018.
    """

    formula = "JS({p}, {t}) = sup_D log 2 + ½ E log σ(D({t})) + ½ E log(1 − σ(D({p})))"
    statement = Statement("samples", symmetric=True, metric="root", finite_on_disjoint=True, unbiased=True)
    top, share = math.log(2), 0.5
    optimum = "log t − log p"

    def on_target(self, value: Tensor) -> Tensor:
        return softplus(-value)

    def on_predicted(self, value: Tensor) -> Tensor:
        return softplus(value)

    def descended(self, value: Tensor) -> Tensor:
        return softplus(-value)


@learned.register("minimax")
class MinMax(JensenShannon):
    r"""Jensen-Shannon divergence as the game of the 2014 paper is written: min over models, max over critics of the bound itself.

    The model descends ½ log(1 − σ(D(p))), whose gradient is the divergence's own under the best critic, and fades where the
    critic is sure: early in training, when it tells every sample, next to nothing is left of it. The non-saturating form of
    :class:`JensenShannon` has the same fixed point.

    References:
        Goodfellow et al., 2014, section 3, equation 1.
    """

    def descended(self, value: Tensor) -> Tensor:
        return -0.5 * softplus(value)
