"""Dense stacks: shapes, orders of normalisation, and scales through a hundred layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trine.blocks import Dense, activations, critical, gain, init_linear, layer_scales
from trine.errors import ChoiceError

DEPTH, WIDTH, BATCH = 100, 128, 64


def scales(model: nn.Module) -> tuple[list[float], list[float]]:
    """Standard deviations of activations and of gradients (relative to the last layer's) by layer."""
    x = torch.randn(BATCH, WIDTH)

    def run_backward() -> torch.Tensor:
        loss = (model(x) * torch.randn(BATCH, WIDTH)).sum()
        loss.backward()
        return loss

    rows = layer_scales(model, run_backward)
    assert len(rows) == DEPTH
    return [row["activation"] for row in rows], [row["gradient"] / rows[-1]["gradient"] for row in rows]


def assert_kept(model: nn.Module) -> None:
    for kept in scales(model):
        assert min(kept) >= 0.1
        assert max(kept) <= 10.0


@pytest.mark.parametrize("activation", sorted(activations))
def test_plain_stack_keeps_scales_through_a_hundred_layers(activation: str) -> None:
    assert_kept(Dense(WIDTH, [WIDTH] * DEPTH, activation))


@pytest.mark.parametrize("activation", sorted(activations))
@pytest.mark.parametrize("prenorm", [False, True])
@pytest.mark.parametrize("normalization", ["none", "layer", "rms", "batch"])
def test_residual_stack_keeps_scales_through_a_hundred_layers(
    activation: str, normalization: str, prenorm: bool
) -> None:
    assert_kept(Dense(WIDTH, [WIDTH] * DEPTH, activation, normalization, prenorm, residual=True))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid])
def test_scales_vanish_without_the_cure(activation: type[nn.Module]) -> None:
    """Torch's own initial weights: the gradient at the first layer is lost."""
    layers = [nn.Sequential(nn.Linear(WIDTH, WIDTH), activation()) for _ in range(DEPTH)]
    _, gradients = scales(nn.Sequential(*layers))
    assert gradients[0] < 1e-6


def test_scales_explode_with_too_large_weights() -> None:
    layers = []
    for _ in range(DEPTH):
        linear = nn.Linear(WIDTH, WIDTH)
        init_linear(linear, "relu", scale=1.4)
        layers.append(nn.Sequential(linear, nn.ReLU()))
    forward, gradients = scales(nn.Sequential(*layers))
    assert forward[-1] > 1e6
    assert gradients[0] > 1e6


def test_gain_is_closed_form_or_measured() -> None:
    u = torch.randn(2_000_000, dtype=torch.float64)
    assert gain("linear") == 1.0
    for name, function in activations.items():
        second_moment = (function(u) - function(torch.zeros(()))).square().mean()
        assert gain(name) ** 2 * second_moment == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_critical_scheme_keeps_variance_and_gradient(activation: str) -> None:
    scheme = critical(activation)
    q = 1.0 if scheme.first is None else scheme.first + scheme.bias
    u = (q**0.5 * torch.randn(2_000_000, dtype=torch.float64)).requires_grad_()
    values = activations[activation](u)
    (slopes,) = torch.autograd.grad(values.sum(), u)
    assert scheme.weight * values.detach().square().mean() + scheme.bias == pytest.approx(q, rel=0.01)
    assert scheme.weight * slopes.square().mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("normalization", ["none", "layer", "rms", "batch"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("prenorm", [False, True])
@pytest.mark.parametrize("lead", [(5,), (3, 5)])
def test_shapes_and_gradients(normalization: str, residual: bool, prenorm: bool, lead: tuple[int, ...]) -> None:
    block = Dense(7, (8, 8, 4, 4), "gelu", normalization, prenorm, residual, dropout=0.1)
    out = block(torch.randn(*lead, 7))
    assert out.shape == (*lead, block.features) == (*lead, 4)
    out.square().sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_no_hidden_layer_is_the_identity() -> None:
    x = torch.randn(3, 5)
    block = Dense(5, ())
    assert block.features == 5
    assert torch.equal(block(x), x)


def test_orders_of_normalisation_are_the_documented_formulas() -> None:
    x = torch.randn(6, 4)
    for prenorm in (False, True):
        for residual in (False, True):
            block = Dense(4, (4, 4), "tanh", "layer", prenorm, residual).double()
            maps = [module for module in block.modules() if isinstance(module, nn.Linear)]
            norm = lambda a: nn.functional.layer_norm(a, (4,))  # noqa: E731
            first, second = maps
            a = first(x.double())
            if residual and prenorm:
                expected = torch.tanh(norm(a + second(torch.tanh(norm(a)))))
            elif residual:
                a = norm(a)
                expected = torch.tanh(norm(a + second(torch.tanh(a))))
            elif prenorm:
                expected = torch.tanh(second(norm(torch.tanh(a))))
            else:
                expected = torch.tanh(norm(second(torch.tanh(norm(a)))))
            torch.testing.assert_close(block(x.double()), expected)


def test_dropout_acts_in_training_only() -> None:
    block = Dense(4, (64,), dropout=0.5)
    x = torch.randn(8, 4)
    block.eval()
    assert torch.equal(block(x), block(x))
    block.train()
    assert not torch.equal(block(x), block(x))


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ChoiceError, match=r"'rleu'.*'relu'"):
        Dense(4, (4,), "rleu")
    with pytest.raises(ChoiceError, match=r"'bach'.*'batch'"):
        Dense(4, (4,), "relu", "bach")


def test_title_counts_equal_widths() -> None:
    assert Dense(8, (16, 16)).title() == "dense 8 → 16 → 16, relu"
    assert Dense(8, [16] * 100, "gelu", "layer", True, True).title() == (
        "dense 8 → 16 × 100, gelu, pre-norm layer, residual"
    )
