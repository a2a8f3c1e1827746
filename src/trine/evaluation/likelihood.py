"""log p(x) of a model with codes, by importance sampling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ChoiceError


@dataclasses.dataclass(frozen=True)
class LogLikelihood:
    r"""An estimate of log p(x), row by row, in nats.

    .. math:: \log p(x) \approx L_k = \log \frac1k \sum_{i=1}^k w_i, \qquad
              w_i = \frac{p(x \mid z_i) p(z_i)}{q(z_i \mid x)}, \quad z_i \sim q(z \mid x)

    L_k is below log p(x) on average, and rises with k.

    Attributes:
        value: (rows,) L_k.
        error: (rows,) its standard error, by the spread of the w (delta method).
        samples: k.
        bounds: k' → mean over rows of L_k', from the same draws, for some k' up to k; that of 1 is the evidence lower bound.
    """

    value: NDArray[np.float64]
    error: NDArray[np.float64]
    samples: int
    bounds: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Over the rows."""
        return float(self.value.mean())

    @property
    def mean_error(self) -> float:
        """Standard error of :attr:`mean` from the draws alone, not from which rows there are."""
        return float(np.sqrt(np.square(self.error).sum()) / len(self.error))


def log_weights(code: Distribution, prior: Distribution, log_prob: Callable[[Tensor], Tensor], samples: int) -> Tensor:
    """(samples, rows) log w of draws from ``code``, from torch's generator.

    Args:
        code: q(z given x), batch shape (rows,).
        prior: p(z), batch shape ().
        log_prob: z (rows, width) → (rows,) log p(x given z).
        samples: 1 or more.

    Raises:
        ChoiceError: fewer than 1 sample.

    References:
        Burda, Grosse and Salakhutdinov, `Importance Weighted Autoencoders`, 2016, sections 3 and 5.
    """
    if samples < 1:
        raise ChoiceError(f"samples is {samples}; an importance-sampled likelihood takes 1 or more.")
    found = []
    for _ in range(samples):
        z = code.sample()
        found.append(log_prob(z) + prior.log_prob(z) - code.log_prob(z))
    return torch.stack(found)


def summed(log_w: Tensor) -> tuple[Tensor, Tensor]:
    """(L_k, its standard error), each (rows,), of (k, rows) log w."""
    k = len(log_w)
    value = log_w.logsumexp(0) - math.log(k)
    if k == 1:
        return value, torch.full_like(value, math.nan)
    # w in units of their mean: the error of a logarithm is the relative one.
    return value, (log_w - value).exp().std(0) / math.sqrt(k)


def bound(log_w: Tensor, k: int) -> Tensor:
    """() mean over rows and over the ⌊K/k⌋ groups of k draws of L_k: an unbiased estimate of E L_k."""
    groups = len(log_w) // k
    parts = log_w[: groups * k].view(groups, k, -1)
    return (parts.logsumexp(1) - math.log(k)).mean()


def bounds_up_to(samples: int) -> list[int]:
    """1, 5, 50, 500 … and ``samples``."""
    return sorted({k for k in (1, 5, 50, 500, 5000) if k < samples} | {samples})
