"""What a finding advises, where that depends on how the training went."""

from __future__ import annotations

PLANNED = "more epochs"
"""What makes a training longer that did all that was planned."""


def longer(stopped: str | None) -> str:
    """What makes a training longer, by what ended it: more epochs would change nothing where the budget or the patience did.

    Args:
        stopped: ``"epochs"``, ``"patience"``, ``"budget"``; None where it is not known.
    """
    return {"budget": "a larger budget", "patience": "a larger patience"}.get(stopped or "", PLANNED)
