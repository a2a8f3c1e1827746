"""Categories as a generator makes them and a critic sees them: shares, of which a draw makes one 1 and the others 0."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trine.choices import Choices
from trine.domains import Category

from .draws import Turns, gumbel, gumbel_softmax, log_shares, runs
from .makers import Maker, maker_for

LEAST = 1e-4
"""Share that a category is taken to have at least, before training."""


class CategoriesMaker(Maker):
    """Packed codes, (batch, k), −1 missing: each as shares of its categories, exactly one of them 1 in a true row.

    Made rows are draws (:func:`gumbel_softmax`), in at most ``TURNS`` runs of columns one after the other, each of which reads what
    those before it drew; where training rows lacked a value, being missing is one more category.

    Args:
        domains: fitted, in the order of their columns. features: width of what it reads.

    References:
        Jang, Gu and Poole, `Categorical Reparameterization with Gumbel-Softmax`, 2017.
    """

    offsets: Tensor
    group: Tensor

    def __init__(self, domains: Sequence[Category], features: int) -> None:
        super().__init__()
        self.features = features
        self.known = [max(len(domain.labels), 1) for domain in domains]
        self.misses = [domain.missing > 0 for domain in domains]
        self.sizes = [known + int(misses) for known, misses in zip(self.known, self.misses, strict=True)]
        self.shape = (sum(self.sizes),)
        bounds = [0, *itertools.accumulate(self.sizes)]
        self.register_buffer("offsets", torch.tensor(bounds[:-1]), persistent=False)
        group = torch.repeat_interleave(torch.arange(len(domains)), torch.tensor(self.sizes))
        self.register_buffer("group", group, persistent=False)
        self.runs = runs(len(domains))
        self.slices = [(bounds[a], bounds[b]) for a, b in self.runs]
        widths = [end - first for first, end in self.slices]
        self.turns = Turns(features, widths, widths)
        logits = torch.tensor([share for domain in domains for share in _shares(domain)]).clamp_min(LEAST).log()
        for read, (first, end) in zip(self.turns.reads, self.slices, strict=True):
            assert isinstance(read, nn.Linear)
            with torch.no_grad():
                read.bias.copy_(logits[first:end])

    @property
    def column(self) -> Tensor:
        return self.group

    def forward(self, features: Tensor) -> Tensor:
        known = self.turns.known(features)
        chance = gumbel(features.new_empty(len(features), self.shape[0]))
        drawn: list[Tensor] = []
        for turn, ((a, b), (first, end)) in enumerate(zip(self.runs, self.slices, strict=True)):
            logits = self.turns.asked(turn, known)
            drawn.append(gumbel_softmax(logits, self.group[first:end] - a, b - a, chance[:, first:end]))
            known = self.turns.told(turn, known, drawn[-1])
        return torch.cat(drawn, 1)

    def log_density(self, features: Tensor, seen: Tensor) -> Tensor:
        known, found = self.turns.known(features), features.new_zeros(len(features))
        for turn, ((a, b), (first, end)) in enumerate(zip(self.runs, self.slices, strict=True)):
            true = seen[:, first:end]
            shares = log_shares(self.turns.asked(turn, known), self.group[first:end] - a, b - a)
            found = found + (true * shares).sum(1)
            known = self.turns.told(turn, known, true)
        return found

    def seen(self, value: Tensor, present: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        codes = value.view(len(value), -1)
        if present is not None:
            codes = torch.where(present[:, None], codes, -1)
        last = torch.tensor([size - 1 for size in self.sizes], device=codes.device)
        places = torch.where(codes < 0, last, torch.minimum(codes, last)) + self.offsets
        return torch.zeros(len(codes), self.shape[0], device=codes.device).scatter_(1, places, 1.0)

    def encoded(self, seen: Tensor) -> list[Tensor]:
        found = []
        for part, known in zip(torch.split(seen, self.sizes, 1), self.known, strict=True):
            code = part.argmax(1)
            found.append(torch.where(code < known, code, -1))
        return found


def _shares(domain: Category) -> list[float]:
    """Of each label among the training rows, and of being missing where some lacked it."""
    known = list(domain.shares) or [1.0]
    missing = [domain.missing] if domain.missing > 0 else []
    return [share * (1 - domain.missing) for share in known] + missing


@maker_for.register
def _(first: Category, domains: Sequence[Any], features: int, choices: Choices, alone: bool) -> Maker:
    return CategoriesMaker(domains, features)
