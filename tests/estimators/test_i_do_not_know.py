"""Estimators that say how far a row lies from what they were trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

import trine
from trine.data import Table
from trine.domains import Column, Sequences
from trine.errors import ArtefactError


def table(n: int, seed: int, *, shuffled: bool = False) -> dict[str, np.ndarray]:
    """Kind decides size and code twice over; y is what it takes of them."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 5, n)
    size = kind * 10.0 + rng.normal(0, 1, n)
    code = np.array(list("abcde"))[kind]
    other = rng.normal(0, 1, n)
    if shuffled:
        size, code, other = rng.permutation(size), rng.permutation(code), rng.permutation(other)
    y = np.where(size + 5 * other + rng.normal(0, 5, n) > 20, "yes", "no")
    return {"size": size, "code": code, "other": other, "y": y}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> object:
    return trine.fit(
        table(1600, 0),
        y="y",
        out=tmp_path_factory.mktemp("novel") / "run",
        epochs=4,
        stop_fraction=0.2,
        threads=1,
        seed=3,
    )


def test_rows_whose_columns_contradict_each_other_are_unlike_the_training_rows(model: object) -> None:
    like, unlike = model.novelty(table(500, 1)), model.novelty(table(500, 1, shuffled=True))
    assert roc_auc_score(np.repeat([0, 1], 500), np.concatenate([like.score, unlike.score])) > 0.85
    assert unlike.flagged.mean() > 0.5
    assert like.flagged.mean() < 0.04
    assert like.p.mean() == pytest.approx(0.5, abs=0.06)


def test_rows_with_nothing_known_are_flagged(model: object) -> None:
    blank = {"size": np.full(3, np.nan), "code": np.array([None] * 3, dtype=object), "other": np.full(3, np.nan)}
    found = model.novelty(blank)
    assert found.flagged.all()
    assert found.p == pytest.approx(np.full(3, 1 / (model.novelty_.rows + 1)))


def test_predictions_carry_score_and_p_value_and_are_what_they_were(model: object) -> None:
    data = table(300, 4)
    columns, found = model.predictions(data), model.novelty(data)
    assert list(columns)[-2:] == ["novelty", "novelty_p"]
    assert (columns["novelty"] == found.score).all()
    assert (columns["novelty_p"] == found.p).all()
    assert (columns["y"] == model.predict(data)).all()


def test_an_evaluation_says_how_many_rows_are_unlike(model: object) -> None:
    assert "unlike" not in model.evaluate(table(400, 6)).summary()
    told = model.evaluate(table(400, 6, shuffled=True))
    assert f"{told.figures['novelty']['flagged']} of 400 rows are unlike the training data" in told.summary()


def test_it_is_saved_and_restored_to_the_bit(model: object, tmp_path: Path) -> None:
    again = trine.load(model.save(tmp_path / "m.trine"))
    assert (again.novelty(table(200, 8)).score == model.novelty(table(200, 8)).score).all()
    # An artefact of before there was a detector still predicts.
    again.novelty_ = None
    older = trine.load(again.save(tmp_path / "older.trine"))
    assert "novelty" not in older.predictions(table(5, 8))
    with pytest.raises(ArtefactError, match="no novelty detector"):
        older.novelty(table(5, 8))


def test_the_size_of_a_chunk_does_not_matter(model: object) -> None:
    data = {name: values[:1] for name, values in table(300, 9).items()}
    assert model.novelty(data).score[0] == pytest.approx(model.novelty(table(300, 9)).score[0], abs=1e-3)


@pytest.mark.parametrize("rows", [30, 300])
def test_arrays_have_it_too(rows: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, 6))
    model = trine.Regressor(epochs=2, random_state=0).fit(X, X[:, 0])
    assert model.novelty(X).flagged.mean() < 0.15
    if rows > 100:  # a dependence is not learned from 30 rows
        assert model.novelty(rng.permuted(X * 3, axis=0)).flagged.mean() > 0.5
    assert model.novelty(np.full((2, 6), np.nan)).flagged.all()
    assert not hasattr(clone(model), "novelty_")


def test_pictures_of_noise_are_unlike_pictures_of_bars() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    pictures = rng.integers(0, 30, (500, 12, 12)).astype(np.uint8)
    for picture, label, at in zip(pictures, y, rng.integers(1, 9, 500), strict=True):
        picture[(slice(at, at + 2), slice(None)) if label else (slice(None), slice(at, at + 2))] += 200
    model = trine.Classifier(epochs=3, random_state=0, validation_fraction=0.25).fit(pictures[:400], y[:400])
    noise = rng.integers(0, 256, (100, 12, 12)).astype(np.uint8)
    assert model.novelty(noise).flagged.mean() > 0.9
    assert model.novelty(pictures[400:]).flagged.mean() < 0.12


def waves(n: int, seed: int, noise: bool = False) -> Table:
    """Series of 20 to 60 steps, slow or quick waves; or white noise of the same size."""
    rng = np.random.default_rng(seed)
    series, y = [], rng.integers(0, 2, n)
    for i, length in enumerate(rng.integers(20, 61, n)):
        wave = np.sin((0.2 + 0.3 * y[i]) * np.arange(length) + rng.uniform(0, 6)) + 0.1 * rng.normal(size=length)
        series.append(rng.normal(0, 0.7, length) if noise else wave)
    joined = Sequences.of(series)
    names = np.array(["slow", "quick"], dtype=object)
    return Table.of([Column("wave", joined.values, offsets=joined.offsets), Column("y", y.astype(np.int32), names)])


@pytest.mark.parametrize(("sequence", "least"), [("convolutional", 0.95), ("gru", 0.8)])
def test_series_of_noise_are_unlike_waves_and_padding_does_not_matter(sequence: str, least: float) -> None:
    model = trine.fit(waves(500, 0), y="y", epochs=3, threads=1, stop_fraction=0.25, sequence=sequence)
    found = model.novelty(waves(60, 1))
    assert found.flagged.mean() < 0.12
    assert roc_auc_score(np.repeat([0, 1], 60), [*found.score, *model.novelty(waves(60, 1, noise=True)).score]) > least
    # Alone a row is padded by nothing.
    alone = [model.novelty(waves(60, 1).take(np.array([i]))).score[0] for i in range(5)]
    # (Distances between directions that hardly differ are taken of differences in float32.)
    assert alone == pytest.approx(list(found.score[:5]), abs=2e-2)


def test_texts_of_another_alphabet_are_unlike() -> None:
    rng = np.random.default_rng(0)
    parts = {"a": ["ka", "lo", "mi"], "b": ["tre", "sun", "dor"]}
    y = rng.choice(["a", "b"], 600)
    texts = np.array(["".join(rng.choice(parts[label], rng.integers(2, 6))) for label in y])
    model = trine.fit(
        {"name": texts[:500], "y": y[:500]}, y="y", domains={"name": "text"}, epochs=3, threads=1, stop_fraction=0.25
    )
    other = np.array(["".join(rng.choice(list("0123456789#%"), 8)) for _ in range(100)])
    score = [*model.novelty({"name": texts[500:]}).score, *model.novelty({"name": other}).score]
    assert roc_auc_score(np.repeat([0, 1], 100), score) > 0.95


def test_the_weights_are_those_of_a_training_without_a_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    data = table(300, 0)
    one = trine.fit(data, y="y", epochs=1, threads=1, seed=1)
    monkeypatch.setattr("trine.estimators._estimator.fit_detector", lambda prepared: None)
    other = trine.fit(data, y="y", epochs=1, threads=1, seed=1)
    assert other.novelty_ is None
    ours, theirs = one.derivation_.model.state_dict(), other.derivation_.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
