"""What a generator makes and what a critic sees: columns as tensors that have a gradient, there and back."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trine.choices import Choices
from trine.domains import Category, Domain
from trine.errors import SchemaError


class Maker(nn.Module, abc.ABC):
    """How one field is made from features, and how a value of it looks to a critic.

    Attributes:
        features: width of the features that it reads.
        shape: of what it makes and of what a critic sees, without the batch.
    """

    features: int
    shape: tuple[int, ...]

    @property
    def column(self) -> Tensor:
        """(numbers,) which of the field's columns, counted from 0, each number is a part of; by default each is one by itself."""
        return torch.arange(math.prod(self.shape))

    @abc.abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """(batch, features) → (batch, *shape), made values as a critic sees them, with a gradient."""

    @abc.abstractmethod
    def seen(self, value: Tensor, present: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        """A batch's field → (batch, *shape), as a critic sees it; ``present``, ``length``: (batch,), where the field has them."""

    @abc.abstractmethod
    def encoded(self, seen: Tensor) -> list[Tensor]:
        """What a critic sees → each column of the field in its domain's encoded units, as ``decode`` reads it."""

    def log_density(self, features: Tensor, seen: Tensor) -> Tensor:
        """(batch, features), (batch, *shape) true values as a critic sees them → (batch,) log p(values given features), in nats.

        Raises:
            NotImplementedError: the values are a function of the features, and not drawn.
        """
        raise NotImplementedError(f"{type(self).__name__} makes values that follow from the features")


@functools.singledispatch
def maker_for(first: Domain, domains: Sequence[Domain], features: int, choices: Choices, alone: bool) -> Maker:
    """The block that makes one field; open by ``maker_for.register(DomainType)`` beside the block.

    Args:
        first: the first domain of the field; its type decides. domains: all of them, several for a packed field.
        features: width of what it reads. choices: resolved.
        alone: whether rows are made of noise alone, of no condition.

    Raises:
        SchemaError: no block makes this domain.
    """
    raise SchemaError(f"No generator makes a column of domain {first.kind!r}; leave the column out.")


@functools.singledispatch
def critic_for(first: Domain, domains: Sequence[Domain], shape: tuple[int, ...], choices: Choices) -> nn.Module:
    """The block that reads what a critic sees of one field, with the attribute ``features``; by default its numbers as they are.

    Open by ``critic_for.register(DomainType)`` beside the block. It must be differentiable twice, for penalties on slopes, and
    see every row by itself.
    """
    return Flat(math.prod(shape))


class Flat(nn.Module):
    """(batch, ...) → (batch, features): the numbers as they are."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, value: Tensor) -> Tensor:
        return value.flatten(1)


class Made(nn.Module):
    """All columns of one side: features → what a critic sees of them, and the same of a batch.

    A single field keeps its shape, (batch, *shape); several lie side by side, (batch, numbers). They are made one after the
    other, categories first, each knowing what was made before it, which is what keeps columns of one row to each other: the
    chain rule, p(x₁) p(x₂ | x₁) …

    Args:
        domains: column → fitted domain, in the schema's order.
        side: ``"x"`` or ``"y"``: columns of x of one pack share a field, those of y have one each.
        features: width of what the makers read. choices: resolved.
        alone: whether rows are made of noise alone, of no condition and of no other pile.

    Attributes:
        domains: as they were given. fields: name in a batch → columns in it.
        shape: of what a critic sees, without the batch.

    Raises:
        SchemaError: a domain that no block makes; names the column.
    """

    def __init__(
        self, domains: Mapping[str, Domain], side: str, features: int, choices: Choices, alone: bool = True
    ) -> None:
        super().__init__()
        self.domains = domains
        self.fields: dict[str, list[str]] = {}
        for column, domain in domains.items():
            if maker_for.dispatch(type(domain)) is maker_for.dispatch(Domain):
                raise SchemaError(
                    f"No generator makes a column of domain {domain.kind!r}, and {column!r} is one: leave it out by naming the "
                    "others (--x COL …), or give it as a condition (--method conditional_gan)."
                )
            pack = domain.pack if side == "x" else None
            self.fields.setdefault(f"{side}.{pack or column}", []).append(column)
        groups = [[domains[column] for column in columns] for columns in self.fields.values()]
        self.order = sorted(range(len(groups)), key=lambda i: not isinstance(groups[i][0], Category))
        makers: dict[int, Maker] = {}
        for i in self.order:
            makers[i] = maker_for(groups[i][0], groups[i], features, choices, alone)
            features += math.prod(makers[i].shape)
        # A list, because a user's column may hold a dot, which a ModuleDict refuses.
        self.makers = nn.ModuleList(makers[i] for i in range(len(groups)))
        self.shapes = [makers[i].shape for i in range(len(groups))]
        self.shape = self.shapes[0] if len(self.shapes) == 1 else (sum(map(math.prod, self.shapes)),)

    def forward(self, features: Tensor) -> Tensor:
        parts: dict[int, Tensor] = {}
        for i in self.order:
            before = [part.flatten(1) for part in parts.values()]
            parts[i] = self.makers[i](torch.cat([features, *before], 1) if before else features)
        return self._joined([parts[i] for i in range(len(parts))])

    def log_density(self, features: Tensor, seen: Tensor) -> Tensor:
        """(batch, features), (batch, *shape) → (batch,) Σ log p(column given the true ones before it, features), in nats.

        Of numbers the density is that of their places on their own scales, uniform in a part at 0, whatever the units.

        Raises:
            NotImplementedError: a column follows from the features, and is not drawn.
        """
        parts, found = self.parts(seen), features.new_zeros(len(features))
        before: list[Tensor] = []
        for i in self.order:
            maker = self.makers[i]
            assert isinstance(maker, Maker)
            found = found + maker.log_density(torch.cat([features, *before], 1) if before else features, parts[i])
            before.append(parts[i].flatten(1))
        return found

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """A batch's columns as a critic sees them."""
        found = []
        for field, maker in zip(self.fields, self.makers, strict=True):
            assert isinstance(maker, Maker)
            present, length = batch.get(f"{field}.present"), batch.get(f"{field}.length")
            found.append(maker.seen(batch[field], present, length))
        return self._joined(found)

    @property
    def places(self) -> dict[str, list[int]]:
        """Column → where in (batch, numbers) the numbers are that a critic sees of it."""
        found: dict[str, list[int]] = {}
        start = 0
        for columns, maker in zip(self.fields.values(), self.makers, strict=True):
            assert isinstance(maker, Maker)
            count = math.prod(maker.shape)
            column = maker.column.cpu() if len(columns) > 1 else torch.zeros(count)
            found |= {name: (start + (column == i).nonzero().flatten()).tolist() for i, name in enumerate(columns)}
            start += count
        return found

    @property
    def column(self) -> Tensor:
        """(numbers,) which column each number that a critic sees is a part of."""
        found: list[Tensor] = []
        for maker in self.makers:
            assert isinstance(maker, Maker)
            found.append(maker.column.cpu() + (int(found[-1].max()) + 1 if found else 0))
        return torch.cat(found)

    def parts(self, seen: Tensor) -> list[Tensor]:
        """What a critic sees → the same, field by field, each in its own shape."""
        return parts_of(seen, self.shapes)

    def columns(self, seen: Tensor) -> dict[str, Tensor]:
        """What a critic sees → column → values in its domain's encoded units."""
        found: dict[str, Tensor] = {}
        for columns, maker, part in zip(self.fields.values(), self.makers, self.parts(seen), strict=True):
            assert isinstance(maker, Maker)
            found |= dict(zip(columns, maker.encoded(part), strict=True))
        return found

    def _joined(self, parts: list[Tensor]) -> Tensor:
        return parts[0] if len(parts) == 1 else torch.cat([part.flatten(1) for part in parts], 1)


def parts_of(seen: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Fields that lie side by side, (batch, numbers), each in its own shape again; a single one as it is."""
    if len(shapes) == 1:
        return [seen]
    split = torch.split(seen, [math.prod(shape) for shape in shapes], 1)
    return [part.reshape(-1, *shape) for part, shape in zip(split, shapes, strict=True)]
