"""``trine transfer``: a run that predicts, a comparison that is kept, and mistakes in one sentence."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

import trine
from trine.cli import main
from trine.estimators import _encoders

X, Y = load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled file, an encoder of its pictures, and a table of something else."""
    folder = tmp_path_factory.mktemp("transfer")
    pictures = X.reshape(-1, 8, 8).astype(np.uint8) * 15
    np.savez(folder / "digits.npz", image=pictures[:600], digit=Y[:600])
    encoder = trine.fit(
        {"image": pictures}, method="autoencoder", code=12, epochs=4, valid=0.0, out=folder / "encoder", threads=1
    )
    assert encoder is not None
    (folder / "other.csv").write_text("a,kind\n" + "".join(f"{i},{'uv'[i % 2]}\n" for i in range(40)))
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRINE_CACHE", str(tmp_path / "cache"))
    _encoders.forget()


def trine_(*words: object) -> int:
    """The command's exit status."""
    try:
        main([str(word) for word in words])
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


@pytest.mark.parametrize("head", ["linear", "boosting"])
def test_a_run_that_predicts_and_is_evaluated(
    head: str, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert (
        trine_("transfer", work / "encoder", work / "digits.npz", "--y", "digit", "--head", head, "--out", run, "-q")
        == 0
    )
    assert "accuracy" in capsys.readouterr().out
    assert (run / "report.html").is_file()
    assert trine_("evaluate", run, work / "digits.npz", "--json") == 0
    assert json.loads(capsys.readouterr().out)["digit"]["metrics"]["accuracy"]["value"] > 0.8
    assert trine_("predict", run, work / "digits.npz", "--out", tmp_path / "p.csv") == 0
    assert (tmp_path / "p.csv").read_text().startswith('"row","digit","digit_probability"')
    capsys.readouterr()
    assert trine_("info", run, "--json") == 0
    assert json.loads(capsys.readouterr().out)["estimator"] == "Transfer"


def test_a_tuned_run(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    told = ("--tune", "gradual", "--epochs", 2, "--out", run, "-q", "--json")
    assert trine_("transfer", work / "encoder", work / "digits.npz", "--y", "digit", *told) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["digit"]["accuracy"]["value"] > 0.5
    assert "the head first, then the layers from the top" in trine.load(run).derivation_.describe()


def test_an_encoder_that_knows_the_held_out_answers_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f},{'uv'[int(a + b > 0)]}" for a, b in rng.normal(size=(80, 2))]
    for name, part in (("all", lines), ("rest", lines[:60]), ("new", lines[60:])):
        (tmp_path / f"{name}.csv").write_text("a,b,kind\n" + "\n".join(part) + "\n")
    trine.fit(tmp_path / "rest.csv", "kind", epochs=1, valid=0.0, out=tmp_path / "encoder", threads=1)

    def told(*words: object, out: str) -> str:
        capsys.readouterr()
        asked = ("transfer", tmp_path / "encoder", *words, "--y", "kind", "--out", tmp_path / out, "-q")
        assert trine_(*asked) == 0
        return capsys.readouterr().out

    says = "The encoder was trained to predict 'kind' from these same data"
    same = told(tmp_path / "rest.csv", out="same")
    assert says in same
    assert "with --valid FILE" in same
    assert "trained to predict &#39;kind&#39; from" in (tmp_path / "same" / "report.html").read_text()
    assert says in json.loads(told(tmp_path / "rest.csv", "--json", out="machine"))["given_away"]
    assert says not in told(tmp_path / "rest.csv", "--valid", tmp_path / "new.csv", out="new")
    assert says not in told(tmp_path / "all.csv", out="other")


def test_a_comparison_is_printed_and_kept(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "comparison"
    told = ("--compare", "--labels", "10,50", "--draws", 1, "--out", out)
    assert trine_("transfer", work / "encoder", work / "digits.npz", "--y", "digit", *told) == 0
    printed = capsys.readouterr()
    assert all(way in printed.out for way in ("z + linear", "z + net", "z + boosting", "x + boosting", "from scratch"))
    assert "draw 1 of 1, 50 labels, from scratch" in printed.err
    kept = json.loads((out / "comparison.json").read_text())
    assert [(row["way"], row["labels"]) for row in kept["results"]][:2] == [("z + linear", 10), ("z + net", 10)]
    assert len((out / "comparison.csv").read_text().splitlines()) == 11
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("encoder", "other.csv", "--y", "kind", "--compare"), "lack the column 'image'"),
        (
            ("encoder", "digits.npz", "--y", "digit", "--compare", "--labels", "900"),
            "900 labels are asked for and 480 rows",
        ),
        (("encoder", "digits.npz", "--y", "digi", "--compare"), "Did you mean 'digit'"),
        (("encoder", "digits.npz", "--y", "image", "--compare"), "its answer would be given away"),
        (("encoder", "digits.npz", "--y", "digit"), "give --out RUN"),
        (("encoder", "digits.npz", "--y", "digit", "--compare", "--labels", "ten"), "no whole numbers"),
        (("encoder", "digits.npz", "--y", "digit", "--compare", "--valid", "other.csv"), "holds out a share"),
        (("encoder", "digits.npz", "--y", "digit", "--compare", "--tune", "all"), "tunes from the top"),
        (("encoder", "digits.npz", "--y", "digit", "--out", "encoder"), "holds another run"),
        (("nowhere", "digits.npz", "--y", "digit", "--compare"), "There is no encoder at"),
        (("timm:resnet18@w.safetensors", "digits.npz", "--y", "digit", "--compare"), "cannot be read"),
    ],
    ids=lambda value: None if isinstance(value, str) else value[-1],
)
def test_a_mistake_is_one_sentence_and_status_2(
    words: tuple[str, ...], says: str, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(work)
    assert trine_("transfer", *words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("trine: ")
    assert "Traceback" not in error


def test_what_has_no_encoder_or_no_answer_is_told_in_a_sentence(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    table = {"a": rng.normal(size=40), "b": rng.normal(size=40)}
    trine.fit(table, method="gan", epochs=1, out=tmp_path / "gan", threads=1)
    capsys.readouterr()
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i},{i % 7},{'uv'[i % 2]}\n" for i in range(40)))
    assert trine_("transfer", tmp_path / "gan", tmp_path / "t.csv", "--y", "y", "--out", tmp_path / "run", "-q") == 2
    assert "is of the kind gan and has no encoder" in capsys.readouterr().err
    words = ("transfer", work / "encoder", work / "digits.npz", "--y", "image", "--out", tmp_path / "run", "-q")
    assert trine_(*words) == 2
    assert capsys.readouterr().err.startswith("trine: ")


def test_an_interrupted_transfer_says_that_nothing_was_kept(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt("no run directory was given")

    monkeypatch.setattr(trine.Transfer, "_fit_table", stopped)
    words = ("transfer", work / "encoder", work / "digits.npz", "--y", "digit", "--out", tmp_path / "run", "-q")
    assert trine_(*words) == 130
    assert f"nothing was kept: {tmp_path / 'run'} is made once" in capsys.readouterr().err


def test_a_head_that_is_fitted_at_once_is_not_gone_on_with(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert trine_("transfer", work / "encoder", work / "digits.npz", "--y", "digit", "--out", run, "-q") == 0
    assert trine_("resume", run) == 2
    assert "to fit it anew: trine transfer" in capsys.readouterr().err


def started(work: Path, run: Path, *told: object) -> subprocess.Popen[str]:
    """A transfer in a process of its own, once the loop trains."""
    words = ("transfer", "encoder", "digits.npz", "--y", "digit", "--out", run, *told, "-q")
    process = subprocess.Popen(
        [sys.executable, "-m", "trine", *map(str, words)], stderr=subprocess.PIPE, text=True, cwd=work
    )
    record = run / "run.json"
    while process.poll() is None and not (record.exists() and '"training"' in record.read_text()):
        time.sleep(0.01)
    return process


def test_a_transfer_that_is_stopped_or_killed_is_gone_on_with(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ("--tune", "all", "--epochs", 3, "--threads", 1)
    whole, stopped, killed = tmp_path / "whole", tmp_path / "stopped", tmp_path / "killed"
    words = ("transfer", work / "encoder", work / "digits.npz", "--y", "digit", "--out", whole, *told, "-q")
    assert trine_(*words) == 0
    assert trine_("info", whole) == 0
    process = started(work, stopped, *told)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert f"kept. Go on with: trine resume {stopped}" in error
    assert len(error.strip().splitlines()) == 1
    capsys.readouterr()
    assert trine_("info", stopped) == 0
    assert f"next: trine resume {stopped}" in capsys.readouterr().out
    process = started(work, killed, *told)
    process.kill()
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    for run in (stopped, killed):
        assert not (run / "model.trine").exists()
        assert trine_("resume", run, "-q", "--json") == 0
        assert json.loads(capsys.readouterr().out)["metrics"]["digit"]["accuracy"]["value"] > 0.5
        assert (run / "report.html").is_file()
        expected, found = load_file(whole / "model.trine"), load_file(run / "model.trine")
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_an_interruption_after_the_training_says_how_to_go_on(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trine.Transfer, "evaluate_rows", stopped)
    run = tmp_path / "run"
    words = ("transfer", work / "encoder", work / "digits.npz", "--y", "digit", "--head", "mlp", "--out", run, "-q")
    assert trine_(*words) == 130
    assert f"stopped; the run is kept. Go on with: trine resume {run}" in capsys.readouterr().err
