"""One estimator measured against the exact gradient: bias, variance, mean squared error."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.rules import tensors_of

from ._base import Estimator, Integrand
from ._repeated import gradients, repeated

AT_ONCE = 1 << 21
"""Numbers of draws that a chunk of repetitions holds at most."""
WARM_UP = 300
"""Steps that what an estimator learns is trained for before it is measured."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One estimator, over all repetitions.

    Attributes:
        name: as :func:`~trine.gradients.estimator` takes it. unbiased: whether theory says so.
        estimates: (repeats, P) float64, the gradients in all P numbers that q is made of.
        bias: ‖mean − exact‖. bias_error: its standard error, what a bias of 0 would show.
        z: the largest |mean − exact| / standard error over the P components.
        variance: Σ over components of the variance of one estimate. mse: E ‖estimate − exact‖².
        microseconds: of one estimate, all repetitions at once.
    """

    name: str
    unbiased: bool
    estimates: NDArray[np.float64]
    bias: float
    bias_error: float
    z: float
    variance: float
    mse: float
    microseconds: float


def measure(
    one: Estimator, q: Distribution, f: Integrand, truth: NDArray[np.float64], samples: int, repeats: int
) -> Measured:
    """``repeats`` estimates against the gradient ``truth``, (P,); in chunks, as one more batch dimension.

    What the estimator learns is first trained, on draws of its own.
    """
    numbers = max(sum(v.numel() for v in tensors_of(q)), q.event_shape.numel() * max(q.batch_shape.numel(), 1))
    chunk = max(1, min(repeats, AT_ONCE // (samples * numbers)))
    _warm_up(one, q, f, samples, chunk)
    found: list[Tensor] = []
    started = time.perf_counter()
    one.eval()
    for first in range(0, repeats, chunk):
        copies, parameters = repeated(q, min(chunk, repeats - first))
        found.append(gradients(one(copies, f, samples), parameters))
    seconds = time.perf_counter() - started
    estimates = torch.cat(found).cpu().numpy()
    # About the first, so that estimates without noise have variance 0, not that of rounding.
    apart = estimates - estimates[0]
    mean, variance = estimates[0] + apart.mean(0), apart.var(0, ddof=1)
    error = np.sqrt(variance / repeats)
    off = np.abs(mean - truth)
    # A gradient without noise is exact, up to rounding, or wrong for certain.
    close = off <= 1e-5 * (1 + np.abs(truth))
    z = np.where(error > 1e-9 * (1 + np.abs(truth)), off / np.maximum(error, 1e-300), np.where(close, 0.0, math.inf))
    return Measured(
        str(one),
        one.unbiased,
        estimates,
        float(np.linalg.norm(off)),
        float(np.linalg.norm(error)),
        float(z.max()),
        float(variance.sum()),
        float(((estimates - truth) ** 2).sum(1).mean()),
        1e6 * seconds / repeats,
    )


def _warm_up(one: Estimator, q: Distribution, f: Integrand, samples: int, chunk: int) -> None:
    """Train what it learns, and fill what it remembers."""
    one.train()
    learned = [p for p in one.parameters() if p.requires_grad]
    if not learned and not list(one.buffers()):
        return
    optimiser = torch.optim.Adam(learned, lr=0.02) if learned else None
    for step in range(WARM_UP if learned else 20):
        copies, _ = repeated(q, min(chunk, 64))
        surrogate = one(copies, f, samples).mean()
        if optimiser is None:
            continue
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * (1 - step / WARM_UP)
        for parameter, slope in zip(learned, torch.autograd.grad(surrogate, learned, allow_unused=True), strict=True):
            parameter.grad = slope
        optimiser.step()
