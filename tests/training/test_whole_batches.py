"""What compares the rows of a batch with one another compares those of all processes: together they reach what one reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.together import fitted, together

DIGITS = (load_digits().images * 15).astype(np.uint8)
NAMES = load_digits().target.astype(str)
# Plain steps: what an adaptive step makes of a gradient near zero is rounding.
PLAIN: dict[str, Any] = {"optimiser": "sgd", "batch_size": 8, "epochs": 2}
PAIRS = {"method": "conditional_gan", "channels": 4, "step_size": 1e-3}
PILES = {"method": "unpaired", "other": 255 - DIGITS[32:64], "channels": 4, "layers": 1, "step_size": 1e-3}


def farthest(one: dict[str, torch.Tensor], several: list[dict[str, torch.Tensor]]) -> float:
    """The largest difference of any number on any rank from that of one process."""
    assert all(found.keys() == one.keys() for found in several)
    return max(float((found[name].double() - one[name].double()).abs().max()) for found in several for name in one)


def test_several_have_one_pool_of_past_samples_and_go_on_with_it(tmp_path: Path) -> None:
    how = {**PLAIN, **PILES, "history": 10}
    one = fitted(DIGITS[:32], **how)
    assert int(one["critic.terms.0.divergence.count"]) == 10
    two = together(2, fitted, DIGITS[:32], str(tmp_path / "run"), stopped=6, **how)
    assert farthest(one, two) < 1e-5


PLACES = {"negative": 255 - DIGITS[:32], "digit": DIGITS[:32]}
KINDS = {"name": NAMES[:32], "digit": DIGITS[:32]}
OF_KINDS = {"domains": {"name": "category"}, "critic_augment": 0.0, "noise": 1, "diversity": 2.0, "step_size": 0.05}


@pytest.mark.parametrize(
    ("table", "how", "count"),
    [
        (PLACES, {**PAIRS, "y": "digit", "x": ["negative"]}, 2),
        (KINDS, {**PAIRS, "y": "digit", **OF_KINDS}, 3),
    ],
    ids=["pictures given pictures, by two", "pictures given kinds, by three"],
)
def test_several_make_the_rows_twice_that_one_makes_twice(
    table: dict[str, Any], how: dict[str, Any], count: int
) -> None:
    one = fitted(table, **PLAIN, **how)
    assert abs(one["loss.diversity"]) > 1e-3
    assert farthest(one, together(count, fitted, table, **PLAIN, **how)) < 1e-4


def test_several_contrast_the_places_that_one_contrasts() -> None:
    how = {**PLAIN, **PILES, "content": "contrast", "history": 0}
    assert farthest(fitted(DIGITS[:32], **how), together(2, fitted, DIGITS[:32], **how)) < 1e-5
