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

REPLACED = 0.01
"""Share of known codes that training replaces by "unseen"."""

kinds = ("embedding", "onehot")
"""How categories enter."""

_PLACES = 2  # before a column's categories: unseen (−2), missing (−1)


class Categorical(Protocol):
    """What a packed categorical domain tells: its categories, in the order of their codes."""

    @property
    def labels(self) -> Sequence[Any]: ...


class Categories(nn.Module):
    """Packed codes (−1 missing, −2 unseen) → features: (batch, k) int64 → (batch, features).

    Each column has a place for every category, for the missing and for the unseen; all columns live in one table and
    are looked up at once. A category that training never showed cannot be learned from training rows as they are, so a
    small share of known codes is replaced by "unseen" while training (drawn from torch's global generator): its place
    learns what the other columns tell without this one, which is what is known about a row with a new category.

    Args:
        domains: the fitted domains, in the order of their columns.
        kind: ``embedding`` (rows N(0, 1), second moment one) or ``onehot``.
        dims: width of a column's embedding.
        replaced: share of codes replaced by "unseen" while training, in [0, 1).

    Raises:
        ChoiceError: an unknown kind.
    """

    first: Tensor

    def __init__(
        self, domains: Sequence[Categorical], kind: str = "embedding", dims: int = DIMS, replaced: float = REPLACED
    ) -> None:
        super().__init__()
        if kind not in kinds:
            raise ChoiceError(f"Categories cannot enter as {kind!r}.{nearest(kind, kinds)} Known: {', '.join(kinds)}.")
        sizes = torch.tensor([len(domain.labels) + _PLACES for domain in domains], dtype=torch.int64)
        self.kind = kind
        self.replaced = replaced
        self.columns = len(domains)
        self.places = int(sizes.sum())
        self.features = self.columns * dims if kind == "embedding" else self.places
        # Place of a column's code 0.
        self.register_buffer("first", sizes.cumsum(0) - sizes + _PLACES)
        self.table = nn.Parameter(torch.randn(self.places, dims)) if kind == "embedding" else None

    def forward(self, codes: Tensor) -> Tensor:
        if self.training and self.replaced:
            hidden = torch.rand(codes.shape, device=codes.device) < self.replaced
            codes = torch.where(hidden & (codes >= 0), -2, codes)
        places = codes + self.first
        if self.table is not None:
            return functional.embedding(places, self.table).flatten(1)
        return torch.zeros(len(codes), self.places, device=codes.device).scatter_(1, places, 1.0)

    def title(self) -> str:
        """The row of the derivation."""
        each = f"{self.features // self.columns} features each" if self.kind == "embedding" else "one-hot"
        return f"{self.columns} categor{'ies' if self.columns != 1 else 'y'}, {self.places} places, {each}"


@field_encoder.register(Category)
def categories(first: Domain, domains: Sequence[Domain], choices: Choices) -> Categories:
    """The block of the pack ``categories``; by default embedded."""
    return Categories(cast(Sequence[Categorical], domains), choices.categories or "embedding")
