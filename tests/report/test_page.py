"""The report: complete, self-contained, and deaf to what a user's data may try to say in HTML."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris

import trine
from trine.cli._demo import write_digits
from trine.data import write
from trine.errors import RunError
from trine.evaluation import Evaluation
from trine.report import ReportContent, figures, render, report_run
from trine.report.figures.strip import LEFT, RIGHT
from trine.report.words import ending, meaning

EVIL = "<script>alert('1')</script>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small finished runs: classes, numbers, images."""
    base = tmp_path_factory.mktemp("runs")
    iris = load_iris(as_frame=True)
    flowers = {f"{EVIL}{i}" if i == 0 else name: iris.data[name].to_numpy() for i, name in enumerate(iris.data)}
    kinds = np.array(["$setosa$", EVIL, "a rather long name of a class " * 3])[iris.target]
    write(base / "iris.csv", {**flowers, "kind": kinds, "constant": np.ones(150)})
    trine.fit(base / "iris.csv", y="kind", out=base / "classes", epochs=3, threads=1, valid=0.3)
    data = load_diabetes(as_frame=True)
    write(base / "diabetes.csv", {**{c: data.data[c].to_numpy() for c in data.data}, "y": data.target.to_numpy()})
    trine.fit(base / "diabetes.csv", y="y", out=base / "numbers", epochs=3, threads=1)
    write_digits(base / "digits")
    trine.fit(base / "digits", out=base / "images", epochs=2, threads=1)
    return {name: base / name for name in ("classes", "numbers", "images")}


@pytest.mark.parametrize("name", ["classes", "numbers", "images"])
def test_the_page_is_complete_and_needs_nothing_else(runs: dict[str, Path], name: str) -> None:
    page = report_run(runs[name]).read_text(encoding="utf-8")
    for section in (
        "held out",
        "What was inferred",
        "Derivation",
        "Criterion",
        "Procedure",
        "Learning",
        "Gradient health",
    ):
        assert section in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(link.startswith(("#", "data:")) for link in links), [link for link in links if link[0] not in "#d"]
    assert "<script" not in page
    assert "@import" not in page
    assert page.count("<svg") >= 5
    assert "nan" not in re.sub(r'd="[^"]*"', "", page).lower().split()


def test_figures_do_not_share_identifiers(runs: dict[str, Path]) -> None:
    page = report_run(runs["numbers"]).read_text(encoding="utf-8")
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    for used in re.findall(r'(?:href="#|url\(#)([^")]+)', page):
        assert used in names


def test_mistaken_images_are_shown(runs: dict[str, Path]) -> None:
    page = report_run(runs["images"]).read_text(encoding="utf-8")
    record = json.loads((runs["images"] / "record.json").read_text(encoding="utf-8"))
    assert record["mistakes"], "two epochs on digits leave mistakes to show"
    shown = [*record["mistakes"], *record["novelty"]["farthest"]]
    assert page.count('src="data:image/png;base64,') == sum(1 for row in shown if row["image"])


def test_rows_unlike_the_training_data_are_told(runs: dict[str, Path]) -> None:
    page = report_run(runs["numbers"]).read_text(encoding="utf-8")
    told = json.loads((runs["numbers"] / "record.json").read_text(encoding="utf-8"))["novelty"]
    assert f"{told['flagged']} of {told['rows']} held-out rows lie farther" in page
    assert "Distance from the training data" in page
    assert [f"row {row['row']}, score" in page for row in told["farthest"]] == [True] * 12


def test_text_of_the_user_stays_text(runs: dict[str, Path]) -> None:
    page = report_run(runs["classes"]).read_text(encoding="utf-8")
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_what_a_record_lacks_is_left_out(runs: dict[str, Path]) -> None:
    record: dict[str, Any] = json.loads((runs["classes"] / "record.json").read_text(encoding="utf-8"))
    for key in (
        "history",
        "evaluations",
        "mistakes",
        "gradients",
        "schema",
        "derivation",
        "choices",
        "timing",
        "memory",
    ):
        record[key] = None
        assert "<h1>" in render(ReportContent.from_record(record))


def test_many_classes_fit_on_the_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1600, 3)), np.array([f"class number {i}" for i in range(80)])[rng.integers(0, 80, 1600)]
    trine.fit((X, y), out=tmp_path / "run", epochs=1, threads=1, valid=0.4)
    assert "of 80 classes" in report_run(tmp_path / "run").read_text(encoding="utf-8")


def test_an_unfinished_or_absent_run_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        report_run(tmp_path)
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="not finished"):
        report_run(tmp_path)


def test_digits_are_as_bundled(tmp_path: Path) -> None:
    write_digits(tmp_path / "digits")
    assert len(list((tmp_path / "digits").rglob("*.png"))) == len(load_digits().target)


def place(name: str, **metric: Any) -> float | None:
    """Where the value of a metric is drawn, as a part of the line; None where nothing is drawn."""
    told = {"low": None, "high": None, "baseline": None, "higher_is_better": True, **metric}
    drawn = re.search(r'circle cx="([\d.]+)', figures.strip(name, told))
    return None if drawn is None else (float(drawn[1]) - LEFT) / (RIGHT - LEFT)


def test_a_metric_is_drawn_only_between_what_it_can_be_compared_with() -> None:
    assert place("log_likelihood", value=-888.0, low=-890.0, high=-880.0) is None
    assert place("divergence", value=2.2, low=2.0, high=2.4, baseline=1.0, higher_is_better=None) is None
    assert place("coverage_90", value=0.9, higher_is_better=None) == pytest.approx(0.5)
    # The best value lies at the right end, also where true rows reach it too.
    assert place("coverage", value=1.0, baseline=1.0) == pytest.approx(1)
    assert place("copies", value=0.0, baseline=0.0, higher_is_better=False) == pytest.approx(1)
    assert place("accuracy", value=0.75, baseline=0.5) == pytest.approx(0.5)
    assert place("density", value=1.2, baseline=1.0) == pytest.approx(1)  # it has no best value: 1 is none
    assert place("density", value=0.8, baseline=1.0) == pytest.approx(0)


def test_a_training_that_was_cut_short_is_said_to_be() -> None:
    page = render(ReportContent(title="t", timing={"seconds": 30.0, "epochs": 16, "planned": 100, "stopped": "budget"}))
    assert "stopped by the budget after 16 of 100" in page
    assert ending("patience", 1200, 5000) == "stopped as nothing got better, after 1,200 of 5,000"
    assert ending("epochs", 100, 100) == "100"
    assert ending(None, 3, 5) is None  # a run of an older version


def test_pairs_of_pictures_are_explained_and_stand_beside_no_true_rows() -> None:
    metric = {"value": 11.52, "low": 10.5, "high": 12.5, "baseline": 14.42, "higher_is_better": False, "unit": ""}
    told = {"kind": "samples", "rows": 9, "metrics": {"energy-random-conv": metric}, "figures": {}, "mistakes": []}
    page = render(ReportContent(title="t", evaluations={"y": Evaluation.from_json(told)}, samples={"score": {}}))
    assert "answers to another picture: 14.42" in page
    assert "true rows: 14.42" not in page
    assert all(meaning(name) for name in ("energy-random-conv", "absolute error", "apart", "spread"))
