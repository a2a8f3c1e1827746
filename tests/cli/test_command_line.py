"""The commands, end to end, on small data."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_diabetes, load_iris

import trine
from trine.cli import main
from trine.cli._demo import write_digits
from trine.data import read, write

QUICK = ["--set", "epochs=2", "--no-report", "-q"]


def run(*arguments: object) -> None:
    """A command that succeeds; a usage error or a mistake raises."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        if stop.code:
            raise


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tables, their columns in no alphabetical order, one with a key."""
    monkeypatch.chdir(tmp_path)
    iris = load_iris(as_frame=True)
    columns: dict[str, Any] = {"id": np.array([f"flower-{i:03d}" for i in range(150)])}
    columns |= {name: iris.data[name].to_numpy() for name in reversed(list(iris.data))}
    write("iris.csv", {**columns, "kind": iris.target_names[iris.target]})
    data = load_diabetes(as_frame=True)
    write("diabetes.parquet", {**{n: data.data[n].to_numpy() for n in data.data}, "y": data.target.to_numpy()})


def test_derive_prints_what_python_has(capsys: pytest.CaptureFixture[str]) -> None:
    run("derive", "iris.csv", "--y", "kind")
    printed = capsys.readouterr().out
    derivation, sample = trine.derive("iris.csv", y="kind")
    assert printed.strip() == derivation.describe(sample).strip()
    for part in (
        "Category: setosa, versicolor, virginica",
        "softmax",
        "E[−log q(kind | x, θ)]",
        "AdamW",
        "kept as the key",
    ):
        assert part in printed
    run("derive", "iris.csv", "--y", "kind", "--set", "divergence=cramer", "--json")
    data = json.loads(capsys.readouterr().out)
    assert data["choices"]["divergence"] == "cramer"
    assert any("CRPS" in line or "Cram" in line or "F" in line for line in data["sections"]["criterion"])
    assert not list(Path().glob("*/"))


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "jsonl", "npz"])
def test_fit_evaluate_predict_on_every_format(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    iris = load_iris()
    columns = {f"c{3 - i}": iris.data[:, i] for i in range(4)}
    kinds = iris.target_names[iris.target]
    source = Path(f"data.{form}")
    if form == "npz":
        np.savez(source, X=iris.data, y=kinds.astype(str))
    else:
        write(source, {**columns, "y": kinds})
    run("fit", source, "--y", "y", "--out", "run", *QUICK, "--json")
    done = json.loads(capsys.readouterr().out)
    assert done["artefact"] == "run/model.trine"
    assert set(done["metrics"]["y"]) >= {"accuracy", "log_loss"}
    run("evaluate", "run", source, "--json")
    assert 0 <= json.loads(capsys.readouterr().out)["y"]["metrics"]["accuracy"]["value"] <= 1
    run("predict", "run", source, "--out", "p.csv")
    with Path("p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 150
    assert [row["row"] for row in rows[:3]] == ["1", "2", "3"]
    total = sum(float(rows[0][f"p({label})"]) for label in iris.target_names)
    assert total == pytest.approx(1.0, abs=1e-6)


def test_predictions_carry_the_key_and_how_sure(capsys: pytest.CaptureFixture[str]) -> None:
    run("fit", "iris.csv", "--y", "kind", "--out", "run", *QUICK)
    run("predict", "run", "iris.csv", "--out", "p.jsonl")
    rows = [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()]
    assert rows[0]["id"] == "flower-000"
    assert rows[0]["kind"] in ("setosa", "versicolor", "virginica")
    assert rows[0]["kind_probability"] == max(rows[0][f"p({k})"] for k in ("setosa", "versicolor", "virginica"))
    run("fit", "diabetes.parquet", "--y", "y", "--out", "numbers", *QUICK)
    run("predict", "numbers", "diabetes.parquet", "--out", "q.csv")
    with Path("q.csv").open() as file:
        first = next(csv.DictReader(file))
    assert float(first["y_p05"]) < float(first["y"]) < float(first["y_p95"])
    run("predict", "numbers", "diabetes.parquet", "--out", "q.parquet")
    again = read("q.parquet").column("y_p95").values[0]
    assert float(again) == pytest.approx(float(first["y_p95"]))
    run("info", "run")
    shown = capsys.readouterr().out
    assert "finished" in shown
    assert "decision rule" in shown
    run("info", "run", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["target"] == ["kind"]
    assert (
        told["metrics"]["kind"]["accuracy"]
        == json.loads(Path("run/run.json").read_text())["metrics"]["kind"]["accuracy"]
    )


def test_a_run_goes_on_with_data_that_moved() -> None:
    run("fit", "iris.csv", "--y", "kind", "--out", "run", *QUICK)
    Path("run/model.trine").rename("run/whole.trine")
    Path("iris.csv").rename("moved.csv")
    run("resume", "run", "--data", "moved.csv", "--no-report", "-q")
    whole, resumed = load_file("run/whole.trine"), load_file("run/model.trine")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    run("evaluate", "run", "moved.csv")


def test_images_in_class_folders_with_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    write_digits(Path("digits"))
    run("fit", "digits", "--out", "run", "--set", "epochs=2", "-q")
    assert "report" in capsys.readouterr().out
    assert Path("run/report.html").stat().st_size > 20_000
    run("report", "run", "--out", "again.html")
    assert Path("again.html").is_file()
    run("predict", "run", "digits", "--out", "p.csv")
    with Path("p.csv").open() as file:
        assert {row["label"] for row in csv.DictReader(file)} <= {str(i) for i in range(10)}


@pytest.mark.parametrize("form", ["toml", "yaml"])
def test_a_run_file_says_the_same_as_options(form: str) -> None:
    text = {
        "toml": 'data = "iris.csv"\ny = "kind"\nout = "a"\nseed = 3\n[set]\nepochs = 2\nstep_size = 1e-3\nhidden = [16]\n',
        "yaml": "data: iris.csv\ny: kind\nout: a\nseed: 3\nset: {epochs: 2, step_size: 1e-3, hidden: [16]}\n",
    }[form]
    Path(f"run.{form}").write_text(text)
    run("fit", f"run.{form}", "--no-report", "-q")
    sets = ["--set", "epochs=2", "--set", "step_size=1e-3", "--set", "hidden=16"]
    run("fit", "iris.csv", "--y", "kind", "--out", "b", "--seed", 3, *sets, "--no-report", "-q")
    assert same("a", "b")
    run("fit", f"run.{form}", "--out", "c", "--seed", 4, "--no-report", "-q")
    assert not same("a", "c")


def same(one: str, other: str) -> bool:
    """Whether two runs ended in the same bits."""
    a, b = load_file(f"{one}/model.trine"), load_file(f"{other}/model.trine")
    return all(torch.equal(a[name], b[name]) for name in a)


def test_held_out_rows_may_come_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    run("fit", "iris.csv", "--y", "kind", "--valid", "iris.csv", "--out", "run", *QUICK)
    assert "150 rows" in capsys.readouterr().out


def test_an_artefact_loads_elsewhere_with_no_code_of_the_user() -> None:
    model = trine.fit("iris.csv", y="kind", epochs=2, threads=1)
    model.save("m.trine")
    code = (
        "import torch, numpy, trine; torch.set_num_threads(1)\n"
        "numpy.save('p.npy', trine.load('m.trine').predict_proba('iris.csv'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (np.load("p.npy") == model.predict_proba("iris.csv")).all()
    told = trine.load("m.trine").evaluate("iris.csv").metrics["accuracy"]
    assert told.baseline == pytest.approx(1 / 3)  # the training rows' majority class, from the shares in the artefact


LONG = ["--set", "epochs=12", "--no-report", "-q", "--threads", "1"]


def start(out: str) -> subprocess.Popen[str]:
    """A fit of a second or two in a process of its own, once it trains."""
    command = [sys.executable, "-m", "trine", "fit", "diabetes.parquet", "--y", "y", "--out", out, *LONG]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = Path(out) / "run.json"
    while process.poll() is None and not (record.exists() and '"training"' in record.read_text()):
        time.sleep(0.01)
    return process


def test_ctrl_c_keeps_all_and_a_kill_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run("fit", "diabetes.parquet", "--y", "y", "--out", "whole", *LONG)
    process = start("stopped")
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "trine resume stopped" in error
    run("resume", "stopped", "--no-report", "-q")
    assert same("whole", "stopped")

    process = start("killed")
    process.send_signal(signal.SIGSTOP)  # so that it cannot end before a second process asks for its run
    with pytest.raises(SystemExit) as refused:
        main(["resume", "killed", "-q"])
    assert refused.value.code == 2
    assert "Another process" in capsys.readouterr().err
    process.kill()
    process.wait()
    assert "training" in Path("killed/run.json").read_text()
    run("resume", "killed", "--no-report", "-q")
    assert same("whole", "killed")


def test_a_budget_is_kept() -> None:
    started = time.perf_counter()
    run(
        "fit",
        "diabetes.parquet",
        "--y",
        "y",
        "--out",
        "run",
        "--budget",
        "2s",
        "--set",
        "epochs=100000",
        "--no-report",
        "-q",
    )
    assert time.perf_counter() - started < 12


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    run("--version")
    assert trine.__version__ in capsys.readouterr().out
    for command in ("derive", "fit", "resume", "evaluate", "predict", "info", "report", "demo"):
        run(command, "--help")
        assert "Example" in capsys.readouterr().out
