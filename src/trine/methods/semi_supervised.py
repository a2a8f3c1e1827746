"""Few y's: what rows without one add to supervised learning on the same encoder."""

from __future__ import annotations

from typing import Any

from torch import nn

from trine.blocks import Encoder
from trine.blocks.corruption import Views
from trine.choices import Choices
from trine.criterion import Term
from trine.data import Schema
from trine.divergences.by_member import by_member
from trine.divergences.propagation import Propagation
from trine.divergences.pseudo_labels import PseudoLabels
from trine.domains import Category, Image
from trine.errors import ChoiceError, SchemaError
from trine.methods._base import Facts
from trine.models import Supervised

WEIGHT = {"consistency": 1.0, "pseudo": 1.0, "propagation": 1.0, "reconstruct": 0.1, "generative": 0.1}
"""Of what rows without y add, by default."""
OF_CLASSES = ("consistency", "pseudo", "propagation")
"""Uses of rows without y that take an answer of the network's own for a label."""
OF_CODES = ("reconstruct", "generative")
"""Uses of rows without y that have x again from a code."""
CODE = 16
"""Numbers in a code, unless more is known."""
ABOUT_CODES = {
    "code": "unlabelled=reconstruct or generative",
    "shape": "unlabelled=reconstruct or generative",
    "shape_weight": "unlabelled=reconstruct or generative",
    "free_bits": "unlabelled=reconstruct or generative",
    "warmup": "unlabelled=reconstruct or generative",
    "code_prior": "unlabelled=reconstruct or generative",
    "sparsity": "unlabelled=reconstruct or generative",
    "reconstruction": "unlabelled=reconstruct or generative",
    "contraction": "unlabelled=reconstruct",
    "corruption": "method=autoencoder, of x alone",
}
"""Choices that are of a code, and so without effect where there is none: what each belongs to."""


def uses_unlabelled(choices: Choices, facts: Facts) -> bool:
    """Whether rows without y take part."""
    return bool(facts.unlabelled) and choices.unlabelled not in (None, "none")


def derived(schema: Schema, choices: Choices, facts: Facts) -> dict[str, tuple[Any, str]]:
    """Choice → (value, why) that rows without y ask for; nothing where there are none.

    Raises:
        ChoiceError: rows without y are asked to be used, and there are none, or this y has no such use.
    """
    wanted = choices.unlabelled
    classes = all(isinstance(domain, Category) for domain in schema.y.values())
    if not facts.unlabelled:
        if wanted not in (None, "none"):
            raise ChoiceError(
                f"unlabelled is {wanted!r}, and every row has a y; leave rows of y empty to learn from their x alone."
            )
        return {}
    if wanted in (*OF_CLASSES, "generative") and not classes:
        raise ChoiceError(f"unlabelled={wanted} makes labels of classes, and y is none; choose unlabelled=reconstruct.")
    pictures = any(isinstance(domain, Image) for domain in schema.x.values())
    of_x = "reconstruct" if _comes_back(schema, choices) else "pseudo" if classes else "none"
    found: dict[str, tuple[Any, str]] = {}
    if wanted is None:
        few = facts.unlabelled >= facts.rows
        told = f"{facts.unlabelled:,} rows have no y, and {facts.rows:,} have one"
        use = ("propagation" if classes and pictures else of_x) if few else "none"
        why = (
            told if use in ("propagation", "reconstruct") else f"{told}; no column of x can be given again from a code"
        )
        found["unlabelled"] = (use, why if few else f"{told}: too few to matter")
    use = wanted or found["unlabelled"][0]
    if use == "none":
        return found
    if use in OF_CODES:
        _require_meaning(use, choices)
    else:
        _refuse_codes(use, choices)
    found["unlabelled_weight"] = (WEIGHT[use], "of what rows without y add")
    found["unknown"] = (0.0, "labels are too few to teach what a row with nothing known is")
    own = min(32 if pictures else 8, facts.rows)
    few_told = "in every batch: few, so that they are not learned by heart before x is"
    found["labelled_size"] = (own, "in every batch, so that no step is without labels" if pictures else few_told)
    found["batch_size"] = (own + (64 if pictures else 256), "labelled rows and more without y")
    if use == "reconstruct":
        found["code"] = (CODE, "numbers that x is to be had from")
    if use == "generative":
        found["shape"] = ("kl", "row by row, of the style code and of the label code (M2)")
        if (choices.code_prior or "").startswith("vq"):
            found["shape"] = (
                "none",
                "of the style code, which is quantised; the label code is brought to its prior row by row",
            )
        found["code"] = (CODE if pictures else 8, "numbers of style, beside the label code")
        found["members"] = (1, "a row is made from one label code")
    if use in OF_CLASSES:
        found["confidence"] = (0.95, "an answer of the network's own counts from this probability on")
    if use == "propagation":
        found["epochs"] = (max(round(150_000 / facts.unlabelled), 3), "labels spread between epochs, at least twice")
    elif pictures:
        found["epochs"] = (max(round(100_000 / facts.unlabelled), 1), "to see about 100,000 rows without y")
    if pictures:
        found["schedule"] = ("cosine", "large steps early, small ones late")
        found["step_size"] = (3e-3, "held on handwriting")
        found["channels"] = (16, "a narrow network makes more steps in the time")
        found["image"] = (
            "positional" if use in ("reconstruct", "generative") else "convolutional",
            "as the use of rows without y wants it",
        )
    elif use != "propagation":
        # With more, three of seventeen draws of Adult's labels were learned by heart: log losses of 0.6 in the place of 0.4.
        seen = 64_000 if use == "reconstruct" else 160_000
        epochs = min(max(round(seen / facts.unlabelled), 2), 150)
        found["epochs"] = (epochs, f"to see about {seen:,} rows without y, in at most 150 epochs")
        found["patience"] = (max(2, epochs // 5), "epochs without a better score of the labelled rows held out")
    return found


def _comes_back(schema: Schema, choices: Choices) -> bool:
    """Whether a column of x can be given again from a code."""
    from trine.methods.autoencoder import reconstructed

    try:
        return bool(reconstructed(schema, choices))
    except SchemaError:
        return False


def _refuse_codes(use: str, choices: Choices) -> None:
    """Refuse what is said of a code where rows without y are used without one.

    Raises:
        ChoiceError: names the choice, what it belongs to, and what to do.
    """
    for name, belongs in ABOUT_CODES.items():
        value = getattr(choices, name)
        if value and value != "none":
            raise ChoiceError(
                f"{name} is {value}: it is of codes that x comes back from, and unlabelled={use} has none; leave {name} out, "
                f"or choose {belongs}."
            )


def _require_meaning(use: str, choices: Choices) -> None:
    """Refuse what is said of an autoencoder and has no meaning where labels are learned on the same encoder.

    Raises:
        ChoiceError: names the choice, and what to do.
    """
    if choices.corruption:
        raise ChoiceError(
            f"corruption is {choices.corruption:g}: what is read would be destroyed for the labels too, which are learned from the "
            f"same reading under unlabelled={use}; leave corruption out."
        )
    if (choices.draws or 1) > 1 and choices.posterior in (None, "none"):
        raise ChoiceError(
            f"draws is {choices.draws}: the importance-weighted bound is of x alone, and under unlabelled={use} a row has one draw "
            "of its code; leave draws out."
        )
    if choices.image == "winners":
        raise ChoiceError(
            f"image=winners has the encoder's own units for a code, and under unlabelled={use} the code is another; "
            "choose positional or dense."
        )
    if choices.confidence is not None:
        raise ChoiceError(
            f"confidence is {choices.confidence:g}: it is of answers that are taken for labels, and unlabelled={use} takes none; "
            f"leave confidence out, or choose unlabelled={', '.join(OF_CLASSES[:-1])} or {OF_CLASSES[-1]}."
        )
    if use == "reconstruct":
        return
    if choices.contraction:
        raise ChoiceError(
            f"contraction is {choices.contraction:g}: it prices how a code follows x, and under unlabelled=generative the code "
            "follows a label that is drawn as well; leave contraction out, or choose unlabelled=reconstruct."
        )
    if (choices.members or 1) > 1:
        raise ChoiceError(
            f"members is {choices.members}, and under unlabelled=generative a row is made from one label code; choose members=1 "
            "or unlabelled=reconstruct."
        )


def wrapped(network: Supervised, schema: Schema, choices: Choices) -> Supervised:
    """The network with what rows without y are asked of."""
    from trine.methods.autoencoder import network as autoencoder
    from trine.models import GenerativeClassifier, Reconstructing, TwoViews

    rules = dict(zip(network.targets, network.rules, strict=True))
    if network.reads:
        raise ChoiceError(
            "A sequence y is written from what was read, and rows without y have no use there; unlabelled=none."
        )
    encoder = network.encoder
    assert isinstance(encoder, Encoder)
    asked = {"blank": network.blank, "theta": bool(network.theta)}
    if choices.unlabelled in ("consistency", "propagation"):
        return TwoViews(encoder, rules, Views(encoder.reads), **asked)  # type: ignore[arg-type]
    own = choices.replace(code=choices.code or CODE, members=1)
    if choices.unlabelled == "reconstruct":
        return Reconstructing(encoder, rules, autoencoder(schema, own, encoder), **asked)  # type: ignore[arg-type]
    if choices.unlabelled == "generative":
        shares = {name: _shares(domain) for name, domain in schema.y.items() if isinstance(domain, Category)}
        made = autoencoder(schema, own, encoder, sum(map(len, shares.values())))
        return GenerativeClassifier(encoder, rules, made, shares, **asked)  # type: ignore[arg-type]
    return network


def _shares(domain: Category) -> list[float]:
    """p(y): the shares of the classes among labelled rows, each a row more than it has."""
    counts = [share * domain.rows + 1 for share in domain.shares] or [1.0] * len(domain.labels)
    return [count / sum(counts) for count in counts]


def terms(model: nn.Module, schema: Schema, choices: Choices, facts: Facts) -> list[Term]:
    """What rows without y add to the criterion, in training alone: the score that stops is of the labelled rows."""
    from trine.methods._shapes import shape_terms
    from trine.methods.autoencoder import bounding_terms, reconstruction_terms
    from trine.models import GenerativeClassifier, Reconstructing

    weight = 1.0 if choices.unlabelled_weight is None else choices.unlabelled_weight
    if choices.unlabelled in OF_CLASSES:
        side = "y_hat" if choices.unlabelled == "pseudo" else "other"
        sure = 0.95 if choices.confidence is None else choices.confidence
        rows = facts.table_rows
        spreads = choices.unlabelled == "propagation"
        return [
            Term(
                Propagation(sure, len(domain.labels), rows, target) if spreads else PseudoLabels(sure),
                f"{side}.{target}",
                f"y_hat.{target}",
                weight=weight,
                name=f"{target}, {choices.unlabelled}",
                given="row" if spreads else None,
                training_only=True,
            )
            for target, domain in schema.y.items()
            if isinstance(domain, Category)
        ]
    assert isinstance(model, Reconstructing | GenerativeClassifier)
    own = choices.replace(code=choices.code or CODE)
    of_codes = [_of_codes(term, choices.members or 1) for term in (*shape_terms(own), *bounding_terms(own))]
    found = [*reconstruction_terms(model.decoding), *of_codes]
    if isinstance(model, GenerativeClassifier):
        found += _label_terms(schema, choices)
    for term in found:
        term.weight *= weight
        term.training_only = True
    return found


def _of_codes(term: Term, members: int) -> Term:
    """A term of an autoencoder by itself as one beside labels: its z is ``code.z``, and each member's codes are by themselves."""
    for role in ("predicted", "target", "given"):
        if getattr(term, role) == "z":
            setattr(term, role, "code.z")
    if members > 1 and {"code", "code.z"} & {term.predicted, term.target}:
        term.divergence = by_member(term.divergence)
    return term


def _label_terms(schema: Schema, choices: Choices) -> list[Term]:
    """What shapes label codes of rows without y to the shares of the classes, as style codes are shaped to their prior; row by row
    where nothing shapes those.
    """
    from trine.methods._shapes import shape_terms

    by_row = choices.shape in (None, "none", "kl")
    plain = {} if choices.shape == "kl" else {"shape": "kl", "shape_weight": None, "warmup": None}
    found = []
    for target, domain in schema.y.items():
        assert isinstance(domain, Category)
        own = choices.replace(code=len(domain.labels), code_prior="normal", free_bits=0.0, **(plain if by_row else {}))
        for term in shape_terms(own):
            term.predicted, term.target = f"label.{target}", f"prior.{target}"
            if by_row:  # prior and code, in closed form
                term.predicted, term.target, term.given = f"prior.{target}", f"free.{target}", None
            term.name = f"{target}, shape"
            found.append(term)
    return found
