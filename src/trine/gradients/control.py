"""Control variates for discrete values: unbiased as the score function is, with the variance of relaxations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine.errors import ChoiceError

from ._base import Estimator, Integrand, estimators, number, positive, through, values_of
from ._support import Relaxable, relaxable, why_not_relaxed


@estimators.register("rebar")
class Rebar(Estimator):
    r"""The score function with f of the relaxed value as its control variate, put back by the pathwise gradient.

    With x = hard(z), z the relaxed scores and z̃ fresh ones given x,

    .. math:: g = [f(x) - \eta f(\tilde s)] \nabla \log q(x) + \eta \nabla f(s) - \eta \nabla f(\tilde s),
        \quad s = \operatorname{soft}_\tau(z), \; \tilde s = \operatorname{soft}_\tau(\tilde z).

    Unbiased for any η and τ, which learn to make the variance of g small: E g is fixed, so the gradient of g² in them is
    that of the variance, without bias. f must be defined between the values.

    Args:
        temperature: τ > 0 at the start. scale: η at the start.
        learn: whether η and τ learn.

    References:
        Tucker et al., `REBAR: Low-variance, unbiased gradient estimates for discrete latent variable models`, 2017.
    """

    needs = "Bernoulli or one-hot values, f differentiable between them"

    def __init__(self, temperature: float = 0.5, scale: float = 1.0, learn: bool = True) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(positive(temperature, "temperature"))), learn)
        self.scale = nn.Parameter(torch.tensor(float(scale)), learn)

    @classmethod
    def of(cls, argument: str | None, like: Distribution | None) -> Rebar:
        return cls(number(argument, 0.5, "temperature"))

    @property
    def temperature(self) -> float:
        """τ as it stands."""
        return float(self.log_temperature.exp())

    def control(self, f: Integrand, z: Tensor, sites: Relaxable, q: Distribution) -> Tensor:
        """The control variate at relaxed scores, (n, *batch)."""
        tau = self.log_temperature.exp().to(z.dtype)
        return self.scale.to(z.dtype) * values_of(f, sites.soft(z, tau), q)

    def refusal(self, q: Distribution, samples: int) -> str:
        return why_not_relaxed(q)

    def surrogate(self, q: Distribution, f: Integrand, samples: int) -> Tensor:
        sites = relaxable(q)
        assert sites is not None
        # Its own leaf: what the control variate learns from must not reach what the logits are computed from.
        logits = sites.logits.detach().requires_grad_(torch.is_grad_enabled())
        scores = sites.normalised(logits)
        z = scores + sites.noise(samples)
        x = sites.hard(z.detach())
        values = values_of(f, x, q)
        if not torch.is_grad_enabled():
            return values.mean(0)
        again = sites.given(x, scores)
        at, at_again = self.control(f, z, sites, q), self.control(f, again, sites, q)
        learned = [p for p in self.parameters() if p.requires_grad] if self.training else []
        wide = (..., *(None,) * len(q.event_shape))
        score = x - sites.soft(logits, 1.0)  # ∇ log q(x) in the logits, of both families
        (smooth,) = torch.autograd.grad((at - at_again).sum(), logits, create_graph=bool(learned), retain_graph=True)
        gradient = ((values.detach() - at_again)[wide] * score.detach()).mean(0) + smooth / samples
        surrogate = values.mean(0) + _over_event(through(gradient, sites.logits), q)
        if learned:
            size = _over_event(gradient.square(), q).mean()
            found = torch.autograd.grad(size, learned, allow_unused=True)
            pairs = [(g, p) for g, p in zip(found, learned, strict=True) if g is not None]
            surrogate = surrogate + sum((through(g, p).sum() for g, p in pairs), start=torch.zeros_like(size))
        return surrogate


@estimators.register("relax")
class Relax(Rebar):
    r"""REBAR with a network more in the control variate: c(z) = η f(soft(z)) + r(z), or r(z) alone where f is a black box.

    Args:
        features: numbers that the logits of one element of q's batch have.
        width: hidden units of r.
        black_box: whether f is known at hard values alone.
        temperature: τ at the start.

    References:
        Grathwohl et al., `Backpropagation through the Void`, 2018.
    """

    needs = "Bernoulli or one-hot values; f of any kind where black-box"

    def __init__(self, features: int, width: int = 32, black_box: bool = False, temperature: float = 0.5) -> None:
        super().__init__(temperature, learn=not black_box)
        self.black_box = black_box
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(nn.Linear(features, width), nn.SiLU(), last)

    @classmethod
    def of(cls, argument: str | None, like: Distribution | None) -> Relax:
        if argument not in (None, "black-box"):
            raise ChoiceError(f"In brackets it takes black-box, and was given {argument!r}.")
        if like is None:
            raise ChoiceError("its network takes its size from a distribution; give like=q.")
        sites = relaxable(like)
        if sites is None:
            raise ChoiceError(why_not_relaxed(like))
        made = cls(like.event_shape.numel(), black_box=argument is not None)
        return made.to(sites.logits.dtype)

    def __str__(self) -> str:
        return "relax(black-box)" if self.black_box else "relax"

    def control(self, f: Integrand, z: Tensor, sites: Relaxable, q: Distribution) -> Tensor:
        scores = z.reshape(*z.shape[: z.dim() - sites.event], -1)
        free: Tensor = self.net(scores.to(self.scale.dtype)).squeeze(-1).to(z.dtype)
        return free if self.black_box else free + super().control(f, z, sites, q)


def _over_event(values: Tensor, q: Distribution) -> Tensor:
    """(*batch, *event) → (*batch): the sum over the event."""
    return values.flatten(len(q.batch_shape)).sum(-1) if q.event_shape else values
