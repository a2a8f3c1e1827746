"""``trine fit A B --method unpaired`` and ``trine translate --to``: folders of pictures, tables, a stopped run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from sklearn.datasets import load_digits

import trine
from trine.cli import main

DIGITS = (load_digits().images * 15).astype(np.uint8)
SHORT = ("--set", "epochs=2", "--set", "channels=4", "--set", "layers=1", "--threads", "1", "-q")


def run(*words: object) -> int:
    """The command's exit status."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def test_folders_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, pictures in (("dark", DIGITS[:60]), ("light", 255 - DIGITS[60:150])):
        (tmp_path / name).mkdir()
        for i, picture in enumerate(pictures):
            Pillow.fromarray(picture).save(tmp_path / name / f"{i}.png")
    a, b, out = tmp_path / "dark", tmp_path / "light", tmp_path / "run"
    assert run("fit", a, b, "--method", "unpaired", "--out", out, *SHORT) == 0
    page = (out / "report.html").read_text()
    assert "A → B" in page
    assert "B → A" in page
    assert run("translate", out, a, "--to", "B", "--out", tmp_path / "made", "--samples", "3") == 0
    made = sorted((tmp_path / "made").rglob("*_?.png"))
    assert len(made) == 180
    first = [np.asarray(Pillow.open(path)) for path in made[:3]]
    assert first[0].shape == (8, 8)
    assert any((first[0] != other).any() for other in first[1:])
    assert run("translate", out, b, "--to", "A", "--out", tmp_path / "back") == 0
    assert len(sorted((tmp_path / "back").rglob("*.png"))) == 91
    (tmp_path / "odd").mkdir()
    for name, shape in (("tiny", (3, 5)), ("narrow", (90, 2))):
        Pillow.fromarray(np.full(shape, 7, np.uint8)).save(tmp_path / "odd" / f"{name}.png")
    assert run("translate", out, tmp_path / "odd", "--to", "B", "--out", tmp_path / "odder") == 0
    assert Pillow.open(tmp_path / "odder/tiny.png").size == (5, 3)
    assert Pillow.open(tmp_path / "odder/narrow.png").size == (2, 90)
    capsys.readouterr()
    assert run("evaluate", out, a, b) == 0
    told = capsys.readouterr().out
    assert "to B: dark and light, 30 rows" in told  # half of 60
    assert "\n\nto A: dark and light, 45 rows" in told
    assert run("translate", out, a, "--out", tmp_path / "where") == 2
    assert "say --to A or --to B" in capsys.readouterr().err
    assert run("fit", a, "--method", "unpaired", "--out", tmp_path / "one", *SHORT) == 2
    assert "trine fit A B --method unpaired" in capsys.readouterr().err


def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", 9.0)):
        frame = pd.DataFrame({"n": shift + rng.normal(size=80), "kind": rng.choice(["u", "v"], 80)})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    out = tmp_path / "run"
    words = ("--set", "epochs=2", "--set", "hidden=16,16", "--threads", "1", "-q", "--no-report")
    assert run("fit", tmp_path / "a.csv", tmp_path / "b.csv", "--method", "unpaired", "--out", out, *words) == 0
    assert isinstance(trine.load(out), trine.Translator)
    assert run("info", out) == 0
    capsys.readouterr()
    assert run("evaluate", out, tmp_path / "a.csv", tmp_path / "b.csv", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"A", "B"}
    assert run("evaluate", out, tmp_path / "a.csv") == 2
    assert "against two piles" in capsys.readouterr().err
    made = tmp_path / "made.csv"
    assert run("translate", out, tmp_path / "a.csv", "--to", "B", "--out", made, "--samples", "2") == 0
    found = pd.read_csv(made)
    assert list(found.columns) == ["n", "kind"]
    assert len(found) == 160
    assert set(found["kind"]) <= {"u", "v"}


def test_a_run_file_and_a_pile_that_has_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", 9.0)):
        pd.DataFrame({"n": shift + rng.normal(size=80)}).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "run.toml").write_text(
        'data = "a.csv"\nother = "b.csv"\nmethod = "unpaired"\nout = "run"\nset = {epochs = 3, hidden = [16, 16]}\n'
    )
    assert run("derive", tmp_path / "a.csv", tmp_path / "b.csv", "--method", "unpaired") == 0
    said = capsys.readouterr().out
    assert "A  n" in said
    assert said.index("A  n") < said.index("B  n")
    assert "A → B: dense" in said
    assert "v of B: " in said
    assert run("fit", tmp_path / "run.toml", "--threads", "1", "-q", "--no-report", "--budget", "0.001s") == 0
    (tmp_path / "b.csv").rename(tmp_path / "c.csv")
    whole = trine.load(tmp_path / "run")
    assert run("resume", tmp_path / "run", "--other", tmp_path / "c.csv", "--no-report", "-q") == 0
    again = trine.load(tmp_path / "run")
    given = np.linspace(-1, 1, 5)
    assert (whole.translate({"n": given}, seed=0)["n"] == again.translate({"n": given}, seed=0)["n"]).all()


@pytest.mark.parametrize(("rows", "scored"), [(3, 0), (8, 2)])
def test_of_a_pile_of_few_rows_two_are_held_out_or_none(rows: int, scored: int, tmp_path: Path) -> None:
    table = pd.DataFrame({"a": np.linspace(0, 1, 30), "b": np.linspace(3, 1, 30) ** 2})
    table.to_csv(tmp_path / "a.csv", index=False)
    (table.iloc[:rows] + 0.5).to_csv(tmp_path / "b.csv", index=False)
    out = tmp_path / "run"
    options = ("--method", "unpaired", "--out", out, "--no-report", "--set", "epochs=1", "--threads", "1", "-q")
    with pytest.warns(UserWarning, match="too few rows to hold two out|has 8 rows"):
        assert run("fit", tmp_path / "a.csv", tmp_path / "b.csv", *options) == 0
    assert (out / "model.trine").is_file()
    metrics = json.loads((out / "run.json").read_text())["metrics"]
    assert bool(metrics) == bool(scored)
