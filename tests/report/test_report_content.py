"""The page from plain values: each kind of y, each section by itself, and text that tries to be HTML."""

from __future__ import annotations

import html.parser
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Beta, Independent, LogNormal, Normal, Poisson

from trine.domains import Category, Count, Positive, Real, Unit, Vector
from trine.errors import ChoiceError, RunError
from trine.evaluation import Evaluation, evaluate
from trine.report import ReportContent, render, report_run, write_report
from trine.report.content import image_uri

EVIL = "<script>alert(1)</script>"
ATTRIBUTE = '" onload="alert(1)'
N = 60


def of_classes(k: int, *, ordered: bool = False, name: str = "class") -> Evaluation:
    rng = np.random.default_rng(0)
    domain = Category(
        labels=tuple(f"{name} {i:02d}" for i in range(k)), ordered=ordered, dtype="object", shares=(1 / k,) * k
    )
    n = max(N, 4 * k)
    y = domain.decode(rng.integers(0, k, n))
    return evaluate(domain, y, rng.dirichlet(np.ones(k), n), marginal=y)


def of_numbers(domain: Any, q: Any) -> Evaluation:
    torch.manual_seed(0)
    y = q.sample().double().numpy()
    return evaluate(domain, y, q, marginal=y)


KINDS = {
    "binary": of_classes(2),
    "category": of_classes(5),
    "ordered": of_classes(4, ordered=True),
    "real": of_numbers(Real(), Normal(torch.linspace(-1e6, 1e6, N), torch.full((N,), 1e5))),
    "positive": of_numbers(Positive(), LogNormal(torch.linspace(0, 2, N), torch.ones(N))),
    "unit": of_numbers(Unit(), Beta(torch.linspace(1, 5, N), torch.linspace(5, 1, N))),
    "count": of_numbers(Count(), Poisson(torch.linspace(0.5, 20, N))),
    "vector": of_numbers(Vector(size=2), Independent(Normal(torch.randn(N, 2), torch.ones(N, 2)), 1)),
}

EPOCHS = [{"epoch": i, "train": {"loss": 2.0 / i}, "held_out": 1 + 1 / i} for i in range(1, 13)]
LAYERS = [{"layer": f"encoder.dense.{i}", "activation": 1.0, "gradient": 10.0**-i} for i in range(6)]

SECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "source": ({"source": "flowers.csv"}, "flowers.csv"),
    "created": ({"created": "2026-02-03T04:05:06+00:00"}, "3 February 2026, 04:05 UTC"),
    "rows": ({"rows": {"train": 1234, "stop": 56, "held_out": 78}}, "1,234"),
    "schema": (
        {
            "schema": [
                {"column": "id", "role": "ignored", "domain": "–", "detail": "", "reason": "a number for each row"}
            ]
        },
        "a number for each row",
    ),
    "derivation": ({"derivation": {"criterion": ["KL(data ‖ q) = E[−log q]"]}}, "KL(data ‖ q) = E[−log q]"),
    "choices": ({"choices": [{"name": "batch_size", "value": "256", "reason": "a power of two"}]}, "a power of two"),
    "history": ({"history": EPOCHS}, "Criterion by epoch"),
    "log": ({"log": [{"step": i, "loss": 1.0, "step_size": 0.1, "grad_norm": 1.0} for i in range(5)]}, "Step size"),
    "evaluations": ({"evaluations": {"price": KINDS["real"]}}, "price on 60 held-out rows"),
    "mistakes": ({"mistakes": [{"row": 7, "truth": "cat", "prediction": "dog", "confidence": 0.97}]}, "taken for"),
    "gradients": (
        {"gradients": [{"label": "at initialisation", "layers": LAYERS}, {"label": "at the end", "layers": LAYERS}]},
        "Gradient health",
    ),
    "timing": ({"timing": {"seconds": 75.0, "rate": 5000.0, "threads": 2}}, "5,000 examples/s"),
    "memory": ({"memory": 3 * 2**20}, "3 MiB"),
    "seed": ({"seed": 41}, "<dd>41</dd>"),
    "versions": ({"versions": {"torch": "2.13.0"}}, "2.13.0"),
}

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Checked(html.parser.HTMLParser):
    """Elements closed in order; collects tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check(page: str) -> Checked:
    """Well-formed, and nothing in it runs or asks for anything."""
    found = Checked(page)
    for tag, name, value in found.attributes:
        assert tag != "script"
        assert not name.startswith("on"), (tag, name)
        if name in {"src", "href", "xlink:href", "action", "srcset", "data"}:
            assert value.startswith(("#", "data:image/")), (tag, name, value)
    assert not re.search(r"url\((?!#)|@import", page)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_y_has_its_page(kind: str) -> None:
    evaluation = KINDS[kind]
    content = ReportContent(title=kind, evaluations={kind: evaluation}, mistakes=evaluation.mistakes)
    page = render(content)
    found = " ".join(check(page).text)
    expected = {
        "category": ("accuracy", "log loss", "Confusion matrix", "Calibration"),
        "number": ("RMSE", "MAE", "Predicted and true", "Residuals", "Coverage of intervals", "Where the truth falls"),
    }[evaluation.kind]
    assert [name for name in expected if name not in found] == []
    assert ("ROC curve" in found) == (kind == "binary")
    assert ("Poisson deviance" in found) == (kind == "count")
    assert page.count('class="strip"') == len(evaluation.metrics)
    # What the run keeps as JSON gives the same page.
    assert (
        render(ReportContent(title=kind, evaluations={kind: evaluation.to_json()}, mistakes=evaluation.mistakes))
        == page
    )


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """Section → a page with nothing else."""
    return {name: render(ReportContent(title="one", **given)) for name, (given, _) in SECTIONS.items()}


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_is_there_with_its_values_and_only_then(name: str, alone: dict[str, str]) -> None:
    check(alone[name])
    expected = SECTIONS[name][1]
    assert [other for other, page in alone.items() if expected in page] == [name]


def test_all_sections_stand_on_one_page(alone: dict[str, str]) -> None:
    given = {key: value for part, _ in SECTIONS.values() for key, value in part.items()}
    page = render(ReportContent(title="all", **given))
    check(page)
    assert [name for name, (_, expected) in SECTIONS.items() if expected not in page] == []
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))


def test_a_title_is_enough() -> None:
    page = render(ReportContent(title="nothing yet"))
    check(page)
    assert "<section" not in page


def test_text_that_tries_to_be_html_stays_text() -> None:
    for evil in (EVIL, ATTRIBUTE, "$\\frac$ {{ 7 * 7 }} ]]>", "</style><img src=x onerror=alert(1)>"):
        evaluation = of_classes(3, name=evil)
        page = render(
            ReportContent(
                title=evil,
                created=evil,
                source=evil,
                schema=[dict.fromkeys(("column", "role", "domain", "detail", "reason"), evil)],
                derivation={evil: [evil], "table": [[evil, evil]]},
                choices=[dict.fromkeys(("name", "value", "reason"), evil)],
                history=EPOCHS,
                evaluations={evil: evaluation},
                mistakes=[
                    {
                        "row": 1,
                        "truth": evil,
                        "prediction": evil,
                        "confidence": 0.5,
                        "values": {evil: evil},
                        "image": evil,
                    }
                ],
                gradients=[{"label": evil, "layers": [{**LAYERS[0], "layer": evil}]}],
                versions={evil: evil},
                skipped=[evil],
            )
        )
        found = check(page)
        assert any(evil in text for text in found.text), evil
        assert not any(tag == "img" for tag, _, _ in found.attributes), "what is no picture is not shown"


def test_pictures_are_shown_as_pixels_or_as_pngs_that_the_run_kept() -> None:
    grey, colour = np.linspace(0, 1, 64).reshape(8, 8), np.zeros((300, 200, 3), dtype=np.uint8)
    pictures = [image_uri(grey), image_uri(colour), image_uri(grey[:, :, None])]
    assert all(str(uri).startswith("data:image/png;base64,") for uri in pictures)
    assert image_uri(pictures[0]) == pictures[0]
    for harmful in (
        "javascript:alert(1)",
        "data:text/html;base64,PHA+",
        "http://example.org/a.png",
        'data:image/svg+xml,<svg onload="x">',
    ):
        assert image_uri(harmful) is None
    mistake = {"row": 1, "truth": "a", "prediction": "b", "confidence": 0.5}
    page = render(ReportContent(title="t", mistakes=[{**mistake, "image": grey}, {**mistake, "image": None}]))
    check(page)
    assert page.count("<img") == 1


def test_long_names_many_columns_and_many_classes_are_all_there() -> None:
    long = "a_column_whose_name_goes_on_and_on_" * 4
    schema = [
        {"column": f"{long}{i}", "role": "x", "domain": "Real", "detail": "Real", "reason": long} for i in range(100)
    ]
    evaluation = of_classes(50, name="a class with quite a long name")
    page = render(
        ReportContent(title=long, schema=schema, evaluations={long: evaluation}, mistakes=evaluation.mistakes)
    )
    text = " ".join(check(page).text)
    assert all(f"{long}{i}" in text for i in range(100))
    assert all(f"a class with quite a long name {i:02d}" in text for i in range(50))


def test_curves_with_gaps_are_drawn() -> None:
    gaps = [{"epoch": i, "train": {"loss": None if i % 2 else 1.0}, "held_out": None} for i in range(1, 6)]
    dead = [{"label": "at initialisation", "layers": [{"layer": "a", "activation": 0.0, "gradient": None}]}]
    for content in (
        ReportContent(title="t", history=gaps),
        ReportContent(title="t", history=[{"epoch": 1, "train": {}, "held_out": None}]),
        ReportContent(title="t", gradients=dead),
        ReportContent(title="t", log=[{"step": 1, "loss": 1.0, "step_size": None, "grad_norm": None}]),
    ):
        check(render(content))


def test_a_hundred_layers_are_drawn() -> None:
    layers = [{"layer": f"block.{i}", "activation": 0.9**i, "gradient": 0.8**i} for i in range(100)]
    page = render(ReportContent(title="deep", gradients=[{"label": "at initialisation", "layers": layers}]))
    text = " ".join(check(page).text)
    assert "layer, from input to output" in text
    assert "at initialisation" in text, "one curve alone is named too"


def test_the_page_follows_dark_mode_paper_and_phone() -> None:
    page = render(ReportContent(title="t", evaluations={"y": KINDS["real"]}, history=EPOCHS))
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width", 'name="viewport"'):
        assert rule in page
    drawn = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert drawn
    for svg in drawn:
        assert "#000" not in re.sub(r'href="#[^"]*"|id="[^"]*"', "", svg), "a figure keeps to the page's colours"


def test_the_same_content_gives_the_same_page() -> None:
    content = ReportContent(title="t", evaluations={"y": KINDS["category"]}, history=EPOCHS)
    assert render(content) == render(content)


def test_a_report_replaces_an_older_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old", encoding="utf-8")
    assert write_report(target, ReportContent(title="new")) == target
    assert "<h1>new</h1>" in target.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(RunError, match="cannot be written"):
        write_report(tmp_path / "no such folder" / "report.html", ReportContent(title="new"))


@pytest.mark.parametrize("record", ["{", "[]", '{"evaluations": {"y": 3}}', '{"schema": 4}', '{"rows": [1]}'])
def test_a_damaged_record_is_named(tmp_path: Path, record: str) -> None:
    (tmp_path / "record.json").write_text(record, encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        report_run(tmp_path)


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_without_the_extra_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ChoiceError, match=rf"needs {library}.* pip install 'trine\[report\]'"):
        render(ReportContent(title="t", history=EPOCHS))


def test_a_line_that_a_killed_process_left_half_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"title": "t", "unknown to reports": 1}', encoding="utf-8")
    lines = ['{"step": 1, "step_size": 0.1}', '{"step": 2, "st', '{"step": 3, "step_size": 0.2}', "7", ""]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    page = report_run(tmp_path, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Step size" in page
