"""Encoder → representation z → decision rules → q(y given x)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from trine.blocks.weights import weights
from trine.divergences import Value
from trine.rules import Rule, map_arguments, mixture


class Supervised(nn.Module):
    """q(y given x, θ) for each target, from one representation of x.

    Outputs: ``z``, (batch, features), and ``y_hat.<target>``, a distribution over the target's encoded values; with one
    target also ``y_hat``. Weight-sharing members add a leading dimension while training, since each is fitted by
    itself; in evaluation their equal mixture is given.

    With ``blank``, training has a further output ``blank.<target>``: the distribution for a row with nothing known, the
    same for every row of the batch. A term on it teaches the model what to answer then, for the price of one row.

    Args:
        encoder: batch → z; has ``features``, the width of z. Called with ``blank=True`` it puts a blank row last. Where a
            rule reads the memory of what was read over time, its ``encode`` gives (z, memory).
        rules: target → decision rule on z.
        blank: whether training has the outputs of a blank row.
        theta: whether training has the output ``theta``, (numbers,): all weights, for a term that is their prior.
    """

    def __init__(self, encoder: nn.Module, rules: Mapping[str, Rule], blank: bool = False, theta: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.blank = blank
        self.targets = tuple(rules)
        # A list, because a user's column may hold a dot, which a ModuleDict refuses.
        self.rules = nn.ModuleList(rules.values())
        self.reads = any(rule.reads_memory for rule in rules.values())
        self.theta = weights(self) if theta else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives."""
        named = tuple(f"y_hat.{target}" for target in self.targets)
        blank = tuple(f"blank.{target}" for target in self.targets) if self.blank else ()
        return ("z", *named, *blank, "y_hat") if len(named) == 1 else ("z", *named, *blank)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        blank = self.blank and self.training
        memory: list[tuple[Tensor, Tensor]] = []
        if self.reads:
            z, memory = self.encoder.encode(batch, blank)  # type: ignore[operator]
            # Cast as z is; a blank row has read nothing.
            memory = [
                (pad(states.float(), (0, 0, 0, 0, 0, int(blank))), pad(n, (0, int(blank)))) for states, n in memory
            ]
        else:
            z = self.encoder(batch, blank=True) if blank else self.encoder(batch)
        rows = z.shape[-2] - 1
        outputs: dict[str, Value] = {"z": z.narrow(-2, 0, rows) if blank else z}
        for target, rule in zip(self.targets, self.rules, strict=True):
            # Likelihoods in full precision, whatever the encoder's products are in.
            with torch.autocast(z.device.type, enabled=False):
                q = rule(z.float(), memory) if rule.reads_memory else rule(z.float())
            if blank:
                # The parameters are divided, not z: they are few, and its gradient need not be put together again.
                at = len(q.batch_shape) - 1
                outputs[f"blank.{target}"] = map_arguments(q, partial(_last, at=at, rows=rows))
                q = map_arguments(q, partial(torch.narrow, dim=at, start=0, length=rows))
            if not self.training and len(q.batch_shape) == 2:
                q = mixture(q)
            outputs[f"y_hat.{target}"] = q
        if self.theta and self.training:
            moving = dict(self.named_parameters())
            outputs["theta"] = torch.cat([moving[name].flatten() for name in self.theta])
        if len(self.targets) == 1:
            outputs["y_hat"] = outputs[f"y_hat.{self.targets[0]}"]
        return outputs


def _last(value: Tensor, at: int, rows: int) -> Tensor:
    """The last row of ``value`` along dimension ``at``, for each of ``rows``."""
    shape = list(value.shape)
    shape[at] = rows
    return value.narrow(at, -1, 1).expand(shape)
