"""Descent: at known optima, bit for bit after a restart, and stopped before harm is done."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from trine.criterion import Criterion, Term
from trine.divergences import KL, JensenShannon
from trine.errors import ChoiceError, TrainingError
from trine.procedures import Descent
from trine.procedures.descent import EMA_EVERY
from trine.training import checkpoint

OPTIMISERS = ["adamw", "momentum", "sgd"]


class Linear(nn.Module):
    """q(y given x) = N(w · x + b, 1)."""

    def __init__(self, features: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(features, 1)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        mean = self.layer(batch["x"]).squeeze(1)
        return {"y_hat": Normal(mean, torch.ones_like(mean), validate_args=False)}


def least_squares(rows: int = 64) -> dict[str, Tensor]:
    x = torch.randn(rows, 3)
    return {"x": x, "y": x @ torch.tensor([1.0, -2.0, 0.5]) + 0.7 + 0.1 * torch.randn(rows)}


def fitting() -> Criterion:
    return Criterion(Term(KL(), "y_hat", "y", name="price"))


def train(descent: Descent, model: nn.Module, criterion: Criterion, batch: dict[str, Tensor], steps: int) -> Any:
    state = descent.init(model, criterion)
    state.total = steps
    for _ in range(steps):
        descent.step(state, model, criterion, batch)
    return state


def weights(model: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in model.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# Known optima ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_each_optimiser_reaches_the_least_squares_solution(optimiser: str) -> None:
    batch, model = least_squares(), Linear()
    train(Descent(optimiser=optimiser, step_size=0.1, schedule="cosine"), model, fitting(), batch, 400)
    design = torch.cat([batch["x"], torch.ones(64, 1)], 1)
    exact = torch.linalg.lstsq(design, batch["y"].unsqueeze(1)).solution.squeeze(1)
    found = torch.cat([model.layer.weight.squeeze(0), model.layer.bias]).detach()
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-3)


def test_the_mean_of_minibatch_gradients_is_the_full_gradient() -> None:
    batch, model, criterion = least_squares(60), Linear(), fitting()

    def gradient(part: dict[str, Tensor]) -> Tensor:
        parameters = list(model.parameters())
        return torch.cat([g.flatten() for g in torch.autograd.grad(criterion(model(part), part).total, parameters)])

    parts = [{k: v[i : i + 6] for k, v in batch.items()} for i in range(0, 60, 6)]
    torch.testing.assert_close(torch.stack([gradient(p) for p in parts]).mean(0), gradient(batch), rtol=1e-4, atol=1e-6)


# Decay, clip, average ----------------------------------------------------------------------------------------------


class Normalised(nn.Module):
    """Every kind of parameter: filters, a gain kept as a filter's shape, gains, biases, a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.dense = nn.Linear(2, 1)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        mean = 0.0 * self.dense(self.norm(self.filters(batch["x"])).mean((2, 3))).squeeze(1)
        return {"y_hat": Normal(mean, torch.ones_like(mean))}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_weight_decay_shrinks_matrices_and_filters_and_spares_biases_and_gains(optimiser: str) -> None:
    model = Normalised()
    nn.init.constant_(model.norm.bias, 0.3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    descent = Descent(optimiser=optimiser, step_size=0.1, weight_decay=0.5, betas=(0.0, 0.9))
    train(descent, model, fitting(), {"x": torch.randn(4, 1, 5, 5), "y": torch.zeros(4)}, 1)
    for name, p in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if name in ("filters.weight", "dense.weight") else 1.0
        torch.testing.assert_close(p.detach(), factor * before[name], msg=lambda m, name=name: f"{name}: {m}")


def test_the_clip_bounds_the_step_and_leaves_short_gradients_alone() -> None:
    batch = least_squares()
    for clip, longer in ((0.01, True), (1e6, False)):
        model = Linear()
        nn.init.constant_(model.layer.weight, 5.0)
        free, start = copy.deepcopy(model), weights(model)
        descent = Descent(optimiser="sgd", step_size=1.0, clip=clip)
        step = descent.step(descent.init(model, fitting()), model, fitting(), batch)
        train(Descent(optimiser="sgd", step_size=1.0), free, fitting(), batch, 1)
        moved = torch.cat([(a - b).flatten() for a, b in zip(weights(model), start, strict=True)])
        unclipped = torch.cat([(a - b).flatten() for a, b in zip(weights(free), start, strict=True)])
        assert step.grad_norm is not None
        assert step.grad_norm.item() == pytest.approx(unclipped.norm().item(), rel=1e-5), "the norm before clipping"
        assert moved.norm().item() == pytest.approx(clip if longer else unclipped.norm().item(), rel=1e-4)
        assert torch.cosine_similarity(moved, unclipped, dim=0).item() == pytest.approx(1.0, abs=1e-5)


def test_the_average_of_weights_is_the_one_computed_by_hand() -> None:
    batch, model, criterion = least_squares(), Linear(), fitting()
    descent = Descent(step_size=0.05, ema=0.8)
    state = descent.init(model, criterion)
    average = weights(model)
    for t in range(1, 61):
        descent.step(state, model, criterion, batch)
        if t % EMA_EVERY == 0:
            decay = min(0.8**EMA_EVERY, t / (t + 10 * EMA_EVERY))
            average = [decay * a + (1 - decay) * w for a, w in zip(average, weights(model), strict=True)]
    solution = descent.solution(state, model)
    for mine, theirs in zip(average, solution.values(), strict=True):
        torch.testing.assert_close(theirs, mine)
    assert not same(list(solution.values()), weights(model))


def test_the_average_of_a_short_run_does_not_lag() -> None:
    """With a decay of 0.999 kept from the first step, 96 % of the average would still be the starting point after 40."""
    batch, model, criterion = least_squares(), Linear(), fitting()
    start = criterion(model(batch), batch).total.item()
    descent = Descent(optimiser="sgd", step_size=0.3, ema=0.999)
    state = train(descent, model, criterion, batch, 40)
    last = criterion(model(batch), batch).total.item()
    model.load_state_dict(descent.solution(state, model))
    assert criterion(model(batch), batch).total.item() - last < 0.02 * (start - last)


def test_before_an_average_is_taken_the_solution_is_the_last_iterate() -> None:
    model = Linear()
    descent = Descent(step_size=0.1, ema=0.99)
    state = train(descent, model, fitting(), least_squares(), EMA_EVERY - 1)
    assert same(list(descent.solution(state, model).values()), weights(model))


def test_the_average_holds_running_statistics_too() -> None:
    model = Normalised()
    descent = Descent(ema=0.5)
    state = train(descent, model, fitting(), {"x": 3 + torch.randn(8, 1, 5, 5), "y": torch.zeros(8)}, 8)
    assert not torch.equal(descent.solution(state, model)["norm.running_mean"], model.norm.running_mean)
    assert descent.solution(state, model)["norm.num_batches_tracked"].item() == 8


# Going on ----------------------------------------------------------------------------------------------------------


class Sampler(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"fake": self.layer(torch.randn_like(batch["x"]))}


def adversarial() -> Criterion:
    return Criterion(Term(JensenShannon(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))), "fake", "x"))


@pytest.mark.parametrize("learned", [False, True], ids=["divergence", "learned divergence"])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_state_that_was_saved_goes_on_bit_for_bit(optimiser: str, learned: bool, tmp_path: Path) -> None:
    batch = least_squares()

    def parts() -> tuple[Descent, nn.Module, Criterion]:
        descent = Descent(
            optimiser=optimiser,
            step_size=0.05,
            schedule="cosine",
            weight_decay=0.01,
            clip=1.0,
            ema=0.9,
            tighten_steps=2,
        )
        return descent, Sampler() if learned else Linear(), adversarial() if learned else fitting()

    descent, model, criterion = parts()
    state = train(descent, model, criterion, batch, 7)
    state.total = 15
    kept = {"model": model.state_dict(), "criterion": criterion.state_dict(), "state": state.state_dict()}
    checkpoint.save(tmp_path / "state", kept)
    noise = torch.get_rng_state()
    for _ in range(8):
        descent.step(state, model, criterion, batch)

    other, model_2, criterion_2 = parts()
    found = checkpoint.load(tmp_path / "state")
    model_2.load_state_dict(found["model"])
    criterion_2.load_state_dict(found["criterion"])
    state_2 = other.init(model_2, criterion_2)
    state_2.load_state_dict(found["state"])
    torch.set_rng_state(noise)
    for _ in range(8):
        other.step(state_2, model_2, criterion_2, batch)

    assert (state_2.t, state_2.total) == (15, 15)
    assert same(weights(model), weights(model_2))
    assert same(weights(criterion), weights(criterion_2))
    assert same(list(descent.solution(state, model).values()), list(other.solution(state_2, model_2).values()))


# Precision and compilation -----------------------------------------------------------------------------------------


def test_bf16_trains_and_the_weights_stay_in_float32() -> None:
    batch, model, criterion = least_squares(), Linear(), fitting()
    before = criterion(model(batch), batch).total.item()
    descent = Descent(step_size=0.05, autocast="bf16")
    seen: list[torch.dtype] = []
    model.layer.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    train(descent, model, criterion, batch, 100)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    with torch.no_grad():
        floor = 0.5 * math.log(2 * math.pi)
        assert criterion(model(batch), batch).total.item() - floor < 0.05 * (before - floor)


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_trains_as_the_eager_one() -> None:
    batch, eager = least_squares(), Linear()
    compiled = copy.deepcopy(eager)
    train(Descent(step_size=0.05), eager, fitting(), batch, 5)
    train(Descent(step_size=0.05, compile=True), compiled, fitting(), batch, 5)
    assert list(compiled.state_dict()) == list(eager.state_dict()), "the compiled wrapper's names stay out of θ"
    for a, b in zip(weights(compiled), weights(eager), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


# Trouble -----------------------------------------------------------------------------------------------------------


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.root = False

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        hidden = self.second(self.first(batch["x"]))
        hidden = torch.sqrt(hidden * 0) if self.root else hidden
        mean = self.third(hidden).squeeze(1)
        return {"y_hat": Normal(mean, torch.ones_like(mean), validate_args=False)}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_loss_that_is_not_finite_names_step_term_and_layer_and_leaves_the_weights(optimiser: str) -> None:
    batch, model, criterion = least_squares(), Deep(), fitting()
    descent = Descent(optimiser=optimiser, step_size=0.01, ema=0.5)
    state = train(descent, model, criterion, batch, 2)
    kept = weights(model)
    averages = [a.clone() for a in state.averages]
    model.second.register_forward_hook(lambda _m, _i, output: output * math.inf)
    with pytest.raises(TrainingError, match=r"not finite at step 3: term 'price' is nan.*output.*'second'.*step size"):
        descent.step(state, model, criterion, batch)
    assert same(kept, weights(model))
    assert same(averages, state.averages)
    assert state.t == 2


def test_a_gradient_that_is_not_finite_names_step_and_layer_and_leaves_the_weights() -> None:
    batch, model, criterion = least_squares(), Deep(), fitting()
    descent = Descent(step_size=0.01, clip=1.0)
    state = train(descent, model, criterion, batch, 2)
    model.root, kept = True, weights(model)  # √0 is finite and its slope is not
    with pytest.raises(TrainingError, match=r"finite at step 3 and its gradient is not.*gradient.*'second'"):
        descent.step(state, model, criterion, batch)
    assert same(kept, weights(model))
    assert all(p.grad is None for p in model.parameters()), "the bad gradient does not wait for the next step"
    model.root = False
    descent.step(state, model, criterion, batch)
    assert all(bool(w.isfinite().all()) for w in weights(model)), "and the training could go on"


def test_without_a_clip_the_step_after_a_bad_gradient_says_what_happened() -> None:
    batch, model, criterion = least_squares(), Deep(), fitting()
    descent = Descent(step_size=0.01)
    state = train(descent, model, criterion, batch, 1)
    model.root = True
    descent.step(state, model, criterion, batch)  # nothing looks at the gradient, which no clip measures
    with pytest.raises(TrainingError, match=r"'first\.weight'.*gradient"):
        descent.step(state, model, criterion, batch)


def test_a_critic_s_loss_that_is_not_finite_is_called_the_critic_s() -> None:
    batch, model, criterion = least_squares(), Sampler(), adversarial()
    nn.init.constant_(criterion.terms[0].divergence.critic[2].weight, math.inf)  # type: ignore[union-attr, index]
    descent, kept = Descent(), weights(model)
    with pytest.raises(TrainingError, match=r"critic's loss is not finite at step 1.*'critic\."):
        descent.step(descent.init(model, criterion), model, criterion, batch)
    assert same(kept, weights(model))


def test_the_diagnosis_draws_nothing_from_the_run_s_generator() -> None:
    batch, model = least_squares(), Deep()
    batch["y"][3] = math.nan
    descent = Descent()
    state = descent.init(model, fitting())
    noise = torch.get_rng_state()
    with pytest.raises(TrainingError):
        descent.step(state, model, fitting(), batch)
    assert torch.equal(noise, torch.get_rng_state())


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"optimiser": "adamv"}, "Did you mean 'adamw'"),
        ({"schedule": "cosin"}, "cosine"),
        ({"step_size": 0.0}, "step_size is 0"),
        ({"step_size": math.nan}, "step_size is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1"),
        ({"clip": math.inf}, "clip is inf"),
        ({"ema": 1.0}, "ema: 1"),
        ({"betas": (0.9, 1.0)}, "betas: 1"),
        ({"autocast": "fp8"}, "autocast is 'fp8'"),
        ({"tighten_steps": 0}, "tighten_steps is 0"),
        ({"critic_step_size": -0.1}, "critic_step_size is -0.1"),
    ],
)
def test_a_choice_out_of_its_range_is_refused(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        Descent(**choice)


def test_a_frozen_model_is_refused_and_frozen_parts_do_not_move() -> None:
    frozen = Linear().requires_grad_(False)
    with pytest.raises(ChoiceError, match="frozen"):
        Descent().init(frozen, fitting())
    model = Deep()
    model.first.requires_grad_(False)
    kept = weights(model.first)
    train(Descent(weight_decay=0.1, ema=0.5), model, fitting(), least_squares(), 5)
    assert same(kept, weights(model.first))


def test_the_description_names_every_choice() -> None:
    text = Descent(weight_decay=0.02, clip=1.5, ema=0.99, autocast="bf16", compile=True, step_size=0.004).describe()
    for words in ("AdamW", "0.004", "weight decay 0.02", "at most 1.5", "decay 0.99", "bfloat16", "compiled"):
        assert words in text
