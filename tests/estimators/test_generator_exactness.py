"""Generators that were stopped go on to the same bits; two processes make the generator that one makes."""

from __future__ import annotations

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
    "a table given a table": (TABLE, {"method": "conditional_gan", "y": ["colour", "alcohol"], "hidden": (16,)}),
}


# Plain steps: what an adaptive step makes of a gradient near zero is rounding. The critic sees pictures unchanged, because changes
# are drawn by each process.
SETTINGS = (
    "channels=4",
    "epochs=2",
    "batch_size=32",
    "hidden=16",
    "optimiser=sgd",
    "step_size=0.05",
    "critic_augment=0",
)


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


PAIRED = ("--y", "image", "--method", "conditional_gan", "--domain", "digit=category")
UNPAIRED = (
    "--method",
    "unpaired",
    "--valid",
    "0",
    "--set",
    "content=contrast",
    "--set",
    "epochs=1",
    "--set",
    "layers=1",
    "--set",
    "history=0",
)
"""A pool of past translations is each process's own."""


@pytest.mark.parametrize(
    ("second", "words"),
    [((), PAIRED), (("inverse.npz",), UNPAIRED)],
    ids=["conditional", "unpaired"],
)
def test_two_processes_make_the_generator_of_one(
    second: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    beside = {} if second else {"digit": DIGITS.target[:300].astype(str)}
    np.savez(tmp_path / "digits.npz", image=PICTURES, **beside)
    np.savez(tmp_path / "inverse.npz", image=255 - PICTURES[::-1])
    settings = SETTINGS if not second else [name.replace("step_size=0.05", "step_size=0.001") for name in SETTINGS]
    fit = [
        "trine", "fit", str(tmp_path / "digits.npz"), *(str(tmp_path / name) for name in second), "--quiet",
        "--no-report", *(part for name in settings for part in ("--set", name)), *words, "--threads", "1",
        "--device", "cpu", "--out",
    ]  # fmt: skip
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    for name, launcher in (("one", []), ("two", torchrun)):
        ended = subprocess.run(
            [sys.executable, "-m", *launcher, *fit, str(tmp_path / name)],
            capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    one, two = (states(trine.load(tmp_path / name)) for name in ("one", "two"))
    farthest = max(float((one[name].double() - two[name].double()).abs().max()) for name in one)
    assert farthest < 1e-4  # sums in another order, float32
