"""Training what a plan prepared: rows in batches, the score that stops, the scales that the report shows."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch

from trine.blocks import layer_scales
from trine.data import Batches
from trine.estimators._batched import chunk_of
from trine.estimators._plan import Prepared
from trine.methods import Derivation
from trine.training import Result, Run, train

SMALL_STEP = 2e7
"""Multiplications a step below which one thread is faster than handing parts to others."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training left, beside the weights.

    Attributes:
        result: history and why it ended. threads: that it ran on. scales: label → (layer, activation, gradient) rows.
    """

    result: Result
    threads: int
    scales: list[dict[str, Any]]


def fit(prepared: Prepared, *, run: Run | None = None, progress: bool = False) -> Fitted:
    """Train the derivation's model in place; it ends with θ*, in evaluation mode.

    Raises:
        TrainingError: the loss is not finite. KeyboardInterrupt: Ctrl-C, after a checkpoint where there is a run.
    """
    derivation, rows = prepared.derivation, prepared.rows
    choices = derivation.choices
    assert choices.batch_size is not None
    assert choices.epochs is not None
    batches = Batches(prepared.store, torch.from_numpy(rows.train), choices.batch_size, prepared.plan.seed)
    with _threads(prepared.plan.threads, derivation) as threads:
        result = train(
            derivation.model,
            derivation.criterion,
            derivation.procedure,
            batches,
            epochs=choices.epochs,
            seed=prepared.plan.seed,
            evaluate=_score(prepared) if len(rows.stop) else None,
            patience=choices.patience or 0,
            budget=prepared.plan.budget,
            run=run,
            progress=progress,
            observe=_observer(prepared) if run is not None else None,
        )
    labels = ["at initialisation", "after one epoch", "at the end"]
    scales = [
        {"label": labels[min(i, 2)], "step": seen["step"], "layers": seen["value"]}
        for i, seen in enumerate(result.observations)
    ]
    return Fitted(result, threads, scales)


def _score(prepared: Prepared) -> Callable[[], float]:
    """The criterion on the rows that decide when to stop: a mean over those that count."""
    model, criterion = prepared.derivation.model, prepared.derivation.criterion
    rows = torch.from_numpy(prepared.rows.stop)
    parts = torch.split(rows, chunk_of(prepared.store, prepared.schema))

    def score() -> float:
        criterion.eval()
        total, count = 0.0, 0.0
        for batch in map(prepared.store.batch, parts):
            weight = float(batch["weight"].sum()) if "weight" in batch else float(batch.size)
            total += criterion(model(batch), batch).total.item() * weight
            count += weight
        criterion.train()
        return total / max(count, 1e-12)

    return score


def _observer(prepared: Prepared) -> Callable[[], list[dict[str, Any]]]:
    """Scales of activations and gradients, layer by layer, on one training batch; the model itself is not touched."""
    model, criterion = prepared.derivation.model, prepared.derivation.criterion
    batch = prepared.store.batch(torch.from_numpy(prepared.rows.train[: prepared.derivation.choices.batch_size]))

    def backward() -> torch.Tensor:
        loss: torch.Tensor = criterion(model(batch), batch).total
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def observe() -> list[dict[str, Any]]:
        mode = model.training
        model.train()
        rows = layer_scales(model, backward)
        model.train(mode)
        return rows

    return observe


@contextlib.contextmanager
def _threads(wanted: int | None, derivation: Derivation) -> Iterator[int]:
    """Run under a number of torch threads: the one wanted, one for a small network, else those there are."""
    before = torch.get_num_threads()
    number = wanted or before
    if wanted is None:
        choices = derivation.choices
        parameters = sum(p.numel() for p in derivation.model.parameters() if p.dim() < 4)
        convolves = any(p.dim() == 4 for p in derivation.model.parameters())
        work = parameters * (choices.batch_size or 1) * (choices.members or 1)
        number = 1 if work < SMALL_STEP and not convolves else before
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)
