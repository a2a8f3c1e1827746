"""Jensen-Shannon, learned by a discriminating critic: the adversarial loss."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import softplus

from trine.divergences._base import LearnedDivergence, Value
from trine.errors import ChoiceError

from ._base import judge, learned, pair, per_example, r1_penalty


@learned.register("js")
class JensenShannon(LearnedDivergence):
    r"""Jensen-Shannon divergence between samples, as the supremum over critics of

    .. math:: \log 2 + \tfrac12 E \log \sigma(D(t)) + \tfrac12 E \log (1 - \sigma(D(p)))

    which the critic D approaches by descending softplus(−D(t)) + softplus(D(p)): half of its least value is
    log 2 − JS(p, t), reached at D = log t − log p. The model descends the non-saturating softplus(−D(p)), whose
    gradient does not vanish where the critic is sure.

    Domain: samples, (batch, ...), or distributions, which are sampled; a prior without batch shape is sampled as often
    as the other side has rows.

    Args:
        critic: (batch, ...) → one logit each, (batch,), or one for each patch, (batch, ...); takes the
            condition as a second argument where the term has one.
        r1: weight of the penalty ½‖∇D‖² on the target's samples, that keeps the game from circling; 0 leaves it out.

    References:
        Goodfellow et al., `Generative Adversarial Nets`, 2014. Mescheder et al., `Which Training Methods for GANs do
        actually Converge?`, 2018.
    """

    formula = "JS({p}, {t}) = sup_D log 2 + ½ E log σ(D({t})) + ½ E log(1 − σ(D({p})))"

    def __init__(self, critic: nn.Module, r1: float = 0.0) -> None:
        super().__init__()
        if r1 < 0:
            raise ChoiceError(f"r1 is {r1}; the weight of a penalty is at least 0.")
        self.critic = critic
        self.r1 = r1

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, _ = pair(predicted, target)
        return per_example(softplus(-judge(self.critic, fake, given)))

    def tighten(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, real = pair(predicted, target)
        lies = per_example(softplus(judge(self.critic, fake.detach(), given)))
        if self.r1 == 0.0:
            return per_example(softplus(-judge(self.critic, real.detach(), given))) + lies
        values, penalty = r1_penalty(self.critic, real, given)
        return per_example(softplus(-values)) + lies + self.r1 * penalty
