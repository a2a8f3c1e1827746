"""Sequences from a code: sums by hand, padding that changes nothing, lengths as their distribution says."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Laplace, Normal

from trine.blocks import ended
from trine.domains import Audio, Domain, Series, Text
from trine.rules import LengthLogistic, Steps, default_reconstruction, map_arguments, rule_for
from trine.rules.autoregressive import UNKNOWN, Autoregressive

SERIES = Series(channels=2, mean=(0.0, 1.0), std=(1.0, 2.0), shortest=3, typical=30.0, furthest=90)
EVEN = Series(channels=1, mean=(0.0,), std=(1.0,), shortest=40, typical=40.0, furthest=40)
GAPS = Series(
    channels=2, mean=(0.0, 1.0), std=(1.0, 2.0), gaps=True, interval=0.5, shortest=3, typical=9.0, furthest=20
)
SOUND = Audio(rate=1000, channels=1, shortest=0.2, typical=0.4, furthest=0.9, loudness=0.1)
TEXT = Text(unit="characters", longest=9, vocabulary=tuple("abcdef"), median=5.0, rows=10)
NUMBERS = [
    ("series-normal", SERIES),
    ("series-normal-fixed", SERIES),
    ("series-normal-fixed", EVEN),
    ("series-normal", GAPS),
    ("sound-logistic", SOUND),
    ("sound-normal", SOUND),
    ("sound-laplace", SOUND),
]
IDS = [f"{name}-{domain.furthest}" for name, domain in NUMBERS]


def built(name: str, domain: Domain, seed: int = 0, away: float = 0.1) -> Any:
    torch.manual_seed(seed)
    build: Any = rule_for(domain, name)
    rule = build(6, domain).eval()
    with torch.no_grad():  # away from the small start, where all rows are nearly alike
        for parameter in rule.parameters():
            parameter.add_(away * torch.randn_like(parameter))
    return rule


@given(st.floats(-1, 6), st.floats(-4, 1))
def test_probabilities_of_all_lengths_sum_to_one(loc: float, log_scale: float) -> None:
    q = LengthLogistic(torch.tensor(loc).double(), torch.tensor(math.exp(log_scale)).double())
    lengths = torch.arange(1, 20_001)
    beyond = torch.sigmoid((q.loc - math.log(20_000.5)) / q.scale)
    assert float(q.log_prob(lengths).exp().sum() + beyond) == pytest.approx(1.0, abs=1e-9)


def test_far_lengths_are_finite_with_their_gradients() -> None:
    loc = torch.tensor([0.0, 12.0], requires_grad=True)
    values = LengthLogistic(loc, torch.tensor(1e-3)).log_prob(torch.tensor([600_000, 1]))
    values.sum().backward()
    assert values.isfinite().all()
    assert loc.grad is not None
    assert loc.grad.isfinite().all()


def test_sampled_lengths_follow_the_length_model() -> None:
    q = built("series-normal-fixed", SERIES)(torch.randn(3, 6))
    drawn = (~q.sample((1500,))[..., 0].isnan()).sum(2)
    assert drawn.max() <= 2 * SERIES.furthest
    for length in (20, 30, 40):
        share = (drawn <= length).double().mean(0)
        expected = torch.sigmoid((math.log(length + 0.5) - q.length.loc) / q.length.scale)
        assert torch.allclose(share, expected.double(), atol=0.05)


@pytest.mark.parametrize(("name", "domain"), NUMBERS, ids=IDS)
def test_the_log_probability_is_a_sum_over_a_rows_own_steps_and_its_length(name: str, domain: Any) -> None:
    q = built(name, domain, away=0.01)(torch.randn(4, 6))  # no sample at full scale, which has all beyond it
    assert isinstance(q, Steps)
    value = q.sample()
    found = q.log_prob(value)
    for row, own in enumerate((~value[..., 0].isnan()).sum(1).tolist()):
        alone = map_arguments(q, lambda part, row=row: part[row : row + 1])
        assert isinstance(alone, Steps)
        numbers = value[row : row + 1, :own, : domain.channels]
        location, scale = alone.draw(alone.z, torch.tensor([own]), own)
        family = {"sound-laplace": Laplace, "sound-logistic": None}.get(name, Normal)
        if family is not None:
            each = family(location, scale).log_prob(numbers)
        else:
            half = 0.5 / 32768
            logistic = lambda v: torch.sigmoid((v - location.double()) / scale.double())  # noqa: B023, E731
            each = (logistic(numbers.double() + half) - logistic(numbers.double() - half)).log()
        length = 0.0 if isinstance(alone.length, int) else alone.length.log_prob(torch.tensor([own])).item()
        assert found[row].item() == pytest.approx(each.sum().item() + length, rel=2e-3, abs=0.05)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(NUMBERS), st.integers(1, 70), st.integers(0, 100))
def test_padding_and_neighbours_never_change_a_row(case: tuple[str, Any], more: int, seed: int) -> None:
    q = built(*case, away=0.01)(torch.randn(3, 6))  # no scale so small that it shows how products are rounded
    torch.manual_seed(seed)
    value = q.sample()
    padded = torch.cat([value, torch.full((3, more, value.shape[2]), math.nan)], 1)
    alone = [map_arguments(q, lambda part, i=i: part[i : i + 1]).log_prob(value[i : i + 1]) for i in range(3)]
    assert torch.allclose(q.log_prob(padded), q.log_prob(value), rtol=1e-4, atol=1e-2)
    assert torch.allclose(torch.cat(alone), q.log_prob(value), rtol=1e-4, atol=1e-2)


def test_a_missing_number_adds_nothing_and_no_gradient_is_lost() -> None:
    rule = built("series-normal", GAPS)
    z = torch.randn(2, 6, requires_grad=True)
    q = rule(z)
    value = q.sample()
    assert value.shape[2] == GAPS.width == 5
    steps = q.step_log_prob(value)
    value[:, 1, 2:4] = 0.0  # neither number of the second step is known
    value[:, 1, :2] = 7.0
    less = q.step_log_prob(value)
    assert torch.equal(less[:, 1], torch.zeros(2))
    assert torch.allclose(less[:, 0], steps[:, 0])
    q.log_prob(value).sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_samples_of_several_shapes_are_scored_as_they_are() -> None:
    q = built("series-normal", SERIES)(torch.randn(3, 6))
    drawn = q.sample((4, 2))
    assert torch.allclose(q.log_prob(drawn)[2, 1], q.log_prob(drawn[2, 1]), rtol=1e-4, atol=1e-3)
    assert q.rsample((2,)).requires_grad
    assert q.mean.shape[2] == 2


def test_the_scale_is_no_finer_than_the_data() -> None:
    whole = Series(
        channels=2, mean=(0.0, 0.0), std=(2.0, 1.0), resolution=(1.0, 1e-9), shortest=5, typical=5.0, furthest=5
    )
    rule = built("series-normal-fixed", whole)
    with torch.no_grad():
        rule.scale.fill_(-50.0)
    scale = rule(torch.randn(1, 6)).draw(torch.randn(1, 6), torch.tensor([5]), 5)[1][0, 0]
    assert scale.tolist() == pytest.approx([0.5 / math.sqrt(12), 1e-2], rel=1e-2)


def test_a_batchs_numbers_tell_their_own_ends() -> None:
    batch = {"x.s": torch.zeros(3, 4, 2), "x.s.length": torch.tensor([4, 2, 0])}
    own = ~ended(batch, "x.s")[..., 0].isnan()
    assert own.sum(1).tolist() == [4, 2, 4]  # the last has no value, and so no end


def test_a_text_is_written_from_its_code_at_every_step() -> None:
    assert default_reconstruction(TEXT) == "autoregressive-code"
    torch.manual_seed(0)
    build: Any = rule_for(TEXT, "autoregressive-code")
    rule = build(6, TEXT, units=16)
    value = torch.tensor([[3, 4, 5, -1], [6, 6, 7, 8]])
    z = torch.randn(2, 6)
    torch.manual_seed(1)
    one = rule.train()(z).log_prob(value)
    torch.manual_seed(2)
    assert not torch.allclose(one, rule(z).log_prob(value))  # other tokens are withheld
    q = rule.eval()(z)
    assert isinstance(q, Autoregressive)
    assert torch.equal(q.log_prob(value), q.log_prob(value))
    longer = torch.cat([value, torch.full((2, 3), -1)], 1)
    assert torch.allclose(q.log_prob(longer), q.log_prob(value), atol=1e-5)
    # Of a code with other numbers, the last token has another distribution, given the same tokens before.
    assert not torch.allclose(rule(z + 1.0).token_log_prob(value)[:, -1], q.token_log_prob(value)[:, -1])
    assert UNKNOWN not in q.greedy()[0]
