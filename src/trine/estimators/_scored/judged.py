"""Samples before a judge trained on the spot: which kinds there are, who tells it, and what it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.data import Schema, Store
from trine.domains import Category
from trine.evaluation import Evaluation, Metric
from trine.evaluation.judges import FEW, ROWS, Judge, autoencoder, classifier, judgeable
from trine.evaluation.samples import frechet, kernel_distance, modes
from trine.evaluation.shares import right, share
from trine.models import Generator

MOST_KINDS = 100
"""Classes beyond which there are too few rows of each to learn them from."""
OF_EACH = 5
"""Rows of each class, in the mean, that a classifier learns from at least."""


@dataclasses.dataclass(frozen=True)
class Kinds:
    """What each row is one of.

    Attributes:
        names: of the kinds. codes: (rows,) indices into them, −1 where unknown, of all rows of a store.
        given: whether they are the condition that rows are made for; else they were never learned from.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    given: bool

    @classmethod
    def given_in(cls, schema: Schema, store: Store) -> Kinds | None:
        """The condition, where it is a class and nothing else."""
        if len(schema.x) != 1:
            return None
        ((name, domain),) = schema.x.items()
        if not isinstance(domain, Category):
            return None
        codes = store.encoded(f"x.{name}", torch.arange(store.rows)).reshape(-1).astype(np.int64)
        return cls(tuple(map(str, domain.labels)), np.where(codes < 0, -1, codes), True)

    @classmethod
    def beside(cls, labels: NDArray[Any] | None) -> Kinds | None:
        """Labels beside the rows, (rows,) texts with None where one is missing."""
        if labels is None:
            return None
        known = np.array([label is not None for label in labels], dtype=bool)
        names, found = np.unique(labels[known].astype(str), return_inverse=True)
        codes = np.full(len(labels), -1, dtype=np.int64)
        codes[known] = found
        return cls(tuple(names.tolist()), codes, False)


@dataclasses.dataclass(frozen=True)
class Seen:
    """Rows of one sort as a critic sees them, beside which rows of the store they are, or are made for."""

    rows: Tensor
    index: NDArray[np.int64]


def judge_of(network: Generator, kinds: Kinds | None, learned: Seen, compared: int, seed: int) -> Judge | None:
    """A judge that learns from true rows; None where there are too few, or they are a table's.

    Args:
        learned: from these. compared: rows on a side that it will see. seed: of its training.
    """
    if not judgeable(network.made.shapes) or len(learned.rows) < FEW or compared < 2:
        return None
    device = str(next(network.parameters()).device)
    rows, index = learned.rows[:ROWS], learned.index[:ROWS]
    if kinds is not None:
        codes = kinds.codes[index]
        there = np.flatnonzero(codes >= 0)
        count = len(np.unique(codes[there]))
        if 2 <= count <= MOST_KINDS and len(there) >= max(FEW, OF_EACH * count):
            return classifier(rows[torch.from_numpy(there)], codes[there], kinds.names, compared, seed, device)
    return autoencoder(rows, compared, seed, device)


def with_judge(
    evaluation: Evaluation, judge: Judge | None, kinds: Kinds | None, made: Seen, true: Seen, other: Seen
) -> Evaluation:
    """The evaluation with what a judge says, first: distances in its features, kinds found and their balance, and whether what was
    made for a class is taken for it. The baselines are those of ``other``, true rows, in the place of ``made``.
    """
    if judge is None:
        return evaluation
    n = min(len(part.rows) for part in (made, true, other))
    a, b, c = (judge.space(part.rows[:n]) for part in (made, true, other))
    none, name = float("nan"), judge.space.name
    value, error = kernel_distance(b, a)
    metrics = {
        f"FD-{name}": Metric(frechet(b, a), none, none, frechet(b, c), False),
        f"KD-{name}": Metric(value, value - 1.96 * error, value + 1.96 * error, kernel_distance(b, c)[0], False),
    }
    found = {key: judge.kind(part.rows[:n]) for key, part in (("made", made), ("true", true), ("other", other))}
    own, floor = (modes(found[key], found["true"], len(judge.names)) for key in ("made", "other"))
    by = "classes" if name == "classifier" else "clusters"
    metrics[f"{by} found"] = Metric(own.found, none, none, floor.found, True)
    metrics[f"{by} out of balance"] = Metric(own.reverse_kl, none, none, floor.reverse_kl, False, "nats")
    if kinds is not None and kinds.given and name == "classifier":
        taken, base = (right(found[key], kinds.codes[part.index[:n]]) for key, part in (("made", made), ("true", true)))
        if len(taken) and len(base):
            metrics["taken for its class"] = share(taken, float(base.mean()))
    shares = {
        "column": by,
        "labels": list(judge.names),
        "data": modes(found["true"], found["true"], len(judge.names)).shares.tolist(),
        "samples": own.shares.tolist(),
        "learned_from": judge.learned_from,
    }
    return dataclasses.replace(
        evaluation,
        metrics={**metrics, **evaluation.metrics},
        figures={**evaluation.figures, "judge": name, "kinds": shares},
    )
