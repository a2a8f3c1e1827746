"""x → code → z → q(x given z): an encoder, a code, and a decoder with a decision rule for each column of x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine.divergences import Value
from trine.latents import Latent
from trine.rules import KnownNormal, NormalColumns, Rule

TOGETHER = "numbers"
"""Name of the output of all columns of real numbers that are given together: ``x_hat.(numbers)``."""


class Autoencoder(nn.Module):
    """q(x given z, θ) with z from x, or from anywhere else.

    Outputs: ``code``, q(z given x) or the codes themselves; ``z``, (batch, width), a draw of it in training and its mean in
    evaluation; ``prior``, p(z); ``x_hat.<column>``, a distribution over the column's encoded values; of one column also
    ``x_hat``. Columns of real numbers that share a rule are given by one distribution over all of them,
    ``x_hat.(numbers)``, whose target is the output ``x.(numbers)``.

    Args:
        encoder: batch → (batch, features).
        latent: features → code and z.
        trunk: (batch, latent.width) → (batch, features of the decoder).
        rules: column → decision rule on the trunk's features.
        together: the rule of the columns of real numbers that are given together, with their names and their places in the
            field ``x.numbers``; None where there are none.
    """

    def __init__(
        self,
        encoder: nn.Module,
        latent: Latent,
        trunk: nn.Module,
        rules: Mapping[str, Rule],
        together: tuple[NormalColumns, Sequence[str], Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.latent, self.trunk = encoder, latent, trunk
        self.columns = tuple(rules)
        # A list, because a user's column may hold a dot, which a ModuleDict refuses.
        self.drawn = nn.ModuleList(rules.values())
        self.together = None if together is None else together[0]
        self.grouped = () if together is None else tuple(together[1])
        places = torch.tensor([] if together is None else list(together[2]), dtype=torch.int64)
        self.register_buffer("places", places, persistent=False)

    places: Tensor

    @property
    def targets(self) -> tuple[str, ...]:
        """What has a rule: columns, and the columns of numbers that share one."""
        return (*self.columns, *([f"({TOGETHER})"] if self.together is not None else []))

    @property
    def rules(self) -> list[nn.Module]:
        """The rule of each of :attr:`targets`."""
        return [*self.drawn, *([self.together] if self.together is not None else [])]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives."""
        numbers = (f"x.({TOGETHER})",) if self.together is not None else ()
        short = ("x_hat",) if len(self.targets) == 1 else ()
        return ("code", "z", "prior", *(f"x_hat.{name}" for name in self.targets), *numbers, *short)

    def encode(self, batch: Mapping[str, Tensor]) -> tuple[Value, Tensor]:
        """(code, z) of the rows of ``batch``."""
        features = self.encoder(batch)
        # Codes in full precision, whatever the encoder's products are in.
        with torch.autocast(features.device.type, enabled=False):
            found: tuple[Value, Tensor] = self.latent(
                features.float() if features.dtype == torch.bfloat16 else features
            )
        return found

    def draw(self, z: Tensor) -> dict[str, Distribution]:
        """Target → q(x given z), z of shape (batch, width)."""
        features = self.trunk(z)
        found: dict[str, Distribution] = {}
        for name, rule in zip(self.targets, self.rules, strict=True):
            if getattr(rule, "wants_choices", False):  # what draws may do so in low precision, and its rule takes care
                found[name] = rule(features)
                continue
            # Likelihoods in full precision, whatever the trunk's products are in.
            with torch.autocast(z.device.type, enabled=False):
                full = features.to(z.dtype)
                found[name] = rule(full, []) if getattr(rule, "reads_memory", False) else rule(full)
        return found

    def decode(self, z: Tensor) -> dict[str, Distribution]:
        """Column → q(column given z), z of shape (batch, width)."""
        found = self.draw(z)
        group = found.pop(f"({TOGETHER})", None)
        if group is None:
            return found
        assert isinstance(group, KnownNormal)
        return {**found, **{name: group.column(i) for i, name in enumerate(self.grouped)}}

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        code, z = self.encode(batch)
        drawn = self.draw(z)
        outputs: dict[str, Value] = {"code": code, "z": z, "prior": self.latent.prior()}
        outputs |= {f"x_hat.{name}": q for name, q in drawn.items()}
        if self.together is not None:
            numbers = batch["x.numbers"]
            whole = len(self.places) == numbers.shape[1]
            outputs[f"x.({TOGETHER})"] = numbers if whole else numbers.index_select(1, self.places)
        if len(drawn) == 1:
            outputs["x_hat"] = next(iter(drawn.values()))
        return outputs
