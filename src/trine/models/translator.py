"""Two piles that nobody paired: a generator either way, with noise, and encoders of what the noise was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Laplace, Normal
from torch.nn.functional import pad

from trine.blocks.counted import Drawn, onto
from trine.errors import ChoiceError
from trine.models.generator import Noise

Outputs = dict[str, Tensor | Distribution]

SIDES = ("b", "a")
"""What is translated to, in the order in which it is told."""
PLACES = {"a": 0, "b": 1}
"""Side → its place in whatever is of both: pairs of rows, widths of noise."""
LIKELIHOODS = ("laplace", "normal")
"""Under which what comes back of a cycle is scored: absolute or squared differences."""


class Maps(Protocol):
    """What a generator of a :class:`Translator` is: (value of the other pile, noise) → value of its own pile, as critics see them.

    ``seen`` reads its own pile's columns of a batch, and ``columns`` gives what was made as their domains decode it.
    ``features``, asked of one that is contrasted, are those of its own encoder, (batch, channels, height, width) each; and
    ``with_features`` gives them beside what is made, at no more cost.
    """

    shape: tuple[int, ...]

    def __call__(self, value: Tensor, z: Tensor) -> Tensor: ...
    def seen(self, batch: Mapping[str, Tensor]) -> Tensor: ...
    def columns(self, seen: Tensor) -> dict[str, Tensor]: ...
    def features(self, value: Tensor, z: Tensor) -> list[Tensor]: ...
    def with_features(self, value: Tensor, z: Tensor) -> tuple[Tensor, list[Tensor]]: ...


def around(middle: Tensor, likelihood: str = "laplace") -> Independent:  # type: ignore[type-arg]
    """q(value given its reconstruction): independent numbers around it, of the scale at which a perfect one scores 0.

    The density at its middle is 1: so −log q is Σ 2|x − m| of Laplace, of scale ½, and Σ π(x − m)² of a normal, of scale 1/√(2π).
    """
    if likelihood == "laplace":
        return Independent(Laplace(middle, 0.5, validate_args=False), middle.dim() - 1, validate_args=False)
    normal = Normal(middle, 1.0 / math.sqrt(2.0 * math.pi), validate_args=False)
    return Independent(normal, middle.dim() - 1, validate_args=False)


class Translator(nn.Module):
    """Two generators G_AB(a, z_b) and G_BA(b, z_a), and two encoders that give the codes of a pair (a, b).

    What a lacks and b has is in z_b, and the other way round: so one a has many b's, and a cycle a → b → a needs what of a is not
    in b, which is ``code_a``. Without codes the generators would hide it in b where no eye sees it, and leave the noise out.

    Outputs, all as critics see values, (batch, …):

    - ``real_a``, ``real_b``; ``z_a``, ``z_b``: the noise, N(0, I);
    - ``fake_b`` = G_AB(a, z_b), ``fake_a`` = G_BA(b, z_a);
    - ``noise_b``, ``noise_a``: q(z_b | a, fake_b), q(z_a | fake_a, b): the noise, recovered from the pair that it made;
    - ``code_a`` = E_A(a, fake_b), ``code_b`` = E_B(fake_a, b);
    - ``cycle_a``: q(a | G_BA(fake_b, code_a)), ``cycle_b``: q(b | G_AB(fake_a, code_b));
    - with ``shared``: ``shared_a``, ``shared_b``: of the columns that both piles have, what both are seen by; ``moved_b``:
      q(shared_a | the same of fake_b), ``moved_a``: q(shared_b | the same of fake_a): how far a row is moved.
    - with ``same``: ``same_a``: q(a | G_BA(a, 0)), ``same_b``: q(b | G_AB(b, 0)): what is of a pile already stays as it is.

    With ``contrast`` there are no codes and no cycles. In their place ``patches_b`` and ``source_b`` are features of the same
    places of fake_b and of a, (batch, layers, places, width), and ``patches_a`` and ``source_a`` of fake_a and b; with
    ``same`` also ``patches_same_b`` and ``source_same_b`` of G_AB(b, 0) and b, and likewise for A.

    Everything is computed once: what both piles ask of one network goes through it together.

    Args:
        to_b, to_a: the generators. code_a, code_b: (a, b) → (batch, width) codes.
        noise: (width of z_a, width of z_b).
        same: whether values of a generator's own pile pass through it too; both piles' values need one shape.
        likelihood: of cycles and of what stays the same: ``laplace`` or ``normal``.
        contrast: (features of both, …) → what is contrasted, in the place of cycles.
        shared: where in a row of either pile the columns are that both have.

    Raises:
        ChoiceError: another likelihood, or ``same`` for values of other shapes.

    References:
        Zhu et al., `Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks`, 2017. Almahairi et al.,
        `Augmented CycleGAN: Learning Many-to-Many Mappings from Unpaired Data`, 2018, section 4. Park et al., `Contrastive Learning
        for Unpaired Image-to-Image Translation`, 2020 (contrast).
    """

    def __init__(
        self,
        to_b: nn.Module,
        to_a: nn.Module,
        code_a: nn.Module,
        code_b: nn.Module,
        noise: tuple[int, int],
        *,
        same: bool = False,
        likelihood: str = "laplace",
        contrast: Contrast | None = None,
        shared: Shared | None = None,
    ) -> None:
        super().__init__()
        if likelihood not in LIKELIHOODS:
            raise ChoiceError(f"A cycle is scored under {' or '.join(LIKELIHOODS)}, and not under {likelihood!r}.")
        if same and _maps(to_a).shape != _maps(to_b).shape:
            raise ChoiceError(
                f"Values of A have the shape {_maps(to_a).shape} and those of B {_maps(to_b).shape}: G_AB cannot be asked to "
                "leave B as it is. Leave the identity term out: identity_weight=0."
            )
        self.to_b, self.to_a = to_b, to_a
        self.code_a, self.code_b = code_a, code_b
        self.noise, self.same, self.likelihood = noise, same, likelihood
        # Of a batch that several processes share each draws the whole: together they draw what one does.
        self.drawn_a, self.drawn_b = (Noise(width, stream) for stream, width in enumerate(noise, start=1))
        self.contrast, self.shared = contrast, shared

    @property
    def called(self) -> dict[str, str]:
        """What its parts are, for a summary."""
        return {"to_b": "A → B", "to_a": "B → A", "code_a": "code of A", "code_b": "code of B", "contrast": "places"}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives."""
        each = ["real", "fake", "z", "noise"]
        each += ["code", "cycle"] if self.contrast is None else ["patches", "source"]
        if self.shared is not None:
            each += ["shared", "moved"]
        if self.same:
            each += ["same"] if self.contrast is None else ["patches_same", "source_same"]
        return tuple(f"{name}_{side}" for name in each for side in ("a", "b"))

    def forward(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Named outputs for the rows of ``batch``, a row of A beside one of B."""
        to_a, to_b = _maps(self.to_a), _maps(self.to_b)
        a, b = to_a.seen(batch), to_b.seen(batch)
        z_a, z_b = self.drawn_a(batch), self.drawn_b(batch)
        outputs: Outputs = {"real_a": a, "real_b": b, "z_a": z_a, "z_b": z_b}
        made = self._contrasted(a, b, z_a, z_b) if self.contrast is not None else self._cycled(a, b, z_a, z_b)
        if self.shared is not None:
            for side, source, fake in (("b", "a", made["fake_b"]), ("a", "b", made["fake_a"])):
                assert isinstance(fake, Tensor)
                outputs[f"shared_{source}"] = self.shared(a if source == "a" else b, source)
                outputs[f"moved_{side}"] = around(self.shared(fake, side), self.likelihood)
        return {**outputs, **made}

    def _cycled(self, a: Tensor, b: Tensor, z_a: Tensor, z_b: Tensor) -> Outputs:
        to_a, to_b = _maps(self.to_a), _maps(self.to_b)
        fake_b, fake_a = to_b(a, z_b), to_a(b, z_a)
        # Both pairs go through each encoder at once: one with its code wanted, the other with its noise to be found again.
        pairs = torch.cat([a, fake_a]), torch.cat([fake_b, b])
        code_a, noise_a = self.code_a(*pairs).chunk(2)
        noise_b, code_b = self.code_b(*pairs).chunk(2)
        outputs: Outputs = {"fake_a": fake_a, "fake_b": fake_b, "code_a": code_a, "code_b": code_b}
        back_a, back_b = (fake_b, code_a), (fake_a, code_b)
        if self.same:
            back_a = torch.cat([fake_b, a]), torch.cat([code_a, torch.zeros_like(z_a)])
            back_b = torch.cat([fake_a, b]), torch.cat([code_b, torch.zeros_like(z_b)])
        cycle_a, *same_a = torch.split(to_a(*back_a), len(a))
        cycle_b, *same_b = torch.split(to_b(*back_b), len(b))
        for name, middle in (("cycle_a", cycle_a), ("cycle_b", cycle_b)):
            outputs[name] = around(middle, self.likelihood)
        for name, noise in (("noise_a", noise_a), ("noise_b", noise_b)):
            outputs[name] = around(noise, "normal")
        if self.same:
            outputs["same_a"], outputs["same_b"] = (around(found[0], self.likelihood) for found in (same_a, same_b))
        return outputs

    def _contrasted(self, a: Tensor, b: Tensor, z_a: Tensor, z_b: Tensor) -> Outputs:
        outputs: Outputs = {}
        ways = (("b", self.to_b, a, b, z_b, self.code_b), ("a", self.to_a, b, a, z_a, self.code_a))
        for side, generator, source, own, z, code in ways:
            to = _maps(generator)
            assert self.contrast is not None
            inputs, noise = (
                (torch.cat([source, own]), torch.cat([z, torch.zeros_like(z)])) if self.same else (source, z)
            )
            made, before = to.with_features(inputs, noise)
            patches, sources = self.contrast(side, to.features(made, noise), before)
            fake = made[: len(source)]
            outputs[f"fake_{side}"] = fake
            outputs[f"patches_{side}"], outputs[f"source_{side}"] = patches[: len(source)], sources[: len(source)]
            if self.same:
                outputs[f"patches_same_{side}"] = patches[len(source) :]
                outputs[f"source_same_{side}"] = sources[len(source) :]
            pair = (source, fake) if side == "b" else (fake, source)
            outputs[f"noise_{side}"] = around(code(*pair), "normal")
        return outputs

    def translate(self, batch: Mapping[str, Tensor], to: str, z: Tensor | None = None) -> Tensor:
        """Rows of the one pile as rows of the other, as critics see them.

        Args:
            batch: has the columns of the pile that is translated from.
            to: ``"a"`` or ``"b"``. z: (batch, width) noise; None draws it.
        """
        generator, other = (self.to_b, self.to_a) if to == "b" else (self.to_a, self.to_b)
        value = _maps(other).seen(batch)
        width = self.noise[PLACES[to]]
        z = torch.randn(len(value), width, device=value.device, dtype=value.dtype) if z is None else z
        made: Tensor = generator(value, z)
        return made


class Shared(nn.Module):
    """Of a row as critics see it, (batch, numbers), what a row of the other pile is seen by too: (batch, shared numbers).

    Args:
        a, b: places of these numbers in a row of either pile, in one order. columns: that they are of.
        scale: by which each is multiplied, so that a column of many numbers weighs as one; None: 1.
    """

    a: Tensor
    b: Tensor
    scale: Tensor

    def __init__(self, a: list[int], b: list[int], columns: int, scale: list[float] | None = None) -> None:
        super().__init__()
        self.columns = columns
        self.register_buffer("scale", torch.tensor([1.0] * len(a) if scale is None else scale), persistent=False)
        self.register_buffer("a", torch.tensor(a), persistent=False)
        self.register_buffer("b", torch.tensor(b), persistent=False)

    def forward(self, rows: Tensor, side: str) -> Tensor:
        return rows.flatten(1)[:, self.a if side == "a" else self.b] * self.scale


class Contrast(Drawn):
    """Features of both pictures at the same places, projected: what :class:`~trine.divergences.patch_nce.PatchNCE` compares.

    Each layer has two dense layers of its own, for each direction. Places are drawn anew for every batch, alike for all its rows
    and, in training, in every process that has a share of it; a layer with fewer places gives all of them, and is NaN beyond.

    Args:
        channels: of the layers of each generator's encoder. width: of what is compared. places: in each layer.

    References:
        Park et al., 2020, section 3 and appendix C.
    """

    def __init__(self, channels: list[int], width: int = 64, places: int = 64) -> None:
        super().__init__(3_000_017)
        self.places = places
        self.layers = nn.ModuleDict(
            {
                side: nn.ModuleList(
                    nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
                )
                for side in ("a", "b")
            }
        )

    def forward(self, side: str, after: list[Tensor], before: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Features of what was made and of what it was made from → (batch, layers, places, width) of either."""
        layers = self.layers[side]
        assert isinstance(layers, nn.ModuleList)
        found = []
        generator = self.generator() if self.training else None
        for layer, made, source in zip(layers, after, before, strict=True):
            count = made.shape[2:].numel()
            drawn = onto(torch.randperm(count, generator=generator)[: self.places], made.device)
            both = torch.cat([made.flatten(2), source.detach().flatten(2)])[:, :, drawn]
            found.append(layer(both.transpose(1, 2)))
        most = max(values.shape[1] for values in found)
        filled = [pad(values, (0, 0, 0, most - values.shape[1]), value=math.nan) for values in found]
        patches, sources = torch.stack(filled, 1).chunk(2)
        return patches, sources


def _maps(generator: nn.Module) -> Maps:
    return generator  # type: ignore[return-value]
