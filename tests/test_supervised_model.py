"""The supervised model: members apart in training and mixed in evaluation, and what it answers to a blank row."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from sklearn.datasets import load_breast_cancer
from torch.distributions import Categorical

from trine.blocks import Encoder, MemberLinear
from trine.choices import Choices
from trine.data import Batches, Schema, encode, read
from trine.domains import Category, Positive, Real
from trine.methods import Facts, derive
from trine.models import Supervised
from trine.rules import rules
from trine.training import train

CHOICES = Choices(hidden=(8,), members=3, unknown=0.02)
Y = {"kind": Category(labels=("a", "b", "c"), shares=(0.5, 0.3, 0.2)), "price": Positive(mean=1.2, std=0.5)}


def a_model(blank: bool) -> Supervised:
    torch.manual_seed(0)
    encoder = Encoder({"age": Real(knots=(-1.0, 0.0, 1.0))}, CHOICES)
    linear = partial(MemberLinear, 3)
    return Supervised(
        encoder,
        {
            "kind": rules["softmax"](8, Y["kind"], linear),
            "price": rules["softplus-normal"](8, Y["price"], linear),
        },
        blank=blank,
    )


def test_blank_outputs_are_what_a_row_with_nothing_known_gets_and_change_no_other() -> None:
    model, x = a_model(blank=True), torch.randn(5, 1)
    assert isinstance(model.encoder, Encoder)
    with torch.no_grad():
        model.encoder.nothing.normal_()
    outputs = model({"x.numbers": x})
    assert set(outputs) == set(model.outputs)
    assert outputs["z"].shape == (3, 5, 8)
    plain = a_model(blank=False)({"x.numbers": x})
    answered = model.eval()({"x.numbers": torch.full((5, 1), math.nan)})
    for name, read_off in (("kind", lambda q: q.probs), ("price", lambda q: q.log_prob(torch.tensor(0.7)).exp())):
        torch.testing.assert_close(read_off(outputs[f"y_hat.{name}"]), read_off(plain[f"y_hat.{name}"]))
        # The mixture over members has the mean of their probabilities and densities.
        torch.testing.assert_close(read_off(outputs[f"blank.{name}"]).mean(0), read_off(answered[f"y_hat.{name}"]))


def test_evaluation_mixes_the_members_and_has_no_blank_row() -> None:
    model = a_model(blank=True)
    outputs = model.eval()({"x.numbers": torch.randn(5, 1)})
    assert set(outputs) == {"z", "y_hat.kind", "y_hat.price"}
    assert isinstance(outputs["y_hat.kind"], Categorical)
    assert outputs["y_hat.kind"].batch_shape == outputs["y_hat.price"].batch_shape == (5,)


def test_a_row_with_nothing_known_is_answered_by_the_prior() -> None:
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    table = read(x.assign(y=y))
    schema = Schema.infer(table, ["y"]).fit(table, torch.arange(len(y)).numpy())
    choices = Choices(epochs=20, hidden=(64, 64))
    derivation = derive("supervised", schema, choices, Facts(len(y)))
    store = encode(table, schema)
    batch_size = derivation.choices.batch_size
    assert batch_size is not None
    batches = Batches(store, batch_size=batch_size, seed=0)
    train(derivation.model, derivation.criterion, derivation.procedure, batches, epochs=20, seed=0)
    derivation.model.eval()
    with torch.no_grad():
        blank = derivation.model({"x.numbers": torch.full((1, x.shape[1]), math.nan)})["y_hat"]
        known = derivation.model(store.batch(torch.arange(len(y))))["y_hat"]
    assert blank.probs[0, 1].item() == pytest.approx(y.mean(), abs=0.05)
    assert (known.probs.argmax(1).numpy() == y).mean() > 0.97
    assert "0.02 · E[−log q(y | nothing known, θ)]" in derivation.criterion.describe()
