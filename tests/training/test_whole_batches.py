"""What compares the rows of a batch with one another compares those of all processes: together they reach what one reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from tests.together import fitted, together

DIGITS = (load_digits().images * 15).astype(np.uint8)
# Plain steps: what an adaptive step makes of a gradient near zero is rounding.
PLAIN: dict[str, Any] = {"optimiser": "sgd", "batch_size": 8, "epochs": 2}
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
