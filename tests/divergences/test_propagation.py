"""Labels spread along what is near, and not across a gap; between epochs, and exactly again when a run goes on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_moons
from tests.stopping import stopped_and_resumed
from torch.distributions import Categorical

import trine
from trine.divergences.propagation import Propagation, propagated
from trine.errors import ChoiceError


def test_labels_follow_the_shape_of_the_data() -> None:
    points, truth = make_moons(400, noise=0.04, random_state=0)
    # On a sphere around them, where the cosine is the distance.
    z = torch.from_numpy(np.column_stack([points - points.mean(0), np.full(400, 0.0)])).float()
    z = torch.cat([z * 0.2, (1 - (z * 0.2).square().sum(1, keepdim=True)).sqrt()], 1)
    z = torch.cat([z, -z])  # centred
    label = torch.full((800,), -1)
    for side in (0, 1):
        label[int(np.flatnonzero(truth == side)[0])] = side
    found, sure = propagated(z, label, 2)
    assert (found[:400].numpy() == truth).mean() > 0.97
    assert ((sure >= 0) & (sure <= 1)).all()
    assert (sure[label >= 0] == 1).all()
    assert (sure[400:] == 0).all()  # what no label reaches
    assert (found[400:] == -1).all()


def test_it_is_the_own_sure_answer_until_labels_have_spread() -> None:
    term = Propagation(0.9, classes=2, rows=4, target="kind")
    q = Categorical(probs=torch.tensor([[0.95, 0.05], [0.6, 0.4]]))
    rows = torch.tensor([2, 0])
    first = term(q, q, rows)
    np.testing.assert_allclose(first, [-math.log(0.95), 0.0], rtol=1e-5)
    term.labels[:] = torch.tensor([1, 1, -1, 0])
    term.sure[:] = torch.tensor([0.5, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(term(q, q, rows), [-math.log(0.95), -0.5 * math.log(0.4)], rtol=1e-5)


def digits() -> tuple[dict[str, Any], Any]:
    data = load_digits()
    names = np.array([f"digit {i}" for i in data.target], dtype=object)
    told = names.copy()
    own = np.concatenate([np.flatnonzero(data.target == c)[:3] for c in range(10)])
    told[np.setdiff1d(np.arange(len(told)), own)] = None
    return {"image": data.images, "digit": told}, names


def test_digits_with_three_labels_each() -> None:
    train, names = digits()
    model = trine.fit(train, y="digit", valid=0.0, unlabelled="propagation", channels=8, epochs=8, seed=0)
    alone = trine.fit(train, y="digit", valid=0.0, unlabelled="none", channels=8, seed=0)

    def right(model: Any) -> float:
        return float((model.predict({"image": train["image"]}) == names).mean())

    assert right(model) > right(alone) + 0.02
    assert "ŷ by propagation" in model.derivation_.criterion.describe()


def test_a_run_that_was_stopped_after_labels_spread_ends_in_the_same_bits(tmp_path: Any) -> None:
    train, _ = digits()
    choices: dict[str, Any] = {"y": "digit", "valid": 0.0, "epochs": 3, "channels": 4, "unlabelled": "propagation"}
    whole = trine.fit(train, **choices, out=tmp_path / "whole")
    resumed = stopped_and_resumed(
        lambda: trine.fit(train, **choices, out=tmp_path / "run"),
        lambda: trine.resume(tmp_path / "run", data=train),
        at=40,
    )
    one, two = whole.derivation_.model.state_dict(), resumed.derivation_.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_numbers_have_no_labels_to_spread() -> None:
    x = np.linspace(0, 1, 100)
    with pytest.raises(ChoiceError, match="reconstruct"):
        trine.fit({"x": x, "y": np.where(x < 0.2, x, np.nan)}, y="y", unlabelled="propagation")
