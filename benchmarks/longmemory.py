"""The adding problem: two numbers, marked among T, are to be added; a network that does not remember cannot.

    python -m benchmarks.longmemory --steps 100 --kinds rnn lstm gru --seeds 0
    python -m benchmarks.longmemory --steps 600 --kinds lstm gru --seeds 0

Each step has a number drawn from (0, 1) and a mark; one mark is in the first half, one in the second; y is the sum of the marked
numbers (Hochreiter and Schmidhuber, 1997; in the form of Martens and Sutskever, 2011). Always predicting 1 has the mean squared
error 1/6 + 0.01 of the sample at most, 0.1667 in expectation (0.1767 in some papers). All networks are trained alike through
``trine.fit``, from the same rows.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from benchmarks.conditions import RESULTS, conditions, keep, load

NAMES = {"rnn": "Elman RNN", "lstm": "LSTM", "gru": "GRU"}


def rows(count: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """((count, steps, 2) numbers and marks, (count,) sums)."""
    draw = np.random.default_rng(seed)
    x = np.zeros((count, steps, 2))
    x[:, :, 0] = draw.random((count, steps))
    first, second = draw.integers(0, steps // 2, count), draw.integers(steps // 2, steps, count)
    at = np.arange(count)
    x[at, first, 1] = x[at, second, 1] = 1.0
    return x, x[at, first, 0] + x[at, second, 0]


def measure(kind: str, steps: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train one network; its mean squared error on rows of its own, and the course of it."""
    import trine
    from trine.data import Table
    from trine.domains import Column

    def table(count: int, part: int) -> Table:
        x, y = rows(count, steps, 2 * seed + part)
        return Table.of([Column("steps", x), Column("sum", y)])

    started = time.perf_counter()
    model = trine.fit(
        table(options.rows, 0), y="sum", domains={"steps": "series", "sum": "real"}, valid=table(2000, 1), seed=seed,
        threads=options.threads, sequence=kind, units=options.units, batch_size=options.batch, epochs=options.epochs,
        step_size=options.step_size, dropout=0.0, patience=0, rule="normal-fixed", autocast="none", verbose=True,
    )  # fmt: skip
    error = model.metrics_["sum"]["rmse"]["value"] ** 2
    trivial = model.metrics_["sum"]["rmse"]["baseline"] ** 2
    return {"mse": error, "trivial": trivial, "seconds": time.perf_counter() - started, "epochs": options.epochs}


def main() -> None:
    """Measure what was asked for, keep it, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[100])
    parser.add_argument("--kinds", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--step-size", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    results = load("longmemory")
    for steps in options.steps:
        for kind in options.kinds:
            for seed in options.seeds:
                found = measure(kind, steps, seed, options)
                print(steps, kind, seed, found, flush=True)
                results.setdefault(str(steps), {}).setdefault(kind, {})[str(seed)] = found
                results["conditions"] = {
                    **conditions(),
                    **{k: v for k, v in vars(options).items() if k not in ("kinds", "seeds")},
                }
                keep("longmemory", results)
                write(results)


def write(results: dict[str, Any]) -> None:
    """The results as a page."""
    where = results["conditions"]
    lines = [
        "# The adding problem",
        "",
        f"`python -m benchmarks.longmemory` — {where['rows']:,} rows, {where['units']} units, batches of {where['batch']}, "
        f"AdamW with a peak step of {where['step_size']:g}, gradient norm at most 1, gates' time scales up to T; mean squared "
        "error on 2,000 rows of their own, a figure for each seed.",
        "",
        "| T | network | mean squared error | always the mean | epochs | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for steps in sorted((key for key in results if key.isdigit()), key=int):
        for kind, title in NAMES.items():
            found = list(results[steps].get(kind, {}).values())
            if found:
                errors = ", ".join(f"{one['mse']:.4f}" for one in found)
                lines.append(
                    f"| {steps} | {title} | {errors} | {np.mean([one['trivial'] for one in found]):.4f} | {found[0]['epochs']} | "
                    f"{np.mean([one['seconds'] for one in found]):.0f} |"
                )
    about = (
        f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['threads']} thread; {where['date']}."
    )
    (RESULTS / "longmemory.md").write_text("\n".join([*lines, "", about, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
