"""Where a user must be able to trust a model: outside the data, with values missing, and from run to run."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris

import trine
from trine.domains import Positive
from trine.errors import TrineError
from trine.rules import rules
from trine.training import fingerprint

rules.load()
POSITIVE = sorted(name for name, rule in rules.items() if Positive in rule.serves)


def weights(model: Any) -> str:
    return fingerprint(model.derivation_.model.state_dict())


@functools.cache
def classifier(name: str) -> tuple[Any, NDArray[Any], NDArray[Any]]:
    X, y = {"iris": load_iris, "breast_cancer": load_breast_cancer}[name](return_X_y=True)
    return trine.Classifier(epochs=15, random_state=0, threads=1).fit(X, y), X, y


@functools.cache
def regressor(rule: str | None = None) -> tuple[Any, NDArray[Any], NDArray[Any]]:
    """Of a target with a long upper tail where a rule for positive numbers is asked for, else as it is."""
    X, y = load_diabetes(return_X_y=True)
    y = y if rule is None else np.exp(y / 80)
    return trine.Regressor(rule=rule, epochs=8, random_state=0, threads=1).fit(X, y), X, y


# A strictly positive target ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", POSITIVE)
def test_no_prediction_of_a_positive_target_is_zero_or_below(rule: str) -> None:
    model, X, y = regressor(rule)
    assert isinstance(model.schema_.y["y"], Positive)
    rng = np.random.default_rng(0)
    beyond = [s * scale * np.ones_like(X[:1]) for s in (-1, 1) for scale in (1, 1e3, 1e12, 1e30)]
    extreme = np.concatenate([X, 1e3 * rng.standard_normal((200, X.shape[1])), *beyond, np.full_like(X[:1], np.nan)])
    predicted = model.predict(extreme)
    assert np.isfinite(predicted).all()
    assert (predicted > 0).all()
    for coverage in (0.5, 0.9, 0.999):
        interval = model.predict_interval(extreme, coverage)
        assert np.isfinite(interval).all()
        assert (interval > 0).all()
    assert np.corrcoef(model.predict(X), y)[0, 1] > 0.3, "and it did learn"


def test_positive_rules_are_all_there() -> None:
    assert {"gamma", "gamma-exp", "lognormal"} <= set(POSITIVE)


# Missing values ----------------------------------------------------------------------------------------------------


def test_one_missing_value_in_a_thousand_rows_changes_accuracy_within_noise() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = np.concatenate([X, X])[:1000] + 1e-9
    y = np.concatenate([y, y])[:1000]
    rng = np.random.default_rng(0)
    test = rng.permutation(1000)[:300]
    train = np.setdiff1d(np.arange(1000), test)
    holed = X.copy()
    holed[train[5], 3] = np.nan
    scores = [
        trine.Classifier(epochs=5, members=2, random_state=0, threads=1).fit(x[train], y[train]).score(X[test], y[test])
        for x in (X, holed)
    ]
    error = np.sqrt(scores[0] * (1 - scores[0]) / len(test))
    assert scores[0] > 0.9
    assert abs(scores[0] - scores[1]) <= 2 * error + 1 / len(test)


@pytest.mark.parametrize("name", ["iris", "breast_cancer"])
def test_a_row_with_nothing_known_is_answered_by_the_prior(name: str) -> None:
    model, X, y = classifier(name)
    prior = np.bincount(y) / len(y)
    probability = model.predict_proba(np.full_like(X[:1], np.nan))[0]
    assert probability.max() <= prior.max() + 0.05
    np.testing.assert_allclose(probability, prior, atol=0.15, err_msg="few epochs: it is on its way to the prior")
    assert model.predict_proba(X).max(axis=1).mean() > prior.max() + 0.2, "where it knows more it says so"


def test_a_number_with_nothing_known_is_answered_by_about_the_marginal() -> None:
    model, X, y = regressor()
    q = model.predict_distribution(np.full_like(X[:1], np.nan))
    low, high = model.predict_interval(np.full_like(X[:1], np.nan), 0.9)[0]
    assert abs(q.mean.item() - y.mean()) < 0.25 * y.std()
    assert np.mean((y > low) & (y < high)) == pytest.approx(0.9, abs=0.07)


@pytest.fixture(scope="module")
def mixed() -> tuple[Any, Any]:
    """Every kind of input column that a table has, each of which tells y."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    n = 400
    z = rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            "real": z + 0.3 * rng.standard_normal(n),
            "positive": np.exp(z + 0.3 * rng.standard_normal(n)),
            "share": 1 / (1 + np.exp(-z - 0.3 * rng.standard_normal(n))),
            "count": rng.poisson(np.exp(1.5 + z)),
            "colour": np.where(z > 0.5, "red", np.where(z < -0.5, "blue", "green")),
            "answer": np.where(z > 0, "yes", "no"),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta((100 * z).astype(int), unit="D"),
        }
    )
    return frame, np.where(z + 0.2 * rng.standard_normal(n) > 0, "up", "down")


def test_any_column_may_be_missing_when_predicting(mixed: tuple[Any, Any]) -> None:
    frame, y = mixed
    model = trine.Classifier(epochs=15, random_state=0, threads=1).fit(frame, y)
    assert set(model.schema_.x) == set(frame.columns)
    assert model.score(frame, y) > 0.85
    for name in frame:
        holed = frame.copy()
        holed[name] = None
        probability = model.predict_proba(holed)
        assert np.isfinite(probability).all(), name
        assert np.mean(model.classes_[probability.argmax(1)] == y) > 0.75, (
            f"the other columns still tell, without {name}"
        )
    nothing = frame.assign(**dict.fromkeys(frame))
    assert np.isfinite(model.predict_proba(nothing)).all()


def test_with_defaults_a_blank_row_is_answered_by_the_prior_whatever_the_seed() -> None:
    X, y = load_iris(return_X_y=True)
    blank = np.full_like(X[:1], np.nan)
    fits = (trine.Classifier(random_state=seed, threads=1).fit(X, y) for seed in (0, 2))
    assert max(fit.predict_proba(blank).max() for fit in fits) <= 1 / 3 + 0.05


def test_what_was_never_seen_is_answered_and_what_cannot_be_is_refused(mixed: tuple[Any, Any]) -> None:
    frame, y = mixed
    model = trine.Classifier(epochs=3, random_state=0, threads=1).fit(frame, y)
    row = frame.iloc[:1]
    for name, value in (("colour", "mauve"), ("real", 1e12), ("positive", 1e15), ("count", 10**9)):
        probability = model.predict_proba(row.assign(**{name: [value]}))
        assert np.isfinite(probability).all(), name
        np.testing.assert_allclose(probability.sum(1), 1, atol=1e-6)
    with pytest.raises(TrineError, match="real"):
        model.predict(row.assign(real=[np.inf]))
    with pytest.raises(TrineError, match="real"):
        model.predict(row.assign(real=["twelve"]))
    with pytest.raises(ValueError, match="colour"):
        model.predict(row.drop(columns="colour"))


def test_an_array_with_infinities_is_refused_in_fit_and_predict() -> None:
    model, X, y = classifier("iris")
    bad = X.copy()
    bad[3, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.predict(bad)
    with pytest.raises(ValueError, match="infinity"):
        trine.Classifier(epochs=1).fit(bad, y)


def test_a_missing_picture_is_answered_by_the_prior(tmp_path: Path) -> None:
    from PIL import Image

    digits = load_digits()
    lines = ["picture,digit"]
    for i in range(300):
        Image.fromarray((digits.images[i] * 15).astype(np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{'abcdefghij'[digits.target[i]]}")
    (tmp_path / "train.csv").write_text("\n".join(lines))
    model = trine.fit(tmp_path / "train.csv", y="digit", epochs=4, channels=8, threads=1, valid=0.2)
    (tmp_path / "new.csv").write_text("picture,other\n0.png,1\n,2\n")
    probability = model.predict_proba(tmp_path / "new.csv")
    prior = np.bincount(digits.target[:300]) / 300
    assert probability[1].max() <= prior.max() + 0.05
    assert probability[0].max() > probability[1].max()


# From run to run ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_whatever_ran_before() -> None:
    X, y = load_iris(return_X_y=True)
    one = trine.Classifier(epochs=3, random_state=3, threads=1).fit(X, y)
    torch.rand(100), np.random.rand(10)  # noqa: NPY002
    two = trine.Classifier(epochs=3, random_state=3, threads=1).fit(X, y)
    other = trine.Classifier(epochs=3, random_state=4, threads=1).fit(X, y)
    assert weights(one) == weights(two) != weights(other)


# Weights of rows and classes ---------------------------------------------------------------------------------------


def test_rows_of_weight_zero_do_not_matter() -> None:
    """Half of the rows say the opposite, and do not count."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 2))
    y = (X[:, 0] > 0).astype(int)
    wrong = np.arange(600) % 2 == 1
    labels = np.where(wrong, 1 - y, y)
    model = trine.Classifier(epochs=12, members=2, hidden=(64,), random_state=0, threads=1)
    assert model.fit(X, labels, sample_weight=np.where(wrong, 0.0, 1.0)).score(X, y) > 0.95
    assert model.fit(X, labels).score(X, y) < 0.8


def test_balanced_classes_raise_the_recall_of_the_rare_one() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(800) < 0.08).astype(int)
    X = rng.standard_normal((800, 3)) + 0.9 * y[:, None]
    recall = [
        np.mean(
            trine.Classifier(epochs=8, members=1, hidden=(64,), random_state=0, threads=1, class_weight=w)
            .fit(X, y)
            .predict(X)[y == 1]
        )
        for w in (None, "balanced", {0: 1.0, 1: 11.5})
    ]
    assert recall[1] > recall[0] + 0.2
    assert recall[2] == pytest.approx(recall[1], abs=0.1)


# The distribution in the user's units ------------------------------------------------------------------------------


def test_the_distribution_is_in_the_user_s_units() -> None:
    X, y = load_diabetes(return_X_y=True)
    scaled = 1000 * y
    model = trine.Regressor(epochs=8, random_state=0, threads=1).fit(X, scaled)
    q = model.predict_distribution(X)
    assert q.batch_shape == (len(X),)
    assert model.predict(X).mean() == pytest.approx(scaled.mean(), rel=0.15)
    density = q.log_prob(torch.as_tensor(scaled, dtype=torch.float32))
    assert bool(density.isfinite().all())
    assert density.mean().item() == pytest.approx(
        -np.log(1000)
        + regressor()[0].predict_distribution(X).log_prob(torch.as_tensor(y, dtype=torch.float32)).mean().item(),
        abs=0.1,
    )


@pytest.mark.parametrize("rule", [None, *POSITIVE])
def test_wider_intervals_hold_narrower_ones_and_cover_what_they_say(rule: str | None) -> None:
    model, X, y = regressor(rule)
    outer: NDArray[np.float64] | None = None
    for coverage in (0.95, 0.8, 0.5, 0.1):
        inner = model.predict_interval(X, coverage)
        assert (inner[:, 0] < inner[:, 1]).all()
        if outer is not None:
            assert (outer[:, 0] <= inner[:, 0]).all()
            assert (inner[:, 1] <= outer[:, 1]).all()
        outer = inner
    low, high = model.predict_interval(X, 0.8).T
    assert 0.65 < np.mean((low < y) & (y < high)) < (0.95 if rule is None else 1.0), "a fixed shape is slow to narrow"
    for coverage in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="coverage"):
            model.predict_interval(X, coverage)
