"""How much of two processes' work is training: examples a second of 2 processes of one thread beside 1 process of one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.distributed
    OMP_NUM_THREADS=1 python -m benchmarks.distributed --cases "MLP" --rounds 5

Both train the same network on the same rows by the same loop, ``steps`` with ``Descent`` (AdamW, clip 1), under ``torchrun`` with
Gloo; *same batch*: the whole batch is that of one process, so each of two has half; *batch each*: each of two has as many rows as
the one. Runs take turns. Efficiency is the ratio of examples a second, two to one, over 2:

- *elapsed*: by the clock on the wall; other work on the machine counts against two processes more than against one, since both
  must wait for the later;
- *processor*: by the processor time of all processes, so that neither other work nor waiting counts: what the exchange and the
  smaller batches cost.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from benchmarks.conditions import RESULTS, conditions
from trine import collective
from trine.blocks import Convolutional
from trine.criterion import Criterion, Term
from trine.data import Batches, Shares, Store
from trine.divergences import KL
from trine.procedures import Descent
from trine.training import distributed
from trine.training.loop import steps

BATCH, WARM = 256, 5
STEPS = {"MLP": 150, "CNN": 12}


class Classifier(nn.Module):
    """Pictures of 28 × 28 in 10 classes, by ``net``."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": Categorical(logits=self.net(batch["x"]))}


def network(case: str) -> nn.Module:
    """``MLP``: 1.9 million parameters; ``CNN``: trine's own for pictures of that size, with batch normalisation."""
    if case == "MLP":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
        )
    convolutional = Convolutional(1, 28, 28)
    return nn.Sequential(convolutional, nn.Linear(convolutional.features, 10))


def worker(case: str, batch: int) -> None:
    """Train for some steps and print what they took, from rank 0."""
    torch.set_num_threads(1)
    with distributed.joined("cpu"):
        torch.manual_seed(0)
        model, criterion = Classifier(network(case)), Criterion(Term(KL(), "y_hat", "y"))
        procedure = Descent(clip=1.0)
        wanted = STEPS[case] + WARM
        store = Store.of(x=torch.rand(batch * wanted, 1, 28, 28), y=torch.randint(10, (batch * wanted,)))
        batches = Batches(store, batch_size=batch)
        feed = batches if collective.processes() == 1 else Shares(batches)
        state = procedure.init(model, criterion)
        model.train()
        with distributed.whole_statistics(model, criterion):
            taken = steps(procedure, state, model, criterion, feed.epoch(0))
            for _ in range(WARM):
                next(taken)
            wall, processor = time.perf_counter(), time.process_time()
            for _ in taken:
                pass
            times = torch.tensor([time.perf_counter() - wall, time.process_time() - processor], dtype=torch.float64)
        times = collective.add(times)
        if collective.first():
            parameters = sum(p.numel() for p in model.parameters())
            wall_mean = times[0].item() / collective.processes()
            print(json.dumps({"wall": wall_mean, "processor": times[1].item(), "parameters": parameters}))


def measure(case: str, processes: int, batch: int) -> dict[str, float]:
    """Examples a second of ``processes``, by the clock and a second of processor time."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += ["-m", "benchmarks.distributed", "--worker", case, "--batch", str(batch)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    found = json.loads(printed.splitlines()[-1])
    examples = STEPS[case] * batch
    return {
        "wall": examples / found["wall"],
        "processor": examples / found["processor"],
        "parameters": found["parameters"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=list(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=BATCH, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.batch)
        return
    rows, load_before = [], os.getloadavg()[0]
    for case in options.cases:
        rounds = [
            (measure(case, 1, BATCH), measure(case, 2, BATCH), measure(case, 2, 2 * BATCH))
            for _ in range(options.rounds)
        ]
        for name, at in (("same batch", 1), ("batch each", 2)):
            elapsed = [found[at]["wall"] / found[0]["wall"] / 2 for found in rounds]
            processor = [found[at]["processor"] / found[0]["processor"] for found in rounds]
            one = statistics.median(found[0]["wall"] for found in rounds)
            two = statistics.median(found[at]["wall"] for found in rounds)
            rows.append(
                f"| {case} | {int(rounds[0][0]['parameters']):,} | {name} | {BATCH * at} | {_show(elapsed)} | {_show(processor)} | "
                f"{one:,.0f} | {two:,.0f} |"
            )
            print(rows[-1], flush=True)
    found = conditions()
    columns = (
        "network",
        "parameters",
        "of two",
        "whole batch",
        "efficiency, elapsed",
        "efficiency, processor",
        "examples/s of one",
        "of two",
    )
    lines = [
        "# Two processes beside one",
        "",
        f"`OMP_NUM_THREADS=1 python -m benchmarks.distributed --rounds {options.rounds}`: what is measured is at the top of "
        "[distributed.py](../distributed.py). Median over the rounds, range in brackets.",
        "",
        f"| {' | '.join(columns)} |",
        "|" + "---|" * len(columns),
        *rows,
        "",
        f"{found['cpu']}; 1 thread a process; Python {found['python']}, torch {found['torch']}; {found['date']}. Load average of "
        f"the machine {load_before:.1f} before and {os.getloadavg()[0]:.1f} after, the benchmark's own processes included.",
        "",
    ]
    RESULTS.joinpath("distributed.md").write_text("\n".join(lines), encoding="utf-8")


def _show(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} – {max(values):.2f})"


if __name__ == "__main__":
    main()
