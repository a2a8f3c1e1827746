"""Two piles that nobody paired: L(θ) = learned D(fake B, B) + learned D(fake A, A) − Σ log q(what a cycle brings back)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from trine.blocks.critic import Critic
from trine.blocks.differentiable_augmentation import augmented
from trine.blocks.makers import Made
from trine.blocks.translation import PatchCritic, ResidualTranslator
from trine.blocks.unpaired import FieldsCode, FieldsMap, PictureCode, PictureMap
from trine.choices import Choices
from trine.criterion import Criterion, Term
from trine.data import Schema
from trine.divergences import LearnedDivergence
from trine.divergences.kl import KL
from trine.divergences.patch_nce import PatchNCE
from trine.divergences.pooled import Pooled
from trine.domains import Domain, Image
from trine.errors import ChoiceError, SchemaError
from trine.methods._base import Facts, methods
from trine.methods.gan import BOUND, GanMethod, adversarial, derived, divergence_of, numbers_of, refuse_packs
from trine.models import Translator
from trine.models.translator import PLACES, SIDES, Contrast
from trine.procedures import Procedure

SMALL = 48
"""Pixels of the shorter side below which a picture is small."""
WHOLE = 24
"""Pixels from which on a critic of small pictures sees each as a whole, 46 pixels; below, patches of 18."""


@methods.register("unpaired")
class UnpairedMethod(GanMethod):
    """A translator between two piles, A (the schema's x) and B (its y): two generators with noise against two critics."""

    def build(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts."""
        refuse_packs(choices)
        model, critics = _networks(schema, choices)
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
        pair = pictures_of(schema)
        contrast = choices.content == "contrast"
        found |= {
            "content": ("cycle", "what is translated there and back has to be what it was"),
            "likelihood": (
                (1.0, "places of a picture tell where they came from")
                if contrast
                else (5.0, "of what a cycle brings back, a number: 10 times the absolute difference")
            ),
            "identity_weight": (0.0, "what a pile's own rows become is of no account"),
            "diversity": (0.25, "the noise is recovered from what was made of it, so that it cannot be left out"),
            "history": (64, "past translations, which a critic does not forget"),
        }
        if pair is None:
            width = max(1, min(8, len(schema.y) // 2))
            return found | {"noise": (width, "what one row leaves open, and no more than can be told from it")}
        side = min(min(domain.height, domain.width) for domain in pair)
        if WHOLE <= side < SMALL and choices.divergence not in BOUND:
            found["penalty"] = (
                0.05,
                "light, for a change of form is told by small differences: chosen on turned digits",
            )
        epochs = min(max(round(100_000 / facts.rows), 5), 200)
        return found | {
            "noise": (
                2 if side < SMALL else 4,
                "what one picture leaves open; a wide code would carry content past a cycle",
            ),
            "channels": (16, "of the networks at full size; their critics have twice as many"),
            "layers": (3 if side < SMALL else 6, "residual blocks, which see all of a picture"),
            "critic_augment": (0.0, "patches are many, if pictures are few"),
            "batch_size": (
                min(8, max(facts.rows // 4, 2)),
                "of either pile; more, smaller steps keep more of what is shown",
            ),
            "epochs": (epochs, "to see about 100,000 pictures of either pile, within 5 to 200 epochs"),
            "step_size": (5e-4, "held on digits"),
        }

    def _warn(self, facts: Facts) -> None:
        """Said of each pile where it is read."""

    def _not_of(self, schema: Schema) -> Sequence[str]:
        return ()

    def _check(self, schema: Schema) -> None:
        if not schema.x or not schema.y:
            raise SchemaError(
                "method=unpaired learns from two piles: `trine fit A B --method unpaired`, or trine.Translator().fit(A, B)."
            )


def pictures_of(schema: Schema) -> tuple[Image, Image] | None:
    """The domains of A's and B's only column, where both are pictures; else None."""
    if len(schema.x) != 1 or len(schema.y) != 1:
        return None
    a, b = next(iter(schema.x.values())), next(iter(schema.y.values()))
    return (a, b) if isinstance(a, Image) and isinstance(b, Image) else None


def _networks(schema: Schema, choices: Choices) -> tuple[Translator, dict[str, nn.Module]]:
    """The translator, and the critic of each pile."""
    assert choices.noise is not None
    noise = (choices.noise, choices.noise)
    pair = pictures_of(schema)
    if pair is None:
        return _of_rows(schema, choices, noise)
    (x, a), (y, b) = (next(iter(side.items())) for side in (schema.x, schema.y))
    assert isinstance(a, Image)
    assert isinstance(b, Image)
    assert choices.channels is not None
    assert choices.layers is not None
    side, width = min(a.height, a.width), choices.channels
    if side < 8:
        raise SchemaError(f"Pictures have {a.height} × {a.width} pixels; a translator needs at least 8 a side.")
    halvings = 2 if side >= 16 else 1
    blocks = choices.layers
    networks = {
        "b": ResidualTranslator(a.channels, b.channels, width, blocks, choices.noise, halvings),
        "a": ResidualTranslator(b.channels, a.channels, width, blocks, choices.noise, halvings),
    }
    both = a.channels + b.channels
    model = Translator(
        PictureMap(b, f"y.{y}", networks["b"]),
        PictureMap(a, f"x.{x}", networks["a"]),
        PictureCode(both, noise[0], width, side),
        PictureCode(both, noise[1], width, side),
        noise,
        same=bool(choices.identity_weight),
        contrast=Contrast(networks["b"].channels) if choices.content == "contrast" else None,
    )
    layers = 3 if side >= WHOLE else 2
    probability = choices.critic_augment or 0.0
    critics: dict[str, nn.Module] = {
        name: augmented(PatchCritic(domain.channels, 2 * width, layers), probability)
        for name, domain in (("a", a), ("b", b))
    }
    return model, critics


def _of_rows(schema: Schema, choices: Choices, noise: tuple[int, int]) -> tuple[Translator, dict[str, nn.Module]]:
    """The same of tables, series and sounds."""
    if choices.content == "contrast":
        raise ChoiceError("content=contrast compares places of pictures, and here is none; choose content=cycle.")
    if choices.identity_weight:
        raise ChoiceError(
            "identity_weight is of pictures: columns of A and of B are in units of their own pile. Leave it out."
        )
    hidden = choices.hidden or (256, 256)
    if len(set(hidden)) > 1:
        raise ChoiceError(f"hidden is {hidden}; the layers of a translator are of one width, e.g. hidden=256,256.")
    made = {
        "a": Made(schema.x, "x", hidden[-1], choices, alone=False),
        "b": Made(schema.y, "y", hidden[-1], choices, alone=False),
    }
    numbers = {name: math.prod(part.shape) for name, part in made.items()}
    both = sum(numbers.values())
    model = Translator(
        FieldsMap(numbers["a"], noise[1], made["b"], hidden[-1], len(hidden)),
        FieldsMap(numbers["b"], noise[0], made["a"], hidden[-1], len(hidden)),
        FieldsCode(both, noise[0]),
        FieldsCode(both, noise[1]),
        noise,
    )
    domains: dict[str, Mapping[str, Domain]] = {"a": schema.x, "b": schema.y}
    probability = choices.critic_augment or 0.0
    of_a_row = numbers_of(choices)
    critics = {name: Critic(part, domains[name], choices, numbers=of_a_row) for name, part in made.items()}
    return model, {name: augmented(critic, probability) for name, critic in critics.items()}


def _kept(model: Translator, choices: Choices) -> list[Term]:
    """What keeps the content, the noise, and by choice what is of a pile already; a number each."""
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
        if choices.diversity:
            share = choices.diversity / width
            terms.append(Term(KL(), f"noise_{side}", f"z_{side}", weight=share, training_only=True))
    return terms
