"""A posterior through the commands: derived, trained, stopped and resumed, predicted."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from sklearn.datasets import load_diabetes

from trine.cli import main
from trine.data import write

SMALL = [
    "--set",
    "hidden=16",
    "--set",
    "numbers=plain",
    "--set",
    "draws=4",
    "--set",
    "sampling_steps=100",
    "--no-report",
    "-q",
]


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = load_diabetes(as_frame=True)
    write("diabetes.csv", {**{n: data.data[n].to_numpy() for n in data.data}, "y": data.target.to_numpy()})


@pytest.mark.parametrize("posterior", ["ensemble", "dropout", "swag", "laplace", "variational", "langevin"])
def test_predictions_say_what_the_data_and_what_theta_leave_open(posterior: str, tmp_path: Path) -> None:
    fit = [
        "fit",
        "diabetes.csv",
        "--y",
        "y",
        "--set",
        f"posterior={posterior}",
        "--set",
        "epochs=3",
        "--out",
        "run",
        *SMALL,
    ]
    assert run(*fit) == 0
    assert run("predict", "run", "diabetes.csv", "--out", "predictions.csv") == 0
    with open("predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    aleatoric, epistemic = (np.array([float(row[f"y_{part}"]) for row in rows]) for part in ("aleatoric", "epistemic"))
    assert (aleatoric > 0).all()
    assert epistemic.mean() > 0
    assert "y_scale_1" not in rows[0]


def test_an_ensemble_that_is_killed_ends_in_the_bits_of_one_that_is_not(tmp_path: Path) -> None:
    fit = [
        "fit",
        "diabetes.csv",
        "--y",
        "y",
        "--set",
        "posterior=ensemble",
        "--set",
        "epochs=15",
        "--seed",
        "3",
        *SMALL,
    ]
    assert run(*fit, "--out", "whole") == 0
    command = [sys.executable, "-m", "trine", *fit, "--out", "killed"]
    started = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    record, deadline = Path("killed/run.json"), time.monotonic() + 60
    while not (record.is_file() and '"training"' in record.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    started.wait(60)
    assert started.returncode == 130  # in the midst of its steps
    assert run("resume", "killed", "-q", "--no-report") == 0
    ours, theirs = load_file("killed/model.trine"), load_file("whole/model.trine")
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_a_mistake_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for setting, said in (("posterior=bagging", "posterior"), ("prior=normal(-1)", "one positive width")):
        assert run("fit", "diabetes.csv", "--y", "y", "--set", setting, "--out", "run", *SMALL) == 2
        error = capsys.readouterr().err
        assert said in error
        assert "Traceback" not in error
