"""Calibration through the estimators: kept in the artefact, told, seen by predictions and evaluation alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_wine

import trine
from trine import Classifier, Regressor
from trine.rules import Recalibrated, cdf

SMALL = {"hidden": (16,), "numbers": "plain", "epochs": 10, "random_state": 0, "threads": 1, "validation_fraction": 0.2}


@pytest.mark.parametrize("posterior", ["none", "ensemble"])
def test_conformal_intervals_are_what_predict_and_evaluate_show(posterior: str, tmp_path) -> None:
    X, y = load_diabetes(return_X_y=True)
    model = Regressor(
        calibration="conformal", posterior=posterior, draws=3 if posterior == "ensemble" else None, **SMALL
    )
    model.fit(X[:300], y[:300])
    q = model.predict_distribution(X[300:])
    assert isinstance(q, Recalibrated)
    model.save(tmp_path / "model.trine")
    again = trine.load(tmp_path / "model.trine")
    columns = again.predictions(X[300:])
    np.testing.assert_allclose(cdf(q, torch.from_numpy(columns["y_p95"])).numpy(), 0.95, atol=1e-6)
    np.testing.assert_array_equal(again.predict(X[300:]), model.predict(X[300:]))
    evaluation = again.evaluate(X[300:], y[300:])
    told = evaluation.figures["calibrated"]
    assert told["kind"] == "conformal"
    assert set(told["before"]) == {"coverage_90", "nll"}
    assert "calibration: conformal by" in evaluation.summary()
    inside = (y[300:] >= columns["y_p05"]) & (y[300:] <= columns["y_p95"])
    assert evaluation.metrics["coverage_90"].value == pytest.approx(inside.mean())
    if posterior == "ensemble":
        assert (columns["y_epistemic"] > 0).all()


def test_classes_are_told_before_and_after() -> None:
    X, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(y)) < 0.3, rng.integers(0, 3, len(y)), y)
    sure = {
        **SMALL,
        "epochs": 40,
        "patience": 0,
        "hidden": (64,),
        "weight_decay": 0.0,
        "dropout": 0.0,
        "validation_fraction": 0.4,
    }
    raw = Classifier(calibration="none", **sure).fit(X, noisy)
    model = Classifier(calibration="temperature", **sure).fit(X, noisy)
    found = model.calibrations_["y"]
    assert found.kind == "temperature"
    assert "held out" in found.said
    evaluation = model.evaluate(X, noisy)
    assert evaluation.figures["calibrated"]["before"]["log_loss"] == pytest.approx(
        raw.evaluate(X, noisy).metrics["log_loss"].value, rel=1e-6
    )
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1.0, rtol=1e-6)


def test_without_rows_to_stop_by_nothing_is_calibrated() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = Regressor(**SMALL | {"validation_fraction": 0.0}).fit(X[:100], y[:100])
    assert model.calibrations_ == {}
    none = Regressor(calibration="none", **SMALL).fit(X[:100], y[:100])
    assert none.calibrations_["y"].kind == "none"
