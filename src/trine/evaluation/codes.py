"""What is wrong with codes, in words, and what to do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.divergences.two_sample import energy_distance

ACTIVE = 0.01
"""Variance over rows of a code's mean below which a number of it is not used (Burda et al., 2016, section 5.3)."""
FAR, SURE = 0.05, 0.01
"""Energy distance of codes from the prior, in units of the prior's own spread, that matters; and p-value that shows it."""
IGNORED = 0.02
"""Share of the reconstruction's log-likelihood that another row's code must cost, for the decoder to be using codes."""
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


def diagnose(
    means: NDArray[np.floating[Any]],
    draws: Tensor,
    prior: Tensor,
    own: float,
    other: float,
    *,
    stochastic: bool,
    shaped: bool,
    seed: int = 0,
) -> list[Finding]:
    """What codes of held-out rows tell.

    Args:
        means: (rows, code) of q(z given x). draws: (rows, width) z ~ q(z given x). prior: (rows, width) z ~ p(z).
        own, other: mean log q(x given z), in nats a row, at each row's own code and at another row's.
        stochastic: whether codes are distributions. shaped: whether anything asked them to follow the prior.
        seed: of the test.
    """
    width = means.shape[1]
    found = []
    used = active_units(means)
    collapsed = used < max(width // 2, 1)
    lost_some = collapsed and stochastic
    remedy = (
        "lower shape_weight, grant free_bits=0.1 or a warmup=0.3, or take a smaller code"
        if stochastic
        else "take a smaller code"
    )
    found.append(
        Finding(
            "active units",
            float(used),
            collapsed,
            f"{used or 'none'} of {width} numbers of a code follow{'' if used > 1 else 's'} x"
            + (f": {'the rest' if used else 'all'} have collapsed to the prior and tell nothing" if lost_some else ""),
            remedy if collapsed else "",
        )
    )
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
                + ("; samples come from codes that the decoder has never seen" if off else ""),
                "raise shape_weight, train longer, or take code_prior=mixture(10)" if off else "",
            )
        )
    lost = own - other
    ignores = lost < IGNORED * abs(own)
    found.append(
        Finding(
            "decoder",
            lost,
            ignores,
            f"another row's code costs {lost:.2f} nats of reconstruction"
            + (": the decoder goes its own way, whatever the code is" if ignores else ""),
            "take a weaker decoder (fewer units, dropout), lower shape_weight or grant free_bits=0.1"
            if ignores
            else "",
        )
    )
    return found
