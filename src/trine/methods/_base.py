"""From what the user has to the three parts, and the derivation that shows them."""

from __future__ import annotations

import abc
import dataclasses
import itertools
from typing import Any

import torch
from torch import nn

from trine.blocks import summary, titles
from trine.choices import Choices
from trine.criterion import Criterion
from trine.data import Batch, Schema
from trine.divergences import LearnedDivergence
from trine.models import Posterior, Translator
from trine.procedures import Procedure
from trine.registry import Registry

methods: Registry[type[Method]] = Registry("method", "trine.methods")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the training rows tell that a schema does not.

    Attributes:
        rows: number of training rows.
        invariances: mirror images that leave the meaning of an image as it is, e.g. ``("horizontal",)``, as measured;
            None when not measured.
        evidence: a sentence for the derivation on how the invariances were measured.
        unlabelled: number of rows without y beside them, of which x may be learned from.
        table_rows: number of all rows, those held out too.
    """

    rows: int
    invariances: tuple[str, ...] | None = None
    evidence: str = ""
    unlabelled: int = 0
    table_rows: int = 0


class Method(abc.ABC):
    """(schema, choices) → model, criterion, procedure."""

    @abc.abstractmethod
    def resolve(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
        """The choices with nothing left open, and the reason of each that was derived here.

        Raises:
            SchemaError, ChoiceError: the method cannot serve this schema or these choices; says what can.
        """

    @abc.abstractmethod
    def build(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts, from resolved choices; the same again in any process."""

    def needs(self, schema: Schema) -> tuple[str, ...]:
        """Fields, as a batch names them, of which a row has a value or teaches nothing; a y is asked for elsewhere. Here none."""
        return ()


@dataclasses.dataclass(frozen=True)
class Derivation:
    """The three parts and how they follow from what the user has. What is printed is what trains.

    Attributes:
        method: name of the method.
        schema: domains of x and y, fitted on the training rows.
        choices: resolved choices. ``reasons``: choice → why it is so, for those that were derived.
        model, criterion, procedure: the parts themselves.
        facts: what the training rows told.
    """

    method: str
    schema: Schema
    choices: Choices
    reasons: dict[str, str]
    facts: Facts
    model: nn.Module
    criterion: Criterion
    procedure: Procedure

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of which a row has a value or is left out."""
        return methods[self.method]().needs(self.schema)

    def sections(self, sample: Batch | None = None) -> dict[str, list[str]]:
        """Title → lines: what was inferred, model, decision rule (where one decides), criterion, procedure, choices.

        Args:
            sample: a batch of a few rows, to show the shapes that pass between the blocks.
        """
        posterior = self.model if isinstance(self.model, Posterior) else None
        network = self.model if posterior is None else posterior.network
        rows = summary(network, sample) if sample is not None else []
        rows = [row for row in rows if row.name]
        total = sum(p.numel() for p in network.parameters())
        rules = getattr(self.model, "rules", ())
        targets = getattr(self.model, "targets", ())
        piles = isinstance(self.model, Translator)
        found = {
            "what you have": self._had(piles),
            "model f(x, θ)": [
                *_aligned([(row.name, row.shape, f"{row.parameters:,}") for row in rows]),
                f"{total:,} parameters",
                *([] if posterior is None else [posterior.mixes()]),
            ],
            "decision rule": [
                line
                for target, rule in zip(targets, rules, strict=True)
                for line in (
                    f"{target}: {_kind_of(self.schema, target)} → {rule.formula}",
                    f"−log q({target}) = {rule.identity}",
                )
            ],
            "criterion": [*self.criterion.describe().splitlines(), *self.critics()],
            "procedure": [
                *self.procedure.describe().splitlines(),
                *self._batched(),
            ],
            "choices": _aligned([(choice["name"], choice["value"], choice["reason"]) for choice in self.chosen()]),
        }
        return {title: lines for title, lines in found.items() if lines}

    def _had(self, piles: bool) -> list[str]:
        """The columns; of two piles A's first."""
        if not piles:
            return self.schema.describe().splitlines()
        first = dataclasses.replace(self.schema, x=self.schema.y, y=self.schema.x)
        return first.describe("B", "A").splitlines()

    def critics(self) -> list[str]:
        """A line for each divergence that is learned: what its critic is made of, and what else it descends."""
        found = []
        for term in self.criterion.terms:
            learned: object = term.divergence
            while isinstance(inner := getattr(learned, "divergence", None), LearnedDivergence):  # of packs, of a pool
                learned = inner
            critic = getattr(learned, "critic", None)
            if isinstance(learned, LearnedDivergence) and isinstance(critic, nn.Module):
                parts = ", ".join(_counted(titles(critic)))
                total = sum(p.numel() for p in critic.parameters())
                bound = learned.penalised()
                found.append(f"v of {term.name}: {parts}; {total:,} parameters{f'; {bound}' if bound else ''}")
        return found

    def _batched(self) -> list[str]:
        """Which rows come in a batch, how many times, and what for."""
        size, rows, beside = self.choices.batch_size, self.facts.rows, self.facts.unlabelled
        if not beside:
            return [f"batches of {min(size or rows, rows)} of {rows:,} training rows, {self.choices.epochs} epochs"]
        if self.choices.unlabelled in (None, "none"):
            return [
                f"batches of {min(size or rows, rows)} of {rows:,} training rows, {self.choices.epochs} epochs; {beside:,} rows "
                "without y are left out"
            ]
        own, passes = self.choices.labelled_size or 0, self.choices.epochs
        return [
            f"batches of {own} of {rows:,} labelled rows beside {min((size or 0) - own, beside)} of {beside:,} without y; "
            f"{passes} pass{'es' * (passes != 1)} over the latter"
        ]

    def chosen(self) -> list[dict[str, str]]:
        """Name, value and reason of every choice that is made, by the user or here."""
        return [
            {"name": name, "value": _show(value), "reason": self.reasons.get(name, _unreasoned(name, value))}
            for name, value in sorted(self.choices.to_json().items())
            if value is not None
        ]

    def describe(self, sample: Batch | None = None) -> str:
        """The derivation in words and formulas."""
        blocks = []
        for title, lines in self.sections(sample).items():
            blocks.append("\n".join([title, *(f"  {line}" for line in lines)]))
        return "\n\n".join(blocks)

    def to_json(self, sample: Batch | None = None) -> dict[str, Any]:
        """The derivation for a machine."""
        return {
            "method": self.method,
            "schema": self.schema.to_json(),
            "choices": self.choices.to_json(),
            "reasons": self.reasons,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "sections": self.sections(sample),
        }

    def __str__(self) -> str:
        return self.describe()


def derive(method: str, schema: Schema, choices: Choices, facts: Facts, seed: int = 0) -> Derivation:
    """Resolve the choices, build the parts with weights drawn under ``seed``, and keep why.

    The caller's own random state is left as it was.
    """
    how = methods[method]()
    resolved, reasons = how.resolve(schema, choices, facts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, criterion, procedure = how.build(schema, resolved, facts)
    return Derivation(method, schema, resolved, reasons, facts, model, criterion, procedure)


def _kind_of(schema: Schema, target: str) -> str:
    """The kind of domain of what a rule decides; of several columns together, how they are called in the model."""
    domain = schema.y.get(target) or schema.x.get(target)
    return "columns of Real" if domain is None else type(domain).__name__


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (" × ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _unreasoned(name: str, value: Any) -> str:
    """Of a choice that was not derived: whether the user made it, or it stands as it always does."""
    return "as usual" if getattr(Choices(), name) == value else "as chosen"


def _counted(names: list[str]) -> list[str]:
    """Names in their order, those that follow each other as one with how many they are."""
    groups = [(name, len(list(same))) for name, same in itertools.groupby(names)]
    return [name if count == 1 else f"{count} × {name}" for name, count in groups]


def _aligned(rows: list[tuple[Any, ...]]) -> list[str]:
    """Rows as lines whose columns begin at the same place."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
