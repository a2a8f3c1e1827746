"""Novelty: p-values that are uniform for rows like the others, powers against rows that are not, and exact edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from trine.evaluation.novelty import NoveltyDetector, conformal_p, describe, verdict


def rows(n: int, seed: int, broken: bool = False) -> tuple[Tensor, Tensor]:
    """States of which the last six are a linear function of the first six, and a representation on a cone around one direction."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(n, 6, generator=generator)
    mix = torch.randn(6, 6, generator=torch.Generator().manual_seed(99))
    last = first[torch.randperm(n, generator=generator)] if broken else first
    z = torch.randn(n, 8, generator=generator) * 0.3
    z[:, 0] += 1.0
    return torch.cat([first, last @ mix], dim=1), z


def fitted(seed: int = 0, held: int = 400) -> NoveltyDetector:
    return NoveltyDetector.fit(*rows(1500, 10 + seed), rows(held, 1000 + seed), seed=seed)


def test_a_p_value_counts_calibration_rows_at_least_as_far_off() -> None:
    p = conformal_p(np.array([0.0, 1.0, 2.5, 9.0]), np.array([3.0, 1.0, 2.0]))
    assert p == pytest.approx([1.0, 1.0, 0.5, 0.25])


def test_p_values_of_rows_like_the_others_are_uniform() -> None:
    # Over calibration sets: p is then uniform on the multiples of 1/(m + 1), and rows of one set are few against m.
    found = np.concatenate([fitted(seed, 299).assess(*rows(20, 5000 + seed)).p for seed in range(25)])
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert (found <= 0.1).mean() == pytest.approx(0.1, abs=0.035)


def test_training_rows_and_new_rows_have_scores_of_one_distribution() -> None:
    detector = fitted()
    assert stats.ks_2samp(detector.calibration, detector.assess(*rows(500, 77)).score).pvalue > 0.01


def test_a_broken_dependence_is_seen_although_each_coordinate_alone_is_as_ever() -> None:
    detector = fitted()
    states, z = rows(300, 5, broken=True)
    assert stats.ks_2samp(states[:, 7].numpy(), rows(300, 6)[0][:, 7].numpy()).pvalue > 0.01
    found = detector.assess(states, z)
    assert found.flagged.mean() > 0.95
    assert detector.assess(*rows(300, 6)).flagged.mean() < 0.05


def test_a_direction_of_z_that_training_never_had_is_seen() -> None:
    detector = fitted()
    states, z = rows(200, 5)
    assert detector.assess(states, -z).flagged.mean() > 0.9


def test_no_p_value_is_below_its_least_and_few_rows_flag_only_what_lies_beyond_all() -> None:
    detector = NoveltyDetector.fit(*rows(200, 1), rows(19, 2))
    found = detector.assess(rows(50, 3)[0] * 40, rows(50, 3)[1])
    assert detector.level == pytest.approx(1 / 20)
    assert found.p.min() == pytest.approx(1 / 20)
    assert found.flagged.all()
    inside = detector.assess(rows(50, 3)[0] * 0.0 + detector.tensors["centre"], rows(50, 1)[1])
    assert not inside.flagged.any()


def test_the_threshold_parts_flagged_from_other_rows() -> None:
    detector = fitted()
    found = detector.assess(*(torch.cat(pair) for pair in zip(rows(300, 5, broken=True), rows(300, 6), strict=True)))
    assert (found.flagged == (found.score >= detector.threshold)).all()


def test_rows_with_nothing_known_are_flagged_unless_training_had_such() -> None:
    states, z = rows(6, 8)
    unknown = torch.tensor([True, False, True, False, False, False])
    found = fitted().assess(states, z, unknown)
    assert found.flagged[[0, 2]].all()
    assert found.p[0] == pytest.approx(1 / (fitted().rows + 1))
    had = NoveltyDetector.fit(*rows(1500, 10), rows(400, 1000), blank=True)
    assert (had.assess(states, z, unknown).score == had.assess(states, z).score).all()


def test_states_that_are_no_numbers_are_flagged_and_have_finite_scores() -> None:
    states, z = rows(3, 8)
    states[0], states[1, 3] = torch.nan, torch.inf
    found = fitted().assess(states, z)
    assert np.isfinite(found.score).all()
    assert found.flagged.tolist()[:2] == [True, True]


@pytest.mark.parametrize("n", [2, 3, 12])
def test_without_other_rows_training_rows_are_scored_by_detectors_that_did_not_have_them(n: int) -> None:
    detector = NoveltyDetector.fit(*rows(n, 1), None)
    assert detector.rows == n
    assert not detector.tensors["held_out"]
    assert np.isfinite(detector.assess(*rows(9, 2)).score).all()


def test_the_same_seed_draws_the_same_and_torch_s_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    first, second = fitted(3), fitted(3)
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_detector_is_its_tensors_and_one_that_lacks_some_is_refused() -> None:
    detector = fitted()
    again = NoveltyDetector.restored(detector.tensors)
    assert (again.scores(*rows(20, 4)) == detector.scores(*rows(20, 4))).all()
    with pytest.raises(KeyError, match="bank"):
        NoveltyDetector.restored({k: v for k, v in detector.tensors.items() if k != "bank"})
    with pytest.raises(ValueError, match="whiten"):
        NoveltyDetector.restored({**detector.tensors, "whiten": torch.zeros(3, 3)})


def test_what_is_told_of_rows_and_when_it_is_said() -> None:
    detector = fitted()
    like, unlike = detector.assess(*rows(300, 6)), detector.assess(*rows(300, 5, broken=True))
    told = describe(detector, unlike, np.arange(101, 401))
    assert told["flagged"] == unlike.flagged.sum()
    assert sum(told["share"]) == pytest.approx(1.0)
    assert sum(told["calibration"]) == pytest.approx(1.0)
    assert len(told["farthest"]) == 12
    assert told["farthest"][0]["row"] == 101 + unlike.score.argmax()
    assert verdict(told) == f"{told['flagged']} of 300 rows are unlike the training data (p ≤ 0.01)"
    assert verdict(describe(detector, like, np.arange(300))) is None
