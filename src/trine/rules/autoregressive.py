"""Text → a token at a time, each given those before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import cross_entropy, log_softmax

from trine.blocks.decoder import AttentionDecoder, Memory, Read, State, take
from trine.domains import Text

from ._base import Linear, Rule, default_reconstruction, default_rule, rules
from ._parameters import map_arguments, point

UNKNOWN, BEGIN, END = 0, 1, 2
"""Reserved codes: a token that training never saw, what stands before the first, what stands after the last."""
UNITS, BEAMS = 128, 5
"""Width of a decoder's layers, and sequences that a beam search keeps, where none is chosen."""
RARE = -6.0
"""Where the logit of an unknown token starts when no training text had one."""
WITHHELD = 0.3
"""Share of the tokens before that are withheld from what writes a text again from its code, while training."""
LENGTH_PENALTY = 0.6
"""Exponent of a beam's length normalisation (Wu et al., 2016, section 7, found 0.6 to 0.7 best)."""


class Autoregressive(Distribution):
    r"""q(y) = Π_t softmax(a_t)(y_t), a_t from the tokens before t: a distribution over sequences of any length.

    A sequence is a row of token codes padded at the end with −1; its last factor is that of the end (code 2), so that the
    probabilities of all sequences sum to 1. No sequence holds the code 1 (the beginning) or 2.

    Args:
        decoder: gives the logits; its parameters are not arguments of the distribution.
        z: (batch, features), what the decoder starts from.
        memory: what it attends to.
        longest: tokens that decoding writes at most.
        offset: (tokens,) added to the decoder's logits; −∞ for what is never written.
        withheld: share of the tokens before that :meth:`log_prob` reads as unknown, at random: of training alone.

    References:
        Sutskever, Vinyals and Le, `Sequence to Sequence Learning with Neural Networks`, 2014.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    ragged = True
    has_rsample = False

    def __init__(
        self,
        decoder: AttentionDecoder,
        z: Tensor,
        memory: Memory,
        longest: int,
        offset: Tensor,
        withheld: float = 0.0,
        validate_args: bool | None = False,
    ) -> None:
        self.withheld = withheld
        self.decoder, self.z, self.memory, self.longest, self.offset = decoder, z, list(memory), longest, offset
        super().__init__(z.shape[:-1], torch.Size([longest]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(batch,) log-probability, in nats, of sequences (batch, steps); all steps in one pass (teacher forcing)."""
        return self.token_log_prob(value).sum(1)

    def token_log_prob(self, value: Tensor) -> Tensor:
        """(batch, steps + 1) log-probability of each token given those before it, the end's after the last; 0 beyond."""
        padded = value.new_full((len(value), 1), -1)
        target = torch.cat([value, padded], 1)
        lengths = (value >= 0).sum(1, keepdim=True)
        target = target.scatter(1, lengths, END)
        read = value
        if self.withheld:
            read = value.masked_fill(torch.rand(value.shape, device=value.device) < self.withheld, UNKNOWN)
        inputs = torch.cat([torch.full_like(padded, BEGIN), read], 1).clamp_min(UNKNOWN)
        logits = self._next(inputs, self.decoder.begin(self.z), self.decoder.read(self.memory))[0]
        lost = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1, reduction="none")
        return -lost.view_as(target)

    def _next(self, inputs: Tensor, state: State, read: Read) -> tuple[Tensor, State]:
        logits, state = self.decoder(inputs, state, read)
        return logits + self.offset, state

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """(*sample_shape, batch, steps) sequences drawn from q, padded with −1; cut at ``longest``."""
        shape = torch.Size(sample_shape)
        rows = torch.arange(len(self.z), device=self.z.device).repeat(shape.numel())
        tokens, _ = self._write(rows, lambda logits: torch.multinomial(logits.softmax(-1), 1).squeeze(1))
        return tokens.view(*shape, len(self.z), tokens.shape[1])

    def greedy(self) -> tuple[Tensor, Tensor]:
        """((batch, steps) sequences, (batch,) their log-probability): at each step the likeliest token.

        An unknown token is never written, and the end comes after ``longest`` tokens at the latest.
        """
        return self._write(torch.arange(len(self.z), device=self.z.device), _likeliest)

    @torch.no_grad()
    def _write(self, rows: Tensor, choose: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Sequences of z and memory at ``rows``, and their log-probability, until all have ended."""
        state, read = take(self.decoder.begin(self.z), self.decoder.read(self.memory), rows)
        token = torch.full_like(rows, BEGIN)
        ended = torch.zeros_like(rows, dtype=torch.bool)
        total = torch.zeros(len(rows), dtype=self.z.dtype, device=rows.device)
        written = []
        for step in range(self.longest + 1):
            logits, state = self._next(token[:, None], state, read)
            logits = logits.squeeze(1)
            token = choose(logits) if step < self.longest else torch.full_like(rows, END)
            total += torch.where(ended, 0.0, log_softmax(logits, -1).gather(1, token[:, None]).squeeze(1))
            ended |= token == END
            if bool(ended.all()):
                break
            written.append(torch.where(ended, -1, token))
        return torch.stack(written, 1) if written else rows.new_zeros((len(rows), 0)), total

    @torch.no_grad()
    def beam(self, beams: int, penalty: float = LENGTH_PENALTY) -> tuple[Tensor, Tensor]:
        """((batch, steps) sequences, (batch,) their log-probability) by a search that keeps ``beams`` of them at a step.

        Sequences are ranked by log q / ((5 + length) / 6)^penalty, their length with the end: 0 looks for the most
        probable one, more lets longer ones compete (Wu et al., 2016, equation 14). One that has ended keeps its place as
        long as it is among the best. An unknown token is never written.

        Args:
            beams: 1 or more; 1 with no other is :meth:`greedy`.
            penalty: of short sequences, 0 or more.
        """
        rows = len(self.z)
        device = self.z.device
        first = torch.arange(rows, device=device)
        state, read = self.decoder.begin(self.z), self.decoder.read(self.memory)
        state, read = take(state, read, first.repeat_interleave(beams))
        token = torch.full((rows * beams,), BEGIN, device=device)
        # All beams are alike before the first token: only one may go on.
        score = torch.full((rows, beams), -math.inf, device=device)
        score[:, 0] = 0.0
        ended = torch.zeros((rows, beams), dtype=torch.bool, device=device)
        length = torch.zeros((rows, beams), device=device)
        written = torch.zeros((rows, beams, 0), dtype=torch.int64, device=device)
        for step in range(self.longest + 1):
            logits, state = self._next(token[:, None], state, read)
            each = log_softmax(logits.squeeze(1), -1).view(rows, beams, -1)
            each[..., UNKNOWN] = -math.inf
            if step == self.longest:
                each[..., :END], each[..., END + 1 :] = -math.inf, -math.inf
            # What has ended goes on by the end alone, at no cost.
            stay = torch.full_like(each[:1, :1], -math.inf)
            stay[..., END] = 0.0
            each = torch.where(ended[..., None], stay, each)
            total = score[..., None] + each
            longer = length[..., None] + (~ended[..., None]).to(total.dtype)
            ranked = total / ((5.0 + longer) / 6.0) ** penalty
            best = ranked.flatten(1).topk(min(beams, ranked[0].numel()), 1).indices
            parent, token = best // each.shape[-1], best % each.shape[-1]
            score, length = total.flatten(1).gather(1, best), longer.expand_as(total).flatten(1).gather(1, best)
            ended = ended.gather(1, parent) | (token == END)
            kept = written.gather(1, parent[..., None].expand(-1, -1, written.shape[2]))
            written = torch.cat([kept, torch.where(ended, -1, token)[..., None]], 2)
            if bool((ended | score.isinf()).all()):
                break
            at = (first[:, None] * beams + parent).flatten()
            state, token = tuple(part.index_select(1, at) for part in state), token.flatten()
        final = (score / ((5.0 + length) / 6.0) ** penalty).argmax(1)
        found = written[first, final]
        return found[:, : int((found >= 0).sum(1).max()) if rows else 0], score[first, final]

    def expand(self, batch_shape: Any, _instance: Any = None) -> Autoregressive:
        """The same distribution, repeated over ``batch_shape`` of one dimension."""
        rows = torch.arange(len(self.z), device=self.z.device).expand(batch_shape)
        chosen = map_arguments(self, lambda value: value[rows])
        assert isinstance(chosen, Autoregressive)
        return chosen


def _likeliest(logits: Tensor) -> Tensor:
    return logits[:, END:].argmax(-1) + END


@map_arguments.register
def _(q: Autoregressive, change: Callable[[Tensor], Tensor]) -> Distribution:
    memory = [(change(states), change(lengths).long()) for states, lengths in q.memory]
    return Autoregressive(q.decoder, change(q.z), memory, q.longest, q.offset, q.withheld)


@point.register
def _(q: Autoregressive) -> Tensor:
    return q.greedy()[0]


@rules.register("autoregressive")
class AutoregressiveRule(Rule):
    r"""q(y given x) = Π_t softmax(a_t(y_1 … y_{t−1}, z, memory)): a text written token by token, until its end.

    .. math:: -\log q(y) = \sum_t \log \sum_k e^{a_{tk}} - a_{t, y_t}, \qquad y_{T+1} = \text{end}

    Args:
        features: width of z.
        domain: of y; its longest training text bounds what is written.
        linear: not used: a decoder serves one network.
        memory: widths of the states that it attends to; units: of its two LSTM layers, 128 by default; dropout: in [0, 1).
    """

    serves = (Text,)
    formula = "LSTM over the tokens so far, attention over x's states → softmax → next token, until the end"
    identity = "Σ_t −log p(token_t | tokens before, x): cross-entropy, summed over the text and its end"
    reads_memory = True

    offset: Tensor

    def __init__(
        self,
        features: int,
        domain: Text,
        linear: Linear = nn.Linear,
        *,
        memory: Sequence[int] = (),
        units: int | None = None,
        dropout: float | None = None,
    ) -> None:
        super().__init__(features, domain, linear)
        self.longest = domain.longest
        self.decoder = AttentionDecoder(domain.size, features, memory, units or UNITS, dropout or 0.0)
        offset = torch.zeros(domain.size)
        offset[BEGIN] = -math.inf
        if not domain.unseen:
            offset[UNKNOWN] = RARE
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, features: Tensor, memory: Memory = ()) -> Autoregressive:
        return Autoregressive(self.decoder, features, memory, self.longest, self.offset)


@rules.register("autoregressive-code")
class AutoregressiveCodeRule(AutoregressiveRule):
    r"""q(x given z) = Π_t softmax(a_t(x_1 … x_{t−1}, z)): a text written again from its code, token by token, until its end.

    The code is before the decoder's eyes at every step, not at the first alone. While training some of the tokens before are
    withheld, since a decoder that sees them all has little use for a code.

    References:
        Bowman et al., `Generating Sentences from a Continuous Space`, 2016, section 3.1 (word dropout).
    """

    formula = "LSTM over the tokens so far and z → softmax → next token, until the end"
    identity = "Σ_t −log p(token_t | tokens before, z): cross-entropy, summed over the text and its end"

    def __init__(
        self,
        features: int,
        domain: Text,
        linear: Linear = nn.Linear,
        *,
        memory: Sequence[int] = (),
        units: int | None = None,
        dropout: float | None = None,
    ) -> None:
        super().__init__(features, domain, linear, memory=(features, *memory), units=units, dropout=dropout)

    def forward(self, features: Tensor, memory: Memory = ()) -> Autoregressive:
        alone = (features[:, None], torch.ones(len(features), dtype=torch.int64, device=features.device))
        withheld = WITHHELD if self.training else 0.0
        return Autoregressive(self.decoder, features, [alone, *memory], self.longest, self.offset, withheld)


@default_rule.register
def _(domain: Text) -> str:
    return "autoregressive"


@default_reconstruction.register
def _(domain: Text) -> str:
    return "autoregressive-code"
