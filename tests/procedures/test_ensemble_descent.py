"""Networks that are trained at once take the steps that each would take alone."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from sklearn.datasets import load_diabetes

from trine.blocks import Encoder
from trine.choices import Choices
from trine.criterion import Criterion, PriorTerm, Term
from trine.data import Batches, Schema, Table, encode, read
from trine.divergences import KL
from trine.models import Ensemble, Supervised
from trine.models.posterior import stacked
from trine.priors import prior_of
from trine.procedures import Descent
from trine.procedures.ensemble import EnsembleDescent
from trine.rules import rules
from trine.training import train

CHOICES = Choices(hidden=(12,), numbers="plain", normalization="layer")
ROWS = 200


@pytest.fixture(scope="module")
def schema_and_batches() -> tuple[Schema, Batches]:
    X, y = load_diabetes(return_X_y=True)
    table: Table = read((X[:ROWS], y[:ROWS]))
    schema = Schema.infer(table, y=["y"]).fit(table)
    return schema, Batches(encode(table, schema), torch.arange(ROWS), 50, 0)


def drawn(schema: Schema, count: int) -> list[torch.nn.Module]:
    torch.manual_seed(3)
    found: list[torch.nn.Module] = []
    for _ in range(count):
        encoder = Encoder(schema.x, CHOICES)
        found.append(Supervised(encoder, {"y": rules["normal"](encoder.features, schema.y["y"])}, theta=True))
    return found


def criterion() -> Criterion:
    return Criterion(Term(KL(), "y_hat.y", "y.y"), PriorTerm(prior_of("normal(0.2)"), ROWS))


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_each_member_ends_where_it_would_end_alone(schema_and_batches, optimiser: str) -> None:
    schema, batches = schema_and_batches
    networks = drawn(schema, 3)
    # The bound is below most gradients' norms, so that it matters whose norm it is.
    how = {"optimiser": optimiser, "step_size": 0.02, "weight_decay": 0.1, "clip": 0.3, "ema": 0.9}
    model = Ensemble([copy.deepcopy(network) for network in networks])
    train(model, criterion(), EnsembleDescent(**how), batches, epochs=3)
    for index, network in enumerate(networks):
        before = copy.deepcopy(network.state_dict())
        train(network, criterion(), Descent(**how), batches, epochs=3)
        moved = 0.0
        for name, value in model.member(index).items():
            torch.testing.assert_close(value.detach(), network.state_dict()[name], atol=1e-5, rtol=1e-5)
            moved += float((value.detach() - before[name]).abs().sum())
        assert moved > 1.0


def test_members_at_once_and_one_after_the_other_agree(schema_and_batches) -> None:
    schema, batches = schema_and_batches
    model = Ensemble(drawn(schema, 4))
    assert model.vectorised
    batch = next(batches.epoch(0))
    for mode in (True, False):
        model.train(mode)
        at_once = model._vectorised(batch)
        apart = stacked(list(model.each(batch)))
        torch.testing.assert_close(at_once["z"], apart["z"])
        torch.testing.assert_close(at_once["y_hat.y"].scale, apart["y_hat.y"].scale)
        assert at_once["y_hat.y"].batch_shape == (4, len(batch["y.y"]))


def test_the_network_that_is_shown_is_the_first_member_as_trained(schema_and_batches) -> None:
    schema, batches = schema_and_batches
    model = Ensemble(drawn(schema, 2))
    train(model, criterion(), EnsembleDescent(step_size=0.01), batches, epochs=1)
    batch = next(batches.epoch(0))
    model.eval()
    torch.testing.assert_close(model.network(batch)["z"], next(model.each(batch))["z"])
    assert {id(p) for p in model.network.parameters()}.isdisjoint({id(p) for p in model.parameters()})
    again = Ensemble(drawn(schema, 2))
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.eval()(batch)["y_hat"].mean, model(batch)["y_hat"].mean)


def test_a_prior_enters_once_whatever_the_batch_is(schema_and_batches) -> None:
    schema, batches = schema_and_batches
    (network,) = drawn(schema, 1)
    network.train()
    loss = criterion()
    matrices = [p for name, p in network.named_parameters() if name.endswith("weight") and p.dim() == 2]
    width = 0.2
    density = sum(
        float((-0.5 * (p.detach() / width) ** 2 - math.log(width * math.sqrt(2 * math.pi))).sum()) for p in matrices
    )
    for rows in (7, 50):
        batch = batches.store.batch(torch.arange(rows))
        terms = loss(network(batch), batch).terms
        assert float(terms["prior"]) == pytest.approx(-density / ROWS, rel=1e-5)
    loss.eval()
    assert "prior" not in loss(network(batch), batch).terms
