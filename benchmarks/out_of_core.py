"""Data larger than the memory that is allowed: peak memory, speed, second start, kill.

    taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.out_of_core
    python -m benchmarks.out_of_core --cases table --folder /tmp --gib 4

- ``table``: a Parquet file of 512 float32 columns, 4 of which decide the class, written here in groups of 50,000 rows;
- ``images``: a folder of PNG pictures in two class folders, 128 × 128 RGB, smooth colours with a little noise, written here;
- ``archive``: an uncompressed ``.npz`` of 64 × 64 RGB pictures with their classes, written here.

The encoded columns of each take ``--gib`` GiB, 4 by default, and ``--memory 1GiB`` is stated. Each figure is of a process of its
own, which calls ``trine.fit``: ``first`` builds the store; ``after a kill`` goes on with a build that was ended by SIGKILL;
``again`` starts with the store that is there; ``in memory`` has no limit and holds all in memory. Peak memory is ``ru_maxrss``,
which counts resident pages of mapped files too. Rates are of training alone, examples a second, ``again`` and ``in memory``
taking turns. The kernel's cache of files is its own: it is not part of ``ru_maxrss``, and files were in it as far as the
machine's memory (conditions) allowed. Everything written is removed in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.conditions import RESULTS, conditions, keep, load

MIB, GIB = 2**20, 2**30
LIMIT = "1GiB"
COLUMNS, GROUP = 512, 50_000
SIDE, SMALL_SIDE = 128, 64

# Data ------------------------------------------------------------------------------------------------------------


def write_table(path: Path, gib: float) -> Path:
    """Numbers as float32 and a target of two classes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    writer = None
    for _ in range(round(gib * GIB / (4 * COLUMNS) / GROUP)):
        x = generator.standard_normal((COLUMNS, GROUP), dtype=np.float32)
        score = x[0] + x[1] * x[2] - x[3] + generator.standard_normal(GROUP, dtype=np.float32)
        columns = {f"x{k}": pa.array(x[k]) for k in range(COLUMNS)}
        part = pa.table({**columns, "y": pa.array(np.where(score > 0, "yes", "no"))})
        # Noise has nothing to compress.
        writer = writer or pq.ParquetWriter(path, part.schema, compression="none", use_dictionary=["y"])
        writer.write_table(part)
    assert writer is not None
    writer.close()
    return path


def write_images(folder: Path, gib: float) -> Path:
    """Pictures of two classes: colours that run from left to right, or from top to bottom."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    ramp = np.linspace(0, 1, SIDE)[:, None]
    for index in range(round(gib * GIB / (3 * SIDE * SIDE))):
        place = folder / ("across" if index % 2 else "down") / f"{index // 1000}"
        if index % 1000 < 2:
            place.mkdir(parents=True, exist_ok=True)
        ends = generator.integers(0, 240, (2, 3))
        line = (ends[0] + ramp * (ends[1] - ends[0]))[:, None, :]
        pixels = np.broadcast_to(line, (SIDE, SIDE, 3)) + generator.integers(0, 8, (SIDE, SIDE, 1))
        pixels = pixels.transpose(1, 0, 2) if index % 2 else pixels
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index}.png", compress_level=1)
    return folder


def write_archive(path: Path, gib: float) -> Path:
    """Noise, brighter in the upper half or in the lower one."""
    import zipfile

    import numpy as np

    count = round(gib * GIB / (3 * SMALL_SIDE * SMALL_SIDE))
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, count)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as stream:
            about = {"descr": "|u1", "fortran_order": False, "shape": (count, SMALL_SIDE, SMALL_SIDE, 3)}
            np.lib.format.write_array_header_1_0(stream, about)
            for start in range(0, count, 1024):
                part = labels[start : start + 1024]
                x = generator.integers(0, 128, (len(part), SMALL_SIDE, SMALL_SIDE, 3), dtype=np.uint8)
                x[part == 1, : SMALL_SIDE // 2] += 40
                x[part == 0, SMALL_SIDE // 2 :] += 40
                stream.write(x.tobytes())
        with archive.open("y.npy", "w") as stream:
            np.lib.format.write_array(stream, labels)
    return path


CASES: dict[str, dict[str, Any]] = {
    "table": {
        "write": write_table,
        "name": "table.parquet",
        "choices": {"y": "y", "epochs": 1, "members": 1, "numbers": "plain", "hidden": (256, 256), "batch_size": 1024},
    },
    "images": {"write": write_images, "name": "images", "choices": {"channels": 8, "batch_size": 64}},
    "archive": {"write": write_archive, "name": "archive.npz", "choices": {"channels": 8, "batch_size": 64}},
}

# Runs ------------------------------------------------------------------------------------------------------------


def child(arguments: dict[str, Any]) -> dict[str, float]:
    """``trine.fit`` in this process."""
    import trine
    from trine.estimators import _workflow

    imported = _peak()
    began: list[tuple[float, int]] = []
    trained: list[Any] = []
    spent: list[float] = []
    start = time.perf_counter()
    train = _workflow.train

    def noted(*given: Any, **named: Any) -> Any:
        began_at = time.process_time()
        trained.append(train(*given, **named))
        spent.append(time.process_time() - began_at)
        return trained[0]

    _workflow.train = noted
    trine.fit(announce=lambda _: began.append((time.perf_counter() - start, _peak())), **arguments)
    result = trained[0].result
    size = arguments["batch_size"]
    return {
        "peak": _peak(),
        "imports": imported,
        "peak when training began": began[0][1],
        "seconds until training": began[0][0],
        "rate": result.steps * size / result.seconds,
        "rate by processor": result.steps * size / spent[0],
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def separate(arguments: dict[str, Any], folder: Path, kill_at: float | None = None) -> dict[str, float]:
    """Figures of a process that fits; with ``kill_at`` it is killed once so many rows (a share) are encoded, and gives none."""
    command = [sys.executable, "-m", "benchmarks.out_of_core", "--child", json.dumps(arguments)]
    environment = {**os.environ, "TRINE_CACHE": str(folder / "cache")}
    if kill_at is None:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None:
        time.sleep(0.2)
        for state in folder.glob("cache/stores/*.partial/state.json"):
            if json.loads(state.read_text())["rows"] >= kill_at:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return {}


def measure(name: str, folder: Path, gib: float, budget: float, rounds: int, kill: bool) -> dict[str, Any]:
    """All figures of a case."""
    case = CASES[name]
    start = time.perf_counter()
    data = case["write"](folder / case["name"], gib)
    written = time.perf_counter() - start
    print(f"{name}: written in {written:.0f} s", flush=True)
    memory = {"data": str(data), "budget": budget, **case["choices"]}
    stated = {**memory, "memory": LIMIT}
    found: dict[str, Any] = {"first": separate(stated, folder)}
    print(name, found, flush=True)
    stores = folder / "cache" / "stores"
    size = sum(file.stat().st_size for file in stores.glob("*/*"))
    turns: dict[str, list[dict[str, float]]] = {"again": [], "in memory": []}
    for _ in range(rounds):
        turns["again"].append(separate(stated, folder))
        turns["in memory"].append(separate(memory, folder))
        print(name, {k: v[-1] for k, v in turns.items()}, flush=True)
    killed_at = None
    if kill:
        shutil.rmtree(folder / "cache")
        separate(stated, folder, kill_at=1)
        killed_at = json.loads(next(stores.glob("*.partial/state.json")).read_text())["rows"]
        found["after a kill"] = separate(stated, folder)
        print(name, found["after a kill"], flush=True)
    for which, figures in turns.items():
        found[which] = {key: statistics.median(figure[key] for figure in figures) for key in figures[0]}
        found[which]["peak"] = max(figure["peak"] for figure in figures)
    pairs = list(zip(turns["again"], turns["in memory"], strict=True))
    ratios = [a["rate"] / b["rate"] for a, b in pairs]
    processor = [a["rate by processor"] / b["rate by processor"] for a, b in pairs]
    return {
        "runs": found,
        "ratios": ratios,
        "ratios by processor": processor,
        "store": size,
        "killed at row": killed_at,
        "budget": budget,
    }


def write_page(results: dict[str, Any]) -> None:
    """``results/out_of_core.md`` from the kept figures."""
    lines = [
        "# Data larger than memory",
        "",
        "`taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.out_of_core` — what is measured, and how, is at the top of",
        f"[out_of_core.py](../out_of_core.py). Stated: `memory={LIMIT}`. The limit is on the whole process: Python, torch and the",
        "other libraries are in it (the column “imports”).",
        "",
    ]
    for name, record in results.items():
        lines += [
            f"## {name}: {record['store'] / GIB:.2f} GiB of encoded columns",
            "",
            f"`--cases {name} --rounds {len(record['ratios'])} --budget {record['budget']:g}`",
            "",
            "| run | imports, MiB | peak until training, MiB | peak, MiB | until training, s | examples/s |",
            "|---|---|---|---|---|---|",
        ]
        for run, part in record["runs"].items():
            sizes = [f"{part[key] / MIB:,.0f}" for key in ("imports", "peak when training began", "peak")]
            lines.append(
                f"| {run} | {' | '.join(sizes)} | {part['seconds until training']:.1f} | {part['rate']:,.0f} |"
            )
        low, high = min(record["ratios"]), max(record["ratios"])
        processor = record["ratios by processor"]
        where = record["conditions"]
        lines += [
            "",
            f"Speed against memory: {statistics.median(record['ratios']):.3f} (of {len(record['ratios'])} pairs, {low:.3f} to "
            f"{high:.3f}), by processor time {statistics.median(processor):.3f} "
            f"({min(processor):.3f} to {max(processor):.3f}); wanted: "
            "≥ 0.9. Peak wanted: ≤ 1,024 MiB."
            + (f" Killed when row {record['killed at row']:,} was safe." if record["killed at row"] else ""),
            "",
            f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['date']}, {where['commit']}.",
            "",
        ]
    (RESULTS / "out_of_core.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--folder", type=Path, default=None, help="where some 10 GiB are free")
    parser.add_argument("--gib", type=float, default=4.0)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds that each run trains")
    parser.add_argument("--rounds", type=int, default=2, help="pairs of runs on disk and in memory")
    parser.add_argument("--no-kill", action="store_true", help="leave the killed build out")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(json.loads(arguments.child))))
        return
    for name in arguments.cases:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            measured = measure(
                name, Path(folder), arguments.gib, arguments.budget, arguments.rounds, not arguments.no_kill
            )
        results = load("out_of_core")
        results[name] = {**measured, "conditions": conditions()}
        keep("out_of_core", results)
        write_page(results)


if __name__ == "__main__":
    main()
