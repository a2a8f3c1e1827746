"""Which mirror images of x mean the same: measured on the training rows, not assumed.

If turning an image over leaves its distribution, jointly with its label, as it is, then a classifier fitted on images as they
are is as often right on the mirror images of new ones. So a quick classifier is fitted on some training images, and its accuracy
on others is compared with its accuracy on their mirror images. A mirror is adopted when the loss is surely a small part
of what the classifier knows beyond the majority class; where it knows nothing, nothing is adopted.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from trine.choices import Choices
from trine.data import Schema, Store
from trine.domains import Category, Image

ROWS = 8192
"""Most training images looked at; two thirds fit the classifier, one third judges."""
CHUNK = 256
"""Images that are read at a time: all of them as float32 would be gigabytes."""
SIDE = 16
"""Images are averaged down to at most this many pixels a side."""
TOLERATED = 0.25
"""Largest share of the classifier's skill that a mirror may cost, at the upper end of its one-sided 95 % interval."""

MIRRORS = {"horizontal": 3, "vertical": 2}
"""Mirror → the axis of (rows, channels, height, width) that it turns over."""


def measure_invariances(
    store: Store, schema: Schema, rows: NDArray[np.int64], choices: Choices, seed: int
) -> tuple[tuple[str, ...] | None, str]:
    """(mirrors under which the images keep their meaning, a sentence of evidence); (None, "") where there is nothing to measure.

    Measured for one image column and one categorical target, when the user has not chosen ``flip``.

    Args:
        store: encoded rows. schema: fitted. rows: the training rows. seed: draws the rows that are looked at.
    """
    images = [name for name, domain in schema.x.items() if isinstance(domain, Image)]
    categories = [name for name, domain in schema.y.items() if isinstance(domain, Category)]
    if choices.flip is not None or len(images) != 1 or len(categories) != 1 or len(schema.y) != 1:
        return None, ""
    generator = np.random.default_rng(seed)
    some = torch.from_numpy(np.sort(generator.permutation(rows)[:ROWS]))
    pooled, classes = [], []
    for part in torch.split(some, CHUNK):
        batch = store.batch(part)
        x = batch[f"x.{images[0]}"]
        pooled.append(adaptive_avg_pool2d(x, (min(SIDE, x.shape[2]), min(SIDE, x.shape[3]))))
        classes.append(batch[f"y.{categories[0]}"])
    x, labels = torch.cat(pooled), torch.cat(classes)
    order = torch.from_numpy(generator.permutation(len(x)))
    judges, learners = order[: len(x) // 3], order[len(x) // 3 :]
    if len(judges) < 2:
        return (), "too few images to measure whether mirror images mean the same"
    classify = _ridge(x[learners], labels[learners])
    right = classify(x[judges]) == labels[judges]
    majority = torch.bincount(labels[learners]).argmax()
    skill = float(right.double().mean() - (labels[judges] == majority).double().mean())
    adopted, words = [], []
    for mirror, axis in MIRRORS.items():
        mirrored = classify(x[judges].flip(axis)) == labels[judges]
        loss = right.double() - mirrored.double()
        upper = float(loss.mean() + 1.64 * loss.std() / math.sqrt(len(judges)))
        words.append(f"{float(mirrored.double().mean()):.3f} on {mirror} mirror images")
        if upper <= TOLERATED * skill:
            adopted.append(mirror)
    evidence = (
        f"a ridge classifier of {len(learners):,} training images is right on {float(right.double().mean()):.3f} of "
        f"{len(judges):,} others, {' and '.join(words)}"
    )
    return tuple(adopted), evidence


def _ridge(x: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Ridge regression onto one-hot labels in closed form, as a function from images to labels."""
    flat = x.flatten(1).double()
    mean, scale = flat.mean(0), flat.std().clamp_min(1e-6)
    z = (flat - mean) / scale
    targets = torch.nn.functional.one_hot(labels).double()
    offset = targets.mean(0)
    penalty = 0.1 * len(z) * torch.eye(z.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(z.T @ z + penalty, z.T @ (targets - offset))

    def classify(images: Tensor) -> Tensor:
        scores: Tensor = ((images.flatten(1).double() - mean) / scale) @ weights + offset
        return scores.argmax(1)

    return classify
