"""What is made for a condition is scored given that condition: good answers to the wrong one are not good."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris

import trine
from trine.choices import Choices
from trine.data import Schema, read, stored
from trine.domains import Category, Image, Real
from trine.errors import DataError
from trine.estimators._scored.given import Given, nothing
from trine.evaluation.samples import conditional_frechet, frechet

DIGITS = load_digits()
CPU = torch.device("cpu")


def _given(columns: dict[str, Any], domains: dict[str, Any]) -> Given:
    table = read(columns)
    schema = Schema({name: domain.fit(table.column(name)) for name, domain in domains.items()}, {})
    return Given(schema, stored(table, schema), Choices(), CPU, np.arange(table.rows), table.rows)


@pytest.mark.parametrize("kind", ["class", "number", "mixed", "picture"])
def test_answers_to_other_conditions_are_far_for_every_kind_of_condition(kind: str) -> None:
    """A distance of rows alone sees no difference between answers and the same answers in another order."""
    n = 600
    rng = np.random.default_rng(0)
    number, label = rng.normal(size=n), DIGITS.target[:n]
    pictures = (DIGITS.images[:n] * 15).astype(np.uint8)
    given: tuple[dict[str, Any], dict[str, Any]] = {
        "class": ({"c": label.astype(str)}, {"c": Category()}),
        "number": ({"c": number}, {"c": Real()}),
        "mixed": ({"c": label.astype(str), "d": number}, {"c": Category(), "d": Real()}),
        "picture": ({"c": pictures}, {"c": Image()}),
    }[kind]  # type: ignore[assignment]
    y = {
        "class": np.eye(10)[label][:, :9],
        "number": number[:, None],
        "mixed": (number * (label % 2))[:, None],
        "picture": pictures.reshape(n, 8, 8)[:, 2:6, 2:6].reshape(n, -1) / 255,
    }[kind]
    y = (y - y.mean(0)) / y.std(0)
    y = y + 0.1 * rng.normal(size=y.shape)
    conditions = _given(*given)
    index = rng.permutation(n)
    half, other = index[: n // 2], index[n // 2 :]
    floor = conditional_frechet(y[half], conditions(half), y[other], conditions(other))
    wrong = rng.permutation(half)
    assert conditional_frechet(y[half], conditions(half), y[wrong], conditions(half)) > 5 * floor
    assert frechet(y[half], y[wrong]) < 1e-6


def test_conditions_are_the_same_each_time_and_leave_the_generators_alone() -> None:
    columns, domains = {"c": DIGITS.target[:200].astype(str)}, {"c": Category()}
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again = (_given(columns, domains)(np.arange(50)) for _ in range(2))
    assert first.shape[1] > 0
    assert np.array_equal(first, again)
    assert torch.equal(before, torch.get_rng_state())


def test_nothing_given_has_no_features() -> None:
    assert nothing(np.arange(7)).shape == (7, 0)


def test_an_evaluation_sees_whether_answers_go_with_their_conditions() -> None:
    iris = load_iris()
    species = np.array(iris.target_names)[iris.target].reshape(-1, 1)
    model = trine.ConditionalGAN(epochs=60, random_state=0, threads=1).fit(species, iris.data)
    right = model.evaluate((species, iris.data)).metrics
    wrong = model.evaluate((np.roll(species, 50), iris.data)).metrics
    assert wrong["FD-standardised"].value < 3 * right["FD-standardised"].value
    assert wrong["CFD-standardised"].value > 3 * right["CFD-standardised"].value
    with pytest.raises(DataError, match="rosa was never seen in training"):
        model.evaluate((np.where(species == "setosa", "rosa", species), iris.data))


def test_no_condition_has_no_conditional_distance() -> None:
    X = load_iris().data
    found = trine.GAN(epochs=2, random_state=0, threads=1).fit(X).evaluate(X).metrics
    assert "FD-standardised" in found
    assert not any(name.startswith("CFD") for name in found)
