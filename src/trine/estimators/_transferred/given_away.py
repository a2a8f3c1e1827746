"""Whether an encoder knows the answers that it is measured by."""

from __future__ import annotations

from trine.data import Table
from trine.estimators._encoders import Source


def given_away(source: Source, table: Table, name: str, remedy: str) -> str | None:
    """What is to be known of an encoder that was trained to predict the same target; None where it was not, or on other rows.

    Args:
        table: that held-out rows are of. name: of the target. remedy: what to do where they are what it was trained on.
    """
    if name not in source.targets:
        return None
    if source.learned_from is None:
        return (
            f"The encoder was trained to predict {name!r} itself: if it learned from any of the held-out rows, its z knows their "
            "answers, and every figure of z is too good."
        )
    if source.learned_from != table.fingerprint():
        return None
    return (
        f"The encoder was trained to predict {name!r} from these same data, so that its z knows answers of held-out rows, and "
        f"every figure of z is too good; {remedy}."
    )
