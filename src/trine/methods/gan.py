"""Examples, alone or given a condition: noise → generator → what a critic cannot tell from them; L(θ) = learned D(fake, real)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from trine.blocks import Dense, Encoder
from trine.blocks.critic import Critic
from trine.blocks.differentiable_augmentation import augmented
from trine.blocks.makers import Made
from trine.choices import Choices
from trine.criterion import Criterion, Term
from trine.data import Schema
from trine.divergences import LearnedDivergence
from trine.divergences.kl import KL
from trine.divergences.learned import learned
from trine.divergences.mode_seeking import ModeSeeking
from trine.divergences.packed import Packed
from trine.domains import Audio, Category, Domain, Image, Numeric, Series
from trine.errors import ChoiceError, SchemaError, nearest
from trine.methods import _paired as paired
from trine.methods._base import Facts, Method, methods
from trine.methods.defaults import resolve
from trine.models import Generator, Noise
from trine.procedures import Descent, Procedure

BETAS = (0.0, 0.99)
"""Of both players: momentum carries a game past its rest (Gidel et al., `Negative Momentum for Improved Game Dynamics`, 2019)."""
DESCENT = ("optimiser", "step_size", "schedule", "weight_decay", "clip", "ema", "autocast", "compile")
"""Choices of both players' descent."""
MANY = 10_000
"""Rows from which on steps are many."""
FEW = 1000
"""Pictures below which what the critic sees is changed at random: it would know them by heart (Zhao et al., 2020, section 1)."""


BOUND = ("wasserstein", "cramer")
"""Divergences whose critics are bound by a penalty of their own, on slopes above one."""
LIPSCHITZ = 10.0
"""Its weight (Gulrajani et al., `Improved Training of Wasserstein GANs`, 2017, section 4)."""
ABOUT = {
    "diversity": "of answers to a condition (--method conditional_gan, unpaired)",
    "likelihood": "of numbers and categories that are made of noise, of a picture that is made of a picture, or of what a cycle "
    "between two piles brings back",
    "content": "of two piles (--method unpaired)",
    "identity_weight": "of two piles (--method unpaired)",
    "transport": "of two piles (--method unpaired)",
    "history": "of two piles (--method unpaired)",
}
"""Choices of some games alone → what they are about."""


LIKELIHOOD = 0.2
"""Weight of −log p(true row given noise), a column, of tables, as Grover et al., `Flow-GAN: Combining Maximum Likelihood and
Adversarial Learning in Generative Models`, 2018, add it. From 0.05 to 1 the AUC of Adult made anew is the same to a thousandth."""
LEARNED, PLAYED = 800_000, 2_000_000
"""Rows of a table that training sees where their likelihood is descended, and where a critic alone teaches: after two million
with the likelihood 0.515 of Adult's made rows lay nearer to training rows than to held-out ones."""

FEWEST = 16
"""Rows below which a user is warned."""


@methods.register("gan")
class GanMethod(Method):
    """Samples like x, for x alone: a generator against a critic."""

    side = "x"

    def resolve(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
        """Defaults by what is made; see :mod:`trine.methods.defaults` for what is shared."""
        self._check(schema)
        _refuse(choices)
        for name in self._not_of(schema):
            value = getattr(choices, name)
            if value:
                raise ChoiceError(f"{name} is {ABOUT[name]}, and {name}={value} is asked for here; leave it out.")
        self._warn(facts)
        wanted = self._derived(schema, choices, facts)
        epochs = choices.epochs or wanted["epochs"][0]
        # Of tables and of pairs a score may stand still while steps are large: most is gained where they end small.
        waits = epochs * 2 // 3 if "likelihood" in wanted else epochs // 3
        wanted["patience"] = (
            max(10, waits),
            "epochs without a score that is better by more than its noise; the best generator is kept",
        )
        for name in self._not_of(schema):
            wanted.pop(name, None)
        open_ = {name: found for name, found in wanted.items() if getattr(choices, name) is None}
        chosen = choices.replace(**{name: value for name, (value, _) in open_.items()})
        resolved, reasons = resolve(schema, chosen, facts)
        return resolved, {**reasons, **{name: why for name, (_, why) in open_.items()}}

    def build(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts."""
        model, critic = self._networks(schema, choices)
        given = "given" if self._condition(schema) else None
        divergence, pack = divergence_of(choices, critic), choices.pack or 1
        if pack > 1:
            divergence = Packed(divergence, pack)
        terms = [Term(divergence, "fake", "real", given, name="fake", training_only=True)]
        terms += self._terms(schema, choices)
        return model, Criterion(*terms), adversarial(choices)

    def needs(self, schema: Schema) -> tuple[str, ...]:
        """What is made, but for packed columns: these alone are made as missing."""
        return tuple(f"{self.side}.{name}" for name, domain in self._made(schema).items() if domain.pack is None)

    def _derived(self, schema: Schema, choices: Choices, facts: Facts) -> dict[str, tuple[Any, str]]:
        return derived(self._made(schema), choices, facts, self._condition(schema) is not None)

    def _networks(self, schema: Schema, choices: Choices) -> tuple[Generator, nn.Module]:
        """The generator and its critic."""
        made, condition = self._made(schema), self._condition(schema)
        model = network(made, condition, self.side, choices)
        pack = choices.pack or 1
        if pack > (choices.batch_size or pack):
            raise ChoiceError(f"pack is {pack}, and a batch has {choices.batch_size} rows; make batch_size larger.")
        critic = Critic(model.made, made, choices, condition, pack, numbers_of(choices))
        if not choices.critic_augment:
            return model, critic
        if len(made) > 1 or not isinstance(next(iter(made.values())), Image):
            raise ChoiceError(
                "critic_augment changes pictures, and what is made here is more or other than one; leave it out."
            )
        return model, augmented(critic, choices.critic_augment)

    def _terms(self, schema: Schema, choices: Choices) -> list[Term]:
        """Terms beside the learned one."""
        terms = [diversity_term(choices)] if self._condition(schema) and choices.diversity != 0 else []
        if choices.likelihood:
            share = choices.likelihood / len(self._made(schema))
            terms.append(Term(KL(), "answer", "real", weight=share, name="likelihood", training_only=True))
        return terms

    def _made(self, schema: Schema) -> Mapping[str, Domain]:
        return schema.x

    def _condition(self, schema: Schema) -> Mapping[str, Domain] | None:
        return None

    def _warn(self, facts: Facts) -> None:
        if facts.rows < FEWEST:
            warnings.warn(
                f"There are {facts.rows} rows to learn from: a generator learns so few by heart. Give it some hundreds.",
                stacklevel=2,
            )

    def _not_of(self, schema: Schema) -> Sequence[str]:
        """Choices of other games, which would be left out without a word."""
        return [name for name in ABOUT if name != "likelihood" or not self._drawn(schema)]

    def _drawn(self, schema: Schema) -> bool:
        """Whether what is made is drawn column by column from a density that is known where the noise is."""
        return not self._condition(schema) and all_drawn(self._made(schema))

    def _check(self, schema: Schema) -> None:
        if schema.y:
            raise SchemaError(
                "A gan makes x alone and has no target: leave y out, name the column that colours the report with --label COL, or "
                "make y given x with --method conditional_gan."
            )
        if not schema.x:
            raise SchemaError("A gan needs examples; name at least one column of x.")


@methods.register("conditional_gan")
class ConditionalGanMethod(GanMethod):
    """Samples of y given x, for any x that has an encoder. A picture given a picture is made by a network that keeps places."""

    side = "y"

    def needs(self, schema: Schema) -> tuple[str, ...]:
        """What is made, and the picture that one is made of."""
        pair = paired.pair_of(schema)
        return (*super().needs(schema), *(() if pair is None else (f"x.{pair[0]}",)))

    def _derived(self, schema: Schema, choices: Choices, facts: Facts) -> dict[str, tuple[Any, str]]:
        pair = paired.pair_of(schema)
        return super()._derived(schema, choices, facts) | (paired.derived(pair, facts) if pair else {})

    def _networks(self, schema: Schema, choices: Choices) -> tuple[Generator, nn.Module]:
        pair = paired.pair_of(schema)
        refuse_packs(choices)
        if pair is None:
            return super()._networks(schema, choices)
        return paired.network(pair, choices), paired.critic(pair, choices)

    def _terms(self, schema: Schema, choices: Choices) -> list[Term]:
        pair = paired.pair_of(schema)
        if pair is None:
            return super()._terms(schema, choices)
        return paired.terms(pair, choices)

    def _not_of(self, schema: Schema) -> Sequence[str]:
        mine = ("diversity",) if paired.pair_of(schema) is None else ("diversity", "likelihood")
        return [name for name in ABOUT if name not in mine]

    def _made(self, schema: Schema) -> Mapping[str, Domain]:
        return schema.y

    def _condition(self, schema: Schema) -> Mapping[str, Domain] | None:
        return schema.x

    def _check(self, schema: Schema) -> None:
        if not schema.y:
            raise SchemaError("A conditional gan makes y given x: name what is to be made with --y COL.")
        if not schema.x:
            raise SchemaError(
                "A conditional gan needs a condition: name at least one column of x, or take --method gan."
            )


def all_drawn(made: Mapping[str, Domain]) -> bool:
    """Whether what is made is drawn column by column, where it has no condition, and so has a density given noise."""
    return all(isinstance(domain, Numeric | Category) for domain in made.values())


def derived(made: Mapping[str, Domain], choices: Choices, facts: Facts, given: bool) -> dict[str, tuple[Any, str]]:
    """Choice → (value, why), where a game of two networks differs from a network with a target; ``given``: of a condition."""
    rows = facts.rows
    pictures = any(isinstance(domain, Image) for domain in made.values())
    drawn = pictures or any(isinstance(domain, Series | Audio) for domain in made.values())
    found: dict[str, tuple[Any, str]] = {
        "divergence": ("relativistic", "each true row against a made one, which leaves no good place to collapse to"),
        "penalty": (1.0, "on true and on made rows, so that the game comes to rest"),
        "critic_steps": (1, "the critic keeps up"),
        "pack": (1, "the pairing of the divergence misses no mode"),
        "critic_augment": (0.0, "there are enough rows"),
        "optimiser": ("adamw", "one step size serves weights of any scale"),
        "weight_decay": (0.0, "the penalties regularise"),
        "clip": (0.0, "the penalties keep the gradient short"),
        "schedule": ("cosine", "large steps early, small ones late"),
        "ema": (0.999, "the average of generators makes better rows than any one of them"),
        "members": (1, "one generator"),
        "unknown": (0.0, "there is no answer to give to a row with nothing known"),
        "augment": (False, "a picture is to be made as it is"),
        "flip": ("none", "a picture is to be made as it is"),
        "dropout": (0.0, "noise comes in as such"),
        "normalization": ("none", "a row is judged by itself"),
        "prenorm": (False, "there is no normalisation"),
        "residual": (False, "there are few layers"),
        "autocast": ("none", "penalties are slopes of slopes"),
        "calibration": ("none", "there is no probability to correct"),
    }
    # A game of series whose few steps looked at slopes in every fourth alone learned from one start in three.
    every = (
        4 if pictures or rows > MANY else 1,
        "a slope of a slope costs three times a value, and changes slowly; dense where steps are few",
    )
    bound = choices.divergence in BOUND
    if bound:
        found["penalty"] = (LIPSCHITZ, "on slopes above one, between true and made rows")
    if drawn:
        epochs = min(max(round(600_000 / rows), 5), 400)
        found |= {
            "noise": (64, "numbers that a row is made from"),
            "diversity": (1.0, "one condition has many answers"),
            "channels": (32, "of the first convolution"),
            "batch_size": (min(64, max(rows // 4, 2)), "of either side"),
            "epochs": (epochs, "to see about 600,000 rows, within 5 to 400 epochs"),
            "step_size": (1e-3, "held on digits and clothes"),
            "penalty_every": every,
        }
        if rows < FEW and pictures and len(made) == 1:
            found["critic_augment"] = (0.8, f"{rows:,} pictures would be known by heart")
    else:
        seen = LEARNED if not given and choices.likelihood != 0 and all_drawn(made) else PLAYED
        epochs = min(max(round(seen / rows), 20), 500)
        found |= {
            "noise": (64, "numbers that a row is made from"),
            "likelihood": (LIKELIHOOD, "of true rows where columns are drawn one after the other, a column"),
            "diversity": (0.01, "a critic of few numbers sees by itself where answers are all alike"),
            "hidden": ((256, 256), "of the generator and of the critic"),
            "activation": ("relu", "of the generator"),
            "batch_size": (min(256, max(rows // 4, 2)), "of either side"),
            "epochs": (epochs, f"to see about {seen:,} rows, within 20 to 500 epochs"),
            "step_size": (
                (3e-3, "of many rows, large until the schedule ends it: chosen on Adult's training rows")
                if rows > MANY and not given and numbers_of(choices) == 1
                else (1e-3, "held on tables")
            ),
            "penalty_every": every,
        }
    if bound:
        del found["penalty_every"]
    return found


def network(
    made: Mapping[str, Domain], condition: Mapping[str, Domain] | None, side: str, choices: Choices
) -> Generator:
    """The generator that resolved choices describe."""
    assert choices.noise is not None
    encoder = None if condition is None else Encoder(condition, choices)
    width = choices.noise + (0 if encoder is None else encoder.features)
    alone = len(made) == 1 and isinstance(next(iter(made.values())), Image)
    trunk: nn.Module = nn.Identity()
    features = width
    if not alone:
        trunk = Dense(width, choices.hidden or (256, 256), activation=choices.activation or "relu")
        features = trunk.features
    makers = Made(made, side, features, choices, alone=encoder is None)
    return Generator(Noise(choices.noise), trunk, makers, encoder, _apart(encoder, choices), bool(choices.likelihood))


def _apart(encoder: nn.Module | None, choices: Choices) -> bool:
    return encoder is not None and choices.diversity != 0


def numbers_of(choices: Choices) -> int:
    """How many numbers a critic of rows gives of each, as the divergence says."""
    name = choices.divergence or ""
    return learned[name].numbers if name in learned else 1


def divergence_of(choices: Choices, critic: nn.Module) -> LearnedDivergence:
    """The learned divergence by its name, with the penalties that resolved choices name.

    Raises:
        ChoiceError: no divergence with a critic has that name.
    """
    name = choices.divergence
    assert name is not None
    if name not in learned:
        known = list(learned)
        raise ChoiceError(
            f"There is no divergence with a critic called {name!r}.{nearest(name, known)} Known: {', '.join(known)}."
        )
    kind: Any = learned[name]
    if name in BOUND:
        if choices.penalty_every is not None:
            raise ChoiceError(
                f"penalty_every is {choices.penalty_every}, and the penalty of divergence={name}, which makes it a distance, "
                "is looked at in every step of the critic; leave penalty_every out."
            )
        if choices.penalty == 0:
            raise ChoiceError(
                f"penalty is 0, and divergence={name} is no distance without its penalty; leave penalty out or make it larger."
            )
        return kind(critic, weight=choices.penalty)  # type: ignore[no-any-return]
    return kind(critic, r1=choices.penalty, r2=choices.penalty, every=choices.penalty_every)  # type: ignore[no-any-return]


def diversity_term(choices: Choices) -> Term:
    """What keeps answers under different noise apart."""
    weight = choices.diversity
    assert weight is not None
    return Term(ModeSeeking(), "fake", "other", ("apart", "real"), weight=weight, name="diversity", training_only=True)


def adversarial(choices: Choices) -> Procedure:
    """Descent of both players by turns, by resolved choices."""
    how: dict[str, Any] = {name: getattr(choices, name) for name in DESCENT}
    return Descent(**how, betas=BETAS, tighten_steps=choices.critic_steps or 1)


def refuse_packs(choices: Choices) -> None:
    """Refuse packs where each row has a condition of its own, or is a translation."""
    if (choices.pack or 1) > 1:
        raise ChoiceError(
            f"pack is {choices.pack}, and a critic sees rows in packs where nothing is given (method=gan); leave pack out."
        )


def _refuse(choices: Choices) -> None:
    """Choices that have no meaning for a generator."""
    if choices.posterior not in (None, "none") or choices.prior is not None:
        raise ChoiceError(
            "posterior and prior are about θ of a network with a target, and a generator has none; leave them out."
        )
    if choices.autocast not in (None, "none"):
        raise ChoiceError(
            "autocast rounds products, and the penalties of a game are slopes of slopes, which need them whole; leave it out."
        )
    if choices.rule is not None:
        raise ChoiceError("rule is about a y that is decided, and a generator makes samples; leave it out.")
    if choices.shape not in (None, "none") or choices.code is not None:
        raise ChoiceError(
            "code and shape are of method=autoencoder; a generator reads noise, of which there are noise=64 numbers."
        )
