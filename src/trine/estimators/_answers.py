"""Distributions as a user reads them: the prediction itself, and the columns that ``trine predict`` writes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from trine.domains import Category, Domain, Labels, Vector
from trine.evaluation.categories import LISTED
from trine.rules import OverParameters, Recalibrated, parameters, point, quantile, spread

Columns = dict[str, NDArray[Any]]
INTERVAL = (0.05, 0.95)
"""Central 90 % interval that predictions carry."""
SHOWN = 200
"""Most classes (or labels) of which each has a column of its own; of more, the likeliest are written."""


@functools.singledispatch
def answer(domain: Domain, q: Any) -> NDArray[Any]:
    """(rows, ...) what is predicted, in the user's units or labels. Open by ``answer.register(DomainType)``.

    Args:
        domain: y's fitted domain.
        q: a distribution in the user's units, or what :func:`~trine.evaluation.reduced` gave for it.
    """
    with torch.inference_mode():
        return np.asarray(point(q).double().numpy())


@answer.register
def _(domain: Category, q: Any) -> NDArray[Any]:
    codes = q["top"][:, 0] if isinstance(q, dict) else q.logits.argmax(-1).numpy()
    return np.asarray(np.array(domain.decode(np.arange(len(domain.labels))).tolist())[codes])


@answer.register
def _(domain: Labels, q: Any) -> NDArray[Any]:
    return domain.decode(q.mean.numpy())


@functools.singledispatch
def written(domain: Domain, name: str, q: Any) -> Columns:
    """Name of a column → (rows,) values: the prediction and how sure it is. Open by ``written.register(DomainType)``."""
    low, high = INTERVAL
    with torch.inference_mode():
        return {
            name: point(q).double().numpy(),
            f"{name}_p{low * 100:02.0f}": quantile(q, low).double().numpy(),
            f"{name}_p{high * 100:02.0f}": quantile(q, high).double().numpy(),
            **_numbered(name, {key: value.double().numpy() for key, value in parameters(q).items()}),
        }


@written.register
def _(domain: Vector, name: str, q: Distribution) -> Columns:
    """Mean and central 90 % interval of each entry, numbered from 1."""
    low, high = INTERVAL
    with torch.inference_mode():
        parts = {
            "": point(q),
            f"_p{low * 100:02.0f}": quantile(q, low),
            f"_p{high * 100:02.0f}": quantile(q, high),
        }
    return {
        f"{name}_{i + 1}{end}": value[:, i].double().numpy() for i in range(domain.size) for end, value in parts.items()
    }


@written.register
def _(domain: Category, name: str, q: Any) -> Columns:
    """The likeliest class, its probability, and that of each class; of many classes, the five likeliest."""
    labels = domain.decode(np.arange(len(domain.labels)))
    if not isinstance(q, dict) and len(labels) <= SHOWN:
        p = _probabilities(q)
        return {
            name: labels[p.argmax(axis=1)],
            f"{name}_probability": p.max(axis=1),
            **{f"p({label})": p[:, i] for i, label in enumerate(labels)},
        }
    if isinstance(q, dict):
        codes, p = q["top"], q["top_probability"]
    else:
        top = torch.from_numpy(_probabilities(q)).topk(LISTED, -1)
        codes, p = top.indices.numpy(), top.values.numpy()
    columns = {name: labels[codes[:, 0]], f"{name}_probability": p[:, 0]}
    for place in range(1, LISTED):
        columns |= {f"{name}_{place + 1}": labels[codes[:, place]], f"{name}_{place + 1}_probability": p[:, place]}
    return columns


@written.register
def _(domain: Labels, name: str, q: Distribution) -> Columns:
    """The set of labels that are likelier than not, its probability, and that of each label where they are not too many."""
    with torch.inference_mode():
        p = q.mean
        chosen = (p > 0.5).to(p.dtype)
        columns: Columns = {name: domain.decode(p.numpy()), f"{name}_probability": q.log_prob(chosen).exp().numpy()}
    if len(domain.labels) <= SHOWN:
        columns |= {f"p({label})": p[:, i].double().numpy() for i, label in enumerate(domain.labels)}
    return columns


def divided(name: str, q: Any) -> Columns:
    """Of a mixture over θ, what of its spread the data leave open (aleatoric) and what θ leaves open (epistemic).

    Of numbers as standard deviations in units of y, whose squares add up to the variance; of classes in nats, which add up to
    the entropy. Nothing for a single θ, and for a y of several entries.
    """
    own = q.base if isinstance(q, Recalibrated) else q
    over_theta, number = (isinstance(own, kind) for kind in (OverParameters, MixtureSameFamily))
    if not over_theta:
        return {}
    with torch.inference_mode():
        aleatoric, epistemic = (part.double().numpy() for part in spread(q))
    if aleatoric.ndim > 1:
        return {}
    if number:
        aleatoric, epistemic = np.sqrt(aleatoric), np.sqrt(epistemic)
    return {f"{name}_aleatoric": aleatoric, f"{name}_epistemic": epistemic}


def _probabilities(q: Categorical) -> NDArray[np.float64]:
    return np.asarray(q.probs.double().numpy())


def _numbered(name: str, found: dict[str, NDArray[np.float64]]) -> Columns:
    """Parameters as columns; those of a mixture's parts, (rows, parts), are numbered from 1."""
    columns: Columns = {}
    for key, value in found.items():
        if value.ndim == 1:
            columns[f"{name}_{key}"] = value
        else:
            columns |= {f"{name}_{key}_{part + 1}": value[:, part] for part in range(value.shape[1])}
    return columns
