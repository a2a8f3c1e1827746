"""Examples a second of trine's training, beside loops written by hand on the same network, in one run.

    taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.speed
    python -m benchmarks.speed --cases "MLP, MNIST" --rounds 9

Every contestant of a case trains a copy of the same network from the same initial weights, with the same batch size, optimiser and
step size, on the same rows held in memory:

- ``trine``: the one loop, ``steps`` with ``Descent``, on a ``Store`` through ``Batches``; it checks that each loss is finite.
- ``hand``: the best loop that we could write: tensors cast beforehand, a shuffled permutation, one index-select a tensor,
  gradients set to None, fused AdamW, no look at the loss. Where the case clips or averages, so does this loop, by torch's own
  functions.
- ``textbook``: ``DataLoader(TensorDataset(...), shuffle=True)``, AdamW as it comes, ``loss.item()`` each step.
- ``skorch``: ``NeuralNetClassifier`` without split, callbacks or output, beside trine's whole ``train``.

Contestants take turns, segment by segment, the order reversed every round. With one thread the clock is the process's own
processor time, so that other work on the machine does not count; a ratio is the median over the rounds, with the range.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import get_ema_multi_avg_fn

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load
from trine.choices import Choices
from trine.criterion import Criterion, Term
from trine.data import Batches, Store, read
from trine.divergences import KL
from trine.estimators._plan import Plan, prepare
from trine.procedures import Descent
from trine.rules import SoftmaxCategorical
from trine.training import train
from trine.training.loop import steps

SECONDS = 1.2
"""Length of a segment."""
STEP_SIZE, DECAY, BETAS = 1e-3, 0.01, (0.9, 0.99)
Segment = Callable[[], float]
"""Trains for a while; gives examples a second."""

WANTED = {("trine", "hand"): 0.95, ("trine", "textbook"): 1.5, ("train", "skorch"): 3.0, ("trine", "products"): 0.5}
CASES = (
    "plain network, Adult",
    "default network, Adult",
    "MLP, MNIST",
    "CNN, MNIST, fp32",
    "CNN, MNIST, bf16",
    "small MLP, Adult",
    "products, batch 256",
)
TEXTBOOK = ("plain network, Adult", "MLP, MNIST", "small MLP, Adult")
"""Cases that the target for the textbook loop is about."""

# Networks --------------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """Layers to logits, as a model of trine's: batch → ``y_hat``."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": SoftmaxCategorical(self.layers(batch["x"]), validate_args=False)}


def mlp(*widths: int) -> nn.Sequential:
    """Linear maps with rectifiers between."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, width in itertools.pairwise(widths):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def by_hand(model: nn.Module, names: tuple[str, ...], unknown: float) -> Callable[..., Tensor]:
    """The loss of a supervised model of trine's on plain tensors, written out."""
    rule = model.rules[0]

    def raw(z: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            a = rule.head(z.float())
        return a if a.shape[-1] > 1 else torch.cat([torch.zeros_like(a), a], -1)

    def loss(*tensors: Tensor) -> Tensor:
        *x, y = tensors
        batch = dict(zip(names, x, strict=True))
        if not unknown:
            return _cross_entropy(raw(model.encoder(batch)), y)
        logits = raw(model.encoder(batch, blank=True))
        rows = logits.narrow(-2, 0, len(y))
        blank = logits.narrow(-2, len(y), 1).expand_as(rows)
        return _cross_entropy(rows, y) + unknown * _cross_entropy(blank, y)

    return loss


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over rows, and over members where there are any."""
    if logits.dim() == 3:
        return cross_entropy(logits.flatten(0, 1), y.repeat(len(logits)))
    return cross_entropy(logits, y)


# Contestants -----------------------------------------------------------------------------------------------------


class Case:
    """One network on one data set.

    Args:
        model: a model of trine's. criterion: what it descends. store, rows: the examples.
        tensors: the same examples as plain working tensors, y last. batch_size: rows a step.
        loss: copy of the model → loss of a batch of plain tensors.
        clip, ema, autocast: as in :class:`Descent`; alike for all contestants.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        store: Store,
        rows: Tensor | None,
        tensors: list[Tensor],
        batch_size: int,
        loss: Callable[[nn.Module], Callable[..., Tensor]],
        *,
        clip: float = 0.0,
        ema: float = 0.0,
        autocast: str = "none",
    ) -> None:
        self.model, self.criterion, self.store, self.rows = model, criterion, store, rows
        self.tensors, self.batch_size, self.loss = tensors, batch_size, loss
        self.clip, self.ema, self.autocast = clip, ema, autocast

    def descent(self) -> Descent:
        """The procedure."""
        return Descent(
            step_size=STEP_SIZE, weight_decay=DECAY, betas=BETAS, clip=self.clip, ema=self.ema, autocast=self.autocast
        )

    def batches(self) -> Batches:
        """The feed."""
        return Batches(self.store, self.rows, self.batch_size)

    def trine(self) -> Segment:
        """The one loop."""
        model, criterion = copy.deepcopy(self.model).train(), self.criterion.train()
        procedure, batches = self.descent(), self.batches()
        state = procedure.init(model, criterion)
        state.total = 10**9

        def unending() -> Any:
            while True:
                yield from batches

        taking = steps(procedure, state, model, criterion, unending())
        return self._timed(lambda: next(taking))

    def train(self) -> Segment:
        """All of ``train``: set-up, loop, sums of losses, solution; an epoch a segment, several where it is short."""
        model = copy.deepcopy(self.model)
        batches = self.batches()

        def segment(epochs: int) -> float:
            started = _clock()
            train(model, self.criterion, self.descent(), batches, epochs=epochs)
            return _clock() - started

        epochs = max(1, round(SECONDS / segment(2) * 2))
        return lambda: epochs * len(batches.rows) / segment(epochs)

    def hand(self) -> Segment:
        """The best loop by hand."""
        model = copy.deepcopy(self.model).train()
        loss, optimiser = self.loss(model), self._adamw(model, fused=True)
        parameters = list(model.parameters())
        current = [v.detach() for v in model.state_dict(keep_vars=True).values() if v.is_floating_point()]
        averaged = [v.clone() for v in current]
        average = get_ema_multi_avg_fn(self.ema**4)
        precision = torch.autocast("cpu", torch.bfloat16, enabled=self.autocast == "bf16")
        size, tensors = self.batch_size, self.tensors

        def unending() -> Any:
            taken = 0
            while True:
                order = torch.randperm(len(tensors[-1]))
                for first in range(0, len(order), size):
                    rows = order[first : first + size]
                    batch = [tensor.index_select(0, rows) for tensor in tensors]
                    with precision:
                        value = loss(*batch)
                    optimiser.zero_grad(set_to_none=True)
                    value.backward()
                    if self.clip:
                        nn.utils.clip_grad_norm_(parameters, self.clip, foreach=True)
                    optimiser.step()
                    taken += 1
                    if self.ema and taken % 4 == 0:
                        average(averaged, current, None)
                    yield

        taking = unending()
        return self._timed(lambda: next(taking))

    def textbook(self) -> Segment:
        """The loop of tutorials."""
        model = copy.deepcopy(self.model).train()
        loss, optimiser = self.loss(model), self._adamw(model, fused=None)
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(*self.tensors), batch_size=self.batch_size, shuffle=True
        )

        def unending() -> Any:
            running = 0.0
            while True:
                for batch in loader:
                    optimiser.zero_grad()
                    value = loss(*batch)
                    value.backward()
                    optimiser.step()
                    running += value.item()
                    yield

        taking = unending()
        return self._timed(lambda: next(taking))

    def skorch(self) -> Segment:
        """The loop of skorch; only for models that are plain layers."""
        from skorch import NeuralNetClassifier

        net = NeuralNetClassifier(
            copy.deepcopy(self.model.layers),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.AdamW,
            lr=STEP_SIZE,
            optimizer__weight_decay=DECAY,
            optimizer__betas=BETAS,
            batch_size=self.batch_size,
            iterator_train__shuffle=True,
            train_split=None,
            callbacks=None,
            verbose=0,
        ).initialize()
        x, y = (tensor.numpy() for tensor in self.tensors)

        def segment(epochs: int) -> float:
            started = _clock()
            net.fit_loop(x, y, epochs=epochs)
            return _clock() - started

        epochs = max(1, round(SECONDS / segment(1)))
        return lambda: epochs * len(y) / segment(epochs)

    def _adamw(self, model: nn.Module, fused: bool | None) -> torch.optim.Optimizer:
        groups = [
            {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": DECAY},
            {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=STEP_SIZE, betas=BETAS, fused=fused)

    def _timed(self, step: Callable[[], Any]) -> Segment:
        """Segments of as many steps as fill the time."""
        for _ in range(5):
            step()
        started = _clock()
        for _ in range(10):
            step()
        count = max(3, round(SECONDS / ((_clock() - started) / 10)))

        def segment() -> float:
            started = _clock()
            for _ in range(count):
                step()
            return count * self.batch_size / (_clock() - started)

        return segment


def _clock() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


# Cases -----------------------------------------------------------------------------------------------------------


def supervised(data: Path, y: tuple[str, ...], batch_size: int, **choices: Any) -> Case:
    """A network as trine derives it, on a file."""
    prepared = prepare(Plan(y, stop_fraction=0.0, choices=Choices.of({**choices, "epochs": 1})), read(data))
    derivation, store = prepared.derivation, prepared.store
    rows = torch.from_numpy(prepared.rows.train)
    whole = store.batch(rows)
    target = f"y.{y[0]}"
    names = tuple(name for name in whole.tensors if name.startswith("x."))
    made = derivation.choices
    return Case(
        derivation.model,
        derivation.criterion,
        store,
        rows,
        [whole[name] for name in (*names, target)],
        batch_size,
        lambda model: by_hand(model, names, made.unknown or 0.0),
        clip=made.clip or 0.0,
        ema=made.ema or 0.0,
        autocast=made.autocast or "none",
    )


def plain(store: Store, tensors: list[Tensor], widths: tuple[int, ...], batch_size: int) -> Case:
    """A dense network on the only input of a store."""
    torch.manual_seed(0)
    criterion = Criterion(Term(KL(), "y_hat", "y"))

    def loss(model: nn.Module) -> Callable[..., Tensor]:
        layers = model.layers
        return lambda x, y: cross_entropy(layers(x), y)

    return Case(Plain(mlp(*widths)), criterion, store, None, tensors, batch_size, loss)


def mnist() -> Path:
    """The training images' file."""
    return next(path for path in sorted((DATA / "mnist").iterdir()) if "train" in path.name and "images" in path.name)


def case(name: str) -> Case:
    """The case of that name."""
    adult = DATA / "adult_income" / "train.csv"
    if name == "plain network, Adult":
        off = {"members": 1, "dropout": 0.0, "unknown": 0.0, "clip": 0.0, "ema": 0.0}
        return supervised(adult, ("income",), 256, **off)
    if name == "default network, Adult":
        return supervised(adult, ("income",), 256)
    if name.startswith("CNN"):
        return supervised(mnist(), ("label",), 256, autocast="none" if name.endswith("fp32") else "bf16")
    if name == "small MLP, Adult":
        source = supervised(adult, ("income",), 128, members=1)
        x, y = source.tensors[0].nan_to_num().contiguous(), source.tensors[-1]
        return plain(Store.of(x=x, y=y), [x, y], (x.shape[1], 64, 2), 128)
    prepared = prepare(Plan(("label",), stop_fraction=0.0, choices=Choices(flip="none")), read(mnist()))
    whole = prepared.store.batch(torch.arange(prepared.store.rows))
    hidden = (1024, 1024) if name.startswith("products") else (256, 256)
    return plain(prepared.store, [whole["x"], whole["y"]], (784, *hidden, 10), 256)


def products(found: Case) -> tuple[Segment, float]:
    """Examples a second that the machine's rate of products would allow, and multiply-adds twice, an example.

    The rate is that of ``torch.mm`` on the shapes of the network's largest layer. A step multiplies three times a layer: forward,
    the gradient of the weights, and that of the input, which the first layer does not need.
    """
    layers = [layer for layer in found.model.modules() if isinstance(layer, nn.Linear)]
    sizes = [layer.weight.numel() for layer in layers]
    operations = 2.0 * (3 * sum(sizes) - sizes[0])
    largest = layers[sizes.index(max(sizes))].weight.detach().t().contiguous()
    left, out = torch.randn(found.batch_size, len(largest)), torch.empty(found.batch_size, largest.shape[1])
    segment = found._timed(lambda: torch.mm(left, largest, out=out))
    scale = 2.0 * largest.numel() / operations
    return lambda: segment() * scale, operations


# All -------------------------------------------------------------------------------------------------------------


def contest(name: str, rounds: int) -> dict[str, Any]:
    """Examples a second of every contestant, by rounds."""
    found = case(name)
    operations = 0.0
    if name.startswith("products"):
        rate, operations = products(found)
        contestants = {"trine": found.trine(), "products": rate}
    else:
        contestants = {"trine": found.trine(), "hand": found.hand()}
        if name in TEXTBOOK:
            contestants["textbook"] = found.textbook()
        if name.startswith("small"):
            contestants |= {"train": found.train(), "skorch": found.skorch()}
    rates: dict[str, list[float]] = {key: [] for key in contestants}
    for turn in range(rounds):
        for key in list(contestants)[:: 1 if turn % 2 == 0 else -1]:
            rates[key].append(contestants[key]())
    ratios = {
        f"{ours} / {theirs}": {
            "wanted": wanted,
            "median": statistics.median(parts := [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]),
            "range": [min(parts), max(parts)],
        }
        for (ours, theirs), wanted in WANTED.items()
        if ours in rates and theirs in rates
    }
    result: dict[str, Any] = {
        "parameters": sum(p.numel() for p in found.model.parameters()),
        "batch": found.batch_size,
        "examples a second": {key: statistics.median(values) for key, values in rates.items()},
        "ratios": ratios,
        "rounds": rounds,
        "conditions": {**conditions(), "threads": torch.get_num_threads()},
    }
    if operations:
        result["GFLOP/s"] = {key: statistics.median(values) * operations / 1e9 for key, values in rates.items()}
    return result


def write_page(results: dict[str, Any]) -> None:
    """``results/speed.md`` from the kept figures."""
    lines = [
        "# Speed of training",
        "",
        "`taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.speed` — what each contestant is, and how they take",
        "turns, is at the top of [speed.py](../speed.py). Ratios: median over the rounds, range in brackets.",
        "",
        "| case | parameters | batch | ratio | wanted | measured | examples a second |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in CASES:
        for ratio, found in results.get(name, {}).get("ratios", {}).items():
            record = results[name]
            rates = ", ".join(f"{key} {record['examples a second'][key]:,.0f}" for key in ratio.split(" / "))
            low, high = found["range"]
            lines.append(
                f"| {name} | {record['parameters']:,} | {record['batch']} | {ratio} | ≥ {found['wanted']} "
                f"| {found['median']:.2f} ({low:.2f} – {high:.2f}) | {rates} |"
            )
    if flops := results.get(CASES[-1], {}).get("GFLOP/s"):
        lines += ["", f"Products: {flops['trine']:.0f} of {flops['products']:.0f} GFLOP/s."]
    where = next(iter(results.values()))["conditions"]
    lines += [
        "",
        f"{where['cpu']}; {where['threads']} thread; Python {where['python']}, torch {where['torch']}; {where['date']}.",
        "",
    ]
    (RESULTS / "speed.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.cases:
        results = load("speed")
        results[name] = contest(name, arguments.rounds)
        keep("speed", results)
        write_page(results)
        for ratio, found in results[name]["ratios"].items():
            low, high = found["range"]
            print(
                f"{name}: {ratio} {found['median']:.3f} ({low:.3f} – {high:.3f}), wanted {found['wanted']}", flush=True
            )


if __name__ == "__main__":
    main()
