"""Generators: what they make is like what they saw, given what was asked; saved, loaded, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, load_wine

import trine
from trine.data import read, stored
from trine.errors import ChoiceError, DataError, SchemaError

DIGITS = load_digits()
PICTURES = (DIGITS.images * 15).astype(np.uint8)


@pytest.fixture(scope="module")
def digits() -> trine.GAN:
    return trine.GAN(random_state=0, threads=1, epochs=30, critic_augment=0.0).fit(PICTURES)


def test_digits_are_made(digits: trine.GAN) -> None:
    found = digits.evaluations_["x"].metrics
    fd = found["FD-random-conv"]
    # An untrained generator is some hundred times as far; true rows are at the floor.
    assert fd.value < 2 * fd.baseline
    assert found["coverage"].value > 0.6
    assert found["precision"].value > 0.6
    assert found["copies of training rows"].value < 0.05


def test_samples_have_the_users_form(digits: trine.GAN, tmp_path: Path) -> None:
    made = digits.sample(7, seed=3)
    assert made.shape == (7, 8, 8)
    assert made.dtype == np.uint8
    assert (made == digits.sample(7, seed=3)).all()
    assert (made != digits.sample(7, seed=4)).any()
    digits.save(tmp_path / "model.trine")
    again = trine.load(tmp_path / "model.trine")
    assert (again.sample(7, seed=3) == made).all()
    coverage = again.evaluate(PICTURES).metrics["coverage"]
    assert coverage.value > 0.6 * coverage.baseline


def test_the_best_generator_is_kept(digits: trine.GAN) -> None:
    scores = [record["held_out"] for record in digits.history_]
    assert digits.provenance_["best_epoch"] == int(np.argmin(scores)) + 1
    assert scores[0] > 3 * min(scores)


def mixed(n: int, seed: int) -> pd.DataFrame:
    """Two humps, a spike, an uneven category, a count; one column follows another; some values are missing."""
    rng = np.random.default_rng(seed)
    low = rng.random(n) < 0.5
    a = np.where(low, rng.normal(-3, 0.3, n), rng.normal(2, 1, n))
    frame = pd.DataFrame(
        {
            "humps": a,
            "spike": np.where(rng.random(n) < 0.7, 0.0, rng.exponential(1000, n)),
            "kind": np.where(low, rng.choice(["x", "y"], n, p=[0.9, 0.1]), "z"),
            "count": rng.poisson(3, n),
        }
    )
    frame["follows"] = 2 * frame["humps"] + rng.normal(0, 0.1, n)
    frame.loc[rng.random(n) < 0.2, "follows"] = np.nan
    return frame


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, pd.DataFrame]:
    truth = mixed(3000, 0)
    model = trine.fit(truth, method="gan", threads=1, epochs=60)
    return truth, pd.DataFrame(model.sample(3000))


def test_a_mixed_table_is_made_column_by_column(table: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    truth, made = table
    assert list(made) == list(truth)
    assert (made["spike"] == 0).mean() == pytest.approx(0.7, abs=0.12)
    assert ((made["humps"] > -2) & (made["humps"] < -0.5)).mean() < 0.06  # between the humps is nearly nothing
    assert (made["humps"] < -2).mean() == pytest.approx(0.5, abs=0.1)
    assert set(made["kind"]) <= {"x", "y", "z"}
    assert made["follows"].isna().mean() == pytest.approx(0.2, abs=0.08)
    assert set(made["count"].unique()) <= set(truth["count"].unique())  # no count between two counts


def test_columns_go_together(table: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, made = table
    known = made.dropna()
    assert np.corrcoef(known["humps"], known["follows"])[0, 1] > 0.85
    assert (known["kind"][known["humps"] < -2] == "z").mean() < 0.15
    assert (known["kind"][known["humps"] > 0] == "z").mean() > 0.85


def test_a_condition_is_kept_to() -> None:
    from sklearn.svm import SVC

    model = trine.ConditionalGAN(random_state=0, threads=1, epochs=25).fit(DIGITS.target.astype(str), PICTURES)
    asked = np.array(list("0123456789"))
    made = model.sample(asked, 20)
    assert made.shape == (200, 8, 8)
    judge = SVC().fit(DIGITS.data, DIGITS.target)
    assert (judge.predict(made.reshape(200, -1) / 15) == np.repeat(np.arange(10), 20)).mean() > 0.9
    ways = made.reshape(10, 20, 64).astype(float)
    assert (ways.std(axis=1).mean(axis=1) > 10).all()  # of bytes: no digit is always the same
    with pytest.raises(DataError, match=r"'?12'? was never seen"):
        model.sample(np.array(["12"]))


def test_numbers_given_numbers() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2000, 1))
    y = np.where(rng.random(2000) < 0.5, 1, -1) * (2 + x[:, 0]) + rng.normal(0, 0.05, 2000)  # two answers to each x
    model = trine.ConditionalGAN(random_state=0, threads=1, epochs=100).fit(x, y)
    made = model.sample(np.array([[-0.8], [0.8]]), 400).reshape(2, 400)
    assert np.abs(np.abs(made).mean(axis=1) - [1.2, 2.8]).max() < 0.4
    assert ((made > 0).mean(axis=1) > 0.25).all()
    assert ((made > 0).mean(axis=1) < 0.75).all()


@pytest.mark.parametrize(
    "divergence", ["js", "minimax", "wasserstein", "cramer", "hinge", "least_squares", "kl", "chi2"]
)
def test_every_divergence_trains(divergence: str) -> None:
    model = trine.GAN(divergence, random_state=0, threads=1, epochs=20).fit(load_wine().data)
    made = model.sample(200)
    truth = load_wine().data
    assert np.isfinite(made).all()
    assert np.abs((made.mean(axis=0) - truth.mean(axis=0)) / truth.std(axis=0)).max() < 1.0


def test_cramers_distance_learns_how_columns_go_together() -> None:
    """Two clusters on a diagonal, whose columns alone are two humps each: by one feature of a row two of three stay right."""
    rng = np.random.default_rng(0)
    X = rng.choice([-2.0, 2.0], (3000, 1)) + 0.1 * rng.normal(size=(3000, 2))
    made = trine.GAN("cramer", likelihood=0.0, epochs=30, random_state=0, threads=1).fit(X).sample(1000)
    assert (made.prod(1) > 0).mean() > 0.75


def test_the_derivation_says_what_is_played() -> None:
    derivation, _ = trine.derive((PICTURES, DIGITS.target.astype(str)), method="gan", divergence="minimax")
    text = derivation.describe()
    assert "JS(fake, real) = sup_D" in text
    assert "v of fake: 2 × Conv2d, Linear; " in text
    assert "it also descends 0.5 E‖∇v‖² on either side, 4 times that every 4 steps" in text
    assert "decision rule" not in text
    assert "diversity" not in text
    assert derivation.schema.y == {}
    derivation, _ = trine.derive(
        {"digit": DIGITS.target.astype(str), "image": PICTURES}, y="image", method="conditional_gan"
    )
    assert "relu(1 − ‖fake − other‖₁" in derivation.describe()


@pytest.mark.parametrize("divergence", ["wasserstein", "cramer"])
def test_a_penalty_that_makes_a_distance_is_weighed_as_chosen(divergence: str) -> None:
    table = {"a": np.arange(60.0), "b": np.arange(60.0)[::-1] ** 2}
    for penalty, weight in ({}, 10.0), ({"penalty": 3.0}, 3.0):
        derivation, _ = trine.derive(table, method="gan", divergence=divergence, **penalty)
        assert derivation.criterion.terms[0].divergence.weight == weight
        assert f"it also descends {weight:g} E relu(" in derivation.describe()
        assert derivation.choices.penalty == weight
        assert derivation.choices.penalty_every is None
    for wrong, why in ({"penalty": 0.0}, "no distance without its penalty"), ({"penalty_every": 4}, "every step"):
        with pytest.raises(ChoiceError, match=why):
            trine.derive(table, method="gan", divergence=divergence, **wrong)


@pytest.mark.parametrize("name", ["diversity", "history", "likelihood", "identity_weight", "transport", "content"])
def test_choices_of_other_games_are_refused(name: str) -> None:
    value: Any = "cycle" if name == "content" else 2
    rows = {"digit": DIGITS.target.astype(str), "image": PICTURES}
    with pytest.raises(ChoiceError, match=f"{name} is of .*leave it out"):
        trine.derive(rows, method="gan", label="digit", **{name: value})
    if name != "diversity":
        with pytest.raises(ChoiceError, match=f"{name} is of .*leave it out"):
            trine.derive(rows, y="image", method="conditional_gan", **{name: value})


def test_mistakes_are_told() -> None:
    with pytest.raises(ChoiceError, match="no divergence with a critic called 'jss'"):
        trine.GAN("jss", epochs=1).fit(PICTURES)
    with pytest.raises(ChoiceError, match="code and shape are of method=autoencoder"):
        trine.fit({"image": PICTURES}, method="gan", code=3)
    with pytest.raises(ChoiceError, match="autocast rounds products"):
        trine.fit({"image": PICTURES}, other={"image": 255 - PICTURES}, method="unpaired", autocast="bf16")
    with pytest.raises(SchemaError, match=r"needs a condition|left for x"):
        trine.fit({"image": PICTURES}, y="image", method="conditional_gan")
    with pytest.raises(DataError, match="1 row, and at least 2 are needed"):
        trine.fit({"image": PICTURES[:1]}, method="gan")


def test_the_noise_of_a_step_is_the_runs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every method: seed 0 draws as a generator of the number of its stream does, and another seed other noise."""
    from trine.models import Noise

    drawn: list[Any] = []
    forward = Noise.forward
    monkeypatch.setattr(Noise, "forward", lambda self, batch: drawn.append(forward(self, batch)) or drawn[-1])
    ways: dict[str, Any] = {
        "gan": {"y": None},
        "conditional_gan": {"y": "image", "x": ["negative"]},
        "unpaired": {"other": 255 - PICTURES[:16]},
    }
    table = {"image": PICTURES[:16], "negative": 255 - PICTURES[:16]}
    for method, how in ways.items():
        found = []
        for seed in (0, 1):
            drawn.clear()
            data = table if method == "conditional_gan" else PICTURES[:16]
            how = {"channels": 4, "epochs": 1, "batch_size": 8, "valid": 0, "layers": 1, **how}
            trine.fit(data, method=method, seed=seed, threads=1, **how)
            found.append(drawn[1 if method == "unpaired" else 0])
        stream = 2 * 1_000_003 if method == "unpaired" else 0
        plain = torch.randn(found[0].shape, generator=torch.Generator().manual_seed(stream))
        assert torch.equal(found[0], plain)
        assert not torch.equal(found[1], plain)


def test_true_rows_are_likely_where_their_likelihood_is_learned(table: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Of rows held out, nats a row given noise; the share of the critic alone is what likelihood=0 leaves."""
    truth, _ = table
    held, found = read(mixed(500, 9)), []
    for weight in (0.0, 0.2):
        model = trine.fit(truth, method="gan", threads=1, epochs=10, likelihood=weight)
        network = model.derivation_.model.eval()
        store = stored(held, model.derivation_.schema)
        with torch.no_grad():
            batch = store.batch(torch.arange(500))
            features = network.trunk(network.noise(batch))
            found.append(float(network.made.log_density(features, network.made.seen(batch)).mean()))
    assert found[1] > found[0] + 0.5
    assert "KL(real ‖ answer)" in model.derivation_.describe()
    with pytest.raises(ChoiceError, match="likelihood is of numbers and categories"):
        trine.GAN(likelihood=0.2).fit(PICTURES)
