"""Categories of a table: one shared table of embeddings, with a place for the missing and the unseen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from trine.choices import Choices
from trine.domains import Category, Domain
from trine.errors import ChoiceError, nearest

from ._base import field_encoder

DIMS = 16
"""Width of a category's embedding."""

RARE = 2
"""Training rows that a category needs for a place of its own."""

kinds = ("embedding", "onehot")
"""How categories enter."""

_PLACES = 2  # before a column's categories: unseen (−2), missing (−1)


class Categorical(Protocol):
    """What a packed categorical domain tells: its categories, in the order of their codes."""

    @property
    def labels(self) -> Sequence[Any]: ...
    @property
    def shares(self) -> Sequence[float]: ...
    @property
    def rows(self) -> int: ...


class Categories(nn.Module):
    """Packed codes (−1 missing, −2 unseen) → features: (batch, k) int64 → (batch, features).

    Each column has a place for every category, for the missing and for the unseen; all columns live in one table and
    are looked up at once. A category of a single training row shares the place of the unseen: a vector of its own would
    learn that row by heart, and so the place of the unseen learns what is known of a row with a category that is next
    to new. It starts at zero, the mean of the others, and stays there where no category is rare.

    Args:
        domains: the fitted domains, in the order of their columns.
        kind: ``embedding`` (rows N(0, 1), second moment one) or ``onehot``.
        dims: width of a column's embedding.

    Raises:
        ChoiceError: an unknown kind.
    """

    first: Tensor
    place: Tensor | None

    def __init__(self, domains: Sequence[Categorical], kind: str = "embedding", dims: int = DIMS) -> None:
        super().__init__()
        if kind not in kinds:
            raise ChoiceError(f"Categories cannot enter as {kind!r}.{nearest(kind, kinds)} Known: {', '.join(kinds)}.")
        sizes = torch.tensor([len(domain.labels) + _PLACES for domain in domains], dtype=torch.int64)
        self.kind = kind
        self.columns = len(domains)
        self.places = int(sizes.sum())
        self.features = self.columns * dims if kind == "embedding" else self.places
        # Place of a column's code 0.
        self.register_buffer("first", sizes.cumsum(0) - sizes + _PLACES)
        rare = torch.tensor([flag for domain in domains for flag in (False, False, *_rare(domain))])
        unseen = (self.first - _PLACES).repeat_interleave(sizes)
        place = torch.where(rare, unseen, torch.arange(self.places)) if bool(rare.any()) else None
        self.register_buffer("place", place)
        self.table = None
        if kind == "embedding":
            table = torch.randn(self.places, dims)
            table[unseen] = 0.0
            self.table = nn.Parameter(table)

    def forward(self, codes: Tensor) -> Tensor:
        places = codes + self.first
        if self.place is not None:
            places = self.place[places]
        if self.table is not None:
            return functional.embedding(places, self.table).flatten(1)
        return torch.zeros(len(codes), self.places, device=codes.device).scatter_(1, places, 1.0)

    def title(self) -> str:
        """The row of the derivation."""
        each = f"{self.features // self.columns} features each" if self.kind == "embedding" else "one-hot"
        return f"{self.columns} categor{'ies' if self.columns != 1 else 'y'}, {self.places} places, {each}"


def _rare(domain: Categorical) -> list[bool]:
    """Which categories have too few training rows; none where the rows are not known."""
    if not domain.rows:
        return [False] * len(domain.labels)
    return [share * domain.rows < RARE - 0.5 for share in domain.shares]


@field_encoder.register(Category)
def categories(first: Domain, domains: Sequence[Domain], choices: Choices) -> Categories:
    """The block of the pack ``categories``; by default embedded."""
    return Categories(cast(Sequence[Categorical], domains), choices.categories or "embedding")
