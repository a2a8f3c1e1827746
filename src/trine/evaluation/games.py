"""What is wrong with a game of a generator and a critic, in words, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.evaluation.codes import Finding
from trine.evaluation.remedies import PLANNED

Matrix = NDArray[np.floating[Any]]

COVERED = 0.5
"""Part of what true rows cover below which modes are missing."""
KNOWN, POOR = 0.98, 3.0
"""Share of pairs that a critic ranks right, and times the floor that the samples' distance is, where it has won."""
UNHEARD = 0.02
"""Part of the rows' own spread that other noise, or another condition, must move an answer by for it to be heard."""
SAME = 0.05
"""Part of the inputs' own spread that a translation must differ from its input by."""
TURNS, DEPTH, WATCHED = 3, 2.0, 12
"""Times that the score gets worse by ``DEPTH`` and better again in the second half of a training that goes round in circles, and
epochs from which on that can be told."""
EXPLODED = 100.0
"""Times its median that a loss reaches where it explodes."""
HALFWAY = 0.5
"""Part of the way from what untranslated rows reach to what true rows do, below which a translation is none."""
FEWEST = 20
"""Rows from which on something is said."""
SEED = 7_919
"""Of which row is another one to which."""


def ranked(on_real: Matrix, on_fake: Matrix) -> float:
    """Share of pairs of a true and a made row that a critic's values rank right, 0.5 where it cannot tell: (n,), (m,) → [0, 1]."""
    from sklearn.metrics import roc_auc_score

    values = np.concatenate([on_real, on_fake])
    if not np.isfinite(values).all():
        return 1.0
    found = float(roc_auc_score(np.repeat([1, 0], [len(on_real), len(on_fake)]), values))
    return max(found, 1 - found)  # which side a divergence ranks higher is its own affair


def others(rows: int) -> NDArray[np.int64]:
    """(rows,) for each row another one, each once; of one row itself. The same each time, and at random: files are often sorted, so
    that a row's neighbour is of its kind.
    """
    order = np.random.default_rng(SEED).permutation(rows)
    found = np.empty(rows, dtype=np.int64)
    found[order] = np.roll(order, 1)
    return found


def spread(rows: Matrix) -> float:
    """Mean absolute difference of a number of one row and of another, over rows in any order: (n, ...) → [0, ∞)."""
    flat = rows.reshape(len(rows), -1)
    return float(np.abs(flat - flat[others(len(flat))]).mean())


def moved(one: Matrix, other: Matrix, by: float) -> float:
    """Mean absolute difference of rows that belong together, (n, ...), in units of ``by``."""
    return float(np.abs(one.reshape(len(one), -1) - other.reshape(len(other), -1)).mean()) / max(by, 1e-12)


def turns(scores: Sequence[float]) -> int:
    """How often a score, lower being better, got ``DEPTH`` times as bad as its best since the last turn and then came back."""
    found, best, worst, bad = 0, float("inf"), 0.0, False
    for score in scores:
        if bad:
            worst = max(worst, score)
            if score * DEPTH <= worst:
                found, bad, best = found + 1, False, score
        elif score > DEPTH * best:
            bad, worst = True, score
        else:
            best = min(best, score)
    return found


def diagnose(
    metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    ranking: float | None,
    noise: float,
    condition: float | None = None,
    same: float | None = None,
    divergence: str | None = None,
    critic_steps: int | None = None,
    longer: str = PLANNED,
) -> list[Finding]:
    """Findings on a game, each with a remedy where something is amiss.

    Args:
        metrics: the samples' :class:`~trine.evaluation.Metric` by name; their baselines are the floors.
        history: a record an epoch with ``train``, the terms' means, and ``held_out``, the score.
        ranking: see :func:`ranked`, on rows held out; None where the critic is not there any more.
        noise: how far other noise moves an answer, in units of the true rows' spread.
        condition: how far another condition does; None where there is none, or the same everywhere.
        same: how far a translation is from its input, in units of the inputs' spread; None where nothing is translated.
        divergence: that was learned, which is no remedy again. critic_steps: of a step, to which it is the same.
        longer: what makes the training longer; see :func:`~trine.evaluation.remedies.longer`.

    Returns:
        Of modes, critic, noise, condition, identity, course and losses, those that there is a figure for.
    """
    return [
        finding
        for finding in (
            _modes(metrics, divergence, longer),
            _critic(metrics, ranking, divergence, critic_steps),
            _noise(noise, condition is not None),
            _condition(condition, longer),
            _identity(same, longer),
            _course(history),
            _losses(history),
        )
        if finding is not None
    ]


def style(made: float, given: float, true: float, longer: str = PLANNED) -> Finding:
    """Whether translations are of the style of their pile, by the shares that a classifier of both piles takes for it.

    Args:
        made: of translations. given: of the rows that were translated. true: of the pile's own.
        longer: as of :func:`diagnose`.
    """
    told = (
        f"a classifier of the two piles takes {100 * made:.0f} % of translations for rows of their pile, where it takes "
        f"{100 * true:.0f} % of these and {100 * given:.0f} % of what was translated"
    )
    if made - given >= HALFWAY * (true - given):
        return Finding("style", made, False, told)
    return Finding("style", made, True, told, f"{longer}, or a smaller weight of what keeps the input (likelihood)")


def content(made: float, chance: float, true: float, longer: str = PLANNED) -> Finding:
    """Whether translations show what was shown before, by the shares that a classifier of the pile's labels takes for theirs.

    Args:
        made: of translations. chance: of the most frequent label. true: of the pile's own rows.
        longer: as of :func:`diagnose`.
    """
    told = (
        f"a classifier of the pile's labels takes {100 * made:.0f} % of translations for what they were, where it takes "
        f"{100 * true:.0f} % of true rows for what they are and one label is {100 * chance:.0f} %"
    )
    if made - chance >= HALFWAY * (true - chance):
        return Finding("content", made, False, told)
    return Finding(
        "content", made, True, told + ": what was shown is lost",
        f"a larger likelihood, smaller batches, {longer}, or of pictures content=contrast",
    )  # fmt: skip


def _modes(metrics: Mapping[str, Any], divergence: str | None, longer: str) -> Finding | None:
    if "coverage" not in metrics:
        return None
    covered, floor = metrics["coverage"].value, metrics["coverage"].baseline
    part = covered / max(floor, 1e-12)
    told = (
        f"samples lie around {100 * covered:.0f} % of the held-out rows, where true rows lie around {100 * floor:.0f} %"
    )
    for kinds in ("classes", "clusters"):
        if (found := metrics.get(f"{kinds} found")) is not None:
            told += f", and {found.value:.0f} {kinds} are made where true rows are of {found.baseline:.0f}"
            part = min(part, found.value / found.baseline)
    wrong = part < COVERED
    if not wrong:
        return Finding("modes", part, False, told)
    sharp = metrics["precision"].value > 0.5 * metrics["precision"].baseline
    why = (
        "; what is made is good, and much is never made: mode collapse"
        if sharp
        else "; little of what is made is good, either"
    )
    other = "" if divergence == "relativistic" else "divergence=relativistic, "
    remedy = (
        f"{other}a larger penalty, a larger batch_size, or {longer}" if sharp else f"{longer}, or a smaller step_size"
    )
    return Finding("modes", part, True, told + why, remedy)


def _critic(
    metrics: Mapping[str, Any], ranking: float | None, divergence: str | None, critic_steps: int | None
) -> Finding | None:
    if ranking is None:
        return None
    distance = next((value for name, value in metrics.items() if name.startswith("FD-")), None)
    poor = distance is not None and distance.value > POOR * max(distance.baseline, 1e-12)
    told = f"the critic tells a held-out row from a made one in {100 * ranking:.0f} % of pairs"
    wrong = ranking > KNOWN and poor
    if not wrong:
        return Finding("critic", ranking, False, told)
    fewer = "" if critic_steps == 1 else "critic_steps=1, "
    other = "divergence=relativistic or js, " if divergence == "minimax" else ""
    return Finding(
        "critic", ranking, True, told + ", and the samples are poor: it has won, and its gradient no longer guides",
        f"a larger penalty, {fewer}{other}or critic_augment where rows are few",
    )  # fmt: skip


def _noise(noise: float, given: bool) -> Finding:
    wrong = noise < UNHEARD
    told = f"other noise moves an answer by {100 * noise:.0f} % of what rows differ by"
    if not wrong:
        return Finding("noise", noise, False, told)
    if given:
        return Finding(
            "noise", noise, True, told + ": all answers to one condition are alike, which is right only where y follows from x",
            "a larger diversity",
        )  # fmt: skip
    return Finding(
        "noise", noise, True, told + ": one row is made again and again", "a smaller step_size, or a larger penalty"
    )


def _condition(condition: float | None, longer: str) -> Finding | None:
    if condition is None:
        return None
    wrong = condition < UNHEARD
    told = f"another condition moves an answer by {100 * condition:.0f} % of what rows differ by"
    if not wrong:
        return Finding("condition", condition, False, told)
    return Finding(
        "condition", condition, True, told + ": the condition is not heard, or tells nothing of y",
        f"{longer}, a smaller diversity, or a condition that y hangs on",
    )  # fmt: skip


def _identity(same: float | None, longer: str) -> Finding | None:
    if same is None:
        return None
    wrong = same < SAME
    told = f"a translation differs from its input by {100 * same:.0f} % of what inputs differ by"
    if same > 1:  # of another look altogether: how far it is off tells no more
        told = "a translation is no copy of its input"
    if not wrong:
        return Finding("identity", same, False, told)
    return Finding(
        "identity", same, True, told + ": nothing is translated, or the two sides are the same",
        f"look whether the sides differ; else a smaller weight of what keeps the input, or {longer}",
    )  # fmt: skip


def _course(history: Sequence[Mapping[str, Any]]) -> Finding | None:
    scores = [float(record["held_out"]) for record in history if record.get("held_out") is not None]
    late = scores[len(scores) // 2 :]
    if len(scores) < WATCHED:
        return None
    count = turns(late)
    wrong = count >= TURNS
    told = f"in the second half of the training the score got {DEPTH:g} times as bad and better again {count} times"
    if not wrong:
        return Finding("course", count, False, "the score settles" if count == 0 else told)
    return Finding(
        "course", count, True, told + ": the players go round in circles",
        "a larger penalty on both sides, a smaller step_size, or schedule=cosine",
    )  # fmt: skip


def _losses(history: Sequence[Mapping[str, Any]]) -> Finding | None:
    worst, named = 0.0, ""
    for name in sorted({name for record in history for name in record.get("train", {}) if name.endswith(".critic")}):
        values = np.abs([float(record["train"][name]) for record in history if name in record.get("train", {})])
        if not np.isfinite(values).all():
            worst, named = float("inf"), name
            break
        times = float(values.max()) / max(float(np.median(values)), 1.0)
        if times > worst:
            worst, named = times, name
    if not named:
        return None
    wrong = worst > EXPLODED
    told = (
        f"the loss {named!r} rose to {worst:,.0f} times its median"
        if wrong
        else "the critic's loss, penalties included, stays in bounds"
    )
    remedy = "a smaller step_size, or a smaller penalty: its slope is as steep as it is heavy" if wrong else ""
    return Finding("losses", worst, wrong, told, remedy)
