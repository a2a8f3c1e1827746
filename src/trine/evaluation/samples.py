"""How like true rows made ones are: distances, precision, recall, copies, in a network's features or in the rows themselves.

All are functions of features, (rows, d) float64. None needs a download. A distance is named after the network whose features it
is in; only in those of Inception is Fréchet's the FID.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trine.errors import DataError

Matrix = NDArray[np.float64]

NEIGHBOURS = 5
"""Of density and coverage, the value of Naeem et al.; 3 of precision and recall, that of Kynkäänniemi et al."""
BLOCK = 1024
"""Rows whose distances to all others are in memory at a time."""
ROUNDING = 64 * np.finfo(np.float64).eps
"""Part of |a|² + |b|² by which two values of |a − b|² that are the same may differ, and more."""


def frechet(a: Matrix, b: Matrix) -> float:
    r"""Fréchet's distance of the normals with the means and covariances of two sets of rows,

    .. math:: \|\mu_a - \mu_b\|^2 + \mathrm{tr}\,(\Sigma_a + \Sigma_b - 2 (\Sigma_a^{1/2} \Sigma_b \Sigma_a^{1/2})^{1/2})

    0 or more, in squared units of the features. Of few rows it is too large, by about (2 d + d (d + 1) / 2) / n for d white
    features and n rows of either side: compare values of the same numbers of rows, and the floor of true rows against true ones.

    Raises:
        DataError: fewer than 2 rows, different widths, or numbers that are not finite.

    References:
        Heusel et al., `GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium`, 2017. Chong and Forsyth,
        `Effectively Unbiased FID and Inception Score`, 2020 (its bias).
    """
    _require(a, b)
    covariances = (np.cov(x, rowvar=False).reshape(a.shape[1], -1) for x in (a, b))
    shift = a.mean(axis=0) - b.mean(axis=0)
    return max(float(shift @ shift) + _bures(*covariances), 0.0)


def conditional_frechet(a: Matrix, given_a: Matrix, b: Matrix, given_b: Matrix) -> float:
    r"""Fréchet's distance of what two sets of rows are *given* their conditions, in the mean over conditions,

    .. math:: E_c \|\mu_{a|c} - \mu_{b|c}\|^2
              + \mathrm{tr}\,(\Sigma_{a|c} + \Sigma_{b|c} - 2 (\Sigma_{a|c}^{1/2} \Sigma_{b|c} \Sigma_{a|c}^{1/2})^{1/2})

    of normals whose means are linear in c and whose covariances are that of the residuals. 0 or more, in squared units of the
    features; the same for any invertible linear map of the conditions. Good rows for the wrong conditions are far, which no
    distance of rows alone sees. Of few rows it is too large by about 2 d' tr(Σ) / n more than :func:`frechet`.

    Args:
        a, b: (rows, d). given_a, given_b: (rows, d') the conditions of each, in their order; of none, (rows, 0), this is
            :func:`frechet`.

    Raises:
        DataError: as of :func:`frechet`; conditions that are not one for each row.

    References:
        Soloveitchik, Diskin, Morin and Wiesel, `Conditional Frechet Inception Distance`, arXiv 2103.11521, section 3.
    """
    _require(a, b)
    _require(given_a, given_b)
    if len(a) != len(given_a) or len(b) != len(given_b):
        raise DataError(
            f"There are {len(a)} and {len(b)} rows with {len(given_a)} and {len(given_b)} conditions; give each row one."
        )
    both = _with_one(np.concatenate([given_a, given_b]))
    means, covariances = [], []
    for rows, given in ((a, given_a), (b, given_b)):
        slopes, _, rank, _ = np.linalg.lstsq(_with_one(given), rows, rcond=1e-9)
        left = rows - _with_one(given) @ slopes
        means.append(both @ slopes)
        covariances.append(left.T @ left / max(len(rows) - int(rank), 1))
    return max(float(((means[0] - means[1]) ** 2).sum(axis=1).mean()) + _bures(*covariances), 0.0)


def _with_one(given: Matrix) -> Matrix:
    return np.concatenate([given, np.ones((len(given), 1))], axis=1)


def _bures(own: Matrix, other: Matrix) -> float:
    """The part of two covariances in the distance; of rounding errors it may be a little less than 0."""
    root = _root(own)
    # tr (Σ_a Σ_b)^½ by the eigenvalues of a symmetric product: real, whatever the rank.
    eigenvalues = np.linalg.eigvalsh(root @ other @ root)
    return float(np.trace(own) + np.trace(other) - 2 * np.sqrt(np.clip(eigenvalues, 0, None)).sum())


def frechet_error(true: Matrix, made: Matrix) -> float:
    """A rough estimate of the standard error of :func:`frechet` over draws of the made rows: half of what the distances of two
    halves of them differ by. From one difference; pool the squares of several.
    """
    return _halves_apart(made, lambda half: frechet(true, made[half]))


def conditional_frechet_error(a: Matrix, given_a: Matrix, b: Matrix, given_b: Matrix) -> float:
    """The same of :func:`conditional_frechet`, over draws of ``b``."""
    return _halves_apart(b, lambda half: conditional_frechet(a, given_a, b[half], given_b[half]))


def _halves_apart(rows: Matrix, distance: Callable[[slice], float]) -> float:
    if len(rows) < 4:
        return 0.0
    return abs(distance(slice(None, None, 2)) - distance(slice(1, None, 2))) / 2


def _root(symmetric: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(symmetric)
    root: Matrix = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def kernel_distance(a: Matrix, b: Matrix, blocks: int = 10) -> tuple[float, float]:
    """(MMD² with the kernel (a · b / d + 1)³ without bias, its standard error over blocks of rows).

    Unlike Fréchet's distance it is right in the mean whatever the number of rows.

    References:
        Bińkowski et al., `Demystifying MMD GANs`, 2018, section 4 (KID).
    """
    _require(a, b)
    blocks = max(min(blocks, len(a) // 20, len(b) // 20), 1)
    # Rows made for the conditions of true ones are not independent of these: they go to other blocks.
    b = np.roll(b, len(b) // 2, axis=0)
    values = [_polynomial(x, y) for x, y in zip(np.array_split(a, blocks), np.array_split(b, blocks), strict=True)]
    error = float(np.std(values, ddof=1) / np.sqrt(blocks)) if blocks > 1 else float("nan")
    return float(np.mean(values)), error


def _polynomial(a: Matrix, b: Matrix) -> float:
    d = a.shape[1]
    within_a, within_b, between = (a @ a.T / d + 1) ** 3, (b @ b.T / d + 1) ** 3, (a @ b.T / d + 1) ** 3
    n, m = len(a), len(b)
    own = (within_a.sum() - np.trace(within_a)) / (n * (n - 1)) + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(own - 2 * between.mean())


@dataclasses.dataclass(frozen=True)
class Support:
    """Whether made rows lie where true ones do, and the other way round; shares of rows but for ``density``.

    Attributes:
        precision: of made rows within the reach of a true one (its distance to its 3rd neighbour).
        recall: of true rows within the reach of a made one.
        density: true rows' balls that a made row lies in, each over the true rows in it beside its own (5, or more where some are
            equally far); 1 of a perfect generator.
        coverage: of true rows in whose ball a made row lies.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def support(true: Matrix, made: Matrix) -> Support:
    """Precision, recall, density and coverage. Rows may coincide, as those of a table of categories do.

    References:
        Kynkäänniemi et al., `Improved Precision and Recall Metric for Assessing Generative Models`, 2019. Naeem et al., `Reliable
        Fidelity and Diversity Metrics for Generative Models`, 2020.

    Raises:
        DataError: fewer than 7 rows on a side, for which there are no neighbourhoods.
    """
    _require(true, made)
    if min(len(true), len(made)) < NEIGHBOURS + 2:
        raise DataError(
            f"Neighbourhoods need at least {NEIGHBOURS + 2} rows on either side; there are {len(true)} and {len(made)}."
        )
    (reach, wide), inside = _reach(true, 3, NEIGHBOURS)
    (of_made,), _ = _reach(made, 3)
    near = 0
    balls = np.zeros(len(true), dtype=np.int64)
    recalled = np.zeros(len(true), dtype=bool)
    for start in range(0, len(made), BLOCK):
        part = made[start : start + BLOCK]
        between, slack = _squares(part, true)
        near += int((between <= reach + slack).any(axis=1).sum())
        balls += (between <= wide + slack).sum(axis=0)
        recalled |= (between <= of_made[start : start + BLOCK, None] + slack).any(axis=0)
    density = (balls * (NEIGHBOURS / inside)).sum() / (NEIGHBOURS * len(made))
    return Support(near / len(made), float(recalled.mean()), float(density), float((balls > 0).mean()))


def _reach(x: Matrix, *ks: int) -> tuple[list[Matrix], NDArray[np.int64]]:
    """For each k (rows,) squared distance of each row to its k-th nearest other; and (rows,) how many others are within the last.

    These are k, unless several are equally far.
    """
    found = [np.empty(len(x)) for _ in ks]
    inside = np.empty(len(x), dtype=np.int64)
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        squares, slack = _squares(part, x)
        own = np.arange(len(part))
        squares[own, start + own] = -np.inf
        ordered = np.partition(squares, ks, axis=1)
        for reach, k in zip(found, ks, strict=True):
            reach[start : start + BLOCK] = ordered[:, k]
        inside[start : start + BLOCK] = (squares <= ordered[:, ks[-1], None] + slack).sum(axis=1) - 1
    return found, inside


def _squares(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """(n, m) squared distances, and how far equal ones may be apart by rounding."""
    norms = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)
    return norms - 2 * a @ b.T, ROUNDING * norms


@dataclasses.dataclass(frozen=True)
class Closest:
    """How near made rows come to training rows, beside rows that were held out.

    Attributes:
        made, held_out: (rows,) distance to the nearest training row.
        nearest: (rows,) which training row that is, of made ones.
    """

    made: Matrix
    held_out: Matrix
    nearest: NDArray[np.int64]

    @property
    def share_nearer(self) -> float:
        """Share of pairs in which the made row is the nearer to training: ½ where the two are alike, near 1 of copies."""
        return _earlier(self.made, self.held_out)

    @property
    def copies(self) -> float:
        """Share of made rows that are nearer to a training row than 99 % of rows held out are: 0.01 where none is copied."""
        return float((self.made < np.quantile(self.held_out, 0.01)).mean())


def _earlier(a: Matrix, b: Matrix) -> float:
    """P(a < b) + ½ P(a = b)."""
    order = np.sort(b)
    below, above = np.searchsorted(order, a, side="left"), np.searchsorted(order, a, side="right")
    return float(1 - ((below + above) / 2).mean() / len(b))


def closest(made: Matrix, training: Matrix, held_out: Matrix) -> Closest:
    """Distances to the nearest training row, of made rows and of rows held out."""
    from sklearn.neighbors import NearestNeighbors

    _require(made, training)
    index = NearestNeighbors(n_neighbors=1, algorithm="auto").fit(training)
    own, nearest = index.kneighbors(made)
    other = index.kneighbors(held_out)[0]
    return Closest(own[:, 0], other[:, 0], nearest[:, 0].astype(np.int64))


@dataclasses.dataclass(frozen=True)
class Modes:
    """Which classes made rows fall into.

    Attributes:
        found: classes with a made row. shares: (classes,) of made rows.
        reverse_kl: KL(shares of made rows ‖ shares of true rows), nats; those of true rows as of half a row more in each class, so
            that one made row of a class that no true row happens to be of does not decide it.
    """

    found: int
    shares: Matrix
    reverse_kl: float


def modes(made: NDArray[np.int64], true: NDArray[np.int64], classes: int) -> Modes:
    """Modes found and their balance, by the classes that a judge gives to made and to true rows.

    Args:
        made, true: (rows,) classes from 0. classes: how many there are.

    References:
        Srivastava et al., `VEEGAN`, 2017, section 4; Lin et al., `PacGAN`, 2018 (reverse KL on stacked MNIST).
    """
    shares = np.bincount(made, minlength=classes) / max(len(made), 1)
    own = (np.bincount(true, minlength=classes) + 0.5) / (len(true) + classes / 2)
    there = shares > 0
    return Modes(int(there.sum()), shares, float((shares[there] * np.log(shares[there] / own[there])).sum()))


def _require(a: Matrix, b: Matrix) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise DataError(
            f"Features of shapes {a.shape} and {b.shape} cannot be compared; give (rows, d) of one width d."
        )
    if min(len(a), len(b)) < 2:
        raise DataError(f"A distance between samples needs 2 rows on either side; there are {len(a)} and {len(b)}.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("A feature is not finite.")
