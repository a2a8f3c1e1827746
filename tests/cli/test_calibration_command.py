"""Calibration through the commands: asked for, kept, resumed, told before and after, and seen in what is predicted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_breast_cancer, load_diabetes

import trine
from trine.cli import main
from trine.data import write

SMALL = ["--set", "hidden=16", "--set", "numbers=plain", "--set", "epochs=5", "--set", "members=2", "-q"]


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, load in (("diabetes", load_diabetes), ("cancer", load_breast_cancer)):
        data = load(as_frame=True)
        y = data.target.to_numpy() if name == "diabetes" else np.array(["no", "yes"])[data.target.to_numpy()]
        columns = {**{n: data.data[n].to_numpy() for n in data.data}, "y": y}
        write(f"{name}.csv", columns)
        if name == "diabetes":
            write("new.csv", {n: values[:30] for n, values in columns.items()})


def predicted() -> dict[str, np.ndarray]:
    with open("p.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0] if key.startswith(("y_p", "p("))}


def test_intervals_are_calibrated_resumed_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "diabetes.csv", "--y", "y", *SMALL]
    assert run(*fit, "--set", "calibration=none", "--no-report", "--out", "raw") == 0
    assert run(*fit, "--set", "calibration=conformal", "--out", "run") == 0
    assert run("predict", "raw", "new.csv", "--out", "p.csv") == 0
    before = predicted()
    Path("p.csv").unlink()
    assert run("predict", "run", "new.csv", "--out", "p.csv") == 0
    after = predicted()
    # One network, other intervals: those of the calibrated distribution.
    assert not np.allclose(before["y_p95"] - before["y_p05"], after["y_p95"] - after["y_p05"], rtol=1e-3)
    model = trine.load("run")
    q = model.predict_interval("new.csv")
    np.testing.assert_allclose(q, np.column_stack([after["y_p05"], after["y_p95"]]), rtol=1e-6)

    record = json.loads(Path("run/record.json").read_text(encoding="utf-8"))
    told = record["evaluations"]["y"]["figures"]["calibrated"]
    bare = json.loads(Path("raw/record.json").read_text(encoding="utf-8"))["evaluations"]["y"]["metrics"]
    assert told["before"]["coverage_90"] == bare["coverage_90"]["value"]
    assert told["before"]["nll"] == pytest.approx(bare["nll"]["value"], rel=1e-9)
    assert len(told["coverage"]["share"]) == len(record["evaluations"]["y"]["figures"]["coverage"]["share"])
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert f"Calibration: {told['said']}" in page
    assert "before" in page
    capsys.readouterr()
    assert run("evaluate", "run", "new.csv") == 0
    assert "calibration: conformal by" in capsys.readouterr().out

    whole = load_file("run/model.trine")
    Path("run/model.trine").unlink()
    assert run("resume", "run", "--no-report", "-q") == 0
    resumed = load_file("run/model.trine")
    assert set(whole) == set(resumed)
    assert sum(name.startswith("calibration.") for name in whole) == 2
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_probabilities_are_calibrated_and_of_a_row_still_one() -> None:
    fit = ["fit", "cancer.csv", "--y", "y", "--no-report", *SMALL]
    found = {}
    for kind in ("none", "temperature", "isotonic"):
        assert run(*fit, "--set", f"calibration={kind}", "--out", kind) == 0
        assert run("predict", kind, "cancer.csv", "--out", "p.csv") == 0
        found[kind] = predicted()
        Path("p.csv").unlink()
        np.testing.assert_allclose(found[kind]["p(no)"] + found[kind]["p(yes)"], 1.0, atol=1e-6)
    raw, tempered = (np.log(found[kind]["p(yes)"] / found[kind]["p(no)"]) for kind in ("none", "temperature"))
    sure = (np.abs(raw) > 0.1) & (np.abs(raw) < 5)
    ratio = tempered[sure] / raw[sure]
    # A temperature divides all log-odds by one number.
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-2)
    assert abs(np.median(ratio) - 1) > 1e-3
    order = np.argsort(found["none"]["p(yes)"])
    assert (np.diff(found["isotonic"]["p(yes)"][order]) >= -1e-9).all()


def test_a_word_that_is_no_calibration(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", "diabetes.csv", "--y", "y", "--set", "calibration=platt", "--out", "run", *SMALL) == 2
    said = capsys.readouterr().err
    assert "calibration is 'platt'" in said
    assert "conformal" in said
