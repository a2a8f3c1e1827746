"""What makes of an absolute error a proper score: how far a condition's answers are from each other."""

from __future__ import annotations

from torch import Tensor

from trine import collective

from ._base import Divergence, Value


class Spread(Divergence):
    r"""−½ Σ 2 |g(u, c) − g(u', c)|, which beside −log q(y given g(u, c)) of a Laplace, Σ 2 |y − g(u, c)|, makes the energy score of
    each number,

    .. math:: 2 \, (E |y - g(u)| - \tfrac{1}{2} E |g(u) - g(u')|)

    It is least where each number of the answers is distributed as that of y is given c, and only there: answers differ where, and
    as far as, the data leave something open, and nowhere else. The absolute error alone is least where all answers are the
    median. The same for every row, and in every process that has a share of the batch. ``predicted``: (batch, ...) answers;
    ``target``: (rows, ...) those of the first rows under other noise.

    References:
        Gneiting and Raftery, `Strictly Proper Scoring Rules, Prediction, and Estimation`, 2007, section 4.2. Bendel et al., `A
        Regularized Conditional GAN for Posterior Sampling in Image Recovery Problems`, 2023 (its reward of the spread).
    """

    formula = "−Σ |{p} − {t}|"

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Tensor)
        assert isinstance(target, Tensor)
        each = (predicted[: len(target)] - target).abs().flatten(1).sum(1)
        return -collective.mean(each).expand(len(predicted))
