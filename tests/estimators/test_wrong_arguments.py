"""Arguments of a wrong kind: each is refused in one sentence that names it, before anything is trained."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris

import trine
from trine.errors import ChoiceError, DataError, TrineError

X, Y = load_iris(return_X_y=True)
IMAGES = load_digits().images[:60]
ONE = {"epochs": 1, "random_state": 0}
ENCODER = torch.nn.Sequential(torch.nn.Linear(4, 3))
FITS = {
    "autoencoder": (trine.Autoencoder, {}, (X,)),
    "gan": (trine.GAN, {}, (X,)),
    "conditional": (trine.ConditionalGAN, {}, (Y, X)),
    "translator": (trine.Translator, {}, (X[:70], X[70:])),
    "transfer": (trine.Transfer, {"encoder": ENCODER}, (X.astype("f4"), Y)),
    "classifier": (trine.Classifier, {}, (X, Y)),
}
WRONG = {
    "validation_fraction": ("a", None, True, [1], -0.1, 1, math.nan),
    "threads": ("a", True, 0, 1.5, [1], math.nan),
    "budget": ("a", True, 0, -1, [1], math.nan, math.inf),
    "random_state": ("a", True, -1, 1.5, math.nan),
    "epochs": ("a", True, 0, 1.5, math.nan),
    "step_size": ("a", True, 0, -1, math.nan),
    "batch_size": ("a", True, 0, 1.5, [1]),
}


def refused(call: object, name: str) -> str:
    """The sentence in which ``call`` is refused; it names the argument."""
    with pytest.raises(TrineError) as caught:
        call()  # type: ignore[operator]
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_parameters_are_refused(kind: str, name: str) -> None:
    estimator, given, data = FITS[kind]
    for value in WRONG[name]:
        refused(lambda value=value: estimator(**given | {name: value}).fit(*data), name)


@pytest.mark.parametrize("name", ["code", "shape_weight", "draws", "hidden", "patience", "free_bits", "weight_decay"])
def test_true_is_no_number(name: str) -> None:
    for value in (True, np.bool_(True)):
        message = refused(lambda value=value: trine.Autoencoder(**{name: value}).fit(X), name)
        assert "True" in message
    refused(lambda: trine.Autoencoder(hidden=(8, True)).fit(X), "hidden")


def test_what_is_expected_is_said_in_plain_words() -> None:
    choices = trine.Choices
    assert "a whole number" in refused(lambda: choices.of({"code": "x"}), "code")
    assert "a whole number" in refused(lambda: choices.of({"code": 1.5}), "code")
    assert "It should be a number." in refused(lambda: choices.of({"step_size": "x"}), "step_size")
    assert "true or false" in refused(lambda: choices.of({"residual": "maybe"}), "residual")
    assert (
        choices.of({"code": "8", "step_size": "1e-3", "residual": "true"}).code == 8
    )  # as the command line gives them


@pytest.mark.parametrize("weight", [True, -1, 0, math.nan, [1], {0: "a"}, {0: -1.0}, {0: math.inf}])
def test_wrong_class_weights_are_refused(weight: object) -> None:
    refused(lambda: trine.Classifier(class_weight=weight).fit(X, Y), "class_weight")


@pytest.mark.parametrize("name", ["starts", "steps", "code", "epochs", "random_state", "threads", "binarise"])
def test_wrong_parameters_of_novelty_are_refused(name: str) -> None:
    for value in ("a", [1], math.nan):
        refused(lambda value=value: trine.Novelty(**{name: value}).fit(X), name)
    if name != "binarise":
        refused(lambda: trine.Novelty(**{name: True}).fit(X), name)


def test_wrong_arguments_of_novelty_are_refused() -> None:
    model = trine.Novelty(starts=5, epochs=1)
    for value in (math.nan, None, object()):
        refused(lambda value=value: model.fit(X, Y, new=value), "new")
    for name in ("autoencoder", "classifier"):
        for value in ("a", 1, trine.Autoencoder()):
            refused(lambda name=name, value=value: model.fit(X, Y, **{name: value}), name)
    refused(lambda: model.fit(X, Y, out=1), "out")
    refused(lambda: model.fit(X, 1.5), "y")


@pytest.fixture(scope="module")
def fitted() -> dict[str, tuple[object, tuple[object, ...]]]:
    coded = trine.Autoencoder(code=2, shape="kl", **ONE).fit(X)
    pictures = trine.ConditionalGAN(**ONE).fit(IMAGES, IMAGES)
    return {
        "autoencoder": (coded.sample, ()),
        "likelihood": (lambda seed: coded.log_likelihood(X[:5], 2, seed=seed), ()),
        "gan": (trine.GAN(**ONE).fit(X).sample, ()),
        "conditional": (trine.ConditionalGAN(**ONE).fit(Y, X).sample, (0,)),
        "translator": (trine.Translator(**ONE).fit(X[:70], X[70:]).translate, (X[:2],)),
        "pictures": (pictures.translate, (IMAGES[:2],)),
        "plain": (trine.Autoencoder(code=2, **ONE).fit(X).score, (X,)),
    }


@pytest.mark.parametrize("kind", ["autoencoder", "likelihood", "gan", "conditional", "translator", "pictures"])
@pytest.mark.parametrize("seed", ["x", True, -1, 1.5, math.nan, math.inf, [1], {"a": 1}])
def test_wrong_seeds_are_refused(fitted: dict, kind: str, seed: object) -> None:
    call, given = fitted[kind]
    refused(lambda: call(*given, seed=seed), "seed")


def test_seeds_of_numpy_are_seeds(fitted: dict) -> None:
    call, _ = fitted["autoencoder"]
    np.testing.assert_array_equal(call(3, seed=np.int64(5)), call(3, seed=5))


def test_other_wrong_arguments_are_refused(fitted: dict) -> None:
    sample = fitted["autoencoder"][0]
    for value in ("a", 1, math.nan, [True]):
        refused(lambda value=value: sample(2, noise=value), "noise")
    for value in ("a", True, 0, 1.5, math.inf, math.nan):
        refused(lambda value=value: fitted["pictures"][0](IMAGES[:2], tile=value), "tile")
        refused(lambda value=value: fitted["plain"][0](X, samples=value), "samples")
    for value in (True, 1, None):
        refused(lambda value=value: fitted["pictures"][0](value), "pictures")


def test_targets_that_are_a_single_value_are_refused() -> None:
    for value in ("a", True, 1.5, {"a": 1}, object()):
        refused(lambda value=value: trine.GAN(**ONE).fit(X, value), "y")
        refused(lambda value=value: trine.ConditionalGAN(**ONE).fit(X, value), "y")


def test_shares_of_a_fit_are_named_as_they_were_given() -> None:
    frame = {"a": X[:, 0], "b": X[:, 1]}
    assert refused(lambda: trine.fit(frame, y="b", valid=1.5), "valid").startswith("valid is 1.5;")
    assert refused(lambda: trine.fit(frame, y="b", valid=True), "valid").startswith("valid is True;")
    refused(lambda: trine.fit(frame, y="b", stop_fraction="a"), "stop_fraction")
    refused(lambda: trine.fit(frame, y="b", seed="a"), "seed")
    refused(lambda: trine.fit(frame, y="b", budget="a"), "budget")


def test_arrays_without_a_number_and_single_pictures_are_told_of() -> None:
    with pytest.raises(DataError, match="All numbers of X are missing"):
        trine.Autoencoder().fit(np.full((20, 3), np.nan))
    pictures = (np.arange(40 * 64) % 251).astype(np.uint8).reshape(40, 8, 8)
    model = trine.Autoencoder(epochs=1, code=2, random_state=0, threads=1).fit(pictures)
    with pytest.raises(DataError, match=r"shape \(8, 8\), and pictures are \(rows, 8, 8\)"):
        model.transform(pictures[0])
    assert model.interpolate(pictures[0], pictures[1], 3).shape == (3, 8, 8)


def test_plain_rows_are_conditions_by_place() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    given = pd.DataFrame({"age": rng.normal(40, 9, 60), "kind": np.array(["a", "b"])[np.arange(60) % 2]})
    model = trine.ConditionalGAN(epochs=1, random_state=0, threads=1).fit(given, rng.normal(size=60))
    rows = model.sample([[40, "a"], [41, "b"]], seed=1)
    named = model.sample(pd.DataFrame({"age": [40.0, 41.0], "kind": ["a", "b"]}), seed=1)
    np.testing.assert_array_equal(
        rows["y"] if isinstance(rows, dict) else rows, named["y"] if isinstance(named, dict) else named
    )


def test_an_array_in_the_place_of_a_network_is_told_by_its_shape() -> None:
    with pytest.raises(ChoiceError, match=r"a ndarray of shape \(20, 3\)"):
        trine.Transfer(np.zeros((20, 3))).fit(np.zeros((20, 3)), np.zeros(20))
