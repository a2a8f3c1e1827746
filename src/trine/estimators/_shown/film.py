"""A film of what a generator makes as training goes: of the same noise, from its first step on."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.data import Store
from trine.domains import Category
from trine.estimators._plan import Prepared
from trine.estimators._training import film_of
from trine.models import Generator
from trine.training import generators

SEED = 90_125
"""Of the noise that is filmed."""
PICTURES = 32
"""Pictures of a frame; half as many where they are large."""
SIDE = 64
"""Pixels a side that a filmed picture has at most."""
NUMBERS = 16_384
"""Numbers of a frame of rows, about."""
ROWS = 240


@film_of.register
def generator_film(
    kind: Generator, prepared: Prepared, store: Store, place: torch.device
) -> Callable[[], Tensor] | None:
    """Made pictures, (n, channels, height, width) bytes, or rows as a critic sees them, float32; of a condition each for a row that
    decides when to stop. The n noises are the same each time.
    """
    pictured = is_picture(kind)
    count = frame_rows(kind)
    noise = noise_of(kind, count).to(place)
    rows = None
    if kind.condition is not None:
        others = prepared.rows.stop if len(prepared.rows.stop) else prepared.rows.train
        rows = torch.from_numpy(filmed_conditions(prepared, others, count))

    def frame() -> Tensor:
        with generators.seeded(SEED):
            condition = None
            if rows is not None:
                assert kind.condition is not None
                condition = kind.condition(store.batch(rows).to(place))
            made = kind.make(noise, condition)
        return small(bytes_of_seen(made)) if pictured else made.float().cpu()

    return frame


def is_picture(network: Generator) -> bool:
    """Whether what is made is a picture alone."""
    return len(network.made.shapes) == 1 and len(network.made.shape) == 3


def frame_rows(network: Generator) -> int:
    """How many rows a frame shows."""
    shape = network.made.shape
    if is_picture(network):
        return PICTURES if max(shape[1:]) <= SIDE // 2 else PICTURES // 2
    return min(max(NUMBERS // math.prod(shape), 8), ROWS)


def noise_of(network: Generator, count: int, seed: int = SEED) -> Tensor:
    """(count, width) noise, the same each time."""
    return torch.randn(count, network.noise.width, generator=torch.Generator().manual_seed(seed))


def filmed_conditions(prepared: Prepared, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """``count`` of the rows, over again where they are fewer; of a class as the only condition, as many of each class, in order."""
    domains = list(prepared.schema.x.items())
    if len(domains) == 1 and isinstance(domains[0][1], Category):
        codes = prepared.store.encoded(f"x.{domains[0][0]}", torch.from_numpy(rows)).reshape(-1)
        known = np.unique(codes[codes >= 0])
        if len(known):
            wanted = np.sort(np.resize(known, count), kind="stable")
            first = {code: rows[codes == code] for code in known}
            seen: dict[int, int] = {}
            found = []
            for code in wanted.tolist():
                seen[code] = seen.get(code, -1) + 1
                found.append(first[code][seen[code] % len(first[code])])
            return np.array(found, dtype=np.int64)
    return np.resize(rows, count)


def bytes_of_seen(seen: Tensor) -> Tensor:
    """Pictures in [−1, 1] as bytes, on the CPU."""
    return ((seen.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def small(pictures: Tensor) -> Tensor:
    """Byte pictures with no side above ``SIDE``: means of squares of whole pixels."""
    times = math.ceil(max(pictures.shape[-2:]) / SIDE)
    if times == 1:
        return pictures
    return (
        torch.nn.functional.avg_pool2d(pictures.float(), times, ceil_mode=True, count_include_pad=False)
        .round()
        .to(torch.uint8)
    )
