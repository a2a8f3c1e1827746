"""What a schedule refuses, however it is built: by name through Descent, or as an object."""

from __future__ import annotations

import math

import pytest

from trine.errors import ChoiceError
from trine.procedures import Cosine, OneCycle, RobbinsMonro, schedules


@pytest.mark.parametrize("name", ["constant", "robbins-monro", "cosine", "onecycle"])
@pytest.mark.parametrize("peak", [0.0, -1.0, math.inf, math.nan])
def test_a_peak_that_is_not_positive_and_finite_is_refused(name: str, peak: float) -> None:
    with pytest.raises(ChoiceError, match="peak"):
        schedules[name](peak)


@pytest.mark.parametrize("kind", [Cosine, OneCycle])
@pytest.mark.parametrize("warmup", [-0.1, 1.0, 1.5, math.nan])
def test_a_warm_up_that_is_no_share_is_refused(kind: type[Cosine] | type[OneCycle], warmup: float) -> None:
    with pytest.raises(ChoiceError, match="warm-up"):
        kind(0.1, warmup)


def test_robbins_monro_refuses_what_is_no_number_and_an_offset_below_one() -> None:
    with pytest.raises(ChoiceError, match="γ"):
        RobbinsMonro(0.1, math.nan)
    for offset in (0.5, math.nan, math.inf):
        with pytest.raises(ChoiceError, match="offset"):
            RobbinsMonro(0.1, 0.75, offset)
