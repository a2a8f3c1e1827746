"""Samples before judges: classes that are given, beside the rows or unknown; what the report and the console say of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import trine
from trine.cli import main
from trine.data import Field, Schema, read, stored
from trine.domains import Category, Image
from trine.errors import DataError
from trine.estimators._scored.judged import Kinds, Seen, judge_of, with_judge
from trine.estimators._scored.samples import scores
from trine.estimators._shown.film import filmed_conditions

SHORT: dict[str, Any] = {"epochs": 2, "channels": 8, "random_state": 0, "threads": 1}


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    data = load_digits()
    return (data.images * 15.9).astype(np.uint8)[:700], data.target[:700]


def test_classes_that_are_given_are_judged_by_a_classifier(
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> None:
    pictures, kinds = digits
    model = trine.ConditionalGAN(**SHORT).fit(kinds, pictures)
    assert model.schema_.x["x0"].labels == tuple(range(10))  # whole numbers alone are classes
    found = model.evaluations_["y"]
    assert next(iter(found.metrics)) == "FD-classifier"
    taken = found.metrics["taken for its class"]
    assert taken.baseline is not None
    assert 0 <= taken.low <= taken.value <= taken.high <= 1
    assert taken.baseline > 0.8  # of true rows
    assert found.figures["kinds"]["labels"] == [str(i) for i in range(10)]
    again = model.evaluate((kinds, pictures))
    assert again.metrics["taken for its class"].baseline > 0.8  # type: ignore[operator]
    assert model.sample(7, n=3).shape == (3, 8, 8)


def test_classes_beside_the_rows_judge_and_are_not_learned_from(
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> None:
    pictures, kinds = digits
    names = np.array(["even", "odd"], dtype=object)[kinds % 2]
    beside, alone = trine.GAN(**SHORT).fit(pictures, names), trine.GAN(**SHORT).fit(pictures)
    assert np.array_equal(beside.sample(3), alone.sample(3))
    found = beside.evaluations_["x"].figures["kinds"]
    assert found["labels"] == ["even", "odd"]
    assert sum(found["data"]) == pytest.approx(1)
    assert "FD-autoencoder" in alone.evaluations_["x"].metrics
    assert "clusters found" in alone.evaluations_["x"].summary()
    other = beside.evaluate((pictures, names))
    assert other.metrics["classes found"].value <= 2
    assert other.metrics["classes out of balance"].value >= 0
    with pytest.raises(DataError, match="700 rows and 3 classes"):
        beside.evaluate((pictures, names[:3]))


def test_classes_are_read_without_the_pictures_beside_them(
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, kinds = digits
    table = read({"digit": kinds.astype(str), "image": pictures})
    schema = Schema({"digit": Category()}, {"image": Image()}).fit(table)
    store = stored(table, schema, targets=True)
    monkeypatch.delattr(Field, "select")
    known = Kinds.given_in(schema, store)
    assert known is not None
    assert np.array_equal(np.array(known.names)[known.codes], kinds.astype(str))
    filmed = filmed_conditions(SimpleNamespace(schema=schema, store=store), np.arange(len(kinds)), 20)  # type: ignore[arg-type]
    assert kinds[filmed].tolist() == sorted(kinds[filmed])
    assert (np.bincount(kinds[filmed]) == 2).all()


def test_what_is_one_class_alone_is_out_of_balance(digits: tuple[NDArray[np.uint8], NDArray[np.int64]]) -> None:
    """True rows of one class in the place of samples: found 1 of 10, and balance log 10 from the truth."""
    pictures, kinds = digits
    model = trine.GAN(**SHORT).fit(pictures[:100])
    rows = torch.from_numpy(pictures).float()[:, None] / 127.5 - 1
    index = np.arange(len(rows))
    known = Kinds(tuple(str(i) for i in range(10)), kinds.astype(np.int64), True)
    judge = judge_of(model._network, known, Seen(rows[:500], index[:500]), 100, 0)
    assert judge is not None
    fours = np.flatnonzero(kinds == 4)
    flat = rows.flatten(1).double().numpy()
    blank = scores(flat[fours[:60]], flat[500:560], flat[560:620], "pixels", training=False)
    true, other = Seen(rows[500:560], index[500:560]), Seen(rows[560:620], index[560:620])
    found = with_judge(blank, judge, known, Seen(rows[fours[:60]], fours[:60]), true, other).metrics
    assert found["classes found"].value <= 2
    assert found["classes found"].baseline == 10
    assert found["classes out of balance"].value > 1.5
    assert found["FD-classifier"].value > 5 * found["FD-classifier"].baseline  # type: ignore[operator]
    assert found["taken for its class"].value > 0.9
    wrong = Seen(rows[fours[:60]], np.roll(index, 1)[:60])  # made for other classes than they are
    assert with_judge(blank, judge, known, wrong, true, other).metrics["taken for its class"].value < 0.5


def test_copies_are_told_where_there_are_training_rows_and_nowhere_else() -> None:
    true, learned = np.random.default_rng(0).normal(size=(2, 100, 4))
    found = scores(learned, true, learned, "numbers", training=True)
    assert found.metrics["copies of training rows"].value == 1.0
    assert "training rows" in found.figures["floor"]
    other = scores(learned, true, learned, "numbers", training=False)
    assert set(found.metrics) - set(other.metrics) == {"copies of training rows"}
    assert "training" not in other.figures["floor"]


def test_scores_leave_the_users_random_numbers_alone_and_do_not_hang_on_them() -> None:
    rows = np.random.default_rng(0).normal(size=(250, 3))
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        expected = torch.rand(2)[1]
        torch.manual_seed(seed)
        torch.rand(1)
        metrics = trine.GAN(epochs=1, random_state=0, threads=1).fit(rows).evaluations_["x"].metrics
        assert torch.rand(1) == expected
        found.append({name: metric.value for name, metric in metrics.items()})
    assert "detection AUC" in found[0]
    assert found[0] == found[1]


def test_too_few_rows_are_not_judged_and_missing_classes_are_passed_over(
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> None:
    pictures, kinds = digits
    few = trine.GAN(**SHORT, validation_fraction=0.5).fit(pictures[:60])  # 30 to learn from
    assert not any("autoencoder" in name for name in few.evaluations_["x"].metrics)
    labels = np.array([None if kind == 0 else str(kind) for kind in kinds], dtype=object)
    known = Kinds.beside(labels)
    assert known is not None
    assert known.names == tuple("123456789")
    assert (known.codes[kinds == 0] == -1).all()
    each_its_own = trine.GAN(**SHORT).fit(pictures[:120], np.arange(120))  # no classes are names
    assert "FD-autoencoder" in each_its_own.evaluations_["x"].metrics


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(part) for part in arguments])
    assert not end.value.code


def test_the_command_line_takes_a_label_and_the_report_shows_the_kinds(
    tmp_path: Path, digits: tuple[NDArray[np.uint8], NDArray[np.int64]], capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, kinds = digits
    data, out = tmp_path / "digits.npz", tmp_path / "run"
    np.savez(data, image=pictures, digit=kinds)
    short = ("--set", "epochs=2", "--set", "channels=8", "--threads", 1)
    run("fit", data, "--method", "gan", "--label", "digit", *short, "--valid", 0.3, "--out", out)
    told = capsys.readouterr()
    assert "classes found" in told.out + told.err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Which kinds are made" in page
    assert "As a classifier sees them" in page
    run("evaluate", out, data)
    assert "FD-classifier" in capsys.readouterr().out
