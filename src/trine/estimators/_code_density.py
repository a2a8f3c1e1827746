"""A density of codes that nothing shaped, fitted to them afterwards, so that samples can be drawn."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def fit_density(codes: NDArray[Any], most: int, seed: int) -> dict[str, Tensor]:
    """A mixture of normals: ``weights`` (parts,), ``means`` (parts, width) and ``factors`` (parts, width, width), of Cholesky.

    Args:
        codes: (rows, width) float64. most: normals in the mixture at most; fewer where codes are few.

    References:
        Ghosh et al., `From Variational to Deterministic Autoencoders`, 2020, section 4.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        max(min(most, len(codes) // (2 * codes.shape[1] + 2)), 1),
        reg_covar=1e-4,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough serves
        mixture.fit(codes)
    factors = np.linalg.cholesky(mixture.covariances_)
    found = {"weights": mixture.weights_, "means": mixture.means_, "factors": factors}
    return {name: torch.from_numpy(value).float() for name, value in found.items()}


def draw(density: Mapping[str, Tensor], n: int) -> Tensor:
    """(n, width) codes from it, by torch's generator."""
    part = torch.multinomial(density["weights"], n, replacement=True)
    noise = torch.randn(n, density["means"].shape[1])
    return density["means"][part] + (density["factors"][part] @ noise[..., None]).squeeze(-1)
