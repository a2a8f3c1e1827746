"""Tables made anew: known distances, judges that see what is wrong, copies that are found."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from trine.errors import DataError
from trine.evaluation.synthetic import (
    associations_apart,
    closest_record,
    detection,
    marginals_apart,
    nearer_to_training,
    usefulness,
)

WINE = load_wine(as_frame=True).frame.sample(frac=1, random_state=0)
WINE["target"] = WINE["target"].map({0: "a", 1: "b", 2: "c"})


def table(rows: int, seed: int, slope: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    kind = np.where(x > 0, "high", "low").astype(object)
    kind[rng.random(rows) < 0.1] = None
    y = slope * x + 0.1 * rng.normal(size=rows)
    y[rng.random(rows) < 0.1] = np.nan
    return {"x": x, "kind": kind, "y": y}


def test_distances_of_columns_have_known_values() -> None:
    a = {"k": np.array(["p", "p", "q", None], dtype=object), "n": np.array([0.0, 1.0, 2.0, 3.0])}
    b = {"k": np.array(["p", "q", "q", "q"], dtype=object), "n": np.array([10.0, 11.0, 12.0, np.nan])}
    assert marginals_apart({"k": a["k"]}, {"k": b["k"]}) == pytest.approx(0.5)  # ½ (¼ + ½ + ¼)
    assert marginals_apart({"n": a["n"]}, {"n": b["n"]}) == pytest.approx(1.0)
    assert marginals_apart(a, b) == pytest.approx(0.75)
    assert marginals_apart(a, a) == 0.0


def test_columns_that_come_apart_are_seen() -> None:
    one, other, wrong = table(2000, 0), table(2000, 1), table(2000, 2, slope=-1.0)
    assert associations_apart(one, other) < 0.03
    assert associations_apart(wrong, other) > 0.6
    assert detection(one, other) == pytest.approx(0.5, abs=0.06)
    assert detection(wrong, other) > 0.9


def test_what_is_learned_from_made_rows_serves_true_ones() -> None:
    one, other, wrong = table(2000, 0), table(2000, 1), table(2000, 2, slope=-1.0)
    assert usefulness(one, other, "y") > 0.9
    assert usefulness(wrong, other, "y") < -1
    assert usefulness(one, other, "kind") > 0.98
    assert usefulness(WINE[:90], WINE[90:], "target") > 0.95
    constant = {**one, "kind": np.array(["high"] * 2000, dtype=object)}
    assert usefulness(constant, other, "kind") == 0.5


def test_columns_without_a_value_are_no_reason_to_fail() -> None:
    """Of a sparse column the rows to learn from may have no value, of a target neither side."""
    one, other = table(300, 0), table(300, 1)
    empty, sparse = np.full(300, np.nan), np.where(np.arange(300) == 7, 1.0, np.nan)
    for column in (empty, sparse):
        assert usefulness({**one, "z": empty}, {**other, "z": column}, "kind") == usefulness(one, other, "kind")
        assert 0.3 < detection({**one, "z": empty}, {**other, "z": column}) < 0.7
    assert usefulness({"y": one["y"], "z": empty}, {"y": other["y"], "z": empty}, "y") == pytest.approx(0, abs=0.05)
    same = np.array(["high"] * 300, dtype=object)
    for made, true, target in (
        ({**one, "y": empty}, other, "y"),
        (one, {**other, "y": empty}, "y"),
        (one, {**other, "y": sparse}, "y"),
        (one, {**other, "kind": same}, "kind"),
        (one, {**other, "kind": np.array([None] * 300, dtype=object)}, "kind"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(usefulness(made, true, target))


def test_copies_of_training_rows_are_found() -> None:
    train, held, made = table(1500, 0), table(1500, 1), table(1500, 2)
    assert nearer_to_training(made, train, held) == pytest.approx(0.5, abs=0.06)
    assert nearer_to_training(train, train, held) > 0.99
    apart = [closest_record(rows, train) for rows in (made, held, train)]
    assert np.median(apart[0]) == pytest.approx(np.median(apart[1]), rel=0.1)
    assert (apart[2] == 0).all()


def test_data_frames_and_mappings_are_alike() -> None:
    one, other = table(300, 0), table(300, 1)
    assert marginals_apart(pd.DataFrame(one), pd.DataFrame(other)) == marginals_apart(one, other)


def test_other_columns_are_refused() -> None:
    with pytest.raises(DataError, match="'target' is in one of them alone"):
        marginals_apart(WINE, WINE.drop(columns="target"))
    with pytest.raises(DataError, match="There is no column 'price' to learn"):
        usefulness(WINE, WINE, "price")
