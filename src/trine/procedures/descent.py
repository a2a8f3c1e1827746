"""Stochastic gradient descent and its modern kin, for one set of parameters or two: every method's procedure."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trine import collective
from trine.blocks.weights import decays
from trine.criterion import Criterion, Loss
from trine.errors import ChoiceError, TrainingError, nearest
from trine.procedures._adamw import AdamW
from trine.procedures._base import Procedure, State, Step, procedures
from trine.procedures._diagnosis import diagnose
from trine.procedures._parallel import Parallel, clip_to, total_norm
from trine.procedures.schedules import Schedule, schedules
from trine.rules import map_arguments

EMA_EVERY = 4
"""The average of weights takes in every fourth iterate, with the decay's fourth power: alike, at a quarter of the cost."""
CHECK_EVERY = 50
"""Steps between looks at the running sum of losses on a device where looking waits for the device."""
FUSED = ("cpu", "cuda", "mps", "xpu")
"""Devices that have AdamW in one kernel."""

Groups = list[dict[str, Any]]


def _adamw(groups: Groups, betas: tuple[float, float]) -> torch.optim.Optimizer:
    fused = all(p.device.type in FUSED for group in groups for p in group["params"])
    return AdamW(groups, betas=betas, fused=True) if fused else torch.optim.AdamW(groups, betas=betas)


def _momentum(groups: Groups, betas: tuple[float, float]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=1e-3, momentum=betas[0], nesterov=betas[0] > 0, foreach=True)


def _sgd(groups: Groups, betas: tuple[float, float]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=1e-3, foreach=True)


OPTIMISERS: dict[str, Callable[[Groups, tuple[float, float]], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "momentum": _momentum,
    "sgd": _sgd,
}


class DescentState(State):
    """Step count, optimisers and the average of weights.

    Attributes:
        t: steps taken. total: steps in all, which the schedule spans; the training loop sets it.
        check_every: steps between looks whether the loss is finite; 1 where looking costs nothing.

    Raises:
        ChoiceError: the model has no parameter that may move.
    """

    def __init__(self, descent: Descent, model: nn.Module, criterion: Criterion) -> None:
        self.t = 0
        self.total = 1
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.critics = [p for p in criterion.parameters() if p.requires_grad]
        if not self.parameters:
            raise ChoiceError("The model has no parameter that may move: all are frozen, or there are none.")
        self.device = self.parameters[0].device
        self.optimiser = descent.optimiser_of(model, descent.betas)
        self.critic_optimiser = descent.optimiser_of(criterion, descent.critic_betas) if self.critics else None
        moving = _averageable(model) if descent.ema else {}
        self.current = list(moving.values())
        self.averages = [v.clone() for v in self.current]
        self.averaged = dict(zip(moving, self.averages, strict=True))
        self.forward: Callable[..., Any] = torch.compile(model) if descent.compile else model
        self.parallel = (
            Parallel(model, self.forward, self.parameters, self.critics) if collective.processes() > 1 else None
        )
        self.check_every = 1 if self.device.type == "cpu" else CHECK_EVERY
        self.sum = torch.zeros((), device=self.device)

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
        _load(self.optimiser, data["optimiser"])
        if self.critic_optimiser is not None:
            _load(self.critic_optimiser, data["critic_optimiser"])
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
        weight_decay: decay of matrices and filters; gains and biases are left alone. Decoupled from the gradient for
            ``adamw``, a part of it (½ decay ‖θ‖² in the criterion) for the others.
        clip: bound on the norm of the model's gradient; 0 for none.
        ema: decay of the exponential moving average of the weights and running statistics, in [0, 1); 0 for none. It
            grows from 0 with the steps, so that short runs do not lag.
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
            hint = nearest(optimiser, OPTIMISERS)
            raise ChoiceError(f"There is no optimiser called {optimiser!r}.{hint} Known: {', '.join(OPTIMISERS)}.")
        if autocast not in ("none", "bf16"):
            raise ChoiceError(f"autocast is {autocast!r}; it is 'none' or 'bf16'.")
        if tighten_steps < 1:
            raise ChoiceError(
                f"tighten_steps is {tighten_steps}; a critic takes at least 1 step for each of the model's."
            )
        for name, value in (("step_size", step_size), ("critic_step_size", critic_step_size)):
            if value is not None and not 0 < value < math.inf:
                raise ChoiceError(f"{name} is {value}; it is positive and finite.")
        for name, value in (("weight_decay", weight_decay), ("clip", clip)):
            if not 0 <= value < math.inf:
                raise ChoiceError(f"{name} is {value}; it is 0 or more, and finite.")
        for name, value in (("ema", ema), *(("betas", beta) for beta in (*betas, *(critic_betas or ())))):
            if not 0 <= value < 1:
                raise ChoiceError(f"{name}: {value} is not a decay; it is at least 0 and less than 1.")
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

    def optimiser_of(self, module: nn.Module, betas: tuple[float, float]) -> torch.optim.Optimizer:
        """The optimiser of one set of parameters: those of the model, or of the criterion."""
        moving = self.moving(module)
        if not self.weight_decay:
            return OPTIMISERS[self.optimiser]([{"params": [p for p, _ in moving], "weight_decay": 0.0}], betas)
        groups = [
            {"params": [p for p, decays in moving if decays], "weight_decay": self.weight_decay},
            {"params": [p for p, decays in moving if not decays], "weight_decay": 0.0},
        ]
        return OPTIMISERS[self.optimiser]([group for group in groups if group["params"]], betas)

    def moving(self, module: nn.Module) -> list[tuple[nn.Parameter, bool]]:
        """The parameters that move, and whether each is a weight, which decays."""
        return [(p, decays(name, p)) for name, p in module.named_parameters() if p.requires_grad]

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
        noise = torch.get_rng_state()
        with self.precision(state.device):
            outputs = (state.forward if state.parallel is None else state.parallel.forward)(batch)
        terms = self._tighten(state, model, criterion, outputs, batch, size, noise) if state.critics else {}
        if state.parallel is None:
            loss = criterion(outputs, batch)
            self._require_finite(state, model, criterion, batch, loss, noise)
            # Naming the parameters keeps the critics' out; without critics there is nothing to keep out, and it costs a little.
            loss.total.backward(inputs=state.parameters if state.critics else None)
        else:
            with state.parallel.critics_at_rest():
                loss = criterion(outputs, batch)
                self._require_finite(state, model, criterion, batch, loss, noise)
                state.parallel.backward(loss.total)
        norm = self._clip(state, model, criterion, batch, noise) if self.clip else None
        self._move(state.optimiser, size)
        state.t += 1
        if self.ema and state.t % EMA_EVERY == 0:
            decay = min(self.ema**EMA_EVERY, state.t / (state.t + 10.0 * EMA_EVERY))
            torch._foreach_lerp_(state.averages, state.current, 1.0 - decay)
        return Step(loss.total.detach(), {**loss.terms, **terms}, norm, size)

    def _tighten(
        self,
        state: DescentState,
        model: nn.Module,
        criterion: Criterion,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Tensor],
        size: float,
        noise: Tensor,
    ) -> dict[str, Tensor]:
        """The critics' steps; the terms' bounds afterwards."""
        assert state.critic_optimiser is not None
        detached = {name: _detached(value) for name, value in outputs.items()}
        for _ in range(self.tighten_steps):
            bound: Loss = criterion.tighten(detached, batch)
            self._require_finite(state, model, criterion, batch, bound, noise, critic=True)
            bound.total.backward(inputs=state.critics)  # type: ignore[no-untyped-call]
            if state.parallel is not None:
                state.parallel.add_up(state.critics)
            self._move(state.critic_optimiser, size * self.critic_ratio)
        return {f"{name}.critic": value for name, value in bound.terms.items()}

    def _clip(
        self, state: DescentState, model: nn.Module, criterion: Criterion, batch: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        """Scale the gradient down to the bound, if it is longer; its norm before."""
        norm = total_norm([p.grad for p in state.parameters if p.grad is not None])
        if state.device.type != "cpu":
            clip_to(state.parameters, self.clip, norm)
            return norm
        # Where reading the norm does not wait for a device, most steps need no pass over the gradient.
        length = norm.item()
        if not math.isfinite(length):
            state.optimiser.zero_grad(set_to_none=True)
            where = diagnose(model, criterion, batch, noise)
            raise TrainingError(f"The loss is finite at step {state.t + 1} and its gradient is not: {where}. {REMEDY}")
        if length > self.clip:
            clip_to(state.parameters, self.clip, norm)
        return norm

    @staticmethod
    def _move(optimiser: torch.optim.Optimizer, size: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = size
        if isinstance(optimiser, AdamW):
            optimiser.advance()
        else:
            optimiser.step()
        # What zero_grad does, without its hooks, which cost as much as a small layer.
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def solution(self, state: State, model: nn.Module) -> dict[str, Tensor]:
        """The average of iterates where one is kept, else the last iterate."""
        assert isinstance(state, DescentState)
        return {**model.state_dict(), **state.averaged} if state.t >= EMA_EVERY else model.state_dict()

    @staticmethod
    def _require_finite(
        state: DescentState,
        model: nn.Module,
        criterion: Criterion,
        batch: Mapping[str, Tensor],
        loss: Loss,
        noise: Tensor,
        critic: bool = False,
    ) -> None:
        """Stop before θ moves where reading a number costs nothing; else within ``check_every`` steps."""
        if state.check_every == 1:
            if math.isfinite(loss.total.item()):
                return
        else:
            state.sum += loss.total.detach()
            if state.t % state.check_every or math.isfinite(state.sum.item()):
                return
        named = [name for name, value in loss.terms.items() if not math.isfinite(value.item())]
        what = f"term {named[0]!r} is {loss.terms[named[0]].item()}" if named else "the sum of its terms is not"
        when = (
            f"at step {state.t + 1}" if state.check_every == 1 else f"in the {state.check_every} steps to {state.t + 1}"
        )
        whose = "The critic's loss" if critic else "The loss"
        where = diagnose(model, criterion, batch, noise)
        raise TrainingError(f"{whose} is not finite {when}: {what}; {where}. {REMEDY}")

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


REMEDY = "Lower the step size, clip the gradient (clip=1), or look at the rows of the batch."


def _averageable(model: nn.Module) -> dict[str, Tensor]:
    """What an average of iterates is taken of: weights that move, and running statistics."""
    named = model.state_dict(keep_vars=True).items()
    moving = {k: v for k, v in named if v.is_floating_point() and (v.requires_grad or not isinstance(v, nn.Parameter))}
    # A constant may hold infinities, whose average with themselves would be NaN.
    return {k: v.detach() for k, v in moving.items() if bool(v.isfinite().all())}


def _load(optimiser: torch.optim.Optimizer, data: dict[str, Any]) -> None:
    """Load an optimiser's state, laid out in memory as its parameters are.

    A file keeps no strides, and the fused kernels walk a parameter and its moments side by side through memory:
    moments of another layout would be taken for those of other weights, silently.
    """
    optimiser.load_state_dict(data)
    for parameter, moments in optimiser.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _detached(value: Any) -> Any:
    """Without a gradient; a batch, which a critic reads a condition from, has none."""
    if isinstance(value, Mapping):
        return value
    return value.detach() if isinstance(value, Tensor) else map_arguments(value, Tensor.detach)
