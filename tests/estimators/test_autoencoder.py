"""trine.Autoencoder on small real data: every kind of column comes back, codes and samples have the right form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA

import trine
from trine.errors import ChoiceError, DataError, SchemaError


@pytest.fixture(scope="module")
def iris() -> trine.Autoencoder:
    return trine.Autoencoder(code=2, epochs=60, random_state=0).fit(load_iris().data)


def test_two_numbers_hold_nearly_what_two_principal_components_do(iris: trine.Autoencoder) -> None:
    X = load_iris().data
    pca = PCA(2).fit(X)
    lost = np.square(X - pca.inverse_transform(pca.transform(X))).sum() / np.square(X - X.mean(0)).sum()
    back = iris.reconstruct(X)
    assert np.square(X - back).sum() / np.square(X - X.mean(0)).sum() < lost + 0.03


def test_forms(iris: trine.Autoencoder) -> None:
    X = load_iris().data
    Z = iris.transform(X)
    assert Z.shape == (150, 2)
    assert list(iris.get_feature_names_out()) == ["autoencoder0", "autoencoder1"]
    assert iris.inverse_transform(Z).shape == X.shape
    assert iris.sample(7, seed=1).shape == (7, 4)
    assert (iris.sample(7, seed=1) == iris.sample(7, seed=1)).all()
    between = iris.interpolate(X[:2], X[100:102], steps=5)
    assert between.shape == (10, 4)
    np.testing.assert_allclose(between[[0, 4, 5, 9]], iris.reconstruct(X[[0, 100, 1, 101]]), rtol=1e-4)
    assert iris.score_samples(X).shape == (150,)


def test_an_artefact_gives_the_same(iris: trine.Autoencoder, tmp_path: Path) -> None:
    again = trine.load(iris.save(tmp_path / "iris.trine"))
    X = load_iris().data
    assert (again.transform(X) == iris.transform(X)).all()
    assert (again.sample(3) == iris.sample(3)).all()
    assert again.get_params()["code"] == 2


def test_a_mixed_table_comes_back_column_by_column() -> None:
    data = load_wine()
    rng = np.random.default_rng(0)
    kind = np.array(["low", "middle", "high"])[data.target]
    table = {
        "alcohol": data.data[:, 0],
        "ash": np.where(rng.random(178) < 0.1, np.nan, data.data[:, 2]),
        "kind": kind,
        "phenols": data.data[:, 5],
        "bottles": rng.poisson(3 + 5 * data.target),
    }
    model = trine.fit(table, method="autoencoder", code=3, epochs=80, seed=0)
    back = model.reconstruct(table)
    assert set(back) == set(table)
    assert (back["kind"] == kind).mean() > 0.9
    assert np.corrcoef(back["alcohol"], data.data[:, 0])[0, 1] > 0.8
    assert np.corrcoef(back["bottles"], table["bottles"])[0, 1] > 0.8
    assert not np.isnan(back["ash"]).any()
    drawn = model.sample(50)
    assert set(drawn["kind"]) <= set(kind)
    assert (drawn["bottles"] >= 0).all()
    names = {term["name"] for term in model.evaluations_["x"].figures["terms"]}
    assert {"numbers", "kind", "bottles"} <= names


def test_pictures_by_the_three_rules() -> None:
    images = load_digits().images[:300]
    trivial = np.square(images - images.mean()).mean()
    for rule in ("pixel-logistic", "pixel-normal", "pixel-bernoulli"):
        model = trine.Autoencoder(code=8, epochs=12, reconstruction=rule, random_state=0, channels=8).fit(images)
        assert np.square(model.reconstruct(images) - images).mean() < 0.7 * trivial
    black = (images > 8).astype(np.uint8) * 255
    assert trine.Autoencoder(epochs=1, channels=8).fit(black).schema_.x["image"].binary


def test_the_label_is_no_part_of_x(tmp_path: Path) -> None:
    data = load_iris()
    table = {f"x{i}": data.data[:, i] for i in range(4)} | {"species": data.target_names[data.target]}
    model = trine.fit(table, method="autoencoder", label="species", code=2, epochs=3)
    assert list(model.schema_.x) == ["x0", "x1", "x2", "x3"]
    assert model.plan_.label == "species"
    assert model.transform(data.data).shape == (150, 2)


@pytest.mark.parametrize(
    ("choices", "error", "said"),
    [
        ({"code": 4}, ChoiceError, "a copy"),
        ({"code": 2, "posterior": "ensemble"}, ChoiceError, "code_prior"),
        ({"code": 2, "code_prior": "nothing"}, ChoiceError, "prior of codes"),
        ({"code": 2, "code_prior": "normal(3)"}, ChoiceError, "no numbers"),
        ({"code": 2, "reconstruction": {"nose": "normal"}}, ChoiceError, "'nose'"),
        ({"code": 2, "members": 3}, ChoiceError, "members"),
        ({"code": 2, "warmup": 0.3}, ChoiceError, "warmup is of what brings codes to their prior, and shape is none"),
        ({"code": 2, "shape_weight": 2.0}, ChoiceError, "shape_weight is of"),
        ({"code": 2, "code_prior": "ball"}, ChoiceError, "Nothing brings codes into a ball"),
        ({"code": 2, "code_prior": "mixture(x)"}, ChoiceError, "in the parentheses stand numbers"),
        ({"code": 3, "sparsity": "topk(3)"}, ChoiceError, "a whole number below 3"),
        ({"code": 3, "sparsity": "topk(1.5)"}, ChoiceError, "a whole number below 3"),
        ({"code": 3, "sparsity": "l1(-1)"}, ChoiceError, "above 0"),
        ({"code": 8, "sparsity": "topk(5)"}, ChoiceError, "a copy"),
        ({"code": 2, "label": "a", "y": "b"}, SchemaError, "no y"),
    ],
    ids=[
        *(
            "wide",
            "posterior",
            "prior",
            "numbers",
            "column",
            "members",
            "warmup",
            "weight",
            "ball",
            "parts",
            "all",
            "half",
        ),
        *("negative", "dense", "label"),
    ],
)
def test_what_has_no_meaning_is_refused(choices: dict[str, object], error: type[Exception], said: str) -> None:
    table = {f"x{i}": load_iris().data[:, i] for i in range(4)} | {"a": np.arange(150) % 3, "b": np.arange(150) % 2}
    if "label" not in choices:
        table = {name: value for name, value in table.items() if name.startswith("x")}
    with pytest.raises(error, match=said):
        trine.fit(table, method="autoencoder", epochs=1, **choices)  # type: ignore[arg-type]


def test_codes_of_another_width_are_refused(iris: trine.Autoencoder) -> None:
    with pytest.raises(DataError, match="2 numbers"):
        iris.inverse_transform(np.zeros((3, 5)))
    with pytest.raises(DataError, match="row 2"):
        iris.inverse_transform([[0.0, 1.0], [np.nan, 0.0]])


def test_wrong_numbers_are_refused_in_words(iris: trine.Autoencoder) -> None:
    X = load_iris().data
    for wrong in (0, "three", 2.5, True):
        with pytest.raises(ChoiceError, match=r"^n is"):
            iris.sample(wrong)  # type: ignore[arg-type]
    with pytest.raises(ChoiceError, match=r"^steps is '5'; it is a whole number"):
        iris.interpolate(X[:1], X[1:2], steps="5")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no numbers"):
        iris.inverse_transform([["a", "b"]])
    shaped = trine.Autoencoder(2, "kl", epochs=1, random_state=0).fit(X)
    for samples in (0, "many"):
        with pytest.raises(ChoiceError, match=r"^samples is"):
            shaped.score(X, samples=samples)  # type: ignore[arg-type]


def test_columns_by_name() -> None:
    X = load_iris().data
    table = {"long": X[:, 0], "wide": X[:, 1], "kind": load_iris().target_names[load_iris().target]}
    model = trine.Autoencoder(code=1, epochs=2, random_state=0).fit(table)
    assert list(model.feature_names_in_) == ["long", "wide", "kind"]
    assert set(model.reconstruct({name: values[:5] for name, values in table.items()})) == set(table)


def test_plain_codes_are_drawn_from_a_mixture_of_so_many_parts() -> None:
    X = load_iris().data
    model = trine.Autoencoder(code=2, prior="mixture(3)", epochs=60, random_state=0).fit(X)
    assert len(model.density_["weights"]) == 3
    assert "fitted to the codes afterwards" in model.derivation_.describe(model.first(X))
    codes, drawn = model.transform(X), model._drawn(2_000).numpy()
    np.testing.assert_allclose(drawn.mean(0), codes.mean(0), atol=0.25 * codes.std(0).max())
    np.testing.assert_allclose(drawn.std(0), codes.std(0), rtol=0.3)


def test_the_bound_of_the_likelihood_is_one() -> None:
    X = load_wine().data
    model = trine.Autoencoder(4, "kl", epochs=40, random_state=0).fit(X)
    found = {name: metric.value for name, metric in model.evaluate(X).metrics.items()}
    true = model.log_likelihood(X, 500)
    assert found["elbo"] == pytest.approx(true.bounds[1], abs=0.2)
    assert found["elbo"] < found["log_likelihood"] < true.mean + 0.1
    assert found["log_likelihood"] == pytest.approx(true.bounds[5], abs=0.2)
    # What the code's mean gives, less the divergence, lies above, and so is no bound.
    assert found["reconstruction"] - found["divergence"] > found["elbo"] + 0.2
    assert set(trine.Autoencoder(4, epochs=2).fit(X).evaluate(X).metrics) == {"reconstruction", "unexplained"}


def test_a_run_with_a_column_that_is_read_and_does_not_come_back_is_finished(tmp_path: Path) -> None:
    days = (np.datetime64("2020-01-01") + np.arange(60)).astype(str)
    table = {"a": np.linspace(0, 1, 60), "b": np.linspace(2, 0, 60) ** 2, "day": days}
    trine.fit(table, method="autoencoder", epochs=1, out=tmp_path / "run", threads=1)
    (pair, *_) = json.loads((tmp_path / "run" / "record.json").read_text())["codes"]["reconstructions"]
    assert "day" in pair["row"]["values"]
    assert "day" not in pair["back"]["values"]
