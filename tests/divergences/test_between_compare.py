"""trine.divergence: distributions and samples of any kind, numbers with errors, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Exponential,
    Gamma,
    Independent,
    LogNormal,
    MixtureSameFamily,
    Normal,
    Poisson,
    StudentT,
)

import trine
import trine.rules
from trine.divergences import KL, Blend, Logistic, divergences
from trine.errors import ChoiceError, DataError


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


P, Q = Normal(t(0.3)[0], t(0.8)[0]), Normal(t(-0.5)[0], t(1.7)[0])


def test_a_number_its_error_and_how_it_was_found() -> None:
    found = trine.divergence("kl", P, Q)
    assert float(found) == pytest.approx(0.4752250896, abs=1e-10)
    assert (found.method, found.error) == ("closed form", 0.0)
    assert float(trine.divergence(KL(), P, Q)) == float(found)
    assert float(trine.divergence("reverse_kl", Q, P)) == float(found)
    js = trine.divergence("js", P, Q)
    assert js.method == "quadrature"
    assert 0 < js.error < 1e-12
    assert str(js).startswith("js 0.1373324350 ± ".replace("0 ±", " ±"))
    assert js.to_json()["symmetric"] is True
    assert trine.divergence("chi2", P, Exponential(1.0)).to_json()["value"] == "inf"


def test_a_batch_gives_an_array() -> None:
    found = trine.divergence("tv", Normal(torch.zeros(3), torch.ones(3)), Normal(t(0.0, 1.0, 2.0), t(1.0, 1.0, 1.0)))
    assert found.value.shape == (3,)
    assert found.value == pytest.approx([math.erf(d / (2 * math.sqrt(2))) for d in (0, 1, 2)], abs=1e-10)


def test_samples_in_any_form_and_the_golden_numbers() -> None:
    x, y = [0.0, 1.0, 3.0], np.array([2.0, 5.0])
    assert 2 * float(trine.divergence("cramer", x, y)) == pytest.approx(2.1666667, abs=1e-6)
    assert float(trine.divergence("wasserstein", x, y)) == pytest.approx(13 / 6)  # moved a third at a time
    assert float(trine.divergence("wasserstein2", torch.tensor([0.0, 2.0]), [1.0, 5.0])) == pytest.approx(5.0)
    assert trine.divergence("mmd", x, y).method == "samples"
    same = np.random.default_rng(0).normal(size=(50, 3))
    for name in ("cramer", "mmd"):
        assert float(trine.divergence(name, same, same)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", ["cramer", "wasserstein", "wasserstein2"])
def test_samples_against_a_distribution_are_its_limit_of_many_draws(name: str) -> None:
    x = np.random.default_rng(0).normal(size=40)
    q = Gamma(t(2.0)[0], t(1.0)[0])
    exact = trine.divergence(name, x, q)
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    dense = trine.rules.quantile(q, u)  # samples as even as can be
    assert float(exact) == pytest.approx(float(trine.divergence(name, x, dense)), rel=1e-3)
    assert float(trine.divergence(name, q, x)) == pytest.approx(float(exact), rel=1e-9)


def test_monte_carlo_is_seeded_and_leaves_the_callers_generator_alone() -> None:
    p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    q = Independent(Normal(torch.ones(2), torch.ones(2)), 1)
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, again = (trine.divergence("tv", p, q, draws=2000, seed=3) for _ in range(2))
    assert one == again
    assert one.method == "Monte Carlo, 2,000 draws"
    assert torch.equal(torch.random.get_rng_state(), state)
    exact = math.erf(math.sqrt(2) / (2 * math.sqrt(2)))
    assert abs(float(one) - exact) < 4 * one.error < 0.05
    assert trine.divergence("tv", p, q, draws=2000, seed=4).value != one.value


def test_monte_carlo_errors_hold_as_often_as_they_say() -> None:
    p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    q = Independent(Normal(torch.ones(2), torch.ones(2)), 1)
    exact = math.erf(0.5)
    off = [
        abs(float(e) - exact) / e.error for e in (trine.divergence("tv", p, q, draws=400, seed=s) for s in range(200))
    ]
    assert 0.6 < np.mean(np.array(off) < 1) < 0.76
    assert 0.91 < np.mean(np.array(off) < 2) < 0.99


def test_mixtures_of_any_families_and_the_logistic() -> None:
    same = MixtureSameFamily(Categorical(t(0.3, 0.7)), Normal(t(0.0, 4.0), t(1.0, 0.1)))
    blend = Blend([0.3, 0.7], [Normal(t(0.0)[0], t(1.0)[0]), Normal(t(4.0)[0], t(0.1)[0])])
    for name in divergences:
        one, other = (trine.divergence(name, d, Logistic(t(1.0)[0], t(2.0)[0])) for d in (same, blend))
        assert float(one) == pytest.approx(float(other), rel=1e-8)
        zero = float(trine.divergence(name, same, blend))
        assert zero == pytest.approx(0.0, abs=1e-9)
    # KL to a logistic against the integral by SciPy's own distributions.
    import scipy.integrate
    import scipy.stats

    p, q = scipy.stats.norm(0.3, 0.8), scipy.stats.logistic(-0.5, 1.7)
    value = scipy.integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -9, 9, epsabs=1e-13)[0]
    assert float(trine.divergence("kl", P, Logistic(t(-0.5)[0], t(1.7)[0]))) == pytest.approx(value, rel=1e-9)
    mixed = Blend([0.5, 0.5], [Gamma(t(0.3)[0], t(1.0)[0]), LogNormal(t(0.0)[0], t(1.0)[0])])
    torch.manual_seed(0)
    drawn = mixed.sample((100_000,))
    assert drawn.mean().item() == pytest.approx(mixed.mean.item(), abs=0.03)
    assert float(trine.divergence("wasserstein", drawn[:2_000], mixed)) < 0.08
    with pytest.raises(ChoiceError, match="components over different kinds of values"):
        Blend([0.5, 0.5], [P, Poisson(1.0)])


REFUSED = [
    ("kl", P, Poisson(3.0), "one is over counts, the other over a density"),
    ("js", Categorical(t(0.5, 0.5)), Categorical(t(0.2, 0.3, 0.5)), "different numbers of categories"),
    ("tv", [0.0, 1.0], Q, "samples alone have no density. Choose wasserstein, cramer or mmd"),
    ("mmd", [0.0, 1.0], Q, "Draw samples of the first"),
    ("mmd", Poisson(1e9), Poisson(2e9), "Choose cramer or wasserstein"),
    ("wasserstein", np.zeros((5, 2)), np.ones((5, 2)), "sliced_wasserstein or sinkhorn"),
    ("wasserstein", Independent(Normal(t(0.0, 0.0), t(1.0, 1.0)), 1), Independent(Normal(t(1.0, 0.0), t(1.0, 1.0)), 1),
     "Choose wasserstein2 between normals"),
    ("wasserstein2", StudentT(1.5), StudentT(1.2), "both variances are infinite"),
    ("wasserstein", [0.0, 1.0], Poisson(2.0), "draw samples first"),
    ("kl", Independent(Normal(t(0.0, 0.0), t(1.0, 1.0)), 1), Independent(Normal(t(0.0), t(1.0)), 1), r"shapes \(2,\) and"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "p", "q", "why"), REFUSED)
def test_what_has_no_form_is_refused_with_what_has(name: str, p: object, q: object, why: str) -> None:
    with pytest.raises(ChoiceError, match=why):
        trine.divergence(name, p, q)


def test_mistakes() -> None:
    with pytest.raises(ChoiceError, match=r"no divergence called 'jss'\. Did you mean 'js'"):
        trine.divergence("jss", P, Q)
    with pytest.raises(ChoiceError, match=r"renyi has no option 'aleph'\. Did you mean 'alpha'.*Its options: alpha."):
        trine.divergence("renyi", P, Q, aleph=2)
    with pytest.raises(ChoiceError, match=r"js has no option 'alpha'\. It has none"):
        trine.divergence("js", P, Q, alpha=2)
    with pytest.raises(ChoiceError, match="p is a str"):
        trine.divergence("js", "normal", Q)
    with pytest.raises(DataError, match="q has 2 samples that are not finite"):
        trine.divergence("cramer", [0.0], [1.0, math.nan, math.inf])
    with pytest.raises(DataError, match="p has shape"):
        trine.divergence("cramer", [], [1.0])
    with pytest.raises(ChoiceError, match="alpha is -1"):
        trine.divergence("renyi", P, Q, alpha=-1)
    with pytest.raises(ChoiceError, match="bandwidth is 0"):
        trine.divergence("mmd", P, Q, bandwidth=0)
    assert float(trine.divergence("kl", Bernoulli(t(0.2)[0]), Bernoulli(t(0.7)[0]))) > 0
    assert float(trine.divergence("js", Beta(t(2.0)[0], t(1.0)[0]), Beta(t(2.0)[0], t(1.0)[0]))) == 0.0
