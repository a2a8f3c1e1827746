"""trine.Autoencoder on small real data: every kind of column comes back, codes and samples have the right form."""

from __future__ import annotations

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
    images = load_digits().images[:600]
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
        ({"code": 2, "label": "a", "y": "b"}, SchemaError, "no y"),
    ],
    ids=["wide", "posterior", "prior", "numbers", "column", "members", "label"],
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
