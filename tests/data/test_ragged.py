"""Rows of different lengths: kept end to end, padded in a batch, like lengths together."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.blocks import Encoder, SequenceBlock, field_encoder, own_steps
from trine.choices import Choices
from trine.data import Batches, Field, Schema, Store, Table, encode
from trine.domains import Column, Domain, Real, Sequences
from trine.errors import ChoiceError

ROWS = [np.array([[1.0], [2.0]]), np.zeros((0, 1)), np.array([[3.0], [4.0], [5.0]]), np.array([[6.0]])]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Track(Domain):
    """The least ragged domain: steps of one number, as they are."""

    kind: ClassVar[str] = "track"
    ragged: ClassVar[bool] = True

    def fit(self, column: Column) -> Self:
        return self

    def encode(self, column: Column) -> Sequences:
        return column.sequences

    def decode(self, encoded: Any) -> np.ndarray:
        return np.array([encoded[i] for i in range(len(encoded))], dtype=object)

    def describe(self) -> str:
        return "Track"


class Mean(SequenceBlock):
    """The mean of the steps."""

    width = features = 1

    def states(self, values: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return values, lengths

    def pool(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        own = own_steps(lengths, states.shape[1])[:, :, None]
        return (states * own).sum(1) / lengths.clamp_min(1)[:, None]


@field_encoder.register(Track)
def _(first: Track, domains: Any, choices: Choices) -> Mean:
    return Mean()


def table(absent: bool = True) -> Table:
    joined = Sequences.of(ROWS)
    missing = np.array([False, True, False, False]) if absent else None
    track = Column("track", joined.values, offsets=joined.offsets, absent=missing)
    return Table.of([track, Column("age", np.array([1.0, 2.0, 3.0, 4.0]))])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_taking_rows_is_taking_each(lengths: list[int], data: st.DataObject) -> None:
    rows = [np.arange(n) + 10.0 * i for i, n in enumerate(lengths)]
    chosen = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)), dtype=np.int64)
    taken = Sequences.of(rows).take(chosen)
    assert len(taken) == len(chosen)
    assert all((taken[place] == rows[row]).all() for place, row in enumerate(chosen))


def test_a_ragged_column_knows_its_rows() -> None:
    column = table().column("track")
    assert len(column) == 4
    part = column.take(np.array([2, 1]))
    assert part.missing.tolist() == [False, True]
    assert part.row(0) == 3
    assert part.sequences[0].tolist() == [[3.0], [4.0], [5.0]]


def test_a_batch_is_padded_to_its_longest_row() -> None:
    store = encode(table(), Schema({"track": Track(), "age": Real()}, {}))
    batch = store.batch(torch.tensor([3, 0, 1]))
    assert batch["x.track"][:, :, 0].tolist() == [[6, 0], [1, 2], [0, 0]]
    assert batch["x.track.length"].tolist() == [1, 2, 0]
    assert batch["x.track.present"].tolist() == [True, True, False]
    assert store.rows == 4
    assert store.batch(torch.tensor([1]))["x.track"].shape == (1, 1, 1)


def test_codes_are_padded_by_minus_one_and_sound_is_scaled() -> None:
    offsets = torch.tensor([0, 2, 3])
    codes = Field(torch.tensor([4, 5, 6], dtype=torch.int8), {"y.text": None}, index=True, offsets=offsets)
    sound = Field(torch.tensor([0, 16384, -32768], dtype=torch.int16), {"x.s": None}, divisor=32768.0, offsets=offsets)
    batch = Store({"y.text": codes, "x.s": sound}).batch(torch.tensor([1, 0]))
    assert batch["y.text"].tolist() == [[6, -1], [4, 5]]
    assert batch["y"].dtype == torch.int64
    assert batch["x.s"].tolist() == [[-1.0, 0.0], [0.0, 0.5]]
    assert codes.encoded(torch.tensor([1]))[0].tolist() == [6]


@pytest.mark.parametrize(("rows", "size"), [(1000, 16), (97, 16), (33, 32), (5, 8), (2049, 32)])
def test_an_epoch_has_every_row_once_and_like_lengths_together(rows: int, size: int) -> None:
    lengths = torch.randint(0, 200, (rows,))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    store = Store({"x.s": Field(torch.zeros(int(offsets[-1])), {"x.s": None}, offsets=offsets)})
    batches = Batches(store, batch_size=size, seed=3)
    order = batches.order(0)
    assert sorted(order.tolist()) == list(range(rows))
    assert order.tolist() == Batches(store, batch_size=size, seed=3).order(0).tolist()
    if rows >= 8 * size:
        assert order.tolist() != batches.order(1).tolist()
        padded = sum(batch["x.s"].numel() for batch in batches.epoch(0))
        assert padded < 1.35 * int(lengths.sum())


def test_the_encoder_reads_a_ragged_field_and_keeps_its_states() -> None:
    encoder = Encoder({"track": Track(), "age": Real().fit(table().column("age"))}, Choices.of({"hidden": ()}))
    store = encode(table(), Schema({"track": Track(), "age": Real().fit(table().column("age"))}, {}))
    z, memory = encoder.eval().encode(store.batch(torch.arange(4)))
    alone = encoder(store.batch(torch.tensor([0])))
    assert torch.allclose(z[:1], alone)
    assert [states.shape for states, _ in memory] == [(4, 3, 1)]
    assert memory[0][1].tolist() == [2, 0, 3, 1]


def test_a_domain_is_stated_with_fields() -> None:
    found = Domain.stated("image(height=12, on_bad=skip)")
    assert found.to_json() | {"height": 12, "on_bad": "skip"} == found.to_json()
    with pytest.raises(ChoiceError, match="no field 'heigth'"):
        Domain.stated("image(heigth=12)")
    with pytest.raises(ChoiceError, match="is no domain"):
        Domain.stated("image(height=12")
