"""What each estimator says of itself, by numbers: the values of closed forms, z-scores of the bias, variances in order."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Gamma,
    Independent,
    MixtureSameFamily,
    Normal,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
)

import trine
from trine.errors import ChoiceError
from trine.gradients import Comparison, Estimator, Rebar, Score, compare, estimator, estimators, support

MU, SIGMA = 1.5, 0.7
UNBIASED = ["exact", "score", "score(mean)", "score(leave-one-out)", "score(learned)", "rebar", "relax"]


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def square(x: Tensor) -> Tensor:
    return x**2


def bits() -> Distribution:
    return Independent(Bernoulli(logits=double(-1.0, 0.5, 2.0)), 1)


def of_bits(x: Tensor) -> Tensor:
    """No sum over sites: products of two and three of them too."""
    return ((x - double(0.45, 0.2, 0.6)) ** 2).sum(-1) + x.prod(-1) + x[..., 0] * x[..., 1]


def choice() -> Distribution:
    return OneHotCategorical(logits=double(0.3, -0.5, 1.0, 0.0))


def of_choice(x: Tensor) -> Tensor:
    y = x @ torch.tensor([[1.0, 0.2], [-0.5, 1.3], [0.4, -1.0], [2.0, 0.1]], dtype=torch.float64)
    return (y**2).sum(-1) + y[..., 0] * y[..., 1]


DISCRETE = {"bits": (bits, of_bits), "choice": (choice, of_choice)}


@functools.cache
def measured(case: str) -> Comparison:
    q, f = DISCRETE[case]
    biased = [
        "gumbel-softmax(1)",
        "gumbel-softmax(0.3)",
        "gumbel-softmax(0.1)",
        "straight-through",
        "straight-through(1)",
    ]
    return compare(q(), f, [*UNBIASED, "relax(black-box)", *biased], samples=2, repeats=20_000, seed=1)


@functools.cache
def of_the_square() -> Comparison:
    """d/dμ and d/ds of E x², x ~ N(μ, s²): one draw each."""
    q = Normal(torch.tensor(MU, dtype=torch.float64), torch.tensor(SIGMA, dtype=torch.float64))
    mean, best = MU**2 + SIGMA**2, MU**2 + 3 * SIGMA**2
    return compare(q, square, ["pathwise", "score", Score(mean), Score(best)], samples=1, repeats=100_000)


def test_the_variances_of_the_square_of_a_normal_are_those_of_the_closed_forms() -> None:
    found = of_the_square()
    m, s = MU**2, SIGMA**2
    expected = {
        "pathwise": 4 * s,
        "score": m**2 / s + 14 * m + 15 * s,
        f"score({m + s})": 8 * m + 10 * s,
        f"score({m + 3 * s})": 8 * m + 6 * s,
    }
    assert list(found.rows) == list(expected)
    for name, value in expected.items():
        assert found[name].estimates[:, 0].var() == pytest.approx(value, rel=0.03)
        assert found[name].z < 4
    assert found["pathwise"].estimates[:, 1].var() == pytest.approx(4 * m + 8 * s, rel=0.03)
    assert found.exact == pytest.approx([2 * MU, 2 * SIGMA], rel=1e-9)


def test_leave_one_out_reaches_the_best_constant_baseline() -> None:
    q = Normal(torch.tensor(MU, dtype=torch.float64), torch.tensor(SIGMA, dtype=torch.float64))
    k = 16
    found = compare(q, square, ["score(leave-one-out)", "score"], samples=k, repeats=40_000)
    loo = found["score(leave-one-out)"].estimates[:, 0].var() * k
    mean_as_baseline = 8 * MU**2 + 10 * SIGMA**2
    assert loo == pytest.approx(mean_as_baseline, rel=3 / k)
    assert found["score"].estimates[:, 0].var() * k > 1.9 * loo


def test_the_score_function_s_variance_grows_with_the_dimension_and_the_pathwise_one_s_does_not() -> None:
    def each(d: int, name: str) -> float:
        q = Independent(Normal(torch.full((d,), 1.0, dtype=torch.float64), 0.5), 1)
        exact = lambda p: (p.mean**2 + p.variance).sum(-1)  # noqa: E731
        found = compare(q, lambda x: (x**2).sum(-1), [name], samples=1, repeats=20_000, exact=exact)
        assert found[name].z < 4.5
        return float(found[name].estimates[:, :d].var(0).mean())

    assert each(1, "pathwise") == pytest.approx(1.0, rel=0.05)
    assert each(32, "pathwise") == pytest.approx(1.0, rel=0.05)
    assert each(32, "score") / each(4, "score") == pytest.approx(64.0, rel=0.35)


@pytest.mark.parametrize("case", list(DISCRETE))
@pytest.mark.parametrize("name", [*UNBIASED, "relax(black-box)"])
def test_an_unbiased_estimator_is_unbiased(case: str, name: str) -> None:
    row = measured(case)[name]
    assert row.unbiased
    assert row.z < 4
    assert row.bias < 4 * max(row.bias_error, 1e-12)


@pytest.mark.parametrize("case", list(DISCRETE))
def test_control_variates_and_baselines_lower_the_variance(case: str) -> None:
    found = measured(case)
    variance = {name: row.variance for name, row in found.rows.items()}
    assert variance["exact"] == 0.0
    assert variance["rebar"] < 0.3 * variance["score"]
    assert variance["relax"] < 1.05 * variance["rebar"]
    assert variance["relax(black-box)"] < 0.5 * variance["score"]
    assert variance["score(learned)"] < variance["score"]
    assert variance["score(leave-one-out)"] < variance["score"]


@pytest.mark.parametrize("case", list(DISCRETE))
def test_gumbel_softmax_trades_bias_for_variance_by_its_temperature(case: str) -> None:
    hot, warm, cold = (measured(case)[f"gumbel-softmax({t})"] for t in ("1", "0.3", "0.1"))
    assert hot.z > 20
    assert hot.bias > 1.5 * warm.bias > 2 * cold.bias
    assert hot.variance < warm.variance < cold.variance
    assert not hot.unbiased


@pytest.mark.parametrize("name", ["straight-through", "straight-through(1)"])
@pytest.mark.parametrize("case", list(DISCRETE))
def test_straight_through_is_biased_and_its_value_is_not(case: str, name: str) -> None:
    row = measured(case)[name]
    assert row.z > 20
    assert not row.unbiased
    q, f = DISCRETE[case]
    torch.manual_seed(0)
    value = estimator(name)(q(), f, samples=200_000)
    assert value.item() == pytest.approx(estimator("exact")(q(), f).item(), abs=0.02)


def test_straight_through_the_mean_is_exact_where_f_is_linear() -> None:
    w = double(0.5, -1.0, 2.0)
    found = compare(bits(), lambda x: x @ w, ["straight-through", "straight-through(1)"], repeats=5_000)
    assert found["straight-through"].mse < 1e-20
    assert found["straight-through(1)"].z > 20


@pytest.mark.parametrize("case", list(DISCRETE))
def test_rebar_stays_unbiased_at_any_scale_and_temperature(case: str) -> None:
    q, f = DISCRETE[case]
    made = [Rebar(temperature=t, scale=s, learn=False) for t, s in ((0.1, 1.0), (2.0, 0.5), (0.7, -1.5))]
    for one in made:
        assert compare(q(), f, [one], samples=1, repeats=20_000, seed=4)["rebar"].z < 4


def test_rebar_s_scale_and_temperature_learn_a_smaller_variance() -> None:
    fixed = compare(bits(), of_bits, [Rebar(temperature=5.0, scale=-1.0, learn=False)], samples=1, repeats=10_000)
    learned = Rebar(temperature=5.0, scale=-1.0)
    after = compare(bits(), of_bits, [learned], samples=1, repeats=10_000)
    assert after["rebar"].variance < 0.5 * fixed["rebar"].variance
    assert after["rebar"].z < 4


# The surrogate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*UNBIASED, "straight-through"])
def test_the_surrogate_s_value_is_an_estimate_of_the_expectation(name: str) -> None:
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    q = Independent(Bernoulli(logits=logits), 1)
    x = support(q)
    expected = (q.log_prob(x).exp() * of_bits(x)).sum(0)
    value = estimator(name, q)(q, of_bits, samples=20_000)
    assert value.shape == (5,)
    assert value.detach() == pytest.approx(expected.numpy(), abs=0.05)


@pytest.mark.parametrize("name", [*UNBIASED, "pathwise"])
def test_what_f_itself_depends_on_gets_its_gradient(name: str) -> None:
    """E_q [log q(x) + w f(x)]: f refers to q's own parameters and to a parameter w of its own."""
    theta, w = double(0.4, -0.7).requires_grad_(), double(0.8).requires_grad_()
    continuous = name == "pathwise"

    def expectation(one: Estimator, samples: int) -> Tensor:
        family = Normal(theta, 0.6) if continuous else Bernoulli(logits=theta, validate_args=False)
        q: Distribution = Independent(family, 1, validate_args=False)
        return one(q, lambda x: q.log_prob(x) + w * (x.prod(-1) - 2 * x[..., 0]), samples).sum()

    torch.manual_seed(0)
    one = estimator(name, Independent(Bernoulli(logits=theta), 1))
    found = torch.autograd.grad(expectation(one, 200_000), [theta, w])
    if continuous:  # the entropy of a normal of fixed scale is constant
        m = theta.detach()
        truth = [w.detach() * torch.stack([m[1] - 2, m[0]]), (m.prod() - 2 * m[0]).reshape(1)]
    else:
        truth = list(torch.autograd.grad(expectation(estimator("exact"), 1), [theta, w]))
    for got, wanted in zip(found, truth, strict=True):
        assert got.numpy() == pytest.approx(wanted.numpy(), abs=0.02)


@pytest.mark.parametrize("name", ["score(learned)", "rebar", "relax", "relax(black-box)"])
def test_what_an_estimator_learns_reaches_nothing_else(name: str) -> None:
    """The gradient of logits and of f's weight stays the one of the expectation, whatever is learned from it."""
    logits, w = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True), double(1.0).requires_grad_()
    q = Independent(Bernoulli(logits=logits), 1)
    one = estimator(name, q)

    def gradient(training: bool) -> list[Tensor]:
        torch.manual_seed(5)
        surrogate = one.train(training)(q, lambda x: w * of_bits(x), 4).sum()
        return list(torch.autograd.grad(surrogate, [logits, w], retain_graph=True))

    for learning, resting in zip(gradient(True), gradient(False), strict=True):
        torch.testing.assert_close(learning, resting)
    torch.manual_seed(5)
    surrogate = one.train()(q, lambda x: w * of_bits(x), 4).sum()
    own = [p for p in one.parameters() if p.requires_grad]
    found = torch.autograd.grad(surrogate, own, allow_unused=True)
    assert any(g is not None and bool((g != 0).any()) for g in found)


@pytest.mark.parametrize("name", ["score", "score(mean)", "rebar", "gumbel-softmax", "straight-through", "exact"])
def test_without_gradients_it_is_the_mean_over_hard_draws(name: str) -> None:
    seen: list[Tensor] = []

    def f(x: Tensor) -> Tensor:
        seen.append(x)
        return of_bits(x)

    with torch.no_grad():
        value = estimator(name)(bits(), f, samples=7)
    assert not value.requires_grad
    assert all(bool(((x == 0) | (x == 1)).all()) for x in seen)


def test_the_calls_of_f_do_not_grow_with_the_draws() -> None:
    for name in UNBIASED:
        counts = []
        for samples in (2, 50):
            calls = itertools.count()
            q = Independent(Bernoulli(logits=torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)), 1)
            estimator(name, q)(q, lambda x, calls=calls: (next(calls), of_bits(x))[1], samples=samples)
            counts.append(next(calls))
        assert counts[0] == counts[1] <= 3


def test_the_running_mean_follows_f_and_rests_in_evaluation() -> None:
    one = Score("mean")
    q = Normal(torch.zeros(4000), 1.0)
    for _ in range(100):
        one(q, lambda x: x**2 + 3, 1)
    assert one.average.item() == pytest.approx(4.0, abs=0.1)
    before = one.eval().average.clone()
    one(q, lambda x: x - 100, 1)
    assert one.average == before


# Names, choice and refusal ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "chosen"),
    [
        (Normal(0.0, 1.0), "pathwise"),
        (Gamma(2.0, 1.0), "pathwise"),
        (Bernoulli(logits=torch.zeros(3)), "exact"),
        (Categorical(logits=torch.zeros(3, 64)), "exact"),
        (Independent(Bernoulli(logits=torch.zeros(2, 7)), 1), "score(leave-one-out)"),
        (Poisson(torch.ones(2)), "score(leave-one-out)"),
        (MixtureSameFamily(Categorical(torch.ones(2)), Normal(torch.zeros(2), 1.0)), "score(leave-one-out)"),
        (OneHotCategoricalStraightThrough(logits=torch.zeros(3)), "exact"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_auto_takes_the_estimator_that_fits(q: Distribution, chosen: str) -> None:
    auto = estimators["auto"]()
    assert str(auto.chosen(q)) == chosen  # type: ignore[attr-defined]
    value = auto(q, lambda x: x.flatten(1 + len(q.batch_shape)).sum(-1) if q.event_shape else x.float(), samples=1)
    assert value.shape == q.batch_shape


@pytest.mark.parametrize(
    ("name", "q", "samples", "message"),
    [
        ("pathwise", Poisson(torch.ones(2)), 1, "do not move with its parameters. Use score"),
        ("pathwise", OneHotCategoricalStraightThrough(logits=torch.zeros(3)), 1, "which is biased"),
        ("exact", Poisson(torch.ones(2)), 1, "not finite"),
        ("exact", Independent(Bernoulli(logits=torch.zeros(13)), 1), 1, "8,192 points, and at most 4,096"),
        ("exact", Independent(Bernoulli(logits=torch.zeros(5000)), 1), 1, "far too large"),
        ("score(leave-one-out)", Normal(0.0, 1.0), 1, "one draw leaves no other"),
        ("gumbel-softmax", Categorical(logits=torch.zeros(3)), 1, "Use OneHotCategorical"),
        ("rebar", Normal(0.0, 1.0), 1, "only Bernoulli and OneHotCategorical"),
        ("straight-through", Poisson(torch.ones(2)), 1, "Use pathwise or score"),
        ("score", Normal(0.0, 1.0), 0, "at least 1"),
    ],
    ids=lambda v: v if isinstance(v, (str, int)) else type(v).__name__,
)
def test_what_cannot_be_done_is_refused_with_what_can(name: str, q: Distribution, samples: int, message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        estimator(name)(q, lambda x: x.sum(), samples)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pathwize", "Did you mean 'pathwise'"),
        ("score(leave-one)", "Did you mean 'leave-one-out'"),
        ("score(learned)", "give like=q"),
        ("gumbel-softmax(0)", "positive"),
        ("gumbel-softmax(hot)", "positive"),
        ("pathwise(2)", "nothing in brackets"),
        ("relax", "give like=q"),
        ("straight-through(-1)", "positive"),
        ("", "no gradient estimator"),
    ],
)
def test_an_unknown_name_or_argument_is_refused(name: str, message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        estimator(name)


def test_an_f_of_another_shape_is_refused() -> None:
    q = Bernoulli(logits=torch.zeros(5, 3))
    with pytest.raises(ChoiceError, match=r"f gives shape \(2, 5\).*\(2, 5, 3\). Wrap q in Independent"):
        estimator("score")(q, lambda x: x.sum(-1), 2)
    with pytest.raises(ChoiceError, match="f gives a float"):
        estimator("score")(q, lambda x: 1.0, 2)  # type: ignore[arg-type,return-value]


def test_a_support_is_every_combination_once() -> None:
    q = Independent(OneHotCategorical(logits=torch.randn(4, 2, 3)), 1)
    x = support(q)
    assert x.shape == (9, 4, 2, 3)
    assert len({tuple(v.flatten().tolist()) for v in x[:, 0]}) == 9
    torch.testing.assert_close(q.log_prob(x).exp().sum(0), torch.ones(4))
    codes = Independent(Categorical(logits=torch.randn(2, 3, 5)), 1)
    torch.testing.assert_close(codes.log_prob(support(codes)).exp().sum(0), torch.ones(2))


def test_gradients_are_reached_from_the_package() -> None:
    assert trine.gradients.compare is compare
    assert "gradients" in dir(trine)


def test_large_logits_stay_finite() -> None:
    for name in ("rebar", "relax", "gumbel-softmax(0.1)", "straight-through", "score(leave-one-out)"):
        for q in (
            Independent(Bernoulli(logits=(logits := nn.Parameter(torch.tensor([[-80.0, 80.0, 0.0]])))), 1),
            OneHotCategorical(logits=logits),
        ):
            estimator(name, q)(q, lambda x: (x**2).sum(-1), samples=512).sum().backward()
            assert bool(logits.grad.isfinite().all()), (name, q)
