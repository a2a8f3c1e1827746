"""Peak memory of a fit, in a process of its own.

    taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.memory
    python -m benchmarks.memory --cases mnist

- ``mnist``: ``trine.fit`` on the IDX files, one epoch. Wanted: at most 2.5 times the size of the data (a byte a pixel and a
  label) plus torch's own memory. Torch's own is measured twice: in a process that trains a tiny network for a step, and in one
  that trains MNIST's network on noise, since the activations of a batch are torch's too.
- ``large``: a Parquet file of 2 million rows and 50 columns, 39 numbers, 10 categories and the target, written here. Wanted:
  within 3 GiB.

The figure is the largest resident set (``ru_maxrss``), also as it stood when the rows were encoded and training began.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

MIB = 2**20
ROWS, NUMBERS, CATEGORIES = 2_000_000, 39, 10
MNIST_BYTES = 60_000 * (784 + 1)

# What a child process does ---------------------------------------------------------------------------------------


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def tiny() -> dict[str, int]:
    """Torch alone: a step of a small network."""
    import torch

    network = torch.nn.Linear(10, 10)
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    network(torch.randn(32, 10)).square().mean().backward()
    optimiser.step()
    return {"peak": _peak()}


def same() -> dict[str, int]:
    """Torch alone: steps of the convolutional network that MNIST gets, on noise."""
    import torch
    from torch import nn

    from trine.blocks import Encoder
    from trine.choices import Choices
    from trine.domains import Image

    choices = Choices(channels=32, hidden=(), augment=True, flip="none", normalization="batch", residual=True)
    encoder = Encoder({"image": Image(height=28, width=28, channels=1, mean=(0.1307,), std=(0.3081,))}, choices)
    network = nn.Linear(encoder.features, 10)
    parameters = [*encoder.parameters(), *network.parameters()]
    optimiser = torch.optim.AdamW(parameters, fused=True)
    encoder.train()
    for _ in range(20):
        with torch.autocast("cpu", torch.bfloat16):
            z = encoder({"x.image": torch.rand(256, 1, 28, 28)})
        nn.functional.cross_entropy(network(z.float()), torch.randint(0, 10, (256,))).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return {"peak": _peak()}


def fit(data: str, y: str | None, **choices: Any) -> dict[str, int]:
    """``trine.fit``."""
    import trine

    encoded: list[int] = []
    trine.fit(data, y=y, epochs=1, announce=lambda _: encoded.append(_peak()), **choices)
    return {"peak": _peak(), "when training began": encoded[0]}


CHILDREN: dict[str, Callable[..., dict[str, int]]] = {"tiny": tiny, "same": same, "fit": fit}


def separate(name: str, **arguments: Any) -> dict[str, int]:
    """A child's figures."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", name, json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ))
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


# Data ------------------------------------------------------------------------------------------------------------


def write_large(path: Path, rows: int = ROWS) -> None:
    """A table of numbers, some skewed and some with holes, categories as text, and a target of two classes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, 100_000):
        count = min(100_000, rows - start)
        numbers = generator.standard_normal((NUMBERS, count))
        numbers[::3] = np.exp(numbers[::3])
        codes = generator.integers(0, 20, (CATEGORIES, count))
        score = numbers[1] + numbers[2] * numbers[4] + 0.3 * (codes[0] % 3)
        columns: dict[str, Any] = {}
        for k in range(NUMBERS):
            holes = generator.random(count) < 0.05 if k % 5 == 0 else None
            columns[f"number_{k}"] = pa.array(numbers[k], mask=holes)
        levels = pa.array([f"level {k}" for k in range(20)])
        for k in range(CATEGORIES):
            columns[f"category_{k}"] = levels.take(pa.array(codes[k]))
        columns["target"] = pa.array(np.where(score + generator.standard_normal(count) > 0, "yes", "no"))
        part = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()


def measure_mnist() -> dict[str, Any]:
    """Peak for MNIST beside torch's own."""
    images = next(p for p in sorted((DATA / "mnist").iterdir()) if "train" in p.name and "images" in p.name)
    found = {"torch, tiny step": separate("tiny"), "torch, same network": separate("same")}
    found["trine"] = separate("fit", data=str(images), y=None)
    times = {
        f"({stage} − {base}) / data": (found["trine"][stage] - found[base]["peak"]) / MNIST_BYTES
        for stage in ("peak", "when training began")
        for base in ("torch, tiny step", "torch, same network")
    }
    return {"MiB": _mib(found), "data, MiB": MNIST_BYTES / MIB, "times the data": times, "wanted": 2.5}


def measure_large() -> dict[str, Any]:
    """Peak for the large table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.parquet"
        write_large(path)
        size = path.stat().st_size
        found = {"trine": separate("fit", data=str(path), y="target", members=1)}
    return {"MiB": _mib(found), "file, MiB": size / MIB, "wanted, MiB": 3072}


def _mib(found: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
    return {name: {key: round(value / MIB, 1) for key, value in part.items()} for name, part in found.items()}


CASES = {"mnist": measure_mnist, "large": measure_large}


def write_page(results: dict[str, Any]) -> None:
    """``results/memory.md`` from the kept figures."""
    lines = [
        "# Peak memory",
        "",
        "`taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.memory` — largest resident set of a process that fits for one",
        "epoch; what is measured is at the top of [memory.py](../memory.py).",
        "",
    ]
    for name, record in results.items():
        lines += [f"## {name}", "", "| process | when training began, MiB | peak, MiB |", "|---|---|---|"]
        for process, part in record["MiB"].items():
            began = part.get("when training began")
            lines.append(f"| {process} | {'–' if began is None else f'{began:,.0f}'} | {part['peak']:,.0f} |")
        if "times the data" in record:
            lines += [
                "",
                f"The data are {record['data, MiB']:.0f} MiB. Wanted at most {record['wanted']} times the data:",
                "",
            ]
            lines += [f"- {what}: {value:.2f}" for what, value in record["times the data"].items()]
        else:
            lines += [
                "",
                f"The file has {record['file, MiB']:,.0f} MiB. Wanted: at most {record['wanted, MiB']:,} MiB.",
            ]
        where = record["conditions"]
        lines += ["", f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['date']}.", ""]
    (RESULTS / "memory.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, given = arguments.child
        print(json.dumps(CHILDREN[name](**json.loads(given))))
        return
    for name in arguments.cases:
        results = load("memory")
        results[name] = {**CASES[name](), "conditions": conditions()}
        keep("memory", results)
        write_page(results)
        print(
            name,
            json.dumps({k: v for k, v in results[name].items() if k != "conditions"}, ensure_ascii=False),
            flush=True,
        )


if __name__ == "__main__":
    main()
