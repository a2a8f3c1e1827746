"""Translations before judges trained on the spot: whether they are of the style of their pile, and show what was shown before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, cat, from_numpy

from trine.estimators._scored.judged import MOST_KINDS, OF_EACH
from trine.evaluation import Metric, games
from trine.evaluation.codes import Finding
from trine.evaluation.judges import FEW, ROWS, Judge, classifier, judgeable
from trine.evaluation.remedies import PLANNED
from trine.evaluation.shares import right, share
from trine.models.translator import PLACES

Rows = NDArray[np.int64]
Labels = tuple[NDArray[np.object_] | None, NDArray[np.object_] | None]
"""Of A's rows and of B's, (rows,) texts with None where one is missing; or None where they have none."""


@dataclasses.dataclass(frozen=True)
class Judges:
    """Classifiers that learned from true rows.

    Attributes:
        style: tells rows of A (0) from rows of B (1); None where there are too few, or A and B differ in shape.
        content: side → tells the labels of that pile's rows, where both piles have some.
        codes: (of A's rows, of B's rows) indices into the labels' names, −1 where unknown.
    """

    style: Judge | None
    content: Mapping[str, Judge]
    codes: tuple[Rows, Rows]

    def told(
        self, side: str, made: Tensor, given: Tensor, true: Tensor, read: Rows, own: Rows, longer: str = PLANNED
    ) -> tuple[dict[str, Metric], list[Finding]]:
        """What they say of translations to one pile; the baselines are what its true rows reach.

        Args:
            side: which pile. made: translations of ``given``. true: rows of the pile that were not learned from.
            read, own: which rows of their piles ``given`` and ``true`` are. longer: as of :func:`~trine.evaluation.games.diagnose`.
        """
        metrics: dict[str, Metric] = {}
        findings: list[Finding] = []
        if self.style is not None:
            taken = [self.style.kind(rows) == PLACES[side] for rows in (made, given, true)]
            found, before, there_already = (float(part.mean()) for part in taken)
            metrics["right style"] = share(taken[0], there_already)
            findings.append(games.style(found, before, there_already, longer))
        judge = self.content.get(side)
        if judge is not None:
            shown, there = self.codes[1 - PLACES[side]][read], self.codes[PLACES[side]][own]
            kept, base = right(judge.kind(made), shown), right(judge.kind(true), there)
            if len(kept) and len(base):
                chance = float(np.bincount(shown[shown >= 0]).max() / len(kept))
                metrics["content kept"] = share(kept, float(base.mean()))
                findings.append(games.content(float(kept.mean()), chance, float(base.mean()), longer))
        return metrics, findings


def judges_of(
    seen: Callable[[str, Rows], Tensor], rows: Rows, labels: Labels, compared: int, seed: int, device: str
) -> Judges | None:
    """Judges that learn from ``rows``, (n, 2) pairs; None of tables, or where nobody can learn anything.

    Args:
        seen: (side, pairs) → rows of one pile, as critics see them. labels: of all rows. compared: rows that they will see.
        seed, device: of their training.
    """
    known = {side: rows[np.unique(rows[:, place], return_index=True)[1]] for side, place in PLACES.items()}
    rng = np.random.default_rng(seed)
    known = {side: rng.permutation(pairs)[:ROWS] for side, pairs in known.items()}
    own = {side: seen(side, pairs) for side, pairs in known.items()}
    shapes = {side: tuple(part.shape[1:]) for side, part in own.items()}
    if not all(judgeable([shape]) for shape in shapes.values()):
        return None
    names, codes = _coded(labels)
    style = None
    n = min(len(own["a"]), len(own["b"]), ROWS // 2)
    if shapes["a"] == shapes["b"] and 2 * n >= FEW:
        style = classifier(cat([own["a"][:n], own["b"][:n]]), np.repeat([0, 1], n), ("A", "B"), compared, seed, device)
    content = {}
    for side, place in PLACES.items() if all(of is not None for of in labels) else ():
        of = codes[place][known[side][:, place]]
        there = np.flatnonzero(of >= 0)
        kinds = len(np.unique(of[there]))
        if 2 <= kinds <= MOST_KINDS and len(there) >= max(FEW, OF_EACH * kinds):
            learned = own[side][from_numpy(there)]
            content[side] = classifier(learned, of[there], names, compared, seed, device)
    return Judges(style, content, codes) if style is not None or content else None


def _coded(labels: Labels) -> tuple[tuple[str, ...], tuple[Rows, Rows]]:
    """Names of the labels of both piles, and which each row has."""
    names = sorted({str(label) for side in labels if side is not None for label in side if label is not None})
    place = {name: i for i, name in enumerate(names)}
    a, b = (
        np.array([-1 if label is None else place[str(label)] for label in (() if side is None else side)], np.int64)
        for side in labels
    )
    return tuple(names), (a, b)
