"""Figures that must not show what is not there: bins of what lies beyond them, and numbers of labels that nobody had."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from trine.data import read
from trine.domains import Real
from trine.estimators._shown.marginals import marginals
from trine.report._template import environment
from trine.report.figures import marginal, step_sizes
from trine.report.figures.transfer import draw_comparison


def test_samples_beyond_the_data_are_no_spike_in_the_last_bin() -> None:
    values = np.linspace(0, 1, 1000)
    told = marginals({"a": Real()}, read({"a": values}), {"a": np.concatenate([values[:750], np.full(250, 9.0)])})[0]
    assert told["samples"][-1] < 0.05
    assert told["beyond"]["samples"] == pytest.approx(0.25, abs=0.01)
    assert sum(told["samples"]) + told["beyond"]["samples"] == pytest.approx(1)
    assert "samples (25.5 % beyond)" in marginal(told)


def test_marks_of_a_comparison_stand_over_their_number_of_labels(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, plain = [], Axes.errorbar
    monkeypatch.setattr(Axes, "errorbar", lambda ax, x, *args, **more: drawn.append(x) or plain(ax, x, *args, **more))
    ways = ("z + linear", "z + boosting", "x + boosting", "PCA-30 + SVM", "from scratch")
    part = SimpleNamespace(value=0.8, low=0.7, high=0.9)
    comparison = SimpleNamespace(
        metric="accuracy", given_away=None, ways=ways, labels=(10, 20, 1000), target="kind", of=lambda way, count: part
    )
    draw_comparison(tmp_path / "a.png", comparison)
    for count in range(3):
        assert max(abs(x[count] - count) for x in drawn) < 0.2
    assert len({x[0] for x in drawn}) == len(ways)


def test_a_figure_names_what_it_shows() -> None:
    lines = [{"step": i, "step_size": 0.1 * i, "grad_norm": None} for i in range(1, 5)]
    assert "gradient" not in step_sizes(lines)
    assert "Step size and gradient norm" in step_sizes([{**line, "grad_norm": 1.0} for line in lines])
    percent = environment().filters["percent"]
    assert [percent(share) for share in (-0.0004, 0.0, -0.1, 1.0, None)] == ["0 %", "0 %", "-10 %", "100 %", "–"]
