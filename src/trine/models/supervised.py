"""Encoder → representation z → decision rules → q(y given x)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trine.divergences import Value
from trine.rules import Rule, mixture


class Supervised(nn.Module):
    """q(y given x, θ) for each target, from one representation of x.

    Outputs: ``z``, (batch, features), and ``y_hat.<target>``, a distribution over the target's encoded values; with one
    target also ``y_hat``. Weight-sharing members add a leading dimension while training, since each is fitted by itself;
    in evaluation their equal mixture is given.

    Args:
        encoder: batch → z; has ``features``, the width of z.
        rules: target → decision rule on z.
    """

    def __init__(self, encoder: nn.Module, rules: Mapping[str, Rule]) -> None:
        super().__init__()
        self.encoder = encoder
        self.targets = tuple(rules)
        # A list, because a user's column may hold a dot, which a ModuleDict refuses.
        self.rules = nn.ModuleList(rules.values())

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives."""
        named = tuple(f"y_hat.{target}" for target in self.targets)
        return ("z", *named, "y_hat") if len(named) == 1 else ("z", *named)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        z = self.encoder(batch)
        outputs: dict[str, Value] = {"z": z}
        for target, rule in zip(self.targets, self.rules, strict=True):
            # Likelihoods in full precision, whatever the encoder's products are in.
            with torch.autocast(z.device.type, enabled=False):
                q = rule(z.float())
            if not self.training and len(q.batch_shape) == 2:
                q = mixture(q)
            outputs[f"y_hat.{target}"] = q
        if len(self.targets) == 1:
            outputs["y_hat"] = outputs[f"y_hat.{self.targets[0]}"]
        return outputs
