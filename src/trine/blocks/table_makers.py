"""Columns of a table as a generator makes them and a critic sees: numbers as places on their own scale, categories as shares."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trine.choices import Choices
from trine.domains import Category, Domain, Numeric, Vector

from .makers import Maker, critic_for, maker_for

TEMPERATURE = 0.5
"""Of the relaxed draws that gradients of categories are taken at (Jang et al., 2017)."""
TURNS = 16
"""Runs of columns of categories that are drawn one after the other; each knows those before it."""
STEPS = 12
"""Soft thresholds of a number that a critic starts with, evenly over its scale."""
STEEP = 6.0
"""Slope that they start with: with twice as much, modes that a condition has several of are lost."""
EVEN = 0.25
"""Part of a scale that is shared out evenly, and not by how many rows are there: so much room the rare values keep."""


class Scale:
    """A number's own scale: a monotone, piecewise linear map of its values to [−1, 1], and back.

    The domain's knots are evenly apart on it, so that tails are as wide as humps and a column of several humps has no empty
    stretch. A value that many rows share (an atom) has a stretch of its own, the wider the more they are, on which it is put at
    random: seen from the scale there are no spikes, and the way back gives the atom itself.

    Args:
        domain: fitted; one that is discrete has no values between its knots, which are all atoms.
    """

    def __init__(self, domain: Numeric) -> None:
        knots = sorted(set(domain.knots) | set(domain.spikes)) or [domain.mean]
        atoms = set(knots) if domain.discrete or len(knots) == 1 else set(domain.spikes)
        shares = dict(zip(domain.spikes, domain.shares, strict=True)) if domain.shares else {}
        # What no spike holds is spread evenly over what else there is, stretches between knots or rarer atoms.
        others = (len(atoms) if domain.discrete else len(knots) - 1) - (len(shares) if domain.discrete else 0)
        other = max(1.0 - sum(shares.values()), 0.0) / max(others, 1)
        even = 1.0 / max(len(atoms) + (0 if domain.discrete else len(knots) - 1), 1)
        values: list[float] = []
        steps: list[float] = []
        for knot in knots:
            if values:
                steps.append(0.0 if domain.discrete else (1 - EVEN) * other + EVEN * even)
            values.append(knot)
            if knot in atoms:
                values.append(knot)
                steps.append((1 - EVEN) * shares.get(knot, other) + EVEN * even)
        places = [0.0, *itertools.accumulate(steps)]
        self.values = torch.tensor(values, dtype=torch.float32)
        self.places = torch.tensor([2 * place / places[-1] - 1 for place in places], dtype=torch.float32)


class NumbersMaker(Maker):
    """Packed numbers, (batch, k) with NaN where missing: each as its place on its :class:`Scale`, and whether it is there.

    Where training rows lacked a column's value a further number says so: 1 there, −1 missing; what is missing is seen at 0.

    Args:
        domains: fitted, in the order of their columns. features: width of what it reads.
    """

    values: Tensor
    places: Tensor
    last: Tensor
    may_miss: Tensor

    def __init__(self, domains: Sequence[Numeric], features: int) -> None:
        super().__init__()
        self.features, self.count = features, len(domains)
        scales = [Scale(domain) for domain in domains]
        longest = max(len(scale.values) for scale in scales)
        # Padded at the end by what lies beyond every place, so that no search ends there.
        self.register_buffer(
            "values", torch.stack([_padded(s.values, longest, float(s.values[-1])) for s in scales]), persistent=False
        )
        self.register_buffer("places", torch.stack([_padded(s.places, longest, 2.0) for s in scales]), persistent=False)
        self.register_buffer("last", torch.tensor([len(s.values) - 1 for s in scales]), persistent=False)
        missing = [i for i, domain in enumerate(domains) if domain.missing > 0]
        self.register_buffer("may_miss", torch.tensor(missing, dtype=torch.int64), persistent=False)
        self.shape = (self.count + len(missing),)
        self.linear = nn.Linear(features, self.shape[0])

    @property
    def column(self) -> Tensor:
        return torch.cat([torch.arange(self.count), self.may_miss.cpu()])

    def forward(self, features: Tensor) -> Tensor:
        places, there = self.linear(features).split([self.count, len(self.may_miss)], 1)
        return self._seen(torch.tanh(places), _sign(there))

    def _seen(self, places: Tensor, there: Tensor) -> Tensor:
        """Side by side; of what is missing nothing is seen but its absence."""
        if not len(self.may_miss):
            return places
        known = torch.ones_like(places).index_copy(1, self.may_miss, (1 + there) / 2)
        return torch.cat([places * known, there], 1)

    def seen(self, value: Tensor, present: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        value = value.view(len(value), -1)
        absent = value.isnan()
        if present is not None:
            absent = absent | ~present[:, None]
        places = self._placed(torch.where(absent, self.values[:, 0], value))
        return self._seen(places, 1 - 2 * absent[:, self.may_miss].to(places.dtype))

    def _placed(self, value: Tensor) -> Tensor:
        """(batch, k) values → places."""
        wanted = value.T.contiguous()  # (k, batch)
        low = (torch.searchsorted(self.values, wanted) - 1).clamp_min(0)
        high = torch.searchsorted(self.values, wanted, right=True)
        high = torch.minimum(high, self.last[:, None])
        low = torch.minimum(low, self.last[:, None])
        start, end = self.values.gather(1, low), self.values.gather(1, high)
        # Of an atom both ends are knots of its own value: the first and last of them bound its stretch.
        first = torch.searchsorted(self.values, wanted).clamp_max(self.values.shape[1] - 1)
        first = torch.minimum(first, self.last[:, None])
        final = (torch.searchsorted(self.values, wanted, right=True) - 1).clamp_min(0)
        final = torch.minimum(final, self.last[:, None])
        on = self.values.gather(1, first) == wanted
        along = ((wanted - start) / (end - start).clamp_min(1e-30)).clamp(0, 1)
        between = torch.lerp(self.places.gather(1, low), self.places.gather(1, high), along)
        dithered = torch.lerp(self.places.gather(1, first), self.places.gather(1, final), torch.rand_like(wanted))
        return torch.where(on, dithered, between).T

    def encoded(self, seen: Tensor) -> list[Tensor]:
        places, there = torch.split(seen, [self.count, len(self.may_miss)], 1)
        wanted = places.T.contiguous().clamp(-1, 1)
        high = torch.searchsorted(self.places, wanted).clamp_min(1)
        high = torch.maximum(torch.minimum(high, self.last[:, None]), torch.ones_like(high))
        start, end = self.places.gather(1, high - 1), self.places.gather(1, high)
        along = ((wanted - start) / (end - start).clamp_min(1e-30)).clamp(0, 1)
        values = torch.lerp(self.values.gather(1, high - 1), self.values.gather(1, high), along).T.clone()
        if len(self.may_miss):
            absent = torch.zeros_like(values, dtype=torch.bool)
            absent[:, self.may_miss] = there < 0
            values = values.masked_fill(absent, float("nan"))
        return list(values.unbind(1))


def _padded(values: Tensor, length: int, by: float) -> Tensor:
    return torch.cat([values, torch.full((length - len(values),), by)])


def gumbel_softmax(logits: Tensor, group: Tensor, groups: int) -> Tensor:
    """One category of each of several columns side by side, (batch, numbers): by softmax(logits); 1 there and else 0.

    What is drawn is told from a true row by nothing but which it is; a gradient passes as if it were the relaxed draw, the softmax
    of logits and Gumbel noise over :data:`TEMPERATURE` (straight through).

    Args:
        logits: (batch, numbers). group: (numbers,) the column of each, from 0. groups: how many columns.

    References:
        Jang, Gu and Poole, `Categorical Reparameterization with Gumbel-Softmax`, 2017, section 2.2.
    """
    u = torch.rand_like(logits).clamp(1e-9, 1 - 1e-7)
    noisy = (logits - (-u.log()).log()) / TEMPERATURE
    index = group.expand_as(noisy)
    empty = noisy.new_zeros(len(noisy), groups)
    most = (empty - torch.inf).scatter_reduce(1, index, noisy.detach(), "amax").gather(1, index)
    raised = (noisy - most).exp()
    shares = raised / empty.scatter_add(1, index, raised).gather(1, index)
    return _straight((noisy == most).to(shares.dtype), shares)


def _sign(logits: Tensor) -> Tensor:
    """1 with probability σ(2 · logit), else −1; a gradient passes as of a relaxed draw (the binary case of the above)."""
    u = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    relaxed = torch.tanh((logits + 0.5 * (u.log() - (-u).log1p())) / TEMPERATURE)
    return _straight(torch.where(relaxed < 0, -1.0, 1.0), relaxed)


def _straight(value: Tensor, relaxed: Tensor) -> Tensor:
    """``value``, bit for bit, with the gradient of ``relaxed``."""
    return value + (relaxed - relaxed.detach())


class SoftSteps(nn.Module):
    """Numbers as a critic reads them: as they are, and tanh(a (place − t)) at learned thresholds t and steepnesses a.

    The shape of a marginal (humps, gaps, stretches of values that rows share) is so a few weights away, where dense layers
    with rectifiers would first have to put their kinks there.

    Args:
        numbers: whose places come first. others: what comes after them, whether each is there; read as it is.

    Shapes: (batch, numbers + others) → (batch, numbers · (1 + STEPS) + others).
    """

    def __init__(self, numbers: int, others: int) -> None:
        super().__init__()
        self.numbers, self.features = numbers, numbers * (1 + STEPS) + others
        middles = (torch.arange(STEPS) + 0.5) * (2 / STEPS) - 1
        self.threshold = nn.Parameter(middles.repeat(numbers, 1))
        self.steepness = nn.Parameter(torch.full((numbers, STEPS), STEEP))

    def forward(self, value: Tensor) -> Tensor:
        places = value[:, : self.numbers, None]
        steps = torch.tanh(self.steepness * (places - self.threshold))
        return torch.cat([value, steps.flatten(1)], 1)


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

    def __init__(self, domains: Sequence[Category], features: int) -> None:
        super().__init__()
        self.features = features
        self.known = [max(len(domain.labels), 1) for domain in domains]
        self.misses = [domain.missing > 0 for domain in domains]
        self.sizes = [known + int(misses) for known, misses in zip(self.known, self.misses, strict=True)]
        self.shape = (sum(self.sizes),)
        offsets = [0, *itertools.accumulate(self.sizes)][:-1]
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)
        group = torch.repeat_interleave(torch.arange(len(domains)), torch.tensor(self.sizes))
        self.register_buffer("group", group, persistent=False)
        self.linear = nn.Linear(features, self.shape[0])
        # Columns in at most TURNS runs, one after the other; runs after the first also read what was drawn before them.
        of = [turn * len(domains) // min(len(domains), TURNS) for turn in range(min(len(domains), TURNS))] + [
            len(domains)
        ]
        self.runs = [(offsets[a], offsets[b] if b < len(offsets) else self.shape[0]) for a, b in itertools.pairwise(of)]
        self.widths = [b - a for a, b in itertools.pairwise(of)]
        self.earlier = nn.ModuleList(nn.Linear(start, end - start, bias=False) for start, end in self.runs[1:])

    group: Tensor

    @property
    def column(self) -> Tensor:
        return self.group

    def forward(self, features: Tensor) -> Tensor:
        logits = self.linear(features)
        drawn: list[Tensor] = []
        for (start, end), columns, earlier in zip(self.runs, self.widths, [None, *self.earlier], strict=True):
            found = logits[:, start:end]
            if earlier is not None:
                found = found + earlier(torch.cat(drawn, 1))
            drawn.append(gumbel_softmax(found, self.group[start:end] - self.group[start], columns))
        return torch.cat(drawn, 1)

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


class VectorMaker(Maker):
    """A vector's entries in standard deviations from their means, (batch, size).

    Args:
        domain: fitted. features: width of what it reads.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, domain: Any, features: int) -> None:
        super().__init__()
        self.features, self.shape = features, (int(domain.size),)
        std = torch.as_tensor(domain.std, dtype=torch.float32).expand(self.shape)
        self.register_buffer(
            "mean", torch.as_tensor(domain.mean, dtype=torch.float32).expand(self.shape).clone(), persistent=False
        )
        self.register_buffer("std", torch.where(std > 0, std, 1.0), persistent=False)
        self.linear = nn.Linear(features, self.shape[0])

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = self.linear(features)
        return made

    def seen(self, value: Tensor, present: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        return ((value - self.mean) / self.std).nan_to_num(0.0)

    def encoded(self, seen: Tensor) -> list[Tensor]:
        return [seen * self.std + self.mean]


@maker_for.register
def _(first: Numeric, domains: Sequence[Any], features: int, choices: Choices) -> Maker:
    return NumbersMaker(domains, features)


@maker_for.register
def _(first: Category, domains: Sequence[Any], features: int, choices: Choices) -> Maker:
    return CategoriesMaker(domains, features)


@maker_for.register
def _(first: Vector, domains: Sequence[Domain], features: int, choices: Choices) -> Maker:
    return VectorMaker(first, features)


@critic_for.register
def _(first: Numeric, domains: Sequence[Any], shape: tuple[int, ...], choices: Choices) -> nn.Module:
    return SoftSteps(len(domains), shape[0] - len(domains))
