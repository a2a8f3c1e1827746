"""Fitted domains to build rules for."""

from __future__ import annotations

from trine.domains import Category, Count, Domain, Positive, Real, Unit, Vector

DOMAINS: dict[str, Domain] = {
    "real": Real(mean=0.1, std=1.2, centre=1e6, scale=250.0),
    "positive": Positive(mean=1.3, std=0.9, scale=180_000.0),
    "unit": Unit(mean=0.3, std=0.2),
    "count": Count(mean=6.0, std=5.0),
    "category": Category(labels=("a", "b", "c"), shares=(0.5, 0.2, 0.3)),
    "binary": Category(labels=("no", "yes"), shares=(0.76, 0.24)),
    "ordered": Category(labels=("low", "mid", "high"), ordered=True, shares=(0.5, 0.2, 0.3)),
    "vector": Vector(size=2, centre=(3.0, -1.0), scale=(2.0, 10.0), mean=(0.1, -0.2), std=(1.0, 1.5)),
}

KIND = {
    "normal": "real",
    "normal-fixed": "real",
    "laplace": "real",
    "logistic": "real",
    "student": "real",
    "gamma": "positive",
    "gamma-exp": "positive",
    "gamma-fixed": "positive",
    "lognormal": "positive",
    "softplus-normal": "positive",
    "beta": "unit",
    "logit-normal": "unit",
    "bernoulli": "unit",
    "poisson": "count",
    "negative-binomial": "count",
    "negative-binomial-fixed": "count",
    "softmax": "category",
    "sigmoid": "binary",
    "cumulative": "ordered",
    "normal-vector": "vector",
}
"""Rule → the domain above that it is tried on."""

ELSEWHERE = (
    "bernoulli-set",
    "autoregressive",
    "autoregressive-code",
    "pixel-bernoulli",
    "pixel-logistic",
    "pixel-normal",
    "series-normal",
    "series-normal-fixed",
    "sound-laplace",
    "sound-logistic",
    "sound-normal",
)
"""Rules over sets, sequences and pictures, which have tests of their own."""
