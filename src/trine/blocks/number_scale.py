"""A number's own scale: its stretches, humps and spikes in parts of equal room, within each as even as its rows."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from trine.domains import Numeric

PARTS = 16
"""Of a scale, about; more where there are more humps."""
PART_ROWS = 20
"""Training rows that a part needs."""
MARGIN = 1e-3
"""Of a part's room, at either end: what is in it lies between, so that no rounding carries it over."""


class Scale:
    """A monotone, piecewise linear map of a number's values to [−1, 1], and back, in parts of equal room.

    A part is a hump, a share of a stretch, or a value of its own that many rows share; a gap in which no rows lie is between two
    parts and has no room. Within a part the training rows lie evenly; a value that some of them share has a stretch there, on
    which it is put at random, and the way back gives the value itself. So a uniform draw within the parts, each as often as
    it has rows, has the column's distribution.

    Args:
        domain: fitted.

    Attributes:
        values, places: (points,) not falling; the map is linear between them. parts: how many.
        single: (parts,) bool, whether a part is one value.
        shares: (parts,) of the training rows.
    """

    def __init__(self, domain: Numeric) -> None:
        points = np.array(domain.curve or [(domain.mean, 0.0), (domain.mean, 1.0)])
        self._values, self._reached = points[:, 0], points[:, 1]
        cuts = self._cuts(min(PARTS, max(domain.rows // PART_ROWS, 1)))
        self.parts = len(cuts) - 1
        self.shares = torch.tensor(np.diff(cuts), dtype=torch.float32)
        found = [self._part(low, high) for low, high in itertools.pairwise(cuts.tolist())]
        self.single = torch.tensor([bool(values[0] == values[-1]) for values, _ in found])
        ends = [(len(values) > 1 and values[0] == values[1], values[-2] == values[-1]) for values, _ in found]
        for i in range(self.parts - 1):
            before, after = found[i][0], found[i + 1][0]
            if before[-1] != after[0] or ends[i][1] == ends[i + 1][0]:
                continue
            # A value that many share is told from the stretch beside it, which it does not belong to.
            if ends[i][1]:
                after[0] = np.nextafter(np.float32(after[0]), np.float32(np.inf))
            else:
                before[-1] = np.nextafter(np.float32(before[-1]), np.float32(-np.inf))
        room = 2.0 / self.parts
        places = [-1 + room * (i + MARGIN + (1 - 2 * MARGIN) * along) for i, (_, along) in enumerate(found)]
        self.values = torch.tensor(np.concatenate([values for values, _ in found]), dtype=torch.float32)
        self.places = torch.tensor(np.concatenate(places), dtype=torch.float32)

    def _cuts(self, parts: int) -> np.ndarray:
        """Shares at which a part ends and the next begins, from 0 to 1."""
        values, reached = self._values, self._reached
        rising, moving = np.diff(reached) > 0, np.diff(values) > 0
        spikes = np.flatnonzero(rising & ~moving)
        wide = spikes[np.diff(reached)[spikes] >= 0.5 / parts]
        if len(spikes) <= parts and not (rising & moving).any():
            wide = spikes
        cuts = {0.0, 1.0, *reached[wide].tolist(), *reached[wide + 1].tolist()}
        even = np.r_[False, rising & moving, False]
        gaps = np.flatnonzero(~rising & moving)
        cuts |= set(reached[gaps[even[gaps] | even[gaps + 2]]].tolist())
        owned = {(float(reached[i]), float(reached[i + 1])) for i in wide}
        ordered = sorted(cuts)
        pieces = [piece for piece in itertools.pairwise(ordered) if piece not in owned]
        rows = sum(high - low for low, high in pieces)
        for low, high in pieces:
            count = max(round((parts - len(owned)) * (high - low) / rows), 1)
            for cut in np.linspace(low, high, count + 1)[1:-1]:
                i = int(np.searchsorted(reached, cut, side="right")) - 1
                if not moving[i]:  # a value stays whole
                    cut = reached[i] if cut - reached[i] < reached[i + 1] - cut else reached[i + 1]
                cuts.add(float(cut))
        found = np.array(sorted(cuts))
        return np.asarray(found[np.r_[True, np.diff(found) > 1e-9]])

    def _part(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        """Values between two shares, increasing, and how far along the part each is, 0 to 1."""
        values, reached = self._values, self._reached
        first, last = np.searchsorted(reached, low, side="right"), np.searchsorted(reached, high, side="left")
        start = values[first - 1] if reached[first - 1] == low else np.interp(low, reached, values)
        end = values[last] if reached[last] == high else np.interp(high, reached, values)
        along = (reached[first:last] - low) / (high - low)
        return np.r_[start, values[first:last], end], np.r_[0.0, along, 1.0]
