"""Order, size and resumption of batches."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.data import Batches, Store
from trine.errors import ChoiceError


def store_of(n):
    return Store.of(x=torch.arange(n))


def rows_of(batches):
    return [batch["x"].tolist() for batch in batches]


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 3), st.booleans())
def test_an_epoch_is_every_row_once_and_no_batch_is_of_one_row(n, size, epoch, shuffle):
    batches = Batches(store_of(n), batch_size=size, seed=n, shuffle=shuffle)
    seen = rows_of(batches.epoch(epoch))
    rows = list(itertools.chain(*seen))
    assert len(seen) == batches.steps_per_epoch == len(batches)
    assert sorted(rows) == list(range(n))
    if n > 1 and size > 1:
        assert min(map(len, seen)) > 1
    if not shuffle:
        assert rows == list(range(n))


@given(st.integers(1, 60), st.integers(1, 12))
def test_drop_last_keeps_sizes_equal(n, size):
    seen = rows_of(Batches(store_of(n), batch_size=size, drop_last=True).epoch(0))
    assert {len(rows) for rows in seen} == {min(n, size)}
    assert len(seen) == max(1, n // size)


@given(st.integers(2, 40), st.integers(1, 9), st.integers(0, 2), st.data())
def test_resumed_anywhere_goes_on_as_if_never_stopped(n, size, epoch, data):
    whole = Batches(store_of(n), batch_size=size, seed=3)
    start = data.draw(st.integers(0, whole.steps_per_epoch - 1))
    resumed = Batches(store_of(n), batch_size=size, seed=3)
    resumed.state = (epoch, start)
    expected = rows_of(whole.epoch(epoch))[start:] + rows_of(whole.epoch(epoch + 1))
    assert rows_of(resumed) + rows_of(resumed) == expected
    assert resumed.state == (epoch + 2, 0)


def test_state_is_the_next_batch_while_a_batch_is_used():
    batches = Batches(store_of(6), batch_size=2)
    states = [batches.state for _ in batches]
    assert states == [(0, 1), (0, 2), (1, 0)]


def test_epochs_and_seeds_differ_and_leave_the_global_generator():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    orders = [Batches(store_of(50), seed=seed).order(epoch).tolist() for seed in (0, 1, -1) for epoch in (0, 1)]
    assert torch.rand(1) == expected
    assert len(set(map(tuple, orders))) == len(orders)


def test_only_the_given_rows():
    batches = Batches(store_of(10), torch.tensor([7, 3, 5]), batch_size=2, shuffle=False)
    assert rows_of(batches) == [[7, 3, 5]]


def test_bad_choices():
    with pytest.raises(ChoiceError, match="at least 1"):
        Batches(store_of(3), batch_size=0)
    with pytest.raises(ChoiceError, match="no rows"):
        Batches(store_of(3), torch.tensor([], dtype=torch.int64))
