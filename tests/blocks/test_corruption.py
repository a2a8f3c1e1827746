"""What is destroyed, and how much of it; sparse codes at hand-computed points; the slope of a code against its Jacobian."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import trine
from trine.blocks.corruption import Views, bent, corrupt
from trine.blocks.sparse import Lifetime, TopK
from trine.data import Batch
from trine.domains import Category, Image, Real, Text
from trine.errors import ChoiceError
from trine.models.autoencoder import slope

FIELDS = (
    ("x.numbers", "numbers", Real()),
    ("x.categories", "categories", Category(labels=("a", "b"))),
    ("x.image", None, Image(channels=2, height=9, width=7, mean=(0.25, 0.75), std=(0.1, 0.1))),
    ("x.text", None, Text()),
)


def batch() -> Batch:
    text = torch.randint(3, 9, (200, 5))
    text[:, 3:] = -1
    return Batch(
        {
            "x.numbers": torch.ones(200, 3),
            "x.categories": torch.ones(200, 2, dtype=torch.int64),
            "x.image": torch.zeros(200, 2, 9, 7),
            "x.text": text,
            "y": torch.arange(200),
        }
    )


def test_the_share_that_is_asked_for_is_destroyed_and_nothing_else() -> None:
    torch.manual_seed(0)
    before = batch()
    after = corrupt(before, FIELDS, 0.3)
    assert float(after["x.numbers"].isnan().float().mean()) == pytest.approx(0.3, abs=0.06)
    assert float((after["x.categories"] == -1).float().mean()) == pytest.approx(0.3, abs=0.08)
    pixels = after["x.image"]
    gone = (pixels != 0).any(1)
    assert float(gone.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert (pixels[:, 0][gone] == 0.25).all()
    assert (pixels[:, 1][gone] == 0.75).all()
    text = after["x.text"]
    assert ((text == -1) == (before["x.text"] == -1)).all()
    assert float((text[:, :3] == 0).float().mean()) == pytest.approx(0.3, abs=0.06)
    assert (after["y"] == before["y"]).all()
    assert not before["x.numbers"].isnan().any()


def test_bent_pictures_are_near_what_they_were_and_differ() -> None:
    torch.manual_seed(0)
    images = torch.from_numpy(load_digits().images).float().div(16)[:200, None]
    other = bent(images)
    assert other.shape == images.shape
    assert ((other >= 0) & (other <= 1)).all()
    near = (other - images).square().mean()
    apart = (other - images.roll(1, 0)).square().mean()
    assert 0.01 < near < apart


def test_views_bend_pictures_and_destroy_the_rest() -> None:
    torch.manual_seed(0)
    seen = Views(FIELDS, share=0.5)(batch())
    assert float(seen["x.numbers"].isnan().float().mean()) == pytest.approx(0.5, abs=0.07)
    assert (seen["x.image"] == 0).all()


def test_top_k_keeps_the_largest_in_size() -> None:
    z = torch.tensor([[3.0, -5.0, 1.0, 4.0], [0.5, 0.1, -0.2, 0.0]])
    assert TopK(2)(z).tolist() == [[0.0, -5.0, 0.0, 4.0], [0.5, 0.0, pytest.approx(-0.2), 0.0]]
    assert (TopK(4)(z) == z).all()
    with pytest.raises(ChoiceError, match="keeps nothing"):
        TopK(0)


def test_lifetime_keeps_each_number_for_its_best_rows() -> None:
    z = torch.tensor([[3.0, -1.0], [1.0, 2.0], [2.0, 1.0], [0.5, 0.2]])
    block = Lifetime(0.25)
    assert block(z).tolist() == [[3.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]
    assert block.eval()(z).tolist() == z.relu().tolist()
    with pytest.raises(ChoiceError, match="above 0"):
        Lifetime(1.5)


def test_the_slope_is_that_of_the_jacobian_on_average() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64)
    jacobian = torch.stack([torch.autograd.functional.jacobian(net, row) for row in x.detach()])
    exact = (jacobian * scale).square().sum((1, 2))
    drawn = torch.stack([slope(net(x), [(x, scale)]) for _ in range(4000)]).detach()
    error = drawn.std(0) / math.sqrt(len(drawn))
    assert ((drawn.mean(0) - exact).abs() < 4 * error).all()


@pytest.mark.parametrize(
    "choice",
    [
        {"sparsity": "topk(3)"},
        {"sparsity": "lifetime(0.1)"},
        {"sparsity": "l1(0.1)"},
        {"corruption": 0.3},
        {"contraction": 0.01},
    ],
    ids=lambda choice: next(iter(choice.items()))[1] if "sparsity" in choice else next(iter(choice)),
)
def test_a_bounded_code_may_be_wide_and_x_comes_back(choice: dict[str, object]) -> None:
    X = load_digits().data[:500]
    model = trine.Autoencoder(100, epochs=8, hidden=(64,), numbers="plain", random_state=0, **choice).fit(X)  # type: ignore[arg-type]
    assert model.evaluate(X).metrics["unexplained"].value < 0.8
    Z = model.transform(X)
    if choice.get("sparsity") == "topk(3)":
        assert ((Z != 0).sum(1) == 3).all()
    if choice.get("sparsity") == "lifetime(0.1)":
        assert (Z >= 0).all()


def test_contraction_makes_codes_follow_x_less_steeply() -> None:
    X = load_digits().data[:500]

    def steepness(contraction: float | None) -> float:
        model = trine.Autoencoder(
            8, contraction=contraction, epochs=15, hidden=(64,), numbers="plain", random_state=0, activation="tanh"
        ).fit(X)
        rng = np.random.default_rng(0)
        moved = X + 0.1 * rng.normal(size=X.shape)
        return float(np.square(model.transform(moved) - model.transform(X)).mean())

    assert steepness(1.0) < 0.3 * steepness(None)


def test_words_that_are_none_are_refused() -> None:
    X = load_digits().data[:100]
    for word, said in (("top3", "topk"), ("topk(x)", "topk"), ("lifetime(0)", "above 0")):
        with pytest.raises(ChoiceError, match=said):
            trine.Autoencoder(100, sparsity=word).fit(X)
    with pytest.raises(ChoiceError, match="distributions"):
        trine.Autoencoder(100, "kl", sparsity="topk(3)").fit(X)
