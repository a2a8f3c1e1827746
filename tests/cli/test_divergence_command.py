"""``trine divergence``: the table, JSON, the figure, how distributions are written, and mistakes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from trine.cli import main
from trine.cli._distributions import FAMILIES, LISTED, parse
from trine.divergences import Blend, divergences, profile
from trine.errors import ChoiceError
from trine.report.figures.divergence import PANELS, draw_divergences

Run = Callable[..., str]


def rows_of(shown: str) -> dict[str, str]:
    """Divergence → its line of the table, the second paragraph."""
    return {line.split()[0]: line for line in shown.split("\n\n")[1].splitlines()[2:]}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["divergence", *arguments])
        shown = capsys.readouterr()
        assert (stop.value.code or 0) == status, shown.err
        return shown.err if status else shown.out

    return call


def test_the_table_has_every_divergence_with_method_and_statements(run: Run) -> None:
    shown = run("--p", "normal(0.3, 0.8)", "--q", "normal(-0.5, 1.7)")
    rows = rows_of(shown)
    assert set(rows) == set(divergences)
    assert "0.4752250896" in rows["kl"]
    assert "closed form" in rows["kl"]
    assert "0.9844869128" in rows["wasserstein"]
    assert "1.45" in rows["wasserstein2"]
    assert "0.2224932346" in rows["cramer"]
    assert "quadrature" in rows["js"]
    for name, row in rows.items():
        words = list(divergences[name].statement.cells().values())
        assert row.split("  ")[-1].strip() == words[-1]
    assert "α=0.5" in rows["renyi"]


def test_json_and_options(run: Run) -> None:
    found = json.loads(
        run("--p", "uniform(0, 1)", "--q", "uniform(2, 3)", "--only", "kl,js,renyi", "--alpha", "2", "--json")
    )
    values = {row["divergence"]: row for row in found["divergences"]}
    assert list(values) == ["kl", "js", "renyi"]
    assert values["kl"]["value"] == "inf"
    assert values["js"]["value"] == pytest.approx(math.log(2))
    assert values["js"]["metric"] == "root"
    assert found["p"] == "uniform(0, 1)"


def test_samples_of_files(run: Run) -> None:
    np.save("x.npy", np.array([0.0, 1.0, 3.0]))
    Path("y.csv").write_text("name,size\na,2\nb,5\n", encoding="utf-8")
    shown = run("--p", "x.npy", "--q", "y.csv:size")
    rows = rows_of(shown)
    assert "1.083333333" in rows["cramer"]
    assert "no form for this pair" in rows["kl"]
    assert "samples alone have no density. Choose wasserstein, cramer or mmd" in shown
    assert "2.166666667" in rows["wasserstein"]


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ("normal(20, 10)", "normal(-5, 3)"),
        ("0.5*normal(0,1) + 0.5*gamma(0.3, 1)", "cauchy(0, 1)"),
        ("poisson(3)", "geometric(0.3)"),
        ("categorical(0.5, 0.2, 0.3)", "categorical(0.1, 0.6, 0.3)"),
        ("ordered(0.5, 0.2, 0.3)", "ordered(0.1, 0.6, 0.3)"),
        ("x.npy", "beta(0.5, 0.5)"),
    ],
)
def test_the_figure_is_drawn_for_every_kind(run: Run, p: str, q: str) -> None:
    np.save("x.npy", np.linspace(0, 1, 20))
    out = run(
        "--p",
        p,
        "--q",
        q,
        "--out",
        "figure.png",
        "--only",
        "cramer,wasserstein,wasserstein2,kl" if p != "x.npy" else "cramer",
    )
    assert "figure  figure.png" in out
    image = Path("figure.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    assert len(image) < 300_000


def test_what_the_figure_shows_integrates_to_the_values(tmp_path: Path) -> None:
    p, q = (parse(text, "--p") for text in ("0.5*normal(0,1) + 0.5*normal(4,0.5)", "normal(2, 2)"))
    seen = profile(p, q, points=4000)
    for name in ("kl", "reverse_kl", "js", "tv", "hellinger", "chi2", "wasserstein", "cramer"):
        area = np.trapezoid(seen.sees[name], seen.x)
        assert area == pytest.approx(float(divergences[name]().compare(p, q).value), rel=0.02)
    assert np.trapezoid(seen.p, seen.x) == pytest.approx(1.0, abs=2e-3)
    assert np.mean((seen.at_p - seen.at_q) ** 2) == pytest.approx(
        float(divergences["wasserstein2"]().compare(p, q).value), rel=0.03
    )
    with pytest.raises(ChoiceError, match=r"ends in none of \.png"):
        draw_divergences(tmp_path / "a.txt", seen, {}, ("p", "q"))
    assert {name for name, _, _ in PANELS} == set(divergences)


def test_every_family_is_written_and_read() -> None:
    values = {
        "df": 3.0, "loc": 0.5, "scale": 2.0, "low": -1.0, "high": 2.0, "rate": 1.5, "concentration": 2.0, "alpha": 3.0,
        "concentration1": 2.0, "concentration0": 3.0, "total_count": 5.0, "probs": 0.3,
    }  # fmt: skip
    for name, family in FAMILIES.items():
        by_place = parse(f"{name}({', '.join(str(values[each]) for each in family.names)})", "--p")
        by_name = parse(f"{name}({', '.join(f'{each}={values[each]}' for each in reversed(family.names))})", "--p")
        assert not isinstance(by_place, torch.Tensor)
        assert not isinstance(by_name, torch.Tensor)
        at = torch.tensor(1.0 if name in ("bernoulli", "beta") else 2.0, dtype=torch.float64) * (
            0.5 if name == "beta" else 1
        )
        assert by_place.log_prob(at).dtype == torch.float64
        assert by_place.log_prob(at) == by_name.log_prob(at)
    for name in LISTED:
        assert parse(f"{name}(0.25, 0.75)", "--p").probs.tolist() == [0.25, 0.75]  # type: ignore[union-attr]
    assert parse("normal(-1/2, 1e-3)", "--p").mean.item() == -0.5  # type: ignore[union-attr]
    assert isinstance(parse("0.5*normal(0,1) + normal(4,1)*0.5", "--p"), MixtureSameFamily)
    assert isinstance(parse("0.5*normal(0,1) + 0.5*laplace(4,1)", "--p"), Blend)
    assert isinstance(parse("normal([0, 1], [1, 2])", "--p"), Independent)
    assert isinstance(parse("normal([0, 1], [[1, 0.3], [0.3, 1]])", "--p"), MultivariateNormal)
    assert isinstance(parse(" Normal(0, 1) ", "--p"), Normal)


MISTAKES = [
    ("normal", "normal has no parameters; write normal(loc=…, scale=…)"),
    ("normal(20)", "normal takes loc, scale"),
    ("normal(20, -1)", "its scale is outside its range"),
    ("normal(20, 1, 3)", "normal takes loc, scale"),
    ("normal(20, width=1)", "normal takes loc, scale"),
    ("normall(20, 1)", "there is no distribution 'normall'. Did you mean 'normal'?"),
    ("normal(20, 1", "is no distribution; write e.g. --p 'normal(20, 10)'"),
    ("__import__('os').system('touch hacked')", "a distribution is written as name(numbers)"),
    ("normal(__import__('os'), 1)", "is no number"),
    ("normal(True, 1)", "'True' is no number"),
    ("normal(1/0, 1)", "is no number"),
    ("0.5*normal(0,1)", "has the weight 1, not 0.5"),
    ("0.5*normal(0,1) + 0.7*normal(1,1)", "add up to 1, not to 1.2"),
    ("0.5*normal(0,1) + 0.5*poisson(1)", "components over different kinds of values"),
    ("categorical(0.5, 0.6)", "add up to 1"),
    ("normal([0, 1], [[1, 2], [3]])", "rows of a matrix"),
    ("normal([0, 1], [[1, 2], [2, 1]])", "normal is not defined there"),
    ("nothing.npy", "cannot be read"),
    ("text.csv:name", "holds no numbers"),
    ("text.csv:nme", "Did you mean 'name'?"),
    ("text.csv", "has 2 columns; name one: --p text.csv:name"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_mistakes_in_a_distribution(run: Run, text: str, said: str) -> None:
    Path("text.csv").write_text("name,size\na,1\nb,2\n", encoding="utf-8")
    message = run("--p", text, "--q", "normal(0, 1)", status=2)
    assert message.startswith("trine: ")
    assert said in message
    assert "Traceback" not in message
    assert not Path("hacked").exists()


def test_a_compilation_does_not_make_mistakes_pass(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Distribution, "_validate_args", False)
    assert "its scale is outside its range" in run("--p", "normal(20, -1)", "--q", "normal(0, 1)", status=2)
    assert Distribution._validate_args is False


def test_other_mistakes(run: Run) -> None:
    pair = ("--p", "normal(0, 1)", "--q", "normal(1, 1)")
    assert "Did you mean 'js'?" in run(*pair, "--only", "jss", status=2)
    assert "ends in none of .png, .svg, .pdf" in run(*pair, "--out", "figure.gif", status=2)
    assert "there is no directory" in run(*pair, "--out", "no/figure.png", status=2)
    assert "alpha is 1.0" in run(*pair, "--alpha", "1", status=2)
    assert "bandwidth is -1.0" in run(*pair, "--bandwidth", "-1", status=2)
    vectors = ("--p", "normal([0, 1], [1, 2])", "--q", "normal([0, 0], [1, 1])", "--draws", "100")
    assert "over single numbers" in run(*vectors, "--out", "figure.png", status=2)
    assert "Monte Carlo, 100 draws" in run(*vectors)
