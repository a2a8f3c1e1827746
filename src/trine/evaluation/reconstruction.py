"""How well rows come back from their codes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.blocks import ended
from trine.domains import Audio, Category, Domain, Image, Numeric, Series, Text, Vector
from trine.errors import DataError
from trine.rules import Steps, point

from ._base import MISTAKES, Evaluation, Metric
from ._bootstrap import Score, average, intervals
from .texts import edit_distance

Rows = dict[str, NDArray[np.float64]]
WRITTEN = 256
"""Longest texts, in tokens, that are written again to be compared."""


@functools.singledispatch
def compared(domain: Domain, q: Distribution, batch: Mapping[str, Tensor], name: str) -> Rows:
    """``error``, ``trivial`` and ``known``, each (rows,), of one column; open by ``compared.register(DomainType)``.

    ``error`` is the squared distance of the prediction in encoded units, a mean over the numbers of a value, or 0/1 of a category;
    ``trivial`` that of the training rows' mean or commonest category. Nothing for a domain without such a measure.

    Args:
        domain: fitted.
        q: of the column, in encoded units.
        batch: where the column's values are, under ``name``.
    """
    return {}


@compared.register(Numeric)
def _(domain: Numeric, q: Distribution, batch: Mapping[str, Tensor], name: str) -> Rows:
    value = batch[name].double()
    known = ~value.isnan()
    value = value.nan_to_num(0.0)
    return _rows((point(q).double() - value).square(), (domain.mean - value).square(), known)


@compared.register(Image)
@compared.register(Vector)
def _(domain: Any, q: Distribution, batch: Mapping[str, Tensor], name: str) -> Rows:
    value = batch[name].double().nan_to_num(0.0)
    present = batch.get(f"{name}.present")
    known = torch.ones(len(value), dtype=torch.bool) if present is None else present
    mean = torch.tensor(domain.mean).double().view(-1, *(1,) * (value.dim() - 2))
    return _rows(_mean((q.mean.double() - value).square()), _mean((mean - value).square()), known)


@compared.register
def _(domain: Category, q: Distribution, batch: Mapping[str, Tensor], name: str) -> Rows:
    code = batch[name]
    commonest = int(np.argmax(domain.shares))
    return _rows((point(q) != code).double(), (code != commonest).double(), code >= 0)


@compared.register(Series)
@compared.register(Audio)
def _(domain: Any, q: Distribution, batch: Mapping[str, Tensor], name: str) -> Rows:
    """Of a row's own steps, at its own length: how long it is said to be counts in the likelihood alone."""
    assert isinstance(q, Steps)
    value = ended(batch, name)
    error, trivial = q.squared_errors(value)
    present = batch.get(f"{name}.present")
    known = torch.ones(len(value), dtype=torch.bool) if present is None else present
    return _rows(error.double(), trivial.double(), known)


@compared.register
def _(domain: Text, q: Distribution, batch: Mapping[str, Tensor], name: str) -> Rows:
    """Share of the tokens that would have to be mended in what is written from the code; nothing of long texts, which take long."""
    if domain.longest > WRITTEN:
        return {}
    truth = [_spelt(row) for row in batch[name].numpy()]
    written = [_spelt(row) for row in point(q).numpy()]
    wrong = [min(edit_distance(a, b) / max(len(a), 1), 1.0) for a, b in zip(truth, written, strict=True)]
    known = torch.tensor([bool(row) for row in truth])
    return _rows(torch.tensor(wrong, dtype=torch.float64), torch.ones(len(truth), dtype=torch.float64), known)


def _spelt(codes: NDArray[np.int64]) -> str:
    """Codes of tokens as a text of one sign each."""
    return "".join(map(chr, codes[codes >= 0].tolist()))


def _rows(error: Tensor, trivial: Tensor, known: Tensor) -> Rows:
    return {"error": error.numpy(), "trivial": trivial.numpy(), "known": known.double().numpy()}


def _mean(value: Tensor) -> Tensor:
    return value.flatten(1).mean(1)


def evaluate_reconstruction(
    found: Mapping[str, NDArray[np.float64]], domains: Mapping[str, Domain], rows: NDArray[np.int64], seed: int = 0
) -> Evaluation:
    """Metrics with 95 % bootstrap intervals, from what is known of each row.

    Where codes are distributions ``log_likelihood``: log p(x) by importance sampling, from below, and ``elbo``: the evidence
    lower bound, both by a few draws of each row's code, and ``divergence`` = KL(code ‖ prior). ``reconstruction``: log q(x given
    z) at the code's mean, which is no likelihood of x. All are nats a row. ``unexplained``: squared error of all numbers, each
    column in units of its variance about the training mean, so that 1 is the trivial prediction. ``wrong``: share of categories
    not recovered, and of the tokens of a text to be mended. Of each column the rows count that have a value.

    Args:
        found: ``reconstruction``; ``log_likelihood``, ``elbo`` and ``divergence`` where codes have them; ``nll:<term>``, and what
            :func:`compared` gave as ``error:<column>`` …, each (n,).
        domains: column → fitted domain. rows: (n,) the user's row numbers. seed: of the bootstrap.

    Raises:
        DataError: there are no rows.
    """
    n = len(rows)
    if not n:
        raise DataError("There is no row to evaluate; give at least one.")
    scores = {
        name: _score(found[name], better=better, unit="nats", low=-np.inf)
        for name, better in (("log_likelihood", True), ("elbo", True), ("divergence", None), ("reconstruction", True))
        if name in found
    }
    first = found[next(iter(scores))]
    columns = []
    ratios, wrongs, misses = [], [], []
    for name, domain in domains.items():
        if f"error:{name}" not in found:
            continue
        known = found[f"known:{name}"]
        if not known.any():
            continue
        # So that a mean over all rows is one over those that have a value.
        known = known / known.mean()
        error, base = found[f"error:{name}"] * known, float(np.mean(found[f"trivial:{name}"] * known))
        if isinstance(domain, Category | Text):
            wrongs.append(error)
            misses.append(base)
            columns.append(_column(name, domain, "accuracy", 1 - error.mean(), 1 - base))
        elif base > 0:
            ratios.append(error / base)
            columns.append(_column(name, domain, "variance explained", 1 - ratios[-1].mean(), 0.0))
    baselines: dict[str, float | None] = {}
    if ratios:
        scores["unexplained"] = _score(np.mean(ratios, axis=0), unit="share")
        baselines["unexplained"] = 1.0
    if wrongs:
        scores["wrong"] = _score(np.mean(wrongs, axis=0), unit="share")
        baselines["wrong"] = float(np.mean(misses))
    measured = intervals(scores, None, seed)
    metrics = {
        name: Metric(*measured[name], baselines.get(name), scores[name].higher_is_better, scores[name].unit)
        for name in scores
    }
    worst = np.argsort(first, kind="stable")[:MISTAKES]
    figures: dict[str, Any] = {
        "columns": columns,
        "terms": [
            {"name": key.removeprefix("nll:"), "nats": float(value.mean())}
            for key, value in found.items()
            if key.startswith("nll:")
        ],
    }
    mistakes = [{"row": int(rows[i]), "truth": "", "prediction": "", "confidence": float(first[i])} for i in worst]
    return Evaluation("reconstruction", n, metrics, figures, mistakes)


def _score(values: NDArray[np.float64], better: bool | None = False, unit: str = "", low: float = 0.0) -> Score:
    statistics, value = average(values)
    return Score(statistics, value, better, unit, (low, np.inf))


def _column(name: str, domain: Domain, measure: str, value: float, trivial: float) -> dict[str, Any]:
    return {
        "column": name,
        "domain": type(domain).__name__,
        "measure": measure,
        "value": float(value),
        "trivial": float(trivial),
    }
