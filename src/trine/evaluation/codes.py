"""What is wrong with codes, in words, and what to do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.divergences.two_sample import energy_distance
from trine.evaluation.remedies import PLANNED

ACTIVE = 0.01
"""Variance over rows of a code's mean below which a number of it is not used (Burda et al., 2016, section 5.3)."""
FAR, SURE = 0.05, 0.01
"""Energy distance of codes from the prior, in units of the prior's own spread, that matters; and p-value that shows it."""
IGNORED = 0.1
"""Nats a row that another row's code must cost, and by more than two standard errors, for the decoder to be using codes. A
difference of log densities has no unit of x, where a density's own zero is wherever x's unit puts it."""
PERMUTATIONS, COMPARED = 200, 400
"""Of the two-sample test; codes and draws that it compares."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: ``active units``, ``prior`` or ``decoder``.
        value: the figure that it goes by.
        wrong: whether it is amiss.
        sentence: what was found. remedy: what to do; empty where nothing is wrong.
    """

    name: str
    value: float
    wrong: bool
    sentence: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)


def active_units(means: NDArray[np.floating[Any]]) -> int:
    """How many numbers of a code follow x, by the (rows, code) means of q(z given x)."""
    return int((means.var(axis=0) > ACTIVE).sum())


def two_sample(x: Tensor, y: Tensor, seed: int = 0) -> tuple[float, float]:
    """(energy distance, p-value) of two samples, (n, k) and (m, k), by permutations of which row is whose.

    References:
        Székely and Rizzo, `Energy statistics`, 2013.
    """
    generator = torch.Generator().manual_seed(seed)
    both, n = torch.cat([x, y]), len(x)
    found = float(energy_distance(x, y))
    beyond = 0
    for _ in range(PERMUTATIONS):
        order = torch.randperm(len(both), generator=generator)
        beyond += float(energy_distance(both[order[:n]], both[order[n:]])) >= found
    return found, (1 + beyond) / (1 + PERMUTATIONS)


def ever_active(codes: NDArray[np.floating[Any]]) -> tuple[int, float]:
    """(numbers of a sparse code that are not 0 in some of the rows, how many would be if all were used alike), of (rows, code)."""
    rows, width = codes.shape
    active = codes != 0
    return int(active.any(axis=0).sum()), float(width * (1 - (1 - active.mean()) ** rows))


def diagnose(
    means: NDArray[np.floating[Any]],
    draws: Tensor,
    prior: Tensor,
    own: NDArray[np.floating[Any]],
    other: NDArray[np.floating[Any]],
    *,
    stochastic: bool,
    shaped: bool,
    sparse: bool = False,
    seed: int = 0,
    longer: str = PLANNED,
) -> list[Finding]:
    """What codes of held-out rows tell.

    Which numbers of a code are used is told of distributions that are shaped to a prior, on its scale, and of sparse codes, by
    which are ever other than 0. Other codes have any scale, and are not judged so.

    Args:
        means: (rows, code) of q(z given x). draws: (rows, width) z ~ q(z given x). prior: (rows, width) z ~ p(z).
        own, other: (rows,) log q(x given z), in nats, at each row's own code and at another row's.
        stochastic: whether codes are distributions. shaped: whether anything asked them to follow the prior.
        sparse: whether most numbers of a code are exactly 0.
        seed: of the test. longer: what makes the training longer; see :func:`~trine.evaluation.remedies.longer`.
    """
    found = []
    if stochastic and shaped:
        found.append(_follows(means))
    if sparse:
        found.append(_ever_active(means))
    if shaped:
        some, drawn = draws[:COMPARED], prior[:COMPARED]
        distance, p = two_sample(some, drawn, seed)
        spread = float(torch.pdist(drawn).mean())
        off = p <= SURE and distance > FAR * spread
        found.append(
            Finding(
                "prior",
                distance / spread,
                off,
                f"codes {'lie off' if off else 'follow'} their prior: energy distance {distance:.3f}, p = {p:.2g}"
                + ("" if off else f" (off is beyond {FAR * spread:.3f} with p of at most {SURE:g})")
                + ("; samples come from codes that the decoder has never seen" if off else ""),
                (
                    f"raise shape_weight, train longer ({longer}), or take code_prior=mixture(10)"
                    if stochastic
                    else f"raise shape_weight or train longer ({longer})"
                )
                if off
                else "",
            )
        )
    cost = np.asarray(own, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    lost, error = float(cost.mean()), float(cost.std(ddof=1) / np.sqrt(len(cost)))
    ignores = not lost > max(IGNORED, 2 * error)
    less = ", lower shape_weight or grant free_bits=0.1" if stochastic else " or lower shape_weight" if shaped else ""
    found.append(
        Finding(
            "decoder",
            lost,
            ignores,
            f"another row's code costs {lost:.2f} ± {2 * error:.2f} nats of reconstruction"
            + (": the decoder goes its own way, whatever the code is" if ignores else ""),
            f"take a weaker decoder (fewer units, dropout){less}" if ignores else "",
        )
    )
    return found


def _follows(means: NDArray[np.floating[Any]]) -> Finding:
    """How many numbers of a code that is a distribution follow x."""
    used, width = active_units(means), means.shape[1]
    collapsed = used < max(width // 2, 1)
    return Finding(
        "active units",
        float(used),
        collapsed,
        f"{used or 'none'} of {width} numbers of a code follow{'' if used > 1 else 's'} x"
        + (f": {'the rest' if used else 'all'} have collapsed to the prior and tell nothing" if collapsed else ""),
        "lower shape_weight, grant free_bits=0.1 or a warmup=0.3, or take a smaller code" if collapsed else "",
    )


def _ever_active(codes: NDArray[np.floating[Any]]) -> Finding:
    """How many numbers of a sparse code are ever used."""
    (used, even), width = ever_active(codes), codes.shape[1]
    dead = used < even / 2
    return Finding(
        "active units",
        float(used),
        dead,
        f"{used or 'none'} of {width} numbers of a code {'are' if used > 1 else 'is'} ever other than 0"
        + (f", where {even:.0f} would be if all were used alike" if dead else ""),
        "take a smaller code, or sparsity=lifetime(0.05), under which no number dies" if dead else "",
    )
