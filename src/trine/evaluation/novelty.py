"""Novelty detection: how far a row lies from the training data, with a p-value.

Two distances in what the network itself computes, both after training and neither touching it:

* Mahalanobis distance of the states of all layers that come before the joined representation: a table's embedded columns, the
  means over positions of a picture's feature maps, the pooled states of a sequence. Directions of small variance are the
  dependences that hold between columns; a row that breaks one lies far off (Lee et al., `A Simple Unified Framework
  for Detecting Out-of-Distribution Samples`, 2018, section 2; all layers: section 2.2), covariance shrunk towards a
  multiple of the identity (Ledoit and Wolf, `A Well-Conditioned Estimator`, 2004), here as far as other rows say;
* distance in direction to the k-th nearest of some training rows in the representation z (Sun et al., `Out-of-Distribution
  Detection with Deep Nearest Neighbors`, 2022).

The score is the sum of their logarithms, each standardised on rows that fitted neither. The p-value is
conformal: the share of held-out rows at least as far off (Vovk, Gammerman and Shafer, `Algorithmic Learning in a Random
World`, 2005, chapter 2; Bates et al., `Testing for Outliers with Conformal p-Values`, 2023).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVEL = 0.01
"""A row is flagged whose p-value is no larger, or no larger than the smallest there can be."""
MOST_STATES = 512
"""Coordinates of the layers' states that are used; of more, as many drawn at random, which keeps every column in."""
BANK = 512
"""Training rows whose z is kept for nearest neighbours."""
NEIGHBOUR = 5
"""Which nearest neighbour is measured to."""
SHRINKAGE = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Shares of a multiple of the identity in the covariance: an exact dependence has no variance to divide by, few rows too much."""
FLOOR = 1e-3
"""Share of the mean variance that is added to a coordinate's own before it is divided by."""
FARTHEST_OUT = 100.0
"""What a direction adds to the squared distance at most, ten standard deviations: one rare value is not a strange row."""
ENOUGH = 100
"""Calibration rows of which a quarter may be spent on standardising the two distances."""
FOLDS = 5
"""Parts of the training rows, where no other rows are there to calibrate by."""


@dataclasses.dataclass(frozen=True)
class Novelty:
    """How unlike the training data some rows are.

    Attributes:
        score: (n,) larger is farther; about 0 ± 2 for rows like the training rows, in no unit.
        p: (n,) share of rows like the training rows that would lie as far off, in [1/(m + 1), 1] for m calibration rows.
        flagged: (n,) bool: ``p`` ≤ the detector's ``level``.
    """

    score: NDArray[np.float64]
    p: NDArray[np.float64]
    flagged: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.score)


def conformal_p(scores: NDArray[np.float64], calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) p-values (1 + #{calibration ≥ score})/(m + 1), from (m,) scores of rows that were not learned from.

    If a row is exchangeable with the calibration rows, P(p ≤ α) ≤ α for every α, on average over calibration sets
    and not for each; p-values of several rows share the calibration rows and are positively dependent. No p-value is
    below 1/(m + 1): 99 rows are needed for one of 0.01.
    """
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return np.asarray((1.0 + len(calibration) - below) / (len(calibration) + 1.0))


class NoveltyDetector:
    """Scores and p-values of rows from the states of a network's layers and its representation z.

    Made by :meth:`fit`; all that it knows is in ``tensors``, which an artefact keeps.

    Attributes:
        tensors: ``columns`` (s,) int64 and ``centre`` (s,), ``whiten`` (s, s): chosen coordinates of the states and the
            map under which their training covariance is the identity; ``bank`` (b, features): directions of z;
            ``scale`` (2, 2): mean and standard deviation of the two logarithms; ``calibration`` (m,): sorted scores of the
            calibration rows; ``held_out``: 1 where those were not trained on, 0 where cross-fitting stood in;
            ``blank``: 1 where training had rows with nothing known.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)

    @classmethod
    def fit(
        cls,
        states: Tensor,
        z: Tensor,
        calibration: tuple[Tensor, Tensor] | None,
        *,
        blank: bool = False,
        seed: int = 0,
    ) -> NoveltyDetector:
        """Fit on training rows, and calibrate on others.

        Args:
            states: (n, s) float: states of the layers for n ≥ 2 training rows. z: (n, features) their representations.
            calibration: the same of rows that the network was not trained on. None, or no rows: each fifth of the training
                rows is scored by a detector fitted on the rest. The network has learned from those rows, and new ones lie
                somewhat farther off: p-values are then too small, most with few rows.
            blank: whether training rows with nothing known exist; where not, such a row is flagged whatever its score.
            seed: of the draws.
        """
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(states), generator=generator)
        states, z = states[order], z[order]
        detector = cls({**_scorer(states, z, generator), "blank": torch.tensor(float(blank))})
        given = calibration is not None and len(calibration[0]) > 0
        if given:
            assert calibration is not None
            drawn = torch.randperm(len(calibration[0]), generator=generator)
            calibration = (calibration[0][drawn], calibration[1][drawn])
            spare = len(calibration[0]) // 4 if len(calibration[0]) >= ENOUGH else 0
            if spare:
                # The network knows its training rows: their nearest neighbours are nearer than a new row's.
                detector.tensors["scale"] = _scale(detector.tensors, *(part[:spare] for part in calibration))
            scores = detector.scores(*(part[spare:] for part in calibration))
        else:
            scores = np.concatenate([_fold(states, z, i, generator) for i in range(min(FOLDS, len(states)))])
        detector.tensors["calibration"] = torch.from_numpy(np.sort(scores)).float()
        detector.tensors["held_out"] = torch.tensor(float(given))
        return detector

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> NoveltyDetector:
        """From the ``tensors`` of another.

        Raises:
            KeyError: one is missing. ValueError: their shapes do not fit together.
        """
        shapes = {name: tuple(tensors[name].shape) for name in NAMES}
        s, b = len(tensors["columns"]), len(tensors["bank"])
        wanted = {"columns": (s,), "centre": (s,), "whiten": (s, s), "scale": (2, 2), "held_out": (), "blank": ()}
        odd = [name for name, shape in wanted.items() if shapes[name] != shape]
        if odd or len(shapes["bank"]) != 2 or not b or len(shapes["calibration"]) != 1 or not shapes["calibration"][0]:
            raise ValueError(f"the novelty detector's {(odd or ['bank or calibration'])[0]} has another shape")
        return cls(tensors)

    @property
    def level(self) -> float:
        """Rows whose p-value is at most this are flagged: 0.01, or the smallest p-value there can be."""
        return max(LEVEL, 1.0 / (self.rows + 1))

    @property
    def rows(self) -> int:
        """Number of calibration rows."""
        return len(self.tensors["calibration"])

    @property
    def calibration(self) -> NDArray[np.float64]:
        """(m,) sorted scores of the calibration rows."""
        return np.asarray(self.tensors["calibration"].double().numpy())

    @property
    def threshold(self) -> float:
        """Scores from here on are flagged."""
        flagged = int(self.level * (self.rows + 1) + 1e-9)
        return float(np.nextafter(self.calibration[self.rows - flagged], np.inf))

    def scores(self, states: Tensor, z: Tensor) -> NDArray[np.float64]:
        """(n,) scores; not finite states give the largest float."""
        logs = torch.stack([_mahalanobis(self.tensors, states), _neighbour(self.tensors, z)])
        mean, std = self.tensors["scale"]
        total = ((logs - mean[:, None]) / std[:, None]).sum(0)
        # Through float32, as the calibration scores are kept: equal rows have equal scores.
        return np.asarray(np.nan_to_num(total.float().numpy(), nan=_FARTHEST, posinf=_FARTHEST), dtype=np.float64)

    def assess(self, states: Tensor, z: Tensor, unknown: Tensor | None = None) -> Novelty:
        """Scores and p-values of (n, s) ``states`` and (n, features) ``z``; ``unknown`` (n,) marks rows with nothing known."""
        scores = self.scores(states, z)
        if unknown is not None and not self.tensors["blank"]:
            # By definition, not by distance: no training row was like it.
            scores = np.where(unknown.numpy(), np.maximum(scores, self.calibration[-1] + 1.0), scores)
        p = conformal_p(scores, self.calibration)
        return Novelty(scores, p, p <= self.level + 1e-12)


NAMES = ("columns", "centre", "whiten", "bank", "scale", "calibration", "held_out", "blank")
_FARTHEST = 1e30
"""Score of a row whose states are not numbers."""


def _fold(states: Tensor, z: Tensor, i: int, generator: torch.Generator) -> NDArray[np.float64]:
    """Scores of every fifth row, from ``i`` on, by a detector of the others."""
    inside = torch.arange(len(states)) % min(FOLDS, len(states)) == i
    return NoveltyDetector(_scorer(states[~inside], z[~inside], generator)).scores(states[inside], z[inside])


def _scorer(states: Tensor, z: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Centre, whitening, bank and scale from training rows in random order."""
    aside = len(states) // 6  # these standardise the two logarithms
    columns = torch.randperm(states.shape[1], generator=generator)[:MOST_STATES].sort().values
    tensors = {"columns": columns, "bank": _direction(z[aside:][:BANK]).contiguous()}
    tensors["centre"], tensors["whiten"] = _whitening(states[aside:, columns], states[:aside, columns])
    rows = slice(0, aside if aside > 1 else len(states))
    tensors["scale"] = _scale(tensors, states[rows], z[rows])
    return tensors


def _scale(tensors: Mapping[str, Tensor], states: Tensor, z: Tensor) -> Tensor:
    """(2, 2): mean and standard deviation of the two logarithms over some rows."""
    logs = torch.stack([_mahalanobis(tensors, states), _neighbour(tensors, z)])
    return torch.stack([logs.mean(1), logs.std(1, unbiased=False).clamp_min(1e-3)])


def _whitening(x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """(s,) mean and (s, s) map W with (x − mean) W of covariance one; scales first, then the shrunk covariance.

    The share by which it is shrunk is that under which ``others`` are likeliest as draws from a normal distribution.
    """
    x = x.double()
    centre, variance = x.mean(0), x.var(0, unbiased=False)
    # A coordinate that never moved in training is scaled as one that hardly does.
    scale = (variance + FLOOR * variance.mean() + 1e-12).rsqrt()
    x = (x - centre) * scale
    covariance = x.T @ x / len(x)
    values, vectors = torch.linalg.eigh(covariance)
    values, mean = values.clamp_min(0.0), values.mean() + 1e-12
    seen = (((others.double() - centre) * scale) @ vectors).square()
    best, shrunk = -math.inf, values
    for share in SHRINKAGE:
        candidate = (1.0 - share) * values + share * mean
        fit = -float((seen / candidate).sum(1).mean() + candidate.log().sum()) if len(seen) else share
        if fit > best:
            best, shrunk = fit, candidate
    return centre.float(), (scale[:, None] * vectors * shrunk.rsqrt()).float()


def _mahalanobis(tensors: Mapping[str, Tensor], states: Tensor) -> Tensor:
    """(n,) log of the squared distance."""
    x = (states[:, tensors["columns"]].float() - tensors["centre"]) @ tensors["whiten"]
    distance: Tensor = (x.square().clamp_max(FARTHEST_OUT).sum(1) + 1e-6).log()
    return distance


def _neighbour(tensors: Mapping[str, Tensor], z: Tensor) -> Tensor:
    """(n,) log of the distance in direction to the k-th nearest row of the bank."""
    bank = tensors["bank"]
    cosine = _direction(z.float()) @ bank.T
    nearest = cosine.topk(min(NEIGHBOUR, len(bank)), dim=1).values[:, -1]
    distance: Tensor = (2.0 - 2.0 * nearest).clamp_min(1e-6).log() / 2.0
    return distance


def _direction(z: Tensor) -> Tensor:
    directions: Tensor = z / z.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return directions


BINS = 40
"""Bars of the histogram of scores."""
FARTHEST = 12
"""Rows listed as the least like the training data."""


def describe(detector: NoveltyDetector, novelty: Novelty, rows: NDArray[np.int64]) -> dict[str, Any]:
    """What a console and a report tell of the novelty of some rows, as JSON values.

    Args:
        novelty: of (n,) rows. rows: (n,) the user's row numbers.

    Returns:
        ``rows``, ``flagged``, ``level``, ``threshold`` (score from which on rows are flagged); ``calibration_rows``, ``held_out``
        (whether those were kept from training); a histogram: ``edges`` (b + 1), ``share`` and ``calibration`` (b), the ends
        taking in what lies beyond; ``farthest``: ``row``, ``score`` and ``p``, farthest first.
    """
    known = detector.calibration
    low, high = float(known[0]), max(float(known[-1]), detector.threshold)
    if len(novelty):
        high = max(high, min(float(np.quantile(novelty.score, 0.98)), high + 2 * (high - low) + 1.0))
    edges = np.linspace(low, high + 1e-6 * (1.0 + abs(high)), BINS + 1)
    order = np.argsort(-novelty.score, kind="stable")
    return {
        "rows": len(novelty),
        "flagged": int(novelty.flagged.sum()),
        "level": detector.level,
        "threshold": detector.threshold,
        "calibration_rows": detector.rows,
        "held_out": bool(detector.tensors["held_out"]),
        "edges": edges.tolist(),
        "share": _shares(novelty.score, edges),
        "calibration": _shares(known, edges),
        "farthest": [
            {"row": int(rows[i]), "score": float(novelty.score[i]), "p": float(novelty.p[i])} for i in order[:FARTHEST]
        ],
    }


def _shares(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> list[float]:
    counts = np.histogram(np.clip(scores, edges[0], np.nextafter(edges[-1], -np.inf)), edges)[0]
    return [float(share) for share in counts / max(len(scores), 1)]


def verdict(shown: Mapping[str, Any]) -> str | None:
    """A sentence on rows that are unlike the training data, of what :func:`describe` gave; None where no more are flagged than
    chance flags, by three standard deviations.
    """
    n, flagged, level = int(shown["rows"]), int(shown["flagged"]), float(shown["level"])
    chance = n * level
    if flagged <= chance + 3.0 * (chance * (1.0 - level) * (1.0 + n / (int(shown["calibration_rows"]) + 1))) ** 0.5:
        return None
    return f"{flagged:,} of {n:,} row{'s' * (n != 1)} are unlike the training data (p ≤ {level:.2g})"
