"""Series and sounds as they are made and seen: there and back, ends, bounds; generators that make waves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import trine
from trine.blocks.sequence_makers import SequenceCritic, SequenceGenerator, SequenceMaker, Timeline, lengths
from trine.errors import SchemaError


@pytest.mark.parametrize("steps", [1, 7, 16, 17, 100, 1000])
def test_networks_take_any_number_of_steps(steps: int) -> None:
    made = SequenceGenerator(5, 2, steps, maps=4)(torch.randn(3, 5))
    assert made.shape == (3, 2, steps)
    critic = SequenceCritic(2, steps, maps=4)
    assert critic(made).shape == (3, critic.features)
    assert lengths(steps)[0] == steps


def test_rows_come_back_as_they_were_seen() -> None:
    maker = SequenceMaker(5, Timeline(2, 6, 2), maps=4)
    value, length = torch.randn(3, 5, 2), torch.tensor([5, 2, 4])
    for row, end in zip(value, length, strict=True):
        row[end:] = 0
    seen = maker.seen(value, None, length)
    assert seen.shape == (3, 3, 6)
    back = maker.encoded(seen)[0]
    for i, end in enumerate(length):
        assert torch.equal(back[i, :end], value[i, :end])
        assert back[i, end:].isnan().all()
    same = SequenceMaker(5, Timeline(2, 5, 5), maps=4)
    assert torch.equal(same.encoded(same.seen(value, None, length))[0], value)


def test_a_row_too_long_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"at most 16,384 steps of a sound at once, and the longest row has 20,000"):
        Timeline(1, 20_000, 20_000, name="sound")


def waves(rows: int, ragged: bool) -> np.ndarray:
    """Sines of one of two speeds, any phase: rows of 32 steps, or of 20 to 32."""
    rng = np.random.default_rng(0)
    speed = rng.choice([2, 5], rows)
    at = np.arange(32) / 32
    found = (
        10 + 3 * np.sin(2 * np.pi * (speed[:, None] * at + rng.random((rows, 1)))) + 0.1 * rng.normal(size=(rows, 32))
    )
    return ragged_of(found, rng.integers(20, 33, rows) if ragged else np.full(rows, 32))


def ragged_of(found: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """A column of rows, each by itself."""
    out = np.empty(len(found), dtype=object)
    for i, end in enumerate(steps):
        out[i] = found[i, :end]
    return out


def test_waves_are_made() -> None:
    model = trine.fit({"wave": waves(600, False)}, method="gan", threads=1, epochs=200, domains={"wave": "series"})
    made = np.stack(list(model.drawn_columns(200, seed=0)["wave"]))
    assert made.shape == (200, 32)
    power = np.abs(np.fft.rfft(made - made.mean(axis=1, keepdims=True), axis=1)) ** 2
    of_two = power[:, [2, 5]].sum(axis=1) / power.sum(axis=1)
    assert np.median(of_two) > 0.8  # the data: 0.99; noise: 2 of 16
    shares = (power[:, 2] > power[:, 5]).mean()
    assert 0.2 < shares < 0.8  # both speeds
    assert made.mean() == pytest.approx(10, abs=0.5)


def test_rows_of_different_lengths_are_made() -> None:
    model = trine.fit(
        {"wave": waves(300, True)}, method="gan", threads=1, epochs=30, domains={"wave": "series"}, channels=8
    )
    made = model.drawn_columns(100, seed=0)["wave"]
    steps = np.array([len(row) for row in made])
    assert steps.min() >= 20
    assert steps.max() <= 32
    assert len(set(steps.tolist())) > 1
    assert all(np.isfinite(row).all() for row in made)


def test_sounds_are_made_given_a_class() -> None:
    rng = np.random.default_rng(0)
    kind = rng.choice(["low", "high"], 200)
    at = np.arange(400) / 4000
    tone = np.where(kind == "low", 200, 800)
    clips = 0.5 * np.sin(2 * np.pi * (tone[:, None] * at + rng.random((200, 1))))
    rows = {"kind": kind, "clip": ragged_of(clips.astype(np.float32), np.full(200, 400))}
    how = {
        "y": "clip",
        "method": "conditional_gan",
        "threads": 1,
        "channels": 8,
        "domains": {"clip": "audio(rate=4000)"},
    }
    model = trine.fit(rows, **how, epochs=2)
    made = model.drawn_columns(3, {"kind": "low"}, seed=0)["clip"]
    assert len(made) == 3
    assert all(row.shape == (400,) and np.abs(row).max() <= 1 for row in made)
