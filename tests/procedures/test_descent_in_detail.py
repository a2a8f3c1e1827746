"""Descent, step by step: against a loop by hand, filters of another memory layout, critics, and where failures are found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from trine.criterion import Criterion, Term
from trine.divergences import KL, Divergence, LearnedDivergence
from trine.errors import TrainingError
from trine.procedures import Descent, RobbinsMonro
from trine.procedures.descent import DescentState, decays
from trine.training import checkpoint


class Net(nn.Module):
    """x → a normal around the net's output."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*(layers or (nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": Normal(self.net(batch["x"]).flatten(), 1.0, validate_args=False)}


def a_criterion() -> Criterion:
    return Criterion(Term(KL(), "y_hat", "y"))


def a_batch(rows: int = 16) -> dict[str, Tensor]:
    x = torch.randn(rows, 3)
    return {"x": x, "y": x.sum(1) + 0.1 * torch.randn(rows)}


def started(descent: Descent, model: nn.Module, criterion: Criterion, total: int = 20) -> DescentState:
    state = descent.init(model, criterion)
    state.total = total
    return state


BY_HAND = {
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.99)),
    "momentum": lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=1.0),
}


@pytest.mark.parametrize("name", list(BY_HAND))
def test_a_step_is_what_a_loop_by_hand_does(name: str) -> None:
    """Schedule, decay of matrices alone, and clipping, which some of these steps need and others do not."""
    ours, theirs = Net(), Net()
    theirs.load_state_dict(ours.state_dict())
    choices = {"step_size": 0.05, "schedule": "cosine", "weight_decay": 0.1, "clip": 0.5, "betas": (0.9, 0.99)}
    descent, criterion = Descent(optimiser=name, **choices), a_criterion()  # type: ignore[arg-type]
    state = started(descent, ours, criterion, total=6)
    matrices = [p for p in theirs.parameters() if p.dim() > 1]
    biases = [p for p in theirs.parameters() if p.dim() == 1]
    optimiser = BY_HAND[name]([{"params": matrices, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}])
    norms = []
    for t in range(6):
        batch = a_batch()
        step = descent.step(state, ours, criterion, batch)
        loss = 0.5 * (theirs.net(batch["x"]).flatten() - batch["y"]).square().mean() + 0.5 * math.log(2 * math.pi)
        optimiser.zero_grad()
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(theirs.parameters(), 0.5).item())
        for group in optimiser.param_groups:
            group["lr"] = descent.schedule(t, 6)
        optimiser.step()
        assert step.loss.item() == pytest.approx(loss.item(), rel=1e-4)
        assert step.grad_norm is not None
        assert step.grad_norm.item() == pytest.approx(norms[-1], rel=1e-3)
        assert step.step_size == descent.schedule(t, 6)
    assert max(norms) > 0.5
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_decay_leaves_biases_and_gains_of_any_shape_alone() -> None:
    modules = nn.ModuleDict({"linear": nn.Linear(1, 4), "norm": nn.BatchNorm2d(4), "conv": nn.Conv2d(4, 4, 3)})
    modules.register_parameter("gain", nn.Parameter(torch.ones(4, 1, 1)))
    modules.register_parameter("bias", nn.Parameter(torch.zeros(2, 4)))
    assert {n for n, p in modules.named_parameters() if decays(n, p)} == {"linear.weight", "conv.weight"}


def test_steps_of_one_over_t_on_a_normal_s_mean_give_the_sample_mean() -> None:
    """θ_t+1 = θ_t + (x_t − θ_t)/(t + 1) is the running mean, whatever θ_0."""

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean = nn.Parameter(torch.tensor(5.0))

        def forward(self, batch: dict[str, Tensor]) -> dict[str, Normal]:
            return {"x_hat": Normal(self.mean.expand(1), 1.0)}

    model, criterion = Mean(), Criterion(Term(KL(), "x_hat", "x"))
    descent = Descent(optimiser="sgd", schedule=RobbinsMonro(1.0, exponent=1.0, offset=1.0))
    state, data = descent.init(model, criterion), torch.randn(200)
    for x in data:
        descent.step(state, model, criterion, {"x": x.reshape(1)})
    assert model.mean.item() == pytest.approx(data.mean().item(), abs=1e-5)


def test_a_constant_with_infinities_is_not_made_nan_by_averaging() -> None:
    model, criterion = Net(), a_criterion()
    model.register_buffer("edges", torch.tensor([-math.inf, 0.0, math.inf]))
    descent = Descent(ema=0.9)
    state = started(descent, model, criterion)
    for _ in range(8):
        descent.step(state, model, criterion, a_batch())
    assert torch.equal(descent.solution(state, model)["edges"], model.edges)  # type: ignore[arg-type]


# Critics ---------------------------------------------------------------------------------------------------------


class Watched(LearnedDivergence):
    """A mean-matching critic, w·(target − predicted), that notes whether it is given a gradient's way to the model."""

    formula = "{p} {t}"

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5))
        self.attached: list[bool] = []

    def forward(self, predicted: Any, target: Any, given: Any = None) -> Tensor:
        return self.w * (target - predicted.loc)

    def tighten(self, predicted: Any, target: Any, given: Any = None) -> Tensor:
        self.attached.append(predicted.loc.requires_grad)
        return -self.w * (target - predicted.loc) + self.w.square()


def test_the_critic_tightens_k_times_on_detached_distributions_and_moves_by_its_own_step_size() -> None:
    model, watched = Net(), Watched()
    criterion = Criterion(Term(watched, "y_hat", "y"))
    descent = Descent(optimiser="sgd", step_size=0.1, critic_step_size=0.02, tighten_steps=3)
    state, batch = started(descent, model, criterion), a_batch()
    with torch.no_grad():
        gap = (batch["y"] - model(batch)["y_hat"].loc).mean().item()
    w = 0.5
    for _ in range(3):
        w -= 0.02 * (2 * w - gap)
    step = descent.step(state, model, criterion, batch)
    assert watched.attached == [False] * 3
    assert watched.w.item() == pytest.approx(w, rel=1e-5)
    assert set(step.terms) == {"y_hat", "y_hat.critic"}
    assert watched.w.grad is None, "the model's descent leaves nothing behind for the critic's next step"


# When it breaks --------------------------------------------------------------------------------------------------


class Rare(nn.Module):
    """Breaks once in a while, by the noise that it draws."""

    def forward(self, x: Tensor) -> Tensor:
        return x / (torch.rand(()) > 0.1)


def test_the_failing_step_is_done_again_with_the_noise_it_had() -> None:
    model, criterion = Net(nn.Linear(3, 4), Rare(), nn.Linear(4, 1)), a_criterion()
    descent = Descent()
    state = started(descent, model, criterion)
    with pytest.raises(TrainingError, match=r"'net\.1'"):
        _ = [descent.step(state, model, criterion, a_batch()) for _ in range(300)]


class Product(Divergence):
    """As large as its target."""

    formula = "{p}{t}"

    def forward(self, predicted: Any, target: Any, given: Any = None) -> Tensor:
        return predicted.loc * target


def test_where_looking_waits_for_the_device_the_sum_of_losses_is_looked_at_now_and_then() -> None:
    model, criterion = Net(), Criterion(Term(Product(), "y_hat", "y"))
    descent = Descent()
    state = started(descent, model, criterion)
    state.check_every = 5
    batch = a_batch()
    for t in range(5):
        descent.step(state, model, criterion, {**batch, "y": batch["y"] * (math.inf if t == 2 else 1)})
    with pytest.raises(TrainingError, match="in the 5 steps to 6"):
        descent.step(state, model, criterion, batch)


# Resuming --------------------------------------------------------------------------------------------------------


class Picture(nn.Module):
    """Convolutions whose filters lie channels-last in memory, as fast ones do, with batch statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Dropout(0.2)]
        self.net = nn.Sequential(*layers, nn.Linear(32, 1)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        x = batch["x"].contiguous(memory_format=torch.channels_last)
        return {"y_hat": Normal(self.net(x).flatten(), 1.0)}


@pytest.mark.parametrize("optimiser", list(BY_HAND))
def test_filters_that_lie_channels_last_go_on_bit_for_bit_from_a_file(optimiser: str, tmp_path: Path) -> None:
    """The fused AdamW takes a moment's memory for that of the same filter, whatever its strides are."""
    descent = Descent(optimiser=optimiser, schedule="onecycle", step_size=0.01, clip=1.0, ema=0.8, weight_decay=0.1)
    batches = [{"x": torch.randn(8, 3, 6, 6), "y": torch.randn(8)} for _ in range(10)]
    criterion = a_criterion()

    def go(model: nn.Module, state: DescentState, first: int, last: int) -> None:
        for t in range(first, last):
            torch.manual_seed(t)
            descent.step(state, model, criterion, batches[t])

    whole, half, again = Picture(), Picture(), Picture()
    half.load_state_dict(whole.state_dict())
    state = started(descent, whole, criterion, total=10)
    go(whole, state, 0, 10)

    halfway = started(descent, half, criterion, total=10)
    go(half, halfway, 0, 5)
    checkpoint.save(tmp_path / "c", {"model": half.state_dict(), "state": halfway.state_dict()})
    kept = checkpoint.load(tmp_path / "c")
    again.load_state_dict(kept["model"])
    resumed = descent.init(again, criterion)
    resumed.load_state_dict(kept["state"])
    go(again, resumed, 5, 10)
    for theirs, ours in (
        (whole.state_dict(), again.state_dict()),
        (descent.solution(state, whole), descent.solution(resumed, again)),
    ):
        for name, value in theirs.items():
            assert torch.equal(value, ours[name]), name
