"""The states of all steps → the features of a row, whatever was padded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trine.errors import unknown

from .sequence import own_steps


class Last(nn.Module):
    """The state of a row's last step; of both directions, each where it has read everything.

    Args:
        width: of a state. both: whether the second half of a state comes from reading backwards.
    """

    def __init__(self, width: int, both: bool = False) -> None:
        super().__init__()
        self.features = width
        self.both = both

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(batch, width) of (batch, steps, width) states; zeros where a row has no step."""
        last = (lengths - 1).clamp_min(0)[:, None, None].expand(-1, 1, states.shape[2])
        found = states.gather(1, last)[:, 0]
        if self.both:
            half = self.features // 2
            found = torch.cat([found[:, :half], states[:, 0, half:]], dim=1)
        return found.masked_fill((lengths == 0)[:, None], 0.0)


class Mean(nn.Module):
    """The mean over a row's own steps."""

    def __init__(self, width: int, both: bool = False) -> None:
        super().__init__()
        self.features = width

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(batch, width) of (batch, steps, width) states; zeros where a row has no step."""
        own = own_steps(lengths, states.shape[1])[:, :, None]
        return states.masked_fill(~own, 0.0).sum(1) / lengths.clamp_min(1)[:, None].to(states.dtype)


class Max(nn.Module):
    """The maximum over a row's own steps, a feature at a time."""

    def __init__(self, width: int, both: bool = False) -> None:
        super().__init__()
        self.features = width

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(batch, width) of (batch, steps, width) states; zeros where a row has no step."""
        own = own_steps(lengths, states.shape[1])[:, :, None]
        lowest = torch.finfo(states.dtype).min
        return states.masked_fill(~own, lowest).amax(1).masked_fill((lengths == 0)[:, None], 0.0)


class Attention(nn.Module):
    r"""A mean of a row's own steps by learned weights, Σ softmax(v · tanh(W h_t)) h_t.

    The weights start equal, so that training begins from the plain mean.

    References:
        Bahdanau, Cho and Bengio, `Neural Machine Translation by Jointly Learning to Align and Translate`, 2015, section 3.1.
        Yang et al., `Hierarchical Attention Networks for Document Classification`, 2016, section 2.2.
    """

    def __init__(self, width: int, both: bool = False) -> None:
        super().__init__()
        self.features = width
        self.key = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.key.weight, nn.init.calculate_gain("tanh"))
        nn.init.zeros_(self.key.bias)
        self.query = nn.Parameter(torch.zeros(width))

    def weights(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(batch, steps): how much each step counts; sums to 1 where a row has a step, else 0."""
        own = own_steps(lengths, states.shape[1])
        score = torch.tanh(self.key(states)).float() @ self.query.float()
        score = score.masked_fill(~own, torch.finfo(score.dtype).min)
        return torch.softmax(score, dim=1).masked_fill(~own, 0.0)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(batch, width) of (batch, steps, width) states; zeros where a row has no step."""
        own = own_steps(lengths, states.shape[1])[:, :, None]
        weights = self.weights(states, lengths).to(states.dtype)
        return (weights[:, None] @ states.masked_fill(~own, 0.0))[:, 0]


class Places(nn.Module):
    """The means over each of sixteen equal shares of a row, one after another, and its length: what is needed to give it again.

    A share of fewer than one step has the state of the step that it is in. A length is told by waves of its logarithm, so that
    one that is a few parts in a hundred longer is plainly another.
    """

    waves: Tensor

    def __init__(self, width: int, both: bool = False) -> None:
        super().__init__()
        self.features = SHARES * width + 2 * len(WAVES)
        self.register_buffer("waves", torch.tensor(WAVES), persistent=False)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(batch, 16 · width + 12) of (batch, steps, width) states; zeros where a row has no step."""
        edge = torch.arange(SHARES + 1, device=states.device) / SHARES * lengths[:, None]
        step = torch.arange(states.shape[1], device=states.device)
        low, high = edge[:, :-1, None], edge[:, 1:, None]
        # How much of each share lies in each step, over the share's length.
        inside = (torch.minimum(high, step + 1.0) - torch.maximum(low, step.float())).clamp_min(0.0)
        weights = (inside * (SHARES / lengths.clamp_min(1))[:, None, None]).to(states.dtype)
        own = own_steps(lengths, states.shape[1])[:, :, None]
        found = torch.bmm(weights, states.masked_fill(~own, 0.0)).flatten(1)
        phase = lengths.clamp_min(1).float().log()[:, None] * self.waves
        told = torch.cat([phase.sin(), phase.cos()], 1).masked_fill((lengths == 0)[:, None], 0.0)
        return torch.cat([found, told.to(states.dtype)], 1)


SHARES = 16
"""Of a row, whose means :class:`Places` takes."""
WAVES = (0.25, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Frequencies of the waves of the logarithm of a row's length."""

Pooling = Last | Mean | Max | Attention | Places

poolings: dict[str, type[Last] | type[Mean] | type[Max] | type[Attention] | type[Places]] = {
    "last": Last,
    "mean": Mean,
    "max": Max,
    "attention": Attention,
    "places": Places,
}
"""Name → module from ((batch, steps, width), lengths) to (batch, features)."""


def pooling_for(name: str, width: int, both: bool = False) -> Pooling:
    """The pooling called ``name`` of states of ``width``.

    Raises:
        ChoiceError: there is none; names those that there are.
    """
    if name not in poolings:
        raise unknown("pooling", name, poolings)
    return poolings[name](width, both)
