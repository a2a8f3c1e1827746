"""What is wrong with a game is said, with a remedy: each wrong is provoked, and a game that goes well is left in peace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import trine
from trine.blocks.makers import Made
from trine.estimators._scored.samples import another
from trine.evaluation import Metric, games
from trine.evaluation.remedies import longer

DIGITS = load_digits()
PICTURES = (DIGITS.images * 15).astype(np.uint8)
FIXED: dict[str, Any] = {"random_state": 0, "threads": 1}


def ring(rows: int = 3000) -> np.ndarray:
    """Eight Gaussians of deviation 0.1 on a ring of radius 2."""
    rng = np.random.default_rng(0)
    angle = rng.integers(0, 8, rows) * np.pi / 4
    return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.1, (rows, 2))


def told(model: Any, X: Any = None) -> dict[str, dict[str, Any]]:
    """Findings by name, of rows held out or of ``X``."""
    evaluation = next(iter(model.evaluations_.values())) if X is None else model.evaluate(X)
    findings = {finding["name"]: finding for finding in evaluation.figures["diagnosis"]}
    assert all(bool(finding["remedy"]) == finding["wrong"] for finding in findings.values())
    assert all(finding["sentence"] in evaluation.summary() for finding in findings.values())
    return findings


def wrongs(findings: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, finding in findings.items() if finding["wrong"]}


@pytest.fixture(scope="module")
def healthy() -> trine.GAN:
    return trine.GAN(epochs=30, **FIXED).fit(ring())


def test_a_game_that_goes_well_is_left_in_peace(healthy: trine.GAN) -> None:
    findings = told(healthy)
    assert {"modes", "critic", "noise", "course", "losses"} <= set(findings)
    assert wrongs(findings) == set()


def test_collapse_to_one_mode_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trine.GAN(epochs=30, **FIXED).fit(ring())
    network = model.derivation_.model
    with torch.inference_mode():
        made = network.make(torch.randn(4000, network.noise.width, generator=torch.Generator().manual_seed(0)))
    at = torch.stack(list(network.made.columns(made).values()), 1)
    scale = [(domain.centre, domain.scale) for domain in model.derivation_.schema.x.values()]
    centre = torch.tensor([(value - middle) / width for value, (middle, width) in zip((2.0, 0.0), scale, strict=True)])
    one = made[(at - centre).norm(dim=1) < 0.1]
    # It makes one mode, a good one, again and again, whatever its noise is.
    monkeypatch.setattr(network, "make", lambda u, c=None: one[torch.arange(len(u)) % len(one)])
    findings = told(model, ring())
    assert findings["modes"]["wrong"]
    assert "mode collapse" in findings["modes"]["sentence"]
    assert "relativistic" not in findings["modes"]["remedy"]  # which it has already


def test_a_critic_that_has_won_is_said() -> None:
    model = trine.GAN("minimax", penalty=0.0, ema=0.0, critic_steps=10, step_size=2e-3, epochs=4, **FIXED).fit(
        PICTURES[:600]
    )
    findings = told(model)
    assert findings["critic"]["wrong"]
    assert "it has won" in findings["critic"]["sentence"]
    assert "divergence=relativistic or js" in findings["critic"]["remedy"]


def test_players_that_go_round_in_circles_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    # Numbers that follow from their noise, as those of a condition do: what is drawn hardly circles.
    monkeypatch.setattr("trine.methods.gan.Made", lambda *args, alone: Made(*args, alone=False))
    choices: dict[str, Any] = {
        "penalty": 0.0,
        "likelihood": 0.0,
        "ema": 0.0,
        "optimiser": "momentum",
        "step_size": 1e-2,
    }
    choices |= {"schedule": "constant", "patience": 0, "threads": 1}
    # Without damping what a start ends in, circles or one mode, hangs on how a processor rounds.
    starts = (trine.GAN("js", epochs=80, random_state=seed, **choices).fit(ring()) for seed in range(3))
    assert any(told(model)["course"]["wrong"] for model in starts)


def test_a_penalty_that_explodes_is_said() -> None:
    choices = {"penalty": 1e4, "likelihood": 0.0, "ema": 0.0, "step_size": 0.1, "schedule": "constant"}
    findings = told(trine.GAN("js", epochs=30, **choices, **FIXED).fit(ring()))
    assert findings["losses"]["wrong"]
    assert {"modes", "noise"} <= wrongs(findings)  # one row is made again and again


@pytest.fixture(scope="module")
def lines() -> tuple[trine.ConditionalGAN, dict[str, np.ndarray]]:
    """Lines y = 3 x + noise, given x."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 600)
    rows = {"x": x, "y": 3 * x + rng.normal(0, 1, 600)}
    return trine.fit(rows, y="y", method="conditional_gan", epochs=40, threads=1), rows


@pytest.mark.parametrize("deaf", ["noise", "condition"])
def test_what_a_generator_does_not_hear_is_said(
    deaf: str, lines: tuple[trine.ConditionalGAN, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = lines
    assert not {"noise", "condition"} & wrongs(told(model))
    network = model.derivation_.model
    make = network.make
    monkeypatch.setattr(
        network,
        "make",
        lambda u, c: make(torch.zeros_like(u), c) if deaf == "noise" else make(u, torch.zeros_like(c)),
    )
    findings = told(model, rows)
    assert {"noise", "condition"} & wrongs(findings) == {deaf}


def test_sorted_rows_are_diagnosed_as_shuffled_ones(
    lines: tuple[trine.ConditionalGAN, dict[str, np.ndarray]],
) -> None:
    model, rows = lines
    order = np.argsort(rows["x"])
    found, shuffled = told(model, {name: values[order] for name, values in rows.items()}), told(model, rows)
    for name in ("noise", "condition"):
        assert found[name]["value"] == pytest.approx(shuffled[name]["value"], rel=0.15)


def test_another_condition_is_one_that_differs() -> None:
    nan = float("nan")
    batch = {"x.a": torch.tensor([0, 0, 1, 1, 1, 0]), "x.numbers": torch.tensor([[nan, 1.0]] * 5 + [[2.0, 1.0]])}
    other = another({**batch, "y.b": torch.arange(6)})
    assert other is not None
    assert (other % 6).tolist() == [5, 5, 1, 1, 1, 4]
    assert another({"x": batch["x.a"], "x.a": torch.zeros(3), "x.b": torch.full((3, 2), nan)}) is None
    different = another({"x.a": torch.randn(7, 2, 2)})
    assert different is not None
    assert torch.equal(torch.arange(7)[different], torch.arange(7).roll(1))


def test_a_translation_that_changes_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"x": PICTURES[:200], "y": 240 - PICTURES[:200]}
    model = trine.fit(rows, y="y", method="conditional_gan", epochs=1, channels=4, threads=1)
    assert not told(model)["identity"]["wrong"]
    monkeypatch.setattr(model.derivation_.model, "make", lambda u, c: c)
    findings = told(model, rows)
    assert {"identity", "noise"} <= wrongs(findings)


def test_turns_are_counted() -> None:
    assert games.turns([4, 3, 2, 1, 1, 1]) == 0
    assert games.turns([1, 3, 1, 3, 1, 3, 1]) == 3
    assert games.turns([1, 1.5, 1, 1.9, 1]) == 0
    assert games.turns([1, 5, 6, 7]) == 0  # worse and worse is no circle


def test_ranks_are_shares_of_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 300), rng.normal(0, 1, 200)
    assert games.ranked(a, b) == pytest.approx((a[:, None] > b).mean())
    assert games.ranked(b, a) == games.ranked(a, b)
    assert games.ranked(np.array([np.nan]), b) == 1.0


def test_a_remedy_is_not_what_is_done_already() -> None:
    metrics = {"FD-a": Metric(10.0, 9.0, 11.0, 1.0, False)}
    for steps, named in ((1, False), (5, True)):
        found = {one.name: one for one in games.diagnose(metrics, [], 0.999, 1.0, same=2.5, critic_steps=steps)}
        assert found["critic"].wrong
        assert ("critic_steps=1" in found["critic"].remedy) is named
        assert "%" not in found["identity"].sentence  # more than what inputs differ by is simply another look


@pytest.mark.parametrize(
    ("stopped", "said"),
    [
        ("epochs", "more epochs"),
        ("patience", "a larger patience"),
        ("budget", "a larger budget"),
        (None, "more epochs"),
    ],
)
def test_what_makes_a_training_longer_is_named_by_what_ended_it(
    stopped: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trine.GAN(epochs=1, **FIXED).fit(ring(200))
    assert model.provenance_["stopped"] == "epochs"
    model.provenance_["stopped"] = stopped
    network = model.derivation_.model
    with torch.inference_mode():
        one = network.make(torch.zeros(1, network.noise.width))
    monkeypatch.setattr(network, "make", lambda u, c=None: one.expand(len(u), -1).clone())
    remedy = told(model, ring(200))["modes"]["remedy"]
    assert said in remedy
    assert ("epochs" in remedy) is (said == "more epochs")
    findings = [games.style(0.0, 0.0, 1.0, longer(stopped)), games.content(0.1, 0.1, 1.0, longer(stopped))]
    assert all(said in finding.remedy for finding in findings)


@pytest.mark.parametrize("rows", [2, 3, 10, 101])
def test_another_row_is_never_the_row_itself_and_each_is_another_once(rows: int) -> None:
    found = games.others(rows)
    assert (found != np.arange(rows)).all()
    assert sorted(found) == list(range(rows))
    assert (games.others(rows) == found).all()
    assert games.others(1).tolist() == [0]


def test_what_rows_differ_by_does_not_hang_on_their_order() -> None:
    by_kind = np.repeat(np.arange(10.0), 50)[:, None]  # as a folder of folders has them
    apart = np.abs(by_kind - by_kind.T).mean()
    assert games.spread(by_kind) == pytest.approx(apart, rel=0.1)
    assert games.spread(np.random.default_rng(0).permutation(by_kind)) == pytest.approx(apart, rel=0.1)
