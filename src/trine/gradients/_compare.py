"""Estimators measured against the exact gradient: bias, variance, mean squared error."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Binomial, Distribution

from trine.errors import ChoiceError
from trine.rules import map_arguments, tensors_of

from ._base import Estimator, Integrand, described, estimator, estimators, values_of
from ._support import MOST, base_of, continuous, counts, points, support

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
        from ._figure import draw

        return draw(self, Path(path))


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
        truth, method = _exact(q, f, exact)
        chosen = _serving(q, samples) if estimators is None else [estimator(name, q) for name in estimators]
        rows = {}
        for one in chosen:
            torch.manual_seed(seed)
            row = _measure(one, q, f, truth, samples, repeats)
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


def _repeated(q: Distribution, repeats: int) -> tuple[Distribution, list[Tensor]]:
    """``q`` of batch shape (repeats, *batch), and its tensors, each repetition's its own; a count of trials is none."""
    made: list[Tensor] = []
    trials = getattr(base_of(q), "total_count", None) if isinstance(base_of(q), Binomial) else None

    def own(value: Tensor) -> Tensor:
        copy = value.detach().expand(repeats, *value.shape).clone()
        made.append(copy.requires_grad_(copy.is_floating_point() and value is not trials))
        return copy

    return map_arguments(q, own), [v for v in made if v.requires_grad]


def _gradients(surrogate: Tensor, parameters: list[Tensor]) -> Tensor:
    """(repeats, P) of a surrogate of (repeats, *batch)."""
    found = torch.autograd.grad(surrogate.sum(), parameters, allow_unused=True)
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
    return torch.cat([part.reshape(len(part), -1) for part in parts], 1).double()


def _measure(
    one: Estimator, q: Distribution, f: Integrand, truth: NDArray[np.float64], samples: int, repeats: int
) -> Measured:
    numbers = max(sum(v.numel() for v in tensors_of(q)), q.event_shape.numel() * max(q.batch_shape.numel(), 1))
    chunk = max(1, min(repeats, AT_ONCE // (samples * numbers)))
    _warm_up(one, q, f, samples, chunk)
    found: list[Tensor] = []
    started = time.perf_counter()
    one.eval()
    for first in range(0, repeats, chunk):
        copies, parameters = _repeated(q, min(chunk, repeats - first))
        found.append(_gradients(one(copies, f, samples), parameters))
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
        copies, _ = _repeated(q, min(chunk, 64))
        surrogate = one(copies, f, samples).mean()
        if optimiser is None:
            continue
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * (1 - step / WARM_UP)
        for parameter, slope in zip(learned, torch.autograd.grad(surrogate, learned, allow_unused=True), strict=True):
            parameter.grad = slope
        optimiser.step()


def _exact(
    q: Distribution, f: Integrand, exact: Callable[[Distribution], Tensor] | None
) -> tuple[NDArray[np.float64], str]:
    """The gradient, (P,), and where it is from."""
    single, parameters = _repeated(q, 1)
    if exact is not None:
        value, method = exact(single), "given"
        if tuple(value.shape) != tuple(single.batch_shape):
            raise ChoiceError(
                f"exact gives shape {tuple(value.shape)} of a distribution of batch shape {tuple(single.batch_shape)}; "
                "it gives E f of each element of the batch."
            )
    elif points(q) <= MOST:
        x = support(single)
        value, method = (single.log_prob(x).exp() * values_of(f, x, single)).sum(0), f"sum of {len(x):,} points"
    elif (n := counts(single)) is not None:
        value, method = (single.log_prob(n).exp() * values_of(f, n, single)).sum(0), f"sum of {len(n):,} counts"
    elif continuous(q):
        value, method = _quadrature(single, f), "quadrature"
    else:
        raise ChoiceError(
            f"The exact gradient under {described(q)} is not known: it is neither over a support that can be summed "
            "over nor of one number with a density. Give exact=, a function that gives E f of a distribution like q."
        )
    return _gradients(value, parameters)[0].cpu().numpy(), method


def _quadrature(q: Distribution, f: Integrand, panels: int = 512, order: int = 8) -> Tensor:
    """∫ q(x) f(x) dx over 700 standard deviations each way, within the support, by Gauss-Legendre panels.

    Panels are even in t, x = mean + ½ deviation · sinh t: fine where the mass is, wide in the tails.
    """
    nodes, weights = (torch.as_tensor(v, dtype=q.mean.dtype) for v in np.polynomial.legendre.leggauss(order))
    middle, spread = q.mean.detach(), q.stddev.detach()
    if not bool((middle.isfinite() & spread.isfinite()).all()):
        raise ChoiceError(f"{described(q)} has no finite variance, so no quadrature is tried. Give exact=.")
    bounds: Any = q.support

    def place(bound: str, beyond: float) -> Tensor:
        limit = torch.as_tensor(getattr(bounds, bound, beyond), dtype=middle.dtype)
        return torch.asinh((limit - middle) / (0.5 * spread)).clamp(-8.0, 8.0)

    left, right = place("lower_bound", -math.inf), place("upper_bound", math.inf)
    at = (torch.arange(panels, dtype=middle.dtype)[:, None] + 0.5 * (nodes + 1)).flatten() / panels
    at = at.reshape(-1, *(1,) * middle.dim())
    share = (0.5 * weights / panels).repeat(panels).reshape(at.shape)
    t = left + (right - left) * at
    width = share * (right - left) * 0.5 * spread * torch.cosh(t)
    x = middle + 0.5 * spread * torch.sinh(t)
    return (width * q.log_prob(x).exp() * values_of(f, x, q)).sum(0)
