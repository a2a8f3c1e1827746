"""In what units a batch has the numbers of each field."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from trine.domains import Audio, Date, Domain, Image, Numeric, Series, Vector


@functools.singledispatch
def spread_of(domain: Domain) -> Tensor | None:
    """Standard deviations over the training rows of the numbers that a batch has of a column, in a shape that they broadcast to
    without the rows; None of codes, as of categories and tokens. Open by ``spread_of.register(DomainType)``.
    """
    return None


@spread_of.register(Date)
@spread_of.register(Vector)
def _(domain: Date | Vector) -> Tensor:
    return torch.tensor(domain.std)


@spread_of.register
def _(domain: Numeric) -> Tensor:
    return torch.tensor([domain.std])


@spread_of.register
def _(domain: Image) -> Tensor:
    return torch.tensor(domain.std)[:, None, None]


@spread_of.register
def _(domain: Audio) -> Tensor:
    return torch.tensor(domain.loudness or 1.0)


@spread_of.register
def _(domain: Series) -> Tensor:
    """Encoded in standard deviations."""
    return torch.tensor(1.0)


def spreads(domains: Mapping[str, Domain]) -> dict[str, Tensor]:
    """Field of the batch → :func:`spread_of` its numbers, those of a pack side by side; fields of codes are left out.

    Args:
        domains: column → fitted domain of x, in the schema's order.
    """
    found: dict[str, list[Tensor]] = {}
    for column, domain in domains.items():
        spread = spread_of(domain)
        if spread is not None:
            found.setdefault(f"x.{domain.pack or column}", []).append(spread)
    return {field: torch.cat(parts) if len(parts) > 1 else parts[0] for field, parts in found.items()}
