"""How long ``import trine`` takes beside ``import torch``.

    taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.imports

Each import has a fresh interpreter, whose own start is not counted; the statements take turns, the order reversed every round,
after one round that warms the file cache. Wanted: ``import trine`` at most 1.3 times ``import torch``. ``import trine`` imports
names when they are first used, torch among them; what a user pays with the first name is shown beside it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.conditions import RESULTS, conditions, keep

STATEMENTS = (
    "import torch",
    "import trine",
    "import trine, torch",
    "from trine import Criterion",
    "from trine import Classifier",
)
WANTED = 1.3
CHILD = """
import time
wall, processor = time.perf_counter(), time.process_time()
{}
print(time.perf_counter() - wall, time.process_time() - processor)
"""


def once(statement: str) -> tuple[float, float]:
    """(wall, processor) seconds of a statement in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", CHILD.format(statement)], capture_output=True, text=True, check=True)
    wall, processor = map(float, done.stdout.split())
    return wall, processor


def measure(rounds: int) -> dict[str, Any]:
    """Seconds and ratios to ``import torch``, by medians over the rounds."""
    times: dict[str, list[tuple[float, float]]] = {statement: [] for statement in STATEMENTS}
    for turn in range(rounds + 1):
        for statement in STATEMENTS[:: 1 if turn % 2 else -1]:
            found = once(statement)
            if turn:
                times[statement].append(found)
    results: dict[str, Any] = {}
    for statement, taken in times.items():
        ratios = [a[0] / b[0] for a, b in zip(taken, times["import torch"], strict=True)]
        results[statement] = {
            "wall seconds": statistics.median(wall for wall, _ in taken),
            "processor seconds": statistics.median(processor for _, processor in taken),
            "times import torch": {"median": statistics.median(ratios), "range": [min(ratios), max(ratios)]},
        }
    return {"statements": results, "wanted": WANTED, "rounds": rounds, "conditions": conditions()}


def write_page(results: dict[str, Any]) -> None:
    """``results/imports.md`` from the measured figures."""
    lines = [
        "# Time of importing",
        "",
        "`taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.imports` — fresh interpreters in turns, "
        f"medians over {results['rounds']} rounds, range in brackets.",
        f"Wanted: `import trine` at most {results['wanted']} times `import torch`.",
        "",
        "| statement | wall seconds | processor seconds | times `import torch` (wall) |",
        "|---|---|---|---|",
    ]
    for statement, found in results["statements"].items():
        ratio = found["times import torch"]
        low, high = ratio["range"]
        lines.append(
            f"| `{statement}` | {found['wall seconds']:.3f} | {found['processor seconds']:.3f} "
            f"| {ratio['median']:.2f} ({low:.2f} – {high:.2f}) |"
        )
    where = results["conditions"]
    lines += ["", f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['date']}.", ""]
    (RESULTS / "imports.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    results = measure(parser.parse_args().rounds)
    keep("imports", results)
    write_page(results)
    for statement, found in results["statements"].items():
        print(
            f"{statement}: {found['wall seconds']:.3f} s, {found['times import torch']['median']:.2f} times import torch"
        )


if __name__ == "__main__":
    main()
