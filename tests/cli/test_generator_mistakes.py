"""What a user of generators gets wrong: one clear sentence, status 2, no traceback, nothing written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from trine.cli import main

FEW = ("--set", "epochs=1", "--quiet", "--no-report", "--threads", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables with columns of all kinds, and a run of each method on the plain one."""
    here = tmp_path_factory.mktemp("mistakes")
    wine = load_wine()
    plain = pd.DataFrame(
        {
            "alcohol": wine.data[:, 0],
            "hue": wine.data[:, 10],
            "kind": np.array(["low", "middle", "high"])[wine.target],
        }
    )
    plain.to_csv(here / "wine.csv", index=False)
    plain.head(1).to_csv(here / "one.csv", index=False)
    plain.assign(same=3.5, none="").to_csv(here / "empty.csv", index=False)
    days = pd.date_range("2020-01-01", periods=len(plain)).astype(str)
    plain.assign(day=days).to_csv(here / "dates.csv", index=False)
    texts = [f"a long sentence about the wine of number {i * 7919} that goes on for a while" for i in range(len(plain))]
    plain.assign(told=texts).to_csv(here / "texts.csv", index=False)
    for name, more in {
        "gan": ["--method", "gan"],
        "hue": ["--method", "conditional_gan", "--y", "hue"],
        "codes": ["--method", "autoencoder"],
        "class": ["--y", "kind"],
    }.items():
        ended("fit", here / "wine.csv", *more, "--out", here / name, *FEW)
    ended("fit", here / "wine.csv", here / "wine.csv", "--method", "unpaired", "--out", here / "piles", *FEW)
    return here


def ended(*arguments: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(part) for part in arguments])
    assert not end.value.code


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit) as end:
            main([str(part) for part in arguments])
        message = capsys.readouterr().err
        assert end.value.code == 2, message
        assert "Traceback" not in message
        return " ".join(message.split())

    return run


def test_columns_that_cannot_be_made(place: Path, tmp_path: Path, said: Callable[..., str]) -> None:
    for name, column, kind in (("dates", "day", "date"), ("texts", "told", "text")):
        message = said("fit", place / f"{name}.csv", "--method", "gan", "--out", tmp_path / "r", *FEW)
        assert f"No generator makes a column of domain '{kind}', and '{column}' is one" in message
        assert "--method conditional_gan" in message
        ended("fit", place / f"{name}.csv", "--method", "conditional_gan", "--y", "hue", "--out", tmp_path / name, *FEW)
    assert "one.csv has 1 row, and at least 2 are needed" in said(
        "fit", place / "one.csv", "--method", "gan", "--out", tmp_path / "r", *FEW
    )
    for column, why in (("same", "3.5 in every row"), ("none", "no value in any row")):
        assert why in said(
            "fit",
            place / "empty.csv",
            "--method",
            "conditional_gan",
            "--y",
            column,
            "--out",
            tmp_path / "r",
            *FEW,
        )
    assert not (tmp_path / "r").exists()


def test_columns_that_tell_nothing_are_left_out(place: Path, tmp_path: Path) -> None:
    ended("fit", place / "empty.csv", "--method", "gan", "--out", tmp_path / "r", *FEW)
    ended("sample", tmp_path / "r", "-n", 5, "--out", tmp_path / "made.csv")
    assert list(pd.read_csv(tmp_path / "made.csv")) == ["alcohol", "hue", "kind"]


GIVEN = {
    "misspelt": (["alchol=13", "kind=low"], "'alchol' is none of its columns"),
    "unseen": (["alcohol=13", "kind=lo"], "kind = lo was never seen in training; kind is one of: high, low, middle"),
    "no number": (["alcohol=strong", "kind=low"], "'strong' is no number"),
    "infinite": (["alcohol=inf", "kind=low"], "infinite"),
    "far": (["alcohol=1e9", "kind=low"], "far from all that training saw, 11.03 to 14.83"),
    "no value": (["alcohol", "kind=low"], "--given 'alcohol' is not of the form NAME=VALUE, e.g. --given digit=7"),
    "empty": (["alcohol=13", "kind="], "The condition kind has no value (row 1), and training saw no row without one"),
    "no value at all": (["alcohol=", "kind=low"], "The condition alcohol has no value (row 1)"),
    "twice": (["alcohol=13", "alcohol=14", "kind=low"], "--given says 'alcohol' twice"),
}


@pytest.mark.parametrize("case", list(GIVEN))
def test_a_condition_that_cannot_be_given(place: Path, tmp_path: Path, said: Callable[..., str], case: str) -> None:
    given, why = GIVEN[case]
    options = [part for one in given for part in ("--given", one)]
    assert why in said("sample", place / "hue", *options, "-n", 2, "--out", tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_a_condition_near_what_was_seen_is_taken(place: Path, tmp_path: Path) -> None:
    ended("sample", place / "hue", "--given", "alcohol=16", "--given", "kind=low", "--out", tmp_path / "x.csv")


OTHERS: dict[str, tuple[str, str]] = {
    "n negative": ("sample {p}/gan -n -3 --out {o}", "greater than or equal to 1"),
    "n no number": ("sample {p}/gan -n many --out {o}", "valid integer"),
    "sample a translator": ("sample {p}/piles -n 2 --out {o}", "of the kind Translator"),
    "sample a classifier": ("sample {p}/class -n 2 --out {o}", "of the kind Classifier"),
    "no way": ("translate {p}/piles {p}/wine.csv --out {o}", "say --to A or --to B"),
    "unknown way": ("translate {p}/piles {p}/wine.csv --to C --out {o}", "not to 'C'"),
    "translate a generator": ("translate {p}/gan {p}/wine.csv --out {o}", "translates nothing"),
    "translate a condition": ("translate {p}/hue {p}/wine.csv --out {o}", "no picture given a picture"),
    "translate codes": ("translate {p}/codes {p}/wine.csv --to B --out {o}", "translates nothing"),
    "encode by a generator": ("encode {p}/gan {p}/wine.csv --out {o}", "has no codes of rows"),
    "encode by a translator": ("encode {p}/piles {p}/wine.csv --out {o}", "has no codes of rows"),
    "predict by a generator": ("predict {p}/gan {p}/wine.csv --out {o}", "no y to predict"),
    "one pile": ("evaluate {p}/piles {p}/wine.csv", "against two piles"),
    "one row": ("evaluate {p}/gan {p}/one.csv", "2 or more true rows"),
}


@pytest.mark.parametrize("case", list(OTHERS))
def test_a_run_that_does_something_else(place: Path, tmp_path: Path, said: Callable[..., str], case: str) -> None:
    command, why = OTHERS[case]
    out = tmp_path / "x.csv"
    assert why in said(*[part.format(p=place, o=out) for part in command.split()])
    assert not out.exists()


def test_nothing_is_written_over_the_data(place: Path, tmp_path: Path, said: Callable[..., str]) -> None:
    data = tmp_path / "mine.csv"
    data.write_text((place / "wine.csv").read_text())
    for command in ("sample {p}/hue {d} --out {d}", "translate {p}/piles {d} --to B --out {d}"):
        assert "is the data themselves, which would be lost" in said(
            *[part.format(p=place, d=data) for part in command.split()]
        )
    assert data.read_text() == (place / "wine.csv").read_text()


def test_a_saved_generator_says_nothing_of_a_critic_that_it_has_not(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended("evaluate", place / "hue", place / "wine.csv")
    told = capsys.readouterr().out
    assert "condition: " in told
    assert "critic: " not in told


def test_few_rows_and_equal_piles_are_told_of_in_a_sentence(place: Path, tmp_path: Path) -> None:
    pd.read_csv(place / "wine.csv").head(5).to_csv(tmp_path / "few.csv", index=False)
    columns = ("--x", "alcohol", "--x", "hue")
    with pytest.warns(UserWarning, match="There are 4 rows to learn from: a generator learns so few by heart"):
        ended("fit", tmp_path / "few.csv", "--method", "gan", *columns, "--out", tmp_path / "one", *FEW)
    words = [tmp_path / "few.csv"] * 2 + ["--method", "unpaired", *columns, "--out", tmp_path / "two", *FEW]
    told = subprocess.run(
        [sys.executable, "-m", "trine", "fit", *map(str, words)], capture_output=True, text=True, check=True
    ).stderr
    assert "trine: Pile A has 5 rows: a translator learns so few by heart." in told
    assert "trine: Piles A and B hold the same rows" in told
    assert "UserWarning" not in told
