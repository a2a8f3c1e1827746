"""From what a user names to a head."""

from __future__ import annotations

from typing import Any

from trine.errors import ChoiceError

from ._base import Head, heads
from .scikit import ScikitHead


def head_of(head: Any) -> Head:
    """A head that is not fitted, from what the user wrote.

    Raises:
        ChoiceError: it is no name of a head and no scikit-learn estimator.
    """
    if isinstance(head, str):
        if head == ScikitHead.kind:
            raise ChoiceError("head='scikit-learn' names no estimator; give the estimator itself, e.g. head=SVC().")
        return heads[head]()
    if hasattr(head, "fit") and hasattr(head, "predict") and hasattr(head, "get_params") and not isinstance(head, type):
        return ScikitHead(head)
    raise ChoiceError(
        f"The head is {head!r}; it is one of {', '.join(sorted(set(heads) - {ScikitHead.kind}))}, or a scikit-learn "
        "classifier or regressor (an instance, not its class)."
    )
