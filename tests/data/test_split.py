"""Rows held back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.data import split
from trine.errors import ChoiceError


@given(st.integers(0, 80), st.floats(0, 0.99), st.integers(0, 5))
def test_a_split_is_a_partition_of_the_asked_size(n, fraction, seed):
    train, held = split(n, fraction, seed)
    assert sorted([*train, *held]) == list(range(n))
    if n > 1:
        assert len(held) == (min(max(round(n * fraction), 1), n - 1) if fraction > 0 else 0)
    again = split(n, fraction, seed)
    np.testing.assert_array_equal(train, again[0])


@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.floats(0.01, 0.9), st.integers(0, 5))
def test_strata_are_divided_alike_and_every_class_trains(labels, fraction, seed):
    labels = np.array(labels)
    train, held = split(len(labels), fraction, seed, labels)
    assert sorted([*train, *held]) == list(range(len(labels)))
    for label in set(labels.tolist()):
        size = int((labels == label).sum())
        taken = int((labels[held] == label).sum())
        assert taken < size
        assert taken <= np.ceil(size * max(fraction, 1 / len(labels)) + 1)


def test_proportions():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    _, held = split(1000, 0.2, 0, labels)
    assert np.bincount(labels[held]).tolist() == [120, 60, 20]


def test_indices_text_labels_and_other_seeds():
    rows = np.arange(100, 200)
    train, held = split(rows, 0.3, 1, np.array(["a", "b"] * 50))
    assert set(train) | set(held) == set(rows.tolist())
    assert len(held) == 30
    assert set(held) != set(split(rows, 0.3, 2)[1])


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_fraction_out_of_range(fraction):
    with pytest.raises(ChoiceError, match="less than 1"):
        split(10, fraction, 0)
