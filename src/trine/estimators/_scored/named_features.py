"""Samples in the features of a network that the user has: Inception for the FID, or any other, by its own name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.data import table_of
from trine.domains import Domain, Image
from trine.errors import ChoiceError
from trine.estimators._encoders import source_of
from trine.evaluation import Evaluation, Metric
from trine.evaluation.features import FeatureSpace, Matrix, standardised
from trine.evaluation.inception import TO_READ, inception
from trine.evaluation.samples import frechet, kernel_distance

AT_ONCE = 32
"""Pictures that go through Inception at a time; each is brought to 299 × 299 pixels."""
Columns = Mapping[str, NDArray[Any]]


def with_network(
    evaluation: Evaluation,
    network: Any,
    domains: Mapping[str, Domain],
    decode: Callable[[Tensor], Columns],
    made: Tensor,
    true: Tensor,
    other: Tensor,
) -> Evaluation:
    """The evaluation with distances in a network's features, first. Their floor is that of ``other``, true rows, for ``made``.

    Args:
        network: weights of Inception v3 (a ``.pth``, ``.pt`` or ``.safetensors``), or whatever :class:`~trine.Transfer` takes.
        domains: column → domain of the rows. decode: rows as a critic sees them → columns in the user's units.

    Raises:
        ArtefactError, ChoiceError, DataError: the network cannot be read, or does not read such rows.
    """
    n = min(map(len, (made, true, other)))
    space = _space(network, domains, decode, torch.cat([true[:n], other[:n]]), n)
    a, b, c = (space(rows[:n]) for rows in (made, true, other))
    distance, kernel = ("FID", "KID") if space.name == "FID" else (f"FD-{space.name}", f"KD-{space.name}")
    none, (value, error) = float("nan"), kernel_distance(b, a)
    metrics = {
        distance: Metric(frechet(b, a), none, none, frechet(b, c), False),
        kernel: Metric(value, value - 1.96 * error, value + 1.96 * error, kernel_distance(b, c)[0], False),
    }
    return dataclasses.replace(evaluation, metrics={**metrics, **evaluation.metrics})


def _space(
    network: Any, domains: Mapping[str, Domain], decode: Callable[[Tensor], Columns], rows: Tensor, compared: int
) -> FeatureSpace:
    if isinstance(network, str | os.PathLike) and Path(network).suffix in TO_READ:
        return _of_inception(network, domains, decode)
    source = source_of(network)

    def features(value: Tensor) -> Matrix:
        return source.features(source.inputs(table_of(decode(value)))).astype(np.float64)

    return standardised(Path(source.name).stem if source.kind == "trine" else source.name, features, rows, compared)


def _of_inception(
    path: str | os.PathLike[str], domains: Mapping[str, Domain], decode: Callable[[Tensor], Columns]
) -> FeatureSpace:
    """The features as they are, as FID takes them."""
    if len(domains) != 1 or not isinstance(next(iter(domains.values())), Image):
        raise ChoiceError(
            f"Inception reads pictures, and what is made here is {', '.join(domains)}; leave its weights out."
        )
    network, name = inception(path)
    (column,) = domains

    def features(value: Tensor) -> Matrix:
        found = []
        for part in torch.split(value, AT_ONCE):
            pixels = torch.from_numpy(np.ascontiguousarray(decode(part)[column]))
            pixels = pixels[..., None] if pixels.dim() == 3 else pixels
            if pixels.shape[-1] not in (1, 3):
                raise ChoiceError(
                    f"Inception reads grey or coloured pictures, and these have {pixels.shape[-1]} channels."
                )
            top = torch.iinfo(pixels.dtype).max if not pixels.is_floating_point() else 1
            with torch.inference_mode():
                found.append(network(pixels.permute(0, 3, 1, 2).float() / top))
        known: Matrix = torch.cat(found).double().numpy()
        return known

    return FeatureSpace(name.removeprefix("FD-"), features)
