"""Adult made anew: train on synthetic, test on real, against CTGAN in the same time.

    taskset -c 0 env OMP_NUM_THREADS=1 PYTHONPATH=.:PLACE python -m benchmarks.synthetic_tables

PLACE is where `ctgan`, `rdt` and `faker` lie (they are no part of this project, and have requirements of their own; without them
``--no-ctgan``). Both see the 32,561 training rows, income included, and make as many; one thread, one after the other in one run.
Trine's choices are its defaults (``--set`` changes them, ``--seconds`` bounds its time by the clock); CTGAN has its defaults but
for the epochs, of which it gets as many as take the same processor seconds, a clock that others on the machine do not move.
Gradient boosting (scikit-learn's, of histograms, defaults) learns income from made rows; its AUC is of the 16,281 real test rows.
Detection: the AUC of the same on made rows against test rows, half of either held out (0.5: they cannot be told apart).
Marginals: Kolmogorov and Smirnov's distance or total variation, mean of columns; associations: mean difference over pairs. Nearer
to training: share of made rows that lie nearer to a training row than to a test row, the two sides of equal size; 0.5 is none
copied. Closest record: distance to the closest of 10,000 training rows (ranks of numbers, 0 or 1 for a category, summed), median
and 5 % quantile, with 95 % intervals; of the test rows beside ``training rows``. Kept in ``results/synthetic_tables.json`` and
``.md``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import trine
from benchmarks.conditions import DATA, RESULTS, conditions, keep, load
from trine.evaluation.synthetic import (
    associations_apart,
    closest_record,
    detection,
    marginals_apart,
    nearer_to_training,
    usefulness,
)

TARGET = "income"


def rows(part: str) -> pd.DataFrame:
    """Adult's rows, missing values as such."""
    frame = pd.read_csv(DATA / "adult_income" / f"{part}.csv", skipinitialspace=True, na_values="?")
    frame[TARGET] = frame[TARGET].str.rstrip(".")
    return frame


def figures(made: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """Scores of made rows."""
    return {
        "AUC": usefulness(made, test, TARGET), "detection AUC": detection(made, test),
        "marginals": marginals_apart(made, test), "associations": associations_apart(made, test),
        "nearer to training": nearer_to_training(made, train, test),
        **quantiles(closest_record(made, train)),
    }  # fmt: skip


def quantiles(apart: NDArray[np.float64]) -> dict[str, Any]:
    """The median of distances and their 5 % quantile, each [low, value, high] with its 95 % interval, by order statistics."""
    found = {}
    for name, share in (("closest record, median", 0.5), ("closest record, 5 %", 0.05)):
        half = 1.96 * np.sqrt(share * (1 - share) / len(apart))
        found[name] = [float(np.quantile(apart, share + part)) for part in (-half, 0.0, half)]
    return found


def ctgan(train: pd.DataFrame, seconds: float) -> tuple[pd.DataFrame, int, float]:
    """Rows of CTGAN with its defaults, as many epochs as fit into ``seconds`` of the processor, how many, and what they took."""
    from ctgan import CTGAN

    named = [name for name in train.columns if not pd.api.types.is_numeric_dtype(train[name])]
    known = train.assign(**{name: train[name].astype(object).fillna("missing") for name in named})

    def fitted(epochs: int) -> tuple[Any, float]:
        torch.manual_seed(0)
        model = CTGAN(epochs=epochs, verbose=False, cuda=False)
        start = time.process_time()
        model.fit(known, named)
        return model, time.process_time() - start

    first, third = fitted(1)[1], fitted(3)[1]
    each = max((third - first) / 2, 1e-3)
    epochs = max(int((seconds - (first - each)) / each), 1)
    model, took = fitted(epochs)
    return model.sample(len(train)).replace("missing", float("nan")), epochs, took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, help="bound of trine's time by the clock")
    parser.add_argument("--set", nargs="*", default=[], help="choices of trine's, NAME=VALUE")
    parser.add_argument("--seed", type=int, default=0, help="of trine; a seed has a row of its own")
    parser.add_argument("--no-ctgan", action="store_true")
    parser.add_argument("--not-kept", action="store_true")
    given = parser.parse_args()
    from trine.cli._values import assignments, choice

    choices = {name: choice(value) for name, value in assignments(given.set, "--set").items()}
    torch.set_num_threads(1)
    train, test = rows("train"), rows("test")
    start = time.process_time()
    model = trine.fit(train, method="gan", threads=1, budget=given.seconds, seed=given.seed, **choices)
    took = time.process_time() - start
    made = pd.DataFrame(model.sample(len(train)))
    own = f"trine, seed {given.seed}" if given.seed else "trine"
    found: dict[str, Any] = {own: figures(made, train, test) | {"seconds": took, "epochs": len(model.history_)}}
    print(own, found[own], flush=True)
    found["training rows"] = figures(train, train, test) | {"seconds": 0.0, "epochs": 0}
    # The floor of what is about copies: rows held out.
    found["training rows"] |= {
        "nearer to training": nearer_to_training(test[::2], train, test[1::2]), **quantiles(closest_record(test, train))
    }  # fmt: skip
    print("true", found["training rows"], flush=True)
    if not given.no_ctgan:
        theirs, epochs, seconds = ctgan(train, took)
        found["CTGAN"] = figures(theirs, train, test) | {"seconds": seconds, "epochs": epochs}
        print("CTGAN", found["CTGAN"], flush=True)
    if not given.not_kept:
        kept = load("synthetic_tables")
        results = kept | {"adult": kept.get("adult", {}) | found, "conditions": conditions()}
        keep("synthetic_tables", results)
        write(results)


def write(results: dict[str, Any]) -> None:
    """The table as Markdown."""
    names = (
        "AUC", "detection AUC", "marginals", "associations", "nearer to training", "closest record, median",
        "closest record, 5 %", "epochs", "seconds",
    )  # fmt: skip
    lines = [
        "# Tables made anew",
        "",
        __doc__ or "",
        f"| learned from | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for label, found in results["adult"].items():
        cells = [_cell(name, found[name]) for name in names]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    lines += ["", f"Conditions: {results['conditions']}"]
    (RESULTS / "synthetic_tables.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(name: str, value: Any) -> str:
    if isinstance(value, list):
        low, middle, high = value
        return f"{middle:.3f} ({low:.3f} to {high:.3f})"
    return f"{value:.0f}" if name in ("epochs", "seconds") else f"{value:.4f}"


if __name__ == "__main__":
    main()
