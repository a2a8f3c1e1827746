"""A batch with a share of its inputs destroyed, or its pictures bent: what a network is to see through."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from trine.data import Batch
from trine.domains import Domain, Image, Text, Vector

TURN, STRETCH, SHEAR, MOVE, CUT = 30.0, 0.25, 0.3, 1 / 7, 0.36
"""Largest rotation in degrees; change of either side and shear, as shares; shift and side of what is cut out, as shares of the
picture's sides. Of handwriting and the like; a picture that is turned by more may mean another thing."""


@functools.singledispatch
def destroyed(domain: Domain, values: Tensor, share: float) -> Tensor:
    """A field of its own, (batch, ...), with a share of its numbers at 0; open by ``destroyed.register(DomainType)``."""
    return values.masked_fill(torch.rand(values.shape, device=values.device) < share, 0.0)


@destroyed.register
def _(domain: Image, values: Tensor, share: float) -> Tensor:
    """Pixels, in all channels, at the mean of the training images."""
    gone = torch.rand(values[:, :1].shape, device=values.device) < share
    mean = torch.tensor(domain.mean, dtype=values.dtype, device=values.device).view(1, -1, 1, 1)
    return torch.where(gone, mean, values)


@destroyed.register
def _(domain: Vector, values: Tensor, share: float) -> Tensor:
    """Entries at their mean."""
    gone = torch.rand(values.shape, device=values.device) < share
    return torch.where(gone, torch.as_tensor(domain.mean, dtype=values.dtype, device=values.device), values)


@destroyed.register
def _(domain: Text, values: Tensor, share: float) -> Tensor:
    """Tokens unknown (code 0); padding stays padding."""
    gone = torch.rand(values.shape, device=values.device) < share
    return torch.where(gone & (values >= 0), 0, values)


def corrupt(batch: Mapping[str, Tensor], fields: Sequence[tuple[str, str | None, Domain]], share: float) -> Batch:
    """The batch with a share of its inputs destroyed at random, as denoising wants it.

    A number or category of a table is made missing; a pixel is set to the mean; a token to the unknown one; a number of a
    sequence to 0.

    Args:
        batch: named tensors. fields: (field, pack, first domain) of what is read. share: in [0, 1).

    References:
        Vincent et al., `Extracting and Composing Robust Features with Denoising Autoencoders`, 2008 (masking noise).
    """
    changed: dict[str, Tensor] = {}
    for field, pack, domain in fields:
        values = batch[field]
        if pack is None:
            changed[field] = destroyed(domain, values, share)
            continue
        gone = torch.rand(values.shape, device=values.device) < share
        changed[field] = values.masked_fill(gone, math.nan if pack == "numbers" else -1)
    return replaced(batch, changed)


def bent(images: Tensor) -> Tensor:
    """(batch, channels, height, width) pictures turned, stretched, sheared, shifted and with a square cut out, each at random.

    One grid sample for the whole batch; what comes into the frame from outside is 0 where edges are dark, else the edge.
    """
    n, _, height, width = images.shape
    device, dtype = images.device, images.dtype

    def between(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, dtype=dtype) * 2 - 1

    angle = between(n) * (TURN * math.pi / 180)
    stretch, shear, move = 1 + between(n, 2) * STRETCH, between(n) * SHEAR, between(n, 2) * (2 * MOVE)
    cosine, sine = angle.cos(), angle.sin()
    theta = torch.stack(
        [
            torch.stack([cosine * stretch[:, 0], -sine * stretch[:, 0] + shear, move[:, 0]], 1),
            torch.stack([sine * stretch[:, 1], cosine * stretch[:, 1], move[:, 1]], 1),
        ],
        1,
    )
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    out = grid_sample(images, grid, padding_mode="border", align_corners=False)
    middle = torch.rand(n, 2, 1, device=device)
    rows = ((torch.arange(height, device=device) / height)[None] - middle[:, 0]).abs() < CUT / 2
    columns = ((torch.arange(width, device=device) / width)[None] - middle[:, 1]).abs() < CUT / 2
    return out.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


class Views(nn.Module):
    """A batch → the same rows seen otherwise: pictures bent, any other input destroyed in part.

    Args:
        fields: (field, pack, first domain) of what is read. share: of inputs that are destroyed where there is no picture.
    """

    def __init__(self, fields: Sequence[tuple[str, str | None, Domain]], share: float = 0.2) -> None:
        super().__init__()
        self.fields = tuple(fields)
        self.share = share

    def forward(self, batch: Mapping[str, Tensor]) -> Batch:
        pictures = {field: bent(batch[field]) for field, _, domain in self.fields if isinstance(domain, Image)}
        rest = [(field, pack, domain) for field, pack, domain in self.fields if not isinstance(domain, Image)]
        changed = corrupt(batch, rest, self.share) if rest else batch
        return replaced(changed, pictures)


def replaced(batch: Mapping[str, Tensor], changed: Mapping[str, Tensor]) -> Batch:
    """The batch with some of its fields exchanged."""
    views = batch.views if isinstance(batch, Batch) else None
    tensors = batch.tensors if isinstance(batch, Batch) else dict(batch)
    return Batch({**tensors, **changed}, views)
