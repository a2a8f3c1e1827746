"""Texts from texts with defaults only: reversal, dates, sums. `python -m benchmarks.sequence_targets --seeds 3`

Every task makes 20,000 rows, of which `trine.fit` keeps a tenth from training for the figures; columns are stated to be texts, and
nothing else is. Lengths of the rows held out are those of the rows learned from. Time is that of one thread.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import trine

ROWS = 20_000
RESULTS = Path(__file__).parent / "results"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def reversal(draw: random.Random) -> tuple[str, str]:
    """A string of 1 to 12 letters, and the same from its end."""
    text = "".join(draw.choice(LETTERS) for _ in range(draw.randint(1, 12)))
    return text, text[::-1]


def dates(draw: random.Random) -> tuple[str, str]:
    """A day of 1950 to 2049 in one of nine manners, and in ISO 8601; numbers alone stand day, month, year."""
    day = datetime.date(1950, 1, 1) + datetime.timedelta(days=draw.randrange(36_524))
    d, m, y = day.day, day.month, day.year
    name, short = day.strftime("%B"), day.strftime("%b")
    end = "th" if 10 <= d <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(d % 10, "th")
    manners = [
        f"{d} {short} {y}", f"{name} {d}, {y}", f"{d:02d}/{m:02d}/{y % 100:02d}", f"{d:02d}.{m:02d}.{y}",
        f"{d}{end} of {name} {y}",
        f"{short} {d} {y}", f"{day.strftime('%A')}, {d} {name} {y}", f"{d}-{short.lower()}-{y}",
        f"{y} {name} {d}",
    ]  # fmt: skip
    return draw.choice(manners), day.isoformat()


def sums(draw: random.Random) -> tuple[str, str]:
    """Two numbers of up to three digits, and their sum."""
    a, b = (draw.randrange(10 ** draw.randint(1, 3)) for _ in range(2))
    return f"{a}+{b}", str(a + b)


TASKS: dict[str, Callable[[random.Random], tuple[str, str]]] = {"reversal": reversal, "dates": dates, "sums": sums}


def run(task: str, seed: int, rows: int = ROWS) -> dict[str, float | str | int]:
    """One fit and what it reached on the rows held out."""
    draw = random.Random(1000 + seed)
    pairs = [TASKS[task](draw) for _ in range(rows)]
    data = {
        name: np.array(column, dtype=object)
        for name, column in zip(("given", "wanted"), zip(*pairs, strict=True), strict=True)
    }
    processor, wall = time.process_time(), time.perf_counter()
    model = trine.fit(data, y="wanted", domains={"given": "text", "wanted": "text"}, seed=seed, threads=1)
    spent = {"processor_s": time.process_time() - processor, "wall_s": time.perf_counter() - wall}
    metrics = model.evaluations_["wanted"].metrics
    found = {
        name: getattr(metrics["exact_match"], end)
        for name, end in (("exact", "value"), ("low", "low"), ("high", "high"))
    }
    greedy = {"edit_distance": metrics["edit_distance"].value, "bits": metrics["bits_per_character"].value}
    # Of held-out rows, those that training did not have as well.
    seen = len(set(data["given"])) / rows
    line = {"task": task, "seed": seed, **found, **greedy, **spent, "epochs": model.n_iter_, "distinct": seen}
    return {**line, "rows": model.evaluations_["wanted"].rows}


def page(lines: list[dict[str, float | str | int]]) -> str:
    """The results as a table."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    text = [
        "# Texts from texts",
        "",
        "`python -m benchmarks.sequence_targets`: 20,000 made rows a task (a tenth held out for these figures, a",
        "tenth of the rest to stop by), both columns stated to be texts, every choice derived, greedy decoding, one thread.",
        "Exact match counts a row whose text is right in every character; the interval is the 95 % bootstrap's. Seconds are",
        "processor time of fit and evaluation; the machine had two cores and other work beside this.",
        "",
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}; peak memory {memory:,.0f} MiB.",
        "",
        "| task | seed | exact match | 95 % interval | edit distance | bits a character | epochs | seconds | distinct inputs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for x in lines:
        exact, low, high, distinct = (f"{100 * float(x[name]):.2f}" for name in ("exact", "low", "high", "distinct"))
        text.append(
            f"| {x['task']} | {x['seed']} | {exact} % | {low} … {high} | {float(x['edit_distance']):.5f} | {float(x['bits']):.4f} "
            f"| {x['epochs']} | {float(x['processor_s']):.0f} | {distinct} % |"
        )
    text += [
        "",
        "A held-out row may be one that training had where inputs come twice; the last column says how many are distinct.",
    ]
    return "\n".join(text) + "\n"


def main() -> None:
    """Run the tasks, and write the page after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--out", type=Path, default=RESULTS / "sequence_targets.md")
    given = parser.parse_args()
    lines = []
    for seed in range(given.seeds):
        for task in given.tasks.split(","):
            lines.append(run(task, seed))
            print(json.dumps(lines[-1]), flush=True)
            given.out.write_text(page(sorted(lines, key=lambda x: (list(TASKS).index(str(x["task"])), x["seed"]))))


if __name__ == "__main__":
    main()
