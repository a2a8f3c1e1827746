"""How well made pictures suit the very pictures they were made of: as training goes, and of what it ends with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trine.data import Schema, Store
from trine.estimators._batched import chunk_of
from trine.estimators._plan import Prepared
from trine.estimators._scored.samples import JUDGED, SCORED, SEED, seen_rows
from trine.estimators._scored.some_rows import some_rows
from trine.estimators._training import score_of
from trine.evaluation import Evaluation, Metric, games
from trine.evaluation.features import FeatureSpace, feature_space
from trine.models import PictureTranslation
from trine.training import Score, generators

FEATURES = 1024
"""Rows of which the features' components are asked for: there is no covariance to estimate, so that all are kept."""
ANSWERS = 2
"""To each picture, for a score as training goes: the fewest that tell how far answers are apart."""

Matrix = NDArray[np.float64]


def energy(true: Matrix, answers: Matrix) -> Matrix:
    r"""Energy score of each picture's answers,

    .. math:: \frac{1}{n} \sum_i \|a_i - y\| - \frac{1}{2 n (n - 1)} \sum_{i \neq j} \|a_i - a_j\|

    In the mean it is least where answers are distributed as y is given its condition: a generator gains nothing by answers that are
    all alike, and none by answers that differ more than they should.

    Args:
        true: (rows, d). answers: (rows, n, d), n of at least 2.

    Returns:
        (rows,).

    References:
        Gneiting and Raftery, `Strictly Proper Scoring Rules, Prediction, and Estimation`, 2007, section 4.2.
    """
    n = answers.shape[1]
    off = np.linalg.norm(answers - true[:, None], axis=2).mean(axis=1)
    apart = sum(np.linalg.norm(answers[:, i] - answers[:, j], axis=1) for i in range(n) for j in range(i))
    found: Matrix = off - apart / (n * (n - 1))
    return found


@score_of.register
def pair_score(
    kind: PictureTranslation, prepared: Prepared, model: nn.Module, store: Store, place: torch.device
) -> Callable[[], Score]:
    """The energy score of two answers to each held-out picture, in random features; the same noise each time. Lower is better."""
    network = kind
    held = some_rows(prepared.rows.stop, SCORED)
    with generators.seeded(SEED):
        space = space_of(prepared, network)
        true = space(seen_rows(network, store, prepared.schema, held, place))

    def score() -> Score:
        with generators.seeded(SEED):
            made = answers_of(network, store, prepared.schema, held, place, ANSWERS)
            found = np.stack([space(answer) for answer in made.unbind(1)], axis=1)
        if not np.isfinite(found).all():
            return Score(float("inf"))
        # What another draw of the answers would change, by how far those of one picture are from it.
        far = np.linalg.norm(found - true[:, None], axis=2)
        return Score(float(energy(true, found).mean()), float(np.sqrt(far.var(axis=1, ddof=1).mean() / far.size)))

    return score


def space_of(prepared: Prepared, network: PictureTranslation) -> FeatureSpace:
    """Where answers and true pictures are compared."""
    place = next(network.parameters()).device
    rows = some_rows(prepared.rows.train, SCORED)
    true = seen_rows(network, prepared.store, prepared.schema, rows, place)
    return feature_space(true, network.made.shapes, FEATURES, prepared.plan.seed)


def answers_of(
    network: PictureTranslation, store: Store, schema: Schema, rows: NDArray[np.int64], place: torch.device, n: int
) -> Tensor:
    """(rows, n, channels, h, w) answers to each of ``rows``, as networks see them, on the CPU."""
    found = []
    mode = network.training
    network.eval()
    with torch.inference_mode():
        for batch in store.batches(torch.split(torch.from_numpy(rows), max(chunk_of(store, schema) // n, 1))):
            assert network.condition is not None
            condition = network.condition(batch.to(place)).repeat_interleave(n, 0)
            noise = torch.randn(len(condition), network.noise.width).to(place)
            found.append(network.make(noise, condition).cpu())
    network.train(mode)
    made = torch.cat(found)
    return made.reshape(-1, n, *made.shape[1:])


def pair_metrics(
    network: PictureTranslation, store: Store, schema: Schema, rows: NDArray[np.int64], space: FeatureSpace, n: int = 5
) -> dict[str, Metric]:
    """Metrics of ``n`` answers to each of some true pairs, beside those of the answers to another pair's picture.

    ``energy-…``: see :func:`energy`. ``absolute error``: of pixels in [0, 1], of an answer. ``apart``: mean distance of two
    answers to one picture, as a share of that of answers to two pictures. ``spread``: the same over an answer's error; of answers
    that are drawn from what the data leave open it is 1, for the true picture is then one more of them.
    """
    rows = some_rows(rows, JUDGED)
    place = next(network.parameters()).device
    with generators.seeded(SEED):
        true = seen_rows(network, store, schema, rows, place)
        made = answers_of(network, store, schema, rows, place, n)
    features = np.stack([space(answer) for answer in made.unbind(1)], axis=1)
    known = space(true)
    other = games.others(len(rows))
    error = (made - true[:, None]).abs().flatten(1).mean(1).double().numpy() / 2
    mistaken = (made[other] - true[:, None]).abs().flatten(1).mean(1).double().numpy() / 2
    apart = (made - made.roll(1, 1)).abs().flatten(1).mean(1).double().numpy() / 2
    strange = float((made[other] - made).abs().mean()) / 2
    found = energy(known, features)
    return {
        f"energy-{space.name}": _metric(found, float(energy(known, features[other]).mean()), False),
        "absolute error": _metric(error, float(mistaken.mean()), False),
        "apart": _metric(apart / max(strange, 1e-12), 1.0, None, "share"),
        "spread": _metric(apart / max(float(error.mean()), 1e-12), 1.0, None, "share"),
    }


def judged_as_pairs(evaluation: Evaluation, metrics: dict[str, Metric]) -> Evaluation:
    """The evaluation with metrics of pairs before the others, and what stands beside them, which is no floor."""
    energy = next(iter(metrics))
    said = (
        f"beside {energy} and absolute error stands what answers to another picture have; beside apart, answers to two pictures; "
        "beside spread, the level to meet"
    )
    figures = {**evaluation.figures, "notes": [*evaluation.figures.get("notes", []), said]}
    return dataclasses.replace(evaluation, metrics={**metrics, **evaluation.metrics}, figures=figures)


def _metric(values: Matrix, baseline: float, higher: bool | None, unit: str = "") -> Metric:
    """The mean over rows with its interval."""
    error = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    mean = float(values.mean())
    return Metric(mean, mean - error, mean + error, baseline, higher, unit)
