"""Autoencoders through the command line: fit, encode, decode, reconstruct, sample, interpolate, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine

import trine
from trine.cli import main
from trine.cli._values import choice


def run(arguments: list[str]) -> None:
    """A command that ends well."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of digits in class folders, a mixed table, and a run on each."""
    here = tmp_path_factory.mktemp("codes")
    digits = load_digits()
    for i in range(240):
        folder = here / "digits" / f"digit {digits.target[i]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[i] / 16 * 255).astype(np.uint8)).save(folder / f"{i:03d}.png")
    wine = load_wine()
    kinds = np.array(["low", "middle", "high"])[wine.target]
    pd.DataFrame({"alcohol": wine.data[:, 0], "hue": wine.data[:, 10], "kind": kinds, "id": np.arange(178)}).to_csv(
        here / "wine.csv", index=False
    )
    few = ["--set", "epochs=2", "--quiet", "--no-report"]
    run(["fit", str(here / "digits"), "--method", "autoencoder", "--out", str(here / "run"), "--set", "code=3",
          "--set", "shape=kl", "--set", "channels=4", *few])  # fmt: skip
    run(
        [
            "fit",
            str(here / "wine.csv"),
            "--method",
            "autoencoder",
            "--out",
            str(here / "table"),
            "--set",
            "code=2",
            *few,
        ]
    )
    return here


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that ends with status 2."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_pictures_go_to_codes_and_come_back(place: Path, tmp_path: Path) -> None:
    run(["encode", str(place / "run"), str(place / "digits"), "--out", str(tmp_path / "codes.csv")])
    codes = pd.read_csv(tmp_path / "codes.csv")
    assert list(codes.columns)[-3:] == ["code_1", "code_2", "code_3"]
    assert len(codes) == 240
    run(["decode", str(place / "run"), str(tmp_path / "codes.csv"), "--out", str(tmp_path / "decoded")])
    run(["reconstruct", str(place / "run"), str(place / "digits"), "--out", str(tmp_path / "back")])
    one, two = (Image.open(tmp_path / name / "image_007.png") for name in ("decoded", "back"))
    assert one.size == (8, 8)
    assert np.abs(np.asarray(one).astype(int) - np.asarray(two).astype(int)).max() <= 1
    assert (tmp_path / "back" / "image_sheet.png").is_file()
    rows = pd.read_csv(tmp_path / "back" / "rows.csv")
    assert list(rows) == ["row", "given", "image"]
    assert list(rows["given"]) == list(codes["image"])


def test_samples_and_what_lies_between(place: Path, tmp_path: Path) -> None:
    run(["sample", str(place / "run"), "-n", "12", "--out", str(tmp_path / "samples")])
    assert len(list((tmp_path / "samples").glob("image_[0-9]*.png"))) == 12
    run(["interpolate", str(place / "run"), str(place / "digits"), "--between", "3", "17", "--steps", "5", "--out",
          str(tmp_path / "way")])  # fmt: skip
    assert len(list((tmp_path / "way").glob("image_[0-9]*.png"))) == 5
    run(["interpolate", str(place / "table"), str(place / "wine.csv"), "--between", "3", "17", "--steps", "5", "--out",
         str(tmp_path / "way.csv")])  # fmt: skip
    model, rows = trine.load(place / "table"), pd.read_csv(place / "wine.csv")
    between = model.columns_of(model._between(rows.iloc[[2]], rows.iloc[[16]], 5))
    way = pd.read_csv(tmp_path / "way.csv")
    assert np.allclose(way["alcohol"], between["alcohol"], rtol=1e-5)
    assert list(way["kind"]) == list(between["kind"])


def test_a_table_comes_back_in_its_own_units_and_labels(place: Path, tmp_path: Path) -> None:
    run(["reconstruct", str(place / "table"), str(place / "wine.csv"), "--out", str(tmp_path / "back.csv")])
    # The order of the table, which is not that of the network, beside the key.
    assert list(pd.read_csv(tmp_path / "back.csv")) == ["id", "alcohol", "hue", "kind"]
    back = pd.read_csv(tmp_path / "back.csv")
    assert set(back["kind"]) <= {"low", "middle", "high"}
    assert back["alcohol"].between(10, 16).all()
    run(["sample", str(place / "table"), "-n", "30", "--seed", "1", "--out", str(tmp_path / "new.csv")])
    run(["sample", str(place / "table"), "-n", "30", "--seed", "1", "--out", str(tmp_path / "again.csv")])
    assert (tmp_path / "new.csv").read_text() == (tmp_path / "again.csv").read_text()


def test_mistakes_are_told_in_a_sentence(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits, table, wine = (str(place / name) for name in ("run", "table", "wine.csv"))
    out = str(tmp_path / "x.csv")
    pd.DataFrame({"code_1": [0.0]}).to_csv(tmp_path / "narrow.csv", index=False)
    pd.DataFrame({"code_1": ["a"], "code_2": [1.0]}).to_csv(tmp_path / "texts.csv", index=False)
    assert "1 columns of codes" in said(capsys, "decode", table, str(tmp_path / "narrow.csv"), "--out", out)
    assert "holds texts" in said(capsys, "decode", table, str(tmp_path / "texts.csv"), "--out", out)
    assert "rows 1 to 178" in said(capsys, "interpolate", table, wine, "--between", "1", "500", "--out", out)
    assert "name a new directory" in said(capsys, "sample", digits, "--out", out)
    assert "the data themselves" in said(capsys, "encode", table, wine, "--out", wine)
    assert "trine encode" in said(capsys, "predict", table, wine, "--out", out)
    assert "--out says where" in said(capsys, "sample", table)
    (tmp_path / "there").mkdir()
    assert "is there already" in said(capsys, "sample", digits, "--out", str(tmp_path / "there"))
    assert "no target" not in said(capsys, "fit", wine, "--method", "autoencode", "--out", str(tmp_path / "r"))


def test_a_choice_in_words_keeps_the_commas_of_its_numbers() -> None:
    assert choice("categorical(4,5)") == "categorical(4,5)"
    assert choice("spike-slab(0.5, 1, 0.1)") == "spike-slab(0.5, 1, 0.1)"
    assert choice("256,128") == [256, 128]
    assert choice("[1, 2]") == [1, 2]
