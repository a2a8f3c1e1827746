"""Numbers with a gap between them: what each posterior leaves open there, as a picture and a table.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.gap

120 rows of y = sin 3x + x/2 + 0.1 ε, with no x between −0.7 and 0.9. One network of 50 units for all, whose inputs are waves of x,
so that it can turn between the rows as it can among them. Writes ``docs/posteriors.png``, and ``results/gap.md`` with the root of
the epistemic variance: its median in the middle of the gap, and among the rows.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conditions import RESULTS, conditions

COMMON: dict[str, Any] = {
    "numbers": "periodic",
    "hidden": (50,),
    "members": 1,
    "epochs": 300,
    "step_size": 0.01,
    "patience": 0,
    "validation_fraction": 0.0,
    "random_state": 0,
    "threads": 1,
}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "one": ("one θ", {}),
    "ensemble": ("ensemble", {"posterior": "ensemble"}),
    "dropout": ("dropout (0.2)", {"posterior": "dropout", "dropout": 0.2}),
    "swag": ("SWAG", {"posterior": "swag"}),
    "laplace": ("Laplace, last layer", {"posterior": "laplace"}),
    "kron": ("Laplace, Kronecker", {"posterior": "laplace", "curvature": "kron"}),
    "variational": ("variational", {"posterior": "variational", "prior": "normal(0.2)"}),
    "langevin": ("Langevin", {"posterior": "langevin", "prior": "normal(0.2)"}),
}


def truth(x: Any) -> Any:
    """What the rows scatter about."""
    return np.sin(3.0 * x) + 0.5 * x


def rows(count: int = 120, seed: int = 0) -> tuple[Any, Any]:
    """Both sides of the gap: x and y, (count,) each."""
    random = np.random.default_rng(seed)
    x = np.concatenate([random.uniform(-2.0, -0.7, count // 2), random.uniform(0.9, 2.0, count - count // 2)])
    return x, truth(x) + 0.1 * random.standard_normal(count)


def fitted(way: str, x: Any, y: Any, **changes: Any) -> Any:
    """The regressor of that way."""
    from trine import Regressor

    return Regressor(**COMMON | WAYS[way][1] | changes).fit(x[:, None], y)


def told(model: Any, grid: Any) -> tuple[Any, Any, Any]:
    """Mean, and the standard deviations that the data and that θ leave open, (grid,) each."""
    from trine.rules import spread

    q = model.predict_distribution(grid[:, None])
    try:
        aleatoric, epistemic = spread(q)
    except (TypeError, ValueError):  # one θ is no mixture
        aleatoric, epistemic = q.variance, 0.0 * q.variance
    return q.mean.numpy(), aleatoric.sqrt().numpy(), epistemic.sqrt().numpy()


def middles(grid: Any, epistemic: Any) -> tuple[float, float]:
    """Medians of the epistemic spread in the middle of the gap, and among the rows."""
    gap = (grid > -0.3) & (grid < 0.5)
    data = ((grid > -2.0) & (grid < -0.7)) | ((grid > 0.9) & (grid < 2.0))
    return float(np.median(epistemic[gap])), float(np.median(epistemic[data]))


def main() -> None:
    """Fit all, draw, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "posteriors.png")
    out = parser.parse_args().out
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    x, y = rows()
    grid = np.linspace(-2.6, 2.6, 261)
    figure, axes = plt.subplots(2, 4, figsize=(11.0, 5.0), sharex=True, sharey=True, layout="constrained")
    lines = []
    for (way, (title, _)), ax in zip(WAYS.items(), axes.flat, strict=True):
        started = time.process_time()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            model = fitted(way, x, y)
        seconds = time.process_time() - started
        mean, aleatoric, epistemic = told(model, grid)
        whole = np.sqrt(aleatoric**2 + epistemic**2)
        ax.fill_between(grid, mean - 2 * whole, mean + 2 * whole, color="#c9d8ea", lw=0, label="data and θ, ±2 sd")
        if epistemic.any():
            ax.fill_between(
                grid, mean - 2 * epistemic, mean + 2 * epistemic, color="#e8a87c", lw=0, label="θ alone, ±2 sd"
            )
        ax.plot(grid, truth(grid), color="#777777", lw=0.9, ls=(0, (4, 2)), label="truth")
        ax.plot(grid, mean, color="#1f4e79", lw=1.4, label="mean")
        ax.plot(x, y, ".", color="black", ms=2.2, label="rows")
        ax.set_title(title, fontsize=10)
        ax.set_ylim(-3.6, 3.6)
        ax.set_xlim(grid[0], grid[-1])
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
        gap, data = middles(grid, epistemic)
        convergence = getattr(model.derivation_.model, "convergence", None)
        note = "" if convergence is None else f"split R̂ {convergence[0]:.2f}, {convergence[1]:.0f} effective draws"
        times = f"{gap / data:.1f}" if data else "–"
        lines.append(f"| {title} | {gap:.3f} | {data:.3f} | {times} | {seconds:.1f} | {note} |")
        print(lines[-1], *(str(w.message)[:100] for w in heard), flush=True)
    handles, labels = axes.flat[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.savefig(out, dpi=110, pil_kwargs={"optimize": True})
    made = conditions()
    text = "\n".join(
        [
            "Written by `python -m benchmarks.gap`: the root of the epistemic variance, medians.",
            f"{made['date']}, {made['cpu']}, torch {made['torch']}, one thread; the first fit has the imports in it.",
            "",
            "| p(θ given X, Y) by | in the gap | among the rows | times | seconds of one core | |",
            "|---|---|---|---|---|---|",
            *lines,
        ]
    )
    (RESULTS / "gap.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
