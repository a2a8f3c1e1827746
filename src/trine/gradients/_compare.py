"""Estimators side by side, measured against the exact gradient."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ChoiceError

from ._base import Estimator, Integrand, estimator, estimators
from ._figure import draw
from ._measured import Measured, measure
from ._truth import exact_gradient


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found; print it, or :meth:`plot` it.

    Attributes:
        exact: (P,) the gradient. method: where it is from. samples, repeats: draws an estimate, estimates.
        rows: estimator → what was measured, in the order asked for.
    """

    exact: NDArray[np.float64]
    method: str
    samples: int
    repeats: int
    rows: dict[str, Measured]

    def __getitem__(self, name: str) -> Measured:
        return self.rows[name]

    def __str__(self) -> str:
        head = ("estimator", "bias", "± s.e.", "max |z|", "variance", "MSE", "µs")
        cells = [
            (
                row.name,
                *(f"{v:.3g}" for v in (row.bias, row.bias_error)),
                f"{row.z:.1f}" if math.isfinite(row.z) else "∞",
                *(f"{v:.3g}" for v in (row.variance, row.mse, row.microseconds)),
            )
            for row in self.rows.values()
        ]
        widths = [max(len(line[i]) for line in (head, *cells)) for i in range(len(head))]
        lines = [
            f"{self.repeats:,} estimates of {self.samples} draws each, of {len(self.exact)} derivatives; "
            f"exact: {self.method}, ‖∇‖ = {np.linalg.norm(self.exact):.4g}"
        ]
        for line in (head, *cells):
            name, *numbers = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            lines.append("  ".join([name.strip().ljust(widths[0]), *numbers]).rstrip())
        return "\n".join(lines)

    def plot(self, path: str | Path) -> Path:
        """Draw where the estimates fall about the exact gradient, and their bias and variance; PNG, SVG or PDF by suffix.

        Raises:
            ChoiceError: matplotlib is not installed.
        """
        return draw(list(self.rows.values()), self.exact, Path(path))


def compare(
    q: Distribution,
    f: Integrand,
    estimators: Iterable[str | Estimator] | None = None,
    *,
    samples: int = 2,
    repeats: int = 10_000,
    seed: int = 0,
    exact: Callable[[Distribution], Tensor] | None = None,
) -> Comparison:
    """Measure estimators of the gradient of Σ over the batch of E_q f, in what q is made of (logits, location, scale …).

    All repetitions are one more batch dimension, in chunks. What an estimator learns is first trained, on draws of its own.

    Args:
        q, f: as :meth:`Estimator.forward` takes them; f must take further leading dimensions.
        estimators: names or built ones; by default every one that serves q.
        samples: draws of one estimate. repeats: estimates, 2 or more. seed: of all draws; the caller's generator is left alone.
        exact: gives E f of a distribution like q, differentiable; by default the sum over a finite support or over
            counts, or a quadrature of one number.

    Raises:
        ChoiceError: an estimator that cannot serve q, too few repetitions, or no exact gradient known.
    """
    if repeats < 2:
        raise ChoiceError(f"repeats is {repeats}; a variance needs at least 2.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        truth, method = exact_gradient(q, f, exact)
        chosen = _serving(q, samples) if estimators is None else [estimator(name, q) for name in estimators]
        rows = {}
        for one in chosen:
            torch.manual_seed(seed)
            row = measure(one, q, f, truth, samples, repeats)
            rows[row.name] = row
    return Comparison(truth, method, samples, repeats, rows)


def _serving(q: Distribution, samples: int) -> list[Estimator]:
    """Those that serve ``q``, each as its name alone says, and the score function with each baseline."""
    names = [name for name in estimators if name != "auto"]
    names += [f"score({baseline})" for baseline in ("mean", "leave-one-out")]
    found = []
    for name in names:
        try:
            one = estimator(name, q)
        except ChoiceError:
            continue
        if not one.refusal(q, samples):
            found.append(one)
    return found
