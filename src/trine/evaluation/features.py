"""A space in which rows that a critic sees can be compared, made on the spot: no weights are needed from anywhere."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Matrix = NDArray[np.float64]

MAPS = (32, 64, 128)
"""Channels of the random network, a stage of it each; it halves a picture's sides at each."""
MOST = 128
"""Features at most: a covariance of more wants more rows than are at hand."""
FEWEST = 8
WIDE = 1024
"""Features from which on components are those of so many rows."""
LEAST = 0.1
"""Part of the median feature's deviation that a feature is taken to have at least."""


@dataclasses.dataclass(frozen=True)
class FeatureSpace:
    """Rows as a critic sees them → features, (rows, d) float64.

    Attributes:
        name: of the network, which a distance in its features is named after.
    """

    name: str
    network: Callable[[Tensor], Matrix]

    def __call__(self, rows: Tensor) -> Matrix:
        return self.network(rows)


def feature_space(
    rows: Tensor, shapes: Sequence[tuple[int, ...]], compared: int, seed: int = 0, columns: Tensor | None = None
) -> FeatureSpace:
    """A space for rows as a critic sees them, by what they are.

    Pictures: a convolutional network with random weights, whose responses are averaged over quarters of a picture (``random-conv``;
    random features tell textures and shapes apart, though less finely than trained ones). Anything else: its numbers, each in its
    standard deviations (``standardised``). Of many, their principal components over ``rows``: at most 128, and an eighth of
    the rows that are to be compared, because covariances of more directions than rows say nothing.

    Args:
        rows: (n, ...) true rows, from which means, deviations and components are taken.
        shapes: of the fields. compared: rows on a side. seed: of the random network.
        columns: (numbers,) the column that each number is of; those of one are in units of the column's deviation, the root of the
            sum of their variances. Else a rare category would weigh as much as a whole column. By default each is a column.
    """
    if len(shapes) == 1 and len(shapes[0]) == 3:
        return standardised("random-conv", RandomConvolutions(shapes[0][0], seed).features, rows, compared)
    return standardised("standardised", _flat, rows, compared, columns)


def standardised(
    name: str,
    network: Callable[[Tensor], Matrix],
    rows: Tensor,
    compared: int,
    columns: Tensor | None = None,
    together: bool = False,
) -> FeatureSpace:
    """The space of a network's features, each in its standard deviations over ``rows``; of many, their principal components.

    Args:
        name: of the network. network: rows → (n, d) features, float64.
        rows, compared, columns: as of :func:`feature_space`.
        together: whether features keep their proportions, as codes do, of which some hardly vary because they hardly matter.
    """
    known = network(rows)
    mean, std = known.mean(axis=0), known.std(axis=0)
    if columns is not None:
        place = columns.numpy()
        std = np.sqrt(np.bincount(place, weights=std**2))[place]
    if together:
        std = np.full_like(std, np.sqrt((std**2).mean()))
    # A feature that hardly ever moves would else outweigh all others where it does.
    std = np.maximum(std, max(LEAST * float(np.median(std)), 1e-6))
    axes = np.eye(known.shape[1])
    most = min(MOST, max(compared // 8, FEWEST))
    if known.shape[1] > most:
        scaled = (known - mean) / std
        if known.shape[1] > WIDE:  # of some rows then, whose products are a smaller matrix with the same components
            axes = np.linalg.svd(scaled[:WIDE], full_matrices=False)[2].T[:, :most]
        else:
            axes = np.linalg.eigh(scaled.T @ scaled)[1][:, ::-1][:, :most]
    # A variance of one in the mean of the directions, the scale that kernels are made for.
    axes = axes / max(float((((known - mean) / std) @ axes).std(axis=0).mean()), 1e-6)

    def features(value: Tensor) -> Matrix:
        found: Matrix = ((network(value) - mean) / std) @ axes
        return found

    return FeatureSpace(name, features)


def _flat(rows: Tensor) -> Matrix:
    found: Matrix = rows.flatten(1).double().numpy()
    return found


class RandomConvolutions(nn.Module):
    """Three strided convolutions with weights N(0, 2/fan), rectified; averaged over quarters of the picture after each.

    Args:
        channels: of the pictures. seed: of the weights.
    """

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.stages = nn.ModuleList()
        for before, after in zip((channels, *MAPS), MAPS, strict=False):
            layer = nn.Conv2d(before, after, 3, stride=2, padding=1)
            with torch.no_grad():
                layer.weight.normal_(0, math.sqrt(2 / (9 * before)), generator=generator)
                assert layer.bias is not None
                layer.bias.normal_(0, 0.1, generator=generator)
            self.stages.append(layer)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channels, height, width) → (batch, 4 · Σ maps)."""
        found, h = [], pictures
        for stage in self.stages:
            h = torch.relu(stage(h))
            found.append(nn.functional.adaptive_avg_pool2d(h, 2).flatten(1))
        return torch.cat(found, 1)

    def features(self, pictures: Tensor) -> Matrix:
        """The same of all rows, in parts, as float64."""
        with torch.inference_mode():
            parts = [self(part.float()) for part in torch.split(pictures, 512)]
        found: Matrix = torch.cat(parts).double().numpy()
        return found
