"""A picture given a picture: what is made suits it, answers under other noise differ, and what training may leave out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import trine
from trine.errors import ChoiceError

DIGITS = (load_digits().images * 15).astype(np.uint8)
EDGES = ((np.abs(np.diff(DIGITS.astype(int), axis=2, prepend=0)) > 60) * 255).astype(np.uint8)


def trained(**choices: object) -> trine.ConditionalGAN:
    choices = {"epochs": 8, "step_size": 2e-3, "random_state": 0, "threads": 1, "batch_size": 32, **choices}
    return trine.ConditionalGAN(**choices).fit(EDGES[:1500], DIGITS[:1500])


@pytest.fixture(scope="module")
def model() -> trine.ConditionalGAN:
    return trained()


def answers(model: trine.ConditionalGAN, n: int = 5) -> NDArray[np.float64]:
    """(rows, n, 8, 8) of held-out edges."""
    made = model.sample(EDGES[1500:], n, seed=1)
    found: NDArray[np.float64] = made.reshape(-1, n, 8, 8) / 255.0
    return found


def test_what_is_made_suits_what_it_is_made_of(model: trine.ConditionalGAN) -> None:
    made, true = answers(model), DIGITS[1500:, None] / 255.0
    error, shuffled = np.abs(made - true).mean(), np.abs(made - np.roll(true, 1, 0)).mean()
    assert error < 0.4 * shuffled
    assert error < 0.5 * np.abs(DIGITS[1500:] / 255.0 - DIGITS[:1500].mean(0) / 255.0).mean()


def test_five_answers_differ_and_the_term_that_keeps_them_apart_is_why(model: trine.ConditionalGAN) -> None:
    with_term, without = answers(model).std(1).mean(), answers(trained(diversity=0.0)).std(1).mean()
    assert with_term > 0.025
    assert with_term > 1.4 * without


def test_the_criterion_says_what_is_weighed(model: trine.ConditionalGAN) -> None:
    stated = str(model.derivation_)
    assert f"{10 / 64:g} · " in stated
    assert "‖ answer)" in stated
    assert "‖ answer)" not in str(trained(epochs=1, likelihood=0.0).derivation_)


def test_saved_and_loaded_it_makes_the_same(model: trine.ConditionalGAN, tmp_path: Path) -> None:
    again = trine.load(model.save(tmp_path / "pairs.trine"))
    assert np.array_equal(again.sample(EDGES[:3], 2, seed=4), model.sample(EDGES[:3], 2, seed=4))


def test_pictures_of_other_sizes_than_what_they_become() -> None:
    large = DIGITS.repeat(2, 1).repeat(2, 2)
    model = trine.ConditionalGAN(epochs=1, random_state=0, threads=1).fit(DIGITS[:200], large[:200])
    assert model.sample(DIGITS[:3]).shape == (3, 16, 16)


def test_a_likelihood_is_of_pairs_of_pictures_alone() -> None:
    with pytest.raises(ChoiceError, match="likelihood is of a picture that is made of a picture"):
        trine.ConditionalGAN(likelihood=1.0, epochs=1).fit(DIGITS[:50, 0], DIGITS[:50])
