"""Whether Markov chains have converged to one distribution: split R̂ and the effective number of draws.

References:
    Gelman and Rubin, `Inference from Iterative Simulation Using Multiple Sequences`, 1992. Geyer, `Practical Markov Chain Monte
    Carlo`, 1992 (initial positive sequence). Vehtari et al., `Rank-Normalization, Folding, and Localization: An Improved R̂`, 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor


def split_r_hat(draws: Tensor) -> Tensor:
    """(chains, draws, ...) → (...): the root of the ratio of the pooled to the within-chain variance, each chain in two halves.

    1 where all halves are alike; above 1.1 the chains have not forgotten where they began. NaN with fewer than four draws.
    """
    half = draws.shape[1] // 2
    if half < 2:
        return draws.new_full(draws.shape[2:], torch.nan)
    parts = torch.cat([draws[:, :half], draws[:, draws.shape[1] - half :]]).double()
    within = parts.var(1).mean(0)
    between = half * parts.mean(1).var(0)
    pooled = (half - 1) / half * within + between / half
    return torch.where(within > 0, (pooled / within.clamp_min(1e-300)).sqrt(), torch.where(between > 0, torch.inf, 1.0))


def effective_draws(draws: Tensor) -> Tensor:
    """(chains, draws, ...) → (...): of how many independent draws the mean would be as exact.

    chains · draws / (1 + 2 Σ autocorrelations), the sum by Geyer's initial positive monotone sequence, autocovariances by FFT, with
    the chains' disagreement counted as correlation.
    """
    x = draws.double()
    chains, n = x.shape[:2]
    if n < 4:
        return x.new_full(x.shape[2:], torch.nan)
    x = x - x.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(x, 2 * n, dim=1)
    covariance = torch.fft.irfft(spectrum.abs().square(), 2 * n, dim=1)[:, :n] / n
    within = covariance[:, 0].mean(0) * n / (n - 1)
    total = within * (n - 1) / n
    if chains > 1:
        total = total + draws.double().mean(1).var(0)
    correlation = 1.0 - (within - covariance.mean(0) * n / (n - 1)) / total.clamp_min(1e-300)  # (lags, ...)
    correlation[0] = 1.0
    pairs = correlation[: 2 * (n // 2)].unflatten(0, (-1, 2)).sum(1)
    positive = (pairs > 0).cummin(0).values
    monotone = pairs.cummin(0).values.clamp_min(0.0)
    time = -1.0 + 2.0 * (monotone * positive).sum(0)
    found = chains * n / time.clamp_min(1.0 / torch.tensor(float(chains * n)).log10().item())
    return torch.where(total > 0, found, torch.full_like(found, float(chains * n)))
