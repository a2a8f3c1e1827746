"""Stochastic approximation by the library's own loop, against what theory says of it.

    taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.stochastic_approximation

θ ← θ − α_t (H θ + noise), the noise of variance v: independent chains, all in one model, by ``Descent`` and its schedules.
Writes ``docs/stochastic-approximation.png`` and prints the asymptotic variances beside those of theory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trine.criterion import Criterion, Term
from trine.divergences import Expectation
from trine.procedures import Descent, RobbinsMonro, Schedule
from trine.training.generators import seeded
from trine.training.loop import steps

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "stochastic-approximation.png"
H, V, START = 2.0, 1.0, 2.0
"""Curvature, variance of the gradient's noise, and where the chains begin; the optimum is 0."""


@dataclasses.dataclass(frozen=True)
class Power(Schedule):
    """α_t = a / (t₀ + t)^γ of any γ, for what Robbins and Monro exclude and ``RobbinsMonro`` refuses."""

    exponent: float = 2.0
    offset: float = 1.0

    def __call__(self, t: int, total: int) -> float:
        return float(self.peak * (self.offset / (self.offset + t)) ** self.exponent)

    def describe(self) -> str:
        return f"α_t = {self.peak * self.offset**self.exponent:.3g} / ({self.offset:g} + t)^{self.exponent:g}"


class Chains(nn.Module):
    """Independent chains θ_r, each on its own row: ½ H (θ_r − x_r)², whose gradient is H θ_r − H x_r."""

    def __init__(self, chains: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.full((chains,), START, dtype=torch.float64))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        # The criterion is a mean over rows, and each chain wants its own row's gradient.
        return {"cost": len(self.theta) * 0.5 * H * (self.theta - batch["x"]) ** 2}


@dataclasses.dataclass(frozen=True)
class Paths:
    """What the chains did.

    Attributes:
        at: (k,) steps taken when they were looked at. theta, average: (k, chains) the iterates, and the mean of all so far.
    """

    at: NDArray[np.int64]
    theta: NDArray[np.float64]
    average: NDArray[np.float64]

    def error(self, averaged: bool = False) -> NDArray[np.float64]:
        """(k,) mean squared distance from the optimum."""
        return np.asarray(((self.average if averaged else self.theta) ** 2).mean(1))

    def variance(self) -> float:
        """Across chains at the end."""
        return float(self.theta[-1].var(ddof=1))


def run(schedule: Schedule, total: int, chains: int = 2000, seed: int = 0, looks: int = 80) -> Paths:
    """Run all chains for ``total`` steps of the library's descent, with Gaussian noise from ``seed``."""
    at = np.unique(np.geomspace(1, total, looks).round().astype(np.int64))
    model, criterion = Chains(chains), Criterion(Term(Expectation("½ H (θ − x)²"), "cost", "x"))
    procedure = Descent(optimiser="sgd", schedule=schedule)

    def rows() -> Iterator[Any]:
        for _ in range(total):
            yield {"x": torch.randn(chains, dtype=torch.float64) * (V**0.5 / H)}

    seen: list[tuple[Tensor, Tensor]] = []
    with seeded(seed):
        state = procedure.init(model, criterion)
        state.total = total
        mean, wanted = torch.zeros(chains, dtype=torch.float64), set(at.tolist())
        for t, _ in enumerate(steps(procedure, state, model, criterion, rows()), start=1):
            theta = model.theta.detach()
            mean.lerp_(theta, 1.0 / t)
            if t in wanted:
                seen.append((theta.clone(), mean.clone()))
    theta, average = (torch.stack(part).numpy() for part in zip(*seen, strict=True))
    return Paths(at, theta, average)


def expected(schedule: Schedule, at: NDArray[np.int64]) -> NDArray[np.float64]:
    """E (θ_t − θ*)² by the exact recursion: bias m ← (1 − α H) m, variance V ← (1 − α H)² V + α² v."""
    bias, variance, found = START, 0.0, []
    wanted = set(at.tolist())
    for t in range(int(at[-1])):
        size = schedule(t, int(at[-1]))
        bias, variance = (1 - size * H) * bias, (1 - size * H) ** 2 * variance + size**2 * V
        if t + 1 in wanted:
            found.append(bias**2 + variance)
    return np.asarray(found)


def asymptotic(a: float) -> float:
    """The limit of t · Var θ_t under α_t = a/t, for 2 a H > 1 (Chung, 1954)."""
    return a**2 * V / (2 * a * H - 1)


def stationary(a: float) -> float:
    """The variance that a constant step ends in."""
    return a * V / (2 * H - a * H**2)


CASES: dict[str, tuple[Callable[[], Schedule], str, str]] = {
    "1/t": (lambda: RobbinsMonro(1 / H, exponent=1.0, offset=1.0), r"$\alpha = 1/(H t)$", "#2f6db5"),
    "0.7": (lambda: RobbinsMonro(1 / H, exponent=0.7, offset=1.0), r"$\alpha \propto t^{-0.7}$", "#3a9a6b"),
    "short": (lambda: RobbinsMonro(0.1, exponent=1.0, offset=1.0), r"$\alpha = 0.1/t$: $2aH < 1$", "#8a6fb0"),
    "constant": (lambda: Power(0.1, exponent=0.0), r"$\alpha = 0.1$: $\Sigma\alpha^2 = \infty$", "#c44e52"),
    "1/t²": (lambda: Power(0.3, exponent=2.0), r"$\alpha = 0.3/t^2$: $\Sigma\alpha < \infty$", "#d9822b"),
}
INK, SOFT, LINE = "#1f2430", "#5c6370", "#d9dce3"


def draw(found: Mapping[str, Paths]) -> None:
    """Left: mean squared error over time, dots measured and lines the recursion; right: single chains."""
    import matplotlib
    from matplotlib.figure import Figure

    from trine.gradients._figure import STYLE

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 4.0), dpi=120)
        left, right = figure.subplots(1, 2, width_ratios=(1.35, 1.0))
        for name, (make, label, colour) in CASES.items():
            paths = found[name]
            left.plot(paths.at, expected(make(), paths.at), color=colour, linewidth=1.2, alpha=0.75)
            left.plot(paths.at[::3], paths.error()[::3], "o", color=colour, markersize=3.2)
            left.annotate(label, (paths.at[-1], paths.error()[-1]), (6, 0), textcoords="offset points", color=colour,
                          va="center", fontsize=8.2, annotation_clip=False)  # fmt: skip
        paths = found["0.7"]
        left.plot(
            paths.at[::3],
            paths.error(averaged=True)[::3],
            "D",
            color="#3a9a6b",
            markersize=3.2,
            markerfacecolor="white",
        )
        left.plot(paths.at, V / H**2 / paths.at, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        left.annotate("least possible: v/(H² t)", (400, V / H**2 / 400), (-6, -7), textcoords="offset points", ha="right",
                      va="top", fontsize=8.2, color=INK)  # fmt: skip
        left.set_xscale("log")
        left.set_yscale("log")
        left.set_xlim(0.9, paths.at[-1] * 1.05)
        left.grid(axis="both")
        left.set_title(r"E$(\theta_t - \theta^*)^2$: dots measured, lines exact")
        left.set_xlabel("step t; hollow: the mean of the iterates (Polyak and Ruppert)")
        for name in ("1/t²", "constant", "1/t"):
            right.plot(found[name].at, found[name].theta[:, :3], color=CASES[name][2], linewidth=1.1, alpha=0.9)
        right.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        right.set_xscale("log")
        right.set_title("Three chains each")
        right.set_xlabel("step t; the optimum is 0")
        for axes in (left, right):
            axes.tick_params(length=0, which="both")
            axes.tick_params(axis="y", labelcolor=SOFT)
        figure.savefig(PICTURE)


def main() -> None:
    """Run, print, draw."""
    total, chains = 20_000, 2000
    found = {name: run(make(), total, chains) for name, (make, _, _) in CASES.items()}
    averaged = total * float(found["0.7"].average[-1].var(ddof=1))
    constant = found["constant"].variance()
    left_over = START * float(np.prod([1 - 0.3 * H / t**2 for t in range(1, total + 1)]))
    print(f"α = 1/(H t):    t Var = {total * found['1/t'].variance():.4f}, theory {asymptotic(1 / H):.4f}")
    print(f"mean, γ = 0.7:  t Var = {averaged:.4f}, theory {V / H**2:.4f}")
    print(f"α = 0.1:          Var = {constant:.5f}, theory {stationary(0.1):.5f}")
    print(f"α = 0.3/t²:      mean = {found['1/t²'].theta[-1].mean():.4f}, theory {left_over:.4f}; the optimum is 0")
    draw(found)


if __name__ == "__main__":
    main()
