"""How many steps fit in a time."""

from __future__ import annotations

WARM_STEPS, MEASURED_STEPS = 3, 20
"""Steps that are not timed, since they warm up; steps whose time is taken."""
MEASURED_SHARE = 0.1
"""Share of the budget after which the time of fewer steps has to do."""
PLANNED_SHARE = 0.9
"""Share of the budget that is planned for: the rest is for held-out scores and a machine that slows down."""


class Budget:
    """Fits the number of steps to a time: once, from the time of the first steps, so that the schedule spans what will be done.

    Should the machine slow down so much that the time is over before, the training ends where it is.

    Args:
        seconds: what may be used, positive. fitted: whether the number of steps was fitted already.
    """

    def __init__(self, seconds: float, fitted: bool = False) -> None:
        self.seconds = seconds
        self.fitted = fitted
        self._timed = -WARM_STEPS
        self._start = 0.0

    def total(self, t: int, elapsed: float) -> int | None:
        """The number of steps in all, when it becomes known or the time is over; None otherwise. Called after each step.

        Args:
            t: steps done. elapsed: seconds used.
        """
        if elapsed >= self.seconds:
            return t
        if self.fitted:
            return None
        self._timed += 1
        if self._timed <= 0:
            self._start = elapsed
            return None
        if self._timed < MEASURED_STEPS and elapsed < MEASURED_SHARE * self.seconds:
            return None
        self.fitted = True
        a_step = max((elapsed - self._start) / self._timed, 1e-9)
        return t + max(0, int((PLANNED_SHARE * self.seconds - elapsed) / a_step))
