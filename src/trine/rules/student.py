"""Real → Student: the squared error near, a logarithm of it far out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import StudentT

from trine.domains import Real

from ._base import Linear, Rule, rules
from ._links import Head, inverse_softplus, positive, spread

START = 5.0
"""Degrees of freedom to begin with."""
QUICK = 30.0
"""How many times faster than a weight the degrees of freedom move: the tail has to be found before the network has bent
location and scale to the outliers, which a number that is one of thousands, all with one step size, is too late for."""


@rules.register("student")
class StudentRule(Rule):
    r"""q(y given x) = Student(df, location(z), scale(z)), with one learned df > 2, so that the variance exists.

    .. math:: -\log q(y) = \log s + \tfrac{\nu + 1}{2} \log\bigl(1 + \tfrac{(y - m)^2}{\nu s^2}\bigr) + c(\nu)
    """

    serves = (Real,)
    formula = "linear, softplus → Student(location, scale; one learned df > 2)"
    identity = "(df + 1)/2 · log(1 + (y − location)² / (df scale²)) + log scale: squared error that forgives outliers"

    def __init__(self, features: int, domain: Real, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.unit = spread(domain.std) * math.sqrt((START - 2) / START)
        self.head = Head(features, [domain.mean, inverse_softplus(1.0)], linear)
        self.tail = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> StudentT:
        location, scale = self.head(features).unbind(-1)
        # Between 2 and 200: above, Student and normal are the same and lgamma loses its digits in float32.
        df = 2.0 + positive(QUICK * self.tail + inverse_softplus(START - 2.0), low=-4.0, high=200.0)
        return StudentT(df, location, self.unit * positive(scale, low=-9.0), validate_args=False)
