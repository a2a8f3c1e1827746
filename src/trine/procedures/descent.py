"""Stochastic gradient descent and its modern kin, for one set of parameters or two: every method's procedure."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.optim.swa_utils import get_ema_multi_avg_fn

from trine.criterion import Criterion, Loss
from trine.errors import ChoiceError, TrainingError
from trine.procedures._base import Procedure, State, Step, procedures
from trine.procedures.schedules import Schedule, schedules
from trine.rules import map_arguments

EMA_EVERY = 4
"""The average of weights takes in every fourth iterate, with the decay's fourth power: alike, at a quarter of the cost."""
CHECK_EVERY = 50
"""Steps between looks at the running sum of losses on a device where looking waits for the device."""

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda groups, betas: torch.optim.AdamW(groups, betas=betas, fused=True),
    "momentum": lambda groups, betas: torch.optim.SGD(groups, lr=1e-3, momentum=betas[0], nesterov=True, foreach=True),
    "sgd": lambda groups, betas: torch.optim.SGD(groups, lr=1e-3, foreach=True),
}


class DescentState(State):
    """Step count, optimisers and the average of weights.

    Attributes:
        t: steps taken. total: steps in all, which the schedule spans; the training loop sets it.
    """

    def __init__(self, descent: Descent, model: nn.Module, criterion: Criterion) -> None:
        self.t = 0
        self.total = 1
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.critics = [p for p in criterion.parameters() if p.requires_grad]
        self.optimiser = descent.optimiser_of(self.parameters, descent.betas)
        self.critic_optimiser = descent.optimiser_of(self.critics, descent.critic_betas) if self.critics else None
        floating = {k: v for k, v in model.state_dict(keep_vars=True).items() if v.is_floating_point()}
        self.current = [v.detach() for v in floating.values()] if descent.ema else []
        self.averaged = dict(zip(floating, [v.clone() for v in self.current], strict=False))
        self.forward: Callable[..., Any] = torch.compile(model) if descent.compile else model
        self.sum = torch.zeros(())

    def state_dict(self) -> dict[str, Any]:
        """Nested dicts and lists of tensors and JSON scalars."""
        return {
            "t": self.t,
            "total": self.total,
            "optimiser": self.optimiser.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict() if self.critic_optimiser else None,
            "averaged": self.averaged,
        }

    def load_state_dict(self, data: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.t = int(data["t"])
        self.total = int(data["total"])
        self.optimiser.load_state_dict(data["optimiser"])
        if self.critic_optimiser is not None:
            self.critic_optimiser.load_state_dict(data["critic_optimiser"])
        for name, value in self.averaged.items():
            value.copy_(data["averaged"][name])


@procedures.register("descent")
class Descent(Procedure):
    """θ ← θ − α_t · direction, the direction by the optimiser from the gradient of the criterion on a minibatch.

    Where the criterion has critics, a step is: the outputs once; the critics tighten on the detached outputs; the model
    descends. Gradients are taken for one of the two sets at a time.

    Args:
        optimiser: ``adamw`` (Loshchilov and Hutter, 2019), ``momentum`` (Nesterov) or ``sgd``.
        step_size: peak of the schedule, positive.
        schedule: name of a schedule, or one that is built.
        weight_decay: decoupled decay of weights with two or more dimensions; gains and biases are left alone.
        clip: bound on the norm of the model's gradient; 0 for none.
        ema: decay of the exponential moving average of the weights and running statistics; 0 for none. It grows from 0
            with the steps, so that short runs do not lag.
        autocast: ``none`` or ``bf16``: precision of the model's matrix products.
        compile: whether to run the model through ``torch.compile``.
        betas: (momentum, second moment) of the optimiser.
        tighten_steps: critic's steps for each of the model's.
        critic_step_size: peak for the critics; the model's by default.
        critic_betas: betas for the critics; the model's by default.

    Raises:
        ChoiceError: an unknown name or a value out of range.
    """

    def __init__(
        self,
        *,
        optimiser: str = "adamw",
        step_size: float = 1e-3,
        schedule: str | Schedule = "constant",
        weight_decay: float = 0.0,
        clip: float = 0.0,
        ema: float = 0.0,
        autocast: str = "none",
        compile: bool = False,
        betas: tuple[float, float] = (0.9, 0.999),
        tighten_steps: int = 1,
        critic_step_size: float | None = None,
        critic_betas: tuple[float, float] | None = None,
    ) -> None:
        if optimiser not in OPTIMISERS:
            raise ChoiceError(f"There is no optimiser called {optimiser!r}. Known: {', '.join(OPTIMISERS)}.")
        if not step_size > 0 or not math.isfinite(step_size):
            raise ChoiceError(f"The step size is {step_size}; it is positive and finite.")
        if autocast not in ("none", "bf16"):
            raise ChoiceError(f"autocast is {autocast!r}; it is 'none' or 'bf16'.")
        if tighten_steps < 1:
            raise ChoiceError(
                f"tighten_steps is {tighten_steps}; a critic takes at least 1 step for each of the model's."
            )
        self.optimiser = optimiser
        self.schedule = schedules[schedule](step_size) if isinstance(schedule, str) else schedule
        self.weight_decay = weight_decay
        self.clip = clip
        self.ema = ema
        self.autocast = autocast
        self.compile = compile
        self.betas = betas
        self.tighten_steps = tighten_steps
        self.critic_ratio = 1.0 if critic_step_size is None else critic_step_size / self.schedule.peak
        self.critic_betas = critic_betas or betas

    def optimiser_of(self, parameters: list[nn.Parameter], betas: tuple[float, float]) -> torch.optim.Optimizer:
        """The optimiser of one set of parameters."""
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return OPTIMISERS[self.optimiser]([group for group in groups if group["params"]], betas)

    def init(self, model: nn.Module, criterion: Criterion) -> DescentState:
        """The state before the first step."""
        return DescentState(self, model, criterion)

    def precision(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """The context in which the model runs."""
        if self.autocast == "none":
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def step(self, state: State, model: nn.Module, criterion: Criterion, batch: Mapping[str, Tensor]) -> Step:
        """One step on ``batch``.

        Raises:
            TrainingError: the loss or its gradient is not finite; names step, term and layer. θ is as before the step.
        """
        assert isinstance(state, DescentState)
        size = self.schedule(state.t, state.total)
        device = state.parameters[0].device
        with self.precision(device):
            outputs = state.forward(batch)
        terms = self._tighten(state, criterion, outputs, batch, size) if state.critics else {}
        loss = criterion(outputs, batch)
        self._require_finite(state, model, criterion, batch, loss)
        loss.total.backward(inputs=state.parameters)
        norm = None
        if self.clip:
            norm = nn.utils.clip_grad_norm_(state.parameters, self.clip, foreach=True)
            if device.type == "cpu" and not math.isfinite(norm.item()):
                self._blame_gradient(state, model)
        self._move(state.optimiser, size)
        state.t += 1
        if self.ema and state.t % EMA_EVERY == 0:
            decay = min(self.ema**EMA_EVERY, state.t / (state.t + 10.0 * EMA_EVERY))
            get_ema_multi_avg_fn(decay)(  # type: ignore[no-untyped-call]
                list(state.averaged.values()), state.current, None
            )
        return Step(loss.total.detach(), {**loss.terms, **terms}, norm, size)

    def _tighten(
        self,
        state: DescentState,
        criterion: Criterion,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Tensor],
        size: float,
    ) -> dict[str, Tensor]:
        """The critics' steps; the terms' bounds afterwards."""
        assert state.critic_optimiser is not None
        detached = {name: _detached(value) for name, value in outputs.items()}
        for _ in range(self.tighten_steps):
            bound: Loss = criterion.tighten(detached, batch)
            bound.total.backward(inputs=state.critics)  # type: ignore[no-untyped-call]
            self._move(state.critic_optimiser, size * self.critic_ratio)
        return {f"{name}.critic": value for name, value in bound.terms.items()}

    @staticmethod
    def _move(optimiser: torch.optim.Optimizer, size: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = size
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def solution(self, state: State, model: nn.Module) -> dict[str, Tensor]:
        """The average of iterates where one is kept, else the last iterate."""
        assert isinstance(state, DescentState)
        return {**model.state_dict(), **state.averaged} if state.averaged and state.t else model.state_dict()

    # When the loss is not finite ---------------------------------------------------------------------------------

    def _require_finite(
        self, state: DescentState, model: nn.Module, criterion: Criterion, batch: Mapping[str, Tensor], loss: Loss
    ) -> None:
        if loss.total.device.type == "cpu":
            if math.isfinite(loss.total.item()):
                return
        else:
            # Reading a number waits for the device, so the sum of the losses is read now and then.
            state.sum = state.sum.to(loss.total.device) + loss.total.detach()
            if state.t % CHECK_EVERY or math.isfinite(state.sum.item()):
                return
        term = next(
            (name for name, value in loss.terms.items() if not math.isfinite(value.item())), "the sum of the terms"
        )
        layer = _first_layer(model, batch)
        where = (
            f"the first layer whose output is not finite is {layer!r}" if layer else "all layers' outputs are finite"
        )
        raise TrainingError(
            f"The loss is not finite at step {state.t + 1}: term {term!r} is {loss.terms.get(term, loss.total).item()}; {where}. "
            "Lower the step size, clip the gradient (clip=1), or look at the rows of the batch."
        )

    @staticmethod
    def _blame_gradient(state: DescentState, model: nn.Module) -> None:
        name = next(n for n, p in model.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all()))
        raise TrainingError(
            f"The loss is finite at step {state.t + 1} and its gradient is not, first at {name!r}. "
            "Lower the step size, choose another normalisation, or look at the rows of the batch."
        )

    def describe(self) -> str:
        """The procedure with its step sizes."""
        names = {"adamw": "AdamW", "momentum": "SGD with Nesterov momentum", "sgd": "SGD"}
        more = [f"weight decay {self.weight_decay:g}"] if self.weight_decay else []
        more += [f"gradient norm at most {self.clip:g}"] if self.clip else []
        more += [f"exponential average of weights, decay {self.ema:g}"] if self.ema else []
        more += ["bfloat16 products"] if self.autocast == "bf16" else []
        more += ["compiled"] if self.compile else []
        lines = [f"{names[self.optimiser]}: θ_t+1 = θ_t − α_t · g(∇L(θ_t))", self.schedule.describe()]
        return "\n".join([*lines, ", ".join(more)] if more else lines)


def _detached(value: Tensor | Distribution) -> Tensor | Distribution:
    return value.detach() if isinstance(value, Tensor) else map_arguments(value, Tensor.detach)


def _first_layer(model: nn.Module, batch: Mapping[str, Tensor]) -> str | None:
    """Name of the first leaf module whose output is not finite on ``batch``; None when all are."""
    found: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not found and not bool(output.isfinite().all()):
                found.append(name)

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not any(True for _ in module.children())]
    handles = [module.register_forward_hook(look(name)) for name, module in leaves]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
