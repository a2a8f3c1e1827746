"""Every way beside every other: labels nested and balanced, one set of held-out rows, intervals, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import nn

import trine
from trine.errors import ChoiceError, DataError
from trine.estimators import _encoders
from trine.estimators._transferred.comparison import _nested, compare

X, Y = load_digits(return_X_y=True)
PICTURES = X.reshape(-1, 8, 8).astype(np.uint8) * 15


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRINE_CACHE", str(tmp_path / "cache"))
    _encoders.forget()


@pytest.fixture(scope="module")
def encoder() -> Any:
    return trine.Autoencoder(code=12, epochs=4, random_state=0, threads=1).fit(PICTURES)


def test_labels_are_nested_and_classes_count_alike() -> None:
    codes = np.repeat([0, 1, 2], [5, 50, 200])
    order = _nested(codes, len(codes), seed=0)
    assert sorted(order) == list(range(255))
    assert np.bincount(codes[order[:12]]).tolist() == [4, 4, 4]
    assert np.bincount(codes[order[:25]]).tolist() == [5, 10, 10]  # the rare class is used up
    assert not np.array_equal(order, _nested(codes, len(codes), seed=1))


def test_every_way_is_measured_on_the_same_rows(encoder: Any) -> None:
    told: list[str] = []
    found = compare(encoder, PICTURES, Y, labels=[10, 30], draws=2, valid=0.3, tell=told.append, seed=0)
    assert found.ways == ["z + linear", "z + net", "z + boosting", "x + boosting", "from scratch"]
    assert found.labels == [10, 30]
    assert len(told) == 2 * 2 * 5
    assert found.held_out == 539
    for result in found.results:
        assert result.low <= result.value <= result.high
        assert result.value == pytest.approx(np.mean(result.draws))
    assert found.of("z + linear", 30).value > found.of("z + linear", 10).value
    # The best ends well above the worst, and a paired interval says on which side the representation stands.
    assert all(word in found.summary() for word in ("30 labels:", "against", "points", "held-out rows"))
    assert [f"{n} labels" in verdict for n, verdict in zip((10, 30), found.verdicts, strict=True)] == [True, True]
    assert set(found.columns()) >= {"way", "labels", "value", "low", "high", "draw_1", "draw_2"}


def test_a_representation_that_holds_nothing_is_said_to_be_behind() -> None:
    data, y = load_breast_cancer(return_X_y=True)
    frozen = nn.Linear(30, 4)
    nn.init.zeros_(frozen.weight)
    found = compare(frozen, data, y, labels=[100], draws=2, ways=["z + linear", "x + boosting"])
    assert "behind" in found.verdicts[0]


def test_an_encoder_that_knows_the_answers_of_held_out_rows_is_told(tmp_path: Path) -> None:
    data, y = load_breast_cancer(return_X_y=True)
    table = {**{f"x{i}": data[:, i] for i in range(4)}, "y": np.array(["a", "b"])[y]}
    other = {name: values[:300] for name, values in table.items()}
    run = trine.fit(table, "y", epochs=1, valid=0.2, threads=1, seed=0, out=tmp_path / "run")
    fitted = trine.Classifier(epochs=1, threads=1).fit(data[:, :4], y)
    alone = trine.fit({n: v for n, v in table.items() if n != "y"}, method="autoencoder", code=2, epochs=1, valid=0.0)

    def told(encoder: Any, data: Any, y: Any = "y") -> Any:
        return compare(encoder, data, y, labels=[20], draws=1, ways=["z + linear"])

    same = told(str(tmp_path / "run"), table)
    assert "trained to predict 'y' from these same data" in same.given_away
    assert same.given_away in same.summary()
    assert same.given_away == same.to_json()["given_away"]
    assert told(run, other).given_away is None
    assert "if it learned from any of the held-out rows" in told(fitted, data[:, :4], y).given_away
    assert told(alone, table).given_away is None
    assert "and the intervals do not count that choice" in same.summary()


def test_numbers_are_compared_by_their_error_and_own_ways_beside() -> None:
    data, y = load_diabetes(return_X_y=True)
    encoder = nn.Sequential(nn.Linear(10, 16), nn.Tanh())

    def mean(rows: np.ndarray, values: np.ndarray, held: np.ndarray) -> np.ndarray:
        return np.full(len(held), values.mean())

    held = np.arange(300, len(y))
    found = compare(
        encoder,
        data,
        y,
        labels=[50, 200],
        draws=2,
        ways=["z + linear", "x + boosting"],
        valid=held,
        also={"mean": mean},
    )
    assert found.metric == "rmse"
    assert found.of("mean", 200).draws[0] == pytest.approx(np.std(y[held]), rel=0.05)
    assert found.of("z + linear", 200).value < found.of("mean", 200).value
    assert "rmse lower by" in found.verdicts[1]


def test_what_cannot_be_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch, encoder: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    found = compare(encoder, PICTURES, Y, labels=[20], draws=1)
    assert found.ways == ["z + linear", "z + net", "from scratch"]
    assert "trine[boost]" in found.left_out["x + boosting"]
    assert "left out: x + boosting" in found.summary()


def test_trees_read_of_a_mixed_table_what_has_a_place() -> None:
    generator = np.random.default_rng(0)
    kind = generator.integers(0, 2, 300)
    words = np.array(["a", "quite", "long", "and", "winding", "road"])
    texts = [" ".join(generator.choice(words, generator.integers(3, 12))) + f" no {i}" for i in range(300)]
    data = {
        "size": generator.normal(kind, 1.0),
        "colour": np.where(generator.random(300) < 0.8, kind, 1 - kind).astype(str).astype(object)
        + np.array("c", dtype=object),
        "told": np.array(texts, dtype=object),
        "kind": np.array(["no", "yes"])[kind],
    }
    x = {name: values for name, values in data.items() if name != "kind"}
    encoder = trine.fit(
        x, method="autoencoder", domains={"told": "text"}, code=4, epochs=2, valid=0.0, seed=0, threads=1
    )
    found = compare(encoder, data, "kind", labels=[100], draws=1, ways=["z + linear", "x + boosting"])
    assert found.of("x + boosting", 100).value > 0.7
    assert list(found.left_out) == ["'told' of x + boosting"]


def test_mistakes_are_told_in_words(encoder: Any) -> None:
    with pytest.raises(DataError, match=r"5,000 labels are asked for and 1,438 rows"):
        compare(encoder, PICTURES, Y, labels=[5000])
    with pytest.raises(ChoiceError, match=r"no way called 'z \+ liner'. Did you mean 'z \+ linear'"):
        compare(encoder, PICTURES, Y, ways=["z + liner"])
    with pytest.raises(DataError, match="1 class"):
        compare(encoder, PICTURES, np.ones(len(Y), dtype=int))
    with pytest.raises(DataError, match="labels are the fewest"):
        compare(encoder, PICTURES[:8], Y[:8] % 2, task="classification")
