"""One divergence between any two distributions or samples, as a number with its error."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ChoiceError, DataError, nearest

from ._base import Divergence, Statement, Value, divergences

DRAWS = 100_000
"""Draws of each distribution where nothing but Monte Carlo will do."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The value of a divergence; ``float(comparison)`` where there is one, and an array over a batch.

    Attributes:
        name: of the divergence.
        value: a number, or an array of the batch shape.
        error: estimated absolute error, of Monte Carlo one standard error; 0 for closed forms and for samples.
        method: ``closed form``, ``quadrature``, ``sum``, ``Monte Carlo, 100,000 draws``, ``samples``.
        statement: what holds of the divergence between any two distributions.
    """

    name: str
    value: Any
    error: Any
    method: str
    statement: Statement

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        if np.ndim(self.value):
            return f"{self.name} {self.value} ({self.method})"
        off = f" ± {self.error:.1g}" if self.error else ""
        return f"{self.name} {self.value:.10g}{off} ({self.method})"

    def to_json(self) -> dict[str, Any]:
        """As JSON values; infinity as the text ``inf``."""
        return {
            "divergence": self.name,
            "value": _plain(self.value),
            "error": _plain(self.error),
            "method": self.method,
            **dataclasses.asdict(self.statement),
        }


def divergence(
    name: str | Divergence, p: Any, q: Any, *, draws: int = DRAWS, seed: int = 0, **options: Any
) -> Comparison:
    """D(p ‖ q) for any pair of ``torch.distributions`` or samples: in closed form, by quadrature, a sum or Monte Carlo.

    ::

        p, q = Normal(20.0, 10.0), Normal(-5.0, 3.0)
        trine.divergence("js", p, q)                    # js 0.634… ± 1e-16 (quadrature)
        float(trine.divergence("wasserstein", p, q))    # 25.03…
        trine.divergence("renyi", p, q, alpha=0.3)
        trine.divergence("cramer", samples, q)          # samples: (n,) or (n, k), array, tensor or list

    Computed in float64, on the values that the distributions' own tensors have. The caller's random state is left as it
    was.

    Args:
        name: as registered (``kl``, ``reverse_kl``, ``js``, ``wasserstein``, ``wasserstein2``, ``cramer``, ``tv``,
            ``chi2``, ``hellinger``, ``renyi``, ``mmd``), or a divergence.
        p: a distribution, or samples; of KL, χ² and Rényi the first.
        q: likewise.
        draws: of each, where nothing but Monte Carlo will do.
        seed: of those draws.
        **options: of the divergence, e.g. ``alpha`` or ``bandwidth``.

    Raises:
        ChoiceError: no such divergence or option, or no form for this pair, with what has one.
        DataError: samples that are not finite numbers.
    """
    kind = _built(name, options) if isinstance(name, str) else name
    called = name if isinstance(name, str) else _name_of(name)
    one, other = _value(p, "p"), _value(q, "q")
    if draws < 2:
        raise ChoiceError(f"draws is {draws}; Monte Carlo needs at least 2.")
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = kind.compare(one, other, draws)
    value = found.value.detach().cpu().double()
    error = torch.zeros_like(value) if found.error is None else found.error.cpu().double().expand(value.shape)
    if value.numel() == 1:
        return Comparison(called, value.item(), error.item(), found.method, kind.statement)
    return Comparison(called, value.numpy(), error.numpy(), found.method, kind.statement)


def _built(name: str, options: dict[str, Any]) -> Divergence:
    kind: Any = divergences[name]
    known = [
        option
        for option, parameter in inspect.signature(kind.__init__).parameters.items()
        if option != "self"
        and parameter.kind is not parameter.VAR_POSITIONAL
        and parameter.kind is not parameter.VAR_KEYWORD
    ]
    for option in options:
        if option not in known:
            has = f"Its options: {', '.join(known)}." if known else "It has none."
            raise ChoiceError(f"{name} has no option {option!r}.{nearest(option, known)} {has}")
    built: Divergence = kind(**options)
    return built


def _name_of(kind: Divergence) -> str:
    return next((name for name, known in divergences.items() if type(kind) is known), type(kind).__name__)


def _value(given: Any, name: str) -> Value:
    """A distribution as it is, samples as a tensor of float64.

    Raises:
        ChoiceError: neither. DataError: samples that are empty, not numbers, or not finite.
    """
    if isinstance(given, Distribution):
        return given
    if isinstance(given, Tensor):
        samples = given.detach()
    else:
        try:
            samples = torch.as_tensor(np.asarray(given, dtype=np.float64))
        except (TypeError, ValueError):
            raise ChoiceError(
                f"{name} is a {type(given).__name__}; give a torch.distributions.Distribution, or samples, (n,) or (n, k)."
            ) from None
    samples = samples.double()
    if samples.dim() not in (1, 2) or not samples.numel():
        raise DataError(f"{name} has shape {tuple(samples.shape)}; samples are (n,) or (n, k), and n is at least 1.")
    if not bool(samples.isfinite().all()):
        bad = int((~samples.isfinite()).any(-1).sum() if samples.dim() == 2 else (~samples.isfinite()).sum())
        raise DataError(f"{name} has {bad} samples that are not finite numbers; leave them out first.")
    return samples


def _plain(value: Any) -> Any:
    if np.ndim(value):
        return [_plain(each) for each in value]
    return float(value) if np.isfinite(value) else str(float(value))
