"""x alone: encoder → code → z → a rule for each column; L(θ) = Σ over columns of D(x, x_hat) + D(code, prior)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trine.blocks import Dense, Encoder
from trine.blocks.sparse import Lifetime, TopK
from trine.blocks.spreads import spreads
from trine.blocks.winners import MAPS, maps_of
from trine.choices import Choices
from trine.criterion import Criterion, Term
from trine.data import Schema
from trine.divergences import KL, Divergence, Value
from trine.divergences.expectation import Expectation
from trine.domains import Audio, Domain, Image, Numeric, Real, Series, Text
from trine.errors import ChoiceError, SchemaError
from trine.latents import latent_for
from trine.latents.mixture import parts
from trine.latents.normal import AfterwardsLatent
from trine.methods._base import Facts, Method, methods
from trine.methods._shapes import shape_terms, stochastic
from trine.methods.defaults import resolve
from trine.models import Autoencoder
from trine.procedures import Descent, Procedure
from trine.rules import NormalColumns, Rule, default_reconstruction, rule_for

CODE = {"pictures": 16, "most": 16}
"""Numbers in a code by default: of pictures, and at most of a table."""


PARTS = 10
"""Most normals in the mixture that is fitted to codes that nothing shaped."""
WEIGHED = ("normal", "mixture", "vamp")
"""Priors under which codes have a density, as importance weights want it."""


@methods.register("autoencoder")
class AutoencoderMethod(Method):
    """A representation of x that x can be had from again, its codes shaped to a prior by choice."""

    def resolve(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
        """Defaults by what x is; see :mod:`trine.methods.defaults`."""
        if schema.y:
            raise SchemaError(
                "An autoencoder has no target: leave y out, or name the column that is to colour the codes with --label COL."
            )
        if not schema.x:
            raise SchemaError("An autoencoder needs an x; name at least one input column.")
        _refuse(choices)
        if choices.image == "convolutional":
            raise ChoiceError(
                "image=convolutional keeps the maximum over places, from which no picture can be drawn; choose positional or dense."
            )
        wanted = derived(schema, choices, facts)
        open_ = {name: found for name, found in wanted.items() if getattr(choices, name) is None}
        resolved, reasons = resolve(
            schema, choices.replace(**{name: value for name, (value, _) in open_.items()}), facts
        )
        _check_width(schema, resolved)
        return resolved, reasons | {name: why for name, (_, why) in open_.items()}

    def build(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts."""
        model = network(schema, choices)
        likelihood = [bound_term(model)] if model.draws > 1 else [*reconstruction_terms(model), *shape_terms(choices)]
        return model, Criterion(*likelihood, *bounding_terms(choices)), _descent(choices)


def derived(schema: Schema, choices: Choices, facts: Facts) -> dict[str, tuple[Any, str]]:
    """Choice → (value, why), where an autoencoder differs from a network with a target."""
    pictures = any(isinstance(domain, Image) for domain in schema.x.values())
    width = numbers_in(schema)
    strokes = _strokes(schema) if choices.image == "winners" else None
    code = CODE["pictures"] if pictures else max(1, min(CODE["most"], math.ceil(width / 2)))
    found: dict[str, tuple[Any, str]] = {
        "code": (code, "numbers in a code of pictures" if pictures else f"half of x's {width} numbers, at most {code}"),
        "shape": ("none", "nothing is asked of the codes but that x can be had from them"),
        "code_prior": ("mixture(10)", "fitted to the codes afterwards, for samples")
        if choices.shape in (None, "none")
        else ("normal", "what codes are brought to, and samples drawn from"),
        "members": (1, "one network, one code"),
        "unknown": (0.0, "there is no answer to give to a row with nothing known"),
        "augment": (False, "a picture is to be given as it was"),
        "flip": ("none", "a picture is to be given as it was"),
        "dropout": (0.0, "codes are to tell small differences"),
        "weight_decay": (0.0, "a narrow code regularises"),
        "step_size": (1e-3, "held on pictures and tables"),
        "schedule": ("cosine", "large steps early, small ones late"),
    }
    if any(isinstance(domain, Series | Audio) for domain in schema.x.values()):
        found["pooling"] = ("places", "what gives a row again needs to know where things are, and how long it is")
        found["normalization"] = ("none", "rows of like length meet in a batch, whose mean would take lengths away")
    elif any(isinstance(domain, Text) for domain in schema.x.values()):
        found["pooling"] = ("last", "what writes starts from what both ends have read")
    if any(domain.ragged for domain in schema.x.values()):
        found["step_size"] = (3e-3, "held on series and spoken digits")
    if (
        choices.shape == "kl"
        and (choices.draws or 1) == 1
        and any(isinstance(domain, Text) for domain in schema.x.values())
    ):
        found["free_bits"] = (0.25, "what writes a text does well without a code, which would collapse")
        found["warmup"] = (0.3, "a code is learned before it is priced")
    if pictures:
        batch = 2 ** round(math.log2(min(max(facts.rows / 100, 32), 128)))
        found |= {
            "step_size": (3e-3, "from 1e-3 to 3e-3 the likelihood of digits rose, at 5e-3 it fell"),
            "clip": (0.0, "a sum over pixels has a long gradient, which the optimiser scales"),
            "image": ("positional", "what draws a picture needs to know where things are"),
            "batch_size": (batch, f"about a hundredth of {facts.rows:,} rows, a power of two from 32 to 128"),
            "epochs": (
                min(max(round(600_000 / facts.rows), 10), 100),
                "to see about 600,000 examples, within 10 to 100 epochs",
            ),
        }
        if strokes is not None:
            found["channels"] = (MAPS, "strokes to draw with; the paper has 128, some ten times the time")
            units = math.prod(maps_of(strokes.height, strokes.width, choices.channels or MAPS))
            found["code"] = (units, "the maps' units, of which few are active")
            found["code_prior"] = ("unchanged", "codes are the maps' units as they are")
            found["hidden"] = ((), "strokes are drawn from the active units alone")
        if choices.image == "dense":
            found |= {
                "hidden": ((400,), "one wide layer either way"),
                "normalization": ("none", "of the dense layers"),
                "residual": (False, "one dense layer needs no shortcut"),
                "autocast": ("none", "the products of a dense network are small"),
            }
    return found


def network(schema: Schema, choices: Choices, encoder: Encoder | None = None, beside: int = 0) -> Autoencoder:
    """The model that resolved choices describe, on an encoder that there is or on its own.

    Args:
        beside: numbers that code and decoder read as well, beside the encoder's features and z.
    """
    own = encoder is None
    encoder = Encoder(schema.x, choices) if encoder is None else encoder
    assert choices.code is not None
    shape, word = choices.shape or "none", choices.code_prior or "normal"
    latent = (
        AfterwardsLatent(encoder.features + beside, choices.code, False)
        if shape == "none" and parts_afterwards(word) is not None
        else latent_for(word, encoder.features + beside, choices.code, stochastic(shape))
    )
    hidden = () if _drawn(schema, choices) else tuple(reversed(choices.hidden or (256, 256)))
    trunk = Dense(
        latent.width + beside,
        hidden,
        activation=choices.activation or "relu",
        normalization=choices.normalization or "none",
        prenorm=bool(choices.prenorm),
        residual=bool(choices.residual),
        dropout=choices.dropout or 0.0,
    )
    kinds = reconstructed(schema, choices)
    shared = [name for name, kind in kinds.items() if kind == "normal-fixed" and isinstance(schema.x[name], Real)]
    shared = shared if len(shared) > 1 else []
    rules = {
        name: _rule(rule_for(schema.x[name], kind), trunk.features, schema.x[name], choices)
        for name, kind in kinds.items()
        if name not in shared
    }
    together = None
    if shared:
        numeric = [domain for domain in (schema.x[name] for name in shared) if isinstance(domain, Numeric)]
        together = (NormalColumns(trunk.features, numeric), shared, [_places(schema)[name] for name in shared])
    return Autoencoder(
        encoder,
        latent,
        trunk,
        rules,
        together,
        corruption=choices.corruption or 0.0,
        sparsity=sparsity_of(choices)[0],
        contracts=_contracted(schema, choices),
        draws=draws_of(choices) if own else 1,
    )


def _contracted(schema: Schema, choices: Choices) -> Mapping[str, Tensor]:
    """Field → standard deviations of the numbers whose slope ``contraction`` prices; nothing where it is not asked for.

    Raises:
        ChoiceError: x has no numbers.
    """
    found = spreads(schema.x) if choices.contraction else {}
    if choices.contraction and not found:
        raise ChoiceError(
            f"contraction is {choices.contraction:g}: it bounds how steeply codes follow the numbers of x, and x has none "
            f"({', '.join(schema.x)}); leave contraction out, or bound codes by sparsity='topk(3)'."
        )
    return found


def parts_afterwards(word: str) -> int | None:
    """Most parts of the mixture of normals that is fitted afterwards to codes that nothing shaped; None where ``word`` is another
    prior than ``normal`` or a mixture.
    """
    if word == "normal":
        return PARTS
    found = re.fullmatch(r"mixture(?:\(([0-9]+)\))?", word.strip())
    return None if found is None else parts("mixture", (float(found[1]),) if found[1] else (), PARTS)


def draws_of(choices: Choices) -> int:
    """Draws of z for each row; more than 1 make the importance-weighted bound.

    Raises:
        ChoiceError: codes that are no densities, or a term of the evidence lower bound that this bound has not.
    """
    count = choices.draws or 1
    if count == 1:
        return 1
    if choices.shape != "kl":
        raise ChoiceError(
            f"draws is {count}: an importance-weighted bound is of shape=kl, and shape is {choices.shape}."
        )
    if not (choices.code_prior or "normal").startswith(WEIGHED):
        raise ChoiceError(
            f"draws is {count}: codes under code_prior={choices.code_prior} have no density to weigh draws by; choose "
            f"{', '.join(WEIGHED)}, or draws=1."
        )
    given = [name for name in ("free_bits", "warmup") if getattr(choices, name)]
    given += ["shape_weight"] if choices.shape_weight not in (None, 1.0) else []
    if given:
        raise ChoiceError(
            f"draws is {count}: the importance-weighted bound has no divergence of codes apart, so {given[0]} has no place in "
            f"it; leave {given[0]} out, or choose draws=1."
        )
    return count


def reconstructed(schema: Schema, choices: Choices) -> dict[str, str]:
    """Column of x → name of the rule that gives it again; columns whose domain has none are read and not given.

    Raises:
        SchemaError: no column has one. ChoiceError: a rule is asked for a column that is not there.
    """
    asked = choices.reconstruction if isinstance(choices.reconstruction, dict) else {}
    if unknown := sorted(set(asked) - set(schema.x)):
        raise ChoiceError(
            f"reconstruction names the column {unknown[0]!r}, which x has not; it has {', '.join(schema.x)}."
        )
    found: dict[str, str] = {}
    why = ""
    for name, domain in schema.x.items():
        wanted = choices.reconstruction if isinstance(choices.reconstruction, str) else asked.get(name)
        try:
            found[name] = wanted or default_of(domain)
        except SchemaError as error:
            why = str(error)
    if not found:
        raise SchemaError(f"No column of x can be given again from a code. {why}")
    return found


def default_of(domain: Domain) -> str:
    """The default rule of a column; registered by the rules' own files, which are read first."""
    from trine.rules import rules

    rules.load()
    return default_reconstruction(domain)


def reconstruction_terms(model: Autoencoder) -> list[Term]:
    """−log q of each column given z, summed."""
    return [Term(KL(), f"x_hat.{name}", f"x.{name}", name=name.strip("()")) for name in model.targets]


def bound_term(model: Autoencoder) -> Term:
    """−log 1/k Σ p(x, z_i)/q(z_i given x), which takes the place of reconstruction and shape."""
    return Term(ImportanceWeighted(model.draws), "bound", "code", name="bound")


class ImportanceWeighted(Divergence):
    r"""The importance-weighted bound of −log p(x), which the model gives as ``bound``, (batch,):

    .. math:: -\log \frac1k \sum_{i=1}^k \frac{p(x \mid z_i) p(z_i)}{q(z_i \mid x)}, \qquad z_i \sim q(z \mid x)

    At k = 1 it is the negative evidence lower bound; its mean falls to −log p(x) with k, so that q need no longer be p(z given x).

    Args:
        draws: k.

    References:
        Burda, Grosse and Salakhutdinov, `Importance Weighted Autoencoders`, 2016.
    """

    formula = "−log 1/{k} Σ p(x, z)/q(z given x)"

    def __init__(self, draws: int) -> None:
        super().__init__()
        self.draws = draws

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Tensor)
        return predicted

    def describe(self, predicted: str, target: str) -> str:
        """With k."""
        return self.formula.format(k=self.draws)


def sparsity_of(choices: Choices) -> tuple[nn.Module | None, float]:
    """(what makes codes sparse, or None; the weight of Σ|z|) by the word of ``sparsity``.

    Raises:
        ChoiceError: another word, numbers out of range, or codes that are distributions.
    """
    word = choices.sparsity
    if word is None:
        return None, 0.0
    found = re.fullmatch(r"(topk|lifetime|l1)\(([0-9.eE+-]+)\)", word.replace(" ", ""))
    if found is None:
        raise ChoiceError(f"sparsity is {word!r}; it is topk(k), lifetime(share) or l1(weight), e.g. topk(10).")
    if stochastic(choices.shape or "none"):
        raise ChoiceError(
            f"sparsity is of codes that are numbers, and under shape={choices.shape} they are distributions."
        )
    if (choices.code_prior or "").startswith("vq"):
        raise ChoiceError(
            f"sparsity is {word}, and a code under code_prior=vq is put together of learned vectors, which are used as they are; "
            "leave sparsity out, or code_prior."
        )
    try:
        number = float(found[2])
    except ValueError:
        raise ChoiceError(f"sparsity is {word!r}; in the parentheses stands a number.") from None
    if found[1] == "l1":
        if number <= 0:
            raise ChoiceError(f"sparsity is {word}; the weight of Σ|z| is above 0.")
        return None, number
    if found[1] == "lifetime":
        return Lifetime(number), 0.0
    if number != round(number) or (choices.code is not None and number >= choices.code):
        raise ChoiceError(
            f"sparsity is {word}; k is a whole number below {choices.code}, the numbers in a code, of which k are kept."
        )
    return TopK(round(number)), 0.0


def bounding_terms(choices: Choices) -> list[Term]:
    """What bounds a code besides its shape: the sum of its sizes, and how steeply it follows x; in training alone."""
    weight = sparsity_of(choices)[1]
    found = []
    if weight:
        found.append(Term(AbsoluteSum(), "z", "z", weight=weight, name="sparsity", training_only=True))
    if choices.contraction:
        slope = Expectation("‖∂z/∂x‖²")
        found.append(
            Term(
                slope, "contraction", "contraction", weight=choices.contraction, name="contraction", training_only=True
            )
        )
    return found


class AbsoluteSum(Divergence):
    """Σ|z|, whose weight makes numbers of a code exactly small: the likelihood of a Laplace prior."""

    formula = "Σ|{p}|"

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Tensor)
        return predicted.abs().sum(-1)


def _strokes(schema: Schema) -> Image:
    """The one picture that x is, as ``image="winners"`` wants it.

    Raises:
        ChoiceError: x is another thing, or has more columns.
    """
    domain = next(iter(schema.x.values()))
    if len(schema.x) > 1 or not isinstance(domain, Image):
        raise ChoiceError(
            f"image=winners is for an x that is one picture, and x has {', '.join(schema.x)}; choose positional or dense, with "
            "sparsity='topk(k)' where codes are to be sparse."
        )
    return domain


def numbers_in(schema: Schema) -> int:
    """Numbers that a row of x is made of, a category counting as one."""
    return sum(size_of(domain) for domain in schema.x.values())


def size_of(domain: Domain) -> int:
    """Numbers in one value; a sequence counts as many."""
    if isinstance(domain, Image):
        return domain.channels * domain.height * domain.width
    return 10**6 if domain.ragged else int(getattr(domain, "size", domain.width))


def _check_width(schema: Schema, choices: Choices) -> None:
    """Refuse a plain code that could hold a copy of x."""
    width = numbers_in(schema)
    sparse = sparsity_of(choices)
    bounded = sparse[1] or choices.corruption or choices.contraction or choices.image == "winners"
    bounded = bounded or (sparse[0] is not None and getattr(sparse[0], "k", 0) < width)
    assert choices.code is not None
    if choices.code >= width > 1 and choices.shape == "none" and not bounded:
        raise ChoiceError(
            f"code is {choices.code} and x has {width} numbers: a code as wide as x is a copy and learns nothing. Choose a code "
            f"below {width}, or bound it: shape=kl, sparsity='topk(3)', corruption=0.3 or contraction=0.1."
        )


def _refuse(choices: Choices) -> None:
    """Choices that have no meaning without a y."""
    if choices.posterior not in (None, "none") or choices.prior is not None:
        raise ChoiceError(
            "posterior and prior are about θ of a network with a target; the prior of an autoencoder's codes is code_prior "
            "(prior= of trine.Autoencoder)."
        )
    if (choices.members or 1) > 1:
        raise ChoiceError(f"An autoencoder has one network, and members is {choices.members}; leave it out.")
    if choices.rule is not None or choices.divergence not in (None, "kl"):
        raise ChoiceError(
            "rule and divergence are about y; the rule of x's columns is reconstruction, the codes' divergence shape."
        )


def _drawn(schema: Schema, choices: Choices) -> bool:
    """Whether z goes to what draws a picture directly, with no dense layer between."""
    alone = len(schema.x) == 1 and isinstance(next(iter(schema.x.values())), Image)
    return alone and choices.image != "dense" and not choices.hidden


def _places(schema: Schema) -> Mapping[str, int]:
    """Column of one number → its place in the field ``x.numbers``."""
    found: dict[str, int] = {}
    place = 0
    for name, domain in schema.x.items():
        if domain.pack == "numbers":
            found[name] = place
            place += domain.width
    return found


def _rule(kind: type[Rule], features: int, domain: Domain, choices: Choices) -> Rule:
    build: Any = kind
    more: dict[str, Any] = {"choices": choices} if kind.wants_choices else {}
    if kind.reads_memory:
        more = {"memory": [], "units": choices.units, "dropout": choices.dropout}
    rule: Rule = build(features, domain, nn.Linear, **more)
    return rule


def _descent(choices: Choices) -> Descent:
    """Descent as choices say, with critics of a slow momentum."""
    named = ("optimiser", "step_size", "schedule", "weight_decay", "clip", "ema", "autocast", "compile")
    given = {name: getattr(choices, name) for name in named if getattr(choices, name) is not None}
    return Descent(**given)
