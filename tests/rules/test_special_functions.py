"""Incomplete gamma and beta functions and Student's cdf: values against SciPy, derivatives against mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special
import torch

from trine.rules import special

A = torch.tensor([0.07, 0.4, 1.0, 3.7, 55.0, 2000.0], dtype=torch.float64)


def test_values_are_scipys() -> None:
    x = A * torch.tensor([0.3, 2.0, 1.1, 0.9, 1.05, 1.01], dtype=torch.float64)
    assert torch.allclose(
        special.gammainc(A, x), torch.from_numpy(scipy.special.gammainc(A.numpy(), x.numpy())), atol=1e-12
    )
    u = torch.tensor([0.02, 0.3, 0.5, 0.7, 0.95, 0.49], dtype=torch.float64)
    b = A.flip(0)
    expected = scipy.special.betainc(A.numpy(), b.numpy(), u.numpy())
    assert torch.allclose(special.betainc(A, b, u), torch.from_numpy(expected))
    t = torch.linspace(-4, 4, 6, dtype=torch.float64)
    assert torch.allclose(special.stdtr(A, t), torch.from_numpy(scipy.special.stdtr(A.numpy(), t.numpy())))


@pytest.mark.parametrize(
    ("function", "exact", "args"),
    [
        (special.gammainc, lambda a, x: mpmath.gammainc(a, 0, x, regularized=True), (2.3, 1.7)),
        (special.gammainc, lambda a, x: mpmath.gammainc(a, 0, x, regularized=True), (0.11, 0.05)),
        (special.gammainc, lambda a, x: mpmath.gammainc(a, 0, x, regularized=True), (300.0, 310.0)),
        (special.betainc, lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True), (2.3, 0.8, 0.6)),
        (special.betainc, lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True), (40.0, 70.0, 0.33)),
        (
            special.stdtr,
            lambda n, t: 1 - mpmath.betainc(n / 2, 0.5, 0, n / (n + t * t), regularized=True) / 2,
            (4.3, 1.2),
        ),
    ],
)
def test_derivatives_are_exact(function, exact, args) -> None:
    leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in args]
    grads = torch.autograd.grad(function(*leaves), leaves)
    for i, grad in enumerate(grads):
        expected = float(mpmath.diff(exact, args, n=tuple(int(i == j) for j in range(len(args)))))
        assert grad.item() == pytest.approx(expected, rel=1e-5)


def test_broadcast_dtype_and_reduced_gradient() -> None:
    a = torch.tensor([1.5, 2.5], requires_grad=True)
    x = torch.rand(3, 1)
    value = special.gammainc(a, x)
    assert value.shape == (3, 2)
    assert value.dtype == torch.float32
    value.sum().backward()
    assert a.grad is not None
    assert a.grad.shape == (2,)


def test_outside_the_support() -> None:
    a = torch.tensor([2.0], dtype=torch.float64)
    assert special.gammainc(a, torch.tensor([-3.0], dtype=torch.float64)).item() == 0.0
    assert special.betainc(a, a, torch.tensor([1.5], dtype=torch.float64)).item() == 1.0
    x = torch.tensor([-1.0, 2.0], dtype=torch.float64, requires_grad=True)
    special.betainc(a, a, x).sum().backward()
    assert np.array_equal(x.grad.numpy(), [0.0, 0.0])
