"""What compares the rows of a batch with one another compares those of all processes: together they reach what one reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.together import fitted, together
from torch.distributions import Independent, Normal

from trine import collective
from trine.criterion import Criterion, Term
from trine.data import Share
from trine.latents import latents
from trine.methods._shapes import FreeBits

DIGITS = (load_digits().images * 15).astype(np.uint8)
NAMES = load_digits().target.astype(str)
# Plain steps: what an adaptive step makes of a gradient near zero is rounding.
PLAIN: dict[str, Any] = {"optimiser": "sgd", "batch_size": 8, "epochs": 2}
PAIRS = {"method": "conditional_gan", "channels": 4, "step_size": 1e-3}
PILES = {"method": "unpaired", "other": 255 - DIGITS[32:64], "channels": 4, "layers": 1, "step_size": 1e-3}


def farthest(one: dict[str, torch.Tensor], several: list[dict[str, torch.Tensor]]) -> float:
    """The largest difference of any number on any rank from that of one process."""
    assert all(found.keys() == one.keys() for found in several)
    return max(float((found[name].double() - one[name].double()).abs().max()) for found in several for name in one)


def test_several_have_one_pool_of_past_samples_and_go_on_with_it(tmp_path: Path) -> None:
    how = {**PLAIN, **PILES, "history": 10}
    one = fitted(DIGITS[:32], **how)
    assert int(one["critic.terms.0.divergence.count"]) == 10
    two = together(2, fitted, DIGITS[:32], str(tmp_path / "run"), stopped=6, **how)
    assert farthest(one, two) < 1e-5


PLACES = {"negative": 255 - DIGITS[:32], "digit": DIGITS[:32]}
KINDS = {"name": NAMES[:32], "digit": DIGITS[:32]}
OF_KINDS = {"domains": {"name": "category"}, "critic_augment": 0.0, "noise": 1, "diversity": 2.0, "step_size": 0.05}


@pytest.mark.parametrize(
    ("table", "how", "count"),
    [
        (PLACES, {**PAIRS, "y": "digit", "x": ["negative"]}, 2),
        (KINDS, {**PAIRS, "y": "digit", **OF_KINDS}, 3),
    ],
    ids=["pictures given pictures, by two", "pictures given kinds, by three"],
)
def test_several_make_the_rows_twice_that_one_makes_twice(
    table: dict[str, Any], how: dict[str, Any], count: int
) -> None:
    one = fitted(table, **PLAIN, **how)
    assert abs(one["loss.diversity"]) > 1e-3
    assert farthest(one, together(count, fitted, table, **PLAIN, **how)) < 1e-4


def test_several_contrast_the_places_that_one_contrasts() -> None:
    how = {**PLAIN, **PILES, "content": "contrast", "history": 0}
    assert farthest(fitted(DIGITS[:32], **how), together(2, fitted, DIGITS[:32], **how)) < 1e-5


# Of rows held out 15 are scored, which decides whose weights are kept: 7, 7 and 1, fewer than there are processes.
CODES = {"method": "autoencoder", "code": 4, "hidden": (16,), "valid": 0.25, "stop_fraction": 0.25, "step_size": 0.01}


@pytest.mark.parametrize(
    ("how", "count"),
    [
        ({"shape": "mmd"}, 2),
        ({"shape": "cramer"}, 2),
        ({"shape": "wasserstein"}, 2),
        ({"code_prior": "vq(8, 2)"}, 3),
        ({"sparsity": "lifetime(0.3)"}, 2),
    ],
    ids=["mmd", "cramer", "wasserstein", "vq", "lifetime"],
)
def test_several_shape_the_codes_of_a_whole_batch(how: dict[str, Any], count: int) -> None:
    table = DIGITS[:80].reshape(-1, 64).astype(np.float32)
    one = fitted(table, **PLAIN, **CODES, **how)
    assert "loss.held out" in one
    assert farthest(one, together(count, fitted, table, **PLAIN, **CODES, **how)) < 1e-4


def begun_again() -> list[torch.Tensor]:
    """Vectors of which half are far from all codes, after a step, and the codes of all ranks, each with noise of its own."""
    torch.manual_seed(0)
    latent = latents["vq"](4, 4, False, (6,)).train()
    latent.counts[:, 3:], latent.vectors[:, 3:] = 1e-3, 100.0
    torch.manual_seed(collective.rank())
    code, _ = latent(collective.share(torch.randn(10, 4, generator=torch.Generator().manual_seed(1))))
    return [latent.vectors, collective.gather(code.detach())[0]]


def test_vectors_that_are_hardly_used_begin_again_at_one_code_on_all_ranks() -> None:
    one, codes = begun_again()
    assert torch.cdist(one[0, 3:], codes).amin(1).max() < 1e-6
    for found, _ in together(3, begun_again):
        torch.testing.assert_close(found, one)


def free_bits() -> torch.Tensor:
    """The gradient of a term with free bits in the codes' means, of the rows of all ranks."""
    means = collective.share(torch.linspace(-2, 2, 30).view(10, 3) * torch.tensor([1.0, 1.0, 0.1])).requires_grad_()
    code, prior = (Independent(Normal(mean, torch.ones_like(means)), 1) for mean in (means, torch.zeros(3)))
    batch = Share({"x": means}, None, 10)
    Criterion(Term(FreeBits(0.4).train(), "prior", "code"))({"code": code, "prior": prior}, batch).total.backward()
    return collective.gather(means.grad)[0]


def test_free_bits_are_of_the_mean_over_a_whole_batch() -> None:
    one = free_bits()
    assert one.abs().sum(0).count_nonzero() == 2  # one number has less than is free
    for found in together(3, free_bits):
        torch.testing.assert_close(found, one)
