"""Labels that spread from row to row over a graph of like rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import normalize, one_hot

from trine.data import Batch

from ._base import Value, over_members
from .pseudo_labels import PseudoLabels

NEIGHBOURS = 20
"""Like rows that a row is joined with."""
POWER = 3
"""Of the cosine, in the weight of an edge."""
SPREAD, ROUNDS = 0.99, 60
"""Share of its label that a row takes from its neighbours in a round, and rounds."""
MOST = 60_000
"""Most rows in the graph, whose making grows as their square."""
CHUNK = 1_000
"""Rows whose neighbours are looked for at a time."""


class Propagation(PseudoLabels):
    r"""−log q(ŷ) times how sure ŷ is, a label that came over the graph of like rows; before that, and where none came, the row's
    own sure answer.

    Between epochs the representation z of all rows is taken, each row is joined with its nearest by cosine, and labels spread:
    F ← α S F + (1 − α) Y with the symmetrically normalised weights S. How sure a row is: 1 − entropy / log(classes).

    Args:
        confidence: as of :class:`PseudoLabels`. classes: their number. rows: of the store. target: name of y, whose known values
            are the labels.

    References:
        Zhou et al., `Learning with Local and Global Consistency`, 2004. Iscen et al., `Label Propagation for Deep
        Semi-supervised Learning`, 2019 (z of the network itself, weights by entropy, classes balanced).
    """

    formula = "E[−log {p}(ŷ)], ŷ by propagation"

    labels: Tensor
    sure: Tensor

    def __init__(self, confidence: float, classes: int, rows: int, target: str) -> None:
        super().__init__(confidence)
        self.classes, self.target = classes, target
        self.register_buffer("labels", torch.full((rows,), -1, dtype=torch.int64))
        self.register_buffer("sure", torch.zeros(rows))

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        values = super().forward(predicted, target)
        assert isinstance(given, Tensor)
        assert isinstance(predicted, Categorical)
        label = self.labels.index_select(0, given)
        lost: Tensor = -predicted.log_prob(label.clamp_min(0))  # type: ignore[no-untyped-call]
        return torch.where(label >= 0, self.sure.index_select(0, given) * over_members(lost), values)

    @torch.no_grad()
    def refresh(self, model: nn.Module, rows: Iterable[Batch]) -> None:
        """Spread the labels again, by the representation that ``model`` has of all ``rows`` now."""
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for batch in rows:
            z: Any = model(batch)["z"]
            z = z.flatten(0, -3).mean(0) if z.dim() > 2 else z
            label = batch[f"y.{self.target}"]
            present = batch.get(f"y.{self.target}.present")
            found.append((z.float(), batch["row"], label if present is None else torch.where(present, label, -1)))
        z, row, label = (torch.cat(parts) for parts in zip(*found, strict=True))
        if len(z) > MOST:  # all that have a label, and others at random; the rest go by their own sure answers
            chance = torch.rand(len(z), generator=torch.Generator().manual_seed(len(z))).to(z.device)
            kept = (chance - (label >= 0).float()).argsort()[:MOST]
            z, row, label = z[kept], row[kept], label[kept]
        spread, sure = propagated(z, label, self.classes)
        self.labels[row], self.sure[row] = spread, sure

    def describe(self, predicted: str, target: str) -> str:
        """With where labels come from."""
        first = f"in the first epoch argmax {target} where it has {self.confidence:g}"
        return f"E[−log {predicted}(ŷ)], ŷ by propagation over z, {first}"


def propagated(z: Tensor, label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """(labels, how sure each is in [0, 1]), each (rows,), by z (rows, features) and labels (rows,), −1 where there is none.

    A row that no label reaches has −1 still, and is as unsure as may be.
    """
    near = normalize(z - z.mean(0))
    index, cosine = _nearest(near)
    graph = _graph(index, cosine.clamp_min(0) ** POWER)
    own = torch.zeros(len(z), classes, device=z.device)
    known = label >= 0
    own[known] = one_hot(label[known], classes).float()
    spread = own.clone()
    for _ in range(ROUNDS):
        spread = SPREAD * (graph @ spread) + (1 - SPREAD) * own
    # No class may take all for having more labels, or better connected ones.
    spread = spread / spread.sum(0).clamp_min(1e-12)
    share = spread / spread.sum(1, keepdim=True).clamp_min(1e-12)
    entropy = -(share * share.clamp_min(1e-12).log()).sum(1)
    reached = share.sum(1) > 0.5
    sure = (1 - entropy / math.log(max(classes, 2))).clamp(0, 1) * reached
    found = torch.where(reached, share.argmax(1), -1)
    return torch.where(known, label, found), torch.where(known, 1.0, sure)


def _nearest(near: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, k) indices and cosines of the rows nearest to each, itself left out; ``near`` of unit length."""
    k = min(NEIGHBOURS, len(near) - 1)
    parts = []
    for first in range(0, len(near), CHUNK):
        cosine = near[first : first + CHUNK] @ near.T
        cosine[torch.arange(len(cosine)), torch.arange(first, first + len(cosine))] = -math.inf
        parts.append(cosine.topk(k, 1))
    return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])


def _graph(index: Tensor, weight: Tensor) -> Tensor:
    """(rows, rows) sparse D^-½ (W + Wᵀ) D^-½ of edges to ``index`` (rows, k)."""
    import scipy.sparse

    n, k = index.shape
    row = torch.arange(n).repeat_interleave(k).numpy()
    edges = scipy.sparse.csr_array(
        (weight.cpu().flatten().double().numpy(), (row, index.cpu().flatten().numpy())), (n, n)
    )
    edges = edges + edges.T
    scale = scipy.sparse.diags_array(1 / (edges.sum(1) + 1e-12) ** 0.5)
    found = (scale @ edges @ scale).tocoo()
    places = torch.stack([torch.from_numpy(found.row.astype("int64")), torch.from_numpy(found.col.astype("int64"))])
    values = torch.from_numpy(found.data).float()
    return torch.sparse_coo_tensor(places, values, (n, n), check_invariants=False).coalesce().to(weight.device)
