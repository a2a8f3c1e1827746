"""x → code → z → q(x given z): an encoder, a code, and a decoder with a decision rule for each column of x."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine.blocks import ended
from trine.blocks.corruption import corrupt, replaced
from trine.data import Batch
from trine.divergences import Value
from trine.divergences.kl import log_score
from trine.latents import Latent
from trine.rules import KnownNormal, NormalColumns, Rule

TOGETHER = "numbers"
"""Name of the output of all columns of real numbers that are given together: ``x_hat.(numbers)``."""


class Autoencoder(nn.Module):
    """q(x given z, θ) with z from x, or from anywhere else.

    Outputs: ``code``, q(z given x) or the codes themselves; ``z``, (batch, width), a draw of it in training, in evaluation its
    mean, of categories the likeliest; ``prior``, p(z); ``x_hat.<column>``, a distribution over the column's encoded values; of
    one column also ``x_hat``. Columns of real numbers that share a rule are given by one distribution over all of them,
    ``x_hat.(numbers)``, whose target is the output ``x.(numbers)``. Likewise the target of a series or a sound is an output,
    ``x.<column>``, which tells where each row ends.

    Args:
        encoder: batch → (batch, features).
        latent: features → code and z.
        trunk: (batch, latent.width) → (batch, features of the decoder).
        rules: column → decision rule on the trunk's features.
        together: the rule of the columns of real numbers that are given together, with their names and their places in the
            field ``x.numbers``; None where there are none.
        corruption: share of the inputs that are destroyed before they are read, in training.
        sparsity: codes → codes of which few numbers are not 0; None leaves them.
        contracts: field of the batch → standard deviations of its numbers, in a shape that they broadcast to without the rows:
            those whose slope the output ``contraction``, (batch,), of training tells, an unbiased estimate of ‖∂z/∂x‖² for x in
            standard deviations; empty: there is none.
        draws: of z for each row; where there are more than 1, training gives ``bound``, (batch,), in place of ``x_hat``: the
            importance-weighted bound of −log p(x), and evaluation gives both.
    """

    def __init__(
        self,
        encoder: nn.Module,
        latent: Latent,
        trunk: nn.Module,
        rules: Mapping[str, Rule],
        together: tuple[NormalColumns, Sequence[str], Sequence[int]] | None = None,
        corruption: float = 0.0,
        sparsity: nn.Module | None = None,
        contracts: Mapping[str, Tensor] | None = None,
        draws: int = 1,
    ) -> None:
        super().__init__()
        self.encoder, self.latent, self.trunk = encoder, latent, trunk
        self.columns = tuple(rules)
        # A list, because a user's column may hold a dot, which a ModuleDict refuses.
        self.drawn = nn.ModuleList(rules.values())
        self.together = None if together is None else together[0]
        self.corruption, self.sparsity, self.draws = corruption, sparsity, draws
        self.contracts = tuple(contracts or ())
        for i, spread in enumerate((contracts or {}).values()):
            self.register_buffer(f"spread{i}", spread, persistent=False)
        self.grouped = () if together is None else tuple(together[1])
        places = torch.tensor([] if together is None else list(together[2]), dtype=torch.int64)
        self.register_buffer("places", places, persistent=False)

    places: Tensor

    @functools.cached_property
    def targets(self) -> tuple[str, ...]:
        """What has a rule: columns, and the columns of numbers that share one."""
        return (*self.columns, *([f"({TOGETHER})"] if self.together is not None else []))

    @property
    def rules(self) -> list[nn.Module]:
        """The rule of each of :attr:`targets`."""
        return [*self.drawn, *([self.together] if self.together is not None else [])]

    @functools.cached_property
    def ending(self) -> tuple[str, ...]:
        """The columns whose rules need to know where each row ends."""
        return tuple(
            name for name, rule in zip(self.columns, self.drawn, strict=True) if getattr(rule, "marks_ends", False)
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives."""
        numbers: tuple[str, ...] = (f"x.({TOGETHER})",) if self.together is not None else ()
        numbers += tuple(f"x.{name}" for name in self.ending)
        short: tuple[str, ...] = ("x_hat",) if len(self.targets) == 1 else ()
        short += ("contraction",) if self.contracts else ()
        short += ("bound",) if self.draws > 1 else ()
        return ("code", "z", "prior", *(f"x_hat.{name}" for name in self.targets), *numbers, *short)

    @torch.no_grad()
    def begin(self, rows: Mapping[str, Tensor]) -> None:
        """Let rules that know how start at the mean of some training rows, place by place."""
        for name, rule in zip(self.columns, self.drawn, strict=True):
            begin: Any = getattr(rule, "begin", None)
            if begin is not None:
                values, present = rows[f"x.{name}"], rows.get(f"x.{name}.present")
                values = values if present is None else values[present]
                if len(values):
                    begin(values.mean(0))

    def encode(self, batch: Mapping[str, Tensor]) -> tuple[Value, Tensor]:
        """(code, z) of the rows of ``batch``."""
        if self.training and self.corruption:
            batch = corrupt(batch, self.encoder.reads, self.corruption)  # type: ignore[arg-type]
        return self._coded(self.encoder(batch))

    def _coded(self, features: Tensor) -> tuple[Value, Tensor]:
        """(code, z) of the encoder's features."""
        # Codes in full precision, whatever the encoder's products are in.
        with _full_precision(features.device):
            code, z = self.latent(features.float() if features.dtype == torch.bfloat16 else features)
        if self.sparsity is None:
            return code, z
        z = self.sparsity(z)
        return z, z

    def draw(self, z: Tensor) -> dict[str, Distribution]:
        """Target → q(x given z), z of shape (batch, width)."""
        features = self.trunk(z)
        found: dict[str, Distribution] = {}
        for name, rule in zip(self.targets, self.rules, strict=True):
            if getattr(rule, "wants_choices", False):  # what draws may do so in low precision, and its rule takes care
                found[name] = rule(features)
                continue
            # Likelihoods in full precision, whatever the trunk's products are in.
            with _full_precision(z.device):
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

    def log_prob(self, z: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch,) log q(x given z) of the rows of ``batch``, summed over the columns that are known; as KL scores it, so that a
        share of exactly 0 or 1, where a density may be infinite, counts as one just inside.
        """
        total = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        for name, q in self.draw(z).items():
            if name == f"({TOGETHER})":
                total = total - log_score(q, self._numbers(batch))
                continue
            value, present = self.value(batch, name), batch.get(f"x.{name}.present")
            if present is not None:
                own = present.view(-1, *(1,) * (value.dim() - 1))
                value = torch.where(own, value, torch.ones_like(value) if value.is_floating_point() else 0)
            each = -log_score(q, value)
            total = total + (each if present is None else torch.where(present, each, 0.0))
        return total

    def bound(self, code: Distribution, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch,) −log 1/k Σ p(x given z_i) p(z_i)/q(z_i given x), with k fresh draws a row, from torch's generator."""
        k, prior = self.draws, self.latent.prior()
        z = code.rsample((k,))
        with _full_precision(z.device):
            log_w = prior.log_prob(z) - code.log_prob(z)
        log_w = log_w + self.log_prob(z.flatten(0, 1), _repeated(batch, k)).view(k, -1)
        return math.log(k) - log_w.logsumexp(0)

    def value(self, batch: Mapping[str, Tensor], name: str) -> Tensor:
        """What the rule of a column scores: the column as the batch has it, of a series or a sound NaN beyond each row's end."""
        return ended(batch, f"x.{name}") if name in self.ending else batch[f"x.{name}"]

    def _numbers(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch, numbers) the columns that are given together."""
        numbers = batch["x.numbers"]
        return numbers if len(self.places) == numbers.shape[1] else numbers.index_select(1, self.places)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        if not (self.contracts and self.training):
            return self._outputs_of(*self.encode(batch), batch)
        batch, read = self.watched(batch)
        code, z = self.encode(batch)
        outputs = self._outputs_of(code, z, batch)
        outputs["contraction"] = slope(z, read)
        return outputs

    def watched(self, batch: Mapping[str, Tensor]) -> tuple[Batch, Read]:
        """The batch with gradients of its fields of numbers, and those fields with what their numbers are measured in."""
        values = {field: batch[field].detach().requires_grad_(True) for field in self.contracts}
        spreads = [self.get_buffer(f"spread{i}") for i in range(len(self.contracts))]
        return replaced(batch, values), list(zip(values.values(), spreads, strict=True))

    def from_features(
        self, features: Tensor, batch: Mapping[str, Tensor], beside: Tensor | None = None
    ) -> dict[str, Value]:
        """What :meth:`forward` gives, of features that were read already, (batch, features).

        Args:
            beside: (batch, numbers) what code and decoder read as well, where they were made for it.
        """
        code, z = self._coded(features if beside is None else torch.cat([features, beside], -1))
        return self._outputs_of(code, z, batch, beside)

    def _outputs_of(
        self, code: Value, z: Tensor, batch: Mapping[str, Tensor], beside: Tensor | None = None
    ) -> dict[str, Value]:
        outputs: dict[str, Value] = {"code": code, "z": z, "prior": self.latent.prior()}
        if self.draws > 1:
            assert isinstance(code, Distribution)
            outputs["bound"] = self.bound(code, batch)
            if self.training:
                return outputs
        drawn = self.draw(z if beside is None else torch.cat([z, beside], -1))
        outputs |= {f"x_hat.{name}": q for name, q in drawn.items()}
        if self.together is not None:
            outputs[f"x.({TOGETHER})"] = self._numbers(batch)
        outputs |= {f"x.{name}": self.value(batch, name) for name in self.ending}
        if len(drawn) == 1:
            outputs["x_hat"] = next(iter(drawn.values()))
        return outputs


def _repeated(batch: Mapping[str, Tensor], times: int) -> Batch:
    """The rows of the batch one after another, and again, so many times."""
    assert isinstance(batch, Batch)
    return Batch(
        {name: value.repeat(times, *(1,) * (value.dim() - 1)) for name, value in batch.tensors.items()}, batch.views
    )


def _full_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Without autocast; the context costs a small step more than it saves where there is none."""
    on = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else contextlib.nullcontext()


Read = list[tuple[Tensor, Tensor]]
"""Inputs that have a gradient, and the scale that each of their numbers is measured in."""


def slope(z: Tensor, read: Read) -> Tensor:
    """(batch,) E over u ~ N(0, I) of ‖uᵀ ∂z/∂x‖², by one draw: ‖∂z/∂x‖² without bias (Hutchinson, 1990).

    Of members, z (members, batch, width), it is their mean: draws of different members have nothing in common.
    """
    if not torch.is_grad_enabled():
        return z.new_zeros(z.shape[-2])
    slopes = torch.autograd.grad((z * torch.randn_like(z)).sum(), [values for values, _ in read], create_graph=True)
    parts = [
        (each * scale).nan_to_num(0.0).flatten(1).square().sum(1) for each, (_, scale) in zip(slopes, read, strict=True)
    ]
    found = torch.stack(parts).sum(0)
    return found if z.dim() == 2 else found / z.shape[:-2].numel()
