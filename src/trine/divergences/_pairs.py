"""Closed forms between two distributions, found by both their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

Form = Callable[..., Tensor | None]


class Pairs:
    """(type, type) → closed form; the most derived pair that fits is found, as by ``torch.distributions.kl``."""

    def __init__(self) -> None:
        self._forms: dict[tuple[type[Distribution], type[Distribution]], Form] = {}

    def register(self, p: type[Distribution], t: type[Distribution]) -> Callable[[Form], Form]:
        """Decorator: the form for a predicted ``p`` and a target ``t``, each or a subclass of it."""

        def add(form: Form) -> Form:
            self._forms[p, t] = form
            return form

        return add

    def find(self, p: Distribution, t: Distribution) -> Form | None:
        """The form for this pair, or None."""
        for left in type(p).__mro__:
            for right in type(t).__mro__:
                if (left, right) in self._forms:
                    return self._forms[left, right]
        return None

    def value(self, p: Distribution, t: Distribution, *rest: Any) -> Tensor | None:
        """The form's value for this pair; None where there is no form, or it does not know these members."""
        form = self.find(p, t)
        return None if form is None else form(p, t, *rest)
