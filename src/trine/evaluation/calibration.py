"""Calibration on rows held out: maps of q that make its probabilities and intervals right, adopted only where they pay.

Of classes, by temperature (Guo et al., 2017, arXiv 1706.04599) or by isotonic regression of each class's probability (Zadrozny and
Elkan, 2002). Of numbers, by a map of the distribution function (Kuleshov et al., 2018, arXiv 1807.00263): a factor on the scale of
normal quantiles (temperature), or free at nine quantiles (isotonic), or by split-conformal central intervals (Lei et al., 2018; the
finite-sample rank of Romano et al., 2019), which have their coverage whatever q is.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution

from trine.rules import OrderedCategorical, Recalibrated, cdf, map_arguments, probit

FOLDS = 5
"""Of the rows, to judge a map by rows that it was not fitted on."""
FEWEST = 20
"""Rows with fewer of which nothing is looked at."""
CLEAR = 1.96
"""Standard errors by which a score must improve: its 95 % interval is clear of zero."""
LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Central intervals that conformal calibration makes right; between and beyond them by interpolation."""
FARTHEST = 20.0
"""Standard deviations: a row that lies farther off counts as if it lay there."""
KINDS = ("temperature", "isotonic")
"""What is looked at where nothing is asked for."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A map of q for one target.

    Attributes:
        kind: ``none``, ``temperature``, ``isotonic`` or ``conformal``.
        tensors: what it was fitted to: of numbers ``knots`` and ``values`` of the map of normal quantiles; of classes
            ``temperature``, () or ``knots`` and ``values``, (classes, knots).
        said: a sentence for the user: what was looked at, what it brought, and whether it was adopted.
        rows: calibrated by so many.
    """

    kind: str
    tensors: dict[str, Tensor]
    said: str
    rows: int

    def __call__(self, q: Distribution) -> Distribution:
        """The calibrated distribution."""
        if self.kind == "none":
            return q
        return _applied(q, self.kind, self.tensors)

    def to_json(self) -> dict[str, Any]:
        """All but the tensors."""
        return {"kind": self.kind, "said": self.said, "rows": self.rows}


def calibrate(q: Distribution, y: NDArray[Any], wanted: str | None, seed: int = 0) -> Calibration:
    """The calibration of ``q`` by rows whose y is known.

    Args:
        q: batch shape (rows,), in the user's units, of numbers or of categories.
        y: (rows,) in the same units; codes of categories.
        wanted: ``none``; ``temperature``, ``isotonic`` or ``conformal``: that one, unconditionally; None: temperature and
            isotonic are compared with nothing by the negative log-likelihood of rows in turn left out, and the better is
            adopted if its improvement's 95 % interval is clear of zero.
        seed: of the division into folds.
    """
    rows = len(y)
    classes = isinstance(q, Categorical | Bernoulli)
    if wanted == "none":
        return Calibration("none", {}, "not calibrated, as chosen", rows)
    if q.event_shape or not (classes or _has_quantiles(q)):
        return Calibration("none", {}, "not calibrated: no map is known for a y of this kind", rows)
    if rows < FEWEST:
        return Calibration(
            "none", {}, f"not calibrated: {rows} rows held out tell too little, {FEWEST} are wanted", rows
        )
    truth = torch.as_tensor(np.asarray(y)).long() if classes else torch.as_tensor(np.asarray(y, dtype=np.float64))
    with torch.inference_mode():
        if wanted is not None:
            if classes and wanted == "conformal":
                return Calibration(
                    "none", {}, "not calibrated: conformal is for numbers; choose temperature or isotonic", rows
                )
            return Calibration(
                wanted, _fitted(q, truth, wanted), f"{wanted} by {rows:,} rows held out, as chosen", rows
            )
        before = _lost(q, truth)
        found: dict[str, tuple[float, float]] = {}
        for kind in KINDS:
            each = before - _left_out(q, truth, kind, seed)
            found[kind] = (float(each.mean()), float(each.std() / math.sqrt(rows)))
        # One that is not finite tells nothing.
        best = max(found, key=lambda kind: found[kind][0] if math.isfinite(found[kind][0]) else -math.inf)
        gain, error = found[best]
        if not math.isfinite(gain):
            return Calibration("none", {}, f"left as it is: a row of {rows:,} held out has a likelihood of 0", rows)
        told = f"{best} would change the log-likelihood of a row left out by {gain:+.4f} ± {CLEAR * error:.4f}"
        if gain <= CLEAR * error:
            return Calibration("none", {}, f"looked at by {rows:,} rows held out and left as it is: {told}", rows)
        return Calibration(best, _fitted(q, truth, best), f"{best}, by {rows:,} rows held out: {told}", rows)


def _has_quantiles(q: Distribution) -> bool:
    try:
        with torch.inference_mode():
            cdf(q, q.mean)
    except NotImplementedError:
        return False
    return True


def _left_out(q: Distribution, y: Tensor, kind: str, seed: int) -> Tensor:
    """(rows,) −log q of each row under the map that the other folds give."""
    order = np.random.default_rng(seed).permutation(len(y))
    lost = torch.zeros(len(y), dtype=torch.float64)
    for fold in range(FOLDS):
        out = torch.from_numpy(np.sort(order[fold::FOLDS]))
        inside = torch.from_numpy(np.sort(np.concatenate([order[i::FOLDS] for i in range(FOLDS) if i != fold])))
        tensors = _fitted(_at(q, inside), y[inside], kind)
        lost[out] = _lost(_applied(_at(q, out), kind, tensors), y[out])
    return lost


def _at(q: Distribution, rows: Tensor) -> Distribution:
    return map_arguments(q, lambda value: value[rows])


def _lost(q: Distribution, y: Tensor) -> Tensor:
    value: Tensor = -q.log_prob(y)
    return value.double()


# Maps ------------------------------------------------------------------------------------------------------------


def _applied(q: Distribution, kind: str, tensors: dict[str, Tensor]) -> Distribution:
    if not isinstance(q, Categorical | Bernoulli):
        return Recalibrated(q, tensors["knots"], tensors["values"])
    if kind == "temperature":
        factor = float(1.0 / tensors["temperature"])
        return map_arguments(q, lambda logits: logits * factor)
    return _by_class(q, tensors["knots"], tensors["values"])


def _fitted(q: Distribution, y: Tensor, kind: str) -> dict[str, Tensor]:
    if isinstance(q, Categorical | Bernoulli):
        return _temperature_of_classes(q, y) if kind == "temperature" else _isotonic_of_classes(q, y)
    from torch.special import ndtri

    part: Any = q.component_distribution if hasattr(q, "component_distribution") else q
    if part.support.is_discrete:
        # In the middle of a jump.
        t: Tensor = ndtri(cdf(q, y).double() - 0.5 * q.log_prob(y).double().exp())
    else:
        t = probit(q, y)
    t = t.clamp(-FARTHEST, FARTHEST)
    n = len(t)
    if kind == "temperature":
        # The likelihood of t under N(0, 1/a²) is largest there; one more row, of an exact q, keeps few rows from extremes.
        a = math.sqrt((n + 1) / (float(t.square().sum()) + 1))
        return {"knots": torch.tensor([-1.0, 1.0]).double(), "values": torch.tensor([-a, a]).double()}
    if kind == "conformal":
        size = t.abs().sort().values
        knots, values = [0.0], [0.0]
        for level in LEVELS:
            # ⌈(n + 1) level⌉ is the rank that covers at least so often; between two ranks, just so often.
            rank = min((n + 1) * level, float(n))
            low = max(math.floor(rank), 1)
            knots.append(float(size[low - 1] + (rank - low) * (size[min(low, n - 1)] - size[low - 1])))
            values.append(float(ndtri(torch.tensor((1 + level) / 2).double())))
        kept = [0] + [i for i in range(1, len(knots)) if knots[i] > knots[i - 1] + 1e-6]
        x, y_ = torch.tensor([knots[i] for i in kept]).double(), torch.tensor([values[i] for i in kept]).double()
        return {"knots": torch.cat([-x.flip(0)[:-1], x]), "values": torch.cat([-y_.flip(0)[:-1], y_])}
    levels = torch.arange(1, 10, dtype=torch.float64) / 10
    # Shrunk towards an exact q by as many of its quantiles as there are knots.
    found, exact = t.quantile(levels), ndtri(levels)
    share = n / (n + 20.0)
    knots_ = share * found + (1 - share) * exact
    gaps = knots_.diff().clamp_min(1e-3)
    return {"knots": torch.cat([knots_[:1], knots_[0] + gaps.cumsum(0)]), "values": exact}


def _temperature_of_classes(q: Distribution, y: Tensor) -> dict[str, Tensor]:
    """The least −log q over temperatures from 1/20 to 20, by golden section of its logarithm; it is unimodal there."""
    from scipy.optimize import minimize_scalar

    def lost(log_t: float) -> float:
        return float(_lost(map_arguments(q, lambda logits: logits * math.exp(-log_t)), y).mean())

    found = minimize_scalar(lost, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-4})
    return {"temperature": torch.tensor(math.exp(float(found.x)), dtype=torch.float64)}


def _isotonic_of_classes(q: Distribution, y: Tensor) -> dict[str, Tensor]:
    from sklearn.isotonic import IsotonicRegression

    p = _probabilities(q).numpy()
    grid = np.concatenate([np.linspace(0, 1, 21)])
    values = []
    for code in range(p.shape[1]):
        hit = (y.numpy() == code).astype(float)
        # Two rows more, of which q is right: no probability becomes 0 or 1.
        at, of = np.concatenate([p[:, code], [0.0, 1.0]]), np.concatenate([hit, [0.0, 1.0]])
        fit = IsotonicRegression(y_min=1e-3, y_max=1 - 1e-3, out_of_bounds="clip").fit(at, of)
        values.append(fit.predict(grid))
    return {"knots": torch.as_tensor(np.tile(grid, (len(values), 1))), "values": torch.as_tensor(np.array(values))}


def _by_class(q: Distribution, knots: Tensor, values: Tensor) -> Distribution:
    p = _probabilities(q)
    mapped = torch.stack(
        [
            torch.from_numpy(np.interp(p[:, code].numpy(), knots[code].numpy(), values[code].numpy()))
            for code in range(p.shape[1])
        ],
        1,
    ).clamp_min(1e-9)
    logits = (mapped / mapped.sum(1, keepdim=True)).log()
    if isinstance(q, Bernoulli):
        return Bernoulli(logits=logits[:, 1] - logits[:, 0], validate_args=False)
    return (OrderedCategorical if isinstance(q, OrderedCategorical) else Categorical)(
        logits=logits, validate_args=False
    )


def _probabilities(q: Distribution) -> Tensor:
    if isinstance(q, Bernoulli):
        return torch.stack([1 - q.probs, q.probs], 1).double()
    assert isinstance(q, Categorical)
    return q.probs.double()
