"""What a report shows of an autoencoder: rows and how they come back, the plane of codes, what lies between, samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributions import Distribution, Independent, Normal

from trine.data import Table, labels_of, table_of
from trine.domains import Image
from trine.estimators._shown.marginals import DRAWN, marginals, measured
from trine.estimators._shown.sheets import as_uri, contact_sheet, eight_bits, sheet
from trine.estimators._shown.traversed import Look, drawn, fields, traversals, way

ROWS = 10
"""Rows that are shown beside what comes back of them."""
POINTS = 1500
"""Codes on the plane."""
GRID, COARSE = 15, 7
"""Pictures a side of the manifold of two numbers; of series and sounds, which are larger."""
WAY = 9
"""Pictures on a way, and of a traversal."""
WAYS = 6
"""Pairs of rows that a way is shown between."""
DIMENSIONS = 10
"""Numbers of a code that are traversed, those that tell most."""
SAMPLES = 60
NEIGHBOURS = 30.0
"""Perplexity of the map of codes of more than two numbers."""


def codes_record(
    estimator: Any, table: Table, rows: NDArray[np.int64], look: Look, label: str | None
) -> dict[str, Any]:
    """Everything that is shown, as JSON values; pictures are PNG data URIs.

    Args:
        estimator: a fitted autoencoder. table: the data. rows: of ``table``, not trained on where there are such.
        look: what a row looks like. label: the column of ``table`` that colours codes, or None.
    """
    # Of a folder of classes the first rows are of one.
    some = np.random.default_rng(estimator.plan_.seed).permutation(rows)[:POINTS]
    shown = table.take(some)
    codes = estimator.transform(shown)
    images = [name for name, domain in estimator.schema_.x.items() if isinstance(domain, Image)]
    only = images[0] if len(images) == 1 else None
    told = information(estimator, shown)
    found: dict[str, Any] = {
        "width": int(codes.shape[1]),
        "rows": len(some),
        "reconstructions": _pairs(estimator, shown, codes, look),
        "plane": _plane(codes, shown, label, estimator.plan_.seed),
        "information": [{"number": int(i) + 1, "nats": float(told[i])} for i in np.argsort(-told)],
        "shaped": estimator.derivation_.choices.shape not in (None, "none"),
    }
    if measured(estimator.schema_.x, table):
        made = estimator.drawn_columns(DRAWN, seed=estimator.plan_.seed)
        found["marginals"] = marginals(estimator.schema_.x, table, made)
    others = [name for name in estimator.schema_.x if name != only]
    if len(codes) > 1 and others:
        found["moved"] = traversals(estimator, codes, told, look, others)
        if codes.shape[1] == 2:
            found["fields"] = fields(estimator, codes, _grid(estimator, codes, GRID), GRID, others)
    samples = estimator.drawn_columns(SAMPLES if only else ROWS, seed=estimator.plan_.seed)
    if only is None:
        made = table_of({name: _short(values) for name, values in samples.items()})
        found["samples"] = [look(made, i) for i in range(ROWS)]
        if len(codes) > 1:
            between = table_of(estimator.columns_of(_ways(codes)[:WAY]))
            found["way"] = [look(between, i, (between, np.arange(WAY))) for i in range(WAY)]
            found["manifold"] = _manifold(estimator, codes, look)
        return found
    domain = estimator.schema_.x[only]
    pictures = {"samples": (samples[only], 12)}
    if len(codes) > 1:
        pictures["traversals"] = (_decoded(estimator, _traversed(codes, told), only), WAY)
        pictures["interpolations"] = (_decoded(estimator, _ways(codes), only), WAY)
        found["traversed"] = [int(i) + 1 for i in np.argsort(-told)[:DIMENSIONS]]
    if codes.shape[1] == 2 and len(codes) > 1:
        pictures["manifold"] = (_decoded(estimator, _grid(estimator, codes, GRID), only), GRID)
    for name, (values, across) in pictures.items():
        found[f"{name}_image"] = as_uri(contact_sheet([eight_bits(domain, value) for value in values], across, 900))
    return found


def information(estimator: Any, table: Table) -> NDArray[np.float64]:
    """(code,) what each number of a code tells of x: mean KL from the prior in nats of a normal code; else the entropy of a normal
    of its variance against one of a hundredth of it, so that numbers that do not vary tell nothing.
    """
    network = estimator._network.eval()
    store, _ = estimator._encode(table)
    with torch.inference_mode():
        code, z = network.encode(store.batch(torch.arange(store.rows)))
        prior = network.latent.prior()
        if isinstance(code, Independent) and isinstance(prior, Independent) and isinstance(prior.base_dist, Normal):
            each = torch.distributions.kl_divergence(code.base_dist, prior.base_dist)
            return np.asarray(each.mean(0).double().numpy())
        means = code.mean if isinstance(code, Distribution) and code.mean.shape == z.shape else z
        return np.asarray(0.5 * torch.log1p(100 * means.double().var(0, correction=0)).numpy())


def _pairs(estimator: Any, table: Table, codes: NDArray[Any], look: Look) -> list[dict[str, Any]]:
    """Rows and how they come back."""
    count = min(ROWS, len(codes))
    back = table_of({name: _short(values) for name, values in estimator.columns_of(codes[:count]).items()})
    return [{"row": look(table, i, (back, i)), "back": look(back, i, (table, i))} for i in range(count)]


def _short(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers to four figures, as a reader compares them."""
    if values.ndim != 1 or values.dtype.kind != "f":
        return values
    return np.array([float(f"{value:.4g}") for value in values])


def _plane(codes: NDArray[Any], table: Table, label: str | None, seed: int) -> dict[str, Any]:
    """Points of the codes, two numbers each: themselves, or a map of them."""
    how = "codes"
    points = codes
    if codes.shape[1] == 1:
        points = np.column_stack([codes[:, 0], np.random.default_rng(seed).uniform(-1, 1, len(codes))])
        how = "codes; up and down is chance"
    elif codes.shape[1] > 2:
        from sklearn.manifold import TSNE

        perplexity = min(NEIGHBOURS, max((len(codes) - 1) / 3, 1.0))
        if len(codes) < 4 or not np.ptp(codes, axis=0).any():  # t-SNE of equal codes would start from 0 / 0
            return {}
        points = TSNE(2, perplexity=perplexity, random_state=seed, init="pca", learning_rate="auto").fit_transform(
            codes
        )
        how = "t-SNE"
    found: dict[str, Any] = {"points": np.round(points.astype(float), 3).tolist(), "how": how}
    labels = labels_of(table, label)
    if labels is not None:
        found |= {"labels": ["unknown" if name is None else name for name in labels], "label": label}
    return found


def _decoded(estimator: Any, z: NDArray[Any], name: str) -> NDArray[Any]:
    found: NDArray[Any] = estimator.columns_of(z)[name]
    return found


def _traversed(codes: NDArray[Any], told: NDArray[np.float64]) -> NDArray[Any]:
    """A way of ``WAY`` codes along each of the numbers that tell most."""
    return np.concatenate([way(codes, int(i), WAY) for i in np.argsort(-told)[:DIMENSIONS]])


def _ways(codes: NDArray[Any]) -> NDArray[Any]:
    """Codes on straight lines between pairs of at least two rows."""
    pairs = min(len(codes) // 2, WAYS)
    along = np.linspace(0, 1, WAY)[:, None]
    return np.concatenate([(1 - along) * codes[2 * i] + along * codes[2 * i + 1] for i in range(pairs)])


def _manifold(estimator: Any, codes: NDArray[Any], look: Look) -> dict[str, Any] | None:
    """A sheet of what codes of two numbers stand for, where that can be drawn."""
    if codes.shape[1] != 2:
        return None
    pictures = drawn(look, table_of(estimator.columns_of(_grid(estimator, codes, COARSE))))
    return None if pictures is None else sheet(pictures, COARSE)


def _grid(estimator: Any, codes: NDArray[Any], side: int) -> NDArray[Any]:
    """Codes of two numbers at the quantiles of the normal prior, or of the codes where nothing shaped them.

    The first number goes to the right, the second upwards.
    """
    level = np.linspace(0.03, 0.97, side)
    shaped = estimator.derivation_.choices.shape not in (None, "none")
    if shaped and estimator.derivation_.choices.code_prior == "normal":
        own = torch.special.ndtri(torch.from_numpy(level)).numpy()
        first, second = own, own
    else:
        first, second = (np.quantile(codes[:, i], level) for i in (0, 1))
    return np.array([[a, b] for b in second[::-1] for a in first])
