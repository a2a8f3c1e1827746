"""What an artefact of trine represents its inputs by."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import numpy as np
from torch import Tensor, nn

from trine.data import Table, read
from trine.domains import Domain, Image
from trine.errors import ChoiceError, DataError, nearest
from trine.estimators._estimator import Estimator
from trine.models import Autoencoder, Posterior
from trine.models.foreign import CodeOf

from ._source import Inputs, Source


class Fitted(Source):
    """An artefact of trine."""

    kind = "trine"

    def __init__(self, estimator: Estimator, name: str | None = None) -> None:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator)
        self.estimator = copy.copy(estimator)  # what it has learned by now stays, though it may be fitted again
        self.name = name or type(estimator).__name__
        self.kept = name is not None
        self.choices = estimator.derivation_.choices
        self.targets = tuple(estimator.plan_.y)
        self.learned_from = estimator.provenance_.get("fingerprint")
        if not estimator.schema_.x:
            raise ChoiceError(f"The model {self.name} reads no x and so represents nothing; give one that has inputs.")

    @functools.cached_property
    def network(self) -> nn.Module:
        model = self.estimator.derivation_.model
        model = model.network if isinstance(model, Posterior) else model
        if isinstance(model, Autoencoder):
            return CodeOf(model.encoder, model.latent, model.sparsity).eval()
        encoder = getattr(model, "encoder", None)
        if not isinstance(encoder, nn.Module):
            raise ChoiceError(
                f"The model {self.name} is of the kind {self.estimator.kind} and has no encoder; give an autoencoder, or a model "
                "that predicts a y."
            )
        return encoder

    def domains(self) -> dict[str, Domain]:
        return dict(self.estimator.schema_.x)

    def inputs(self, data: Any, y: str | None = None) -> Inputs:
        table = self._table(data, y)
        for name, domain in self.estimator.schema_.x.items():
            _require_size(table, name, domain)
        names = list(self.estimator.schema_.x)
        return Inputs(table.rows, table, lambda: self.estimator._encode(table)[0], table.select(names).fingerprint())

    def _table(self, data: Any, y: str | None) -> Table:
        estimator, names = self.estimator, list(self.estimator.schema_.x)
        if isinstance(data, np.ndarray | Tensor):
            array = data.detach().cpu().numpy() if isinstance(data, Tensor) else data
            table = read(array)
            if len(table.names) == len(names):  # columns of an array go by place
                table = Table.of(
                    [
                        dataclasses.replace(table.column(old), name=new)
                        for old, new in zip(table.names, names, strict=True)
                    ]
                )
            elif estimator._from_arrays() or len(names) > 1:
                raise DataError(
                    f"X has {len(table.names)} columns and the encoder {self.name} was trained with {len(names)}; give those."
                )
            return estimator._table(table)
        table = data if isinstance(data, Table) else estimator.plan_.shaped(read(data))
        absent = [name for name in names if name not in table]
        others = [name for name in table.names if name != y]
        if (
            absent
            and len(names) == len(others) == 1
            and estimator.schema_.x[names[0]].recognise(table.column(others[0]))
        ):
            # The only column is of the kind that the only column was, under another name.
            table = table.beside(Table.of([dataclasses.replace(table.column(others[0]), name=names[0])]))
            absent = []
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise DataError(
                f"The data lack the column {absent[0]!r}{more}, which the encoder {self.name} reads."
                f"{nearest(absent[0], table.names)} It reads: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}; the data "
                f"have: {', '.join(table.names[:12])}{' …' if len(table.names) > 12 else ''}."
            )
        if y in names:
            raise DataError(
                f"The encoder {self.name} reads the column {y!r}, which is to be predicted; its answer would be given away. "
                "Train the encoder without that column."
            )
        return table

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"kind": self.kind, "manifest": self.estimator.manifest()}, self.estimator.tensors()


def _require_size(table: Table, name: str, domain: Domain) -> None:
    """Refuse arrays of pixels of another size: a domain would cut and stretch them unasked."""
    if not isinstance(domain, Image):
        return
    column = table.column(name)
    if column.levels is None and column.offsets is None and column.values.ndim in (3, 4):
        height, width = column.values.shape[1:3]
        if (height, width) != (domain.height, domain.width):
            raise DataError(
                f"Column {name!r} has pictures of {height} × {width} pixels and the encoder was trained on {domain.height} × "
                f"{domain.width}; resize or pad them first."
            )
