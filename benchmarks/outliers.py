"""Outliers in the training rows: which criterion breaks, which holds?

    taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.outliers

A share of the training targets is replaced by values 8 to 12 standard deviations too high, as by a slip of a unit; the test rows
are clean. ``trine.Regressor`` with defaults but for ``divergence=``, ``rule=`` and no calibration, whose rows hold outliers too: a
normal by its likelihood (KL), by Cramér's distance (CRPS) and by Wasserstein's (E |Y − y|), and a Student by its likelihood. Root
mean squared error of the predictive median, mean CRPS, and the share of test rows within the 90 % interval. Kept in
``results/outliers.json``, ``.md`` and ``.png``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

WAYS: dict[str, dict[str, Any]] = {
    "KL, normal": {"divergence": "kl", "rule": "normal"},
    "Cramér, normal": {"divergence": "cramer", "rule": "normal"},
    "Wasserstein, normal": {"divergence": "wasserstein", "rule": "normal"},
    "KL, Student": {"divergence": "kl", "rule": "student"},
}
SHARES = (0.0, 0.05, 0.2)
SETS = ("diabetes", "energy", "curve")
METRICS = ("rmse", "crps", "coverage")
COLOURS = {
    "KL, normal": "#c44e52",
    "Cramér, normal": "#2f6db5",
    "Wasserstein, normal": "#d9822b",
    "KL, Student": "#3a9a6b",
}
INK, SOFT, LINE = "#1f2430", "#5c6370", "#d9dce3"

READING = (
    "Without outliers all medians are alike. At 5 % the normal likelihood breaks: it follows squared errors. Cramér's distance, "
    "whose pull on the location is at most 1, holds at 5 % and gives way at 20 % on one side: a normal that is to hold both groups "
    "is wide and lies between them. The Student's likelihood holds there too, as its tail takes the outliers in, and so does "
    "E |Y − y|, whose location is a median; but that is no proper score, and its intervals are too narrow even without outliers. "
    "With outliers about, intervals of the others cover more than they say on clean rows: they learned of rows that are not there."
)

Rows = tuple[NDArray[np.float64], NDArray[np.float64]]


def curve(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the one-dimensional set."""
    return np.asarray(np.sin(1.5 * x) + 0.3 * x)


def rows(name: str, seed: int) -> tuple[Rows, Rows]:
    """Training and test rows; y has mean 0 over the training rows and standard deviation 1, so that sets compare."""
    rng = np.random.default_rng([seed, 7])
    if name == "curve":
        x = rng.uniform(-3, 3, (1000, 1))
        y = curve(x[:, 0]) + 0.2 * rng.standard_normal(len(x))
        train, test = np.arange(500), np.arange(500, 1000)
    elif name == "diabetes":
        from sklearn.datasets import load_diabetes

        x, y = load_diabetes(return_X_y=True)
        order = rng.permutation(len(y))
        train, test = order[:342], order[342:]
    else:
        with np.load(DATA / "uci_regression" / f"{name}.npz") as found:
            x, y = found["X"].astype(np.float64), found["y"].astype(np.float64).reshape(-1)
        order = rng.permutation(len(y))
        train, test = order[: 3 * len(y) // 4], order[3 * len(y) // 4 :]
    y = (y - y[train].mean()) / y[train].std()
    return (x[train], y[train]), (x[test], y[test])


def spoilt(y: NDArray[np.float64], share: float, seed: int) -> NDArray[np.float64]:
    """``y`` with a share of its values moved up by 8 to 12; the same rows for every criterion."""
    rng = np.random.default_rng([seed, 11])
    out = y.copy()
    hit = rng.permutation(len(y))[: round(share * len(y))]
    out[hit] += rng.uniform(8, 12, len(hit))
    return out


def fitted(way: str, train: Rows, share: float, seed: int) -> Any:
    """The model of one way."""
    from trine import Regressor

    return Regressor(random_state=seed, threads=1, calibration="none", **WAYS[way]).fit(
        train[0], spoilt(train[1], share, seed)
    )


def one(way: str, name: str, share: float, seed: int) -> dict[str, Any]:
    """Fit on spoilt rows, judge on clean ones."""
    import torch

    from trine.divergences import crps
    from trine.rules import quantile

    train, (x, y) = rows(name, seed)
    started = time.perf_counter()
    model = fitted(way, train, share, seed)
    seconds = time.perf_counter() - started
    q = model.predict_distribution(x)
    with torch.inference_mode():
        low, middle, high = (quantile(q, p).double().numpy() for p in (0.05, 0.5, 0.95))
        score = float(crps(q, torch.as_tensor(y)).mean())
    found: dict[str, Any] = {
        "rmse": float(np.sqrt(np.mean((middle - y) ** 2))),
        "crps": score,
        "coverage": float(np.mean((low <= y) & (y <= high))),
        "seconds": seconds,
    }
    if name == "curve" and seed == 0:
        grid = np.linspace(-3, 3, 121)
        with torch.inference_mode():
            at = model.predict_distribution(grid[:, None])
            found["curve"] = [np.round(quantile(at, p).double().numpy(), 4).tolist() for p in (0.05, 0.5, 0.95)]
    return found


def means(results: dict[str, Any], way: str, name: str, share: float, metric: str) -> tuple[float, float, int]:
    """Mean and standard deviation over seeds, and how many they are."""
    key = f"{way}/{name}/{share:g}/"
    values = [found[metric] for where, found in results.items() if where.startswith(key)]
    return (float(np.mean(values)), float(np.std(values)), len(values)) if values else (float("nan"), 0.0, 0)


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# Outliers",
        "",
        "`taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.outliers` — a share of the training targets is moved up by 8 to "
        "12 standard deviations; test rows are clean. Targets have standard deviation 1. RMSE is that of the predictive median; "
        "coverage that of the 90 % interval; mean ± standard deviation over seeds.",
    ]
    for name in SETS:
        lines += [
            "",
            f"## {name}: {min(means(results, w, name, s, 'rmse')[2] for w in WAYS for s in SHARES)} seed(s)",
            "",
            "| | " + " | ".join(f"{m}, {s:.0%} outliers" for m in ("RMSE", "CRPS", "coverage") for s in SHARES) + " |",
            "|" + "---|" * (1 + 3 * len(SHARES)),
        ]
        for way in WAYS:
            cells = []
            for metric in METRICS:
                for share in SHARES:
                    mean, spread, count = means(results, way, name, share, metric)
                    text = f"{mean:.0%}" if metric == "coverage" else f"{mean:.3f} ± {spread:.3f}"
                    cells.append(text if count else "–")
            lines.append(f"| {way} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "![Fits and figures](outliers.png)",
        "",
        READING,
    ]
    where = results["conditions"]
    lines += [
        "",
        f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; one thread; {where['date']}.",
    ]
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any]) -> None:
    """Above: the one-dimensional set of seed 0 and what each way makes of it; below: error and coverage on clean rows."""
    import matplotlib
    from matplotlib.figure import Figure

    from trine.gradients._figure import STYLE

    (x, y), _ = rows("curve", 0)
    grid = np.linspace(-3, 3, 121)
    raw = curve(np.random.default_rng([0, 7]).uniform(-3, 3, (1000, 1))[:500, 0])
    # The rows are scaled by their own mean and deviation; the truth is carried along by a line through both.
    slope, shift = np.polyfit(raw, y, 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 8.6), dpi=110)
        panels = figure.subplots(3, 3, height_ratios=(1.35, 1.0, 0.8))
        for ax, share in zip(panels[0], SHARES, strict=True):
            there = spoilt(y, share, 0)
            moved = there != y
            ax.plot(x[~moved], there[~moved], ".", color="#b9bfca", markersize=2.4)
            ax.plot(x[moved], there[moved], "x", color=INK, markersize=3.0, markeredgewidth=0.7, alpha=0.6)
            for way, colour in COLOURS.items():
                found = results.get(f"{way}/curve/{share:g}/0")
                if found:
                    ax.plot(grid, found["curve"][1], color=colour, linewidth=1.7, label=way)
            ax.plot(grid, slope * curve(grid) + shift, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), label="truth")
            ax.set_ylim(-4, 14)
            ax.set_title(f"{share:.0%} outliers" if share else "No outliers")
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=5, handlelength=1.6)
        for column, name in enumerate(SETS):
            for metric, ax in (("rmse", panels[1][column]), ("coverage", panels[2][column])):
                for offset, (way, colour) in zip((-0.18, -0.06, 0.06, 0.18), COLOURS.items(), strict=True):
                    at = np.arange(len(SHARES)) + offset
                    middle, spread, _ = np.array([means(results, way, name, s, metric) for s in SHARES]).T
                    ax.vlines(at, middle - spread, middle + spread, color=colour, linewidth=1.4)
                    ax.plot(at, middle, "o-", color=colour, markersize=4.2, linewidth=0.8)
                ax.set_xticks(range(len(SHARES)), [f"{s:.0%}" for s in SHARES])
                ax.grid(axis="y")
            panels[1][column].set_title(f"RMSE on clean rows: {name}")
            panels[1][column].set_yscale("log")
            ticks = (0.05, 0.1, 0.2, 0.5, 1, 2)
            panels[1][column].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            panels[1][column].minorticks_off()
            low = min(means(results, way, name, s, "rmse")[0] for way in WAYS for s in SHARES)
            high = max(means(results, way, name, s, "rmse")[0] for way in WAYS for s in SHARES)
            panels[1][column].set_ylim(0.75 * low, 1.4 * high)
            panels[2][column].axhline(0.9, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
            panels[2][column].set_ylim(0, 1.05)
            panels[2][column].set_title("Coverage of the 90 % interval")
            panels[2][column].set_xlabel("share of outliers among training rows")
        for ax in panels.flat:
            ax.tick_params(length=0, which="both", labelcolor=SOFT)
        figure.savefig(RESULTS / "outliers.png")


def main() -> None:
    """Fit what is not there yet; write the table and the figure."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    chosen = arguments.parse_args()
    results = load("outliers")
    for seed in chosen.seeds:
        for name in chosen.sets:
            for share in SHARES:
                for way in WAYS:
                    key = f"{way}/{name}/{share:g}/{seed}"
                    if key in results:
                        continue
                    results[key] = one(way, name, share, seed)
                    results["conditions"] = conditions()
                    keep("outliers", results)
                    shown = {m: round(results[key][m], 3) for m in (*METRICS, "seconds")}
                    print(key, shown, flush=True)
    (RESULTS / "outliers.md").write_text(table(results), encoding="utf-8")
    draw(results)


if __name__ == "__main__":
    main()
