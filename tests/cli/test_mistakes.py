"""A user's mistake: one clear sentence that names the place and the remedy, status 2, nothing written, nothing lost."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import load_file, save_file

import trine
from trine.artefact import load, save
from trine.cli import main
from trine.cli._interruption import interruptible
from trine.errors import DataError

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
    "y a constant number": (lambda: table("t.csv", without_y(ROWS, "3.5")), [], ["'y'", "3.5 in every row"]),
    "y infinite": (
        lambda: table("t.csv", [f"1,2,{i * 0.7:.1f}" for i in range(60)] + ["1,2,inf"]),
        [],
        ["'y'", "row 61", "infinite"],
    ),
    "an open quote": (lambda: table("t.csv", ['1,"2,p', *ROWS]), [], ["t.csv", "line", "quotes"]),
    "no input left": (lambda: table("t.csv", ["p", "q"] * 20, "y"), [], ["No column is left for x"]),
    "y among x": (lambda: table("t.csv", ROWS), ["--x", "y"], ["'y' is in both x and y"]),
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


def objects(path: Path) -> None:
    np.savez(path, X=np.array([{}, []], dtype=object), y=[1, 2], allow_pickle=True)


FILES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "t.parquet": (lambda path: path.write_bytes(b"PAR1 and no more"), ["t.parquet", "Parquet"]),
    "t.npz": (lambda path: path.write_bytes(b"no archive at all"), ["t.npz", "not a whole .npz archive"]),
    "objects.npz": (objects, ["pickled", "can execute code"]),
    "t.jsonl": (lambda path: path.write_text('{"a": 1, "y": "p"}\n{"a": 2, "y"\n'), ["t.jsonl, line 2", "JSON"]),
    "t.xyz": (lambda path: path.write_text("a"), ["no format that trine reads", ".csv"]),
    "folder": (lambda path: path.mkdir(), ["no images", "sub-folder"]),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_of_another_kind(said: Callable[..., str], name: str) -> None:
    make, wanted = FILES[name]
    make(Path(name))
    message = said("fit", name, "--y", "y", *QUICK)
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


def test_what_new_rows_are_refused_with_names_the_command_that_has_the_option(said: Callable[..., str]) -> None:
    main_ok(["fit", "ok.csv", "--y", "y", "--domain", "b=real", *QUICK])
    table("ragged.csv", [*ROWS, "0.5,1,p,more"])
    table("words.csv", [*ROWS, "0.5,one,p"])
    for command in (["predict"], ["evaluate"], ["encode"]):
        into = [] if command == ["evaluate"] else ["--out", "found.csv"]
        assert "`trine fit --on-bad skip`" in said(*command, "out", "ragged.csv", *into)
        assert "`trine fit --domain b=category`" in said(*command, "out", "words.csv", *into)


def main_ok(arguments: list[str]) -> None:
    """Run a command that succeeds; one that ends itself ends with status 0."""
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code, arguments  # noqa: PT017 - the status is what is checked


def test_a_directory_that_is_taken(said: Callable[..., str]) -> None:
    main_ok(["fit", "ok.csv", "--y", "y", *QUICK])
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.is_file()}
    assert "another run" in said("fit", "ok.csv", "--y", "y", *QUICK)
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.is_file()}
    Path("mine").mkdir()
    Path("mine/precious.txt").write_text("mine")
    assert "no run" in said("fit", "ok.csv", "--y", "y", "--out", "mine")
    assert Path("mine/precious.txt").read_text() == "mine"


FULL = ["--set", "epochs=4", "--no-report", "-q"]


def go_on_and_compare() -> None:
    """The run in ``out`` goes on and ends in the bits of one that was never stopped."""
    main_ok(["resume", "out", "--no-report", "-q"])
    main_ok(["fit", "ok.csv", "--y", "y", "--out", "whole", *FULL])
    whole, resumed = load_file("whole/model.trine"), load_file("out/model.trine")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not list(Path("out").glob(".*.*"))


@pytest.mark.parametrize("name", ["run.json", "checkpoint.safetensors", "record.json"])
def test_a_full_disk_leaves_a_run_that_resumes(
    said: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real, written = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal written
        if name in os.readlink(f"/proc/self/fd/{descriptor}"):
            written += 1
            if written > 1 or name == "record.json":
                raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr("trine.training.trainer.CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(os, "fsync", full)
    message = said("fit", "ok.csv", "--y", "y", "--out", "out", *FULL)
    for part in (name, "the disk is full", "trine resume out"):
        assert part in message
    assert not Path("out/model.trine").exists() or name == "record.json"
    monkeypatch.setattr(os, "fsync", real)
    go_on_and_compare()


def test_a_full_disk_while_events_are_written(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    board = pytest.importorskip("torch.utils.tensorboard").SummaryWriter

    def full(self: Any, *arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(board, "add_scalar", full)
        patch.setattr(board, "close", full)
        message = said("fit", "ok.csv", "--y", "y", "--out", "out", *FULL)
    assert "tensorboard could not be written: the disk is full" in message
    go_on_and_compare()


def test_an_artefact_that_finds_no_room(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        message = said("fit", "ok.csv", "--y", "y", "--out", "out", *FULL)
    assert "model.trine could not be written" in message
    assert "No space left" in message
    go_on_and_compare()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 2 MB, room for one checkpoint and no second, where mounting is permitted."""
    place = Path("disk").resolve()
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2000k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(
    said: Callable[..., str], monkeypatch: pytest.MonkeyPatch, small_disk: Path
) -> None:
    monkeypatch.setattr("trine.training.trainer.CHECKPOINT_EVERY", 0.0)
    Path("out").symlink_to(small_disk / "run")
    message = said("fit", "ok.csv", "--y", "y", "--out", str(small_disk / "run"), *FULL)
    assert "the disk is full" in message
    assert Path("out/checkpoint.safetensors").stat().st_size > 100_000
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    go_on_and_compare()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('data = "ok.csv"\ny = "y"\noutt = "o"\n', ["'outt'", "Did you mean 'out'?"]),
        ('data = "ok.csv\n', ["not valid TOML", "line 1"]),
        ('data = "ok.csv"\ny = 3\n', ["run.toml, y is 3", "valid string"]),
        ('data = "ok.csv"\nseed = "x"\n', ["seed is 'x'", "valid integer"]),
        ('data = "ok.csv"\nset = 3\n', ["set is 3"]),
        ('data = "café"\n'.encode("latin-1"), ["not UTF-8", "byte 12"]),
        ('data = "ok.csv"\ny = "y"\nout = "o"\nvalid = 1.5\n', ["share of the rows"]),
        ('data = "ok.csv"\ny = "y"\nout = "o"\n[domain]\na = "rael"\n', ["Did you mean 'real'?"]),
        ("", ["no DATA"]),
        ('data = "ok.csv"\ny = "y"\nout = "o"\n[set]\nhiden = 3\n', ["'hiden'", "Did you mean 'hidden'?"]),
    ],
)
def test_a_run_file_with_a_mistake(said: Callable[..., str], text: str | bytes, wanted: list[str]) -> None:
    Path("run.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    message = said("fit", "--config", "run.toml")
    for part in wanted:
        assert part in message
    assert not Path("o").exists()


def test_a_run_file_in_yaml_with_a_mistake(said: Callable[..., str]) -> None:
    Path("run.yaml").write_text("data: ok.csv\ny: [y\n")
    message = said("fit", "run.yaml")
    assert "not valid YAML" in message
    assert "line 3, column 1" in message
    assert "\n" not in message
    Path("run.yaml").write_text("data: ok.csv\noutt: o\n")
    assert "Did you mean 'out'?" in said("fit", "run.yaml")
    assert "cannot be read: No such file" in said("fit", "nowhere.yaml")


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
        ("--set", "rule=nonexistent", "no decision rule called 'nonexistent'. Known: autoregressive"),
        ("--set", "divergence=nonexistent", "no divergence called 'nonexistent'. Known: chi2, cramer"),
        ("--set", "divergence=kll", "Did you mean 'kl'?"),
        ("--set", "schedule=cosin", "schedule is 'cosin'"),
        ("--set", "step_size=nan", "finite"),
        ("--set", "batch_size=0", "greater than or equal to 1"),
        ("--seed", "-1", "The seed is -1"),
        ("--seed", str(2**70), "from 0 to 2^63 - 1"),
        ("--threads", "0", "1 or more"),
        ("--valid", "nan", "share of the rows"),
        ("--valid", "-0.1", "share of the rows"),
        ("--budget", "0", "90s, 5m"),
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


def test_a_run_that_is_not_finished_or_was_edited(said: Callable[..., str]) -> None:
    main_ok(["fit", "ok.csv", "--y", "y", *QUICK])
    good = Path("out/run.json").read_text()
    shutil.copytree("out", "begun")
    for name in ("model.trine", "record.json"):
        Path("begun", name).unlink()
    for command in (
        ["predict", "begun", "ok.csv", "--out", "p.csv"],
        ["evaluate", "begun", "ok.csv"],
        ["report", "begun"],
    ):
        message = said(*command)
        assert "not finished" in message
        assert "trine resume begun" in message
    for text, wanted in (("{}", "'plan'"), ("{", "damaged"), (good.replace('"y": [', '"why": ['), "'why'")):
        Path("out/run.json").write_text(text)
        assert wanted in said("resume", "out", "-q")
    Path("out/run.json").write_text("{}")
    assert "'status'" in said("info", "out")
    Path("out/run.json").write_text(good)
    Path("out/record.json").write_text("{")
    assert "record.json is damaged" in said("report", "out")
    assert not Path("out/report.html").exists()


def test_predicting_on_other_columns_or_types(said: Callable[..., str]) -> None:
    main_ok(["fit", "ok.csv", "--y", "y", *QUICK])
    before = Path("ok.csv").read_text()
    assert "would be lost" in said("predict", "out", "ok.csv", "--out", "./ok.csv")
    assert Path("ok.csv").read_text() == before
    assert "No such file" in said("predict", "out", "ok.csv", "--out", "nowhere/p.csv")
    assert "is a directory" in said("report", "out", "--out", ".")
    table("inf.csv", ["inf,1,p"])
    assert "row 1: the value is infinite" in said("predict", "out", "inf.csv", "--out", "p.csv")
    table("none.csv", [])
    assert "no rows" in said("predict", "out", "none.csv", "--out", "p.csv")
    table("blind.csv", ["0.5,1"] * 5, "a,b")
    assert "lack the target column 'y'" in said("evaluate", "out", "blind.csv")
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


def test_numbers_where_categories_were_are_unseen(capsys: pytest.CaptureFixture[str]) -> None:
    table("words.csv", [f"{row.split(',')[0]},{'uvw'[i % 3]},{'pq'[i % 2]}" for i, row in enumerate(ROWS)])
    main_ok(["fit", "words.csv", "--y", "y", *QUICK])
    main_ok(["predict", "out", "ok.csv", "--out", "p.csv"])
    assert len(Path("p.csv").read_text().splitlines()) == 61


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


@pytest.mark.parametrize("key", ["estimator", "method", "schema", "choices", "facts", "plan", "provenance", "metrics"])
def test_an_artefact_that_lacks_something(said: Callable[..., str], artefact: Path, key: str) -> None:
    manifest, tensors = load(artefact)
    save("m.trine", {name: value for name, value in manifest.items() if name not in ("format", key)}, tensors)
    message = said("info", "m.trine")
    assert "m.trine" in message
    assert key in message
    save("m.trine", {**manifest, key: None}, tensors)
    assert "m.trine" in said("predict", "m.trine", "ok.csv", "--out", "p.csv")
    assert not Path("p.csv").exists()


def test_an_artefact_whose_tensors_are_others(said: Callable[..., str], artefact: Path) -> None:
    manifest, tensors = load(artefact)
    first, *others = tensors
    save("m.trine", manifest, {name: tensors[name] for name in others})
    assert first in said("info", "m.trine")
    save("m.trine", manifest, {**tensors, first: torch.zeros(7, 7)})
    assert "size mismatch" in said("info", "m.trine")
    save_file(tensors, "m.trine")
    assert "no trine manifest" in said("info", "m.trine")


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's artefact."""
    place = tmp_path_factory.mktemp("artefact")
    rng = np.random.default_rng(0)
    model = trine.Classifier(epochs=1, hidden=(8,)).fit(rng.normal(size=(40, 2)), np.arange(40) % 2)
    return Path(model.save(place / "model.trine"))


def test_a_library_that_figures_need_is_asked_for_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    for command in (
        ["divergence", "--p", "normal(0, 1)", "--q", "normal(1, 1)", "--out", "figure.png"],
        ["novelty", "nothing.npz", "--out", "kinds"],
        ["transfer", "nothing.trine", "nothing.csv", "--y", "kind", "--compare", "--out", "pays"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 2
        assert "matplotlib, which is not installed: pip install 'trine[report]'" in capsys.readouterr().err


def test_a_method_that_is_not_there(said: Callable[..., str]) -> None:
    text = said("fit", "ok.csv", "--method", "autoencodr", *QUICK)
    assert "There is no method called 'autoencodr'. Did you mean 'autoencoder'?" in text


def test_one_row_is_too_few(said: Callable[..., str]) -> None:
    table("one.csv", ROWS[:1])
    for more in (["--y", "y"], ["--method", "autoencoder"]):
        assert "one.csv has 1 row, and at least 2 are needed" in said("fit", "one.csv", *more, *QUICK)


def test_ctrl_c_before_there_is_a_run_says_that_nothing_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    for raised, told in ((KeyboardInterrupt(), "nothing was kept"), (KeyboardInterrupt("kept at step 3"), "step 3")):
        with pytest.raises(typer.Exit), interruptible():
            raise raised
        assert told in capsys.readouterr().err


def test_more_than_the_memory_has_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, said: Callable[..., str]
) -> None:
    def allocate(*_: object, **__: object) -> None:
        torch.empty(10**16)

    monkeypatch.setattr("trine.estimators.fit", allocate)
    assert "too little memory for 37,252,903.0 GiB" in said("fit", "ok.csv", "--y", "y", *QUICK)


def test_a_side_that_would_make_a_picture_beyond_all_bounds_is_refused() -> None:
    from trine.domains import Image as Pictures
    from trine.estimators._picture_ways import of_file

    Image.fromarray(np.zeros((8, 8), np.uint8)).save("grey.png")
    with pytest.raises(DataError, match="100,000 × 100,000, more than the 89,478,485 that are allowed"):
        of_file(Pictures(channels=1, height=8, width=8), Path("grey.png"), 100_000)


def test_a_label_without_a_value_is_refused(said: Callable[..., str]) -> None:
    table("none.csv", [f"{i * 0.37 % 1:.3f},{i % 5}," for i in range(60)])
    told = said("fit", "none.csv", "--method", "autoencoder", "--label", "y", *QUICK)
    assert "'y' has no value in any row" in told


def test_novelty_writes_over_nothing(said: Callable[..., str]) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("kept")
    assert "nothing of yours is lost" in said("novelty", "ok.csv", "--out", "mine", "-q")


def test_as_a_program_a_mistake_ends_the_process_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of commands that ended as others do, under load one in six ended by a signal of a thread that was still starting."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(sys, "argv", ["trine", "info", str(tmp_path / "none")])
    with pytest.raises(SystemExit):
        main()
    assert ended == [2]
    assert "There is no artefact" in capsys.readouterr().err
