"""Numbers of a table: missing values kept as information, embedded where that pays.

References:
    Gorishniy, Rubachev and Babenko, `On Embeddings for Numerical Features in Tabular Deep Learning`, 2022, arXiv
    2203.05556 (piecewise-linear and periodic); Holzmüller, Grinsztajn and Steinwart, `Better by Default`, 2024, arXiv
    2407.04491 (smooth clipping).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trine.choices import Choices
from trine.domains import Date, Domain, Numeric
from trine.errors import ChoiceError, nearest

from ._base import field_encoder

DIMS = 16
"""Width of a number's embedding."""


class NumberDomain(Protocol):
    """What a packed numeric domain tells about its columns, in encoded units.

    A domain of several columns (``width`` > 1, a date) gives a sequence with an entry for each of them, in place of the
    plain tuple or number.
    """

    @property
    def width(self) -> int: ...
    @property
    def knots(self) -> Any: ...
    @property
    def atoms(self) -> Any: ...
    @property
    def mean(self) -> Any: ...
    @property
    def std(self) -> Any: ...


class Numbers(nn.Module):
    """Packed numbers, NaN where missing, → features: (batch, k) → (batch, features).

    A missing value is a place of its own: embedded columns take a learned vector in its stead, plain ones are imputed
    by the mean beside an indicator. All kinds are bounded in their input, so that a heavy tail does no harm.

    Args:
        domains: the fitted domains, in the order of their columns.
        dims: width of a column's embedding (``plain`` takes none).
        kind: ``piecewise``, ``periodic`` or ``plain``.

    Raises:
        ChoiceError: an unknown kind.
    """

    def __init__(self, domains: Sequence[NumberDomain], dims: int = DIMS, kind: str = "piecewise") -> None:
        super().__init__()
        if kind not in kinds:
            raise ChoiceError(
                f"Numbers cannot enter as {kind!r}.{nearest(kind, kinds)} Known: {', '.join(sorted(kinds))}."
            )
        self.kind = kind
        self.embedding: Piecewise | Periodic | Plain = kinds[kind](domains, dims)
        self.columns = sum(domain.width for domain in domains)
        self.features = self.columns * self.embedding.dims

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.embedding(x)
        return out.flatten(1)

    def title(self) -> str:
        """The row of the derivation."""
        how = {"piecewise": "piecewise-linear", "periodic": "periodic", "plain": "standardised"}[self.kind]
        return f"{self.columns} number{'s' if self.columns != 1 else ''}, {how}, {self.embedding.dims} features each"


class Piecewise(nn.Module):
    """Piecewise-linear code over the knots, then a linear map for each column: (batch, k) → (batch, k, dims).

    Bin m of a column holds how far the value has come through it, clip((x − t_m)/(t_{m+1} − t_m), 0, 1); values beyond
    the ends count as the ends. A value that repeats often (an atom) has an embedding of its own besides. At
    initialisation a column's output is a random walk over its bins, centred at the middle, with second moment one in
    the mean over bins.
    """

    scale: Tensor
    shift: Tensor
    atoms: Tensor

    def __init__(self, domains: Sequence[NumberDomain], dims: int) -> None:
        super().__init__()
        self.dims = dims
        knots = [_increasing(column) for domain in domains for column in _columns(domain, "knots")]
        atoms = [sorted(set(column)) for domain in domains for column in _columns(domain, "atoms")]
        bins = max((len(column) - 1 for column in knots), default=0)
        ends = torch.tensor([column + [math.inf] * (bins + 1 - len(column)) for column in knots]).view(
            len(knots), bins + 1
        )
        # A padded bin is infinitely wide: its code stays 0.
        scale = torch.where(ends[:, 1:].isinf(), 0.0, 1.0 / (ends[:, 1:] - ends[:, :-1]))
        self.register_buffer("scale", scale.unsqueeze(1))
        self.register_buffer("shift", -(ends[:, :-1].nan_to_num(posinf=0.0) * scale).unsqueeze(1))

        count = torch.tensor([float(len(column) - 1) for column in knots])[:, None, None]
        # A walk over n bins, started from its middle, has mean square n/4 over the bins.
        walk = torch.randn(len(knots), bins, dims) * (4.0 / count).sqrt()
        to_middle = (count / 2 - torch.arange(bins)[None, :, None]).clamp(0.0, 1.0)
        self.weight = nn.Parameter(walk)
        self.bias = nn.Parameter(-(walk * to_middle).sum(1))
        self.missing = nn.Parameter(torch.randn(len(knots), dims))

        most = max((len(column) for column in atoms), default=0)
        # Padded by a number that no value is; not by infinity, which an average of buffers makes NaN.
        beyond = [torch.finfo(torch.float32).max]
        self.register_buffer(
            "atoms", torch.tensor([column + beyond * (most - len(column)) for column in atoms]).view(len(atoms), most)
        )
        self.atom = nn.Parameter(torch.zeros(len(atoms) * most + 1, dims)) if most else None

    def forward(self, x: Tensor) -> Tensor:
        missing = x.isnan()
        columns = torch.where(missing, 0.0, x).t().unsqueeze(-1)
        code = torch.addcmul(self.shift, columns, self.scale).clamp_(0.0, 1.0)  # (k, batch, bins)
        out = torch.baddbmm(self.bias.unsqueeze(1), code, self.weight).transpose(0, 1)
        if self.atom is not None:
            out = out + self._atoms(x)
        return torch.where(missing.unsqueeze(-1), self.missing, out)

    def _atoms(self, x: Tensor) -> Tensor:
        """Embedding of the values that are atoms, zero elsewhere, (batch, k, dims)."""
        assert self.atom is not None
        k, most = self.atoms.shape
        columns = x.t().contiguous()
        at = torch.searchsorted(self.atoms, columns).clamp_(max=most - 1)
        hit = (self.atoms.gather(1, at) == columns).t()
        index = at.t() + torch.arange(0, k * most, most, device=x.device)
        # The last row belongs to no atom; as padding it stays zero.
        return functional.embedding(torch.where(hit, index, k * most), self.atom, padding_idx=k * most)


class Periodic(nn.Module):
    """Waves of learned frequencies, a linear map and ReLU for each column: (batch, k) → (batch, k, dims).

    The inputs of a column's map are z, cos 2πcz and sin 2πcz, for z the standardised, smoothly clipped value and
    frequencies that start as c ~ N(0, ``spread``²).
    """

    def __init__(self, domains: Sequence[NumberDomain], dims: int, frequencies: int = 24, spread: float = 0.3) -> None:
        super().__init__()
        self.dims = dims
        self.standardise = Standardise(domains)
        k = self.standardise.columns
        self.frequency = nn.Parameter(torch.randn(k, frequencies) * spread)
        inputs = 2 * frequencies + 1
        # The inputs have second moment (1 + frequencies)/inputs ≈ ½ in the mean; ReLU halves once more.
        self.weight = nn.Parameter(torch.randn(k, inputs, dims) * math.sqrt(2.0 / (1 + frequencies)))
        self.bias = nn.Parameter(torch.zeros(k, dims))
        self.missing = nn.Parameter(torch.randn(k, dims).abs())

    def forward(self, x: Tensor) -> Tensor:
        missing = x.isnan().unsqueeze(-1)
        z = self.standardise(x).unsqueeze(-1)
        phase = 2.0 * math.pi * self.frequency * z
        code = torch.cat([z, phase.cos(), phase.sin()], dim=-1)
        out = functional.relu(torch.einsum("bkm,kmd->bkd", code, self.weight) + self.bias)
        return torch.where(missing, self.missing, out)


class Plain(nn.Module):
    """The standardised value and whether it is missing: (batch, k) → (batch, k, 2)."""

    def __init__(self, domains: Sequence[NumberDomain], dims: int = 2) -> None:
        super().__init__()
        self.dims = 2
        self.standardise = Standardise(domains)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.standardise(x), x.isnan().to(x.dtype)], dim=-1)


kinds: dict[str, type[Piecewise | Periodic | Plain]] = {"piecewise": Piecewise, "periodic": Periodic, "plain": Plain}
"""Name → how numbers enter."""


class Standardise(nn.Module):
    """z/√(1 + (z/3)²) of z = (x − mean)/std, 0 where x is missing; (batch, k) → the same, within (−3, 3)."""

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, domains: Sequence[NumberDomain]) -> None:
        super().__init__()
        mean = [value for domain in domains for value in _columns(domain, "mean")]
        std = [value for domain in domains for value in _columns(domain, "std")]
        self.columns = len(mean)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("inverse_std", torch.tensor([1.0 / s if s > 0 else 1.0 for s in std], dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        # Clamped before squaring: a square beyond float32 would turn the largest values into zeros.
        z = ((x - self.mean) * self.inverse_std).nan_to_num(0.0).clamp(-1e6, 1e6)
        return z * torch.rsqrt(1.0 + (z / 3.0).square())


def _columns(domain: NumberDomain, attribute: str) -> list[Any]:
    """A domain's attribute for each of its columns."""
    value = getattr(domain, attribute)
    if attribute in ("knots", "atoms"):
        if len(value) and isinstance(value[0], Sequence):
            return list(value)
        return [value] * domain.width
    return list(value) if isinstance(value, Sequence) else [value] * domain.width


def _increasing(knots: Sequence[float]) -> list[float]:
    """At least two strictly increasing knots in float32: a constant column gets a bin of width one."""
    found: list[float] = np.unique(np.asarray(knots, dtype=np.float32)).tolist()
    if len(found) < 2:
        start = found[0] if found else 0.0
        return [start, start + 1.0]
    return found


@field_encoder.register(Numeric)
@field_encoder.register(Date)
def numbers(first: Domain, domains: Sequence[Domain], choices: Choices) -> Numbers:
    """The block of the pack ``numbers``; by default piecewise-linear."""
    return Numbers(cast(Sequence[NumberDomain], domains), DIMS, choices.numbers or "piecewise")
