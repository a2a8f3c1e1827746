"""Scores of samples against closed forms, and what they say of copies and lost modes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from trine.errors import DataError
from trine.evaluation.samples import (
    closest,
    conditional_frechet,
    conditional_frechet_error,
    frechet,
    frechet_error,
    kernel_distance,
    modes,
    support,
)


def rows(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_frechet_is_the_closed_form_of_two_normals() -> None:
    # Rows whose sample mean and covariance are exact: whitened, then mapped.
    def exact(mean: np.ndarray, cov: np.ndarray, seed: int) -> np.ndarray:
        x = rows(500, 3, seed)
        x = x - x.mean(axis=0)
        white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
        return white @ np.linalg.cholesky(cov).T + mean

    a, b = np.diag([1.0, 2.0, 3.0]), np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.5]])
    shift = np.array([1.0, -2.0, 0.5])
    expected = shift @ shift + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet(exact(np.zeros(3), a, 0), exact(shift, b, 1)) == pytest.approx(expected, rel=1e-9)


def test_frechet_is_stable_where_rows_are_fewer_than_features() -> None:
    x = rows(20, 64, 0)
    assert frechet(x, x) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(frechet(x, rows(20, 64, 1)))


def test_frechet_of_few_rows_is_biased_as_said() -> None:
    d, n = 16, 1000
    found = np.mean([frechet(rows(n, d, 2 * i), rows(n, d, 2 * i + 1)) for i in range(20)])
    # Two samples of the same normal: means add 2d/n, covariances ¼ E‖E₁ − E₂‖² = d(d+1)/(2n).
    assert found == pytest.approx(2 * d / n + d * (d + 1) / (2 * n), rel=0.1)


def test_the_error_of_frechet_is_that_of_drawing_again() -> None:
    true = rows(2000, 8, 999)
    made = [1.3 * rows(400, 8, i) + 0.2 for i in range(60)]
    errors = np.array([frechet_error(true, one) for one in made])
    spread = np.std([frechet(true, one) for one in made], ddof=1)
    assert np.sqrt((errors**2).mean()) == pytest.approx(spread, rel=0.35)
    assert frechet_error(true, made[0][:3]) == 0.0


def test_conditional_frechet_is_the_closed_form_of_linear_means() -> None:
    """Of y = B c + e it is E‖(B_a − B_b) c + (m_a − m_b)‖² + Bures of the residuals' covariances."""
    n = 200_000
    c_a, c_b = rows(n, 2, 0), rows(n, 2, 1)
    slopes_a, slopes_b = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]), np.array([[1.0, -0.5, 0.0], [0.3, 1.0, 0.0]])
    left_a, left_b = np.diag([1.0, 0.5, 0.2]), np.array([[0.5, 0.0, 0.0], [0.2, 0.5, 0.0], [0.0, 0.1, 0.4]])
    shift = np.array([0.3, 0.0, -0.2])
    a = c_a @ slopes_a + rows(n, 3, 2) @ left_a.T
    b = c_b @ slopes_b + rows(n, 3, 3) @ left_b.T + shift
    cov_a, cov_b = left_a @ left_a.T, left_b @ left_b.T
    expected = ((slopes_a - slopes_b) ** 2).sum() + shift @ shift
    expected += np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b)))
    assert conditional_frechet(a, c_a, b, c_b) == pytest.approx(expected, rel=0.01)


def test_conditional_frechet_of_no_condition_is_frechet_and_conditions_have_no_scale() -> None:
    a, b, c = rows(300, 5, 0), 1.2 * rows(300, 5, 1) + 0.3, rows(300, 3, 2)
    none = np.zeros((300, 0))
    assert conditional_frechet(a, none, b, none) == pytest.approx(frechet(a, b), rel=1e-9)
    mapped = c @ np.array([[10.0, 0.0, 1.0], [0.0, 0.01, 0.0], [0.0, 0.0, 3.0]]) + 5
    assert conditional_frechet(a, mapped, b, mapped) == pytest.approx(conditional_frechet(a, c, b, c), rel=1e-6)


def test_conditional_frechet_of_few_rows_is_biased_as_said() -> None:
    d, given, n = 16, 10, 1000
    extra = []
    for i in range(20):
        a, b, c = rows(n, d, 3 * i), rows(n, d, 3 * i + 1), rows(n, given, 3 * i + 2)
        extra.append(conditional_frechet(a, c, b, c) - frechet(a, b))
    assert np.mean(extra) == pytest.approx(2 * given * d / n, rel=0.1)
    few = rows(6, 16, 0)
    assert conditional_frechet(few, rows(6, 8, 1), few, rows(6, 8, 1)) == pytest.approx(0.0, abs=1e-6)


def test_the_error_of_conditional_frechet_is_that_of_drawing_again() -> None:
    true, c = rows(2000, 8, 999), rows(2000, 3, 998)
    made = [1.3 * rows(400, 8, i) + 0.2 for i in range(60)]
    errors = np.array([conditional_frechet_error(true, c, one, c[:400]) for one in made])
    spread = np.std([conditional_frechet(true, c, one, c[:400]) for one in made], ddof=1)
    assert np.sqrt((errors**2).mean()) == pytest.approx(spread, rel=0.4)


def test_kernel_distance_has_no_bias_and_an_error_that_covers() -> None:
    values = [kernel_distance(rows(400, 8, 2 * i), rows(400, 8, 2 * i + 1)) for i in range(30)]
    means, errors = np.array([v for v, _ in values]), np.array([e for _, e in values])
    assert abs(means.mean()) < 3 * means.std(ddof=1) / np.sqrt(len(means))
    assert errors.mean() == pytest.approx(means.std(ddof=1), rel=0.5)


def test_support_tells_lost_modes_from_rubbish() -> None:
    true = np.concatenate([rows(200, 2, 0), rows(200, 2, 1) + 20])
    half = rows(400, 2, 2)  # one of two modes
    rubbish = np.concatenate([true[:200] + rows(200, 2, 3) * 0.1, rows(200, 2, 4) + np.array([0, 100])])
    lost, wild, good = (
        support(true, half),
        support(true, rubbish),
        support(true, np.concatenate([half[:200], half[200:] + 20])),
    )
    assert lost.recall < 0.55
    assert lost.coverage < 0.55
    assert lost.precision > 0.9
    assert wild.precision < 0.6
    assert wild.density < 0.7
    assert min(good.precision, good.recall, good.coverage) > 0.9
    assert good.density == pytest.approx(1.0, abs=0.15)


def test_support_of_rows_that_coincide_is_not_rounding() -> None:
    """Rows of categories have equals at distance 0, and |a|² + |b|² − 2 a·b leaves 1e-16 of that, of either sign."""
    rng = np.random.default_rng(0)
    law, turn = [0.3, 0.25, 0.2, 0.1, 0.1, 0.05], np.linalg.qr(rng.normal(size=(6, 6)))[0]
    true, made = (np.eye(6)[rng.choice(6, n, p=law)] @ turn for n in (1500, 900))
    found = support(true, made)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density == pytest.approx(1.0, abs=0.05)
    elsewhere = support(true, np.concatenate([made[:450], made[450:] + 3 * turn[0]]))
    assert elsewhere.precision == 0.5
    assert elsewhere.density == pytest.approx(0.5, abs=0.05)


def test_support_of_rows_without_ties_is_its_definition() -> None:
    true, made = rows(60, 3, 0), 1.3 * rows(50, 3, 1)
    apart, own, others = cdist(made, true), np.sort(cdist(true, true)), np.sort(cdist(made, made))
    found = support(true, made)
    assert found.precision == (apart <= own[:, 3]).any(axis=1).mean()
    assert found.recall == (apart <= others[:, 3, None]).any(axis=0).mean()
    assert found.density == (apart <= own[:, 5]).sum() / (5 * 50)
    assert found.coverage == (apart <= own[:, 5]).any(axis=0).mean()


def test_copies_are_told() -> None:
    train, held = rows(500, 4, 0), rows(300, 4, 1)
    fresh = closest(rows(300, 4, 2), train, held)
    copied = closest(train[:300] + 1e-3, train, held)
    assert fresh.copies < 0.05
    assert fresh.share_nearer == pytest.approx(0.5, abs=0.06)
    assert copied.copies == 1.0
    assert copied.share_nearer > 0.95
    assert (copied.nearest == np.arange(300)).all()


def test_modes_and_their_balance() -> None:
    found = modes(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3]), 4)
    assert found.found == 2
    assert found.reverse_kl == pytest.approx(np.log(2))
    assert modes(np.arange(4), np.arange(4), 4).reverse_kl == pytest.approx(0.0)


def test_a_row_of_a_class_that_no_true_row_is_of_does_not_decide_the_balance() -> None:
    made, true = np.repeat(np.arange(5), [20, 20, 20, 20, 1]), np.repeat(np.arange(4), 20)
    shares, own = np.bincount(made) / 81, np.array([20.5, 20.5, 20.5, 20.5, 0.5]) / 82.5
    found = modes(made, true, 5).reverse_kl
    assert found == pytest.approx((shares * np.log(shares / own)).sum())
    assert found < 0.01


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="one width"):
        frechet(rows(5, 2, 0), rows(5, 3, 0))
    with pytest.raises(DataError, match="2 rows"):
        frechet(rows(1, 2, 0), rows(5, 2, 0))
    with pytest.raises(DataError, match="finite"):
        frechet(np.full((5, 2), np.nan), rows(5, 2, 0))
    with pytest.raises(DataError, match="at least 7"):
        support(rows(5, 2, 0), rows(5, 2, 0))
    with pytest.raises(DataError, match="each row one"):
        conditional_frechet(rows(5, 2, 0), rows(4, 1, 0), rows(5, 2, 0), rows(5, 1, 0))
