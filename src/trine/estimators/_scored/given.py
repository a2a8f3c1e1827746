"""What rows were made for, as features: with them a y that would suit another condition is known to be no true one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trine.blocks import Encoder
from trine.choices import Choices
from trine.data import Schema, Store
from trine.estimators._batched import chunk_of
from trine.evaluation.features import standardised
from trine.training import generators

SEED = 190_708_175
"""Of the weights of the encoder that conditions are read by."""
PART = 4
"""A condition has a quarter of the directions that rows may have: what is made is regressed on each of them."""

Matrix = NDArray[np.float64]


class Given:
    """Rows of a store → features of their conditions, for any x: those of an encoder with random weights.

    Args:
        schema, store: whose x is the condition. choices: of the encoder. place: where it runs.
        rows: (n,) indices of true rows, from which means, deviations and components are taken.
        compared: rows on a side.
    """

    def __init__(
        self,
        schema: Schema,
        store: Store,
        choices: Choices,
        place: torch.device,
        rows: NDArray[np.int64],
        compared: int,
    ) -> None:
        with generators.seeded(SEED):
            encoder = Encoder(schema.x, choices.replace(categories="onehot")).to(place).eval()
        self.space = standardised(
            "random-encoder",
            lambda index: _encoded(encoder, index, schema, store, place),
            torch.from_numpy(rows),
            compared // PART,
        )

    def __call__(self, rows: NDArray[np.int64]) -> Matrix:
        """(n,) indices → (n, d')."""
        return self.space(torch.from_numpy(rows))


def nothing(rows: NDArray[np.int64]) -> Matrix:
    """Features of conditions where there are none: (n,) → (n, 0)."""
    return np.zeros((len(rows), 0))


def _encoded(encoder: nn.Module, rows: Tensor, schema: Schema, store: Store, place: torch.device) -> Matrix:
    with torch.inference_mode():
        parts = [encoder(batch.to(place)).cpu() for batch in store.batches(torch.split(rows, chunk_of(store, schema)))]
    found: Matrix = torch.cat(parts).double().numpy()
    return found
