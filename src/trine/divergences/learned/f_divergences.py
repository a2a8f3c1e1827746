r"""The f-divergences D_f(t ‖ p) = ∫ p f(t/p), learned: f-GAN (Nowozin, Cseke and Tomioka, 2016).

The bound is E_t T − E_p f*(T), with f* the convex conjugate of f, reached at T = f'(t/p). Here the critic's value v is
carried to T by a map of its own, chosen (but for χ²) so that the best v is the logarithm of the density ratio,
log t − log p: the critic is a classifier's logit under every one of these divergences.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trine.divergences._base import Statement

from ._base import Dual, learned

STEEPEST = 30.0
"""Beyond e^30 the exponential goes on as its tangent: a critic that is so sure has a finite gradient in float32."""


def exponential(value: Tensor) -> Tensor:
    """e^value, straight above 30."""
    return torch.exp(value.clamp_max(STEEPEST)) * (1 + (value - STEEPEST).clamp_min(0.0))


class FDivergence(Dual):
    """An f-divergence with a critic.

    Args:
        critic: as of :class:`Dual`.
        r1, r2, every: likewise.
        saturating: whether the model descends the very part of the bound that depends on it, −E_p f*(T), whose gradient
            under the best critic is the divergence's own; or −E_p T, which has the same fixed point and does not fade
            where the critic is sure (Nowozin et al., section 3.2).
    """

    def __init__(
        self, critic: nn.Module, r1: float = 0.0, saturating: bool = False, *, r2: float = 0.0, every: int = 1
    ) -> None:
        super().__init__(critic, r1, r2, every)
        self.saturating = saturating

    def descended(self, value: Tensor) -> Tensor:
        return self.share * (-self.on_predicted(value) if self.saturating else self.on_target(value))


@learned.register("kl")
class KullbackLeibler(FDivergence):
    """KL(t ‖ p), from samples alone: f = u log u, T = 1 + v, f* = e^(T − 1)."""

    formula = "KL({t} ‖ {p}) = sup_v 1 + E v({t}) − E exp v({p})"
    statement = Statement("samples", symmetric=False, metric="no", finite_on_disjoint=False, unbiased=True)
    top = 1.0
    optimum = "log t − log p"

    def on_target(self, value: Tensor) -> Tensor:
        return -value

    def on_predicted(self, value: Tensor) -> Tensor:
        return exponential(value)


@learned.register("reverse_kl")
class ReverseKullbackLeibler(FDivergence):
    """KL(p ‖ t), from samples alone: f = −log u, T = −e^(−v), f* = −1 − log(−T).

    The model descends −E_p v in either form: it does not saturate, while e^(−v) follows few samples.
    """

    formula = "KL({p} ‖ {t}) = sup_v 1 − E exp(−v({t})) − E v({p})"
    statement = Statement("samples", symmetric=False, metric="no", finite_on_disjoint=False, unbiased=True)
    top = 1.0
    optimum = "log t − log p"

    def on_target(self, value: Tensor) -> Tensor:
        return exponential(-value)

    def on_predicted(self, value: Tensor) -> Tensor:
        return value

    def descended(self, value: Tensor) -> Tensor:
        return -value


@learned.register("chi2")
class Pearson(FDivergence):
    """Pearson's χ²(t ‖ p) = ∫ t²/p − 1: f = (u − 1)², T = 2v, f* = T²/4 + T. Its best critic is t/p − 1."""

    formula = "χ²({t} ‖ {p}) = sup_v 2 E v({t}) − E [v({p})² + 2 v({p})]"
    statement = Statement("samples", symmetric=False, metric="no", finite_on_disjoint=False, unbiased=True)
    optimum = "t/p − 1"

    def on_target(self, value: Tensor) -> Tensor:
        return -2 * value

    def on_predicted(self, value: Tensor) -> Tensor:
        return value.square() + 2 * value


@learned.register("hellinger")
class Hellinger(FDivergence):
    """Squared Hellinger distance 1 − ∫ √(t p): f = ½ (√u − 1)², T = ½ (1 − e^(−v/2)), f* = ½ (e^(v/2) − 1)."""

    formula = "H²({p}, {t}) = sup_v 1 − ½ E exp(−v({t})/2) − ½ E exp(v({p})/2)"
    statement = Statement("samples", symmetric=True, metric="root", finite_on_disjoint=True, unbiased=True)
    top, share = 1.0, 0.5
    optimum = "log t − log p"

    def on_target(self, value: Tensor) -> Tensor:
        return exponential(-value / 2)

    def on_predicted(self, value: Tensor) -> Tensor:
        return exponential(value / 2)


@learned.register("hinge")
class Hinge(Dual):
    """Total variation ½ ∫ |t − p|, learned by the hinge loss relu(1 − v(t)) + relu(1 + v(p)).

    Its least value is 2 ∫ min(t, p), reached at v = sign(t − p). The model descends −v(p).

    References:
        Lim and Ye, `Geometric GAN`, 2017.
    """

    formula = "TV({p}, {t}) = sup_v 1 − ½ E relu(1 − v({t})) − ½ E relu(1 + v({p}))"
    statement = Statement("samples", symmetric=True, metric="itself", finite_on_disjoint=True, unbiased=True)
    top, share = 1.0, 0.5
    optimum = "sign(t − p)"

    def on_target(self, value: Tensor) -> Tensor:
        return torch.relu(1 - value)

    def on_predicted(self, value: Tensor) -> Tensor:
        return torch.relu(1 + value)

    def descended(self, value: Tensor) -> Tensor:
        return -value


@learned.register("least_squares")
class LeastSquares(Dual):
    r"""Triangular discrimination ½ ∫ (t − p)²/(t + p), in [0, 1], learned by least squares.

    The critic descends ½ (v(t) − 1)² + ½ v(p)², whose least value, a quarter of one less the divergence, is reached at
    v = t/(t + p). The model descends ½ (v(p) − 1)².

    References:
        Mao et al., `Least Squares Generative Adversarial Networks`, 2017. Le Cam, `Asymptotic Methods in Statistical
        Decision Theory`, 1986, section 4.2 (the divergence).
    """

    formula = "Δ({p}, {t}) = sup_v 1 − 2 E (v({t}) − 1)² − 2 E v({p})²"
    statement = Statement("samples", symmetric=True, metric="root", finite_on_disjoint=True, unbiased=True)
    top, share = 1.0, 4.0
    optimum = "t/(t + p)"

    def on_target(self, value: Tensor) -> Tensor:
        return 0.5 * (value - 1).square()

    def on_predicted(self, value: Tensor) -> Tensor:
        return 0.5 * value.square()

    def descended(self, value: Tensor) -> Tensor:
        return 0.5 * (value - 1).square()
