"""Metrics of a categorical y: scikit-learn's values on the same rows, and the cases at the edges."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch.distributions import Bernoulli, Categorical

from trine.domains import Category
from trine.errors import DataError
from trine.evaluation import CATEGORY_METRICS, Evaluation, evaluate
from trine.evaluation._curves import calibration
from trine.rules import OrderedCategorical


def category(k: int, *, ordered: bool = False) -> Category:
    labels = tuple(f"class {i:04d}" for i in range(k))
    return Category(labels=labels, ordered=ordered, dtype="object", shares=(1 / k,) * k)


def made_up(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, k) and codes (n,) drawn from them: calibrated, and neither good nor useless."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.5), n)
    return p, np.array([rng.choice(k, p=row) for row in p])


def scored(p: np.ndarray, truth: np.ndarray, **more: object) -> Evaluation:
    domain = category(p.shape[1])
    labels = np.array(domain.labels, dtype=object)
    return evaluate(domain, labels[truth], Categorical(probs=torch.from_numpy(p)), **more)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 4])
def test_values_are_those_of_scikit_learn(k: int, weighted: bool) -> None:
    p, truth = made_up(300, k)
    w = np.random.default_rng(1).integers(1, 5, 300).astype(np.float64) if weighted else None
    predicted = p.argmax(1)
    expected = {
        "accuracy": reference.accuracy_score(truth, predicted, sample_weight=w),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, predicted, sample_weight=w),
        "log_loss": reference.log_loss(truth, p, sample_weight=w, labels=range(k)),
        "macro_f1": reference.f1_score(truth, predicted, average="macro", sample_weight=w),
        "auc": (
            reference.roc_auc_score(truth, p[:, 1], sample_weight=w)
            if k == 2
            else np.mean([reference.roc_auc_score(truth == c, p[:, c], sample_weight=w) for c in range(k)])
        ),
        "brier": (
            np.average((p[:, 1] - truth) ** 2, weights=w)
            if k == 2
            else np.average(((p - np.eye(k)[truth]) ** 2).sum(1), weights=w)
        ),
    }
    found = scored(p, truth, weight=w).metrics
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-6), name
        assert found[name].low <= found[name].value <= found[name].high, name


def test_a_weight_of_two_is_a_row_twice() -> None:
    p, truth = made_up(80, 3)
    twice = np.repeat(np.arange(80), np.where(np.arange(80) < 40, 2, 1))
    weighted = scored(p, truth, weight=np.where(np.arange(80) < 40, 2.0, 1.0)).metrics
    repeated = scored(p[twice], truth[twice]).metrics
    for name, metric in weighted.items():
        assert metric.value == pytest.approx(repeated[name].value, rel=1e-9), name


def test_the_baseline_is_the_training_rows_majority_class_and_shares() -> None:
    p, _ = made_up(100, 3)
    truth = np.repeat([0, 1, 2], [50, 30, 20])
    labels = np.array(category(3).labels, dtype=object)
    marginal = np.repeat(labels, [10, 60, 30])
    found = scored(p, truth, marginal=marginal).metrics
    assert found["accuracy"].baseline == pytest.approx(0.3)
    assert found["balanced_accuracy"].baseline == pytest.approx(1 / 3)
    assert found["log_loss"].baseline == pytest.approx(-np.log([0.1, 0.6, 0.3]) @ [0.5, 0.3, 0.2])
    assert found["auc"].baseline == pytest.approx(0.5)
    assert all(metric.baseline is None for metric in scored(p, truth).metrics.values())


def test_what_is_certain_and_wrong_leads_the_mistakes() -> None:
    p = np.array([[0.9, 0.1], [0.001, 0.999], [0.2, 0.8], [0.6, 0.4]])
    found = scored(p, np.array([0, 0, 1, 1]), rows=np.array([11, 12, 13, 14])).mistakes
    assert [mistake["row"] for mistake in found] == [12, 14]
    assert found[0]["truth"] == "class 0000"
    assert found[0]["prediction"] == "class 0001"
    assert found[0]["confidence"] == pytest.approx(0.999)
    assert found[0]["likelihood"] == pytest.approx(0.001)
    assert len(scored(*_all_wrong(60)).mistakes) == 24


def _all_wrong(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.tile([0.8, 0.2], (n, 1)), np.ones(n, dtype=np.int64)


def test_what_is_drawn_counts_every_row() -> None:
    p, truth = made_up(400, 2)
    drawn = scored(p, truth).figures
    counts = np.array(drawn["confusion"]["counts"])
    np.testing.assert_array_equal(counts, reference.confusion_matrix(truth, p.argmax(1)))
    assert sum(drawn["calibration"]["count"]) == 400
    false, true, _ = reference.roc_curve(truth, p[:, 1])
    shown = np.interp(drawn["roc"]["false"], false, true)
    assert np.abs(np.sort(shown) - shown).max() == 0
    assert (drawn["roc"]["false"][0], drawn["roc"]["true"][-1]) == (0.0, 1.0)
    for low, right, high in zip(*(drawn["calibration"][key] for key in ("low", "right", "high")), strict=True):
        assert 0 <= low <= right <= high <= 1


def test_calibration_error_tells_honest_from_boastful() -> None:
    p, truth = made_up(4000, 3)
    boast = p**4 / (p**4).sum(1, keepdims=True)
    honest, boastful = scored(p, truth).metrics, scored(boast, truth).metrics
    assert honest["calibration_error"].value < 0.03
    assert boastful["calibration_error"].value > 0.1
    assert honest["accuracy"].value == boastful["accuracy"].value


def test_ordered_classes_are_scored_by_how_far_off_they_are() -> None:
    domain = category(3, ordered=True)
    y = np.array(domain.labels, dtype=object)[[0, 0]]
    near = OrderedCategorical(probs=torch.tensor([[0.0, 1.0, 0.0]] * 2))
    far = OrderedCategorical(probs=torch.tensor([[0.0, 0.0, 1.0]] * 2))
    assert evaluate(domain, y, near).metrics["ranked_probability_score"].value == pytest.approx(0.5)
    assert evaluate(domain, y, far).metrics["ranked_probability_score"].value == pytest.approx(1.0)
    assert "ranked_probability_score" not in scored(*made_up(10, 3)).metrics


@pytest.mark.parametrize("given", ["categorical", "bernoulli", "tensor", "array"])
def test_probabilities_are_read_from_what_holds_them(given: str) -> None:
    p, truth = made_up(50, 2)
    one = torch.from_numpy(p[:, 1])
    forms = {
        "categorical": Categorical(logits=torch.from_numpy(np.log(p))),
        "bernoulli": Bernoulli(probs=one),
        "tensor": torch.from_numpy(p),
        "array": p,
    }
    domain = category(2)
    y = np.array(domain.labels, dtype=object)[truth]
    assert evaluate(domain, y, forms[given]).metrics["log_loss"].value == pytest.approx(
        reference.log_loss(truth, p, labels=[0, 1])
    )


def test_labels_may_be_numbers_or_truth_values() -> None:
    p, truth = made_up(50, 2)
    for labels, dtype in (((3, 7), "int64"), ((False, True), "bool")):
        domain = Category(labels=labels, dtype=dtype, shares=(0.5, 0.5))
        found = evaluate(domain, domain.decode(truth), torch.from_numpy(p))
        assert found.metrics["accuracy"].value == pytest.approx((p.argmax(1) == truth).mean())
        assert found.figures["labels"] == [str(label) for label in labels]


def test_a_class_that_training_never_saw_is_counted_not_scored() -> None:
    domain = category(2)
    found = evaluate(domain, np.array(["class 0000", "new", "class 0001"], dtype=object), np.eye(2)[[0, 0, 1]])
    assert found.rows == 2
    assert found.figures["unknown_classes"] == 1
    assert found.metrics["accuracy"].value == 1.0
    assert found.summary().endswith("not scored: 1 row of a class that training never saw")


def test_a_class_that_does_not_occur_hurts_nothing() -> None:
    p, _ = made_up(40, 3)
    truth = np.arange(40) % 2
    found = scored(p, truth).metrics
    recall = reference.recall_score(truth, p.argmax(1), labels=[0, 1], average="macro")
    assert found["balanced_accuracy"].value == pytest.approx(recall)
    assert 0 < found["auc"].value < 1


def test_one_row_and_one_class_have_values_without_intervals() -> None:
    found = scored(np.array([[0.3, 0.7]]), np.array([1]))
    assert found.metrics["accuracy"].value == 1.0
    assert np.isnan(found.metrics["accuracy"].low)
    assert "auc" not in found.metrics
    assert "1 row " in found.summary()
    only = scored(np.array([[0.3, 0.7]] * 5), np.ones(5, dtype=np.int64))
    assert only.metrics["log_loss"].value == pytest.approx(-np.log(0.7))
    assert "roc" not in only.figures


def test_no_rows_give_no_metrics() -> None:
    found = scored(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))
    assert (found.rows, found.metrics, found.mistakes) == (0, {}, [])
    assert "0 rows" in found.summary()


def test_a_thousand_classes_and_sixty_thousand_rows_take_seconds() -> None:
    rng = np.random.default_rng(0)
    many, truth = rng.dirichlet(np.ones(1000), 3000), rng.integers(0, 1000, 3000)
    started = time.perf_counter()
    found = scored(many, truth)
    p = rng.dirichlet(np.ones(10), 60_000)
    large = scored(p, rng.integers(0, 10, 60_000))
    assert time.perf_counter() - started < 20
    assert len(found.figures["confusion"]["labels"]) == 60
    assert found.figures["confusion"]["classes"] == 1000
    assert large.metrics["accuracy"].high - large.metrics["accuracy"].low == pytest.approx(
        2 * 1.96 * np.sqrt(0.1 * 0.9 / 60_000), rel=0.15
    )


def test_every_metric_is_named() -> None:
    p, truth = made_up(60, 3)
    domain = category(3, ordered=True)
    found = evaluate(domain, np.array(domain.labels, dtype=object)[truth], torch.from_numpy(p))
    assert tuple(found.metrics) == tuple(name for name in CATEGORY_METRICS if not name.startswith("top_"))
    p, truth = made_up(600, 100)
    many = evaluate(category(100), np.array(category(100).labels, dtype=object)[truth], torch.from_numpy(p))
    assert set(CATEGORY_METRICS) - {"ranked_probability_score"} == set(many.metrics)


def test_rows_and_predictions_must_match() -> None:
    domain = category(2)
    with pytest.raises(DataError, match="3 values of y and 2 predictions"):
        evaluate(domain, np.array(["class 0000"] * 3, dtype=object), np.eye(2))
    with pytest.raises(DataError, match="shape"):
        evaluate(domain, np.array(["class 0000"] * 2, dtype=object), np.ones(2))


def test_points_of_the_calibration_curve_have_rows_to_stand_on() -> None:
    rng = np.random.default_rng(0)
    one = rng.beta(0.3, 0.3, 90)
    drawn = calibration(np.stack([1 - one, one], axis=1), (rng.random(90) < one).astype(int), ["no", "yes"])
    assert min(drawn["count"]) >= 10
    assert sum(drawn["count"]) == sum(drawn["histogram"]) == 90
    assert drawn["confidence"] == sorted(drawn["confidence"])
    few = calibration(np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([1, 0]), ["no", "yes"])
    assert few["count"] == [2], "all rows there are make one point"
    assert few["confidence"] == pytest.approx([0.45])
