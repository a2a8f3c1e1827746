"""An encoder, and how rows become what it reads."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from trine import artefact
from trine.choices import Choices
from trine.data import Store, Table
from trine.domains import Domain
from trine.errors import DataError
from trine.estimators._batched import chunk_of

from ._kept import Floats, remember, remembered


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Rows that an encoder can read.

    Attributes:
        rows: their number. table: as named columns, where they have any. store: makes the tensors. fingerprint: of the data.
    """

    rows: int
    table: Table | None
    store: Callable[[], Store]
    fingerprint: str


class Source(abc.ABC):
    """An encoder and how rows become what it reads.

    Attributes:
        name: what it is called in messages and derivations. kept: whether it lies on disk, so that what is computed from it is
            worth keeping there. choices: of the network, as far as they are known.
        targets: columns that it was trained to predict. learned_from: fingerprint of the table that it was trained on, where
            that is known.
    """

    kind: ClassVar[str]
    name: str
    kept = False
    choices = Choices()
    targets: tuple[str, ...] = ()
    learned_from: str | None = None

    @property
    @abc.abstractmethod
    def network(self) -> nn.Module:
        """Batch → z, (batch, features), or (members, batch, features); ``features`` is the width."""

    @abc.abstractmethod
    def inputs(self, data: Any, y: str | None = None) -> Inputs:
        """The rows of ``data``; ``y`` is a column that is none of x.

        Raises:
            DataError: what the encoder reads is not there.
        """

    @abc.abstractmethod
    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """JSON values and tensors from which :func:`restored` makes it again."""

    def domains(self) -> dict[str, Domain]:
        """Column → domain of what is read, where they are known."""
        return {}

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of everything that z follows from beside the rows."""
        about, tensors = self.parts()
        return artefact.digest(json.dumps(about, sort_keys=True, default=str), tensors)

    def features(self, inputs: Inputs) -> Floats:
        """(rows, features) z of each row, of rows that will not come again."""
        return self._compute(inputs.store())

    def represent(self, inputs: Inputs) -> Floats:
        """(rows, features) z of each row; computed once for an encoder and its data, then read from where it was kept."""
        key = hashlib.sha256(f"{self.fingerprint} {inputs.fingerprint} {torch.__version__}".encode()).hexdigest()[:32]
        found = remembered(key, self.kept)
        if found is None or len(found) != inputs.rows:
            found = self._compute(inputs.store())
            remember(key, found, self.kept)
        return found

    def _compute(self, store: Store) -> Floats:
        network = self.network
        place = next((p.device for p in network.parameters()), torch.device("cpu"))
        parts = []
        with torch.inference_mode(), at_rest(network):
            for batch in store.batches(torch.split(torch.arange(store.rows), chunk_of(store))):
                z = network(batch.to(place))
                parts.append((z.flatten(0, -3).mean(0) if z.dim() > 2 else z).float().cpu().numpy())
        found = np.concatenate(parts)
        if not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).all(1))[0]) + 1
            raise DataError(
                f"The encoder {self.name} gives numbers that are not finite in row {row}; look at that row."
            )
        return found


@contextlib.contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in evaluation; afterwards every part of it is in the mode that it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module; what shares memory is written twice, which a file needs."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
