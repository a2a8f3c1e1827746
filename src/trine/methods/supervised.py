"""Pairs (x, y): encoder → z → decision rule → q(y given x); L(θ) = Σ over targets of D(data, q)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from trine.blocks import Encoder, MemberLinear
from trine.blocks.constant import Constant
from trine.blocks.sequence import SequenceBlock
from trine.choices import Choices
from trine.criterion import Criterion, Term
from trine.data import Schema
from trine.divergences import KL, Divergence, divergences
from trine.domains import Domain
from trine.errors import ChoiceError, SchemaError
from trine.methods import semi_supervised as few_labels
from trine.methods._base import Facts, Method, methods
from trine.methods._scores import check_scores
from trine.methods.defaults import resolve
from trine.methods.posteriors import Ingredients, common, posteriors
from trine.models import Supervised
from trine.procedures import Procedure
from trine.rules import Linear, Rule, rule_for


@methods.register("supervised")
class SupervisedMethod(Method):
    """A table, images, or a mix of them as x; one or several simple variables as y."""

    def resolve(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
        """Defaults by what x and y are and by the number of rows; see :mod:`trine.methods.defaults`."""
        if not schema.y:
            raise SchemaError("Supervised learning needs a target: name a column with --y COL.")
        kind = posteriors[choices.posterior or "none"]
        wanted = {} if choices.posterior in (None, "none") and choices.prior is None else common(kind, choices, facts)
        wanted = wanted | few_labels.derived(schema, choices, facts)
        wanted = wanted | {"divergence": ("kl", "its mean is −log likelihood + const")}
        open_ = {name: found for name, found in wanted.items() if getattr(choices, name) is None}
        resolved, reasons = resolve(
            schema, choices.replace(**{name: value for name, (value, _) in open_.items()}), facts
        )
        return resolved, reasons | {name: why for name, (_, why) in open_.items()}

    def build(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts."""
        kind = posteriors[choices.posterior or "none"]
        members = choices.members or 1
        linear: Linear = nn.Linear if members == 1 else partial(MemberLinear, members)
        named = choices.rule if isinstance(choices.rule, dict) else dict.fromkeys(schema.y, choices.rule)

        def network() -> Supervised:
            encoder = Encoder(schema.x, choices) if schema.x else Constant()
            rules = {
                target: _rule(rule_for(domain, named.get(target)), encoder, domain, linear, choices)
                for target, domain in schema.y.items()
            }
            found = Supervised(
                encoder, rules, blank=bool(choices.unknown), theta=choices.prior is not None and kind.point
            )
            return few_labels.wrapped(found, schema, choices) if few_labels.uses_unlabelled(choices, facts) else found

        rules = {target: rule_for(domain, named.get(target)) for target, domain in schema.y.items()}
        for target, rule in rules.items():
            check_scores(choices.divergence or "kl", target, rule, schema.y[target])
        written = [target for target, rule in rules.items() if rule.reads_memory]
        if written and kind.mixes:
            raise ChoiceError(
                f"posterior={choices.posterior} mixes what many θ's say of y, and {written[0]!r} is a sequence, whose decoding "
                "follows one θ; choose posterior=none, with a prior if you like."
            )
        if choices.sharding == "full" and kind.mixes:
            raise ChoiceError(
                f"posterior={choices.posterior} draws whole θ's, and sharding=full leaves each process a part of one; choose "
                "sharding=none, with which several processes do train a posterior, or posterior=none."
            )
        terms = [
            Term(_divergence(choices.divergence or "kl", rule, kind.exact), f"y_hat.{name}", f"y.{name}", name=name)
            for name, rule in rules.items()
        ]
        if choices.unknown:
            terms += [
                Term(
                    _divergence(choices.divergence or "kl", rule, kind.exact),
                    f"blank.{name}",
                    f"y.{name}",
                    weight=choices.unknown,
                    name=f"{name}, nothing known",
                    training_only=True,
                )
                for name, rule in rules.items()
            ]
        if few_labels.uses_unlabelled(choices, facts):
            if choices.posterior not in (None, "none"):
                raise ChoiceError(
                    f"posterior={choices.posterior} is of the labelled rows' likelihood, and rows without y have no part in it; "
                    "choose posterior=none or unlabelled=none."
                )
            with torch.random.fork_rng(devices=[]):
                terms += few_labels.terms(network(), schema, choices, facts)
        return kind.build(Ingredients(network, tuple(terms), choices, facts))


def _rule(kind: type[Rule], encoder: Encoder | Constant, domain: Domain, linear: Linear, choices: Choices) -> Rule:
    """The rule of that kind, with the memory that it may read.

    Raises:
        ChoiceError: members are wanted for a rule that serves one network.
    """
    if not kind.reads_memory:
        return kind(encoder.features, domain, linear)
    if (choices.members or 1) > 1:
        raise ChoiceError(f"A sequence y has one network, and members is {choices.members}; set members=1.")
    widths = [block.width for block in encoder.blocks if isinstance(block, SequenceBlock)]
    build: Any = kind
    rule: Rule = build(encoder.features, domain, linear, memory=widths, units=choices.units, dropout=choices.dropout)
    return rule


def _divergence(name: str, rule: type[Rule], exact: bool) -> Divergence:
    """The divergence of that name; KL with the weight by scale that the rule asks for, where it need not be the likelihood."""
    kind = divergences[name]
    return KL(beta=0.0 if exact else rule.beta) if kind is KL else kind()
