"""A pretrained encoder and a few pairs (x, y): its layers go on being trained, all, the last, or from the top down."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from trine.blocks import MemberLinear
from trine.blocks.dense import Dense
from trine.choices import Choices
from trine.criterion import Criterion, Term
from trine.data import Schema
from trine.divergences import KL, divergences
from trine.errors import ChoiceError, SchemaError
from trine.methods._base import Facts, Method, methods
from trine.methods._scores import check_scores
from trine.methods.defaults import resolve
from trine.models.transfer import Topped, Tuned, layer_groups
from trine.procedures import Descent, Procedure
from trine.procedures.gradual import Gradual
from trine.rules import Linear, Rule, rule_for

TUNES = ("frozen", "last", "all", "gradual")
STAGES = 4
"""Groups in which layers are let loose."""
GENTLER = 0.3
"""Step size beside that of a network trained from scratch: what was learned is a good place to start from."""
UNKNOWN_STEP, UNKNOWN_DECAY = 3e-4, 0.01
"""Of a network that is not of trine."""
HIDDEN = 256
"""Units of the head ``mlp``."""


@methods.register("transfer")
class TransferMethod(Method):
    """The network of an encoder with new rules.

    Args:
        encoder: batch → z, with ``features``, the width of z; it is copied, and stays as it is.
        tune: ``last``, ``all`` or ``gradual``.
        head: ``linear`` or ``mlp``.
        known: whether the encoder is of trine, whose domains of x have recipes of training.
        sample: a batch of a few rows, by which the order of layers is found; None: all layers are one group, as to restore.
    """

    def __init__(
        self,
        encoder: nn.Module | None = None,
        tune: str = "all",
        head: str = "linear",
        known: bool = True,
        sample: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.encoder, self.tune, self.head, self.known, self.sample = encoder, tune, head, known, sample

    def resolve(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
        """The encoder's own network, and a gentle training for the number of rows there are."""
        if self.encoder is None:
            raise ChoiceError(
                "method=transfer needs an encoder: trine transfer ENCODER DATA --y COL, or trine.Transfer(encoder).fit(X, y)."
            )
        if not schema.y:
            raise SchemaError("Transfer needs a target: name a column with --y COL.")
        if not self.known:
            return self._unknown(choices, facts)
        found, reasons = resolve(schema, choices, facts)
        if choices.step_size is None and found.step_size is not None:
            found = found.replace(step_size=round(found.step_size * GENTLER, 8))
            reasons["step_size"] = f"{GENTLER:g} of that from scratch: what was learned is a good place to start from"
        # A term for rows with nothing known would pull at what the encoder learned.
        return found.replace(unknown=0.0), reasons

    @staticmethod
    def _unknown(choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
        batch = 16 if facts.rows < 500 else 32
        epochs = min(max(round(50_000 / facts.rows), 3), 50)
        wanted: dict[str, tuple[Any, str]] = {
            "optimiser": ("adamw", "one step size serves weights of any scale"),
            "step_size": (UNKNOWN_STEP, "small, as the network was trained before"),
            "schedule": ("onecycle", "large steps early, small ones late"),
            "weight_decay": (UNKNOWN_DECAY, "of matrices and filters alone"),
            "clip": (1.0, "one bad batch cannot throw the weights far"),
            "ema": (0.0, "few steps"),
            "batch_size": (batch, "small, as rows are few"),
            "epochs": (epochs, "to see about 50,000 examples, within 3 to 50 epochs"),
            "patience": (max(8, epochs // 5), "epochs without a better held-out score"),
            "autocast": ("none", "full precision"),
        }
        open_ = {name: found for name, found in wanted.items() if getattr(choices, name) is None}
        resolved = choices.replace(**{name: value for name, (value, _) in open_.items()})
        return resolved, {name: why for name, (_, why) in open_.items()}

    def build(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts."""
        assert self.encoder is not None
        encoder = copy.deepcopy(self.encoder)
        groups = [] if self.sample is None else layer_groups(encoder, self.sample, self._most())
        # A code is one, whatever the network before it is made of.
        members = (choices.members or 1) if getattr(encoder, "members", None) is not None else 1
        linear: Linear = nn.Linear if members == 1 else partial(MemberLinear, members)
        whole: Any = encoder
        if self.head == "mlp":
            features = encoder.features
            assert isinstance(features, int)
            whole = Topped(encoder, Dense(features, (HIDDEN,), dropout=0.2))
            groups = [[f"encoder.{name}" if name else "encoder" for name in group] for group in groups]
        rules: dict[str, Rule] = {}
        for name, domain in schema.y.items():
            kind = rule_for(domain)
            check_scores(choices.divergence or "kl", name, kind, domain)
            if kind.reads_memory:
                raise SchemaError(f"Column {name!r} is y and is a sequence; transfer answers with a class or a number.")
            rules[name] = kind(whole.features, domain, linear)
        model = Tuned(whole, rules, groups, {"last": 1, "all": len(groups), "gradual": 0}[self.tune])
        terms = []
        for name, rule in rules.items():
            divergence = divergences[choices.divergence or "kl"]
            terms.append(
                Term(KL(beta=rule.beta) if divergence is KL else divergence(), f"y_hat.{name}", f"y.{name}", name=name)
            )
        procedure = (Gradual if self.tune == "gradual" else Descent)(
            optimiser=choices.optimiser or "adamw",
            step_size=choices.step_size or UNKNOWN_STEP,
            schedule=choices.schedule or "onecycle",
            weight_decay=choices.weight_decay or 0.0,
            clip=choices.clip or 0.0,
            ema=choices.ema or 0.0,
            autocast=choices.autocast or "none",
        )
        return model, Criterion(*terms), procedure

    def _most(self) -> int:
        """Groups: as many as stages, but for the last layer alone each layer is one."""
        return 1_000_000 if self.tune == "last" else STAGES
