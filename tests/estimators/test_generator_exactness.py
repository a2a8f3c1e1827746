"""Generators that were stopped go on to the same bits; two processes make the generator that one makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine
from tests.stopping import stopped_and_resumed

import trine

DIGITS = load_digits()
PICTURES = (DIGITS.images * 15).astype(np.uint8)[:300]
WINE = load_wine()
TABLE = {
    "alcohol": WINE.data[:, 0],
    "colour": np.where(np.arange(178) % 9 == 0, np.nan, WINE.data[:, 9]),
    "kind": np.array(["low", "middle", "high"])[WINE.target],
}

GAMES: dict[str, tuple[Any, dict[str, Any]]] = {
    "pictures": ({"image": PICTURES}, {"method": "gan", "channels": 4, "critic_augment": 0.8}),
    "wasserstein": (TABLE, {"method": "gan", "divergence": "wasserstein", "hidden": (16,), "critic_steps": 2}),
    "packs": (TABLE, {"method": "gan", "pack": 2, "penalty_every": 4, "hidden": (16,)}),
    "pictures given classes": (
        {"digit": DIGITS.target[:300].astype(str), "image": PICTURES},
        {"method": "conditional_gan", "y": "image", "channels": 4, "domains": {"digit": "category"}},
    ),
    "pictures given pictures": (
        {"negative": 255 - PICTURES, "image": PICTURES},
        {"method": "conditional_gan", "y": "image", "x": ["negative"], "channels": 4, "augment": True, "flip": "both"},
    ),
    "a table given a table": (TABLE, {"method": "conditional_gan", "y": ["colour", "alcohol"], "hidden": (16,)}),
}


# Plain steps: what an adaptive step makes of a gradient near zero is rounding.
SETTINGS = ("channels=4", "epochs=1", "batch_size=16", "optimiser=sgd", "step_size=0.001")


def states(model: Any) -> dict[str, torch.Tensor]:
    derivation = model.derivation_
    critic = {f"critic.{name}": value for name, value in derivation.criterion.state_dict().items()}
    return {**derivation.model.state_dict(), **critic}


@pytest.mark.parametrize("game", GAMES)
def test_a_stopped_game_ends_in_the_same_bits(game: str, tmp_path: Path) -> None:
    table, how = GAMES[game]
    how = {**how, "epochs": 3, "ema": 0.9, "batch_size": 32, "threads": 1}
    whole = trine.fit(table, **how, out=tmp_path / "whole")
    resumed = stopped_and_resumed(
        lambda: trine.fit(table, **how, out=tmp_path / "stopped"),
        lambda: trine.resume(tmp_path / "stopped", data=table),
        at=8,
    )
    one, two = states(whole), states(resumed)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(name.startswith("critic.") for name in one)


def test_two_processes_make_the_generator_of_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", image=PICTURES[:64], negative=255 - PICTURES[:64])
    fit = [
        "trine", "fit", str(tmp_path / "digits.npz"), "--quiet", "--no-report", "--y", "image", "--x", "negative", "--method",
        "conditional_gan", *(part for name in SETTINGS for part in ("--set", name)), "--threads", "1", "--device", "cpu", "--out",
    ]  # fmt: skip
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    for name, launcher in (("one", []), ("two", torchrun)):
        ended = subprocess.run(
            [sys.executable, "-m", *launcher, *fit, str(tmp_path / name)],
            capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    one, two = (trine.load(tmp_path / name) for name in ("one", "two"))
    ends = [model.derivation_.model.state_dict() for model in (one, two)]
    farthest = max(float((ends[0][name].double() - ends[1][name].double()).abs().max()) for name in ends[0])
    assert farthest < 1e-4  # sums in another order, float32
    records = [json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0]) for name in ("one", "two")]
    assert records[0]["diversity"] < -1
    assert records[1]["diversity"] == pytest.approx(records[0]["diversity"], rel=1e-5)
