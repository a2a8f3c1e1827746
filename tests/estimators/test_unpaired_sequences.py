"""Two piles of series and of sounds, end to end: translations are of their pile, and come back to what they were made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile

import trine
from trine.estimators._piles import piles_of, prepare_piles

RATE = 1000
HOW: dict[str, Any] = {
    "channels": 8,
    "hidden": (64,),
    "batch_size": 20,
    "penalty": 0.1,
    "penalty_every": 4,
    "step_size": 2e-3,
    "stop_fraction": 0.0,
    "threads": 1,
    "seed": 1,
}


def tones(rows: int, seed: int, swelling: bool, steps: int, pitches: tuple[float, float]) -> np.ndarray:
    """(rows,) waves of one of two pitches, in cycles, of any phase: dying away as if struck, or swelling as if bowed."""
    rng = np.random.default_rng(seed)
    time = np.arange(steps) / steps
    cycles, phase = rng.choice(pitches, (rows, 1), p=[0.7, 0.3]), rng.uniform(0, 2 * np.pi, (rows, 1))
    loud = time if swelling else 1 - time
    found = np.empty(rows, dtype=object)
    found[:] = list(0.8 * loud * np.sin(2 * np.pi * cycles * time + phase) + 0.01 * rng.normal(size=(rows, steps)))
    return found


def late(waves: Any) -> np.ndarray:
    """(rows,) share of a wave's energy that is in its second half."""
    energy = np.stack([np.asarray(wave, dtype=float).ravel() ** 2 for wave in waves])
    found: np.ndarray = energy[:, energy.shape[1] // 2 :].sum(1) / energy.sum(1)
    return found


def cycles(waves: Any) -> np.ndarray:
    """(rows,) cycles of the strongest part of a wave, over its length."""
    found: np.ndarray = np.abs(np.fft.rfft(np.stack([np.asarray(wave, dtype=float).ravel() for wave in waves]))).argmax(
        1
    )
    return found


@pytest.mark.parametrize(
    ("name", "domain", "steps", "pitches", "epochs"),
    [("series", "series", 24, (2.0, 4.0), 25), ("sound", f"audio(rate={RATE})", 64, (4.0, 8.0), 25)],
)
def test_translations_are_of_their_pile_and_come_back(
    name: str, domain: str, steps: int, pitches: tuple[float, float], epochs: int
) -> None:
    struck, bowed, other, another = (
        {name: tones(rows, seed, swelling, steps, pitches)}
        for rows, seed, swelling in ((200, 0, False), (200, 1, True), (100, 2, False), (100, 3, True))
    )
    model = trine.fit(struck, other=bowed, method="unpaired", domains={name: domain}, epochs=epochs, **HOW)
    to_bowed, to_struck = model.translate(other, to="B", seed=1)[name], model.translate(another, to="A", seed=1)[name]
    assert late(other[name]).mean() < 0.2
    assert late(another[name]).mean() > 0.8
    assert (late(to_bowed) > 0.5).mean() > 0.9
    assert (late(to_struck) < 0.5).mean() > 0.9
    # Where only the piles say what to change, the pitch, which no pile tells, is kept: each wave's own.
    assert (cycles(to_bowed) == cycles(other[name])).mean() > 0.8
    assert (cycles(to_struck) == cycles(another[name])).mean() > 0.8
    piles = prepare_piles(model.plan_, piles_of(model.plan_, other, another), schema=model.schema_)
    batch = piles.store.batch(torch.from_numpy(piles.rows.train))
    network = model.derivation_.model.eval()
    with torch.inference_mode():
        found = network(batch)
    for side in ("a", "b"):
        real, back = found[f"real_{side}"], found[f"cycle_{side}"].mean
        away, elsewhere = ((back - rows).abs().mean().item() for rows in (real, real.roll(1, 0)))
        assert away < 0.4 * elsewhere


def test_sounds_of_other_lengths_and_rates_meet_second_by_second(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rates = {"a": 2000, "b": 4000}

    def pile(side: str, rows: int) -> dict[str, np.ndarray]:
        files = []
        for row in range(rows):
            time = np.arange(round(rng.uniform(0.02, 0.04) * rates[side])) / rates[side]
            files.append(str(tmp_path / f"{side}{row}.wav"))
            wave = np.sin(2 * np.pi * 200 * time)
            wavfile.write(files[-1], rates[side], (20_000 * (np.sign(wave) if side == "b" else wave)).astype(np.int16))
        return {"clip": np.array(files)}

    a, b = pile("a", 40), pile("b", 30)
    model = trine.fit(a, other=b, method="unpaired", epochs=20, **HOW)
    assert [next(iter(side.values())).rate for side in (model.schema_.x, model.schema_.y)] == [2000, 4000]
    for to, given, pace in (("B", a, 2.0), ("A", b, 0.5)):
        made = model.translate(given, to=to, seed=0)["clip"]
        steps = np.array(
            [[len(wavfile.read(file)[1]), len(wave)] for file, wave in zip(given["clip"], made, strict=True)]
        )
        assert np.median(np.abs(steps[:, 1] / steps[:, 0] / pace - 1)) < 0.1
