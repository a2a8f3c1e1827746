"""Two piles of series and of sounds, end to end: translations are of their pile, and come back to what they were made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

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
    piles = prepare_piles(model.plan_, piles_of(model.plan_, other, another), schema=model.schema_)
    batch = piles.store.batch(torch.from_numpy(piles.rows.train))
    network = model.derivation_.model.eval()
    with torch.inference_mode():
        found = network(batch)
    for side in ("a", "b"):
        real, back = found[f"real_{side}"], found[f"cycle_{side}"].mean
        away, elsewhere = ((back - rows).abs().mean().item() for rows in (real, real.roll(1, 0)))
        assert away < 0.4 * elsewhere
