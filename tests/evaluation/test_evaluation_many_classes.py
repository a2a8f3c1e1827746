"""Thousands of classes: a few numbers a row give the metrics that all probabilities give."""

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from trine.choices import Choices
from trine.domains import Category
from trine.evaluation import categories, evaluate, reduced
from trine.rules import SoftmaxCategorical


def test_few_numbers_a_row_give_the_same_metrics(monkeypatch):
    rng = np.random.default_rng(0)
    classes, n = 300, 500
    domain = Category(labels=tuple(range(classes)), dtype="int64")
    truth = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 4 * (np.arange(classes) == truth[:, None])
    q = SoftmaxCategorical(torch.from_numpy(logits))
    whole = evaluate(domain, truth, q, marginal=truth[:200])
    monkeypatch.setattr(categories, "MANY", 100)
    parts = reduced(domain, q, torch.from_numpy(truth), Choices())
    assert max(value[0].size for value in parts.values()) == categories.LISTED
    found = evaluate(domain, truth, parts, marginal=truth[:200])
    assert set(whole.metrics) - set(found.metrics) == {"auc"}
    for name, metric in found.metrics.items():
        other = whole.metrics[name]
        assert metric.value == pytest.approx(other.value, rel=1e-9), name
        assert metric.low == pytest.approx(other.low, rel=1e-6), name
        assert metric.baseline == pytest.approx(other.baseline, rel=1e-9) if metric.baseline is not None else True
    assert [m["row"] for m in found.mistakes] == [m["row"] for m in whole.mistakes]
    assert found.figures["confused"] == whole.figures["confused"]
    expected = top_k_accuracy_score(truth, logits, k=5, labels=np.arange(classes))
    assert found.metrics["top_5_accuracy"].value == pytest.approx(expected)
