"""Sequence transduction: y is a text, written token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from trine.data import Field, Store, Table
from trine.domains import Domain, Text
from trine.errors import ChoiceError, SchemaError
from trine.estimators._answers import Columns, answer, written
from trine.estimators._arguments import count, seed_of
from trine.estimators._batched import breadth
from trine.estimators._estimator import estimators
from trine.estimators._supervised import Supervised
from trine.estimators._workflow import estimator_of
from trine.estimators.classification import check_target_given
from trine.rules.autoregressive import Autoregressive


@estimators.register("transducer")
class Transducer(Supervised):
    """From x of any kind to a text: reversal, spelling, dates, arithmetic; with no x, a language model.

    q(y given x) = Π_t q(token t given those before, x), fitted by maximum likelihood (teacher forcing). ``decoding`` says how
    a text is predicted: ``greedy``, ``beam`` (of ``beams``) or ``sample``.

    The parameters are those of :class:`~trine.estimators._supervised.Supervised`; all have defaults that are derived.

    References:
        Graves, `Sequence Transduction with Recurrent Neural Networks`, 2012; Sutskever, Vinyals and Le, `Sequence to Sequence
        Learning with Neural Networks`, 2014.

    Example:
        >>> import trine
        >>> words = ["ab", "ba", "aab", "abb", "bba", "bab"] * 8
        >>> model = trine.Transducer(random_state=0, epochs=1).fit({"word": words}, [w[::-1] for w in words])
        >>> len(model.predict({"word": ["abab"]})[0]) <= 3
        True
    """

    kind = "transducer"

    def _check_target(self, X: Any, y: ArrayLike) -> NDArray[Any]:
        check_target_given(self, y)
        return np.array([None if text is None else str(text) for text in np.asarray(y, dtype=object)], dtype=object)

    def _check_inputs(self, X: Any, *, reset: bool) -> tuple[Table, dict[str, str]]:
        from trine.data import read

        return (X if isinstance(X, Table) else read(X)), {}

    def _target_domain(self, table: Table, name: str) -> str | Domain:
        return Text()

    def _learn_schema(self) -> None:
        domain = self._target()
        if not isinstance(domain, Text):
            raise SchemaError(f"A transducer's y is a text, and this one is {type(domain).__name__}.")

    def predict(self, X: Any) -> NDArray[Any]:
        """(rows,) texts."""
        return self._answers(X)[self.target_]

    def score(self, X: Any, y: ArrayLike) -> float:
        """Share of the rows whose text is ``y`` exactly."""
        return float(np.mean(self.predict(X) == np.asarray(y, dtype=object)))

    def generate(self, n: int, data: Any = None, seed: int = 0) -> NDArray[Any]:
        """Texts drawn from q: (n,) where there is no x, else (rows, n) for the rows of ``data``.

        Raises:
            ChoiceError: n below 1, or no data for a model that has an x.
        """
        n = count("n", n, "at least 1 text is drawn")
        if self.schema_.x and data is None:
            raise ChoiceError(f"The model has the inputs {', '.join(self.schema_.x)}; give rows to draw texts for.")
        domain = self.schema_.y[self.target_]
        if not self.schema_.x:
            store, each = Store({"x.constant": Field(torch.ones(n, 1), {})}), 1
        else:
            store, each = self._encode(data)[0], n
        found = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed))
            for outputs in self._outputs(store):
                q = outputs[f"y_hat.{self.target_}"]
                assert isinstance(q, Autoregressive)
                drawn = q.sample((each,)).transpose(0, 1)
                found.append(domain.decode(drawn.flatten(0, 1).numpy()).reshape(-1, each))
        texts = np.concatenate(found)
        return texts if self.schema_.x else texts[:, 0]


@answer.register
def _(domain: Text, q: Any) -> NDArray[Any]:
    return np.asarray(q["text"])


@written.register
def _(domain: Text, name: str, q: Any) -> Columns:
    """The text and its log-probability in nats."""
    return {name: q["text"], f"{name}_log_probability": q["log_prob"]}


@breadth.register
def _(domain: Text) -> int:
    return domain.size * (domain.longest + 1)


@estimator_of.register
def _(domain: Text) -> str:
    return "transducer"
