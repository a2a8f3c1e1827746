"""Judges trained on the spot: what they see of true rows, of worse ones, of kinds that are missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from trine.evaluation.judges import KINDS, Judge, autoencoder, classifier, judgeable
from trine.evaluation.samples import frechet, modes

LEARNED = 1000


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, NDArray[np.int64]]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return torch.tensor(data.images[order] / 8 - 1).float()[:, None], data.target[order].astype(np.int64)


@pytest.fixture(scope="module", params=["classifier", "autoencoder"])
def judge(request: pytest.FixtureRequest, digits: tuple[torch.Tensor, NDArray[np.int64]]) -> Judge:
    rows, kinds = digits
    if request.param == "classifier":
        return classifier(rows[:LEARNED], kinds[:LEARNED], [f"digit {i}" for i in range(10)], 398)
    return autoencoder(rows[:LEARNED], 398)


def test_worse_rows_are_farther(judge: Judge, digits: tuple[torch.Tensor, NDArray[np.int64]]) -> None:
    true, other = digits[0][LEARNED:].split(399)[:2]
    true = true[: len(other)]
    seen = judge.space(true)
    floor = frechet(seen, judge.space(other))
    blurred = torch.nn.functional.avg_pool2d(other, 3, 1, 1)
    noisy = (other + 0.7 * torch.randn(other.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    assert frechet(seen, judge.space(blurred)) > 2 * floor
    assert frechet(seen, judge.space(noisy)) > 1.5 * floor
    assert frechet(seen, seen) == pytest.approx(0, abs=1e-6)


def test_what_is_never_made_is_missed(judge: Judge, digits: tuple[torch.Tensor, NDArray[np.int64]]) -> None:
    rows, kinds = digits[0][LEARNED:], digits[1][LEARNED:]
    count = len(judge.names)
    all_of_them = modes(judge.kind(rows), judge.kind(rows), count)
    few = modes(judge.kind(rows[kinds < 5]), judge.kind(rows), count)
    assert all_of_them.found == count
    assert all_of_them.reverse_kl == pytest.approx(0, abs=0.01)
    assert few.reverse_kl > 0.25
    if judge.space.name == "classifier":
        assert few.found < 10 or (few.shares[5:] < 0.05).all()


def test_a_classifier_is_right_about_rows_that_it_has_not_seen(
    judge: Judge, digits: tuple[torch.Tensor, NDArray[np.int64]]
) -> None:
    rows, kinds = digits
    if judge.space.name == "classifier":
        assert (judge.kind(rows[LEARNED:]) == kinds[LEARNED:]).mean() > 0.92
        assert judge.names[3] == "digit 3"
    else:  # clusters are mostly of one digit each, the largest first
        found = judge.kind(rows[:LEARNED])
        counts = np.bincount(found, minlength=len(judge.names))
        assert len(judge.names) == KINDS
        assert (np.diff(counts) <= 0).all()
        purity = sum(np.bincount(kinds[:LEARNED][found == k]).max() for k in range(KINDS)) / LEARNED
        assert purity > 0.6
    assert judge.learned_from == LEARNED


def test_the_same_seed_gives_the_same_judge_and_disturbs_no_one(digits: tuple[torch.Tensor, NDArray[np.int64]]) -> None:
    rows, kinds = digits[0][:120], digits[1][:120]
    torch.manual_seed(5)
    expected = torch.rand(3)
    for make in (lambda seed: classifier(rows, kinds, range(10), 60, seed), lambda seed: autoencoder(rows, 60, seed)):  # type: ignore[arg-type]
        torch.manual_seed(5)
        first = make(1)
        assert torch.equal(torch.rand(3), expected)
        torch.manual_seed(6)
        assert np.array_equal(first.space(rows), make(1).space(rows))
        assert not np.array_equal(first.space(rows), make(2).space(rows))


@pytest.mark.parametrize("shape", [(3, 17, 5), (1, 2, 2), (2, 300), (1, 1500)])
def test_pictures_and_series_of_any_size_are_judged(shape: tuple[int, ...]) -> None:
    """Half of the rows are higher than the others; that is told by both."""
    generator = torch.Generator().manual_seed(0)
    kinds = np.arange(64) % 2
    rows = 0.2 * torch.randn(64, *shape, generator=generator) + torch.from_numpy(kinds).view(-1, *([1] * len(shape)))
    found = classifier(rows[:48], kinds[:48], ["low", "high"], 16).kind(rows[48:])
    assert (found == kinds[48:]).mean() > 0.8
    judge = autoencoder(rows[:48], 16)
    clusters = judge.kind(rows[48:])
    assert len(judge.names) == 2
    assert max((clusters == kinds[48:]).mean(), (clusters != kinds[48:]).mean()) > 0.8


def test_what_can_be_judged() -> None:
    assert judgeable([(1, 8, 8)])
    assert judgeable([(2, 50)])
    assert not judgeable([(12,)])
    assert not judgeable([(1, 8, 8), (3,)])


def test_inference_tensors_can_be_learned_from(digits: tuple[torch.Tensor, NDArray[np.int64]]) -> None:
    with torch.inference_mode():
        rows = digits[0][:60] * 1
        kinds = classifier(rows, digits[1][:60], range(10), 30).kind(rows)  # type: ignore[arg-type]
    assert kinds.shape == (60,)
