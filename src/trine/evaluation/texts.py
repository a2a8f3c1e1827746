"""Metrics of a y that is a text."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.choices import Choices
from trine.domains import Text
from trine.errors import DataError
from trine.evaluation._base import MISTAKES, Evaluation, Metric, Values, evaluate, reduced, row_numbers
from trine.evaluation._bootstrap import Score, average, intervals, values
from trine.rules.autoregressive import BEAMS, END, Autoregressive

TEXT_METRICS = ("exact_match", "token_accuracy", "edit_distance", "bits_per_character", "perplexity", "nll")
SHOWN = 200
"""Characters of a text that a list of mistakes shows."""


@reduced.register
def _(domain: Text, q: Distribution, y: Tensor | None, choices: Choices) -> dict[str, Values]:
    """``text`` as it is decoded by the model's choice, its ``log_prob``; of a known y ``lost``, −log q(y), and ``tokens``."""
    assert isinstance(q, Autoregressive)
    found, log_prob = decoded(q, choices)
    result: dict[str, Values] = {"text": domain.decode(found.numpy()), "log_prob": log_prob.double().numpy()}
    if y is not None:
        result["lost"] = -q.log_prob(y).double().numpy()
        result["tokens"] = (y >= 0).sum(1).numpy() + 1
    return result


def decoded(q: Autoregressive, choices: Choices) -> tuple[Tensor, Tensor]:
    """((rows, steps) tokens padded with −1, (rows,) their log-probability), by ``choices.decoding``."""
    if choices.decoding == "sample":
        tokens = q.sample()
        return tokens, q.log_prob(tokens)
    if choices.decoding == "beam":
        return q.beam(choices.beams or BEAMS)
    return q.greedy()


@evaluate.register
def evaluate_text(
    domain: Text,
    y: Values,
    q: dict[str, Values],
    *,
    weight: NDArray[np.float64] | None = None,
    marginal: Values | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Evaluation:
    """How texts that were written, and q(y given x), do on rows with known texts.

    - exact_match: share of rows whose text is the true one, character by character.
    - token_accuracy: Σ tokens in their place / Σ tokens of the longer of the two texts.
    - edit_distance: Levenshtein's, in characters, divided by the length of the longer text; the mean over rows.
    - bits_per_character: Σ −log2 q(y) / Σ (characters + 1), the end counting as one. perplexity: exp(Σ −log q(y) / Σ tokens),
      the end among them. nll: mean of −log q(y), of the whole text.

    The trivial prediction is the most frequent training text, and tokens drawn as often as in the training texts, each by
    itself (the unigram model, one added to each count).

    Args:
        y: (n,) texts. q: what :func:`~trine.evaluation.reduced` gave for the rows.
    """
    truth = np.asarray(y, dtype=object)
    n = len(truth)
    if len(q["text"]) != n or "lost" not in q:
        raise DataError(f"There are {n:,} texts and {len(q['text']):,} predictions; one for each row is expected.")
    each = None if weight is None else np.asarray(weight, dtype=np.float64)
    scores = text_scores(domain, truth, q["text"], q["lost"], q["tokens"])
    trivial = _trivial(domain, truth, marginal, q["tokens"], each)
    metrics = {
        name: Metric(*found, trivial.get(name), scores[name].higher_is_better, scores[name].unit)
        for name, found in intervals(scores, each, seed).items()
    }
    numbers = row_numbers(rows, n)
    return Evaluation("text", n, metrics, {}, _mistakes(truth, q, numbers))


def text_scores(domain: Text, truth: Values, written: Values, lost: Values, tokens: Values) -> dict[str, Score]:
    """The metrics of :func:`evaluate_text`; none where there are no rows.

    Args:
        truth, written: (n,) texts. lost: (n,) −log q(truth) in nats. tokens: (n,) of the truth, the end among them.
    """
    if not len(truth):
        return {}
    right = np.array([a == b for a, b in zip(truth, written, strict=True)])
    hits, most = _placed(domain, truth, written)
    apart = np.array([edit_distance(a, b) / max(len(a), len(b), 1) for a, b in zip(truth, written, strict=True)])
    characters = np.array([len(text) + 1 for text in truth])
    unit: dict[str, Any] = {"unit": "share", "bounds": (0.0, 1.0), "higher_is_better": True}
    ratio = np.column_stack([lost, characters]), np.column_stack([lost, tokens])
    return {
        "exact_match": Score(*average(right), share=True, **unit),
        "token_accuracy": Score(np.column_stack([hits, most]), lambda sums: sums[..., 1] / sums[..., 2], **unit),
        "edit_distance": Score(*average(apart), unit="share", bounds=(0.0, 1.0)),
        "bits_per_character": Score(ratio[0], lambda sums: sums[..., 1] / sums[..., 2] / math.log(2.0), unit="bits"),
        "perplexity": Score(ratio[1], lambda sums: np.exp(sums[..., 1] / sums[..., 2]), bounds=(1.0, math.inf)),
        "nll": Score(*average(lost), unit="nats"),
    }


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance: the fewest insertions, deletions and replacements of characters that make ``b`` of ``a``.

    A column of the table is one integer of bits, so that a text of any length takes a step a character.

    References:
        Myers, `A fast bit-vector algorithm for approximate string matching based on dynamic programming`, 1999; Hyyrö, 2001.
    """
    if a == b:
        return 0
    if not a or not b:
        return len(a) or len(b)
    size = len(a)
    full, last = (1 << size) - 1, 1 << (size - 1)
    where: dict[str, int] = {}
    for i, sign in enumerate(a):
        where[sign] = where.get(sign, 0) | 1 << i
    above, below, distance = full, 0, size
    for sign in b:
        same = where.get(sign, 0)
        diagonal = (((same & above) + above) ^ above) | same | below
        rise = below | ~(diagonal | above) & full
        fall = above & diagonal
        distance += bool(rise & last) - bool(fall & last)
        rise = (rise << 1 | 1) & full
        fall = fall << 1 & full
        above = fall | ~(diagonal | rise) & full
        below = rise & diagonal
    return distance


def _placed(domain: Text, truth: Values, written: Values) -> tuple[Values, Values]:
    """((n,) tokens that are right in their place, (n,) tokens of the longer text)."""
    one, other = domain.tokens.encode(list(truth)), domain.tokens.encode(list(written))
    hits = np.zeros(len(truth))
    for i in range(len(truth)):
        a, b = one[i], other[i]
        shorter = min(len(a), len(b))
        hits[i] = (a[:shorter] == b[:shorter]).sum()
    return hits, np.maximum(np.maximum(one.lengths, other.lengths), 1)


def _trivial(
    domain: Text, truth: Values, marginal: Values | None, tokens: Values, weight: NDArray[np.float64] | None
) -> dict[str, float]:
    """The metrics of the most frequent training text and of the unigram model."""
    if marginal is None or not len(marginal) or not len(truth):
        return {}
    common = Counter(marginal.tolist()).most_common(1)[0][0]
    seen = domain.tokens.encode(list(marginal))
    counts = np.bincount(seen.values, minlength=domain.size).astype(np.float64) + 1.0
    counts[END] += len(marginal)
    log_p = np.log(counts / counts.sum())
    here = domain.tokens.encode(list(truth))
    lost = -np.add.reduceat(np.append(log_p[here.values], 0.0), here.offsets[:-1]) * (here.lengths > 0) - log_p[END]
    scores = text_scores(domain, truth, np.full(len(truth), common, dtype=object), lost, tokens)
    return {name: value for name, value in values(scores, weight).items() if math.isfinite(value)}


def _mistakes(truth: Values, q: dict[str, Values], numbers: Values) -> list[dict[str, Any]]:
    """The wrong rows whose true text was held least likely; ``likelihood`` is its probability."""
    wrong = np.flatnonzero([a != b for a, b in zip(truth, q["text"], strict=True)])
    worst = wrong[np.argsort(-q["lost"][wrong], kind="stable")[:MISTAKES]]
    return [
        {
            "row": int(numbers[i]),
            "truth": str(truth[i])[:SHOWN],
            "prediction": str(q["text"][i])[:SHOWN],
            "confidence": math.exp(q["log_prob"][i]),
            "likelihood": math.exp(-q["lost"][i]),
        }
        for i in worst
    ]
