"""The gradient estimators of an expectation over bits, compared.

    python -m benchmarks.gradients

E f(x) over five independent bits, f a squared distance and products of two and three bits: prints the table and draws
``docs/gradients.png``. Everything from one seed.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent

from trine.gradients import Comparison, compare

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "gradients.png"
NAMES = [
    "exact",
    "score",
    "score(mean)",
    "score(leave-one-out)",
    "score(learned)",
    "rebar",
    "relax",
    "gumbel-softmax(1)",
    "gumbel-softmax(0.3)",
    "gumbel-softmax(0.1)",
    "straight-through",
]


def f(x: Tensor) -> Tensor:
    """(..., 5) bits → (...,): no sum over bits."""
    target = torch.tensor([0.45, 0.2, 0.6, 0.9, 0.3], dtype=x.dtype)
    return ((x - target) ** 2).sum(-1) + 2 * x[..., 0] * x[..., 1] - x[..., 2:].prod(-1)


def found(repeats: int = 20_000) -> Comparison:
    """All estimators with 4 draws each."""
    logits = torch.tensor([-1.0, 0.5, 2.0, 0.3, -0.4], dtype=torch.float64)
    return compare(Independent(Bernoulli(logits=logits), 1), f, NAMES, samples=4, repeats=repeats)


def main() -> None:
    """Print and draw."""
    result = found()
    print(result)
    result.plot(PICTURE)


if __name__ == "__main__":
    main()
