"""The curvature of −log q(Y given X, θ) at a mode: the generalised Gauss-Newton matrix, of the last layer or Kronecker-factored.

References:
    Martens, `New Insights and Perspectives on the Natural Gradient Method`, 2020 (it equals the Fisher information here).
    Martens and Grosse, `Optimizing Neural Networks with Kronecker-factored Approximate Curvature`, 2015; Grosse and Martens,
    `A Kronecker-factored Approximate Fisher Matrix for Convolution Layers`, 2016.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Laplace
from torch.nn.functional import unfold

from trine.errors import ChoiceError
from trine.rules import quantile

POINTS = 16
"""Quantiles of q over which the curvature in the rule's outputs is averaged."""
COLUMNS = 16
"""Most backward passes a batch; with more outputs of a rule, that many random combinations of them stand for all."""


@dataclasses.dataclass
class Factors:
    """One layer's block, Σ over rows of (inputs ⊗ slopes): ``inputs`` (in, in) is a mean, ``slopes`` (out, out) a sum.

    The layer's weights are the matrix (out, in), a bias being the last input, which is 1.
    """

    inputs: Tensor
    slopes: Tensor


@contextlib.contextmanager
def passing(layers: Mapping[str, nn.Module]) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """While open, what goes into each layer (detached), and what it gives, are noted under the layer's name."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(_layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            inputs[name], outputs[name] = given[0].detach(), output

        return hook

    handles = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    try:
        yield inputs, outputs
    finally:
        for handle in handles:
            handle.remove()


def rules_of(network: nn.Module) -> dict[str, nn.Module]:
    """Target → decision rule."""
    return dict(zip(network.targets, network.rules, strict=True))  # type: ignore[arg-type]


def linear_of(rule: nn.Module) -> nn.Linear:
    """The rule's last linear map.

    Raises:
        ChoiceError: it has none of the usual form: a sequence's rule, or weight-sharing members.
    """
    linear = getattr(getattr(rule, "head", None), "linear", None)
    if not isinstance(linear, nn.Linear):
        raise ChoiceError(
            "posterior=laplace needs a decision rule that ends in one linear map, with members=1; for sequences or "
            "weight-sharing members choose posterior=ensemble or swag."
        )
    return linear


def information(rule: nn.Module, raw: Tensor) -> Tensor:
    """(batch, k, k): E over y ~ q of −∂² log q(y) / ∂ raw², the Fisher information about the rule's raw outputs.

    Of categories exact; of numbers the mean over 16 quantiles of q, of second derivatives (for the Laplace family of outer
    products of scores); of vectors the mean of outer products over as many draws. What is left of negative eigenvalues is cut off.

    Args:
        rule: the decision rule. raw: (batch, k) raw linear outputs.
    """
    linear = linear_of(rule)
    features = raw.new_zeros(len(raw), linear.in_features)
    with torch.enable_grad():
        raw = raw.detach().requires_grad_(True)
        handle = linear.register_forward_hook(lambda _m, _i, _o: raw)
        try:
            q: Distribution = rule(features)
        finally:
            handle.remove()
        if isinstance(q, Categorical):
            found = _of_classes(q, raw)
        elif q.event_shape:
            found = _by_scores(q, raw, [q.sample() for _ in range(POINTS)])
        elif isinstance(q, Laplace):
            # Its curvature is a spike, which second derivatives miss.
            found = _by_scores(q, raw, _quantiles(q, raw, 4 * POINTS))
        else:
            found = _by_hessian(q, raw)
    values, vectors = torch.linalg.eigh(found.double())
    rebuilt: Tensor = (vectors * values.clamp_min(0.0).unsqueeze(-2)) @ vectors.mT
    return rebuilt.to(raw.dtype).detach()


def _of_classes(q: Categorical, raw: Tensor) -> Tensor:
    """Jᵀ (diag p − p pᵀ) J for the logits' slopes J in the raw outputs."""
    p = q.probs.detach()
    columns = [torch.autograd.grad(q.logits[:, j].sum(), raw, retain_graph=True)[0] for j in range(p.shape[-1])]
    slopes = torch.stack(columns, 1)  # of log p: its mean over p is 0, so that Σ p · slope slopeᵀ is the information
    found: Tensor = torch.einsum("nc,nci,ncj->nij", p, slopes, slopes)
    return found


def _by_hessian(q: Distribution, raw: Tensor) -> Tensor:
    y = torch.stack(_quantiles(q, raw, POINTS))
    loss = -torch.as_tensor(q.log_prob(y)).mean(0).sum()
    (slope,) = torch.autograd.grad(loss, raw, create_graph=True)
    rows = [
        torch.autograd.grad(slope[:, j].sum(), raw, retain_graph=True, allow_unused=True)[0]
        for j in range(raw.shape[1])
    ]
    found = torch.stack([torch.zeros_like(raw) if row is None else row for row in rows], 1)
    return 0.5 * (found + found.mT)


def _by_scores(q: Distribution, raw: Tensor, points: list[Tensor]) -> Tensor:
    found = raw.new_zeros(len(raw), raw.shape[1], raw.shape[1])
    for y in points:
        (score,) = torch.autograd.grad(torch.as_tensor(q.log_prob(y)).sum(), raw, retain_graph=True)
        found += score.unsqueeze(2) * score.unsqueeze(1) / len(points)
    return found


def _quantiles(q: Distribution, raw: Tensor, points: int) -> list[Tensor]:
    with torch.no_grad():
        return [quantile(q, (point + 0.5) / points).to(raw.dtype) for point in range(points)]


def counted(batch: Mapping[str, Tensor], target: str, rows: int) -> Tensor:
    """(batch,) how much each row counts in the likelihood of a target: 0 where it is missing."""
    weight = batch.get("weight")
    found = torch.ones(rows) if weight is None else weight.float() / weight.float().mean().clamp_min(1e-12)
    present = batch.get(f"y.{target}.present")
    return found if present is None else found * present


def last_layer(network: nn.Module, batches: Iterator[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], int]:
    """Target → Σ over rows of information ⊗ (z zᵀ), (k·(d + 1), k·(d + 1)), with a 1 behind z; and the number of rows."""
    found: dict[str, Tensor] = {}
    seen = 0
    for batch in batches:
        rules = rules_of(network)
        heads = {target: linear_of(rule) for target, rule in rules.items()}
        with torch.no_grad(), passing(heads) as (inputs, raw):
            network(batch)
        for target, rule in rules.items():
            z = _with_one(inputs[target], linear_of(rule).bias is not None)
            curve = information(rule, raw[target]) * counted(batch, target, len(z)).to(z).view(-1, 1, 1)
            k, d = curve.shape[-1], z.shape[-1]
            block = torch.stack([(z * curve[:, i, j, None]).mT @ z for i in range(k) for j in range(k)])
            block = block.view(k, k, d, d).permute(0, 2, 1, 3).reshape(k * d, k * d).double()
            found[target] = found[target] + block if target in found else block
        seen += len(z)
    return found, seen


def kronecker(
    network: nn.Module, layers: Mapping[str, nn.Module], batches: Iterator[Mapping[str, Tensor]]
) -> tuple[dict[str, Factors], int]:
    """Name of a layer → its factors; and the number of rows seen.

    Args:
        layers: linear or two-dimensional convolutional layers of the network.
    """
    found: dict[str, Factors] = {}
    seen = 0
    for batch in batches:
        heads = {target: linear_of(rule) for target, rule in rules_of(network).items()}
        with torch.enable_grad(), passing(layers) as (inputs, outputs), passing(heads) as (_, raw):
            network(batch)
        parts: dict[str, Tensor] = {}
        used = [name for name in layers if name in outputs]
        rows = len(next(iter(raw.values())))
        for target, rule in rules_of(network).items():
            curve = information(rule, raw[target]) * counted(batch, target, rows).to(raw[target]).view(-1, 1, 1)
            for column in _columns(curve):
                slopes = torch.autograd.grad(
                    (raw[target] * column).sum(), [outputs[name] for name in used], retain_graph=True, allow_unused=True
                )
                for name, slope in zip(used, slopes, strict=True):
                    if slope is not None:
                        _, g = _flat(layers[name], inputs[name], slope)
                        parts[name] = parts.get(name, 0.0) + g.mT @ g
        for name in parts:
            a, g = _flat(layers[name], inputs[name], outputs[name])
            places = len(a) / rows
            block = Factors((a.mT @ a).double(), parts[name].double() / places)
            if name in found:
                found[name].inputs += block.inputs
                found[name].slopes += block.slopes
            else:
                found[name] = block
        seen += rows
    for factors in found.values():
        factors.inputs /= seen
    return found, seen


def _columns(curve: Tensor) -> Iterator[Tensor]:
    """Vectors (batch, k) whose outer products add up to ``curve``, in the mean where there are too many outputs for all."""
    values, vectors = torch.linalg.eigh(curve)
    root = vectors * values.clamp_min(0.0).sqrt().unsqueeze(-2)
    if curve.shape[-1] <= COLUMNS:
        yield from root.unbind(-1)
        return
    for _ in range(COLUMNS):
        yield (root @ torch.randn(*root.shape[:-1], 1, dtype=root.dtype, device=root.device)).squeeze(-1) / COLUMNS**0.5


def _flat(layer: nn.Module, given: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    """(places, in [+ 1]) what the layer's weights multiply and (places, out) of what it gives, or of that's slope."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Conv2d):
        patches = unfold(given, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        return _with_one(patches.mT.flatten(0, 1), bias), output.flatten(2).mT.flatten(0, 1)
    return _with_one(given.flatten(0, -2), bias), output.flatten(0, -2)


def _with_one(z: Tensor, bias: bool) -> Tensor:
    return torch.cat([z, z.new_ones(*z.shape[:-1], 1)], -1) if bias else z
