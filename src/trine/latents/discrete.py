"""Discrete codes: independent categories by Gumbel-softmax, and the nearest of learned vectors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints, register_kl
from torch.nn.functional import gumbel_softmax, log_softmax, one_hot

from trine import collective
from trine.blocks.draws import TEMPERATURE
from trine.divergences import Value
from trine.errors import ChoiceError

from ._base import Latent, latents


class OneHots(Distribution):
    """Some independent categories, each as a one-hot vector, side by side: events of variables · classes numbers.

    Args:
        logits: (..., variables, classes).

    References:
        Jang, Gu and Poole, `Categorical Reparameterization with Gumbel-Softmax`, 2017; Maddison, Mnih and Teh, 2017.
    """

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012
    support = constraints.real_vector

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = log_softmax(logits, -1)
        shape = logits.shape
        super().__init__(shape[:-2], torch.Size([shape[-2] * shape[-1]]), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """One-hot vectors."""
        with torch.no_grad():
            logits = self.logits.expand(*torch.Size(sample_shape), *self.logits.shape)
            flat = torch.multinomial(logits.exp().flatten(0, -2), 1)
            index = flat.view(logits.shape[:-1])
            return one_hot(index, logits.shape[-1]).to(logits.dtype).flatten(-2)

    def relaxed(self, temperature: float = TEMPERATURE) -> Tensor:
        """A draw of nearly one-hot vectors that has a gradient."""
        return gumbel_softmax(self.logits, tau=temperature).flatten(-2)

    @property
    def mode(self) -> Tensor:
        """The likeliest category of each variable, as one-hot vectors."""
        return one_hot(self.logits.argmax(-1), self.logits.shape[-1]).to(self.logits.dtype).flatten(-2)

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        return self.logits.exp().flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Of one-hot vectors."""
        return (value.view(*value.shape[:-1], *self.logits.shape[-2:]) * self.logits).sum((-2, -1))


@register_kl(OneHots, OneHots)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(p: OneHots, q: OneHots) -> Tensor:
    return (p.logits.exp() * (p.logits - q.logits)).sum((-2, -1))


@latents.register("categorical")
class CategoricalLatent(Latent):
    """Codes of ``variables`` independent categories of ``classes`` each, p(z) uniform; by default as many of 10 as ``code`` says.

    z has variables · classes numbers: in training nearly one-hot draws, in evaluation the likeliest categories, whose gradient is
    that of the probabilities.
    """

    formula = "uniform over categories"

    def __init__(self, features: int, code: int, stochastic: bool, numbers: tuple[float, ...] = ()) -> None:
        if len(numbers) not in (0, 2) or any(number < 1 or number != round(number) for number in numbers):
            raise ChoiceError(
                "code_prior=categorical(variables, classes) has two whole numbers, e.g. categorical(8, 10)."
            )
        variables, classes = (int(number) for number in numbers) if numbers else (code, 10)
        if not stochastic:
            raise ChoiceError("A categorical code is a distribution: choose shape=kl with code_prior=categorical.")
        super().__init__(features, variables * classes, stochastic, numbers)
        self.sizes = (variables, classes)
        self.linear = nn.Linear(features, self.width)
        self.register_buffer("even", torch.zeros(variables, classes), persistent=False)

    even: Tensor

    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        code = OneHots(self.linear(features).unflatten(-1, self.sizes))
        return code, code.relaxed() if self.training else code.mode + (code.mean - code.mean.detach())

    def prior(self) -> Distribution:
        return OneHots(self.even)


class Picked(Distribution):
    """Vectors put together of parts, each one of that part's learned vectors.

    Args:
        vectors: (parts, k, numbers). shares: (parts, k) of each vector, summing to 1.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real_vector

    def __init__(self, vectors: Tensor, shares: Tensor) -> None:
        self.vectors, self.shares = vectors, shares
        super().__init__(torch.Size(), torch.Size([vectors.shape[0] * vectors.shape[2]]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The vectors' mean by their shares."""
        return (self.shares[..., None] * self.vectors).sum(1).flatten()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Each part's vector drawn by its share, independently."""
        shape = torch.Size(sample_shape)
        index = torch.multinomial(self.shares, max(shape.numel(), 1), replacement=True).T
        found = self.vectors[torch.arange(len(self.shares), device=index.device), index]
        return found.flatten(1).view(*shape, -1)


@latents.register("vq")
class QuantisedLatent(Latent):
    """Codes of parts, each the nearest of k learned vectors; by default k = 512 and parts of four numbers.

    The vectors are the moving average of the codes that are nearest to them, and one that is hardly used begins again at a code
    of the batch; the gradient of z passes to the code as if it had not been moved. p(z): each part by its share of the training
    codes.

    References:
        van den Oord, Vinyals and Kavukcuoglu, `Neural Discrete Representation Learning`, 2017, section 3.2 and appendix A.1.
    """

    formula = "the shares of learned vectors"
    DECAY, LEAST = 0.99, 0.01
    """Of the moving averages, and the share of even use below which a vector begins again."""

    vectors: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, features: int, code: int, stochastic: bool, numbers: tuple[float, ...] = ()) -> None:
        super().__init__(features, code, stochastic, numbers)
        if stochastic:
            raise ChoiceError("A quantised code is one vector, no distribution: with code_prior=vq leave shape out.")
        if len(numbers) > 2 or any(number < 1 or number != round(number) for number in numbers):
            raise ChoiceError("code_prior=vq(k) or vq(k, parts) has whole numbers, e.g. vq(512) or vq(64, 4).")
        k = int(numbers[0]) if numbers else 512
        count = int(numbers[1]) if len(numbers) > 1 else max(code // 4, 1)
        if code % count:
            raise ChoiceError(f"code is {code} and vq has {count} parts: choose a code that they divide evenly.")
        self.linear = nn.Linear(features, code)
        self.register_buffer("vectors", torch.randn(count, k, code // count))
        self.register_buffer("sums", self.vectors.clone())
        self.register_buffer("counts", torch.ones(count, k))

    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        code = self.linear(features)
        each = code.unflatten(-1, (len(self.vectors), -1)).transpose(0, 1)  # (parts, batch, numbers)
        index = torch.cdist(each.detach(), self.vectors).argmin(-1)
        near = self.vectors.gather(1, index[..., None].expand(-1, -1, each.shape[-1])).transpose(0, 1).flatten(1)
        if self.training and torch.is_grad_enabled():
            self._follow(each.detach(), index)
        return code, near + (code - code.detach())

    @torch.no_grad()
    def _follow(self, each: Tensor, index: Tensor) -> None:
        """Move the vectors towards the codes that are nearest to them, be it in another process."""
        chosen = one_hot(index, self.vectors.shape[1]).to(each.dtype)  # (parts, batch, k)
        self.counts.lerp_(collective.add(chosen.sum(1)), 1 - self.DECAY)
        self.sums.lerp_(collective.add(chosen.transpose(1, 2) @ each), 1 - self.DECAY)
        unused = self.counts < self.LEAST * self.counts.sum(1, keepdim=True) / self.counts.shape[1]
        every = collective.gather(each.transpose(0, 1))[0].transpose(0, 1)
        with collective.drawing_alike():
            drawn = every[:, torch.randint(every.shape[1], (self.vectors.shape[1],), device=each.device)]
        self.sums.copy_(torch.where(unused[..., None], drawn, self.sums))
        self.counts.copy_(torch.where(unused, 1.0, self.counts))
        self.vectors.copy_(self.sums / self.counts[..., None].clamp_min(1e-6))

    def prior(self) -> Distribution:
        return Picked(self.vectors, self.counts / self.counts.sum(1, keepdim=True))

    def title(self) -> str:
        count, k, each = self.vectors.shape
        return f"code of {count} parts of {each} numbers, each the nearest of {k} learned vectors ({math.log2(k) * count:.0f} bits)"
