"""Training what a plan prepared: rows in batches, the score that stops, the scales that the report shows."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from trine import collective
from trine.blocks import layer_scales, time_scales
from trine.data import Batch, Batches, Field, LabelledBatches, PiledBatches, Piles, Share, Shares, Store
from trine.errors import ChoiceError
from trine.estimators._batched import chunk_of
from trine.estimators._plan import Prepared
from trine.methods import Derivation
from trine.models import Autoencoder
from trine.training import Result, Run, Score, distributed, train

LONGEST_ROWS = 16
"""Rows on which gradients are followed over time, which goes step by step."""
LOOKED_AT, LOOKED_BYTES = 8192, 2**26
"""Rows, and bytes of them, that a reconstruction's start is taken from."""
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
    if collective.processes() > 1:
        _require_same(prepared)
    _begin(prepared)
    place = distributed.resolve_device(prepared.plan.device)
    derivation.model.to(place)
    derivation.criterion.to(place)
    model = derivation.model
    if choices.sharding == "full" and collective.processes() > 1:
        model = distributed.shard(model)
    store = placed(prepared.store, place)
    if choices.unlabelled == "propagation":  # which has a label for each row of the store
        store = Store({**store.fields, "row": Field(torch.arange(store.rows, device=store.device), {}, index=True)})
    batches = _batches(store, prepared)
    with _threads(prepared.plan.threads, derivation) as threads:
        result = train(
            model,
            derivation.criterion,
            derivation.procedure,
            batches if collective.processes() == 1 else Shares(batches),
            epochs=choices.epochs,
            seed=prepared.plan.seed,
            evaluate=score_of(derivation.model, prepared, model, store, place) if len(rows.stop) else None,
            patience=choices.patience or 0,
            budget=prepared.plan.budget,
            run=run,
            progress=progress,
            observe=_observer(prepared, model, store, place) if run is not None else None,
            film=film_of(derivation.model, prepared, store, place)
            if run is not None and model is derivation.model
            else None,
        )
    if model is not derivation.model:
        distributed.gather(model, derivation.model)
        derivation.model.eval()
    derivation.model.cpu()
    derivation.criterion.cpu()
    labels = ["at initialisation", "after one epoch", "at the end"]
    scales = [
        {"label": labels[min(i, 2)], "step": seen["step"], **seen["value"]}
        for i, seen in enumerate(result.observations)
    ]
    return Fitted(result, threads, scales)


def _begin(prepared: Prepared) -> None:
    """What gives x again starts from the mean of some training rows; of a run that goes on, its checkpoint comes over it."""
    networks = [part for part in prepared.derivation.model.modules() if isinstance(part, Autoencoder)]
    if not any(hasattr(rule, "begin") for network in networks for rule in network.drawn):
        return
    rows, store = prepared.rows.train, prepared.store
    most = max(LOOKED_BYTES // max(4 * store.nbytes // max(store.rows, 1), 1), 1)
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT, most)).astype(int))
    batch = store.batch(torch.from_numpy(rows[some]))
    for network in networks:
        network.begin(batch)


def _batches(store: Store, prepared: Prepared) -> Batches:
    """The training rows, those without y beside the others where they take part."""
    choices, rows = prepared.derivation.choices, prepared.rows
    assert choices.batch_size is not None
    train = torch.from_numpy(rows.train)
    if isinstance(store, Piles):
        a, b = (torch.from_numpy(np.unique(rows.train[:, place])) for place in (0, 1))
        return PiledBatches(store, a, b, choices.batch_size, prepared.plan.seed)
    if not prepared.unlabelled:
        return Batches(store, train, choices.batch_size, prepared.plan.seed)
    beside, own = torch.from_numpy(rows.unlabelled), choices.labelled_size or 1
    if own >= choices.batch_size:
        raise ChoiceError(
            f"labelled_size is {own} and batch_size {choices.batch_size}: no room is left for rows without y; raise batch_size."
        )
    return LabelledBatches(store, train, beside, own, choices.batch_size, prepared.plan.seed)


def placed(store: Store, place: torch.device, free: int | None = None) -> Store:
    """The store where batches are cut: on the device, if it takes no more than half of what is free there.

    Args:
        free: bytes free on the device; None asks it.
    """
    if place.type == "cpu":
        return store
    if free is None:
        free = torch.cuda.mem_get_info(place)[0]
    return store.to(place) if 2 * store.nbytes <= free else store


def _require_same(prepared: Prepared) -> None:
    """Check that all ranks derived the same, before they train it together."""
    derivation, rows = prepared.derivation, prepared.rows
    mark = distributed.fingerprint
    distributed.require_same(
        schema=mark(derivation.schema.to_json()),
        split_of_the_rows=mark(rows.train, rows.stop, rows.held_out),
        choices=mark(derivation.choices.to_json()),
        initial_weights=mark(*derivation.model.state_dict().values(), *derivation.criterion.state_dict().values()),
    )


@functools.singledispatch
def score_of(
    kind: nn.Module, prepared: Prepared, model: nn.Module, store: Store, place: torch.device
) -> Callable[[], float | Score]:
    """What decides which weights are kept and when to stop, the lower the better: by default the criterion on the rows kept for it.

    Open by ``score_of.register(ModelType)``, for models whose criterion is no score.
    """
    return _score(prepared, model, store, place)


def _score(prepared: Prepared, model: nn.Module, store: Store, place: torch.device) -> Callable[[], float]:
    """The criterion on the rows that decide when to stop: a mean over those that count, of which each rank takes its share."""
    criterion = prepared.derivation.criterion
    rows = torch.from_numpy(prepared.rows.stop)
    parts = torch.split(rows, chunk_of(prepared.store, prepared.schema))

    def score() -> float:
        criterion.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=collective.device())
        # Fewer rows than processes have no shares: every rank looks at all, as parameters in shards ask, and the first one counts.
        shares = [collective.share(part) if len(part) >= collective.processes() else part for part in parts]
        for part, mine, found in zip(parts, shares, store.batches(shares), strict=True):
            batch = found.to(place)
            own = whole = float(batch["weight"].sum()) if "weight" in batch else float(batch.size)
            if len(mine) < len(part):
                batch = Share(batch.tensors, batch.views, len(part))
                whole = collective.total(own)
            elif not collective.first():
                own = whole = 0.0
            value = criterion(model(batch), batch).total.item()
            sums += torch.tensor([value * whole if whole else 0.0, own], dtype=torch.float64, device=sums.device)
        criterion.train()
        total, count = collective.add(sums).tolist()
        return float(total / max(count, 1e-12))

    return score


@functools.singledispatch
def film_of(
    kind: nn.Module, prepared: Prepared, store: Store, place: torch.device
) -> Callable[[], torch.Tensor] | None:
    """What is looked at again and again as training goes, for the report; by default nothing.

    Open by ``film_of.register(ModelType)``, for models that make something. What it gives takes a place in every checkpoint, so it
    is small; it is called with the model in evaluation and draws only from generators of its own.
    """
    return None


def _observer(prepared: Prepared, model: nn.Module, store: Store, place: torch.device) -> Callable[[], dict[str, Any]]:
    """Scales of activations and gradients, layer by layer on one training batch, and step by step of recurrent layers on the
    longest rows of it; the model itself is not touched.
    """
    criterion = prepared.derivation.criterion
    rows = torch.from_numpy(prepared.rows.train[: prepared.derivation.choices.batch_size])
    longest = rows if store.lengths is None else rows[store.lengths.cpu()[rows].argsort(descending=True)][:LONGEST_ROWS]
    batch, few = store.batch(rows).to(place), store.batch(longest).to(place)

    def backward(batch: Batch) -> torch.Tensor:
        loss: torch.Tensor = criterion(model(batch), batch).total
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def observe() -> dict[str, Any]:
        mode = model.training
        model.train()
        # Critics count their steps, and what they would descend is no gradient of theirs.
        buffers = [(buffer, buffer.detach().clone()) for buffer in criterion.buffers()]
        gradients = [(parameter, parameter.grad) for parameter in criterion.parameters()]
        found = {
            "layers": layer_scales(model, lambda: backward(batch)),
            "time": time_scales(model, lambda: backward(few)),
        }
        for parameter, gradient in gradients:
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        model.train(mode)
        return found

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
