"""An expectation as a part of a criterion."""

from __future__ import annotations

from torch import Tensor

from trine.errors import ChoiceError

from ._base import Divergence, Value


class Expectation(Divergence):
    """E f as a term: the model gives its surrogate, (batch,), by an estimator of :mod:`trine.gradients`.

    Where the reconstruction of a variational autoencoder is −E_q(z|x) log p(x | z), the model gives
    ``{"reconstruction": estimator(q, lambda z: -p(z).log_prob(x))}``, and the term is
    ``Term(Expectation("−log p(x | z)"), "reconstruction", "x")``: the target only says whose rows count.

    Args:
        of: f as a formula, for the derivation.
    """

    formula = "E {p}"

    def __init__(self, of: str | None = None) -> None:
        super().__init__()
        self.of = of

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if not isinstance(predicted, Tensor) or predicted.dim() != 1:
            what = (
                f"shape {tuple(predicted.shape)}" if isinstance(predicted, Tensor) else f"a {type(predicted).__name__}"
            )
            raise ChoiceError(f"An expectation is one number an example, (batch,); the model gives {what}.")
        return predicted

    def describe(self, predicted: str, target: str) -> str:
        """With f where it was said."""
        return f"E[{self.of}]" if self.of else self.formula.format(p=predicted)
