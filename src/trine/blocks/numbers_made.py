"""Numbers as a generator makes them and a critic sees them: a part of their own scale that is drawn, and a place within it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from trine.choices import Choices
from trine.domains import Numeric

from .draws import Turns, gumbel, gumbel_softmax, log_shares, logistic, runs, sign
from .makers import Maker, critic_for, maker_for
from .number_scale import MARGIN, Scale

STEPS = 12
"""Soft thresholds of a number that a critic starts with, evenly over its scale."""
STEEP = 6.0
"""Slope that they start with: with twice as much, modes that a condition has several of are lost."""

EDGE = 1e-4
"""How near to the ends of its part a true number is taken to lie for its density, which may be infinite there."""
SHARPEST = 1e-3
"""Spread of a place within its part, at least: values that many rows share have parts of their own."""


class NumbersMaker(Maker):
    """Packed numbers, (batch, k) with NaN where missing: each as its place on its :class:`Scale`, whether it is there, its part.

    A part is drawn (:func:`gumbel_softmax`), and a place within it: σ(m + s ε), ε logistic, m and s those of the row and of the
    part together; for m = 0 and s = 1, as it is about at first, that is uniform. From one hump to the next there is so a jump, and
    no steep slope that would have to be learned. The numbers are made one after the other, in at most ``TURNS`` runs, each knowing
    those before it.

    Where training rows lacked a column's value a further number says so: 1 there, −1 missing; what is missing is seen at 0, and
    in no part.

    Args:
        domains: fitted, in the order of their columns. features: width of what it reads.
        drawn: whether parts and places are drawn, as where rows are made of noise alone; else a place is tanh of what is asked,
            and follows from the features: what a translation was made of is to be found again in it, and a condition is
            heard sooner. Parts are then neither made nor seen.

    References:
        Xu et al., `Modeling Tabular Data using Conditional GAN`, 2019, section 4.2, where parts are those of a Gaussian mixture.
    """

    values: Tensor
    places: Tensor
    last: Tensor
    may_miss: Tensor
    parts: Tensor
    offsets: Tensor
    group: Tensor
    start: Tensor
    room: Tensor
    single: Tensor

    def __init__(self, domains: Sequence[Numeric], features: int, drawn: bool = True) -> None:
        super().__init__()
        self.features, self.count, self.drawn = features, len(domains), drawn
        scales = [Scale(domain) for domain in domains]
        sizes = [scale.parts for scale in scales]
        missing = [i for i, domain in enumerate(domains) if domain.missing > 0]
        longest = max(len(scale.values) for scale in scales)
        single = torch.cat([scale.single for scale in scales])
        room = torch.cat([torch.full((size,), 2.0 / size) for size in sizes])
        low = torch.cat([torch.arange(size) * (2.0 / size) - 1 for size in sizes])
        bounds = [0, *itertools.accumulate(sizes)]
        for name, value in {
            # Padded at the end by what lies beyond every place, so that no search ends there.
            "values": torch.stack([_padded(s.values, longest, float(s.values[-1])) for s in scales]),
            "places": torch.stack([_padded(s.places, longest, 2.0) for s in scales]),
            "last": torch.tensor([len(s.values) - 1 for s in scales]),
            "may_miss": torch.tensor(missing, dtype=torch.int64),
            "parts": torch.tensor(sizes),
            "offsets": torch.tensor(bounds[:-1]),
            "group": torch.repeat_interleave(torch.arange(self.count), torch.tensor(sizes)),
            # A part of one value is seen at its middle.
            "start": torch.where(single, low + 0.5 * room, low + MARGIN * room),
            "room": torch.where(single, 0.0, (1 - 2 * MARGIN) * room),
            "single": single,
        }.items():
            self.register_buffer(name, value, persistent=False)
        self.sizes = [self.count, len(missing), sum(sizes) if drawn else 0]
        self.shape = (sum(self.sizes),)
        # Of each turn: its numbers, their parts, and which of them may be missing.
        self.runs = [(a, b, bounds[a], bounds[b], [i - a for i in missing if a <= i < b]) for a, b in runs(self.count)]
        asks = [b - a + (b - a + end - first if drawn else 0) + len(missed) for a, b, first, end, missed in self.runs]
        draws = [b - a + (end - first if drawn else 0) + len(missed) for a, b, first, end, missed in self.runs]
        self.turns = Turns(features, asks, draws)
        self.within = nn.Parameter(torch.zeros(2, sum(sizes))) if drawn else None
        self.straight = None if drawn else nn.Linear(features, self.count)
        logits = torch.cat([scale.shares for scale in scales]).log()
        for read, (_, _, first, end, _) in zip(self.turns.reads, self.runs, strict=True):
            assert isinstance(read, nn.Linear)
            with torch.no_grad():
                read.bias.zero_()
                if drawn:
                    read.bias[: end - first] = logits[first:end]

    @property
    def column(self) -> Tensor:
        return torch.cat([torch.arange(self.count), self.may_miss.cpu(), self.group[: self.sizes[2]].cpu()])

    def forward(self, features: Tensor) -> Tensor:
        known = self.turns.known(features)
        chance, noise = None, None
        if self.drawn:
            chance = gumbel(features.new_empty(len(features), len(self.group)))
            noise = logistic(features.new_empty(len(features), self.count))
        straight = None if self.straight is None else self.straight(features)
        places, theres, parts = [], [], []
        for turn, (a, b, first, end, missed) in enumerate(self.runs):
            asked = self.turns.asked(turn, known)
            asked, there = torch.split(asked, [asked.shape[1] - len(missed), len(missed)], 1)
            group = self.group[first:end] - a
            if straight is not None or chance is None or noise is None:
                assert straight is not None
                place, part = torch.tanh(straight[:, a:b] + asked), asked[:, :0]
            else:
                logits, middle, spread = torch.split(asked, [end - first, b - a, b - a], 1)
                part = gumbel_softmax(logits, group, b - a, chance[:, first:end])
                start, room, middle, spread = self._within(part, middle, spread, turn)
                place = start + room * torch.sigmoid(middle + spread * noise[:, a:b])
            if missed:
                there = sign(there)
                place, part = self._there(place, part, there, missed, group)
            known = self.turns.told(turn, known, torch.cat([place, there, part], 1))
            places.append(place)
            theres.append(there)
            parts.append(part)
        return torch.cat([*places, *theres, *parts], 1)

    def log_density(self, features: Tensor, seen: Tensor) -> Tensor:
        if self.within is None:
            return super().log_density(features, seen)
        places, theres, parts = torch.split(seen, self.sizes, 1)
        known, found, taken = self.turns.known(features), features.new_zeros(len(features)), 0
        for turn, (a, b, first, end, missed) in enumerate(self.runs):
            place, part, there = places[:, a:b], parts[:, first:end], theres[:, taken : taken + len(missed)]
            taken += len(missed)
            asked = self.turns.asked(turn, known)
            logits, middle, spread, missing = torch.split(asked, [end - first, b - a, b - a, len(missed)], 1)
            # Nothing more is drawn of what is missing: its part is empty, and so is its room.
            found = found + (part * log_shares(logits, self.group[first:end] - a, b - a)).sum(1)
            start, room, middle, spread = self._within(part, middle, spread, turn)
            along = ((place - start) / room.clamp_min(1e-9)).clamp(EDGE, 1 - EDGE)
            z = (along.logit() - middle) / spread
            density = -z - 2 * softplus(-z) - spread.log() - along.log() - (-along).log1p()
            found = found + torch.where(room > 0, density, 0.0).sum(1) + logsigmoid(2 * there * missing).sum(1)
            known = self.turns.told(turn, known, torch.cat([place, there, part], 1))
        return found

    def _within(self, part: Tensor, middle: Tensor, spread: Tensor, turn: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of parts that are drawn, (batch, numbers) each: where they start, their room, and m and s of the place within it."""
        start, room, apart, wider = (part @ self._of_part(*self.runs[turn][:4])).chunk(4, 1)
        return start, room, middle + apart, (2 * torch.sigmoid(spread + wider)).clamp_min(SHARPEST)

    def _of_part(self, a: int, b: int, first: int, end: int) -> Tensor:
        """(parts, 4 · numbers) of one turn: where a part starts, its room, and what it adds to the middle and to the spread."""
        assert self.within is not None
        each = torch.stack([self.start, self.room, *self.within])[:, first:end]
        if b - a == 1:
            return each.T
        of = (self.group[first:end, None] - a == torch.arange(b - a, device=each.device)).to(each.dtype)
        return (each[:, :, None] * of).transpose(0, 1).flatten(1)

    def _there(
        self, place: Tensor, part: Tensor, there: Tensor, missed: Sequence[int], group: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of what is missing nothing is seen but its absence."""
        if not missed:
            return place, part
        at = torch.tensor(missed, device=place.device)
        known = torch.ones_like(place).index_copy(1, at, (1 + there) / 2)
        return place * known, part * known[:, group] if self.drawn else part

    def seen(self, value: Tensor, present: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        value = value.view(len(value), -1)
        absent = value.isnan()
        if present is not None:
            absent = absent | ~present[:, None]
        place = self._placed(torch.where(absent, self.values[:, 0], value))
        index = self._part(place) + self.offsets
        place = torch.where(self.single[index], self.start[index], place)
        part = place.new_zeros(len(place), self.sizes[2])
        part = part.scatter_(1, index, 1.0) if self.drawn else part
        there = 1 - 2 * absent[:, self.may_miss].to(place.dtype)
        place, part = self._there(place, part, there, self.may_miss.tolist(), self.group)
        return torch.cat([place, there, part], 1)

    def _part(self, place: Tensor) -> Tensor:
        """(batch, k) places → the part of each, from 0."""
        index = ((place + 1) * (self.parts / 2)).floor().long()
        return torch.minimum(index.clamp_min(0), self.parts - 1)

    def _placed(self, value: Tensor) -> Tensor:
        """(batch, k) values → places."""
        wanted = value.T.contiguous()  # (k, batch)
        first = torch.minimum(torch.searchsorted(self.values, wanted), self.last[:, None])
        final = torch.minimum(torch.searchsorted(self.values, wanted, right=True), self.last[:, None] + 1) - 1
        low, high = (first - 1).clamp_min(0), torch.minimum(final + 1, self.last[:, None])
        start, end = self.values.gather(1, low), self.values.gather(1, high)
        along = ((wanted - start) / (end - start).clamp_min(1e-30)).clamp(0, 1)
        between = torch.lerp(self.places.gather(1, low), self.places.gather(1, high), along)
        # Of a value that rows share the first and last of its points bound its stretch.
        on = self.values.gather(1, first) == wanted
        final = torch.maximum(first, final)
        dithered = torch.lerp(self.places.gather(1, first), self.places.gather(1, final), torch.rand_like(wanted))
        return torch.where(on, dithered, between).T

    def encoded(self, seen: Tensor) -> list[Tensor]:
        places, there, _ = torch.split(seen, self.sizes, 1)
        room = 2.0 / self.parts
        low = self._part(places) * room - 1
        least = 1.01 * MARGIN * room  # a little within, so that no rounding leaves the value at an end
        places = torch.minimum(torch.maximum(places, low + least), low + room - least)
        wanted = places.T.contiguous()
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


class SoftSteps(nn.Module):
    """Numbers as a critic reads them: as they are, and tanh(a (place − t)) at learned thresholds t and steepnesses a.

    The shape of a marginal (humps, gaps, stretches of values that rows share) is so a few weights away, where dense layers
    with rectifiers would first have to put their kinks there.

    Args:
        numbers: whose places come first. others: what comes after them, whether each is there and its part; read as it is.

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


@maker_for.register
def _(first: Numeric, domains: Sequence[Any], features: int, choices: Choices, alone: bool) -> Maker:
    return NumbersMaker(domains, features, drawn=alone)


@critic_for.register
def _(first: Numeric, domains: Sequence[Any], shape: tuple[int, ...], choices: Choices) -> nn.Module:
    return SoftSteps(len(domains), shape[0] - len(domains))
