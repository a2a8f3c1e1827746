"""A user's mistake: one clear sentence that names the place and the remedy, status 2, nothing written, nothing lost."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trine.cli import main

ROWS = [f"{i * 0.37 % 1:.3f},{i % 5},{'pq'[i % 2]}" for i in range(60)]
QUICK = ["--out", "out", "--set", "epochs=1", "--no-report", "-q"]


def table(name: str, rows: list[str], header: str = "a,b,y") -> None:
    Path(name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def without_y(rows: list[str], y: str) -> list[str]:
    return [row.rsplit(",", 1)[0] + "," + y for row in rows]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table("ok.csv", ROWS)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail as a user's mistake does, and give what it said."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        message = capsys.readouterr().err.strip()
        assert stop.value.code == 2, message
        assert "Traceback" not in message
        assert message.startswith("trine: ")
        assert len(message) < 700
        return message

    return run


def test_a_file_that_is_not_there(said: Callable[..., str]) -> None:
    assert "no file okk.csv. Did you mean 'ok.csv'?" in said("fit", "okk.csv", "--y", "y", *QUICK)
    assert not Path("out").exists()


def test_a_column_that_is_not_there(said: Callable[..., str]) -> None:
    assert "no column 'yy' in ok.csv. Did you mean 'y'?" in said("fit", "ok.csv", "--y", "yy", *QUICK)
    assert "'c'" in said("fit", "ok.csv", "--y", "y", "--domain", "c=real", *QUICK)
    assert "Did you mean 'real'?" in said("fit", "ok.csv", "--y", "y", "--domain", "a=rael", *QUICK)
    assert "Name it with --y COL" in said("fit", "ok.csv", *QUICK)


TABLES: dict[str, tuple[Callable[[], None], list[str], list[str]]] = {
    "empty": (lambda: Path("t.csv").write_text(""), [], ["t.csv", "empty"]),
    "header only": (lambda: table("t.csv", []), [], ["no rows"]),
    "y missing": (lambda: table("t.csv", without_y(ROWS, "")), [], ["'y'", "no value in any row"]),
    "y constant": (lambda: table("t.csv", without_y(ROWS, "p")), [], ["'y'", "1 class"]),
    "class seen once": (lambda: table("t.csv", [*ROWS, "1,2,z"]), [], ["row 61", "'z'", "Merge"]),
    "text among numbers": (
        lambda: table("t.csv", [*ROWS[:30], "hello,2,p", *ROWS[30:]]),
        ["--domain", "a=real"],
        ["'a'", "row 31", "'hello'", "a=category"],
    ),
    "infinite": (lambda: table("t.csv", [*ROWS[:30], "inf,2,p", *ROWS[30:]]), [], ["'a'", "row 31", "infinite"]),
    "ragged": (lambda: table("t.csv", [*ROWS[:30], "1,2", *ROWS[30:]]), [], ["line 32", "2 values", "has 3"]),
    "duplicate names": (lambda: table("t.csv", ROWS, "a,a,y"), [], ["2 columns called 'a'"]),
    "encoding": (
        lambda: Path("t.csv").write_bytes("a,b,y\n1,café,p\n".encode("latin-1") * 9),
        [],
        ["not UTF-8", "line 2", "iconv"],
    ),
}


@pytest.mark.parametrize("case", list(TABLES))
def test_a_table_that_cannot_be_used(said: Callable[..., str], case: str) -> None:
    make, more, wanted = TABLES[case]
    make()
    message = said("fit", "t.csv", "--y", "y", *more, *QUICK)
    for part in wanted:
        assert part in message
    assert not Path("out").exists()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "zero bytes": (lambda path: path.write_bytes(b""), "0 bytes"),
    "corrupt": (lambda path: path.write_bytes(b"no picture"), "no image"),
    "giant": (lambda path: Image.new("L", (20_000, 9_000)).save(path), "pixels"),
}


@pytest.mark.parametrize("case", list(BROKEN))
def test_a_broken_image_among_good_ones(
    said: Callable[..., str], capsys: pytest.CaptureFixture[str], case: str
) -> None:
    rng = np.random.default_rng(0)
    for label in "pq":
        Path("im", label).mkdir(parents=True)
        for i in range(15):
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(f"im/{label}/{i}.png")
    spoil, why = BROKEN[case]
    spoil(Path("im/p/3.png"))
    message = said("fit", "im", *QUICK)
    for part in ("3.png", "row 9", why, "--on-bad skip"):
        assert part in message
    assert not Path("out").exists()
    main_ok(["fit", "im", "--on-bad", "skip", *QUICK])
    assert "1 left out as unreadable" in capsys.readouterr().err


def main_ok(arguments: list[str]) -> None:
    """Run a command that succeeds; one that ends itself ends with status 0."""
    with contextlib.suppress(SystemExit):
        main(arguments)
    assert Path("out").exists() or Path("whole").exists()


def test_a_directory_that_is_taken(said: Callable[..., str]) -> None:
    main_ok(["fit", "ok.csv", "--y", "y", *QUICK])
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.is_file()}
    assert "another run" in said("fit", "ok.csv", "--y", "y", *QUICK)
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.is_file()}
    Path("mine").mkdir()
    Path("mine/precious.txt").write_text("mine")
    assert "no run" in said("fit", "ok.csv", "--y", "y", "--out", "mine")
    assert Path("mine/precious.txt").read_text() == "mine"


def test_a_full_disk_leaves_a_run_that_resumes(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr("trine.training.trainer.CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(os, "fsync", full)
    quick = ["--out", "out", "--set", "epochs=4", "--no-report", "-q"]
    message = said("fit", "ok.csv", "--y", "y", *quick)
    assert "the disk is full" in message
    assert "trine resume out" in message
    monkeypatch.setattr(os, "fsync", real)
    main_ok(["resume", "out", "--no-report", "-q"])
    main_ok(["fit", "ok.csv", "--y", "y", "--out", "whole", *quick[2:]])
    from safetensors.torch import load_file

    whole, resumed = load_file("whole/model.trine"), load_file("out/model.trine")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('data = "ok.csv"\ny = "y"\noutt = "o"\n', ["'outt'", "Did you mean 'out'?"]),
        ('data = "ok.csv\n', ["not valid TOML", "line 1"]),
        ('data = "ok.csv"\ny = 3\n', ["y"]),
        ("", ["no DATA"]),
        ('data = "ok.csv"\ny = "y"\nout = "o"\n[set]\nhiden = 3\n', ["'hiden'", "Did you mean 'hidden'?"]),
    ],
)
def test_a_run_file_with_a_mistake(said: Callable[..., str], text: str, wanted: list[str]) -> None:
    Path("run.toml").write_text(text)
    message = said("fit", "--config", "run.toml")
    for part in wanted:
        assert part in message


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("--set", "hiden=3", "Did you mean 'hidden'?"),
        ("--set", "dropout=2", "dropout is 2"),
        ("--set", "step_size=-1", "greater than 0"),
        ("--set", "hidden=wide", "widths"),
        ("--set", "members", "NAME=VALUE"),
        ("--set", "rule=softmaxx", "Did you mean 'softmax'?"),
        ("--set", "rule=gamma", "does not give a 'category' y"),
        ("--set", "divergence=kll", "divergence"),
        ("--set", "schedule=cosin", "schedule"),
        ("--valid", "1.5", "share of the rows"),
        ("--valid", "nowhere.csv", "no file nowhere.csv"),
        ("--budget", "soon", "90s, 5m"),
        ("--class-weight", "unbalanced", "'balanced'"),
        ("--on-bad", "perhaps", "'stop'"),
    ],
)
def test_a_choice_that_cannot_be(said: Callable[..., str], option: str, value: str, wanted: str) -> None:
    assert wanted in said("fit", "ok.csv", "--y", "y", option, value, *QUICK)
    assert not Path("out").exists()


def test_no_run_there(said: Callable[..., str]) -> None:
    assert "no run at nowhere" in said("resume", "nowhere")
    assert "no run at nowhere" in said("report", "nowhere")
    assert "no artefact at nowhere" in said("info", "nowhere")
    assert "no artefact at nowhere" in said("predict", "nowhere", "ok.csv", "--out", "p.csv")


def test_predicting_on_other_columns_or_types(said: Callable[..., str]) -> None:
    main_ok(["fit", "ok.csv", "--y", "y", *QUICK])
    table("less.csv", [row.split(",", 1)[1] for row in ROWS], "b,y")
    assert "lack the column 'a'" in said("predict", "out", "less.csv", "--out", "p.csv")
    table("typed.csv", ["x" + row for row in ROWS])
    message = said("predict", "out", "typed.csv", "--out", "p.csv")
    assert "'a'" in message
    assert "row 1" in message
    assert "one of .csv" in said("predict", "out", "ok.csv", "--out", "p.xyz")
    assert not Path("p.csv").exists()
    table("other.csv", [*ROWS, "1,2,z"])
    assert "'z' is none of the classes" in said("evaluate", "out", "other.csv")


def test_an_artefact_that_was_changed(said: Callable[..., str]) -> None:
    main_ok(["fit", "ok.csv", "--y", "y", *QUICK])
    good = Path("out/model.trine").read_bytes()
    changed = bytearray(good)
    changed[-5] ^= 1
    for content, wanted in (
        (bytes(changed), "altered"),
        (good[: len(good) // 2], "truncated"),
        (b"hello", "truncated"),
    ):
        Path("m.trine").write_bytes(content)
        assert wanted in said("info", "m.trine")
    Path("m.trine").write_bytes(good.replace(b'\\"format\\": 1', b'\\"format\\": 9'))
    assert "Install a newer trine" in said("info", "m.trine")


def test_data_that_changed_refuse_to_resume(said: Callable[..., str]) -> None:
    main_ok(["fit", "ok.csv", "--y", "y", *QUICK])
    table("ok.csv", ROWS[:-1])
    assert "changed since" in said("resume", "out")
