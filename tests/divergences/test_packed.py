"""Packs of rows: what the divergence of packs is, its penalties, and what a critic of packs sees."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import trine
from trine.blocks.critic import packs
from trine.divergences.learned import learned
from trine.divergences.packed import Packed
from trine.errors import ChoiceError


class Joint(nn.Module):
    """(packs, pack, 2) → (packs,)."""

    def __init__(self, pack: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(2 * pack, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, value: Tensor) -> Tensor:
        found: Tensor = self.net(value).squeeze(1)
        return found


def test_packs_follow_each_other_and_the_last_is_filled_with_the_first_rows() -> None:
    rows = torch.arange(10.0).view(5, 2)
    assert packs(rows, 2).tolist() == [rows[:2].tolist(), rows[2:4].tolist(), [rows[4].tolist(), rows[0].tolist()]]
    assert packs(rows[:1], 3).tolist() == [[[0.0, 1.0]] * 3]


@pytest.mark.parametrize("name", ["relativistic", "js", "wasserstein", "cramer"])
def test_a_packed_divergence_is_the_divergence_between_packs(name: str) -> None:
    torch.manual_seed(0)
    fake, real = torch.randn(8, 2), torch.randn(8, 2) + 1
    inner = learned[name](Joint(4))
    packed = Packed(inner, 4)
    for part, whole in ((packed.tighten, inner.tighten), (packed, inner)):
        torch.manual_seed(1)
        values = part(fake, real)
        torch.manual_seed(1)
        wanted = whole(fake.view(2, 4, 2), real.view(2, 4, 2))
        assert values.shape == (8,)
        torch.testing.assert_close(values, wanted.repeat_interleave(4))


def test_the_penalty_is_on_the_slope_of_a_whole_pack() -> None:
    torch.manual_seed(0)
    critic = Joint(2)
    fake, real = torch.randn(6, 2), torch.randn(6, 2)
    gained = (
        Packed(learned["js"](critic, r1=1.0), 2).tighten(fake, real)
        - Packed(learned["js"](critic), 2).tighten(fake, real)
    ).mean()
    at = real.view(3, 2, 2).clone().requires_grad_(True)
    (rise,) = torch.autograd.grad(critic(at).sum(), at)
    torch.testing.assert_close(gained.detach(), 0.5 * rise.flatten(1).square().sum(1).mean())


def test_modes_that_are_missing_are_further_away_in_packs() -> None:
    """Of two models as far from the truth, one that leaves a mode out is farther in packs; and critics reach D of packs."""
    t, without, uneven = np.full(4, 0.25), np.array([0, 1, 1, 1]) / 3, np.array([0.375, 0.375, 0.125, 0.125])

    def apart(p: np.ndarray, pack: int) -> float:
        a, b = t, p
        for _ in range(pack - 1):
            a, b = np.multiply.outer(a, t).ravel(), np.multiply.outer(b, p).ravel()
        return 0.5 * float(np.abs(a - b).sum())

    assert apart(without, 1) == pytest.approx(apart(uneven, 1))
    assert apart(without, 2) > apart(uneven, 2) + 0.02
    # Jensen and Shannon's between the packs of t and of p, by a critic with a value for each pair of modes.
    torch.manual_seed(0)
    table = Table(4)
    divergence = Packed(learned["js"](table), 2)
    optimiser = torch.optim.Adam(table.parameters(), 0.05)
    at, to = torch.tensor([1, 2, 3]), torch.arange(4)
    both = [torch.cartesian_prod(part, part).reshape(-1, 1) for part in (at, to)]
    fake, real = (part.repeat(144 * 2 // len(part), 1) for part in both)
    for _ in range(400):
        optimiser.zero_grad()
        divergence.tighten(fake, real).mean().backward()
        optimiser.step()
    p, q = 9 / 16, 1.0  # of true and of made packs, those without the missing mode; there both are even
    m = (p + q) / 2
    truth = 0.5 * (p * math.log(p / m) + 7 / 16 * math.log(2)) + 0.5 * q * math.log(q / m)
    bound = math.log(2) - 0.5 * float(divergence.tighten(fake, real).mean().detach())
    assert bound == pytest.approx(truth, abs=0.01)


class Table(nn.Module):
    """A value for each pair of modes, (packs, 2, 1) → (packs,)."""

    def __init__(self, modes: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(modes, modes))

    def forward(self, value: Tensor) -> Tensor:
        first, second = value.long().flatten(1).unbind(1)
        return self.values[first, second]


def test_a_gan_in_packs_finds_the_eight_modes_of_a_ring_and_is_judged_row_by_row() -> None:
    rng = np.random.default_rng(0)
    angle = rng.integers(0, 8, 2000) * np.pi / 4
    rows = 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.05, (2000, 2))
    model = trine.GAN(pack=2, hidden=(64, 64), epochs=25, batch_size=64, random_state=0, threads=1).fit(rows)
    made = np.asarray(model.sample(800, seed=0))
    away = np.linalg.norm(
        made[:, None] - 2 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1), axis=2
    )
    near = away.argmin(1)[away.min(1) < 0.5]
    assert len(np.unique(near)) == 8
    assert len(near) > 240
    assert "fake^2" in model.derivation_.criterion.describe()


def test_pictures_and_mixed_rows_in_packs_train_and_are_judged() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    model = trine.GAN(pack=2, epochs=1, batch_size=7, channels=4, random_state=0, threads=1).fit(pictures)
    assert np.asarray(model.sample(3)).shape == (3, 8, 8)
    assert model.derivation_.choices.critic_augment == 0.8  # few pictures: each of a pack is changed by itself
    rows = pd.DataFrame({"a": np.arange(60.0) % 7, "b": np.resize(["x", "y", "z"], 60)})
    made = trine.GAN(pack=3, epochs=1, batch_size=16, hidden=(8,), random_state=0, threads=1).fit(rows).sample(5)
    assert set(made) == {"a", "b"}
    assert set(made["b"]) <= {"x", "y", "z"}


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (lambda X: trine.GAN(pack=64, batch_size=32).fit(X), "make batch_size larger"),
        (lambda X: trine.fit({"a": X[:, 0], "b": X[:, 1]}, "b", method="conditional_gan", pack=2), "leave pack out"),
    ],
    ids=["batch", "condition"],
)
def test_packs_that_cannot_be_are_refused(fit: object, words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        fit(np.random.default_rng(0).normal(size=(50, 2)))  # type: ignore[operator]
    with pytest.raises(ChoiceError, match="2 rows or more"):
        Packed(learned["js"](Joint(1)), 1)
