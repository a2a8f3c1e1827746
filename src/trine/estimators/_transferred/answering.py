"""How a frozen transfer answers, in the words of a derivation."""

from __future__ import annotations

import dataclasses
from typing import Any

from trine.choices import Choices
from trine.data import Schema


@dataclasses.dataclass(frozen=True)
class Answering:
    """How an answer follows from x, for those who ask: the derivation of a frozen transfer.

    Attributes:
        encoder: what z is taken from. features: numbers in z. head: in one line. schema: y's domain. rows: learned from.
    """

    encoder: str
    features: int
    head: str
    schema: Schema
    rows: int
    choices: Choices

    def sections(self, sample: Any = None) -> dict[str, list[str]]:
        """Title → lines."""
        return {
            "what you have": self.schema.describe().splitlines(),
            "representation": [
                f"z(x) by {self.encoder}: {self.features:,} numbers; frozen: no parameter, statistic or buffer moves",
                "computed once for these rows, kept, and read again by every head",
            ],
            "head": [self.head, f"fitted on {self.rows:,} rows"],
        }

    def chosen(self) -> list[dict[str, str]]:
        """Nothing is derived for a frozen encoder beside what the head says."""
        return []

    def describe(self, sample: Any = None) -> str:
        """In words."""
        return "\n\n".join(
            "\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in self.sections().items()
        )

    def to_json(self, sample: Any = None) -> dict[str, Any]:
        """For a machine."""
        return {"method": "transfer", "schema": self.schema.to_json(), "sections": self.sections()}

    def __str__(self) -> str:
        return self.describe()
