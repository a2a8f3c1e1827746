"""Going on with a run that was stopped, whatever began it."""

from __future__ import annotations

import os
from typing import Any

from trine.errors import ChoiceError
from trine.estimators import _workflow
from trine.estimators._transferred import runs as transfers
from trine.training import distributed


def resume(
    run: str | os.PathLike[str],
    *,
    data: Any = None,
    other: Any = None,
    encoder: Any = None,
    device: str | None = None,
    verbose: bool = False,
) -> Any:
    """Go on with a run that was stopped or killed; its result is that of a run never stopped, bit for bit.

    Args:
        run: the run's directory. data, other: where the data are now, if they have moved; of two piles, A and B.
        encoder: of a transfer, where its encoder is now, if it has moved; or the encoder itself, if it was in memory.
        device: where to go on; None: as the run was started.
        verbose: whether to show progress.

    Raises:
        RunError: no run there, or the data or the encoder are not those the run was started with.
    """
    opened = distributed.open_run(run)
    with opened:
        if "transfer" in opened.data:
            return transfers.go_on(opened, data=data, encoder=encoder, device=device, verbose=verbose)
        if encoder is not None:
            raise ChoiceError(f"The run {run} is no transfer and has no encoder; leave encoder out.")
        return _workflow.go_on(opened, data=data, other=other, device=device, verbose=verbose)
