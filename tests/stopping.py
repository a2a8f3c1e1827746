"""A training that is killed and resumed, as tests of its exactness need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from trine.procedures import Descent

T = TypeVar("T")


def stopped_and_resumed(fit: Callable[[], Any], resume: Callable[[], T], at: int) -> T:
    """What resuming gives of a training that is killed in its step ``at``, counted from 1, all steps before it being kept.

    The resumed training is seen to go on from there, for one that begins anew ends in the same bits whatever a checkpoint lacks.

    Args:
        fit: trains with a run on disk. resume: goes on with it.
    """
    step = Descent.step
    first: list[int] = []

    def dying(self: Any, state: Any, *arguments: Any, **named: Any) -> Any:
        if state.t == at - 1:
            raise KeyboardInterrupt
        return step(self, state, *arguments, **named)

    def watched(self: Any, state: Any, *arguments: Any, **named: Any) -> Any:
        first.append(state.t)
        return step(self, state, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trine.training.trainer.CHECKPOINT_EVERY", 0.0)
        patch.setattr(Descent, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            fit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Descent, "step", watched)
        resumed = resume()
    assert first[0] == at - 1
    return resumed
