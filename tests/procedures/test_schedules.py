"""Step sizes: closed forms, bounds, and the two conditions of Robbins and Monro."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.errors import ChoiceError
from trine.procedures import Constant, Cosine, OneCycle, RobbinsMonro, schedules


def test_constant_is_constant() -> None:
    assert {Constant(0.3)(t, 100) for t in range(100)} == {0.3}


@pytest.mark.parametrize(("exponent", "offset"), [(0.75, 100.0), (1.0, 1.0), (0.51, 10.0)])
def test_robbins_monro_is_its_formula_and_starts_at_the_peak(exponent: float, offset: float) -> None:
    schedule = RobbinsMonro(0.2, exponent=exponent, offset=offset)
    a = 0.2 * offset**exponent
    assert schedule(0, 1) == pytest.approx(0.2)
    assert [schedule(t, 1) for t in (1, 7, 1000)] == pytest.approx([a / (offset + t) ** exponent for t in (1, 7, 1000)])


def test_robbins_monro_s_sums_grow_and_stay_as_the_conditions_say() -> None:
    """Σα_t is at least the integral of α, which has no bound; Σα_t² is at most its first term and the integral of α²."""
    gamma, offset, steps = 0.75, 10.0, 20_000
    sizes = [RobbinsMonro(1.0, exponent=gamma, offset=offset)(t, 1) for t in range(steps)]
    a = offset**gamma
    assert sum(sizes) >= a * ((offset + steps) ** (1 - gamma) - offset ** (1 - gamma)) / (1 - gamma)
    assert sum(size**2 for size in sizes) <= 1.0 + a**2 * offset ** (1 - 2 * gamma) / (2 * gamma - 1)


@pytest.mark.parametrize(
    ("exponent", "failing"),
    [(1.01, "Σ α_t finite"), (2.0, "Σ α_t finite"), (0.5, "Σ α_t² infinite"), (0.0, "Σ α_t² infinite")],
)
def test_robbins_monro_refuses_what_breaks_a_condition_and_names_it(exponent: float, failing: str) -> None:
    with pytest.raises(ChoiceError, match=failing.replace("²", ".")):
        RobbinsMonro(0.1, exponent=exponent)
    with pytest.raises(ChoiceError, match="offset"):
        RobbinsMonro(0.1, offset=0.5)


def test_robbins_monro_says_that_its_conditions_hold() -> None:
    assert "Σ α_t = ∞ and Σ α_t² < ∞" in RobbinsMonro(0.1).describe()


def test_cosine_warms_up_linearly_and_falls_as_half_a_cosine() -> None:
    schedule, total = Cosine(1.0, warmup=0.1), 1000
    rises = [schedule(t, total) for t in range(100)]
    assert [b - a for a, b in itertools.pairwise(rises)] == pytest.approx([1 / 101] * 99)
    for t in (100, 325, 550, 775, 999):
        assert schedule(t, total) == pytest.approx(0.5 * (1 + math.cos(math.pi * (t - 100 + 0.5) / 900)))


def test_one_cycle_is_highest_a_quarter_through() -> None:
    sizes = [OneCycle(2.0)(t, 400) for t in range(400)]
    assert abs(sizes.index(max(sizes)) - 100) <= 1
    assert max(sizes) == pytest.approx(2.0, rel=1e-3)
    assert sizes[-1] < 1e-4


@given(
    name=st.sampled_from(["constant", "robbins-monro", "cosine", "onecycle"]),
    total=st.integers(1, 5000),
    place=st.floats(0, 1, exclude_max=True),
    peak=st.floats(1e-6, 10),
)
def test_no_step_is_idle_and_none_is_above_the_peak(name: str, total: int, place: float, peak: float) -> None:
    size = schedules[name](peak)(int(place * total), total)
    assert 0 < size <= peak * (1 + 1e-12)
