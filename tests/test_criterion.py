"""The criterion: weights, missing targets, names, and terms that share one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from trine.criterion import Criterion, Term
from trine.data import Field, Store
from trine.divergences import KL, Cramer, JensenShannon
from trine.errors import ChoiceError

LOC = torch.tensor([0.0, 1.0, 2.0, 3.0])
Y = torch.tensor([0.5, 1.0, 4.0, -1.0])


def outputs(loc: Tensor = LOC) -> dict[str, Normal]:
    return {"y_hat": Normal(loc, torch.ones(4))}


EACH = KL()(outputs()["y_hat"], Y)
CRITERION = Criterion(Term(KL(), "y_hat", "y"))


def test_the_mean_over_examples() -> None:
    loss = CRITERION(outputs(), {"y": Y})
    assert torch.equal(loss.total, EACH.mean())
    assert torch.equal(loss.terms["y_hat"], EACH.mean())
    assert not loss.terms["y_hat"].requires_grad


def test_a_term_of_training_alone_is_left_out_of_a_score() -> None:
    q = outputs() | {"blank.y": Normal(torch.zeros(4), torch.ones(4))}
    both = Criterion(Term(KL(), "y_hat", "y"), Term(KL(), "blank.y", "y", weight=0.5, training_only=True))
    blank = KL()(q["blank.y"], Y).mean()
    assert both(q, {"y": Y}).total.item() == pytest.approx((EACH.mean() + 0.5 * blank).item())
    # Where a model gives the output in training alone, the score does not look for it.
    assert torch.equal(both.eval()(outputs(), {"y": Y}).total, EACH.mean())


def test_weights_weigh_and_only_their_ratios_matter() -> None:
    weight = torch.tensor([1.0, 2.0, 0.0, 3.0])
    expected = (EACH * weight).sum() / weight.sum()
    assert CRITERION(outputs(), {"y": Y, "weight": weight}).total.item() == pytest.approx(expected.item())
    assert CRITERION(outputs(), {"y": Y, "weight": 1e-3 * weight}).total.item() == pytest.approx(expected.item())
    repeated = torch.tensor([0, 1, 1, 3, 3, 3])
    q = {"y_hat": Normal(LOC[repeated], torch.ones(6))}
    assert CRITERION(q, {"y": Y[repeated]}).total.item() == pytest.approx(expected.item())


def test_a_row_of_weight_zero_is_as_good_as_absent_even_if_it_is_infinitely_wrong() -> None:
    logits = torch.tensor([[0.0, float("-inf")], [0.0, 0.0]])
    batch = {"y": torch.tensor([1, 1]), "weight": torch.tensor([0.0, 1.0])}
    loss = CRITERION({"y_hat": Categorical(logits=logits)}, batch).total
    assert loss.item() == pytest.approx(0.6931472)


@pytest.mark.parametrize("filling", [float("nan"), float("inf")])
def test_missing_targets_do_not_count_nor_poison_the_gradient(filling: float) -> None:
    present = torch.tensor([True, False, True, False])
    y = torch.where(present, Y, filling)
    loc = LOC.clone().requires_grad_()
    loss = CRITERION(outputs(loc), {"y": y, "y.present": present})
    assert loss.total.item() == pytest.approx(EACH[present].mean().item())
    loss.total.backward()
    assert loc.grad.tolist() == pytest.approx([-0.25, 0.0, -1.0, 0.0])


def test_missing_codes_and_vectors() -> None:
    q = {"y_hat": Categorical(logits=torch.zeros(2, 3))}
    batch = {"y": torch.tensor([-1, 2]), "y.present": torch.tensor([False, True])}
    assert CRITERION(q, batch).total.item() == pytest.approx(1.0986123)
    vectors = {"y_hat": torch.distributions.Independent(Normal(torch.zeros(2, 3), torch.ones(2, 3)), 1)}
    batch = {"y": torch.tensor([[float("nan")] * 3, [0.0] * 3]), "y.present": torch.tensor([False, True])}
    for divergence in (KL(), Cramer()):
        assert Criterion(Term(divergence, "y_hat", "y"))(vectors, batch).total.isfinite()


def test_weights_and_missing_targets_together_and_nothing_at_all() -> None:
    present, weight = torch.tensor([True, False, True, True]), torch.tensor([1.0, 5.0, 3.0, 0.0])
    expected = (EACH[0] + 3 * EACH[2]) / 4
    batch = {"y": Y, "y.present": present, "weight": weight}
    assert CRITERION(outputs(), batch).total.item() == pytest.approx(expected.item())
    loc = LOC.clone().requires_grad_()
    nothing = CRITERION(outputs(loc), {"y": Y, "y.present": torch.zeros(4, dtype=torch.bool)})
    assert nothing.total.item() == 0.0
    nothing.total.backward()
    assert loc.grad.tolist() == [0.0] * 4


def test_minibatches_with_missing_targets_are_unbiased_given_how_many_they_hold() -> None:
    torch.manual_seed(0)
    values = torch.randn(12)
    present = torch.arange(12) < 5
    estimates = []
    for _ in range(4000):
        rows = torch.randperm(12)[:6]
        if present[rows].any():
            q = {"y_hat": Normal(values[rows], torch.ones(6))}
            estimates.append(CRITERION(q, {"y": torch.zeros(6), "y.present": present[rows]}).total)
    mean = torch.stack(estimates)
    exact = KL()(Normal(values[present], torch.ones(5)), torch.zeros(5)).mean()
    assert abs(mean.mean() - exact) < 4 * mean.std() / len(mean) ** 0.5


def test_each_target_has_rows_of_its_own_in_a_store() -> None:
    present = torch.tensor([True, False, True, True])
    store = Store(
        {
            "y.a": Field(Y, {"y.a": None}, present=present),
            "y.b": Field(Y + 1, {"y.b": None}),
        }
    )
    q = Normal(LOC, torch.ones(4))
    criterion = Criterion(Term(KL(), "y_hat.a", "y.a"), Term(KL(), "y_hat.b", "y.b", weight=0.5))
    loss = criterion({"y_hat.a": q, "y_hat.b": q}, store.batch(torch.arange(4)))
    assert loss.terms["y_hat.a"].item() == pytest.approx(EACH[present].mean().item())
    assert loss.total.item() == pytest.approx((loss.terms["y_hat.a"] + 0.5 * loss.terms["y_hat.b"]).item())


def test_terms_of_the_same_name_are_told_apart() -> None:
    criterion = Criterion(
        Term(KL(), "y_hat", "y"),
        Term(Cramer(), "y_hat", "y"),
        Term(KL(), "y_hat", "y", name="y_hat_2"),
        Term(KL(), "y_hat", "y", name="likelihood"),
    )
    assert list(criterion(outputs(), {"y": Y}).terms) == ["y_hat", "y_hat_2", "y_hat_2_2", "likelihood"]


def test_critics_are_its_parameters_and_only_learned_terms_are_tightened() -> None:
    critic = nn.Linear(1, 1)
    criterion = Criterion(Term(KL(), "y_hat", "y"), Term(JensenShannon(critic), "fake", "x", name="game"))
    assert {id(p) for p in criterion.parameters()} == {id(p) for p in critic.parameters()}
    fake, real = torch.randn(4, 1), torch.randn(4, 1)
    named = {**outputs(), "fake": fake}
    assert set(criterion(named, {"y": Y, "x": real}).terms) == {"y_hat", "game"}
    tightened = criterion.tighten(named, {"y": Y, "x": real})
    assert set(tightened.terms) == {"game"}
    expected = criterion.learned[0].divergence.tighten(fake, real).mean()
    assert tightened.total.item() == pytest.approx(expected.item())


def test_unknown_names_are_refused_with_what_there_is_and_the_nearest() -> None:
    criterion = Criterion(Term(KL(), "y_hot", "y"))
    with pytest.raises(ChoiceError) as raised:
        criterion.check(["y_hat", "z"], ["x", "y"])
    assert str(raised.value) == (
        "A term compares 'y_hot', which is neither an output of the model ['y_hat', 'z'] nor a field of the batch "
        "['x', 'y']. Did you mean 'y_hat'?"
    )
    Criterion(Term(KL(), "y_hat", "y", given="x")).check(["y_hat"], ["x", "y"])
    with pytest.raises(ChoiceError, match="compares 'w'"):
        Criterion(Term(KL(), "y_hat", "y", given="w")).check(["y_hat"], ["x", "y"])


def test_the_formula() -> None:
    criterion = Criterion(Term(KL(), "x_hat", "x"), Term(KL(), "prior", "code", weight=0.5))
    assert criterion.describe() == "L(θ) = KL(data ‖ q) = E[−log q(x | z, θ)] + const + 0.5 · KL(code ‖ prior)"


def test_a_formula_of_many_terms_says_once_what_it_is() -> None:
    columns = [Term(KL(), f"x_hat.{name}", f"x.{name}") for name in ("height", "width", "weight", "colour of the hull")]
    shape = Term(KL(), "prior", "code", weight=0.5)
    aside = Term(KL(), "x_hat.depth", "x.depth", weight=0.1)
    assert Criterion(*columns, shape, aside).describe().splitlines() == [
        "L(θ) = KL(data ‖ q) = E[−log q(height | z, θ)] + E[−log q(width | z, θ)] + E[−log q(weight | z, θ)]",
        "       + E[−log q(colour of the hull | z, θ)] + const + 0.5 · KL(code ‖ prior) + 0.1 · E[−log q(depth | z, θ)]",
    ]
