"""The translator between two piles: what it gives, from what, and that each thing is computed once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Laplace, Normal

from trine.blocks.sequence_makers import Timeline
from trine.blocks.temporal_translation import TemporalTranslator
from trine.blocks.translation import ResidualTranslator
from trine.blocks.unpaired import FieldsCode, FieldsMap, PictureCode, PictureMap, TimelineCode, TimelineMap
from trine.domains import Image
from trine.errors import ChoiceError
from trine.models import Translator
from trine.models.translator import Contrast, Shared, around

ROWS, NOISE = 6, (2, 3)


class Numbers(nn.Module):
    """Columns of numbers, side by side."""

    def __init__(self, field: str, width: int) -> None:
        super().__init__()
        self.field, self.shape, self.linear = field, (width,), nn.Linear(16, width)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)

    def seen(self, batch):
        return batch[self.field]

    def columns(self, seen):
        return {self.field: seen}


def pictures(grey=False, **more):
    torch.manual_seed(0)
    channels = (1, 1) if grey else (1, 3)
    a, b = (Image(channels=c, height=8, width=8) for c in channels)
    k_a, k_b = NOISE
    to_b = PictureMap(b, "y.image", ResidualTranslator(channels[0], channels[1], 4, 2, noise=k_b, halvings=1))
    to_a = PictureMap(a, "x.image", ResidualTranslator(channels[1], channels[0], 4, 2, noise=k_a, halvings=1))
    both = sum(channels)
    model = Translator(to_b, to_a, PictureCode(both, k_a, 4, 8), PictureCode(both, k_b, 4, 8), NOISE, **more)
    return model, {"x.image": torch.rand(ROWS, channels[0], 8, 8), "y.image": torch.rand(ROWS, channels[1], 8, 8)}


def rows(**more):
    torch.manual_seed(0)
    to_b = FieldsMap(4, NOISE[1], Numbers("y", 5), 16, 2)
    to_a = FieldsMap(5, NOISE[0], Numbers("x", 4), 16, 2)
    model = Translator(to_b, to_a, FieldsCode(9, NOISE[0]), FieldsCode(9, NOISE[1]), NOISE, **more)
    return model, {"x": torch.randn(ROWS, 4), "y": torch.randn(ROWS, 5)}


def over_time(**more):
    torch.manual_seed(0)
    a, b = Timeline(1, 12, 5), Timeline(2, 20, 20)
    to_b = TimelineMap(a, b, "y.row", TemporalTranslator(a.shape[0], b.shape[0], 4, 2, NOISE[1]))
    to_a = TimelineMap(b, a, "x.row", TemporalTranslator(b.shape[0], a.shape[0], 4, 2, NOISE[0]))
    model = Translator(to_b, to_a, TimelineCode(a, b, NOISE[0], 4), TimelineCode(a, b, NOISE[1], 4), NOISE, **more)
    batch = {"x.row": torch.randn(ROWS, 12, 1), "y.row": torch.randn(ROWS, 20, 2)}
    return model, {**batch, "x.row.length": torch.full((ROWS,), 9), "y.row.length": torch.full((ROWS,), 20)}


def contrasted(**more):
    return pictures(grey=True, contrast=Contrast([4, 8, 8], 5, 10), **more)


CASES = {
    "pictures": pictures,
    "rows": rows,
    "over time": over_time,
    "shared": lambda: rows(shared=Shared([0, 3], [4, 1], 2, [1.0, 0.5])),
    "same": lambda: pictures(grey=True, same=True),
    "contrast": contrasted,
    "contrast-same": lambda: contrasted(same=True),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_outputs_are_those_that_it_names_and_every_parameter_has_a_part(case):
    model, batch = CASES[case]()
    outputs = model(batch)
    assert sorted(outputs) == sorted(model.outputs)
    total = sum(
        value.square().sum() if isinstance(value, Tensor) else -value.log_prob(torch.zeros(value.event_shape)).sum()
        for value in outputs.values()
    )
    total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("case", ["pictures", "rows", "same"])
def test_the_outputs_are_what_their_equations_say(case):
    model, batch = CASES[case]()
    torch.manual_seed(1)
    out = model(batch)
    a, b, z_a, z_b = (out[name] for name in ("real_a", "real_b", "z_a", "z_b"))
    if case != "rows":
        assert torch.equal(a, batch["x.image"] * 2 - 1)
    fake_b, fake_a = model.to_b(a, z_b), model.to_a(b, z_a)
    code_a, code_b = model.code_a(a, fake_b), model.code_b(fake_a, b)
    expected = {
        "fake_b": fake_b,
        "fake_a": fake_a,
        "code_a": code_a,
        "code_b": code_b,
        "noise_a": model.code_a(fake_a, b),
        "noise_b": model.code_b(a, fake_b),
        "cycle_a": model.to_a(fake_b, code_a),
        "cycle_b": model.to_b(fake_a, code_b),
    }
    if case == "same":
        expected |= {
            "same_a": model.to_a(a, torch.zeros_like(z_a)),
            "same_b": model.to_b(b, torch.zeros_like(z_b)),
        }
    for name, value in expected.items():
        found = out[name] if isinstance(out[name], Tensor) else out[name].mean
        assert torch.allclose(found, value, atol=1e-5), name
    assert z_a.shape == (ROWS, NOISE[0])
    assert z_b.shape == (ROWS, NOISE[1])
    assert isinstance(out["cycle_a"].base_dist, Laplace)
    assert isinstance(out["noise_a"].base_dist, Normal)


@pytest.mark.parametrize(
    ("case", "calls"),
    [
        ("pictures", {"to_a": 2 * ROWS, "to_b": 2 * ROWS, "code_a": 2 * ROWS, "code_b": 2 * ROWS}),
        ("same", {"to_a": 3 * ROWS, "to_b": 3 * ROWS, "code_a": 2 * ROWS, "code_b": 2 * ROWS}),
    ],
    ids=str,
)
def test_each_network_sees_each_row_once_and_in_as_few_calls_as_can_be(case, calls):
    model, batch = CASES[case]()
    seen = dict.fromkeys(calls, 0)
    times = dict.fromkeys(calls, 0)
    for name in calls:

        def count(module, inputs, output, name=name):
            seen[name] += len(output)
            times[name] += 1

        getattr(model, name).register_forward_hook(count)
    model(batch)
    assert seen == calls
    assert times == {"to_a": 2, "to_b": 2, "code_a": 1, "code_b": 1}


@pytest.mark.parametrize("likelihood", ["laplace", "normal"])
def test_a_perfect_reconstruction_scores_nothing_and_any_other_more(likelihood):
    value = torch.randn(4, 3, 2)
    q = around(value, likelihood)
    assert isinstance(q, Independent)
    assert q.log_prob(value).tolist() == pytest.approx([0.0] * 4, abs=1e-5)
    off = value + 0.5
    expected = -6 * (2 * 0.5 if likelihood == "laplace" else math.pi * 0.25)
    assert q.log_prob(off).tolist() == pytest.approx([expected] * 4, rel=1e-5)


def test_features_of_the_same_places_are_contrasted():
    model, batch = contrasted(same=True)
    out = model(batch)
    assert out["patches_b"].shape == out["source_b"].shape == (ROWS, 3, 10, 5)
    assert not out["patches_b"].isnan().any()
    with torch.no_grad():
        layers = model.contrast.layers["b"]
        z = torch.randn(ROWS, NOISE[1])
        maps = model.to_b.features(out["real_a"], z)
        model.eval()
        torch.manual_seed(2)
        same, source = model.contrast("b", maps, maps)
        assert torch.equal(same, source)
        torch.manual_seed(2)
        places = torch.randperm(64)[:10]
        by_hand = layers[0](maps[0].flatten(2)[:, :, places].transpose(1, 2))
        assert torch.allclose(by_hand, same[:, 0], atol=1e-6)


def test_a_layer_with_fewer_places_gives_all_of_its_own_and_takes_none_from_the_others():
    torch.manual_seed(0)
    contrast = Contrast([3, 3], 5, 64).eval()
    maps = [torch.randn(2, 3, 8, 8), torch.randn(2, 3, 2, 2)]
    patches, sources = contrast("a", maps, maps)
    assert patches.shape == (2, 2, 64, 5)
    there = ~patches.isnan().any(-1)
    assert there.sum(-1).tolist() == [[64, 4]] * 2
    assert torch.equal(there, ~sources.isnan().any(-1))
    every = contrast.layers["a"][1](maps[1].flatten(2).transpose(1, 2))
    torch.testing.assert_close(patches[0, 1, :4].sort(0).values, every[0].sort(0).values)


def test_what_is_drawn_in_training_is_the_runs_own():
    (one, batch), (two, _) = contrasted(), contrasted()
    two.load_state_dict(one.state_dict())
    first = one.train()(batch)
    torch.rand(7)
    again = two.train()(batch)  # as another process would, whose generator is elsewhere
    for name in ("z_a", "z_b", "fake_a", "fake_b", "patches_a", "source_b"):
        assert torch.equal(first[name], again[name])
    after = one(batch)
    assert not torch.equal(first["z_a"], after["z_a"])
    assert not torch.equal(first["z_a"][:, :1], first["z_b"][:, :1])
    assert not torch.equal(first["source_b"], after["source_b"])


def test_it_translates_either_way_with_noise_given_or_drawn():
    model, batch = pictures()
    z = torch.randn(ROWS, NOISE[1])
    with torch.no_grad():
        made = model.translate({"x.image": batch["x.image"]}, "b", z)
        assert made.shape == (ROWS, 3, 8, 8)
        assert torch.equal(made, model.to_b(batch["x.image"] * 2 - 1, z))
        assert not torch.equal(made, model.translate(batch, "b"))
        back = model.translate({"y.image": batch["y.image"]}, "a")
    assert back.shape == (ROWS, 1, 8, 8)
    columns = model.to_b.columns(made)
    assert columns["image"].min() >= 0
    assert torch.allclose(columns["image"], (made + 1) / 2)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(ChoiceError, match="laplace or normal"):
        pictures(likelihood="student")
    with pytest.raises(ChoiceError, match="identity_weight=0"):
        pictures(same=True)


def test_how_far_a_row_is_moved_is_told_of_the_columns_that_both_piles_have():
    model, batch = CASES["shared"]()
    out, scale = model(batch), torch.tensor([1.0, 0.5])
    assert torch.equal(out["shared_a"], batch["x"][:, [0, 3]] * scale)
    assert torch.equal(out["shared_b"], batch["y"][:, [4, 1]] * scale)
    assert torch.equal(out["moved_b"].mean, out["fake_b"][:, [4, 1]] * scale)
    assert torch.equal(out["moved_a"].mean, out["fake_a"][:, [0, 3]] * scale)
    off = (scale * (out["fake_b"][:, [4, 1]] - batch["x"][:, [0, 3]]).abs()).sum(1)
    torch.testing.assert_close(-out["moved_b"].log_prob(out["shared_a"]), 2 * off)
