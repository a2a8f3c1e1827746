"""The criterion L(f): a weighted sum of terms, each the mean of a divergence over the examples."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Laplace, Normal

from trine import collective
from trine.data import Share
from trine.divergences import Divergence, LearnedDivergence, Value
from trine.divergences._crps import normal_distance
from trine.errors import ChoiceError, nearest
from trine.priors import Prior

WIDTH = 120
"""Signs of a line of the formula."""
EXPECTED = re.compile(r"((?:[0-9.e+-]+ · )?)(KL\(data ‖ q\) = )(E\[.*\]) \+ const(.*)")
"""The formula of a mean of −log q: weight, what it is, the expectation, and what follows."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """The value of a criterion on a batch.

    Attributes:
        total: scalar, what is descended.
        terms: name of each term → its unweighted mean over the examples that have a target, scalar and detached.
    """

    total: Tensor
    terms: Mapping[str, Tensor]


class Term(nn.Module):
    """One comparison: ``divergence(predicted, target, given)``, by names of model outputs or batch fields.

    Args:
        divergence: what compares.
        predicted: name of a model's output, e.g. ``"y_hat"``.
        target: name of a model's output or of a batch field, e.g. ``"y"``. Where the batch has ``"<target>.present"``,
            rows without a target do not count in this term.
        given: optional name of the condition, e.g. of a conditional critic; of several names the divergence is given a tuple.
        weight: factor of the term in the criterion.
        name: how the term is called in logs; ``predicted`` by default.
        training_only: whether the term counts in training mode alone, so that a held-out score leaves it out.
    """

    def __init__(
        self,
        divergence: Divergence,
        predicted: str,
        target: str,
        given: str | tuple[str, ...] | None = None,
        weight: float = 1.0,
        name: str | None = None,
        training_only: bool = False,
    ) -> None:
        super().__init__()
        self.divergence = divergence
        self.predicted = predicted
        self.target = target
        self.given = given
        self.weight = weight
        self.name = name or predicted
        self.training_only = training_only

    def values(self, outputs: Mapping[str, Value], batch: Mapping[str, Tensor], *, tighten: bool = False) -> Tensor:
        """The divergence of each example, (batch,); 0, and no gradient, where the target is missing."""
        predicted, target = _look_up(self.predicted, outputs, batch), _look_up(self.target, outputs, batch)
        given: Any = None
        if self.given is not None:
            found = tuple(_look_up(name, outputs, batch) for name in self.conditions)
            given = found[0] if isinstance(self.given, str) else found
        present = self.present(batch)
        if present is not None and isinstance(target, Tensor):
            target = _filled(target, present)
        weights = _weights(batch.get("weight"), present) if self.divergence.weighs else None
        more = {} if weights is None else {"weights": weights}
        if not tighten:
            values: Tensor = self.divergence(predicted, target, given, **more)
        else:
            assert isinstance(self.divergence, LearnedDivergence), "only a divergence with a critic is tightened"
            values = self.divergence.tighten(predicted, target, given, **more)
        return values if present is None else torch.where(present, values, 0.0)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of what is given."""
        return (self.given,) if isinstance(self.given, str) else self.given or ()

    def present(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """(batch,) bool, which rows have a target; None when all have."""
        return batch.get(f"{self.target}.present")

    def spans(self, steps: int) -> None:
        """Told how many steps the training has in all, before the first and whenever that changes; nothing by default."""

    def describe(self) -> str:
        """The term as a formula."""
        formula = self.divergence.describe(self.predicted, self.target)
        return formula if self.weight == 1.0 else f"{self.weight:g} · {formula}"


class WarmedTerm(Term):
    """A term whose weight grows from 0 to its own over the first steps of training; in evaluation it has its own.

    A variational autoencoder so learns to use its code before the code is priced (Sønderby et al., `Ladder Variational
    Autoencoders`, 2016). The steps taken are a buffer, part of every checkpoint; how many there are in all the loop tells, so
    that the weight is whole in time however few of them a budget leaves.

    Args:
        divergence, predicted, target, given, weight, name, training_only: as of :class:`Term`.
        share: of all steps, over which the weight grows, in [0, 1]; 0: it has its own from the first step.
    """

    taken: Tensor

    def __init__(
        self,
        divergence: Divergence,
        predicted: str,
        target: str,
        given: str | None = None,
        weight: float = 1.0,
        name: str | None = None,
        training_only: bool = False,
        share: float = 0.0,
    ) -> None:
        super().__init__(divergence, predicted, target, given, weight, name, training_only)
        self.share = share
        self.steps: int | None = None
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    def values(self, outputs: Mapping[str, Value], batch: Mapping[str, Tensor], *, tighten: bool = False) -> Tensor:
        """As of :class:`Term`, times the share of its weight that it has yet."""
        values = super().values(outputs, batch, tighten=tighten)
        if tighten or not self.training or not self.share:
            return values
        assert self.steps is not None, "a warm-up is a share of all steps: tell the criterion how many, by spans(steps)"
        grown = (self.taken / (self.share * self.steps)).clamp_max(1.0)
        if torch.is_grad_enabled():
            self.taken += 1
        return grown * values

    def spans(self, steps: int) -> None:
        """What the share is of."""
        self.steps = steps

    def describe(self) -> str:
        """The term as a formula, with its warm-up."""
        formula = super().describe()
        return f"{formula} (its weight growing over the first {self.share:.0%} of the steps)" if self.share else formula


class PriorTerm(Term):
    """−log p(θ)/n: what a prior adds to a mean over examples of −log q(y), so that their sum is −log p(θ given data)/n + const.

    The same for every example, and in training alone. The model gives ``theta``, (numbers,) or of members (members, numbers),
    whose terms are averaged as those of the examples are.

    Args:
        prior: p(θ) of each weight; biases, gains and scales have a flat prior.
        rows: n, the number of training examples; it enters here and nowhere else.
    """

    def __init__(self, prior: Prior, rows: int) -> None:
        super().__init__(_NegativeLogPrior(prior, rows), "theta", "theta", name="prior", training_only=True)

    def values(self, outputs: Mapping[str, Value], batch: Mapping[str, Tensor], *, tighten: bool = False) -> Tensor:
        """(batch,), all alike."""
        value: Tensor = self.divergence(outputs["theta"], outputs["theta"])
        return value.expand(len(next(iter(batch.values()))))


class ComplexityTerm(PriorTerm):
    """KL(q(θ) ‖ p(θ))/n: with a mean of −log q(y given x, θ) over θ ~ q and examples, the negative evidence lower bound over n.

    The model gives ``theta``, q(θ), normals of batch shape (numbers,). In closed form where the prior is normal or Laplace; else
    by one draw of each weight.

    Args:
        prior: p(θ) of each weight. rows: n.

    References:
        Hinton and van Camp, `Keeping the Neural Networks Simple by Minimizing the Description Length of the Weights`, 1993.
    """

    def __init__(self, prior: Prior, rows: int) -> None:
        Term.__init__(self, _Complexity(prior, rows), "theta", "theta", name="complexity", training_only=True)


class _Complexity(Divergence):
    formula = "KL(q(θ) ‖ p(θ))/n"

    def __init__(self, prior: Prior, rows: int) -> None:
        super().__init__()
        self.prior, self.rows = prior, rows

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Normal)
        prior = self.prior.distribution(predicted.loc)
        if isinstance(prior, Normal):
            ratio = (predicted.scale / prior.scale).square()
            values = 0.5 * (ratio + (predicted.loc / prior.scale).square() - 1.0 - ratio.log())
        elif isinstance(prior, Laplace):
            size = normal_distance(predicted.loc, predicted.scale)
            values = size / prior.scale + (2.0 * prior.scale).log() - _entropy(predicted)
        else:
            theta = predicted.rsample()
            values = -_entropy(predicted) - prior.log_prob(theta)
        return values.sum() / self.rows

    def describe(self, predicted: str, target: str) -> str:
        """With the prior's name and n."""
        return f"KL(q(θ) ‖ p(θ))/{self.rows:,}, each weight ~ {self.prior}"


def _entropy(q: Normal) -> Tensor:
    return 0.5 * math.log(2.0 * math.pi * math.e) + q.scale.log()


class _NegativeLogPrior(Divergence):
    formula = "−log p(θ)/n"

    def __init__(self, prior: Prior, rows: int) -> None:
        super().__init__()
        self.prior, self.rows = prior, rows

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Tensor)
        members = predicted.shape[:-1].numel()
        return -self.prior.log_prob(predicted) / (members * self.rows)

    def describe(self, predicted: str, target: str) -> str:
        """With the prior's name and n."""
        return f"−log p(θ)/{self.rows:,}, each weight ~ {self.prior}"


class Criterion(nn.Module):
    """L(f) = Σ weight · mean over examples of the term's divergence.

    A batch field ``"weight"``, (batch,), non-negative, weighs the examples of every term (class and row weights): a
    term is Σ weight · value / Σ weight over the rows of the batch that have its target. So only ratios of weights
    matter, a row of weight 0 is as good as absent, and a batch in which no row counts gives 0. With equal weights the
    minibatch gradient is unbiased for the mean over all rows that have a target (given a batch's number of them, they
    are a uniform sample); with unequal weights it is a ratio of two unbiased estimates, whose bias falls as 1/batch.

    Of a :class:`~trine.data.Share`, a rank's rows of a batch, the value is that rank's part of the whole batch's: the
    parts of all ranks add up to it, and so do their gradients, whatever the ranks' rows and weights are.

    The parameters of a criterion are its critics.

    Args:
        terms: the terms; those of the same name are told apart by a number.
    """

    def __init__(self, *terms: Term) -> None:
        super().__init__()
        self.terms = nn.ModuleList(terms)
        taken: set[str] = set()
        for term in terms:
            free = (f"{term.name}_{number}" for number in itertools.count(2))
            term.name = term.name if term.name not in taken else next(name for name in free if name not in taken)
            taken.add(term.name)

    def forward(self, outputs: Mapping[str, Value], batch: Mapping[str, Tensor]) -> Loss:
        """What the model descends."""
        terms = [term for term in self._terms if self.training or not term.training_only]
        return self._sum(terms, outputs, batch, tighten=False)

    def tighten(self, outputs: Mapping[str, Value], batch: Mapping[str, Tensor]) -> Loss:
        """What the critics descend; only learned terms count."""
        return self._sum(self.learned, outputs, batch, tighten=True)

    def spans(self, steps: int) -> None:
        """Tell the terms how many steps the training has in all; the loop does, whenever it sets or changes that."""
        for term in self._terms:
            term.spans(steps)

    @property
    def refreshes(self) -> list[Divergence]:
        """The divergences that take something up from all training rows between two epochs."""
        own = [term.divergence for term in self._terms]
        return [divergence for divergence in own if type(divergence).refresh is not Divergence.refresh]

    @property
    def _terms(self) -> list[Term]:
        return [term for term in self.terms if isinstance(term, Term)]

    @property
    def learned(self) -> list[Term]:
        """The terms whose divergence owns a critic."""
        return [term for term in self._terms if isinstance(term.divergence, LearnedDivergence)]

    def _sum(
        self, terms: list[Term], outputs: Mapping[str, Value], batch: Mapping[str, Tensor], *, tighten: bool
    ) -> Loss:
        if collective.processes() > 1 and not isinstance(batch, Share):
            with collective.by_itself():  # the rows of this process alone are compared with one another
                return self._sum(terms, outputs, batch, tighten=tighten)
        rows = batch.get("weight")
        weights = [_weights(rows, term.present(batch)) for term in terms]
        counts = _counts(weights, batch)
        total: Tensor | None = None
        means: dict[str, Tensor] = {}
        for term, weight, count in zip(terms, weights, counts, strict=True):
            mean = _mean(term.values(outputs, batch, tighten=tighten), weight, count)
            means[term.name] = mean.detach()
            part = mean if term.weight == 1.0 else term.weight * mean
            total = part if total is None else total + part
        assert total is not None, "a criterion has at least one term"
        return Loss(total, means)

    def check(self, outputs: Iterable[str], fields: Iterable[str]) -> None:
        """Check once, before the first step, that every name of every term exists.

        Raises:
            ChoiceError: names the unknown name, what there is, and the nearest.
        """
        outputs, fields = sorted(outputs), sorted(fields)
        for term in self._terms:
            for name in (term.predicted, term.target, *term.conditions):
                if name not in outputs and name not in fields:
                    raise ChoiceError(
                        f"A term compares {name!r}, which is neither an output of the model {outputs} nor a field of "
                        f"the batch {fields}.{nearest(name, [*outputs, *fields])}"
                    )

    def describe(self) -> str:
        """The criterion as a formula, over several lines where it is long.

        An expectation that is a divergence up to a constant is said to be one at the beginning; of those that follow the
        expectation alone is shown, and one constant stands for all.
        """
        found = [(term.describe(), EXPECTED.fullmatch(term.describe())) for term in self._terms]
        last = max((i for i, (_, known) in enumerate(found) if known is not None and not known[1]), default=-1)
        parts: list[str] = []
        for i, (formula, known) in enumerate(found):
            if known is not None:
                weight, divergence, expected, more = known.groups()
                formula = f"{weight}{divergence if i == 0 else ''}{expected}{' + const' if i == last else ''}{more}"
            parts.append(formula)
        lines = [f"L(θ) = {parts[0]}"]
        for part in parts[1:]:
            if len(lines[-1]) + len(part) + 3 <= WIDTH:
                lines[-1] += f" + {part}"
            else:
                lines.append(f"       + {part}")
        return "\n".join(lines)


def _look_up(name: str, outputs: Mapping[str, Value], batch: Mapping[str, Tensor]) -> Value:
    return outputs[name] if name in outputs else batch[name]


def _filled(target: Tensor, present: Tensor) -> Tensor:
    """``target`` with a value that every domain has where it is missing: code 0, number 1.

    A missing number is NaN, and NaN times a zero gradient is NaN: masking the values alone would poison θ.
    """
    known = present.reshape(-1, *(1,) * (target.dim() - 1))
    return torch.where(known, target, torch.full_like(target, float(target.is_floating_point())))


def _weights(weight: Tensor | None, present: Tensor | None) -> Tensor | None:
    """(batch,) how much each example counts in a term; None where all count alike."""
    if present is None:
        return weight
    return present.to(torch.float32) if weight is None else weight * present


def _counts(weights: list[Tensor | None], batch: Mapping[str, Tensor]) -> list[Tensor | int | None]:
    """Σ weight of each term over the whole batch, other ranks' rows too; None where the mean of the values will do."""
    whole = batch.whole if isinstance(batch, Share) else None
    weighed = [weight.sum() for weight in weights if weight is not None]
    if whole is not None and weighed:
        weighed = list(collective.add(torch.stack(weighed)).unbind())
    sums = iter(weighed)
    return [whole if weight is None else next(sums) for weight in weights]


def _mean(values: Tensor, weight: Tensor | None, count: Tensor | int | None) -> Tensor:
    """Σ weight · value / Σ weight over the examples that count; 0 when none does. Of a share, its part of that."""
    if weight is None:
        return values.mean() if count is None else values.sum() / count
    assert isinstance(count, Tensor)
    # An example of weight 0 does not count, whatever its value: infinity times 0 would be NaN.
    total = torch.where(weight > 0, weight.to(values.dtype) * values, 0.0).sum()
    return total / count.to(values.dtype).clamp_min(torch.finfo(values.dtype).tiny)
