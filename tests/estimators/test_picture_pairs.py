"""A picture given a picture: what is made suits it, answers under other noise differ, and what training may leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import trine
from trine.data import read
from trine.errors import ChoiceError, DataError
from trine.estimators._scored import pairs
from trine.estimators._scored.pairs import energy

DIGITS = (load_digits().images * 15).astype(np.uint8)
EDGES = ((np.abs(np.diff(DIGITS.astype(int), axis=2, prepend=0)) > 60) * 255).astype(np.uint8)


def trained(**choices: object) -> trine.ConditionalGAN:
    choices = {"epochs": 12, "step_size": 2e-3, "random_state": 0, "threads": 1, "batch_size": 32, **choices}
    return trine.ConditionalGAN(**choices).fit(EDGES[:1500], DIGITS[:1500])


@pytest.fixture(scope="module")
def model() -> trine.ConditionalGAN:
    return trained()


def answers(model: trine.ConditionalGAN, n: int = 5) -> NDArray[np.float64]:
    """(rows, n, 8, 8) of held-out edges."""
    made = model.sample(EDGES[1500:], n, seed=1)
    found: NDArray[np.float64] = made.reshape(-1, n, 8, 8) / 255.0
    return found


def test_pairs_are_judged_as_pairs(model: trine.ConditionalGAN) -> None:
    found = model.evaluations_["y"].metrics
    assert found["energy-random-conv"].high < 0.6 * found["energy-random-conv"].baseline
    assert found["absolute error"].high < 0.5 * found["absolute error"].baseline
    assert 0.05 < found["apart"].value < 0.5
    assert 0.3 < found["spread"].value < 1.3
    again = model.evaluate(read({"image": EDGES[1500:], "y": DIGITS[1500:]})).metrics
    assert again["absolute error"].value == pytest.approx(
        np.abs(answers(model) - DIGITS[1500:, None] / 255).mean(), rel=0.05
    )
    scores = [record["held_out"] for record in model.history_]
    assert min(scores) < 0.7 * scores[0]


def test_another_picture_is_one_of_all_where_they_are_sorted_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = torch.linspace(-1, 1, 10).repeat_interleave(20)
    true = kinds[:, None, None, None].expand(-1, 1, 4, 4)
    made = true[:, None] + 0.01 * torch.randn(200, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(pairs, "seen_rows", lambda *_: true)
    monkeypatch.setattr(pairs, "answers_of", lambda *_: made)
    network: Any = torch.nn.Linear(1, 1)
    space: Any = type("Pixels", (), {"name": "pixels", "__call__": lambda _, rows: rows.flatten(1).double().numpy()})()
    found = pairs.pair_metrics(network, None, None, np.arange(200), space)  # type: ignore[arg-type]
    strange = float((kinds[:, None] - kinds).abs().mean()) / 2
    assert found["absolute error"].baseline == pytest.approx(strange, rel=0.1)
    assert found["energy-pixels"].baseline == pytest.approx(8 * strange, rel=0.1)  # of 16 pixels, on a scale of two
    assert found["apart"].value < 0.03


def test_pairs_wait_for_the_small_steps_at_the_end() -> None:
    """A score of pairs may stand still for a third of the epochs and fall where steps end small: maps did so at 64 × 64."""
    pairs, _ = trine.derive((EDGES[:100], DIGITS[:100]), method="conditional_gan", epochs=60)
    assert pairs.choices.patience == 40
    alone, _ = trine.derive(DIGITS[:100], method="gan", epochs=60)
    assert alone.choices.patience == 20


def test_the_energy_score_is_least_where_answers_are_as_the_truth() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(20_000, 1, 3))
    scores = {
        scale: energy(true[:, 0], scale * rng.normal(size=(20_000, 4, 3))).mean() for scale in (0.0, 0.7, 1.0, 1.4)
    }
    assert min(scores, key=lambda scale: scores[scale]) == 1.0


def test_what_is_made_suits_what_it_is_made_of(model: trine.ConditionalGAN) -> None:
    made, true = answers(model), DIGITS[1500:, None] / 255.0
    error, shuffled = np.abs(made - true).mean(), np.abs(made - np.roll(true, 1, 0)).mean()
    assert error < 0.5 * shuffled
    known = np.abs(DIGITS[1500:] / 255.0 - DIGITS[:1500].mean(0) / 255.0).mean()
    assert np.abs(made.mean(1, keepdims=True) - true).mean() < 0.5 * known


def test_five_answers_differ_and_the_term_that_keeps_them_apart_is_why(model: trine.ConditionalGAN) -> None:
    with_term, without = answers(model).std(1).mean(), answers(trained(diversity=0.0)).std(1).mean()
    assert with_term > 0.018
    assert with_term > 1.4 * without


def test_the_criterion_says_what_is_weighed(model: trine.ConditionalGAN) -> None:
    stated = str(model.derivation_)
    assert f"{5 / 64:g} · " in stated
    assert "‖ answer)" in stated
    assert "‖ answer)" not in str(trained(epochs=1, likelihood=0.0).derivation_)


def test_pairs_are_moved_and_mirrored_alike_and_in_training_alone() -> None:
    model = trained(epochs=1, flip="both", augment=True)
    network = model._network
    network.train()
    lone = np.zeros((64, 8, 8), np.float32)
    lone[:, 1, 2] = 1
    batch = {name: torch.from_numpy(lone)[:, None] for name in ("x.image", "y.y")}
    torch.manual_seed(0)
    changed = network.changed(batch)
    assert torch.allclose(changed["x.image"], changed["y.y"])
    assert len(changed["y.y"].flatten(1).argmax(1).unique()) > 20
    outputs = network(batch)
    assert torch.allclose((outputs["real"] + 1) / 2, outputs["given"]["x.image"])
    network.eval()
    assert network.changed(batch) is batch
    assert "flip" in str(model.derivation_) or "mirror" in str(model.derivation_)


def test_saved_and_loaded_it_makes_the_same(model: trine.ConditionalGAN, tmp_path: Path) -> None:
    again = trine.load(model.save(tmp_path / "pairs.trine"))
    assert np.array_equal(again.sample(EDGES[:3], 2, seed=4), model.sample(EDGES[:3], 2, seed=4))


def test_pictures_of_other_sizes_than_what_they_become() -> None:
    large = DIGITS.repeat(2, 1).repeat(2, 2)
    model = trine.ConditionalGAN(epochs=1, random_state=0, threads=1).fit(DIGITS[:200], large[:200])
    assert model.sample(DIGITS[:3]).shape == (3, 16, 16)


def test_a_likelihood_is_of_pairs_of_pictures_alone() -> None:
    with pytest.raises(ChoiceError, match=r"likelihood is of .* a picture that is made of a picture"):
        trine.ConditionalGAN(likelihood=1.0, epochs=1).fit(DIGITS[:50, 0], DIGITS[:50])


def test_pictures_of_any_size_are_translated_alike_whole_and_in_parts(model: trine.ConditionalGAN) -> None:
    wide = np.concatenate(list(EDGES[1500:1512].reshape(2, 6, 8, 8).transpose(0, 2, 1, 3).reshape(2, 8, 48)))
    wide = np.tile(wide, (8, 3))[:, :-1]
    whole, parts = model.translate(wide[None], 2), model.translate(wide[None], 2, tile=64)
    assert whole.shape == (1, 2, *wide.shape)
    assert whole.dtype == np.uint8
    assert np.abs(whole.astype(int) - parts).max() <= 1
    assert np.abs(whole[:, 0].astype(int) - whole[:, 1]).mean() > 1
    small, large = model.translate([EDGES[0], wide])
    assert (small.shape, large.shape) == ((8, 8), wide.shape)
    assert np.array_equal(large, model.translate(wide[None])[0])


def test_answers_of_one_number_share_their_noise(model: trine.ConditionalGAN) -> None:
    several = model.translate(EDGES[:4], 3, seed=5)
    assert several.shape == (4, 3, 8, 8)
    assert np.array_equal(model.translate(EDGES[2:3], 3, seed=5)[0], several[2])
    assert np.array_equal(model.translate(EDGES[:4], seed=5), several[:, 0])


def test_what_grows_in_training_grows_in_translation() -> None:
    large = DIGITS.repeat(2, 1).repeat(2, 2)
    model = trine.ConditionalGAN(epochs=1, random_state=0, threads=1).fit(DIGITS[:200], large[:200])
    assert model.translate([np.zeros((10, 13), np.uint8)])[0].shape == (20, 26)


def test_only_pictures_of_pictures_are_translated(model: trine.ConditionalGAN) -> None:
    classes = trine.ConditionalGAN(epochs=1, random_state=0, threads=1).fit(DIGITS[:100, 0], DIGITS[:100])
    with pytest.raises(ChoiceError, match="no picture given a picture"):
        classes.translate(DIGITS[:2])
    with pytest.raises(DataError, match="no pictures to translate"):
        model.translate([])
    with pytest.raises(DataError, match="channels"):
        model.translate(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ChoiceError, match="at least 1"):
        model.translate(EDGES[:1], 0)
