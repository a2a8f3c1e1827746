"""p(θ given X, Y) in the place of one θ: a model that predicts the mixture over draws of θ."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call
from torch.nn.functional import softplus

from trine.blocks.mean_field import mean_field, weight_posterior
from trine.divergences import Value
from trine.rules import map_arguments, over_parameters, tensors_of

Outputs = dict[str, Value]


class Posterior(nn.Module, abc.ABC):
    """q(y given x) = ∫ q(y given x, θ) p(θ given X, Y) dθ, by the mean over draws of θ.

    In training it is what descends: one network (or several). In evaluation it is the mixture over draws, whose components
    stay known, so that :func:`trine.rules.spread` can tell what the data leave open from what θ leaves open. ``z`` is that of
    :attr:`network` alone.

    Args:
        base: the network f(x, θ).
        draws: number of θ's in the mixture.
    """

    base: nn.Module

    def __init__(self, base: nn.Module, draws: int) -> None:
        super().__init__()
        self.base = base
        self.draws = draws

    @property
    def network(self) -> nn.Module:
        """One network, of the one θ that stands for the rest: to be shown, watched, and asked for z."""
        return self.base

    @property
    def encoder(self) -> nn.Module:
        """The network's."""
        found: nn.Module = self.network.encoder  # type: ignore[assignment]
        return found

    @property
    def rules(self) -> Any:
        """The network's decision rules."""
        return self.network.rules

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of what is predicted."""
        found: tuple[str, ...] = self.network.targets  # type: ignore[assignment]
        return found

    @abc.abstractmethod
    def each(self, batch: Mapping[str, Tensor]) -> Iterator[Mapping[str, Value]]:
        """The outputs under each draw of θ, in evaluation."""

    def forward(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Named outputs for the rows of ``batch``."""
        if self.training:
            found: Outputs = self.base(batch)
            return found
        return combined(list(self.each(batch)))

    def mixes(self) -> str:
        """What is mixed, as the derivation prints it."""
        return f"p(θ | data) by {self.draws} draws of θ; the prediction is their mixture"


class Draws(Posterior):
    """Draws of θ that are kept as a stack, ``theta``: (draws, numbers), each row a flat θ.

    Until :meth:`fill` has put draws there, the network alone predicts.

    Args:
        base: the network.
        draws: number of θ's kept.
        names: which of the base's tensors, by their names in its state dict, a draw has its own of; by default all floating
            ones: parameters that move, and running statistics.
    """

    theta: Tensor
    drawn: Tensor

    def __init__(self, base: nn.Module, draws: int, names: tuple[str, ...] | None = None) -> None:
        super().__init__(base, draws)
        self.names = floating(base) if names is None else names
        self.register_buffer("theta", torch.zeros(draws, self.flat().numel()))
        self.register_buffer("drawn", torch.tensor(False))

    def flat(self) -> Tensor:
        """(numbers,) the base's own θ, detached."""
        own = self.base.state_dict()
        return torch.cat([own[name].detach().flatten() for name in self.names])

    def unflat(self, theta: Tensor) -> dict[str, Tensor]:
        """Name → tensor of a flat θ, (numbers,)."""
        own = self.base.state_dict()
        parts = torch.split(theta, [own[name].numel() for name in self.names])
        return {name: part.view(own[name].shape) for name, part in zip(self.names, parts, strict=True)}

    def fill(self, theta: Tensor) -> None:
        """Keep the draws ``theta``, (draws, numbers)."""
        self.theta.copy_(theta)
        self.drawn.fill_(True)

    def each(self, batch: Mapping[str, Tensor]) -> Iterator[Mapping[str, Value]]:
        """The outputs under each draw."""
        if not bool(self.drawn):
            yield self.base(batch)
            return
        for theta in self.theta:
            yield functional_call(self.base, self.unflat(theta), (batch,))


class LinearisedDraws(Draws):
    r"""Draws of θ that act on the network linearised about its own θ\*: raw outputs f(x, θ\*) + J(x) (θ − θ\*).

    A curvature tells of the linearised network; drawn far from θ\*, the network itself would leave what it tells of. The slopes
    along a draw are forward-mode derivatives (``torch.func.jvp``); the decision rules' links are not linearised.

    References:
        Immer, Korzepa and Bauer, `Improving Predictions of Bayesian Neural Nets via Local Linearization`, 2021, arXiv 2008.08400.
    """

    def each(self, batch: Mapping[str, Tensor]) -> Iterator[Mapping[str, Value]]:
        """The outputs under each draw."""
        if not bool(self.drawn):
            yield self.base(batch)
            return
        mode = self.unflat(self.flat())
        linear = [rule.head.linear for rule in self.rules]

        def raw(theta: dict[str, Tensor]) -> tuple[Tensor, ...]:
            found: list[Tensor] = []
            handles = [layer.register_forward_hook(lambda _m, _i, output: found.append(output)) for layer in linear]
            try:
                functional_call(self.base, theta, (batch,))
            finally:
                for handle in handles:
                    handle.remove()
            return tuple(found)

        for theta in self.theta:
            step = self.unflat(theta - self.flat())
            at, slope, *_ = torch.func.jvp(raw, (mode,), (step,))
            moved = [value + change for value, change in zip(at, slope, strict=True)]
            handles = [
                layer.register_forward_hook(lambda _m, _i, _o, value=value: value)
                for layer, value in zip(linear, moved, strict=True)
            ]
            try:
                yield self.base(batch)
            finally:
                for handle in handles:
                    handle.remove()


class MeanFieldDraws(Draws):
    """Independent normal weights, in training by their noise; draws of them in evaluation.

    In training there is the output ``theta``, q(θ), a normal of batch shape (numbers,), for the term that keeps it to the prior.

    Args:
        base: the network; its linear and convolutional layers are replaced in place (:mod:`trine.blocks.mean_field`).
        draws: number of θ's kept.
    """

    def __init__(self, base: nn.Module, draws: int) -> None:
        replaced = mean_field(base)
        own = dict(base.named_parameters())
        super().__init__(
            base, draws, tuple(n for layer in replaced for n in (f"{layer}.weight", f"{layer}.bias") if n in own)
        )

    def forward(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Named outputs for the rows of ``batch``."""
        outputs = super().forward(batch)
        return {**outputs, "theta": weight_posterior(self.base)} if self.training else outputs

    def draw(self) -> None:
        """Keep new draws from q(θ)."""
        own = self.base.state_dict()
        rho = [name.replace(".weight", ".rho").replace(".bias", ".bias_rho") for name in self.names]
        scale = torch.cat([softplus(own[name]).flatten() for name in rho])
        self.fill(self.flat() + scale * torch.randn(self.draws, len(scale), device=scale.device))


class Ensemble(Posterior):
    """Networks of the same form, drawn and trained apart, in one pass: a deep ensemble.

    All parameters are stacks, (members, ...), and the pass is vectorised over members by ``torch.func.vmap``; where a network
    convolves or steps through time, whose own products are large, members pass one after the other, to the same end. In
    training, distributions have the batch shape (members, batch).

    Args:
        networks: two or more of one form.

    References:
        Lakshminarayanan, Pritzel and Blundell, `Simple and Scalable Predictive Uncertainty Estimation using Deep
        Ensembles`, 2017, arXiv 1612.01474.
    """

    def __init__(self, networks: list[nn.Module]) -> None:
        nn.Module.__init__(self)
        self.draws = self.members = len(networks)
        parameters = {n: [dict(f.named_parameters())[n] for f in networks] for n, _ in networks[0].named_parameters()}
        self.names = tuple(parameters)
        self.stacks = nn.ParameterList([torch.stack([p.detach() for p in each]) for each in parameters.values()])
        for stack, first in zip(self.stacks, networks[0].parameters(), strict=True):
            stack.requires_grad_(first.requires_grad)
        # A buffer is a member's own where it is running statistics, or drawn; constants are alike for all, and stay with the form.
        buffers = [dict(f.named_buffers()) for f in networks]
        self.held = tuple(
            n
            for n, first in buffers[0].items()
            if n.rpartition(".")[2] in _RUNNING or not all(torch.equal(first, other[n]) for other in buffers[1:])
        )
        for i, name in enumerate(self.held):
            self.register_buffer(f"held_{i}", torch.stack([each[name].detach() for each in buffers]))
        # Not a part: what it computes with is always one of the stacks' slices.
        self.__dict__["form"] = networks[0]
        self.vectorised = not any(isinstance(m, _LARGE) or hasattr(m, "states") for m in networks[0].modules())

    @property
    def network(self) -> nn.Module:
        """The first member; its parameters are views of the stacks, so that it is what training made of it."""
        form: nn.Module = self.__dict__["form"]
        own = dict(form.named_parameters()) | dict(form.named_buffers())
        with torch.inference_mode(False):
            for name, stack in self._stacks().items():
                if own[name].data_ptr() != stack.data_ptr():
                    own[name].data = stack.detach()[0]
        return form

    @property
    def base(self) -> nn.Module:  # type: ignore[override]
        """As :attr:`network`."""
        return self.network

    def _stacks(self) -> dict[str, Tensor]:
        held = {name: getattr(self, f"held_{i}") for i, name in enumerate(self.held)}
        return dict(zip(self.names, self.stacks, strict=True)) | held

    def member(self, index: int) -> dict[str, Tensor]:
        """The state dict of one member's network."""
        return {name: stack[index] for name, stack in self._stacks().items()}

    def train(self, mode: bool = True) -> Ensemble:
        """Training or evaluation mode, also of the network that all members have the form of."""
        super().train(mode)
        self.__dict__["form"].train(mode)
        return self

    def forward(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Named outputs: in training of all members apart, in evaluation of their mixture."""
        outputs = self.apart(batch)
        return outputs if self.training else _mixed(outputs)

    def apart(self, batch: Mapping[str, Tensor]) -> Outputs:
        """The outputs of all members, distributions of batch shape (members, batch)."""
        return self._vectorised(batch) if self.vectorised else stacked(list(self._apart(batch)))

    def each(self, batch: Mapping[str, Tensor]) -> Iterator[Mapping[str, Value]]:
        """The outputs of each member."""
        return self._apart(batch)

    def _apart(self, batch: Mapping[str, Tensor]) -> Iterator[Mapping[str, Value]]:
        for index in range(self.members):
            yield functional_call(self.__dict__["form"], self.member(index), (batch,))

    def _vectorised(self, batch: Mapping[str, Tensor]) -> Outputs:
        form: nn.Module = self.__dict__["form"]
        outline: dict[str, Value] = {}

        def one(state: dict[str, Tensor]) -> dict[str, list[Tensor]]:
            outputs: dict[str, Value] = functional_call(form, state, (batch,))
            outline.update(outputs)
            return {name: _tensors(value) for name, value in outputs.items()}

        found: dict[str, list[Tensor]] = torch.func.vmap(one, randomness="different")(self._stacks())
        return {name: _rebuilt(outline[name], tensors) for name, tensors in found.items()}

    def mixes(self) -> str:
        """What is mixed, as the derivation prints it."""
        how = "in one vectorised pass" if self.vectorised else "one after the other within each step"
        return f"p(θ | data) by {self.draws} networks drawn and trained apart, {how}; the prediction is their mixture"

    def _apply(self, fn: Any, recurse: bool = True) -> Ensemble:
        self.__dict__["form"]._apply(fn, recurse)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


class Chains(Ensemble):
    """Networks that are trained apart and from there sample p(θ given X, Y), each a Markov chain; draws are of all of them.

    Args:
        networks: a chain each.
        draws: number of θ's kept, over all chains.
    """

    theta: Tensor
    drawn: Tensor
    convergence: Tensor

    def __init__(self, networks: list[nn.Module], draws: int) -> None:
        super().__init__(networks)
        self.draws = draws
        self.register_buffer("theta", torch.zeros(draws, self.flat().shape[1]))
        self.register_buffer("drawn", torch.tensor(False))
        # Largest split R̂ and least effective number of draws, as judged on some predictions.
        self.register_buffer("convergence", torch.full((2,), torch.nan))

    def flat(self) -> Tensor:
        """(chains, numbers) where each chain stands, running statistics too, detached."""
        return torch.cat([stack.detach().reshape(self.members, -1) for stack in self.floating().values()], 1)

    def floating(self) -> dict[str, Tensor]:
        """Name → stack, (chains, ...), of all that a draw has its own of: parameters and running statistics."""
        return {name: stack for name, stack in self._stacks().items() if stack.is_floating_point()}

    def fill(self, theta: Tensor, r_hat: float, effective: float) -> None:
        """Keep the draws ``theta``, (draws, numbers), and how well the chains agree."""
        self.theta.copy_(theta)
        self.drawn.fill_(True)
        self.convergence.copy_(torch.tensor([r_hat, effective]))

    def forward(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Named outputs: in training of all chains apart, in evaluation of the mixture over draws."""
        if self.training or not bool(self.drawn):
            return super().forward(batch)
        return combined(list(self.each(batch)))

    def each(self, batch: Mapping[str, Tensor]) -> Iterator[Mapping[str, Value]]:
        """The outputs under each draw; before there are draws, of each chain."""
        if not bool(self.drawn):
            yield from self._apart(batch)
            return
        shapes = {name: stack.shape[1:] for name, stack in self.floating().items()}
        form: nn.Module = self.__dict__["form"]
        for theta in self.theta:
            parts = torch.split(theta, [shape.numel() for shape in shapes.values()])
            state = {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}
            yield functional_call(form, state, (batch,))

    def mixes(self) -> str:
        """What is mixed, as the derivation prints it."""
        text = f"p(θ | data) by {self.draws} draws of {self.members} Markov chains; the prediction is their mixture"
        if not bool(self.drawn):
            return text
        r_hat, effective = self.convergence.tolist()
        return f"{text}; split R̂ at most {r_hat:.2f}, at least {effective:.0f} effective draws (of predictions)"


class DropoutDraws(Posterior):
    """Dropout kept on: each draw is one set of units switched off, the same for every row.

    In training the dropout layers draw anew for every row. In evaluation draw s uses masks that are a function of (s, layer),
    so that a prediction depends on nothing but its row, and each draw is one function.

    Args:
        base: a network with dropout layers.
        draws: number of masks.

    References:
        Gal and Ghahramani, `Dropout as a Bayesian Approximation`, 2016, arXiv 1506.02142.
    """

    def __init__(self, base: nn.Module, draws: int) -> None:
        super().__init__(base, draws)
        self.layers = [m for m in base.modules() if isinstance(m, DROPOUTS) and m.p > 0]

    def each(self, batch: Mapping[str, Tensor]) -> Iterator[Mapping[str, Value]]:
        """The outputs under each mask."""
        for draw in range(self.draws):
            with _Masked(self.layers, draw):
                yield self.base(batch)

    def mixes(self) -> str:
        """What is mixed, as the derivation prints it."""
        return (
            f"p(θ | data) by {self.draws} dropout masks, each the same for every row; the prediction is their mixture"
        )


DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_RUNNING = ("running_mean", "running_var", "num_batches_tracked")
_LARGE = (nn.modules.conv._ConvNd, nn.RNNBase)


class _Masked:
    """While open, each dropout layer multiplies by the mask of one draw."""

    def __init__(self, layers: Sequence[nn.Module], draw: int) -> None:
        self.layers, self.draw = layers, draw
        self.handles: list[Any] = []

    def __enter__(self) -> None:
        for place, layer in enumerate(self.layers):
            self.handles.append(layer.register_forward_hook(self._hook(place)))

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _hook(self, place: int) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            keep = 1.0 - float(layer.p)  # type: ignore[arg-type]
            generator = torch.Generator().manual_seed(self.draw * 1009 + place)
            # One number a unit; of maps one a channel. Features stand last in (rows, units), second in (rows, channels, ...).
            whole = not isinstance(layer, nn.Dropout)
            shape = (output.shape[1], *(1,) * (output.dim() - 2)) if whole else (output.shape[-1],)
            mask = torch.bernoulli(torch.full(shape, keep), generator=generator).to(output)
            return output * (mask / keep)

        return hook


def combined(each: list[Mapping[str, Value]]) -> Outputs:
    """The mixture of what several θ's say; a tensor, such as z, as the first has it."""
    return dict(each[0]) if len(each) == 1 else _mixed(stacked(each))


def _mixed(outputs: Mapping[str, Value]) -> Outputs:
    return {
        name: over_parameters(value) if isinstance(value, Distribution) else value[0] for name, value in outputs.items()
    }


def stacked(each: list[Mapping[str, Value]]) -> Outputs:
    """The outputs of several networks with a new first dimension, (draws, batch, ...)."""
    return {
        name: _rebuilt(
            value, [torch.stack(parts) for parts in zip(*(_tensors(found[name]) for found in each), strict=True)]
        )
        for name, value in each[0].items()
    }


def floating(base: nn.Module) -> tuple[str, ...]:
    """Names of the floating tensors that a draw of θ has its own of: parameters that move, and running statistics."""
    named = base.state_dict(keep_vars=True).items()
    return tuple(n for n, v in named if v.is_floating_point() and (v.requires_grad or not isinstance(v, nn.Parameter)))


def _tensors(value: Value) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else tensors_of(value)


def _rebuilt(form: Value, tensors: list[Tensor]) -> Value:
    if isinstance(form, Tensor):
        return tensors[0]
    parts = iter(tensors)
    return map_arguments(form, lambda _: next(parts))
