"""A relativistic pairing: whether a critic ranks each sample of the target above one of the model."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from trine.divergences._base import Statement, Value

from ._base import Penalised, judge, learned, pair, per_example


@learned.register("relativistic")
class Relativistic(Penalised):
    r"""The relativistic pairing divergence, in [0, 2 log 2],

    .. math:: \sup_v \; 2 \log 2 + 2 \, E \log \sigma(v(t) - v(p))

    of pairs of one sample of the target and one of the model, drawn apart from each other: 2 JS(t ⊗ p, p ⊗ t), reached at
    v = log t − log p, to which a constant may be added. It is nothing where the two are one distribution and only there, and its
    root is a metric: it is 2 log 2 less a product of features, as a kernel of log t(x)/t(y) with the transform
    π/(cosh(πω)(ω² + ¼)) shows. The critic ranks each true sample above a generated one, and the model descends the mirrored loss
    softplus(v(t) − v(p)); a mode that is left out is then always ranked above, so that there is no good place to collapse to.
    With ``r1`` and ``r2`` it is R3GAN's loss.

    Domain: as of every :class:`~trine.divergences.learned._base.Dual`. Arguments: as of
    :class:`~trine.divergences.learned._base.Penalised`.

    References:
        Jolicoeur-Martineau, `On Relativistic f-Divergences`, 2020. Huang et al., `The GAN is dead; long live the GAN! A Modern
        GAN Baseline`, 2024, section 2.
    """

    formula = "RpJS({p}, {t}) = sup_v 2 log 2 + 2 E log σ(v({t}) − v({p}))"
    statement = Statement("samples", symmetric=True, metric="root", finite_on_disjoint=True, unbiased=True)
    top, share = 2 * math.log(2), 2.0
    optimum = "log t − log p + a constant"

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, real = pair(predicted, target)
        with torch.set_grad_enabled(real.requires_grad and torch.is_grad_enabled()):
            above = judge(self.critic, real, given)
        return per_example(softplus(above - judge(self.critic, fake, given)))

    def tighten(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, real = (side.detach() for side in pair(predicted, target))
        on_real, on_fake, penalty = self._judged(fake, real, given)
        values = per_example(softplus(on_fake - on_real))
        return values if penalty is None else values + penalty

    def bound(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, real = pair(predicted, target)
        above = judge(self.critic, real, given) - judge(self.critic, fake, given)
        return self.top - self.share * per_example(softplus(-above))
