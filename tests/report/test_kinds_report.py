"""What ``trine novelty`` writes, of pictures and of a table, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine

import trine
from trine.cli import main
from trine.cli._new_kinds import _summary
from trine.errors import ChoiceError
from trine.report.kinds import contact_sheet, page, write_kinds


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = load_digits()
    path = tmp_path_factory.mktemp("novel") / "digits.npz"
    np.savez(path, image=data.images[:300], digit=data.target[:300])
    return path


def run(*words: str) -> int:
    try:
        main(["novelty", *words, "--quiet"])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_writes_types_sheet_map_objects_and_page(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "kinds"
    words = [str(digits), "--label", "digit", "--new", "7,8,9", "--out", str(out), "--starts", "80", "--threads", "1"]
    words += ["--set", "epochs=4"]
    assert run(*words) == 0
    assert "came to rest" in capsys.readouterr().out
    about = json.loads((out / "types.json").read_text(encoding="utf-8"))
    with (out / "types.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["type"] for row in rows] == [kind["name"] for kind in about["types"]]
    assert {"distance_from_0", "taken_for", "new"} <= set(rows[0])
    assert about["new"] == ["7", "8", "9"]
    assert Image.open(out / "types.png").size[0] > 500
    assert Image.open(out / "map.png").size == (1040, 840)
    objects = np.load(out / "objects.npz")
    assert len(objects["image"]) == len(objects["type"]) == about["scores"]["objects"]
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "7, 8, 9 were kept from it" in text
    assert text.count('<span class="letter">') == len(about["types"])
    assert "http" not in text.split("Content-Security-Policy", 1)[1].replace("http-equiv", "")
    model = trine.load(out / "novelty.trine")
    assert run(*words) == 0  # the autoencoder's run is there, and finished: it is not trained anew
    kept = trine.load(out / "novelty.trine").autoencoder_.tensors()
    assert all(tensor.equal(kept[name]) for name, tensor in model.autoencoder_.tensors().items())
    capsys.readouterr()
    assert run(*words[:-1], "epochs=5") == 2
    assert "has epochs=4; asked for: epochs=5." in capsys.readouterr().err


def test_a_run_of_an_autoencoder_is_iterated_with_its_own_data(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choices: dict[str, Any] = {"image": "winners", "reconstruction": "pixel-bernoulli", "epochs": 8, "step_size": 3e-3}
    trine.fit(digits, method="autoencoder", label="digit", out=tmp_path / "run", threads=1, **choices)
    capsys.readouterr()
    assert (
        run(str(tmp_path / "run"), "--out", str(tmp_path / "kinds"), "--starts", "40", "--json", "--threads", "1") == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert Path(found["report"]).is_file()
    assert found["scores"]["objects"] >= 5


def test_a_table_has_a_page_of_values_and_no_sheet(tmp_path: Path) -> None:
    frame = load_wine(as_frame=True).frame.iloc[:, [0, 1, 6, 9]]
    model = trine.Novelty(starts=40, epochs=10, random_state=0, threads=1, code=32, sparsity="topk(3)").fit(frame)
    found = write_kinds(model, tmp_path / "kinds")
    assert "sheet" not in found
    assert "<dt>alcohol</dt>" in page(model)
    with pytest.raises(ChoiceError, match="pictures or series"):
        contact_sheet(model, tmp_path / "sheet.png")


def test_known_rows_that_are_all_alike_give_no_unit_of_distance(tmp_path: Path) -> None:
    known = {"a": np.array(["x"] * 40 + ["z"]), "b": np.arange(41) % 2.0}
    autoencoder = trine.fit(known, method="autoencoder", code=1, epochs=3, valid=0.0, threads=1)
    model = trine.Novelty(starts=10, least=1, random_state=0).fit(
        {"a": known["a"][:40:2], "b": known["b"][:40:2]}, autoencoder=autoencoder
    )
    assert np.isnan(model.scores_["distance"])
    found = write_kinds(model, tmp_path / "kinds")
    assert "NaN" not in found["types"].read_text(encoding="utf-8")
    assert "nan" not in page(model).replace("nano", "")
    assert "has no unit, as the known rows are all alike" in _summary(model)


def test_three_kinds_of_series_are_found_again_and_drawn(tmp_path: Path) -> None:
    rng, time = np.random.default_rng(0), np.linspace(0, 1, 24)
    waves = [np.sin(2 * np.pi * (i % 3 + 1) * time) + 0.05 * rng.normal(size=24) for i in range(150)]
    model = trine.Novelty(starts=20, epochs=30, random_state=0, threads=1).fit(
        np.stack(waves)[:, :, None].astype("float32")
    )
    found = write_kinds(model, tmp_path / "kinds")
    assert len(np.load(found["objects"])["type"]) == model.scores_["objects"]
    assert found["sheet"].stat().st_size > 500
    assert len(trine.load(found["artefact"]).generate(5, seed=1)) == 1  # the column


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "epoch=3"], "no choice 'epoch'"),
        (["--data", "other.npz"], "are data already"),
        (["--new", "12", "--label", "digit"], "label '12'"),
        (["--label", "colour"], "colour"),
    ],
    ids=["choice", "data", "new", "label"],
)
def test_mistakes_at_the_command_are_told(
    digits: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(digits), "--out", str(tmp_path / "kinds"), *words) == 2
    assert said in capsys.readouterr().err
