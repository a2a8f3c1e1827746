"""An evaluation as an object: written, read, printed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from trine.domains import Category, Date, Real
from trine.errors import DataError, SchemaError
from trine.evaluation import Evaluation, Metric, evaluate
from trine.evaluation import figure as written


@pytest.fixture
def numbers() -> Evaluation:
    y = np.arange(30.0)
    return evaluate(Real(), y, Normal(torch.arange(30.0) + 1, torch.full((30,), 2.0)), marginal=y)


@pytest.fixture
def classes() -> Evaluation:
    domain = Category(labels=("a", "b"), dtype="object", shares=(0.5, 0.5))
    y = np.array(["a", "b", "b", "a"], dtype=object)
    return evaluate(domain, y, np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.5, 0.5]]), marginal=y)


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_what_is_written_as_json_is_read_again(kind: str, request: pytest.FixtureRequest) -> None:
    found: Evaluation = request.getfixturevalue(kind)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == found


def test_a_figure_that_is_not_finite_is_null(numbers: Evaluation) -> None:
    odd = Evaluation(
        "number", 1, {"rmse": Metric(1.0, math.nan, math.inf, None, False, "y")}, {"x": [math.nan, 1.0]}, []
    )
    data = odd.to_json()
    assert data["metrics"]["rmse"] == {
        "value": 1.0,
        "low": None,
        "high": None,
        "baseline": None,
        "higher_is_better": False,
        "unit": "y",
    }
    assert data["figures"]["x"] == [None, 1.0]
    assert math.isnan(Evaluation.from_json(data).metrics["rmse"].low)


def test_the_summary_is_a_table_with_a_line_each_metric(numbers: Evaluation) -> None:
    lines = numbers.summary("price").splitlines()
    assert lines[0].startswith("price, 30 rows")
    assert lines[0].split()[-4:] == ["95", "%", "interval", "trivial"]
    assert [line.split()[0] for line in lines[1:]] == list(numbers.metrics)
    end = lines[0].index("value") + len("value")
    assert [line[:end].split()[-1] for line in lines[1:]] == [written(m.value) for m in numbers.metrics.values()]
    assert numbers.summary().startswith("held out, 30 rows")


def test_numbers_are_written_with_the_digits_that_are_of_use() -> None:
    given = {0.12345: "0.1235", 12.345: "12.35", 123456.7: "123,457", 1e-5: "1e-05", 1e12: "1e+12", 0.0: "0.0000"}
    assert {value: written(value) for value in given} == given
    assert written(math.nan) == written(None) == "–"


@pytest.mark.parametrize(
    "data", [{}, {"metrics": 3}, {"kind": "number", "rows": 1, "metrics": {"rmse": {"value": 1}}, "figures": {}}]
)
def test_what_is_no_evaluation_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(DataError, match="no evaluation"):
        Evaluation.from_json(data)


def test_a_domain_without_metrics_is_named() -> None:
    with pytest.raises(SchemaError, match="No metrics are known for a 'date' y"):
        evaluate(Date(), np.zeros(2), Normal(torch.zeros(2), 1.0))


def test_notes_are_lines_of_the_summary():
    metric = Metric(1.0, 0.9, 1.1, 2.0, False)
    told = Evaluation("samples", 9, {"absolute error": metric}, {"notes": ["beside it stands another"]}, [])
    assert "beside it stands another" in told.summary().splitlines()
