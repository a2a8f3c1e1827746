"""What objects are compared in, whatever they are: numbers side by side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from trine.data import Store
from trine.data._store import Field
from trine.domains import Audio, Domain, Image

AT_ONCE = 500
"""Objects that are looked at at a time."""
TOKEN = 16
"""Numbers that a token of a text is compared by."""
TWO_LEVELS = 0.75
"""Share of the pixels' variance between dark and light above which pictures are taken for ink on paper."""


@dataclasses.dataclass(frozen=True)
class Look:
    """How objects become numbers, as the known rows have taught it.

    Attributes:
        known: the known rows. scales: field of numbers → mean and standard deviation of each column.
        ink: column of pictures that are ink on paper → share of their pixels that are ink.
        loudness: field of sound → root mean square of its samples.
    """

    known: Store
    scales: dict[str, tuple[Tensor, Tensor]]
    ink: dict[str, float]
    loudness: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, known: Store, x: Mapping[str, Domain], binarise: bool | None) -> Self:
        """Learn it.

        Args:
            known: rows. x: column → domain.
            binarise: whether pictures are ink on paper; None: those of one channel that are nearly so.
        """
        batch = known.batch(torch.arange(known.rows))
        scales: dict[str, tuple[Tensor, Tensor]] = {}
        for name in known.fields:
            values = batch[name]
            if values.is_floating_point() and values.dim() == 2:
                mean = values.nanmean(0)
                std = (values - mean).square().nanmean(0).sqrt()
                scales[name] = (mean, torch.where(std > 1e-6, std, 1.0))
        ink: dict[str, float] = {}
        for column, domain in x.items():
            if not isinstance(domain, Image) or binarise is False:
                continue
            pixels = batch[f"x.{column}"]
            light = pixels > 0.5
            share = float(light.float().mean())
            if not 0.0 < share < 1.0:
                continue
            levels = torch.where(light, pixels[light].mean(), pixels[~light].mean())
            explained = 1.0 - float((pixels - levels).square().mean() / pixels.var().clamp_min(1e-12))
            if binarise or (domain.channels == 1 and explained > TWO_LEVELS):
                ink[column] = share
        loudness = {f"x.{name}": domain.loudness or 1.0 for name, domain in x.items() if isinstance(domain, Audio)}
        return cls(known, scales, ink, loudness)

    def flat(self, store: Store, smooth: bool = False) -> NDArray[np.float64]:
        """(rows, numbers) objects side by side: numbers, series and sound in standard deviations, categories as 0 and 1, tokens
        as signs, pixels in [0, 1].

        With ``smooth`` as types are compared: ink with its centre in the middle, for a shape is the same wherever it stands, and
        pixels as means of their neighbours.
        """
        parts = []
        for rows in torch.split(torch.arange(store.rows), AT_ONCE):
            batch = store.batch(rows)
            own = []
            for name, field in self.known.fields.items():
                values = batch[name]
                if name in self.scales:
                    mean, std = self.scales[name]
                    values = ((values - mean) / std).nan_to_num(0.0)
                elif not values.is_floating_point() and field.lengths is not None:
                    values = _tokens(_of_length(values, int(field.lengths.max()), -1))
                elif not values.is_floating_point():
                    values = _one_hot(values, field)
                elif field.lengths is not None:
                    values = _of_length(values, int(field.lengths.float().median())) / self.loudness.get(name, 1.0)
                elif smooth and values.dim() == 4:
                    ink = name.removeprefix("x.") in self.ink
                    values = F.avg_pool2d(_centred(values) if ink else values, 3, 1, 1)
                own.append(values.flatten(1).double())
            parts.append(torch.cat(own, 1))
        return torch.cat(parts).numpy()

    def distinct(self, store: Store, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of ``rows`` those that are not like an earlier one, to three decimals."""
        if not len(rows):
            return rows
        rounded = np.round(self.flat(store)[rows], 3)
        return rows[np.sort(np.unique(rounded, axis=0, return_index=True)[1])]


def _one_hot(codes: Tensor, field: Field) -> Tensor:
    """(rows, columns) codes → 0 and 1 for each code that known rows have; of what is missing, and of other codes, 0 for all."""
    most = max(int(field.data.max()) + 1, 1)
    flat = codes.flatten(1).long()
    known = (flat >= 0) & (flat < most)
    return F.one_hot(flat.clamp(0, most - 1), most) * known.unsqueeze(2) / math.sqrt(2.0)


def _tokens(codes: Tensor) -> Tensor:
    """(rows, steps) codes, −1 beyond a row's end → (rows, steps, TOKEN) signs drawn once for each code, 0 where there is none.

    A vocabulary is too large for a number each; by signs at random two tokens are about as far apart as any other two.
    """
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (int(codes.max().clamp(min=0)) + 1, TOKEN), generator=generator) * 2.0 - 1.0
    return signs[codes.long().clamp(min=0)] * (codes >= 0).unsqueeze(2) / math.sqrt(2.0 * TOKEN)


def _centred(pictures: Tensor) -> Tensor:
    """(rows, channels, h, w) pictures of light ink on dark, moved by whole pixels so that the ink's centre is in the middle."""
    rows, _, h, w = pictures.shape
    weight = pictures.sum(1)
    total = weight.sum((1, 2)).clamp_min(1e-6)
    down = ((h - 1) / 2 - (weight.sum(2) * torch.arange(h)).sum(1) / total).round().long()
    right = ((w - 1) / 2 - (weight.sum(1) * torch.arange(w)).sum(1) / total).round().long()
    y = torch.arange(h)[None, :] - down[:, None]
    x = torch.arange(w)[None, :] - right[:, None]
    inside = ((y >= 0) & (y < h))[:, :, None] & ((x >= 0) & (x < w))[:, None, :]
    index = torch.arange(rows)[:, None, None]
    moved = pictures[index, :, y.clamp(0, h - 1)[:, :, None], x.clamp(0, w - 1)[:, None, :]]
    return torch.where(inside[:, None], moved.permute(0, 3, 1, 2), 0.0)


def _of_length(values: Tensor, steps: int, padding: int = 0) -> Tensor:
    """(rows, steps, ...) cut, or padded."""
    if values.shape[1] >= steps:
        return values[:, :steps]
    more = values.new_full((len(values), steps - values.shape[1], *values.shape[2:]), padding)
    return torch.cat([values, more], 1)
