"""A learned divergence between packs of samples in the place of samples, so that modes that are missing are seen at once."""

from __future__ import annotations

from torch import Tensor, nn

from trine.blocks.critic import packs
from trine.divergences._base import LearnedDivergence, Value
from trine.divergences.learned._base import pair
from trine.errors import ChoiceError


class Packed(LearnedDivergence):
    r"""D(t^m ‖ p^m), the learned divergence between m independent samples at once.

    Of m samples of a model that leaves modes out, two are alike too often, and a critic of m samples tells that as it tells any
    other difference: of two models as far from t, one that leaves modes out is the farther in packs (Lin et al., section 3). The
    rows of a batch are drawn at random, and each ``pack`` that follow each other are one. A last pack that is not full is filled
    with the first rows of the batch. All that the divergence says, its penalties too, is of packs.

    Args:
        divergence: the learned divergence, whose critic reads (packs, pack, ...).
        pack: m, 2 or more.

    Raises:
        ChoiceError: ``pack`` below 2, or a condition or weights of rows: rows of a pack have one each.

    References:
        Lin, Khetan, Fanti and Oh, `PacGAN: The Power of Two Samples in Generative Adversarial Networks`, 2018.
    """

    weighs = True

    def __init__(self, divergence: LearnedDivergence, pack: int) -> None:
        super().__init__()
        if pack < 2:
            raise ChoiceError(f"pack is {pack}; a pack is of 2 rows or more, and 1 leaves packs out.")
        self.divergence, self.pack = divergence, pack
        self.statement = divergence.statement  # type: ignore[misc]

    @property
    def critic(self) -> nn.Module:
        """The critic of packs."""
        critic: nn.Module = self.divergence.critic  # type: ignore[assignment]
        return critic

    def forward(
        self, predicted: Value, target: Value, given: Value | None = None, weights: Tensor | None = None
    ) -> Tensor:
        fake, real = self._packs(predicted, target, given, weights)
        return self._of_rows(self.divergence(fake, real), predicted)

    def tighten(
        self, predicted: Value, target: Value, given: Value | None = None, weights: Tensor | None = None
    ) -> Tensor:
        fake, real = self._packs(predicted, target, given, weights)
        return self._of_rows(self.divergence.tighten(fake, real), predicted)

    def witness(self, values: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        """As the divergence has it."""
        return self.divergence.witness(values, fake, real)

    def describe(self, predicted: str, target: str) -> str:
        """The formula, of packs."""
        return self.divergence.describe(f"{predicted}^{self.pack}", f"{target}^{self.pack}")

    def _packs(
        self, predicted: Value, target: Value, given: Value | None, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if given is not None:
            raise ChoiceError(
                "A critic that sees rows in packs has no condition, of which each row has its own; leave pack out."
            )
        if weights is not None:
            raise ChoiceError(
                f"Rows are weighed, or some have no target, and pack={self.pack} compares rows that count alike; leave pack out, "
                "or the weights."
            )
        fake, real = pair(predicted, target)
        return packs(fake, self.pack), packs(real, self.pack)

    def _of_rows(self, values: Tensor, rows: Value) -> Tensor:
        """(packs,) → (batch,): of each row its pack's."""
        count = len(rows) if isinstance(rows, Tensor) else len(values) * self.pack
        return values.repeat_interleave(self.pack)[:count]
