"""New kinds of x: types found among generated objects, how far they are from what is known, how coherent and object-like.

These are measures of objects that no data hold. Whether a row of data is unlike the training rows is another question:
:mod:`trine.evaluation.novelty`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.errors import DataError

Matrix = NDArray[np.float64]

COMPONENTS = 50
"""Principal components, at most, that types are found and mapped in."""
LOOKED_AT = 1000
"""Rows that a silhouette is taken from: it is quadratic in them."""
SUBSTANTIAL = 0.25
"""Mean silhouette from which k-means is believed to have found groups."""
SURE = 0.9
"""Probability above which a generated object counts as of a class."""


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Types among generated objects.

    Attributes:
        assigned: (rows,) the type of each row, from 0, by falling size; −1 of none.
        silhouettes: number of types tried → mean silhouette, in [−1, 1].
        coherence: mean silhouette of each type's rows.
    """

    assigned: NDArray[np.int64]
    silhouettes: dict[int, float]
    coherence: list[float]

    @property
    def count(self) -> int:
        """Types found."""
        return len(self.coherence)


def reduced(known: Matrix, new: Matrix, seed: int, components: int = COMPONENTS) -> tuple[Matrix, Matrix]:
    """Both in the principal components of both together, each side counting alike: (rows, ≤ components)."""
    from sklearn.decomposition import PCA

    share = min(len(known), len(new)) or max(len(known), len(new))
    rng = np.random.default_rng(seed)
    some = np.concatenate([part[rng.permutation(len(part))[:share]] for part in (known, new)])
    pca = PCA(min(components, *some.shape), random_state=seed).fit(some)
    return pca.transform(known) if len(known) else known, pca.transform(new) if len(new) else new


def clusters(x: Matrix, seed: int = 0, most: int = 40, least: int = 3) -> Clusters:
    """Types among rows, and how many there are.

    K-means with the number of the largest mean silhouette, where that is at least 0.25: below, there is no substantial
    structure of that sort (Kaufman and Rousseeuw, `Finding Groups in Data`, 1990, chapter 2). Types are then the densest
    places of the rows' neighbourhoods: the leaves of HDBSCAN in a t-SNE plane. Rows between them are of no type, and so are
    those of places that are not coherent in x itself, whose mean silhouette is not above 0.

    Numbers from 2 to ``most`` are tried, densely at first and then by steps of a tenth.

    Args:
        x: (rows, features). seed: of the starts. most: types at most, the most coherent. least: rows that make a type.

    Raises:
        DataError: no row, or a number that is not finite.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_samples, silhouette_score

    if not len(x) or not np.isfinite(x).all():
        raise DataError("Types are found among objects with finite features; there are none, or some are not finite.")
    distinct = len(np.unique(x, axis=0))
    if distinct < 3:
        same = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return _by_size(same, np.ones(len(x)), {}, most, least)
    some = np.random.default_rng(seed).permutation(len(x))[:LOOKED_AT]
    tried, found = {}, {}
    for k in _numbers(min(most, distinct - 1)):
        assigned = KMeans(k, n_init=4, random_state=seed).fit_predict(x).astype(np.int64)
        if 2 <= len(np.unique(assigned[some])) < len(some):
            tried[k], found[k] = float(silhouette_score(x[some], assigned[some])), assigned
    best = max(tried, key=lambda k: tried[k])
    if tried[best] >= SUBSTANTIAL:
        return _by_size(found[best], silhouette_samples(x, found[best]), tried, most, least)
    dense = _densest(x, seed, least)
    if len(np.unique(dense[dense >= 0])) < 2:
        return _by_size(found[best], silhouette_samples(x, found[best]), tried, most, least)
    each = np.zeros(len(x))
    each[dense >= 0] = silhouette_samples(x[dense >= 0], dense[dense >= 0])
    return _by_size(dense, each, tried, most, least)


def _densest(x: Matrix, seed: int, least: int) -> NDArray[np.int64]:
    """(rows,) the densest places of the neighbourhoods, −1 between them."""
    from sklearn.cluster import HDBSCAN

    flat = plane(x[:0], x, seed)[1]
    size = max(least, 6)
    if len(x) < 2 * size:
        return np.full(len(x), -1, dtype=np.int64)
    found = HDBSCAN(size, min_samples=3, cluster_selection_method="leaf", copy=True).fit_predict(flat)
    return np.asarray(found, dtype=np.int64)


def _numbers(most: int) -> list[int]:
    found, k = [], 2
    while k <= most:
        found.append(k)
        k = max(k + 1, round(1.1 * k))
    return found


def _by_size(assigned: NDArray[np.int64], each: Matrix, tried: dict[int, float], most: int, least: int) -> Clusters:
    """The ``most`` coherent of the types of ``least`` rows, by falling size."""
    count = int(assigned.max()) + 1
    sizes = np.bincount(assigned[assigned >= 0], minlength=count)
    coherence = [float(each[assigned == i].mean()) if sizes[i] else 0.0 for i in range(count)]
    kept = sorted((i for i in range(count) if sizes[i] >= least and coherence[i] > 0), key=lambda i: -coherence[i])[
        :most
    ]
    order = sorted(kept, key=lambda i: (-sizes[i], i))
    renamed = np.full(count + 1, -1, dtype=np.int64)  # the last for −1
    renamed[order] = np.arange(len(order))
    return Clusters(renamed[assigned], tried, [coherence[i] for i in order])


def apart(x: Matrix, known: Matrix, classes: NDArray[np.int64], count: int) -> Matrix:
    """(rows, count) how far each row is from each known class, in units of how far that class's own rows are from each other.

    The distance to the nearest row of the class over the median, over its distinct rows, of the distance to the nearest
    other. 1 is as near as the class's own rows are; NaN of a class with fewer than 2 distinct rows, which has no spacing.
    """
    from sklearn.neighbors import NearestNeighbors

    found = np.full((len(x), count), np.nan)
    for c in range(count):
        own = known[classes == c]
        own = own[np.sort(np.unique(_rounded(own), axis=0, return_index=True)[1])]
        if len(own) < 2:
            continue
        near = NearestNeighbors(n_neighbors=2).fit(own)
        if len(x):
            found[:, c] = near.kneighbors(x, 1)[0][:, 0] / float(np.median(near.kneighbors(own)[0][:, 1]))
    return found


def _rounded(x: Matrix) -> Matrix:
    """Rows that are equal but for the rounding of a product, as equal rows: to a millionth of their spread."""
    spread = float(np.abs(x - x.mean(axis=0)).max()) if len(x) else 0.0
    return np.rint((x - x[:1]) * (1e6 / spread)) if spread > 0 else np.zeros_like(x)


def objectness(p: Matrix) -> float:
    """Exp of the mean KL(p(y given x) ‖ p(y)), p(y) the mean over rows: from 1 to the number of classes.

    High where each object is clearly of one class and all classes appear (Salimans et al., 2016: the inception score; used as
    objectness by Cherti, Kégl and Kazakçı, `Out-of-class novelty generation`, 2017).

    Args:
        p: (rows, classes) probabilities that sum to 1.
    """
    p = np.clip(np.asarray(p, dtype=np.float64), 1e-12, 1.0)
    return float(np.exp((p * (np.log(p) - np.log(p.mean(axis=0)))).sum(axis=1).mean()))


def out_of_class(p: Matrix, new: Sequence[int], sure: float = SURE) -> dict[str, float]:
    """How a classifier of known and of new classes takes generated objects.

    ``count``: share of rows whose probabilities of new classes sum to more than ``sure``; ``max``: share of which one new class
    alone has as much. (Cherti, Kégl and Kazakçı, 2017, section 3.)

    Args:
        p: (rows, classes). new: columns of the classes that were held out of the generator's training.
    """
    if not len(p) or not len(new):
        return {"count": 0.0, "max": 0.0}
    part = np.asarray(p)[:, list(new)]
    return {"count": float((part.sum(axis=1) > sure).mean()), "max": float((part.max(axis=1) > sure).mean())}


def plane(known: Matrix, new: Matrix, seed: int = 0, perplexity: float = 30.0) -> tuple[Matrix, Matrix]:
    """t-SNE of known and new rows together, into the plane: ((known, 2), (new, 2)), in [0, 1] on the longer axis."""
    from sklearn.manifold import TSNE

    joined = np.concatenate([known, new]).astype(np.float32)
    if len(joined) < 5:
        flat = joined[:, :2] if joined.shape[1] > 1 else np.repeat(joined, 2, axis=1)
    elif not np.ptp(joined, axis=0).any():  # t-SNE would start from 0 / 0
        flat = np.zeros((len(joined), 2), dtype=np.float32)
    else:
        within = min(perplexity, (len(joined) - 1) / 3)
        start = "pca" if joined.shape[1] > 1 else "random"
        flat = TSNE(2, perplexity=within, init=start, random_state=seed, n_jobs=1).fit_transform(joined)
    flat = np.asarray(flat, dtype=np.float64)
    flat = (flat - flat.min(axis=0)) / max(float(np.ptp(flat, axis=0).max()), 1e-12)
    return flat[: len(known)], flat[len(known) :]


@dataclasses.dataclass(frozen=True)
class Kind:
    """One type of generated objects.

    Attributes:
        name: ``A``, ``B`` … by falling size.
        size: objects in it. medoid: row, among all generated, of the one nearest the type's centre.
        members: its rows, from the centre outwards.
        coherence: mean silhouette, in [−1, 1]: above 0 where its objects are nearer each other than to any other type.
        apart: known class → median distance of its objects from that class, in units of the class's own spacing, in x.
        apart_features: the same in the features of a classifier; empty without one.
        nearest: the known class that is least apart; None where none has two rows that differ.
        taken_for: the class that a classifier gives the largest mean probability; None without one.
        probability: that mean. sure: share of its objects that the classifier gives more than 0.9 to one class.
        new: share of its objects whose probabilities of classes held out sum to more than 0.9; None without such classes.
    """

    name: str
    size: int
    medoid: int
    members: tuple[int, ...]
    coherence: float
    apart: Mapping[str, float]
    apart_features: Mapping[str, float]
    nearest: str | None
    taken_for: str | None
    probability: float | None
    sure: float | None
    new: float | None

    @property
    def distance(self) -> float:
        """From the nearest known class, in units of its own spacing: above 1 is farther than its rows are from each other; NaN
        where no class has a spacing.
        """
        return math.nan if self.nearest is None else self.apart[self.nearest]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        found = {**dataclasses.asdict(self), "distance": None if self.nearest is None else self.distance}
        return {
            **found,
            "members": list(self.members),
            "apart": dict(self.apart),
            "apart_features": dict(self.apart_features),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Kind:
        """What :meth:`to_json` gave."""
        given = {name: value for name, value in data.items() if name != "distance"}
        return cls(**{**given, "members": tuple(int(row) for row in data["members"])})


def kinds(
    x: Matrix,
    found: Clusters,
    distances: Matrix,
    labels: Sequence[str],
    p: Matrix | None = None,
    classes: Sequence[str] = (),
    new: Sequence[int] = (),
    in_features: Matrix | None = None,
) -> list[Kind]:
    """The types, each with its scores.

    Args:
        x: (rows, features) what types were found in. found: the types.
        distances: (rows, known classes), of :func:`apart`. labels: of the known classes.
        p: (rows, classes) what a classifier says, and of which ``classes``; ``new`` of them were held out.
        in_features: as ``distances``, in the classifier's features.
    """
    everything = []
    for i, coherence in enumerate(found.coherence):
        rows = np.flatnonzero(found.assigned == i)
        rows = rows[np.argsort(((x[rows] - x[rows].mean(axis=0)) ** 2).sum(axis=1), kind="stable")]
        median = {name: float(np.median(distances[rows, c])) for c, name in enumerate(labels)}
        median = {name: value for name, value in median.items() if np.isfinite(value)}
        deep = {} if in_features is None else {n: float(np.median(in_features[rows, c])) for c, n in enumerate(labels)}
        taken = probability = sure = held = None
        if p is not None:
            mean = p[rows].mean(axis=0)
            taken, probability = classes[int(mean.argmax())], float(mean.max())
            sure = float((p[rows].max(axis=1) > SURE).mean())
            held = out_of_class(p[rows], new)["count"] if len(new) else None
        everything.append(
            Kind(
                name=letters(i),
                size=len(rows),
                medoid=int(rows[0]),
                members=tuple(int(row) for row in rows),
                coherence=coherence,
                apart=median,
                apart_features={name: value for name, value in deep.items() if np.isfinite(value)},
                nearest=min(median, key=lambda name: median[name], default=None),
                taken_for=taken,
                probability=probability,
                sure=sure,
                new=held,
            )
        )
    return everything


def letters(i: int) -> str:
    """0, 1 … 25, 26 … → A, B … Z, AA …"""
    return (letters(i // 26 - 1) if i >= 26 else "") + chr(ord("A") + i % 26)
