"""Every built-in domain of x through the encoder, as a table gives it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trine.blocks import Encoder, summary
from trine.choices import Choices
from trine.domains import Category, Column, Count, Date, Domain, Image, Positive, Real, Unit, Vector

ROWS = 60
RNG = np.random.default_rng(0)


def raw_columns() -> dict[str, tuple[Domain, np.ndarray]]:
    heavy = RNG.standard_cauchy(ROWS) * 1e6
    heavy[3] = np.nan
    return {
        "heavy": (Real(), heavy),
        "price": (Positive(), np.exp(3 * RNG.normal(size=ROWS))),
        "colour": (Category(), RNG.integers(0, 4, ROWS)),
        "share": (Unit(), RNG.uniform(size=ROWS)),
        "picture": (Image(), RNG.integers(0, 256, (ROWS, 12, 10, 3)).astype(np.uint8)),
        "rooms": (Count(), RNG.poisson(3, ROWS).astype(float)),
        "seen": (Date(), np.datetime64("2020-01-01") + RNG.integers(0, 900, ROWS)),
        "sensors": (Vector(), RNG.normal(size=(ROWS, 5)) * 1e4),
        "yes": (Category(), RNG.integers(0, 2, ROWS)),
        "constant": (Real(), np.full(ROWS, 7.0)),
        "empty": (Real(), np.full(ROWS, np.nan)),
    }


@pytest.fixture
def table() -> tuple[dict[str, Domain], dict[str, Tensor]]:
    """(Fitted domains, batch) in the way of the store."""
    domains: dict[str, Domain] = {}
    packs: dict[str, list[np.ndarray]] = {"numbers": [], "categories": []}
    batch: dict[str, Tensor] = {}
    for name, (domain, values) in raw_columns().items():
        column = Column(name, values)
        domains[name] = fitted = domain.fit(column)
        encoded = fitted.encode(column)
        if fitted.pack is None:
            pixels = encoded.dtype == np.uint8
            batch[f"x.{name}"] = torch.from_numpy(encoded).float() / (255.0 if pixels else 1.0)
        else:
            packs[fitted.pack].append(encoded)
    batch["x.numbers"] = torch.from_numpy(np.concatenate(packs["numbers"], axis=1)).float()
    batch["x.categories"] = torch.from_numpy(np.concatenate(packs["categories"], axis=1)).long()
    return domains, batch


@pytest.mark.parametrize("numbers", ["piecewise", "periodic", "plain"])
@pytest.mark.parametrize("categories", ["embedding", "onehot"])
@pytest.mark.parametrize("members", [1, 3])
def test_mixed_table(
    table: tuple[dict[str, Domain], dict[str, Tensor]], numbers: str, categories: str, members: int
) -> None:
    domains, batch = table
    choices = Choices(hidden=(32,), numbers=numbers, categories=categories, members=members)
    encoder = Encoder(domains, choices)
    z = encoder(batch)
    assert z.shape == ((members, ROWS, 32) if members > 1 else (ROWS, 32))
    assert z.isfinite().all()
    assert 0.2 < z.square().mean().sqrt() < 5.0
    z.square().sum().backward()
    moved = [p for name, p in encoder.named_parameters() if not name.startswith("absent")]  # no value is missing here
    assert all(p.grad is not None and p.grad.isfinite().all() for p in moved)
    assert len(summary(encoder, batch)) >= 5


def test_bf16_autocast(table: tuple[dict[str, Domain], dict[str, Tensor]]) -> None:
    domains, batch = table
    encoder = Encoder(domains, Choices(hidden=(32,), members=2)).eval()
    exact = encoder(batch)
    with torch.autocast("cpu", torch.bfloat16):
        z = encoder(batch)
    assert z.dtype == torch.bfloat16
    assert (z - exact).square().mean() < 1e-3 * exact.square().mean()


def test_unknown_values_of_every_kind_are_answered(table: tuple[dict[str, Domain], dict[str, Tensor]]) -> None:
    domains, batch = table
    encoder = Encoder(domains, Choices(hidden=(32,))).eval()
    blank = {
        "x.numbers": torch.full((2, batch["x.numbers"].shape[1]), math.nan),
        "x.categories": torch.tensor([[-1, -1], [-2, -2]]),
        "x.picture": torch.zeros(2, 3, 12, 10),
        "x.picture.present": torch.tensor([False, False]),
        "x.sensors": torch.full((2, 5), math.nan),
        "x.sensors.present": torch.tensor([False, True]),
    }
    z = encoder(blank)
    assert z.isfinite().all()
    assert not torch.equal(z[0], z[1])


def test_domains_read_back_from_json_give_the_same_encoder(
    table: tuple[dict[str, Domain], dict[str, Tensor]],
) -> None:
    domains, batch = table
    again = {name: Domain.from_json(domain.to_json()) for name, domain in domains.items()}
    choices = Choices(hidden=(16,), members=2)
    torch.manual_seed(5)
    first = Encoder(domains, choices)
    torch.manual_seed(5)
    second = Encoder(again, choices)
    assert torch.equal(first.eval()(batch), second.eval()(batch))
    second.load_state_dict(first.state_dict())
