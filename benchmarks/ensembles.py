"""Eight networks trained at once against eight trained one after the other.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.ensembles --rounds 5

The same network, batches and number of steps; seconds of training alone, of the processor, by turns in one process. The ratio is
8 × one network's seconds over the ensemble's. Kept in ``results/ensembles.json`` and ``results/ensembles.md``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from sklearn.datasets import load_diabetes

from benchmarks.conditions import RESULTS, conditions, keep

MEMBERS = 8
# case → choices, what is wanted
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "small: 10 → 64 → 64, batch 32": ({"hidden": (64, 64), "numbers": "plain", "batch_size": 32}, "≥ 3"),
    "small: 10 → 50, batch 32": ({"hidden": (50,), "numbers": "plain", "batch_size": 32}, "≥ 3"),
    "default network, batch 32": ({"batch_size": 32}, "–"),
    "default network, batch 256": ({"batch_size": 256}, "–"),
}


def seconds(choices: dict[str, Any], **how: Any) -> float:
    """Processor's seconds of one training."""
    from trine import Regressor

    X, y = load_diabetes(return_X_y=True)
    model = Regressor(members=1, epochs=20, patience=0, random_state=0, threads=1, **choices, **how)
    started = time.process_time()
    model.fit(X, y)
    return time.process_time() - started


def main() -> None:
    """Measure by turns, print and keep."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    rounds = arguments.parse_args().rounds
    torch.set_num_threads(1)
    results: dict[str, Any] = {"conditions": conditions(), "rounds": rounds}
    for case, (choices, wanted) in CASES.items():
        seconds(choices, posterior="ensemble", draws=MEMBERS)  # what is imported at the first pass is no part of it
        pairs = [(seconds(choices), seconds(choices, posterior="ensemble", draws=MEMBERS)) for _ in range(rounds)]
        ratios = [MEMBERS * one / many for one, many in pairs]
        results[case] = {"one": [one for one, _ in pairs], "ensemble": [many for _, many in pairs], "wanted": wanted}
        print(f"{case}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
    keep("ensembles", results)
    (RESULTS / "ensembles.md").write_text(table(results), encoding="utf-8")


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# Eight networks at once",
        "",
        "`taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.ensembles` — processor's seconds of a fit of 20 epochs on the "
        f"diabetes table, its preparation included; {MEMBERS} × one over all at once, median over rounds, with the range.",
        "",
        f"| network | one | {MEMBERS} at once | ratio | wanted |",
        "|---|---|---|---|---|",
    ]
    for case in CASES:
        found = results[case]
        ratios = [MEMBERS * one / many for one, many in zip(found["one"], found["ensemble"], strict=True)]
        one, many = statistics.median(found["one"]), statistics.median(found["ensemble"])
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(f"| {case} | {one:.2f} | {many:.2f} | {spread} | {found['wanted']} |")
    where = results["conditions"]
    lines += ["", f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; one thread; {where['date']}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
