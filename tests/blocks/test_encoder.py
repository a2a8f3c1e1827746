"""The encoder: fields as the store packs them, missing and hidden inputs, members, the trunk; scales and summary."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trine.blocks import Categories, Encoder, MemberLinear, Numbers, field_encoder, layer_scales, summary
from trine.choices import Choices
from trine.domains import Column, Domain
from trine.errors import SchemaError


class StandIn(Domain):
    """A domain reduced to what an encoder reads of it."""

    kind: ClassVar[str] = "stand-in"

    def fit(self, column: Column) -> Self:
        return self

    def encode(self, column: Column) -> np.ndarray:
        return column.values

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        return encoded

    def describe(self) -> str:
        return self.kind


@dataclasses.dataclass(frozen=True)
class ANumber(StandIn):
    pack: ClassVar[str | None] = "numbers"
    knots: tuple[float, ...] = (-1.0, 0.0, 1.0)
    atoms: tuple[float, ...] = ()
    mean: float = 0.0
    std: float = 1.0


@dataclasses.dataclass(frozen=True)
class ACategory(StandIn):
    pack: ClassVar[str | None] = "categories"
    labels: tuple[str, ...] = ("a", "b")
    shares: tuple[float, ...] = (0.5, 0.5)
    rows: int = 100


@dataclasses.dataclass(frozen=True)
class AThing(StandIn):
    size: int = 3


class Unread(StandIn):
    kind: ClassVar[str] = "unread"


class Things(nn.Module):
    """Reads a field of its own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, 5)
        self.features = 5

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


@field_encoder.register
def _(first: ANumber, domains: Sequence[Domain], choices: Choices) -> nn.Module:
    return Numbers(domains, 4, choices.numbers or "piecewise")


@field_encoder.register
def _(first: ACategory, domains: Sequence[Domain], choices: Choices) -> nn.Module:
    return Categories(domains, dims=4)


@field_encoder.register
def _(first: AThing, domains: Sequence[Domain], choices: Choices) -> nn.Module:
    return Things(first.size)


DOMAINS = {"age": ANumber(), "thing.1": AThing(), "job": ACategory(), "pay": ANumber(), "town": ACategory()}
ROWS = 6


def a_batch(rows: int = ROWS) -> dict[str, Tensor]:
    return {
        "x.numbers": torch.randn(rows, 2),
        "x.categories": torch.randint(0, 2, (rows, 2)),
        "x.thing.1": torch.randn(rows, 3),
    }


def test_fields_are_grouped_as_the_store_packs_them() -> None:
    encoder = Encoder(DOMAINS, Choices(hidden=(16,)))
    assert encoder.fields == ("x.numbers", "x.thing.1", "x.categories")
    assert encoder(a_batch()).shape == (ROWS, encoder.features) == (ROWS, 16)


def test_members_lead() -> None:
    encoder = Encoder(DOMAINS, Choices(hidden=(16, 8), members=3, normalization="batch"))
    z = encoder(a_batch())
    assert z.shape == (3, ROWS, 8)
    assert not torch.equal(z[0], z[1])
    z.sum().backward()
    assert encoder.members is not None
    assert encoder.members.scale.grad is not None


def test_a_lone_field_of_its_own_has_no_trunk_unless_asked() -> None:
    assert Encoder({"thing": AThing()}, Choices()).features == 5
    assert Encoder({"thing": AThing()}, Choices(hidden=(7,))).features == 7
    assert Encoder({"age": ANumber()}, Choices()).features == 256


def test_missing_field_is_answered_by_the_absent_vector() -> None:
    encoder = Encoder({"thing": AThing()}, Choices()).eval()
    with torch.no_grad():
        encoder.absent["0"].fill_(7.0)
    x = torch.full((3, 3), 1e9)
    z = encoder({"x.thing": x, "x.thing.present": torch.tensor([True, False, True])})
    assert (z[1] == 7.0).all()
    assert (z[0] != 7.0).any()
    encoder({"x.thing": x, "x.thing.present": torch.tensor([True, False, True])}).sum().backward()
    assert (encoder.absent["0"].grad == 1.0).all()


def test_the_blank_row_is_a_row_of_which_nothing_is_known() -> None:
    encoder = Encoder(DOMAINS, Choices(hidden=(8,), members=2, unknown=0.02))
    assert encoder.nothing is not None
    assert (encoder.nothing == 0).all()
    with torch.no_grad():
        encoder.nothing.normal_()
    batch = a_batch()
    nothing = {
        "x.numbers": torch.full((1, 2), math.nan),
        "x.categories": torch.full((1, 2), -1),
        "x.thing.1": torch.zeros(1, 3),
        "x.thing.1.present": torch.tensor([False]),
    }
    z = encoder(batch, blank=True)
    assert z.shape == (2, ROWS + 1, 8)
    torch.testing.assert_close(z[:, :-1], encoder(batch))
    z[:, -1].sum().backward()
    assert (encoder.nothing.grad == 2.0).all()
    encoder.eval()
    torch.testing.assert_close(z[:, -1:], encoder(nothing))
    # One thing known, if only that a category is none of those seen, and the row is answered from what is known.
    assert not torch.equal(encoder({**nothing, "x.categories": torch.tensor([[-1, -2]])}), encoder(nothing))
    assert not torch.equal(encoder({**nothing, "x.thing.1.present": torch.tensor([True])}), encoder(nothing))


def test_dropout_follows_torchs_generator() -> None:
    encoder = Encoder(DOMAINS, Choices(hidden=(8,), dropout=0.2))
    batch = a_batch()
    torch.manual_seed(3)
    first = encoder(batch)
    torch.manual_seed(3)
    assert torch.equal(encoder(batch), first)


def test_empty_x_and_unread_domains_are_refused() -> None:
    with pytest.raises(SchemaError, match="no columns"):
        Encoder({}, Choices())
    with pytest.raises(SchemaError, match="'unread'"):
        Encoder({"x": Unread()}, Choices())


def test_summary_names_blocks_shapes_and_parameters() -> None:
    encoder = Encoder(DOMAINS, Choices(hidden=(16, 8), members=3))
    model = nn.Sequential(encoder, MemberLinear(3, 8, 2)).train()
    rows = summary(model, a_batch())
    assert [(row.name, row.shape) for row in rows] == [
        ("2 numbers, piecewise-linear, 4 features each", "(batch, 8)"),
        ("Linear", "(batch, 5)"),
        ("2 categories, 8 places, 4 features each", "(batch, 8)"),
        ("3 weight-sharing members", "(3, batch, 21)"),
        ("dense 21 → 16 → 8, relu", "(3, batch, 8)"),
        ("MemberLinear", "(3, batch, 2)"),
    ]
    assert rows[4].parameters == 21 * 16 + 16 + 16 * 8 + 8
    assert all(module.training for module in model.modules())


def test_layer_scales_observe_and_change_nothing() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1), nn.Linear(1, 1))
    x = torch.randn(32, 4)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    model[0].weight.grad = torch.ones(8, 4)
    seen: list[Tensor] = []

    def run_backward() -> Tensor:
        hidden = model[:3](x)
        seen.append(model[0](x).detach())
        loss = model[3](hidden).sum()
        loss.backward()
        return loss

    rows = layer_scales(model, run_backward)
    assert [(row["layer"], row["kind"], row["depth"]) for row in rows] == [("0", "Linear", 0), ("3", "Linear", 1)]
    assert rows[0]["activation"] == pytest.approx(float(seen[0].std(correction=0)), rel=1e-5)
    assert rows[1]["gradient"] == 1.0  # every output counts one
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert (model[0].weight.grad == 1.0).all()
    assert model[3].weight.grad is None
    assert not any(module._forward_hooks for module in model.modules())
