"""Rows with and without labels on one encoder: what else a network is asked of rows that have none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from trine.data import Batch
from trine.divergences import Value
from trine.models.autoencoder import Autoencoder
from trine.models.supervised import Supervised
from trine.rules import Rule, map_arguments


class TwoViews(Supervised):
    """A supervised network that in training also sees every row otherwise.

    Outputs in training, besides those of :class:`Supervised`: ``other.<target>``, q(y given the other view of x). Both views are
    one pass, so that normalisation over the batch has the statistics of both.

    Args:
        encoder, rules: as of :class:`Supervised`; no rule reads the memory of a sequence.
        views: batch → the same rows seen otherwise.
    """

    def __init__(self, encoder: nn.Module, rules: Mapping[str, Rule], views: nn.Module) -> None:
        super().__init__(encoder, rules)
        self.views = views

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives in training."""
        return (*super().outputs, *(f"other.{target}" for target in self.targets))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        if not self.training:
            return super().forward(batch)
        other = self.views(batch)
        assert isinstance(batch, Batch)
        both = {
            name: torch.cat([value, other.tensors[name]])
            for name, value in batch.tensors.items()
            if name.startswith("x.")
        }
        rows = batch.size
        found = super().forward(Batch(both, batch.views))
        outputs: dict[str, Value] = {}
        for name, value in found.items():
            if isinstance(value, Tensor):
                outputs[name] = value.narrow(-2, 0, rows)
                continue
            at = len(value.batch_shape) - 1
            outputs[name] = map_arguments(value, partial(torch.narrow, dim=at, start=0, length=rows))
            if name.startswith("y_hat."):
                second = map_arguments(value, partial(torch.narrow, dim=at, start=rows, length=rows))
                outputs[f"other.{name.removeprefix('y_hat.')}"] = second
        return outputs


class Reconstructing(Supervised):
    """A supervised network whose encoder is an autoencoder's too: every row, labelled or not, is to be had from its code.

    Outputs: those of :class:`Supervised`, and in training those of :class:`Autoencoder` (its ``z`` is called ``code.z``).

    Args:
        encoder, rules: as of :class:`Supervised`, on the encoder's features.
        autoencoder: whose encoder is ``encoder``.
    """

    def __init__(self, encoder: nn.Module, rules: Mapping[str, Rule], autoencoder: Autoencoder) -> None:
        super().__init__(encoder, rules)
        # Its encoder is this one: kept once, so that a state dict has it once.
        autoencoder.encoder = nn.Identity()
        self.decoding = autoencoder

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives in training."""
        own = (name for name in self.decoding.outputs if name not in ("z", "x_hat"))
        return (*super().outputs, *own, "code.z")

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        outputs = super().forward(batch)
        z = outputs["z"]
        assert isinstance(z, Tensor)
        found = self.decoding.from_features(z, batch)
        found["code.z"] = found.pop("z")
        found.pop("x_hat", None)
        return {**found, **outputs}
