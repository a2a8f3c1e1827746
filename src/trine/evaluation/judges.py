"""Networks that judge samples, trained on the spot on true rows: a classifier where kinds are known, else an autoencoder."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, leaky_relu, mse_loss

from trine.evaluation.features import MOST, FeatureSpace, standardised

FEW = 40
"""Rows below which a judge learns nothing that could be trusted."""
ROWS = 10_000
"""Rows at most that a judge learns from."""
EPOCHS, STEPS, BATCH = 30, 1000, 64
"""Passes over the rows and steps, at most, and rows of a step."""
WORK = 6e11
"""Floating point operations at most of a training, about ten seconds of a core: of large pictures fewer steps are made."""
STEP_SIZE = 2e-3
"""The largest of a step; it rises to that and falls again (one cycle)."""
MAPS = (32, 64, 128)
"""Channels of the stages; those after the last have as many as it."""
PLACES = 4
"""Places a side that the stages leave about."""
FEATURES = 64
CODES = 64
"""Numbers of a code at most."""
KINDS = 20
"""Clusters at most, and a cluster for so many rows at least: :data:`OF_KIND`."""
OF_KIND = 25
SEEN = 512
"""Rows that go through a judge at a time."""


@dataclasses.dataclass(frozen=True)
class Judge:
    """What a trained network sees in rows.

    Attributes:
        space: its features, in which distances are taken; carries its name, ``classifier`` or ``autoencoder``.
        kind: rows → (n,) which of ``names`` each is. names: of the classes, or of clusters, counted from 1.
        learned_from: rows.
    """

    space: FeatureSpace
    kind: Callable[[Tensor], NDArray[np.int64]]
    names: tuple[str, ...]
    learned_from: int


def judgeable(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether judges can be trained of rows with fields of these shapes: of a picture, a series or a sound alone."""
    return len(shapes) == 1 and len(shapes[0]) in (2, 3)


@torch.inference_mode(False)
def classifier(
    rows: Tensor, kinds: NDArray[np.int64], names: Sequence[str], compared: int, seed: int = 0, device: str = "cpu"
) -> Judge:
    """A convolutional classifier of rows by their kinds; its features are those before the last layer.

    Args:
        rows: (n, channels, *places), n ≥ FEW. kinds: (n,) indices into ``names``. compared: rows on a side of a distance.
        seed: of weights and batches; torch's own generators are left as they are. device: that it is trained on.
    """
    rows = rows.clone()  # which may have been made in inference
    with _seeded(seed):
        network = _Classifier(tuple(rows.shape[1:]), len(names))
    wanted = torch.from_numpy(kinds)
    run = _trained(
        network, rows, lambda part, index: cross_entropy(network(part), wanted[index].to(part.device)), seed, device
    )

    def kind(value: Tensor) -> NDArray[np.int64]:
        found: NDArray[np.int64] = run(network, value).argmax(1).numpy()
        return found

    space = standardised("classifier", lambda value: run(network.features, value).double().numpy(), rows, compared)
    return Judge(space, kind, tuple(map(str, names)), len(rows))


@torch.inference_mode(False)
def autoencoder(rows: Tensor, compared: int, seed: int = 0, device: str = "cpu") -> Judge:
    """A convolutional autoencoder of rows, whose kinds are the clusters of its codes (k-means).

    Args: as of :func:`classifier`.
    """
    from sklearn.cluster import KMeans

    rows = rows.clone()
    with _seeded(seed):
        network = _Autoencoder(rows, min(CODES, MOST, max(compared // 8, 2)))
    run = _trained(network, rows, lambda part, index: mse_loss(network(part), part), seed, device)
    space = standardised(
        "autoencoder", lambda value: run(network.encode, value).double().numpy(), rows, compared, together=True
    )
    known = space(rows)
    count = max(min(KINDS, len(rows) // OF_KIND), 2)
    found = KMeans(count, n_init=3, random_state=seed % 2**32).fit(known)
    largest = np.argsort(np.argsort(-np.bincount(found.labels_, minlength=count), kind="stable"), kind="stable")

    def kind(value: Tensor) -> NDArray[np.int64]:
        return np.asarray(largest[found.predict(space(value))], dtype=np.int64)

    return Judge(space, kind, tuple(str(i + 1) for i in range(count)), len(rows))


class _Stages(nn.Module):
    """Strided convolutions until few places are left: (batch, channels, *places) → (batch, features)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, *places = shape
        convolution = nn.Conv2d if len(places) == 2 else nn.Conv1d
        self.sizes: list[tuple[int, ...]] = [tuple(places)]
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        while max(self.sizes[-1]) > PLACES or not len(self.convolutions):
            width = MAPS[min(len(self.convolutions), len(MAPS) - 1)]
            # Of a long series or sound a stage takes a quarter of the steps.
            stride = 4 if len(places) == 1 and self.sizes[-1][0] > 64 else 2
            self.convolutions.append(convolution(channels, width, 2 * stride - 1, stride, stride - 1))
            self.norms.append(nn.GroupNorm(8, width))
            self.sizes.append(tuple(math.ceil(size / stride) for size in self.sizes[-1]))
            channels = width
        self.channels = channels
        self.features = channels * math.prod(self.sizes[-1])

    def forward(self, value: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            value = leaky_relu(norm(convolution(value)), 0.2)
        return value.flatten(1)


class _Classifier(nn.Module):
    def __init__(self, shape: tuple[int, ...], kinds: int) -> None:
        super().__init__()
        self.stages = _Stages(shape)
        self.dense = nn.Linear(self.stages.features, FEATURES)
        self.last = nn.Linear(FEATURES, kinds)

    def features(self, value: Tensor) -> Tensor:
        return leaky_relu(self.dense(self.stages(value)), 0.2)

    def forward(self, value: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(value))
        return logits


class _Autoencoder(nn.Module):
    """z = Pᵀ(x − μ) + e(x), x̂ = μ + P z + d(z): it starts as the projection on the principal components, which it can only improve.

    Args:
        rows: whose components they are. codes: how many.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, rows: Tensor, codes: int) -> None:
        super().__init__()
        shape = tuple(rows.shape[1:])
        flat = rows[:4096].flatten(1).float()
        codes = min(codes, *flat.shape)
        self.register_buffer("mean", flat.mean(0))
        self.register_buffer("axes", torch.pca_lowrank(flat, codes)[2])
        self.stages, self.shape = _Stages(shape), shape
        self.code = nn.Linear(self.stages.features, codes)
        self.dense = nn.Linear(codes, self.stages.features)
        convolution = nn.Conv2d if len(shape) == 3 else nn.Conv1d
        self.back = nn.ModuleList()
        widths = [shape[0], *(MAPS[min(i, len(MAPS) - 1)] for i in range(len(self.stages.convolutions)))]
        for after, before in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.back.append(convolution(before, after, 3, padding=1))
        for layer in (self.code, self.back[-1]):
            assert isinstance(layer, nn.Module)
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def encode(self, value: Tensor) -> Tensor:
        found: Tensor = (value.flatten(1) - self.mean) @ self.axes + self.code(self.stages(value))
        return found

    def forward(self, value: Tensor) -> Tensor:
        z = self.encode(value)
        h = self.dense(z).view(len(z), self.stages.channels, *self.stages.sizes[-1])
        *inner, last = self.back
        for layer, size in zip(inner, self.stages.sizes[-2:0:-1], strict=True):
            h = nn.functional.interpolate(layer(leaky_relu(h, 0.2)), size=size)
        h = last(nn.functional.interpolate(leaky_relu(h, 0.2), size=self.stages.sizes[0]))
        found: Tensor = (self.mean + z @ self.axes.T).view(-1, *self.shape) + h
        return found


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draws inside are those of ``seed``; the caller's generator goes on as if there had been none."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _trained(
    network: nn.Module, rows: Tensor, loss: Callable[[Tensor, Tensor], Tensor], seed: int, device: str
) -> Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]:
    """Train in place; gives the function that runs a part of the network on many rows, on the CPU.

    Args:
        loss: (rows, their indices) → scalar.
    """
    rows = rows.detach().float()
    generator = torch.Generator().manual_seed(seed)
    network.to(device)
    size = min(BATCH, len(rows))
    epochs = range(EPOCHS)
    order = torch.cat([torch.randperm(len(rows), generator=generator)[: len(rows) // size * size] for _ in epochs])
    batches = order.view(-1, size)
    steps = min(STEPS, len(batches), max(int(WORK / _work(network, rows[:1].to(device), size)), 1))
    optimiser = torch.optim.AdamW(network.parameters(), STEP_SIZE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, STEP_SIZE, total_steps=max(steps, 2))
    network.train()
    with torch.enable_grad():
        for index in batches[:steps]:
            optimiser.zero_grad()
            loss(rows[index].to(device), index).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    network.eval()

    def run(part: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([part(some.float().to(device)).cpu() for some in torch.split(value, SEEN)])

    return run


def _work(network: nn.Module, row: Tensor, size: int) -> float:
    """Floating point operations of a step, about."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(row)
    return float(3 * size * max(counter.get_total_flops(), 1))
