"""Speed of recurrent and sound networks beside loops written by hand, and of batches of like lengths beside padded ones.

    taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.sequences --rounds 5

``trine`` is the one loop with ``Descent``, on a ``Store`` through ``Batches``; ``hand`` is a loop on the same network from the same
weights, with tensors made beforehand, one index-select a tensor, fused AdamW and clipping by torch's own function. The third case
trains on sentences as trine cuts batches, rows of like length together, and with every batch padded to the longest sentence of the
set. Contestants take turns; the clock is the process's own processor time; a ratio is the median over rounds, with the range.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load
from benchmarks.mixed import idx
from trine.choices import Choices
from trine.data import Batch, Batches, Table, read
from trine.domains import Column
from trine.estimators._plan import Plan, Prepared, prepare
from trine.training.loop import steps

SECONDS = 2.0
"""Least length of a segment."""
WANTED = {"LSTM, MNIST by rows": 0.95, "waveform, spoken digits": 0.95, "GRU, sentences, like lengths": 1.5}


def prepared(table: Table, y: str, domains: dict[str, str], **choices: Any) -> Prepared:
    """The rows and the three parts that ``trine.fit`` would train."""
    return prepare(Plan(y=(y,), domains=domains, choices=Choices.of(choices), stop_fraction=0.0), table)


def digits() -> Prepared:
    """MNIST, 10,000 rows, 28 steps of 28 pixels, one LSTM of 128 units."""
    images = idx(DATA / "mnist" / "train-images-idx3-ubyte.gz")[:10_000]
    labels = idx(DATA / "mnist" / "train-labels-idx1-ubyte.gz")[:10_000]
    table = Table.of([Column("x", images), Column("y", labels)])
    return prepared(table, "y", {"x": "series", "y": "category"}, sequence="lstm", members=1, ema=0.0, unknown=0.0)


def sounds() -> Prepared:
    """600 spoken digits, the learned filterbank on the waveform and its convolutions, nothing changed while training."""
    table = read(DATA / "free_spoken_digits" / "recordings").take(torch.arange(0, 3000, 5).numpy())
    label = [Path(str(table.column("sound").levels[code])).name[0] for code in table.column("sound").values]  # type: ignore[index]
    import numpy as np

    labelled = table.with_column("digit", np.array(label, dtype=object))
    return prepared(labelled, "digit", {}, audio="waveform", augment=False, ema=0.0, unknown=0.0, batch_size=32)


def sentences() -> Prepared:
    """SST-2, 6,920 sentences, the default network for texts with one member."""
    table = read(DATA / "sst2_sentiment" / "train.csv")
    return prepared(table, "label", {"label": "category"}, members=1, batch_size=64)


def by_hand(found: Prepared, batches: Batches) -> Iterator[int]:
    """Train as one would by hand; gives the rows of each step."""
    choices = found.derivation.choices
    model = found.derivation.model.train()
    rule = model.rules[0]
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": choices.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=choices.step_size or 1e-3, betas=(0.9, 0.99), fused=True)
    target = next(iter(found.schema.y))
    for epoch in itertools.count():
        for batch in batches.epoch(epoch):
            with torch.autocast("cpu", torch.bfloat16, enabled=choices.autocast == "bf16"):
                z = model.encoder(batch)
            loss = functional.cross_entropy(rule(z.float()).logits, batch[f"y.{target}"])
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, choices.clip or 1e9, foreach=True)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            yield batch.size


def by_trine(found: Prepared, batches: Any) -> Iterator[int]:
    """Train with the one loop; gives the rows of each step."""
    derivation = found.derivation
    derivation.model.train()
    derivation.criterion.train()
    state = derivation.procedure.init(derivation.model, derivation.criterion)
    state.total = 10**6
    for epoch in itertools.count():
        kept: list[int] = []

        def counted(epoch: int = epoch, kept: list[int] = kept) -> Iterator[Batch]:
            for batch in batches.epoch(epoch):
                kept.append(batch.size)
                yield batch

        for _ in steps(derivation.procedure, state, derivation.model, derivation.criterion, counted()):
            yield kept[-1]


class Padded(Batches):
    """Batches in random order, each padded to the longest row of the set."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        names = [name for name, field in self.store.fields.items() if field.offsets is not None]
        longest = {name: int(self.store.fields[name].offsets.diff().max()) for name in names}  # type: ignore[union-attr]
        for batch in super().epoch(epoch, start):
            for name in names:
                more = longest[name] - batch.tensors[name].shape[1]
                batch.tensors[name] = functional.pad(batch.tensors[name], (0, more), value=-1)
            yield batch

    def _alike(self, order: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        return order


def contest(name: str, rounds: int) -> dict[str, Any]:
    """Examples a second of two contestants, and the ratio of the first to the second."""
    make = {
        "LSTM, MNIST by rows": digits,
        "waveform, spoken digits": sounds,
        "GRU, sentences, like lengths": sentences,
    }[name]
    one = make()
    other = copy.deepcopy(one)
    size = one.derivation.choices.batch_size or 64
    like = Batches(one.store, torch.from_numpy(one.rows.train), size)
    if "like" in name:
        second = by_trine(other, Padded(other.store, torch.from_numpy(other.rows.train), size))
    else:
        second = by_hand(other, Batches(other.store, torch.from_numpy(other.rows.train), size))
    contestants: list[Iterator[int]] = [by_trine(one, like), second]
    for contestant in contestants:
        next(contestant)
    rates: list[list[float]] = [[], []]
    for turn in range(rounds):
        for i in (0, 1) if turn % 2 == 0 else (1, 0):
            rates[i].append(_rate(contestants[i], len(like) if "like" in name else 1))
    ratios = [a / b for a, b in zip(*rates, strict=True)]
    return {
        "rates": [statistics.median(found) for found in rates],
        "ratio": statistics.median(ratios),
        "range": [min(ratios), max(ratios)],
        "rounds": rounds,
    }


def _rate(contestant: Iterator[int], fewest: int, clock: Callable[[], float] = time.process_time) -> float:
    """Examples a second over a segment of some seconds and of ``fewest`` steps or more, so that lengths are those of the set."""
    started, rows, taken = clock(), 0, 0
    while clock() - started < SECONDS or taken < fewest:
        rows += next(contestant)
        taken += 1
    return rows / (clock() - started)


def main() -> None:
    """Run the contests and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(WANTED), choices=list(WANTED))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = load("sequences")
    for name in options.cases:
        results[name] = contest(name, options.rounds)
        print(name, results[name], flush=True)
        results["conditions"] = conditions()
        keep("sequences", results)
        write(results)


def write(results: dict[str, Any]) -> None:
    """The results as a page."""
    where = results["conditions"]
    lines = [
        "# Speed of sequences",
        "",
        "`taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.sequences` — examples a second of processor "
        "time; ratio of trine's loop to the hand-written one, and of batches of like lengths to batches padded to the longest "
        "sentence; median over rounds, with the range.",
        "",
        "| case | trine | other | ratio | wanted | rounds |",
        "|---|---|---|---|---|---|",
    ]
    for name, wanted in WANTED.items():
        if name in results:
            one = results[name]
            spread = f"{one['ratio']:.2f} ({one['range'][0]:.2f} to {one['range'][1]:.2f})"
            rates = " | ".join(f"{rate:,.0f}" for rate in one["rates"])
            lines.append(f"| {name} | {rates} | {spread} | ≥ {wanted:.2f} | {one['rounds']} |")
    about = f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; one thread; {where['date']}."
    (RESULTS / "sequences.md").write_text("\n".join([*lines, "", about, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
