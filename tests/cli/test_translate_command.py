"""``trine fit PAIRS --method conditional_gan`` and ``trine translate``: every form of pairs, files in their places, mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from sklearn.datasets import load_digits
from tests.stopping import stopped_and_resumed

import trine
from trine.cli import main

DIGITS = (load_digits().images[:120] * 15).astype(np.uint8)
EDGES = ((np.abs(np.diff(DIGITS.astype(int), axis=2, prepend=0)) > 60) * 255).astype(np.uint8)
SHORT = ("--set", "epochs=2", "--set", "channels=8", "--threads", "1", "-q", "--no-report")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs in each form."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("beside", "two/edges", "two/digits", "new/deep"):
        (folder / name).mkdir(parents=True)
    for i, (edges, digit) in enumerate(zip(EDGES, DIGITS, strict=True)):
        Pillow.fromarray(np.concatenate([edges, digit], 1)).save(folder / f"beside/{i}.png")
        Pillow.fromarray(edges).save(folder / f"two/edges/{i}.png")
        Pillow.fromarray(digit).save(folder / f"two/digits/{i}.png")
    names = [f"{i}.png" for i in range(len(DIGITS))]
    table = pd.DataFrame(
        {"from": [f"two/edges/{name}" for name in names], "to": [f"two/digits/{name}" for name in names]}
    )
    table.to_csv(folder / "table.csv", index=False)
    Pillow.fromarray(EDGES[0]).save(folder / "new/a.png")
    Pillow.fromarray(np.tile(EDGES[1], (3, 5))[:, :-3]).save(folder / "new/deep/b.bmp")
    return folder


def trine_(*words: object) -> int:
    """The command's exit status."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def fitted(work: Path, *words: object) -> trine.ConditionalGAN:
    words = tuple(work / word if (work / str(word)).exists() else word for word in words)
    run = work / "run" / "-".join(Path(str(word)).name for word in words)
    if not run.exists():
        assert trine_("fit", *words, "--method", "conditional_gan", "--out", run, *SHORT) == 0
    model = trine.load(run)
    assert isinstance(model, trine.ConditionalGAN)
    return model


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        (("beside",), ("left", "right")),
        (("beside", "--y", "left"), ("right", "left")),
        (("two",), ("digits", "edges")),
        (("two", "--y", "digits"), ("edges", "digits")),
        (("two/edges", "two/digits"), ("edges", "digits")),
        (("table.csv", "--x", "from", "--y", "to"), ("from", "to")),
    ],
    ids=["beside", "beside-left", "two", "two-digits", "folders", "table"],
)
def test_every_form_of_pairs_is_fitted(work: Path, words: tuple[str, ...], columns: tuple[str, str]) -> None:
    model = fitted(work, *words)
    assert (list(model.schema_.x), list(model.schema_.y)) == ([columns[0]], [columns[1]])
    assert model.provenance_["rows"]["train"] > 90
    where = tuple(work / word for word in words if (work / word).exists())
    assert "absolute error" in model.evaluate(where[0] if len(where) == 1 else where).metrics


def test_forms_of_the_same_pairs_train_the_same_network(work: Path) -> None:
    models = [fitted(work, "beside"), fitted(work, "two", "--y", "digits")]
    made = [model.translate(EDGES[:3], 2, seed=1) for model in models]
    assert np.array_equal(*made)


def test_pictures_are_translated_into_files_of_their_names(work: Path, tmp_path: Path) -> None:
    model = fitted(work, "beside")
    out = tmp_path / "out"
    assert trine_("translate", work / "run/beside", work / "new", "--out", out, "--samples", 3, "--seed", 4) == 0
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    made = ["a_1.png", "a_2.png", "a_3.png", "deep/b_1.png", "deep/b_2.png", "deep/b_3.png"]
    assert names == [*made[:3], "contact_sheet.png", *made[3:]]
    sheet = np.asarray(Pillow.open(out / "contact_sheet.png"))
    assert sheet.shape[2] == 3
    assert sheet.shape[1] / sheet.shape[0] == pytest.approx(2, rel=0.05)  # two rows: what was read and three answers
    expected = model.translate([work / "new/a.png", work / "new/deep/b.bmp"], 3, seed=4)
    for k in range(3):
        assert np.array_equal(np.asarray(Pillow.open(out / f"a_{k + 1}.png")), expected[0][k])
        assert np.array_equal(np.asarray(Pillow.open(out / f"deep/b_{k + 1}.png")), expected[1][k])
    assert expected[1].shape == (3, 24, 37)
    assert trine_("translate", work / "run/beside", work / "new/a.png", "--out", tmp_path / "one", "--side", 16) == 0
    assert Pillow.open(tmp_path / "one/a.png").size == (16, 16)
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["a.png"]


def test_a_run_of_pairs_that_was_stopped_within_an_epoch_resumes(work: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    how = {"method": "conditional_gan", "epochs": 2, "channels": 8, "threads": 1}
    stopped_and_resumed(
        lambda: trine.fit(work / "beside", **how, out=run), lambda: trine_("resume", run, "-q", "--no-report"), at=4
    )
    made = [model.translate(EDGES[:2], seed=1) for model in (trine.load(run), fitted(work, "beside"))]
    assert np.array_equal(*made)


def test_mistakes_are_said(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted(work, "beside")

    def said(*words: object) -> str:
        assert trine_(*words) == 2
        return capsys.readouterr().err

    run = work / "run/beside"
    assert "is there already" in said("translate", run, work / "new", "--out", work / "new")
    assert "leave --to B out" in said("translate", run, work / "new", "--out", tmp_path / "o", "--to", "B")
    assert "There is no file or folder" in said("translate", run, work / "none", "--out", tmp_path / "o")
    (tmp_path / "bad").mkdir()
    assert "has no pictures" in said("translate", run, tmp_path / "bad", "--out", tmp_path / "o")
    (tmp_path / "bad/x.png").write_text("no picture")
    Pillow.fromarray(EDGES[0]).save(tmp_path / "bad/a.png")
    assert "x.png cannot be read as a picture" in said("translate", run, tmp_path / "bad", "--out", tmp_path / "o")
    assert not (tmp_path / "o").exists()
    assert "A tile of 16 pixels is too small" in said(
        "translate", run, work / "new", "--out", tmp_path / "o", "--tile", "16"
    )
    for name in ("y.png", "y.bmp"):
        Pillow.fromarray(EDGES[0]).save(tmp_path / "bad" / name)
    assert "would both become y.png" in said("translate", run, tmp_path / "bad", "--out", tmp_path / "o")
    (work / "two/edges/extra.png").write_bytes((work / "two/edges/0.png").read_bytes())
    try:
        lone = said("fit", work / "two", "--method", "conditional_gan", "--out", tmp_path / "run")
    finally:
        (work / "two/edges/extra.png").unlink()
    assert "1 of 241 pictures have no partner" in lone
    assert "extra.png" in lone
