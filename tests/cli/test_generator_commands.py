"""Generators through the command line: fit, sample, evaluate, with and without a condition, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine

from trine.cli import main


def run(*arguments: object) -> None:
    """A command that ends well."""
    with pytest.raises(SystemExit) as end:
        main([str(part) for part in arguments])
    assert not end.value.code


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is said of a mistake."""
    with pytest.raises(SystemExit) as end:
        main([str(part) for part in arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


FEW = ("--set", "epochs=2", "--set", "channels=4", "--quiet", "--no-report", "--threads", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in a folder, the same in a table beside their digit, a mixed table; a run on each."""
    here = tmp_path_factory.mktemp("generators")
    digits = load_digits()
    (here / "digits").mkdir()
    files = []
    for i in range(240):
        files.append(f"digits/{i:03d}.png")
        Image.fromarray((digits.images[i] / 16 * 255).astype(np.uint8)).save(here / files[-1])
    pd.DataFrame({"digit": digits.target[:240], "image": files}).to_csv(here / "digits.csv", index=False)
    wine = load_wine()
    kinds = np.array(["low", "middle", "high"])[wine.target]
    pd.DataFrame({"alcohol": wine.data[:, 0], "hue": wine.data[:, 10], "kind": kinds}).to_csv(
        here / "wine.csv", index=False
    )
    run("fit", here / "digits", "--method", "gan", "--out", here / "gan", *FEW)
    run("fit", here / "digits.csv", "--method", "conditional_gan", "--y", "image", "--out", here / "given", *FEW)
    run("fit", here / "wine.csv", "--method", "gan", "--out", here / "table", *FEW)
    run("fit", here / "wine.csv", "--method", "conditional_gan", "--y", "hue", "--out", here / "hue", *FEW)
    return here


def test_pictures_are_written_with_a_sheet(place: Path, tmp_path: Path) -> None:
    run("sample", place / "gan", "-n", 12, "--out", tmp_path / "made", "--seed", 3)
    assert len(list((tmp_path / "made").glob("image_??.png"))) == 12
    assert (tmp_path / "made" / "image_sheet.png").exists()
    assert np.asarray(Image.open(tmp_path / "made" / "image_01.png")).shape == (8, 8)
    run("sample", place / "gan", "-n", 12, "--out", tmp_path / "again", "--seed", 3)
    one, two = (Image.open(tmp_path / name / "image_sheet.png").tobytes() for name in ("made", "again"))
    assert one == two


def test_a_condition_is_said_or_read(place: Path, tmp_path: Path) -> None:
    run("sample", place / "given", "--given", "digit=7", "-n", 3, "--out", tmp_path / "sevens")
    assert pd.read_csv(tmp_path / "sevens" / "rows.csv")["digit"].tolist() == [7, 7, 7]
    run("sample", place / "given", place / "digits.csv", "-n", 2, "--out", tmp_path / "all")
    assert len(pd.read_csv(tmp_path / "all" / "rows.csv")) == 480
    run(
        "sample",
        place / "hue",
        "--given",
        "kind=low",
        "--given",
        "alcohol=13.5",
        "-n",
        40,
        "--out",
        tmp_path / "hue.csv",
    )
    made = pd.read_csv(tmp_path / "hue.csv")
    assert list(made) == ["alcohol", "kind", "hue"]
    assert made["alcohol"].eq(13.5).all()
    assert '13.5,"low",' in (tmp_path / "hue.csv").read_text().replace('"13.5"', "text")
    assert made["hue"].nunique() > 30


def test_rows_of_a_table_are_written(place: Path, tmp_path: Path) -> None:
    run("sample", place / "table", "-n", 50, "--out", tmp_path / "made.csv")
    made = pd.read_csv(tmp_path / "made.csv")
    assert list(made) == ["alcohol", "hue", "kind"]
    assert set(made["kind"]) <= {"low", "middle", "high"}


def test_samples_are_judged_by_rows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("evaluate", place / "gan", place / "digits")
    told = capsys.readouterr().out
    assert "FD-random-conv" in told
    assert "floor" in told
    run("evaluate", place / "table", place / "wine.csv")
    told = capsys.readouterr().out
    assert "detection AUC" in told
    assert "copies of training rows" not in told  # of which an artefact knows none


def test_mistakes_are_told(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no --out" in refused(capsys, "sample", place / "gan")
    assert "without a condition" in refused(
        capsys, "sample", place / "gan", "--given", "digit=7", "--out", tmp_path / "a"
    )
    told = refused(capsys, "sample", place / "given", "--given", "digit=12", "--out", tmp_path / "a")
    assert "digit = 12 was never seen in training; digit is one of: 0, 1, 2" in told
    assert "'digits' is none of its columns" in refused(
        capsys, "sample", place / "given", "--given", "digits=1", "--out", tmp_path / "a"
    )
    assert "--given digit=VALUE" in refused(capsys, "sample", place / "given", "--out", tmp_path / "a")
    assert "'alcohol' is not given" in refused(
        capsys, "sample", place / "hue", "--given", "kind=low", "--out", tmp_path / "a.csv"
    )
    assert "Name it with --y COL" in refused(
        capsys, "fit", place / "wine.csv", "--method", "conditional_gan", "--out", tmp_path / "r"
    )
    assert not (tmp_path / "a").exists()
