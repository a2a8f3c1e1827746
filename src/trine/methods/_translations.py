"""How two piles of some kind are translated: the networks either way, the critics, and the choices that they ask for."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from trine.blocks.critic import Critic
from trine.blocks.differentiable_augmentation import augmented
from trine.blocks.makers import Made
from trine.blocks.sequence_makers import Timeline, timeline_of
from trine.blocks.temporal_translation import TemporalTranslator
from trine.blocks.translation import PatchCritic, ResidualTranslator
from trine.blocks.unpaired import FieldsCode, FieldsMap, PictureCode, PictureMap, TimelineCode, TimelineMap
from trine.choices import Choices
from trine.data import Schema
from trine.domains import Audio, Category, Domain, Image, Numeric, Series, Vector
from trine.errors import ChoiceError, SchemaError
from trine.methods._base import Facts
from trine.methods.gan import BOUND, numbers_of
from trine.models import Translator
from trine.models.translator import SIDES, Contrast, Shared

SMALL = 48
"""Pixels of the shorter side below which a picture is small."""
WHOLE = 24
"""Pixels from which on a critic of small pictures sees each as a whole, 46 pixels; below, patches of 18."""
HALVED = (16, 32)
"""Steps from which on a network over time halves them once, and twice; thrice and a sound's overtones are learned later."""
TRANSPORT = 1.0
"""Price of moving a column, twice the absolute differences of what critics see of it: 2 for a number that is moved over half of its
scale, 4 for another category. From 0.2 to 1 more is kept, and what is made is nearer to the pile as well."""
EXAMPLES = 100_000
"""Of either pile, that training sees where places are kept."""

Derived = dict[str, tuple[Any, str]]
Networks = tuple[Translator, dict[str, nn.Module]]


class Piles(abc.ABC):
    """Two piles of one kind.

    Args:
        schema: with A as its x, and B as its y.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    @abc.abstractmethod
    def derived(self, choices: Choices, facts: Facts) -> Derived:
        """Choice → (value, why), where it differs from other games'."""

    @abc.abstractmethod
    def networks(self, choices: Choices) -> Networks:
        """The translator, and the critic of each pile, ``"a"`` and ``"b"``; of resolved choices.

        Raises:
            ChoiceError: a choice that these piles have no use for. SchemaError: what cannot be translated.
        """

    @property
    def sides(self) -> dict[str, tuple[str, Mapping[str, Domain]]]:
        """Side → its place in a batch, and its columns."""
        return {"a": ("x", self.schema.x), "b": ("y", self.schema.y)}

    def made(self, features: int, choices: Choices) -> dict[str, Made]:
        """What makes the columns of each pile of features."""
        return {name: Made(own, place, features, choices, alone=False) for name, (place, own) in self.sides.items()}

    def critics(self, made: Mapping[str, Made], choices: Choices) -> dict[str, nn.Module]:
        """Of whole rows."""
        return {
            name: augmented(
                Critic(part, self.sides[name][1], choices, numbers=numbers_of(choices)), choices.critic_augment or 0.0
            )
            for name, part in made.items()
        }


class Rows(Piles):
    """Tables, and any columns beside others: dense layers see a row as a whole."""

    def derived(self, choices: Choices, facts: Facts) -> Derived:
        width = max(1, min(8, len(self.schema.y) // 2))
        return {
            "noise": (width, "what one row leaves open, and no more than can be told from it"),
            "transport": (
                (TRANSPORT, "of the maps from pile to pile, one that moves a row no further than it has to")
                if self.compared
                else (0.0, "no column of both piles can be compared")
            ),
        }

    @property
    def compared(self) -> bool:
        """Whether both piles have a column whose values can be compared."""
        x, y = self.schema.x, self.schema.y
        return any(alike(x[name], y[name]) for name in x if name in y)

    def networks(self, choices: Choices) -> Networks:
        _without_places(choices)
        if choices.transport and not self.compared:
            raise ChoiceError(
                "transport compares numbers, categories and vectors that both piles have, and here are none; leave it out."
            )
        noise = _noise(choices)
        hidden = choices.hidden or (256, 256)
        if len(set(hidden)) > 1:
            raise ChoiceError(f"hidden is {hidden}; the layers of a translator are of one width, e.g. hidden=256,256.")
        made = self.made(hidden[-1], choices)
        numbers = {name: math.prod(part.shape) for name, part in made.items()}
        both = sum(numbers.values())
        model = Translator(
            FieldsMap(numbers["a"], noise[1], made["b"], hidden[-1], len(hidden)),
            FieldsMap(numbers["b"], noise[0], made["a"], hidden[-1], len(hidden)),
            FieldsCode(both, noise[0]),
            FieldsCode(both, noise[1]),
            noise,
            shared=shared(made) if choices.transport else None,
        )
        return model, self.critics(made, choices)


class Pictures(Piles):
    """A picture and a picture: what is made at a place is made of what was there.

    Args:
        a, b: of the only columns.
    """

    def __init__(self, schema: Schema, a: Image, b: Image) -> None:
        super().__init__(schema)
        self.a, self.b = a, b

    @property
    def side(self) -> int:
        """The least of both pictures' sides, in pixels."""
        return min(self.a.height, self.a.width, self.b.height, self.b.width)

    def derived(self, choices: Choices, facts: Facts) -> Derived:
        small = self.side < SMALL
        found: Derived = {
            "noise": (2 if small else 4, "what one picture leaves open; a wide code would carry content past a cycle"),
            "channels": (16, "of the networks at full size; their critics have twice as many"),
            "layers": (3 if small else 6, "residual blocks, which see all of a picture"),
            "critic_augment": (0.0, "patches are many, if pictures are few"),
            "batch_size": _batch(facts, 8),
            "epochs": _epochs(facts, "pictures"),
            "step_size": (5e-4, "held on digits"),
        }
        if WHOLE <= self.side < SMALL and choices.divergence not in BOUND:
            found["penalty"] = (
                0.05,
                "light, for a change of form is told by small differences: chosen on turned digits",
            )
        return found

    def networks(self, choices: Choices) -> Networks:
        _not_of_rows(choices)
        noise = _noise(choices)
        width, blocks = _sized(choices)
        side, (a, b) = min(self.a.height, self.a.width), (self.a, self.b)
        if side < 8:
            raise SchemaError(f"Pictures have {a.height} × {a.width} pixels; a translator needs at least 8 a side.")
        halvings = 2 if side >= 16 else 1
        to_b = ResidualTranslator(a.channels, b.channels, width, blocks, noise[1], halvings)
        to_a = ResidualTranslator(b.channels, a.channels, width, blocks, noise[0], halvings)
        both = a.channels + b.channels
        model = Translator(
            PictureMap(b, f"y.{_only(self.schema.y)}", to_b),
            PictureMap(a, f"x.{_only(self.schema.x)}", to_a),
            PictureCode(both, noise[0], width, side),
            PictureCode(both, noise[1], width, side),
            noise,
            same=bool(choices.identity_weight),
            contrast=Contrast(to_b.channels) if choices.content == "contrast" else None,
        )
        layers = 3 if side >= WHOLE else 2
        critics: dict[str, nn.Module] = {
            name: augmented(PatchCritic(domain.channels, 2 * width, layers), choices.critic_augment or 0.0)
            for name, domain in zip(SIDES[::-1], (a, b), strict=True)
        }
        return model, critics


class OverTime(Piles):
    """A series and a series, or a sound and a sound: what is made at a time is made of what was then.

    Args:
        a, b: how critics see the only columns.
    """

    def __init__(self, schema: Schema, a: Timeline, b: Timeline) -> None:
        super().__init__(schema)
        self.a, self.b = a, b

    def derived(self, choices: Choices, facts: Facts) -> Derived:
        found: Derived = {
            "noise": (2, "what one row leaves open; a wide code would carry content past a cycle"),
            "channels": (16, "of the networks at all steps; their critics have twice as many"),
            "layers": (4, "residual blocks, dilated, which see much of a row"),
            "batch_size": _batch(facts, 16),
            "epochs": _epochs(facts, "rows"),
            "step_size": (5e-4, "held on waves"),
        }
        if choices.divergence not in BOUND:
            found["penalty"] = (0.05, "light, for overtones are small differences: chosen on tones")
        return found

    def networks(self, choices: Choices) -> Networks:
        _without_places(choices)
        _not_of_rows(choices)
        noise = _noise(choices)
        width, blocks = _sized(choices)
        a, b = self.a, self.b
        halvings = sum(min(a.steps, b.steps) >= steps for steps in HALVED)

        def made_of(read: Timeline, line: Timeline, name: str, noise: int) -> TimelineMap:
            network = TemporalTranslator(read.shape[0], line.shape[0], width, blocks, noise, halvings)
            return TimelineMap(read, line, name, network)

        model = Translator(
            made_of(a, b, f"y.{_only(self.schema.y)}", noise[1]),
            made_of(b, a, f"x.{_only(self.schema.x)}", noise[0]),
            TimelineCode(a, b, noise[0]),
            TimelineCode(a, b, noise[1]),
            noise,
        )
        judging = dataclasses.replace(choices, channels=2 * width)
        return model, self.critics(self.made(1, judging), judging)


def shared(made: Mapping[str, Made]) -> Shared | None:
    """Where in the rows of either pile the columns are that both have; None where there are none that can be compared."""
    own = {side: part.places for side, part in made.items()}
    a, b, scale, columns = [], [], [], 0
    for name, theirs in own["b"].items():
        pairs = alike(made["a"].domains[name], made["b"].domains[name]) if name in own["a"] else []
        columns += bool(pairs)
        a += [own["a"][name][first] for first, _, _ in pairs]
        b += [theirs[second] for _, second, _ in pairs]
        scale += [weight for _, _, weight in pairs]
    return Shared(a, b, columns, scale) if columns else None


@functools.singledispatch
def alike(a: Domain, b: Domain) -> list[tuple[int, int, float]]:
    """Which numbers of a column as critics see it are those of the other pile's column of that name, and what each weighs; by A's
    type.
    """
    return []


@alike.register
def _(a: Numeric, b: Domain) -> list[tuple[int, int, float]]:
    # The place on each pile's own scale: what is more or less of all that the pile has.
    return [(0, 0, 1.0)] if isinstance(b, Numeric) else []


@alike.register
def _(a: Vector, b: Domain) -> list[tuple[int, int, float]]:
    return [(i, i, 1 / a.size) for i in range(a.size)] if isinstance(b, Vector) and a.size == b.size else []


@alike.register
def _(a: Category, b: Domain) -> list[tuple[int, int, float]]:
    if not isinstance(b, Category):
        return []
    theirs = {label: place for place, label in enumerate(b.labels)}
    return [(place, theirs[label], 1.0) for place, label in enumerate(a.labels) if label in theirs]


@functools.singledispatch
def translated(a: Domain, b: Domain, schema: Schema) -> Piles:
    """How piles of one column each are translated, by A's type; open by ``translated.register(DomainType)``."""
    return Rows(schema)


@translated.register
def _(a: Image, b: Domain, schema: Schema) -> Piles:
    return Pictures(schema, a, b) if isinstance(b, Image) else Rows(schema)


def _over_time(a: Domain, b: Domain, schema: Schema) -> Piles:
    read, line = timeline_of(a), timeline_of(b)
    if type(a) is not type(b) or read is None or line is None:
        return Rows(schema)
    return OverTime(schema, read, line)


translated.register(Series, _over_time)
translated.register(Audio, _over_time)


def piles(schema: Schema) -> Piles:
    """How A, the schema's x, and B, its y, are translated."""
    if len(schema.x) != 1 or len(schema.y) != 1:
        return Rows(schema)
    return translated(schema.x[_only(schema.x)], schema.y[_only(schema.y)], schema)


def _only(columns: Mapping[str, Domain]) -> str:
    return next(iter(columns))


def _noise(choices: Choices) -> tuple[int, int]:
    assert choices.noise is not None
    return choices.noise, choices.noise


def _sized(choices: Choices) -> tuple[int, int]:
    """Maps at full size, and blocks."""
    assert choices.channels is not None
    assert choices.layers is not None
    return choices.channels, choices.layers


def _batch(facts: Facts, most: int) -> tuple[int, str]:
    return min(most, max(facts.rows // 4, 2)), "of either pile; more, smaller steps keep more of what is shown"


def _epochs(facts: Facts, what: str) -> tuple[int, str]:
    epochs = min(max(round(EXAMPLES / facts.rows), 5), 200)
    return epochs, f"to see about {EXAMPLES:,} {what} of either pile, within 5 to 200 epochs"


def _not_of_rows(choices: Choices) -> None:
    """Refuse what is of rows alone."""
    if choices.transport:
        raise ChoiceError("transport is of tables, whose columns have names, and here are places; leave it out.")


def _without_places(choices: Choices) -> None:
    """Refuse what is of pictures alone."""
    if choices.content == "contrast":
        raise ChoiceError("content=contrast compares places of pictures, and here is none; choose content=cycle.")
    if choices.identity_weight:
        raise ChoiceError(
            "identity_weight is of pictures: columns of A and of B are in units of their own pile. Leave it out."
        )
