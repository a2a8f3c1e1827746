"""Two piles that nobody paired: L(θ) = learned D(fake B, B) + learned D(fake A, A) − Σ log q(what a cycle brings back)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from trine.choices import Choices
from trine.criterion import Criterion, Term
from trine.data import Schema
from trine.divergences import LearnedDivergence
from trine.divergences.kl import KL
from trine.divergences.patch_nce import PatchNCE
from trine.divergences.pooled import Pooled
from trine.errors import SchemaError
from trine.methods._base import Facts, methods
from trine.methods._translations import piles
from trine.methods.gan import GanMethod, adversarial, derived, divergence_of, refuse_packs
from trine.models import Translator
from trine.models.translator import PLACES, SIDES
from trine.procedures import Procedure


@methods.register("unpaired")
class UnpairedMethod(GanMethod):
    """A translator between two piles, A (the schema's x) and B (its y): two generators with noise against two critics."""

    def build(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts."""
        refuse_packs(choices)
        model, critics = piles(schema).networks(choices)
        terms: list[Term] = []
        for side in SIDES:
            learned: LearnedDivergence = divergence_of(choices, critics[side])
            if choices.history:
                generator: Any = model.to_b if side == "b" else model.to_a
                learned = Pooled(learned, generator.shape, choices.history)
            terms.append(Term(learned, f"fake_{side}", f"real_{side}", name=side.upper(), training_only=True))
        return model, Criterion(*terms, *_kept(model, choices)), adversarial(choices)

    def needs(self, schema: Schema) -> tuple[str, ...]:
        """What is made of either pile, as of a gan."""
        sides = (("x", schema.x), ("y", schema.y))
        return tuple(f"{side}.{name}" for side, own in sides for name, domain in own.items() if domain.pack is None)

    def _derived(self, schema: Schema, choices: Choices, facts: Facts) -> dict[str, tuple[Any, str]]:
        found = derived(schema.y, choices, facts, True)
        contrast = choices.content == "contrast"
        found |= {
            "content": ("cycle", "what is translated there and back has to be what it was"),
            "likelihood": (
                (1.0, "places of a picture tell where they came from")
                if contrast
                else (5.0, "of what a cycle brings back, a number: 10 times the absolute difference")
            ),
            "identity_weight": (0.0, "what a pile's own rows become is of no account"),
            "transport": (0.0, "places tell what was where"),
            "diversity": (0.25, "the noise is recovered from what was made of it, so that it cannot be left out"),
            "history": (64, "past translations, which a critic does not forget"),
        }
        return found | piles(schema).derived(choices, facts)

    def _warn(self, facts: Facts) -> None:
        """Said of each pile where it is read."""

    def _not_of(self, schema: Schema) -> Sequence[str]:
        return ()

    def _check(self, schema: Schema) -> None:
        if not schema.x or not schema.y:
            raise SchemaError(
                "method=unpaired learns from two piles: `trine fit A B --method unpaired`, or trine.Translator().fit(A, B)."
            )


def _kept(model: Translator, choices: Choices) -> list[Term]:
    """What keeps the content, the noise, and by choice what is of a pile already; a number or a column each."""
    terms: list[Term] = []
    weight = 0.0 if choices.likelihood is None else choices.likelihood
    for side in PLACES:
        generator: Any = model.to_a if side == "a" else model.to_b
        numbers = math.prod(generator.shape)
        width = model.noise[PLACES[side]]
        own = choices.identity_weight or 0.0
        kept, among = (KL, numbers) if model.contrast is None else (PatchNCE, 1)
        pairs = (
            [("cycle", "real", weight), ("same", "real", own)]
            if model.contrast is None
            else [("patches", "source", weight), ("patches_same", "source_same", own)]
        )
        terms += [
            Term(kept(), f"{one}_{side}", f"{other}_{side}", weight=share / among, training_only=True)
            for one, other, share in pairs
            if share
        ]
        if choices.transport and model.shared is not None:
            source = SIDES[1 - SIDES.index(side)]
            share = choices.transport / model.shared.columns
            terms.append(Term(KL(), f"moved_{side}", f"shared_{source}", weight=share, training_only=True))
        if choices.diversity:
            share = choices.diversity / width
            terms.append(Term(KL(), f"noise_{side}", f"z_{side}", weight=share, training_only=True))
    return terms
