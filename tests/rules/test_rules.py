"""What every decision rule keeps to: shapes, support, the marginal at the start, finite values; and what each is."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_examples import DOMAINS, ELSEWHERE, KIND
from torch import Tensor, nn
from torch.distributions import Categorical, constraints

from trine.blocks import MemberLinear
from trine.divergences import KL, Cramer
from trine.domains import Category, Unit
from trine.errors import ChoiceError, SchemaError
from trine.rules import OrderedCategorical, cdf, default_rule, mixture, parameters, point, rule_for, rules

FEATURES = 6


def build(name: str) -> nn.Module:
    return rules[name](FEATURES, DOMAINS[KIND[name]])


def test_every_rule_is_tried_here() -> None:
    assert set(rules) - set(ELSEWHERE) == set(KIND)


@pytest.mark.parametrize("name", KIND)
def test_batch_and_members(name: str) -> None:
    rule = build(name)
    z = torch.randn(3, 5, FEATURES)
    event = (2,) if name == "normal-vector" else ()
    assert rule(z).batch_shape == (3, 5)
    assert rule(z[0]).batch_shape == (5,)
    assert rule(z).event_shape == event
    y = rule(z[0]).sample()
    assert torch.allclose(rule(z).log_prob(y)[0], rule(z[0]).log_prob(y), rtol=1e-4, atol=1e-5)
    assert mixture(rule(z)).batch_shape == (5,)


@pytest.mark.parametrize("name", KIND)
def test_starts_at_the_marginal(name: str) -> None:
    domain = DOMAINS[KIND[name]]
    q = build(name)(torch.zeros(1, FEATURES))
    if isinstance(q, Categorical):
        assert q.probs[0].tolist() == pytest.approx(list(domain.shares), abs=2e-3)
        return
    tolerance = 0.06 if name == "logit-normal" else 1e-3
    assert q.mean[0].detach().numpy() == pytest.approx(np.asarray(domain.mean), abs=tolerance)
    if name not in ("poisson", "bernoulli"):
        assert q.stddev[0].detach().numpy() == pytest.approx(np.asarray(domain.std), rel=0.1)


@pytest.mark.parametrize("name", KIND)
def test_the_last_map_starts_small(name: str) -> None:
    torch.manual_seed(0)
    rule = build(name)
    z = torch.randn(200, FEATURES)
    spread_of_points = point(rule(z)).double().std(0)
    whole = rule(z).stddev.mean(0) if KIND[name] not in ("category", "binary", "ordered") else torch.ones(())
    assert bool((spread_of_points < 0.5 * whole).all())


@pytest.mark.parametrize("name", KIND)
@given(
    seed=st.integers(0, 2**31),
    log_size=st.floats(-3, 4),
    log_weight=st.floats(-1, 1.5),
)
@settings(max_examples=25, deadline=None)
def test_finite_and_inside_the_support_whatever_the_features(
    name: str, seed: int, log_size: float, log_weight: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    rule = build(name)
    with torch.no_grad():
        for parameter in rule.parameters():
            parameter.mul_(10**log_weight)
    z = torch.randn(2, 4, FEATURES, generator=generator).mul_(10**log_size).requires_grad_()
    q = rule(z)
    other = rule(torch.zeros(4, FEATURES)).sample()
    for y in (other, q.sample()[0]):
        for divergence in (KL(), Cramer(samples=2)):
            values = divergence(q, y)
            assert values.shape == (4,)
            assert values.isfinite().all()
            z.grad = None
            rule.zero_grad()
            values.mean().backward(retain_graph=True)
            assert z.grad.isfinite().all()
            assert all(p.grad.isfinite().all() for p in rule.parameters() if p.grad is not None)
    if isinstance(q, Categorical):
        return
    mean = q.mean
    assert mean.isfinite().all()
    assert q.variance.isfinite().all()
    if q.support is constraints.positive or q.support is constraints.nonnegative or KIND[name] == "count":
        assert bool((mean > 0).all())
    if name in ("beta", "logit-normal"):
        assert bool(((mean > 0) & (mean < 1)).all())


def constant(name: str, y: Tensor, steps: int = 400) -> torch.distributions.Distribution:
    """The rule fitted to y with nothing to see."""
    rule = rules[name](1, DOMAINS[KIND[name]])
    z = torch.ones(1, 1)
    optimiser = torch.optim.LBFGS(rule.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -rule(z).log_prob(y).mean()
        value.backward()
        return value

    optimiser.step(loss)
    return rule(z)


def test_constant_models_find_the_statistics_of_the_data() -> None:
    generator = torch.Generator().manual_seed(5)
    y = torch.randn(501, generator=generator) * 0.7 + 0.4
    for name in ("normal", "normal-fixed"):
        q = constant(name, y)
        assert q.loc.item() == pytest.approx(y.mean().item(), abs=1e-3)
        assert q.scale.item() ** 2 == pytest.approx(y.var(unbiased=False).item(), rel=1e-2)
    assert constant("laplace", y).loc.item() == pytest.approx(y.median().item(), abs=0.02)
    positive = y.exp()
    for name in ("gamma", "gamma-exp", "gamma-fixed"):
        assert constant(name, positive).mean.item() == pytest.approx(positive.mean().item(), rel=1e-3)
    assert constant("lognormal", positive).loc.item() == pytest.approx(y.mean().item(), abs=1e-3)
    counts = torch.poisson(positive * 3, generator=generator)
    for name in ("poisson", "negative-binomial"):
        assert constant(name, counts).mean.item() == pytest.approx(counts.mean().item(), rel=1e-3)
    codes = torch.tensor([0] * 20 + [1] * 70 + [2] * 10)
    for name in ("softmax", "cumulative"):
        assert constant(name, codes).probs[0].tolist() == pytest.approx([0.2, 0.7, 0.1], abs=1e-3)
    assert constant("sigmoid", codes.clamp_max(1)).probs[0, 1].item() == pytest.approx(0.8, abs=1e-3)
    assert constant("bernoulli", codes.clamp_max(1).float()).probs.item() == pytest.approx(0.8, abs=1e-3)


def slope(name: str, y: Tensor, raw: Tensor) -> Tensor:
    """Gradient of −log q(y) in the pre-activation, the rule's map being the identity."""
    domain = DOMAINS[KIND[name]]
    rule = rules[name](raw.shape[-1], domain).double()
    with torch.no_grad():
        rule.head.linear.weight.copy_(torch.eye(raw.shape[-1]))
        rule.head.start.zero_()
    raw = raw.double().requires_grad_()
    (grad,) = torch.autograd.grad(KL()(rule(raw), y).sum(), raw)
    return grad


def test_canonical_links_give_prediction_minus_target() -> None:
    a = torch.tensor([[-2.0], [0.3], [1.4]])
    y = torch.tensor([0.0, 1.0, 1.0])
    assert torch.allclose(slope("bernoulli", y, a).squeeze(), torch.sigmoid(a.double().squeeze()) - y)
    assert torch.allclose(slope("sigmoid", y.long(), a).squeeze(), torch.sigmoid(a.double().squeeze()) - y)
    counts = torch.tensor([3.0, 0.0, 7.0])
    assert torch.allclose(slope("poisson", counts, a).squeeze(), a.double().exp().squeeze() - counts, atol=1e-5)
    logits = torch.tensor([[0.2, -1.0, 2.0]])
    expected = torch.softmax(logits.double(), -1) - torch.tensor([[0.0, 0.0, 1.0]])
    assert torch.allclose(slope("softmax", torch.tensor([2]), logits), expected)


def test_squared_and_absolute_error_are_derived() -> None:
    rule = rules["normal-fixed"](1, DOMAINS["real"])
    z = torch.randn(50, 1)
    y = torch.randn(50)
    q = rule(z)
    scale = q.scale[0]
    expected = (y - q.loc) ** 2 / (2 * scale**2) + scale.log() + 0.5 * math.log(2 * math.pi)
    assert torch.allclose(KL()(q, y), expected, rtol=1e-5)
    q = rules["laplace"](1, DOMAINS["real"])(z)
    assert torch.allclose(KL()(q, y), (y - q.loc).abs() / q.scale + (2 * q.scale).log(), rtol=1e-5)


def test_student_is_normal_near_and_forgives_far() -> None:
    rule = rules["student"](1, DOMAINS["real"])
    q = rule(torch.zeros(1, 1))
    assert q.df.item() == pytest.approx(5.0, rel=1e-3)
    with torch.no_grad():
        for value in (-1e6, 1e6):
            rule.tail.fill_(value)
            df = rule(torch.zeros(1, 1)).df.item()
            assert 2.0 < df <= 203


def test_student_finds_its_tail_before_its_scale_has_grown_to_the_outliers() -> None:
    """A fifth of y ten deviations away: in the steps of a small table's first epochs, as large as a network's, df nears 2."""
    torch.manual_seed(0)
    noise = 0.2 * torch.randn(500)
    y = torch.where(torch.arange(500) % 5 == 0, noise + 10.0, noise)
    rule = rules["student"](1, dataclasses.replace(DOMAINS["real"], mean=y.mean().item(), std=y.std().item()))
    optimiser = torch.optim.AdamW(rule.parameters(), lr=2e-3)
    for _ in range(300):
        loss = -rule(torch.zeros(500, 1)).log_prob(y).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert rule(torch.zeros(1, 1)).df.item() < 2.2


def test_cumulative_thresholds_increase_and_a_greater_score_moves_up() -> None:
    rule = rules["cumulative"](1, DOMAINS["ordered"])
    with torch.no_grad():
        rule.thresholds.copy_(torch.tensor([3.0, -50.0]))
        rule.head.linear.weight.fill_(1.0)
    cuts = rule.cuts()
    assert bool((cuts[1:] > cuts[:-1]).all())
    q = rule(torch.linspace(-200, 200, 9).unsqueeze(-1))
    assert isinstance(q, OrderedCategorical)
    assert torch.allclose(q.logits.exp().sum(-1), torch.ones(9))
    below = cdf(q, torch.zeros(9))
    assert bool((below[1:] <= below[:-1]).all())
    assert q.logits.isfinite().all()


def test_defaults_by_domain() -> None:
    names = {kind: default_rule(domain) for kind, domain in DOMAINS.items()}
    assert names == {
        "real": "normal",
        "positive": "softplus-normal",
        "unit": "beta",
        "count": "negative-binomial-fixed",
        "category": "softmax",
        "binary": "sigmoid",
        "ordered": "cumulative",
        "vector": "normal-vector",
    }
    assert default_rule(Unit(mean=0.25, std=math.sqrt(0.25 * 0.75))) == "bernoulli"


def test_refusals_say_what_would_serve() -> None:
    with pytest.raises(SchemaError, match=r"'poisson' does not give a 'positive' y.*gamma.*lognormal"):
        rule_for(DOMAINS["positive"], "poisson")
    with pytest.raises(ChoiceError, match="Did you mean 'gamma'"):
        rule_for(DOMAINS["positive"], "gama")
    with pytest.raises(SchemaError, match="2 categories and y has 3"):
        rules["sigmoid"](FEATURES, DOMAINS["category"])
    with pytest.raises(SchemaError, match="needs ordered categories"):
        rules["cumulative"](FEATURES, DOMAINS["category"])


def test_a_class_without_training_rows_keeps_a_chance() -> None:
    domain = Category(labels=("a", "b", "c"), shares=(1.0, 0.0, 0.0))
    q = rules["softmax"](FEATURES, domain)(torch.zeros(1, FEATURES))
    assert 0 < q.probs.min() < 0.01


def test_linear_maps_are_made_by_the_factory() -> None:
    made: list[tuple[int, int]] = []

    def linear(inputs: int, outputs: int) -> nn.Module:
        made.append((inputs, outputs))
        return nn.Linear(inputs, outputs, bias=False)

    rule = rules["negative-binomial"](FEATURES, DOMAINS["count"], linear)
    assert made == [(FEATURES, 2)]
    assert rule(torch.randn(3, FEATURES)).batch_shape == (3,)


@pytest.mark.parametrize("name", KIND)
def test_parameters_are_float32_under_autocast(name: str) -> None:
    """bfloat16 has 8 bits: enough for a linear map, not for a log-gamma function or a logarithm of a sum."""
    rule = build(name)
    z = torch.randn(4, FEATURES)
    y = rule(z).sample()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = rule(z)
        assert KL()(q, y).dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in parameters(q).values())


def test_members_of_weight_sharing_networks_have_maps_of_their_own() -> None:
    rule = rules["normal"](FEATURES, DOMAINS["real"], lambda inputs, outputs: MemberLinear(3, inputs, outputs))
    q = rule(torch.randn(3, 5, FEATURES))
    assert q.batch_shape == (3, 5)
    start = rule(torch.zeros(3, 5, FEATURES))
    assert torch.allclose(start.mean, torch.full((3, 5), 0.1))
