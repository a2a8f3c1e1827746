"""The random generators that a training draws from: seeded, kept, put back."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def state() -> dict[str, Any]:
    """The state of torch's, NumPy's and Python's global generators, as tensors and JSON scalars."""
    version, words, spare = random.getstate()
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one is meant
    assert isinstance(legacy, dict)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {
            "key": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
            "place": int(legacy["state"]["pos"]),
            "has_spare": int(legacy["has_gauss"]),
            "spare": float(legacy["gauss"]),
        },
        "python": {"version": version, "words": torch.tensor(words), "spare": spare},
    }


def restore(kept: dict[str, Any]) -> None:
    """Go on from what :func:`state` gave."""
    torch.set_rng_state(kept["torch"])
    if kept["cuda"]:
        torch.cuda.set_rng_state_all(kept["cuda"])
    numpy_, python = kept["numpy"], kept["python"]
    key = numpy_["key"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, numpy_["place"], numpy_["has_spare"], numpy_["spare"]))  # noqa: NPY002
    random.setstate((python["version"], tuple(python["words"].tolist()), python["spare"]))


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever is drawn inside, the generators go on afterwards as if nothing had been."""
    kept = state()
    try:
        yield
    finally:
        restore(kept)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All generators start from ``seed`` inside; afterwards the caller's go on as if nothing had been drawn."""
    with undisturbed():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        yield
