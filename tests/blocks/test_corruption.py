"""What is destroyed, and how much of it; sparse codes at hand-computed points; the slope of a code against its Jacobian."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import trine
from trine.blocks.corruption import Views, bent, corrupt
from trine.blocks.sparse import Lifetime, TopK
from trine.blocks.spreads import spread_of, spreads
from trine.data import Batch
from trine.domains import Audio, Category, Image, Real, Text
from trine.errors import ChoiceError
from trine.models import Autoencoder
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


def test_each_column_contracts_in_its_own_standard_deviations() -> None:
    """Of a linear map the slope is known: a heavy-tailed column is encoded by its quartiles and spreads by more than 1."""
    rng = np.random.default_rng(0)
    n = 200
    table = {
        "class": np.array(["u", "v"])[np.arange(n) % 2],
        "narrow": rng.normal(size=n),
        "day": np.datetime64("2020-01-01") + rng.integers(0, 900, n).astype("timedelta64[D]"),
        "tailed": rng.standard_t(1.2, n),
    }
    model = trine.fit(
        table, method="autoencoder", code=2, contraction=1.0, epochs=1, hidden=(4,), numbers="plain", seed=0
    )
    x, network = model.schema_.x, model.derivation_.model
    stds = [x["narrow"].std, *x["day"].std, x["tailed"].std]  # type: ignore[attr-defined]
    assert stds[-1] > 2
    batch = model.first(table, n)
    assert torch.allclose(batch["x.numbers"].std(0, correction=0)[:-1], torch.tensor(stds)[:-1], rtol=0.2)
    torch.manual_seed(0)
    weights = torch.randn(2, len(stds))

    class Linear(torch.nn.Module):
        reads = network.encoder.reads  # type: ignore[union-attr]

        def forward(self, batch: Any) -> torch.Tensor:
            return batch["x.numbers"] @ weights.T

    model = Autoencoder(Linear(), Plain(2), torch.nn.Identity(), {}, contracts=spreads(x))  # type: ignore[arg-type]
    drawn = torch.stack([model(batch)["contraction"][0] for _ in range(800)])
    exact = (weights * torch.tensor(stds)).square().sum()
    assert abs(float(drawn.mean() - exact)) < 4 * float(drawn.std()) / math.sqrt(len(drawn))


class Plain(torch.nn.Module):
    """Codes as they are, without a prior."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return features, features

    def prior(self) -> None:
        return None


def test_series_and_sounds_contract_in_theirs_too() -> None:
    rng = np.random.default_rng(0)
    series = np.empty(40, dtype=object)
    series[:] = [np.array([[5.0, 300.0]]) * rng.normal(size=(n, 2)) for n in rng.integers(4, 8, 40)]
    model = trine.fit(
        {"series": series}, method="autoencoder", code=2, contraction=0.1, epochs=1, channels=4, units=8, valid=0.0
    )
    assert np.isfinite(model.history_[-1]["train"]["contraction"])
    assert spreads(model.schema_.x)["x.series"] == 1
    assert torch.equal(spread_of(Image(std=(0.1, 0.2))), torch.tensor([0.1, 0.2])[:, None, None])
    assert spread_of(Audio(rate=1000, channels=1, loudness=0.25)) == 0.25


def test_contraction_is_of_numbers() -> None:
    table = {
        "colour": np.array(["red", "blue"])[np.arange(40) % 2],
        "form": np.array(["round", "flat", "long"])[np.arange(40) % 3],
    }
    with pytest.raises(ChoiceError, match=r"follow the numbers of x, and x has none \(colour, form\)"):
        trine.fit(table, method="autoencoder", code=1, contraction=0.1, epochs=1)


def test_words_that_are_none_are_refused() -> None:
    X = load_digits().data[:100]
    for word, said in (("top3", "topk"), ("topk(x)", "topk"), ("lifetime(0)", "above 0")):
        with pytest.raises(ChoiceError, match=said):
            trine.Autoencoder(100, sparsity=word).fit(X)
    with pytest.raises(ChoiceError, match="distributions"):
        trine.Autoencoder(100, "kl", sparsity="topk(3)").fit(X)
