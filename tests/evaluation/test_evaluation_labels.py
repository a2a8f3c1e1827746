"""Metrics of sets against scikit-learn's, and against counting."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch.distributions import Bernoulli, Independent

from trine.domains import Labels
from trine.evaluation import LABEL_METRICS, evaluate


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=(400, 5))
    truth = rng.uniform(size=p.shape) < 0.7 * p
    return Labels(labels=tuple("abcde"), separator=";"), truth, p


def test_metrics_are_those_of_scikit_learn(case):
    domain, truth, p = case
    q = Independent(Bernoulli(probs=torch.from_numpy(p)), 1)
    found = evaluate(domain, domain.decode(truth), q, marginal=domain.decode(truth[:100]))
    predicted = p > 0.5
    expected = {
        "exact_match": metrics.accuracy_score(truth, predicted),
        "micro_f1": metrics.f1_score(truth, predicted, average="micro"),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro"),
        "hamming_loss": metrics.hamming_loss(truth, predicted),
        "log_loss": sum(metrics.log_loss(truth[:, i], p[:, i]) for i in range(5)),
        "macro_auc": metrics.roc_auc_score(truth, p, average="macro"),
    }
    assert tuple(found.metrics) == LABEL_METRICS
    for name, value in expected.items():
        metric = found.metrics[name]
        assert metric.value == pytest.approx(value, abs=1e-6), name
        assert metric.low < value < metric.high, name
    share = np.broadcast_to(truth[:100].mean(axis=0), truth.shape)
    assert found.metrics["hamming_loss"].baseline == pytest.approx(metrics.hamming_loss(truth, share > 0.5))
    assert found.metrics["macro_auc"].baseline == 0.5
    assert [row["rows"] for row in found.figures["classes"]] == truth.sum(axis=0).tolist()
    for i, row in enumerate(found.figures["classes"]):
        assert row["auc"] == pytest.approx(metrics.roc_auc_score(truth[:, i], p[:, i]))


def test_arrays_serve_as_texts_do_and_an_empty_set_is_a_truth(case):
    domain, truth, p = case
    truth[:3] = False
    by_array, by_text = evaluate(domain, truth, p), evaluate(domain, domain.decode(truth), p)
    assert by_array.to_json() == by_text.to_json()


def test_the_interval_of_the_mean_area_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    domain = Labels(labels=("a", "b"), separator=";")
    covered = 0
    # Scores of two normals one apart: the area is Φ(1/√2).
    area = 0.7602
    for seed in range(60):
        truth = rng.uniform(size=(300, 2)) < 0.4
        score = rng.normal(size=truth.shape) + truth
        metric = evaluate(domain, truth, 1 / (1 + np.exp(-score)), seed=seed).metrics["macro_auc"]
        covered += metric.low < area < metric.high
    assert covered >= 51  # of 60 at 95 %: fewer than 51 once in 4,000 times


def test_the_worst_mistake_is_the_row_held_least_likely():
    domain = Labels(labels=("a", "b"), separator=";")
    truth = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    p = np.array([[0.9, 0.1], [0.99, 0.01], [0.9, 0.4], [0.2, 0.2]])
    mistakes = evaluate(domain, truth, p).mistakes
    assert [mistake["row"] for mistake in mistakes] == [2, 3]
    assert mistakes[0]["truth"] == "b"
    assert mistakes[0]["prediction"] == "a"
    assert mistakes[0]["likelihood"] == pytest.approx(1e-4)
