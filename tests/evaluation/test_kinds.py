"""Types among objects, and their scores, on sets whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from trine.errors import DataError
from trine.evaluation.kinds import apart, clusters, kinds, letters, objectness, out_of_class, plane, reduced


def blobs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(count), 30)
    corners = (np.arange(count)[:, None] >> np.arange(6)) % 2  # of a cube
    return 10.0 * corners[which] + rng.normal(size=(len(which), 6)), which


@pytest.mark.parametrize("count", [2, 5, 9])
def test_the_types_of_a_set_of_clusters_are_its_clusters(count: int) -> None:
    x, which = blobs(count)
    found = clusters(x, seed=1, most=15)
    assert found.count == count
    for c in range(count):
        assert len(np.unique(found.assigned[which == c])) == 1
    assert min(found.coherence) > 0.5


def test_where_no_number_of_groups_is_marked_types_are_dense_places_that_hold_together() -> None:
    rng = np.random.default_rng(0)
    cores = rng.normal(size=(6, 12))
    x = np.concatenate([rng.normal(size=(160, 12)), *(core + 0.15 * rng.normal(size=(12, 12)) for core in cores)])
    found = clusters(x, seed=0, most=20)
    assert max(found.silhouettes.values()) < 0.25
    assert (found.assigned == -1).any()
    assert all(value > 0 for value in found.coherence)
    whose = np.repeat(np.arange(-1, 6), [160, *[12] * 6])
    assert (found.assigned[whose >= 0] >= 0).mean() > 0.8
    for i in range(found.count):  # no type spans two dense places
        assert len(np.unique(whose[(found.assigned == i) & (whose >= 0)])) <= 1


def test_sizes_fall_small_types_are_none_and_rows_that_are_one_point_are_one_type() -> None:
    x = np.concatenate(
        [np.zeros((9, 3)), 50 + 0.01 * np.random.default_rng(0).normal(size=(12, 3)), np.full((2, 3), -50.0)]
    )
    found = clusters(x, least=3)
    assert np.bincount(found.assigned[found.assigned >= 0]).tolist() == [12, 9]
    assert (found.assigned[-2:] == -1).all()
    assert clusters(np.ones((5, 2))).count == 1
    with pytest.raises(DataError, match="finite"):
        clusters(np.full((3, 2), np.nan))


def test_distance_from_a_class_is_in_units_of_the_class_own_spacing() -> None:
    known = np.concatenate([np.arange(20.0), 100 + 5 * np.arange(20.0)])[:, None]
    classes = np.repeat([0, 1], 20)
    found = apart(np.array([[-3.0], [85.0], [7.0]]), known, classes, 3)
    assert found[:, 0].tolist() == [3.0, 66.0, 0.0]
    assert found[:, 1].tolist() == pytest.approx([20.6, 3.0, 18.6])
    assert np.isnan(found[:, 2]).all()


def test_rows_that_come_again_do_not_make_a_spacing_of_nothing() -> None:
    """Of tables of few categories nearly every row is there twice."""
    known = np.repeat([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0]], [50, 1, 30], axis=0)
    noisy = known + 1e-12 * np.random.default_rng(0).normal(size=known.shape)  # as principal components give them
    x = np.array([[0.0, -3.0], [2.0, 2.0], [0.0, 0.0]])
    for rows in (known, noisy):
        assert apart(x, rows, np.zeros(81, dtype=np.int64), 1)[:, 0] == pytest.approx([1.5, 1.0, 0.0], abs=1e-9)
    assert np.isnan(apart(x, known[:50], np.zeros(50, dtype=np.int64), 1)).all()
    made = kinds(x[:2], clusters(x[:2], least=1), np.full((2, 1), np.nan), ["a"])
    assert made[0].nearest is None
    assert np.isnan(made[0].distance)
    assert made[0].from_json(json.loads(json.dumps(made[0].to_json(), allow_nan=False))) == made[0]


def test_objectness_is_one_where_all_are_alike_and_the_number_of_classes_where_each_is_sure() -> None:
    assert objectness(np.full((8, 4), 0.25)) == pytest.approx(1.0)
    assert objectness(np.eye(4)) == pytest.approx(4.0, rel=1e-6)
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    expected = np.exp(np.mean([np.sum(row * np.log(row / p.mean(0))) for row in p]))
    assert objectness(p) == pytest.approx(expected)


def test_out_of_class_counts_rows_that_are_surely_of_new_classes() -> None:
    p = np.array([[0.02, 0.5, 0.48], [0.01, 0.95, 0.04], [0.9, 0.05, 0.05]])
    assert out_of_class(p, [1, 2]) == {"count": pytest.approx(2 / 3), "max": pytest.approx(1 / 3)}
    assert out_of_class(p, []) == {"count": 0.0, "max": 0.0}


def test_a_type_has_the_scores_of_its_members() -> None:
    x, which = blobs(3)
    found = clusters(x)
    p = np.eye(3)[which]
    made = kinds(x, found, np.abs(x[:, :2]) + 1, ["a", "b"], p, ["0", "1", "2"], [2])
    assert [kind.name for kind in made] == ["A", "B", "C"]
    for kind in made:
        own = which[list(kind.members)]
        assert kind.taken_for == str(own[0])
        assert kind.new == float(own[0] == 2)
        assert kind.distance == min(kind.apart.values())
        assert kind.from_json(kind.to_json()) == kind
    assert letters(0) + letters(25) + letters(26) + letters(27) == "AZAAAB"


def test_the_plane_keeps_neighbours_and_its_ends() -> None:
    x, which = blobs(4)
    known, new = plane(*reduced(x[::2], x[1::2], 0))
    assert known.shape == (60, 2)
    assert 0.0 <= min(known.min(), new.min()) <= max(known.max(), new.max()) <= 1.0
    nearest = ((new[:, None] - known[None]) ** 2).sum(2).argmin(1)
    assert (which[::2][nearest] == which[1::2]).mean() > 0.95


def test_rows_that_are_all_alike_lie_on_one_place_of_the_plane() -> None:
    known, new = plane(np.ones((20, 3)), np.ones((9, 3)))
    assert known.shape == (20, 2)
    assert not np.ptp(np.concatenate([known, new]), axis=0).any()
