"""What is scored of many rows is drawn among all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import trine
from trine.estimators._scored import samples
from trine.estimators._scored.some_rows import some_rows

DIGITS = load_digits()
ORDER = np.argsort(DIGITS.target, kind="stable")


@pytest.mark.parametrize("most", [40, 1797, 5000])
def test_rows_are_drawn_among_all_and_the_same_each_time(most: int) -> None:
    rows = np.arange(len(ORDER))
    found = some_rows(rows, most)
    assert len(found) == min(most, len(rows))
    assert (np.diff(found) > 0).all()
    assert np.array_equal(found, some_rows(rows, most))
    assert set(DIGITS.target[ORDER][found]) == set(range(10))


def test_pairs_stay_pairs() -> None:
    pairs = np.stack([np.arange(100), np.arange(100)[::-1]], 1)
    found = some_rows(pairs, 10)
    assert found.shape == (10, 2)
    assert (found.sum(1) == 99).all()


def test_a_folder_sorted_by_class_is_scored_by_all_of_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score that picks the generator read the first rows alone: of a sorted folder its first classes."""
    scored: list[Any] = []
    seen = samples.seen_rows

    def noted(network: Any, store: Any, schema: Any, rows: Any, place: Any) -> Any:
        scored.append(rows)
        return seen(network, store, schema, rows, place)

    monkeypatch.setattr(samples, "SCORED", 60)
    monkeypatch.setattr(samples, "JUDGED", 200)
    monkeypatch.setattr(samples, "seen_rows", noted)
    pictures = (DIGITS.images * 15).astype(np.uint8)[ORDER]
    trine.GAN(epochs=1, random_state=0, threads=1).fit(pictures[: 10 * 170])
    assert scored
    for rows in scored[:2]:
        assert set(DIGITS.target[ORDER][rows]) == set(range(10))
