"""divergence= of any registered name: it trains every kind of y, or is refused before training, with what does train it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trine
from trine.cli import main
from trine.divergences import divergences
from trine.errors import ChoiceError

QUICK = {"epochs": 20, "members": 2, "hidden": (16,), "random_state": 0, "batch_size": 64, "step_size": 5e-3}
SCORES = {"kl", "cramer", "wasserstein", "wasserstein2", "mmd"}
"""The divergences that are known at a data point."""


def rows(kind: str, n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    signal = x[:, 0]
    y = {
        "number": 3 * signal + rng.normal(size=n),
        "positive": np.exp(signal + 0.3 * rng.normal(size=n)),
        "count": rng.poisson(np.exp(1 + 0.8 * signal)),
        "class": np.where(signal + 0.3 * rng.normal(size=n) > 0, "b", "a"),
    }[kind]
    return x, y


def works(name: str, kind: str) -> bool:
    return name in SCORES and not (name == "mmd" and kind == "count")


@pytest.mark.parametrize("kind", ["number", "positive", "count", "class"])
@pytest.mark.parametrize("name", sorted(divergences))
def test_trains_or_is_refused_with_what_does(name: str, kind: str) -> None:
    x, y = rows(kind)
    family = trine.Classifier if kind == "class" else trine.Regressor
    model = family(divergence=name, **QUICK)
    if not works(name, kind):
        with pytest.raises(ChoiceError, match=rf"divergence={name} cannot train 'y'.*Choose divergence="):
            model.fit(x, y)
        return
    model.fit(x, y)
    predicted = model.predict(x)
    if kind == "class":
        assert (predicted == y).mean() > 0.8
    else:
        assert np.isfinite(predicted).all()
        assert np.corrcoef(np.asarray(predicted, dtype=float), y.astype(float))[0, 1] > 0.55


def test_the_command_refuses_before_it_makes_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{i % 7},{(i * 3) % 5},{'ab'[i % 2]}" for i in range(60)]
    Path("data.csv").write_text("\n".join(["u,v,y", *lines]), encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["fit", "data.csv", "--y", "y", "--set", "divergence=js", "--out", "run", "-q"])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.startswith("trine: divergence=js cannot train 'y'. Jensen-Shannon's divergence")
    assert "a data point has none. Choose divergence=kl" in said
    assert not Path("run").exists()


def test_the_derivation_says_what_is_no_proper_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{i % 7},{0.5 * i + i % 3}" for i in range(60)]
    Path("data.csv").write_text("\n".join(["u,y", *lines]), encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["derive", "data.csv", "--y", "y", "--set", "divergence=wasserstein"])
    assert stop.value.code in (0, None)
    assert "E |Y − y|, Y ~ q(· | x, θ); no proper score" in capsys.readouterr().out
