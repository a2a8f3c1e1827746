"""What writes a sequence, a token at a time: recurrent layers that attend to the states of what was read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .sequence import own_steps

State = tuple[Tensor, ...]
"""(h, c) of the lower and of the upper layer, each (1, batch, units): what a decoder carries from token to token."""
Memory = Sequence[tuple[Tensor, Tensor]]
"""For each sequence that was read: (batch, steps, width) states and (batch,) how many are the row's own."""
Read = list[tuple[Tensor, Tensor, Tensor]]
"""Keys (batch, units, steps), values (batch, steps, width) and (batch, 1, steps) bool, which steps are a row's own."""


class AttentionDecoder(nn.Module):
    """Tokens so far, z and memory → logits of the next token.

    Two LSTM layers. The lower one reads the tokens so far; its state is the query of a scaled dot-product attention over
    the states in memory; the upper one reads state and context. No query depends on a context, so that all steps of
    known tokens are one call of each layer: teacher forcing costs no loop over time. Both layers start from z. A row
    without memory has the context 0.

    Args:
        tokens: number of codes; inputs and logits are over all of them.
        features: width of z.
        memory: width of the states of each sequence in memory; empty where there is none.
        units: width of a layer.
        dropout: share of embedded tokens' and states' units zeroed while training, in [0, 1).

    References:
        Luong, Pham and Manning, `Effective Approaches to Attention-based Neural Machine Translation`, 2015 (dot-product
        attention); Wu et al., `Google's Neural Machine Translation System`, 2016, section 3 (attention from the lowest
        layer's state); Jozefowicz, Zaremba and Sutskever, 2015 (forget gates start open); Saxe et al., 2014 (orthogonal).
    """

    def __init__(
        self, tokens: int, features: int, memory: Sequence[int] = (), units: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.units = units
        self.start = nn.Linear(features, 4 * units)
        self.embedding = nn.Embedding(tokens, units)
        context = sum(memory)
        self.lower = nn.LSTM(units, units, batch_first=True)
        self.query = nn.ModuleList(nn.Linear(units, units, bias=False) for _ in memory)
        self.key = nn.ModuleList(nn.Linear(width, units, bias=False) for width in memory)
        self.upper = nn.LSTM(units + context, units, batch_first=True)
        self.logits = nn.Linear(units + context, tokens)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.lower, self.upper):
            _initialise(layer)
        with torch.no_grad():
            self.embedding.weight.mul_(0.5)
            self.logits.weight.mul_(0.3)
            self.logits.bias.zero_()

    def begin(self, z: Tensor) -> State:
        """The state before the first token, from z of shape (batch, features)."""
        return tuple(torch.tanh(self.start(z)).unsqueeze(0).chunk(4, -1))

    def read(self, memory: Memory) -> Read:
        """The memory as :meth:`forward` uses it: keys are made once, however many steps follow."""
        return [
            (key(states).transpose(1, 2), states, own_steps(lengths, states.shape[1])[:, None])
            for key, (states, lengths) in zip(self.key, memory, strict=True)
        ]

    def forward(self, inputs: Tensor, state: State, read: Read) -> tuple[Tensor, State]:
        """(logits of the token after each of ``inputs``, state after the last).

        Args:
            inputs: (batch, steps) int64, the tokens so far that ``state`` has not seen.
            state: as :meth:`begin` or an earlier call gave it.
            read: as :meth:`read` gave it.

        Returns:
            (batch, steps, tokens), and the state.
        """
        embedded = self.dropout(self.embedding(inputs))
        low, (h_low, c_low) = self.lower(embedded, (state[0].contiguous(), state[1].contiguous()))
        contexts = [
            _attend(query(low), keys, values, own) for query, (keys, values, own) in zip(self.query, read, strict=True)
        ]
        high, (h_high, c_high) = self.upper(
            torch.cat([self.dropout(low), *contexts], -1), (state[2].contiguous(), state[3].contiguous())
        )
        logits: Tensor = self.logits(torch.cat([self.dropout(high), *contexts], -1))
        return logits, (h_low, c_low, h_high, c_high)


def take(state: State, read: Read, rows: Tensor) -> tuple[State, Read]:
    """State and memory at ``rows``, an index tensor: repeated, reordered or left out."""
    taken = tuple(part.index_select(1, rows) for part in state)
    return taken, [(k.index_select(0, rows), v.index_select(0, rows), own.index_select(0, rows)) for k, v, own in read]


def _attend(query: Tensor, keys: Tensor, values: Tensor, own: Tensor) -> Tensor:
    """(batch, steps of the query, width): the values, each weighed by how its key meets the query."""
    score = torch.bmm(query, keys) / math.sqrt(query.shape[-1])
    weight = torch.softmax(score.masked_fill(~own, torch.finfo(score.dtype).min), -1)
    # A row without a step of its own would weigh its padding.
    return torch.bmm(weight * own, values)


def _initialise(layer: nn.LSTM) -> None:
    """Orthogonal recurrent maps, and forget gates that start open."""
    units = layer.hidden_size
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.chunk(4):
                    nn.init.orthogonal_(gate)
            elif name.startswith("weight_ih"):
                for gate in parameter.chunk(4):
                    nn.init.xavier_uniform_(gate)
            else:
                parameter.zero_()
        layer.get_parameter("bias_ih_l0")[units : 2 * units] = 1.0
