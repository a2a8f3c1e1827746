"""Pairs (x, y): encoder → z → decision rule → q(y given x); L(θ) = Σ over targets of D(data, q)."""

from __future__ import annotations

from functools import partial
from typing import Any

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
from trine.methods._base import Facts, Method, methods
from trine.methods.defaults import resolve
from trine.models import Supervised
from trine.procedures import Descent, Procedure
from trine.rules import Linear, Rule, rule_for


@methods.register("supervised")
class SupervisedMethod(Method):
    """A table, images, or a mix of them as x; one or several simple variables as y."""

    def resolve(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
        """Defaults by what x and y are and by the number of rows; see :mod:`trine.methods.defaults`."""
        if not schema.y:
            raise SchemaError("Supervised learning needs a target: name a column with --y COL.")
        return resolve(schema, choices, facts)

    def build(self, schema: Schema, choices: Choices) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts."""
        members = choices.members or 1
        linear: Linear = nn.Linear if members == 1 else partial(MemberLinear, members)
        named = choices.rule if isinstance(choices.rule, dict) else dict.fromkeys(schema.y, choices.rule)

        encoder = Encoder(schema.x, choices) if schema.x else Constant()
        rules = {
            target: _rule(rule_for(domain, named.get(target)), encoder, domain, linear, choices)
            for target, domain in schema.y.items()
        }
        model = Supervised(encoder, rules, blank=bool(choices.unknown))

        terms = [
            Term(_divergence(choices.divergence, rule), f"y_hat.{name}", f"y.{name}", name=name)
            for name, rule in rules.items()
        ]
        if choices.unknown:
            terms += [
                Term(
                    _divergence(choices.divergence, rule),
                    f"blank.{name}",
                    f"y.{name}",
                    weight=choices.unknown,
                    name=f"{name}, nothing known",
                    training_only=True,
                )
                for name, rule in rules.items()
            ]
        criterion = Criterion(*terms)

        procedure = Descent(
            optimiser=choices.optimiser or "adamw",
            step_size=choices.step_size or 1e-3,
            schedule=choices.schedule or "constant",
            weight_decay=choices.weight_decay or 0.0,
            clip=choices.clip or 0.0,
            ema=choices.ema or 0.0,
            autocast=choices.autocast or "none",
            compile=choices.compile,
            betas=(0.9, 0.99),
        )
        return model, criterion, procedure


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


def _divergence(name: str, rule: Rule) -> Divergence:
    """The divergence of that name; KL with the weight by scale that the rule asks for."""
    kind = divergences[name]
    return KL(beta=rule.beta) if kind is KL else kind()
