"""A posterior in the place of one θ, end to end: predictions, what their spread is made of, artefacts, the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits, load_wine
from torch.distributions import Categorical

import trine
from trine import Classifier, MultiLabelClassifier, MultiTarget, Regressor, Transducer
from trine.errors import ChoiceError
from trine.rules import OverParameters, spread

POSTERIORS = ["ensemble", "dropout", "swag", "laplace", "variational", "langevin"]
SMALL = {"hidden": (16,), "numbers": "plain", "epochs": 8, "draws": 4, "random_state": 0, "threads": 1}
SMALL |= {"sampling_steps": 200}


@pytest.fixture(scope="module", params=POSTERIORS)
def regressor(request: pytest.FixtureRequest) -> Regressor:
    X, y = load_diabetes(return_X_y=True)
    return Regressor(posterior=request.param, **SMALL).fit(X[:300], y[:300])


def test_the_prediction_is_a_mixture_over_theta_whose_spread_adds_up(regressor: Regressor) -> None:
    X, _ = load_diabetes(return_X_y=True)
    q = regressor.predict_distribution(X[300:])
    assert isinstance(q, OverParameters)
    aleatoric, epistemic = spread(q)
    assert (aleatoric > 0).all()
    assert (epistemic >= 0).all()
    assert epistemic.mean() > 0
    torch.testing.assert_close(aleatoric + epistemic, q.variance)


def test_a_row_is_predicted_alike_in_any_company(regressor: Regressor) -> None:
    X, _ = load_diabetes(return_X_y=True)
    together = regressor.predict(X[300:320])
    alone = np.concatenate([regressor.predict(X[i : i + 1]) for i in range(300, 320)])
    np.testing.assert_allclose(alone, together, rtol=1e-5)


def test_an_artefact_keeps_all_draws(regressor: Regressor, tmp_path) -> None:
    X, _ = load_diabetes(return_X_y=True)
    regressor.save(tmp_path / "model.trine")
    again = trine.load(tmp_path / "model.trine")
    np.testing.assert_array_equal(again.predict(X[300:]), regressor.predict(X[300:]))
    columns = again.predictions(X[300:])
    q = again.predict_distribution(X[300:])
    np.testing.assert_allclose(columns["y_aleatoric"] ** 2 + columns["y_epistemic"] ** 2, q.variance.numpy(), rtol=1e-5)
    assert "novelty_p" in columns


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_classes_entropy_is_divided(posterior: str) -> None:
    X, y = load_wine(return_X_y=True)
    model = Classifier(posterior=posterior, **SMALL | {"epochs": 30}).fit(X[::2], y[::2])
    q = model.predict_distribution(X[1::2])
    assert isinstance(q, Categorical)
    aleatoric, epistemic = spread(q)
    torch.testing.assert_close((aleatoric + epistemic).double(), q.entropy().double(), atol=1e-5, rtol=1e-5)
    assert epistemic.max() > 1e-6
    assert model.score(X[1::2], y[1::2]) > 0.85


def test_pictures_have_posteriors_too() -> None:
    pixels, y = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8).astype(np.uint8) * 16
    for posterior in POSTERIORS:
        small = {"channels": 4, "epochs": 2, "draws": 4, "random_state": 0, "threads": 1, "sampling_steps": 8}
        model = Classifier(posterior=posterior, dropout=0.1 if posterior == "dropout" else None, **small).fit(
            images[:300], y[:300]
        )
        p = model.predict_proba(images[300:400])
        assert np.isfinite(p).all()
        np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-5)


def test_dropout_without_dropout_is_refused_with_what_to_do() -> None:
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(ChoiceError, match="give dropout a share above 0"):
        Regressor(posterior="dropout", dropout=0.0, **SMALL).fit(X, y)
    with pytest.raises(ChoiceError, match="posterior=none"):
        Regressor(posterior="ensemble", **SMALL | {"draws": 1}).fit(X, y)
    with pytest.raises(ChoiceError, match="ensemble"):
        Regressor(posterior="assemble", **SMALL).fit(X, y)


def test_the_derivation_says_what_is_mixed_and_counts_the_rows_once() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = Regressor(posterior="ensemble", prior="laplace(0.3)", **SMALL).fit(X[:100], y[:100])
    text = str(model.derivation_)
    rows = model.provenance_["rows"]["train"]
    assert "4 networks drawn and trained apart, in one vectorised pass" in text
    assert f"−log p(θ)/{rows}, each weight ~ laplace(0.3)" in text
    assert model.derivation_.choices.weight_decay == 0.0


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_every_supervised_estimator_has_posteriors_and_a_sequence_says_why_not(posterior: str) -> None:
    X, y = load_diabetes(return_X_y=True)
    small = SMALL | {"hidden": (8,), "epochs": 2, "sampling_steps": 20}
    several = MultiTarget(posterior=posterior, **small).fit(X[:120], {"a": y[:120], "b": (y[:120] > 140).astype(str)})
    q = several.predict_distributions(X[120:130])
    assert all(isinstance(part, OverParameters) for part in q.values())
    labels = MultiLabelClassifier(posterior=posterior, **small).fit(
        X[:120], np.stack([y > 100, y > 150], 1)[:120].astype(int)
    )
    assert labels.predict(X[120:130]).shape == (10, 2)
    with pytest.raises(ChoiceError, match="posterior=none"):
        Transducer(posterior=posterior, epochs=1).fit([["ab"], ["ba"]] * 20, ["x", "yx"] * 20)
