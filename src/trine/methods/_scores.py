"""Whether a divergence scores what a rule predicts at data, asked before anything is trained."""

from __future__ import annotations

import torch

from trine.divergences import divergences
from trine.domains import Domain
from trine.errors import ChoiceError
from trine.rules import Rule, point


def check_scores(divergence: str, target: str, rule: type[Rule], domain: Domain) -> None:
    """Try the divergence on one prediction of a small rule of that kind.

    Raises:
        ChoiceError: it has no form at data of this kind; says why, and what has.
    """
    if divergence == "kl":
        return
    if rule.reads_memory:
        raise ChoiceError(
            f"divergence={divergence} cannot train {target!r}: its values are sequences, between which no distance is "
            "known and whose probability alone is. Choose divergence=kl."
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        q = rule(2, domain)(torch.zeros(1, 2))
        try:
            divergences[divergence]()(q, point(q))
        except ChoiceError as error:
            raise ChoiceError(f"divergence={divergence} cannot train {target!r}. {error}") from None
