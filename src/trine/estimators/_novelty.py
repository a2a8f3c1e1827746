"""What a fitted network computes for a row before it predicts, and the novelty detector fitted on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trine.blocks import Encoder, SequenceBlock, own_steps
from trine.data import Store
from trine.estimators._batched import chunk_of, numbers_of
from trine.estimators._plan import Prepared
from trine.evaluation.novelty import Novelty, NoveltyDetector

MOST_ROWS, FEWEST_ROWS, NUMBERS = 10_000, 2_000, 2_000_000
"""Training rows that the detector is fitted on, and rows not trained on that it is calibrated by, at most: fewer, to a least
number, where rows hold many numbers of x.
"""
MEMBERS = 8
"""Weight-sharing members whose representations are averaged."""


class Watch:
    """While open, notes the states that an encoder's blocks compute, reduced to one vector a row.

    A block's own output; before it, of layers with feature maps, (batch, channels, h, w), the mean over positions. Of
    sequences, the mean over the row's own steps of the states and of convolutions before them, how much the states vary and
    change from step to step, and the logarithm of the length; padding changes none of them.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.found: list[Tensor] = []
        self.handles: list[Any] = []

    def __enter__(self) -> Watch:
        for block in self.encoder.blocks:
            if isinstance(block, SequenceBlock):
                for layer in _layers(block):
                    self.handles.append(layer.register_forward_hook(self._steps))
                self.handles.append(block.register_forward_hook(self._sequence))
                continue
            for layer in _layers(block):
                self.handles.append(layer.register_forward_hook(self._maps))
            self.handles.append(block.register_forward_hook(self._output))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def take(self) -> Tensor:
        """(batch, states) of the last forward pass, on the CPU."""
        states = torch.cat([part.float() for part in self.found], dim=1).cpu()
        self.found.clear()
        return states

    def _output(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.found.append(output)

    def _maps(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            self.found.append(output.mean((2, 3)))

    def _steps(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Of a layer called as (x, own), which keeps padding at 0: (batch, channels, [bands,] steps) → mean of own steps."""
        if len(inputs) != 2 or not isinstance(output, Tensor) or output.dim() not in (3, 4):
            return
        own, places = inputs[1], tuple(range(2, output.dim()))
        if own is None:
            self.found.append(output.mean(places))
        elif own.dtype == torch.bool and own.shape == (len(output), output.shape[-1]):
            count = own.sum(1, keepdim=True).clamp_min(1) * math.prod(output.shape[2:-1])
            self.found.append(output.sum(places) / count)

    def _sequence(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.found.append(output)
        self.found.append(inputs[1][:, None].float().log1p())
        memory = inputs[2] if len(inputs) > 2 else None
        if memory:
            states, lengths = memory[-1]
            own, count = own_steps(lengths, states.shape[1])[..., None], lengths.clamp_min(1)[:, None]
            states = torch.where(own, states, 0.0)
            mean = states.sum(1) / count
            self.found += [mean, (states.square().sum(1) / count - mean.square()).clamp_min(0.0).sqrt()]
            # From one step to the next: what is rough and what is smooth differ by it.
            change = torch.where(own[:, 1:], states.diff(dim=1), 0.0)
            self.found.append((change.square().sum(1) / count).sqrt())


def _layers(module: nn.Module) -> list[nn.Module]:
    """The outermost modules inside that call themselves a layer."""
    if getattr(module, "is_layer", False):
        return [module]
    return [layer for child in module.children() for layer in _layers(child)]


def watch_of(model: nn.Module) -> Watch | None:
    """A watch on the model's encoder; None where it has none, or one without inputs."""
    encoder = getattr(model, "encoder", None)
    return Watch(encoder) if isinstance(encoder, Encoder) and len(encoder.blocks) else None


def representation(z: Tensor) -> Tensor:
    """(batch, features): z, on the CPU; of weight-sharing members the mean of the first few, which is as good as of all."""
    return (z[:MEMBERS].mean(0) if z.dim() == 3 else z).float().cpu()


def fit_detector(prepared: Prepared) -> NoveltyDetector | None:
    """The detector of a trained model, calibrated on the rows that decided when to stop.

    These were not learned from; that the epoch was chosen by their score makes them a little less novel than rows never
    seen, by the difference between a few epochs of one training. None for a model without inputs.
    """
    model = prepared.derivation.model
    watch = watch_of(model)
    if watch is None:
        return None
    generator = torch.Generator().manual_seed(prepared.plan.seed)
    most = min(max(NUMBERS // max(numbers_of(prepared.store), 1), FEWEST_ROWS), MOST_ROWS)
    train = _some(torch.from_numpy(prepared.rows.train), most, generator)
    others = _some(torch.from_numpy(prepared.rows.stop), most, generator)
    states, z, unknown = _computed(model, watch, prepared.store, train)
    calibration = _computed(model, watch, prepared.store, others)[:2] if len(others) else None
    return NoveltyDetector.fit(states, z, calibration, blank=bool(unknown.any()), seed=prepared.plan.seed)


def assess_pass(detector: NoveltyDetector, watch: Watch, z: Tensor, batch: Mapping[str, Tensor]) -> Novelty:
    """How novel the rows of ``batch`` are, from what the pass that gave ``z`` computed under ``watch``."""
    return detector.assess(watch.take(), representation(z), watch.encoder.unknown(batch).cpu())


def joined(parts: Sequence[Novelty]) -> Novelty:
    """Consecutive chunks of rows as one."""
    return Novelty(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("score", "p", "flagged")))


def _some(rows: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """At most ``most`` of the rows, in the order in which they lie: a store may be a file."""
    return rows[torch.randperm(len(rows), generator=generator)[:most]].sort().values


def _computed(model: nn.Module, watch: Watch, store: Store, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(states, z, which have nothing known) of ``rows``."""
    parts = list(_passes(model, watch, store, rows))
    states, z, unknown = (torch.cat(part) for part in zip(*parts, strict=True))
    return states, z, unknown


def _passes(model: nn.Module, watch: Watch, store: Store, rows: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    model.eval()
    with torch.inference_mode(), watch:
        for part in torch.split(rows, chunk_of(store)):
            batch = store.batch(part)
            # The encoder alone: the rules tell nothing about where a row lies.
            z = watch.encoder(batch)
            yield watch.take(), representation(z), watch.encoder.unknown(batch).cpu()
