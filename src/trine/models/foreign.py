"""Encoders in one manner: batch → z, (batch, features), whoever made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trine.errors import DataError
from trine.latents import Latent

INPUT, MASK = "x.input", "x.mask"
"""Fields of a batch that a network reads which is not of trine: what goes in, and of texts which tokens are there."""


class CodeOf(nn.Module):
    """The encoder of an autoencoder and its code: z as the autoencoder has it in evaluation, in training too.

    Of normal codes it is their mean, of categories the likeliest, of sparse codes what is left of them.

    Args:
        encoder: batch → (batch, features). latent: features → code. sparsity: codes → codes of which few numbers are not 0.
    """

    def __init__(self, encoder: nn.Module, latent: Latent, sparsity: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.latent, self.sparsity = encoder, latent, sparsity
        self.features = latent.width

    def train(self, mode: bool = True) -> CodeOf:
        """A code is drawn in training, and cut by what else is in the batch; not here."""
        super().train(mode)
        self.latent.eval()
        if self.sparsity is not None:
            self.sparsity.eval()
        return self

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch, width of the code)."""
        z: Tensor = self.latent(self.encoder(batch).float())[1]
        return z if self.sparsity is None else self.sparsity(z)


class Foreign(nn.Module):
    """Any network as an encoder: its first output, flattened to (batch, features).

    A row's z is: a (batch, features) output as it is; a (batch, channels, height, width) map its mean over places; a
    (batch, steps, features) sequence its mean over the steps that are there.

    Args:
        network: tensor → tensor, a tuple or mapping of tensors, or an output with ``last_hidden_state``.
        name: what it is called in messages.
        mean, std: of each channel, what inputs in [0, 1] are standardised by; None leaves them.
        keyword: name of the argument that the input goes to; None: the first. mask: name of the mask's argument.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        name: str,
        *,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        keyword: str | None = None,
        mask: str | None = None,
    ) -> None:
        super().__init__()
        self.network, self.name, self.keyword, self.mask = network, name, keyword, mask
        self.features = 0
        for key, values in (("mean", mean), ("std", std)):
            self.register_buffer(key, torch.tensor(values).view(1, -1, 1, 1) if values else None, persistent=False)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch, features).

        Raises:
            DataError: the network cannot read inputs of that shape, or gives nothing that is a representation.
        """
        x = batch[INPUT]
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        given: dict[str, Tensor] = {}
        there = batch[MASK] if self.mask is not None else None
        if self.mask is not None and there is not None:
            given[self.mask] = there.long()
        try:
            found = self.network(x, **given) if self.keyword is None else self.network(**{self.keyword: x}, **given)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DataError(
                f"The encoder {self.name} cannot read inputs of the shape (rows, "
                f"{', '.join(map(str, x.shape[1:]))}) and type {x.dtype}: {first}. Give x in the shape it was made for."
            ) from None
        return _pooled(_first(found, self.name), there, len(x), self.name)


def _first(found: Any, name: str) -> Tensor:
    """The tensor that stands for the whole output."""
    if isinstance(found, Tensor):
        return found
    hidden = getattr(found, "last_hidden_state", None)
    if isinstance(hidden, Tensor):
        return hidden
    if isinstance(found, Mapping):
        found = found.get("z", next(iter(found.values()), None))
    elif isinstance(found, tuple | list):
        found = found[0] if found else None
    if isinstance(found, Tensor):
        return found
    raise DataError(
        f"The encoder {name} gives a {type(found).__name__}, and a tensor (rows, ...) is needed; wrap it in a module whose "
        "forward returns the representation."
    )


def _pooled(z: Tensor, there: Tensor | None, rows: int, name: str) -> Tensor:
    if z.dim() < 2 or len(z) != rows or not z.is_floating_point():
        raise DataError(
            f"The encoder {name} gives {tuple(z.shape)} {z.dtype} for {rows} rows; a representation has one row of numbers "
            "for each."
        )
    if z.dim() == 2:
        return z
    if z.dim() == 4:
        return z.mean((2, 3))
    if z.dim() == 3 and there is not None and there.shape == z.shape[:2]:
        weight = there.to(z.dtype).unsqueeze(2)
        return (z * weight).sum(1) / weight.sum(1).clamp_min(1.0)
    return z.mean(1) if z.dim() == 3 else z.flatten(1)
