"""Metrics of texts: distances by the table of Wagner and Fischer, perplexity by hand."""

import math
import random

import numpy as np
import pytest

from trine.domains import Column, Text
from trine.evaluation import TEXT_METRICS, evaluate
from trine.evaluation.texts import edit_distance


def _table(a, b):
    """Levenshtein's distance, by the definition."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


def test_edit_distance_is_that_of_the_table():
    draw = random.Random(0)
    for _ in range(500):
        a, b = ("".join(draw.choice("abc") for _ in range(draw.randint(0, 90))) for _ in range(2))
        assert edit_distance(a, b) == _table(a, b)
    assert edit_distance("kitten", "sitting") == 3


@pytest.fixture
def domain():
    levels = np.array(["abc", "ab", "c"], dtype=object)
    return Text(unit="characters", strict=True).fit(Column("y", np.array([0, 1, 1, 2], dtype=np.int32), levels))


def test_metrics_by_hand(domain):
    truth = np.array(["abc", "ab", "c"], dtype=object)
    q = {
        "text": np.array(["abc", "abb", "a"], dtype=object),
        "log_prob": np.log([0.9, 0.5, 0.4]),
        "lost": np.array([0.1, 2.0, 1.5]),
        "tokens": np.array([4, 3, 2]),
    }
    found = evaluate(domain, truth, q, marginal=np.array(["abc", "ab", "ab", "c"], dtype=object))
    assert tuple(found.metrics) == TEXT_METRICS
    value = {name: metric.value for name, metric in found.metrics.items()}
    assert value["exact_match"] == pytest.approx(1 / 3)
    assert value["token_accuracy"] == pytest.approx(5 / 7)
    assert value["edit_distance"] == pytest.approx((0 + 1 / 3 + 1) / 3)
    assert value["nll"] == pytest.approx(1.2)
    assert value["perplexity"] == pytest.approx(math.exp(3.6 / 9))
    assert value["bits_per_character"] == pytest.approx(3.6 / math.log(2) / 9)
    # "ab" is the most frequent; tokens: a 3, b 3, c 2 and 4 ends of 12, one added to each of 6 codes.
    baseline = {name: metric.baseline for name, metric in found.metrics.items()}
    assert baseline["exact_match"] == pytest.approx(1 / 3)
    p = {"a": 4 / 18, "b": 4 / 18, "c": 3 / 18, "end": 5 / 18}
    lost = -sum(math.log(p[c]) for c in "abcabc") - 3 * math.log(p["end"])
    assert baseline["nll"] == pytest.approx(lost / 3)
    assert [mistake["row"] for mistake in found.mistakes] == [2, 3]
    assert found.mistakes[0]["likelihood"] == pytest.approx(math.exp(-2.0))


def test_no_row_is_no_metric(domain):
    q = {"text": np.zeros(0, dtype=object), "log_prob": np.zeros(0), "lost": np.zeros(0), "tokens": np.zeros(0)}
    assert evaluate(domain, np.zeros(0, dtype=object), q).metrics == {}
