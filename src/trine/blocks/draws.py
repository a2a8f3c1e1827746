"""What is drawn of a row, with a gradient, and what the columns that are drawn next know of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

TEMPERATURE = 0.5
"""Of all relaxed draws that gradients are taken at (Jang et al., 2017): low enough to be nearly one category, high enough for a
gradient of little variance.
"""
TURNS = 16
"""Runs of columns that are drawn one after the other; each knows those before it."""
HIDDEN = 128
"""Units that read what is known."""


class Turns(nn.Module):
    """What is known of a row, as the columns read it that are drawn next: a = b + U features + Σ W_t drawn_t, read by V_t relu(a).

    What each turn draws is added to a, so that a turn costs its own columns and not all before it.

    Args:
        features: width of what a row is made from. asks: numbers that each turn reads off. draws: numbers that each turn draws.

    References:
        Uria et al., `Neural Autoregressive Distribution Estimation`, 2016, section 2.
    """

    def __init__(self, features: int, asks: Sequence[int], draws: Sequence[int], hidden: int = HIDDEN) -> None:
        super().__init__()
        self.start = nn.Linear(features, hidden)
        self.reads = nn.ModuleList(nn.Linear(hidden, width) for width in asks)
        self.adds = nn.ModuleList(nn.Linear(width, hidden, bias=False) for width in draws[:-1])

    def known(self, features: Tensor) -> Tensor:
        """(batch, features) → (batch, hidden), before anything is drawn."""
        found: Tensor = self.start(features)
        return found

    def asked(self, turn: int, known: Tensor) -> Tensor:
        """What a turn reads off what is known, (batch, asks)."""
        found: Tensor = self.reads[turn](relu(known))
        return found

    def told(self, turn: int, known: Tensor, drawn: Tensor) -> Tensor:
        """What is known after a turn has drawn; after the last one nobody asks."""
        if turn == len(self.adds):
            return known
        added: Tensor = self.adds[turn](drawn)
        return known + added


def runs(count: int) -> list[tuple[int, int]]:
    """(first, end) of the columns of each turn, at most ``TURNS`` of them, as even as can be."""
    turns = min(count, TURNS)
    return [(i * count // turns, (i + 1) * count // turns) for i in range(turns)]


def gumbel(like: Tensor) -> Tensor:
    """Draws of Gumbel's distribution: of logits and such noise the largest is a draw by their softmax."""
    u = torch.rand_like(like).clamp(1e-9, 1 - 1e-7)
    return -(-u.log()).log()


def gumbel_softmax(logits: Tensor, group: Tensor, groups: int, noise: Tensor | None = None) -> Tensor:
    """One category of each of several columns side by side, (batch, numbers): by softmax(logits); 1 there and else 0.

    What is drawn is told from a true row by nothing but which it is; a gradient passes as if it were the relaxed draw, the softmax
    of logits and Gumbel noise over :data:`TEMPERATURE` (straight through).

    Args:
        logits: (batch, numbers). group: (numbers,) the column of each, from 0. groups: how many columns.
        noise: (batch, numbers) of :func:`gumbel`, where it is drawn already.

    References:
        Jang, Gu and Poole, `Categorical Reparameterization with Gumbel-Softmax`, 2017, section 2.2.
    """
    noisy = (logits + (gumbel(logits) if noise is None else noise)) / TEMPERATURE
    if groups == 1:
        shares = noisy.softmax(1)
        drawn = torch.zeros_like(shares).scatter_(1, noisy.detach().argmax(1, keepdim=True), 1.0)
        return straight(drawn, shares)
    most, below, sums = _over_columns(noisy, group, groups)
    shares = below.exp() / sums
    return straight((noisy == most).to(shares.dtype), shares)


def log_shares(logits: Tensor, group: Tensor, groups: int) -> Tensor:
    """Log softmax(logits) of each of several columns side by side, (batch, numbers); ``group``, ``groups`` as above."""
    if groups == 1:
        return logits.log_softmax(1)
    _, below, sums = _over_columns(logits, group, groups)
    return below - sums.log()


def _over_columns(logits: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """(batch, numbers) each: the largest logit of its column, how far it is below that, and Σ exp of these over the column."""
    index = group.expand_as(logits)
    empty = logits.new_zeros(len(logits), groups)
    most = (empty - torch.inf).scatter_reduce(1, index, logits.detach(), "amax").gather(1, index)
    below = logits - most
    return most, below, empty.scatter_add(1, index, below.exp()).gather(1, index)


def sign(logits: Tensor) -> Tensor:
    """1 with probability σ(2 · logit), else −1; a gradient passes as of a relaxed draw (the binary case of the above)."""
    relaxed = torch.tanh((logits + 0.5 * logistic(logits)) / TEMPERATURE)
    return straight(torch.where(relaxed < 0, -1.0, 1.0), relaxed)


def logistic(like: Tensor) -> Tensor:
    """Draws of the logistic distribution, whose σ is uniform."""
    u = torch.rand_like(like).clamp(1e-6, 1 - 1e-6)
    return u.log() - (-u).log1p()


def straight(value: Tensor, relaxed: Tensor) -> Tensor:
    """``value``, bit for bit, with the gradient of ``relaxed``."""
    return value + (relaxed - relaxed.detach())
