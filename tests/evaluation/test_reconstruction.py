"""How well rows come back: in units of what the trivial prediction loses, by the values that are there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Normal

from trine.domains import Category, Column, Domain, Real
from trine.evaluation import Evaluation
from trine.evaluation.reconstruction import compared, evaluate_reconstruction

N = 60
RNG = np.random.default_rng(0)
HALF = np.arange(N) % 2 == 0
X = {
    "whole": RNG.normal(size=N),
    "gaps": np.where(HALF, np.nan, RNG.normal(size=N)),
    "class": np.array(["u", "v", "u"], dtype=object)[np.arange(N) % 3],
    "gaps of class": np.where(HALF, None, np.array(["u", "v", "u"], dtype=object)[np.arange(N) % 3]),
}


def evaluated(names: list[str], off: float) -> Evaluation:
    """Of predictions whose error is ``off`` of the trivial one's in numbers; classes are all called the rarer one."""
    found: dict[str, Any] = {"reconstruction": np.zeros(N)}
    domains: dict[str, Domain] = {}
    for name in names:
        kind = Category if "class" in name else Real
        levels = np.array(["u", "v"], dtype=object)
        codes = np.array([-1 if v is None else "uv".index(v) for v in X[name]], np.int32) if kind is Category else None
        column = Column(name, X[name]) if codes is None else Column(name, codes, levels)
        domain = domains[name] = kind().fit(column)
        value = torch.from_numpy(domain.encode(column))[:, 0]
        q: Any
        if isinstance(domain, Real):
            mean = value.nan_to_num(0.0) * (1 - off**0.5) + domain.mean * off**0.5
            q = Normal(mean, 1.0)
        else:
            q = Categorical(torch.tensor([0.1, 0.9]).expand(N, 2))
        found |= {f"{key}:{name}": rows for key, rows in compared(domain, q, {name: value}, name).items()}
    return evaluate_reconstruction(found, domains, np.arange(N) + 1)


@pytest.mark.parametrize("names", [["whole"], ["gaps"], ["whole", "gaps"]], ids=" and ".join)
@pytest.mark.parametrize("off", [1.0, 0.25])
def test_what_is_as_bad_as_the_trivial_prediction_leaves_all_unexplained(names: list[str], off: float) -> None:
    found = evaluated(names, off)
    assert found.metrics["unexplained"].value == pytest.approx(off)
    assert found.metrics["unexplained"].baseline == 1.0
    assert [column["value"] for column in found.figures["columns"]] == pytest.approx([1 - off] * len(names))


@pytest.mark.parametrize("names", [["class"], ["gaps of class"], ["class", "gaps of class"]], ids=" and ".join)
def test_classes_that_are_missing_are_no_right_answers(names: list[str]) -> None:
    found = evaluated(names, 1.0)
    share = {name: np.mean([value == "u" for value in X[name] if value is not None]) for name in names}
    assert found.metrics["wrong"].value == pytest.approx(np.mean(list(share.values())))
    assert found.metrics["wrong"].baseline == pytest.approx(1 - np.mean(list(share.values())))
    assert [column["value"] for column in found.figures["columns"]] == pytest.approx([1 - s for s in share.values()])


def test_a_column_without_a_value_in_these_rows_says_nothing() -> None:
    known = {"error": np.ones(N), "trivial": np.ones(N), "known": np.zeros(N)}
    found = {"reconstruction": np.zeros(N), **{f"{key}:c": value for key, value in known.items()}}
    of_class = Category(labels=("u", "v"), shares=(0.5, 0.5), rows=9)
    assert set(evaluate_reconstruction(found, {"c": of_class}, np.arange(N)).metrics) == {"reconstruction"}
