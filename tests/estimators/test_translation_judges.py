"""Translations before judges trained on the spot: style by the piles themselves, content by labels that were never learned from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import trine
from trine.cli import main
from trine.errors import DataError
from trine.evaluation import judges

FOUND = load_digits()
FEW = FOUND.target < 4
DIGITS, KINDS = (FOUND.images[FEW] * 15).astype(np.uint8), FOUND.target[FEW]
HALF = 320
A, B = DIGITS[:HALF], 255 - DIGITS[HALF : 2 * HALF]
LABELS = (KINDS[:HALF], KINDS[HALF : 2 * HALF].astype(str))
TINY: dict[str, Any] = {"epochs": 1, "batch_size": 32, "channels": 4, "layers": 1, "threads": 1, "random_state": 0}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Judges of ten passes, which tell four digits well enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judges, "EPOCHS", 10)
        yield


@pytest.fixture(scope="module")
def model(quick: None) -> trine.Translator:
    return trine.Translator(**TINY).fit(A, B, labels=LABELS)


def told(model: trine.Translator, translate: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is said of a translator whose networks are replaced by ``translate`` (of values in [−1, 1])."""
    for part in (model.derivation_.model.to_a, model.derivation_.model.to_b):
        monkeypatch.setattr(part, "forward", lambda value, z: translate(value))
    found = model.evaluate(A, B, labels=LABELS)
    return {"metrics": found["B"].metrics, **{f["name"]: f for f in found["B"].figures["diagnosis"]}}


def test_the_right_answer_is_of_the_right_style_and_content(
    model: trine.Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = told(model, lambda value: -value, monkeypatch)  # 255 − x
    metrics = said["metrics"]
    assert metrics["right style"].value > 0.98
    assert metrics["right style"].baseline > 0.98
    assert metrics["content kept"].baseline > 0.85
    assert metrics["content kept"].value > metrics["content kept"].baseline - 0.06
    assert not said["style"]["wrong"]
    assert not said["content"]["wrong"]


def test_what_is_left_as_it_was_is_of_the_wrong_style(model: trine.Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    said = told(model, lambda value: value, monkeypatch)
    assert said["metrics"]["right style"].value < 0.05
    assert said["style"]["wrong"]
    assert "likelihood" in said["style"]["remedy"]


def test_what_shows_something_else_has_lost_its_content(
    model: trine.Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = told(model, lambda value: -value.roll(1, 0), monkeypatch)  # another row's digit
    assert said["metrics"]["right style"].value > 0.98
    assert said["metrics"]["content kept"].value < 0.3
    assert said["content"]["wrong"]
    assert "content=contrast" in said["content"]["remedy"]


def test_labels_judge_and_are_not_learned_from(model: trine.Translator) -> None:
    assert {"right style", "content kept", "diversity"} <= set(model.evaluations_["A"].metrics)
    without = trine.Translator(**TINY).fit(A, B)
    weights = model.derivation_.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in without.derivation_.model.state_dict().items())
    assert "content kept" not in without.evaluations_["A"].metrics
    assert "right style" in without.evaluations_["A"].metrics
    with pytest.raises(DataError, match=r"Pile A has 320 rows and 3 labels"):
        model.evaluate(A, B, labels=([1, 2, 3], LABELS[1]))


def test_folders_of_kinds_and_named_columns_are_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, pictures, kinds in (("a", A[:60], LABELS[0]), ("b", B[:60], LABELS[1])):
        lines = ["picture,digit"]
        for i, (picture, kind) in enumerate(zip(pictures, kinds, strict=False)):
            path = tmp_path / side / str(int(kind) % 2) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
            lines.append(f"{path.relative_to(tmp_path)},{int(kind) % 2}")
        (tmp_path / f"{side}.csv").write_text("\n".join(lines))
    short = ["--set", "epochs=1", "--set", "channels=4", "--set", "layers=1", "--threads", "1", "-q", "--no-report"]
    for name, words in (("folders", ["a", "b"]), ("tables", ["a.csv", "b.csv", "--label", "digit"])):
        where = [str(tmp_path / word) if "." in word or len(word) == 1 else word for word in words]
        assert status("fit", *where, "--method", "unpaired", "--out", str(tmp_path / name), *short) == 0
        said = capsys.readouterr().out
        assert said.count("content kept") == 2
        assert said.count("right style") == 2
    assert status("evaluate", str(tmp_path / "folders"), str(tmp_path / "a"), str(tmp_path / "b")) == 0
    said = capsys.readouterr().out
    assert said.count("right style") == 2
    assert "noise: " in said
    assert "critic: " not in said  # which no artefact keeps
    wrong = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--label", "digits", "--method", "unpaired"]
    assert status("derive", *wrong) == 2
    assert "Pile A has no column 'digits', the label. Did you mean 'digit'?" in capsys.readouterr().err


def status(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)
