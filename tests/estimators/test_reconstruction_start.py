"""What gives pictures again starts at each pixel's own mean, and not at one level for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import trine

GREY = load_digits().images[:400].repeat(2, 1).repeat(2, 2)
PIXELS = {"binary": (GREY > 8).astype(np.uint8) * 255, "grey": (GREY * 15.9).astype(np.uint8)}


def _untrained(kind: str, **more: Any) -> trine.Autoencoder:
    """A step size at which nothing is learned: what is given is where it starts."""
    return trine.Autoencoder(4, epochs=1, step_size=1e-12, random_state=0, validation_fraction=0.0, **more).fit(
        PIXELS[kind]
    )


@pytest.mark.parametrize("kind", ["binary", "grey"])
@pytest.mark.parametrize("image", ["dense", "positional"])
def test_it_starts_at_the_mean_of_each_pixel(image: str, kind: str) -> None:
    pixels = PIXELS[kind]
    model = _untrained(kind, image=image)
    means = [model._network.decode(model._network.encode(batch)[1])["image"].mean for batch in _batches(model, pixels)]
    found = np.concatenate([mean.detach().numpy() for mean in means]).mean(0)[0]
    mean = pixels.mean(0) / 255
    assert np.abs(mean - mean.mean()).max() > 0.3
    assert np.abs(found - mean).max() < 0.25
    assert np.abs(found - mean).mean() < 0.1  # grey levels that lie beyond black count as black
    assert np.corrcoef(found.ravel(), mean.ravel())[0, 1] > 0.95


def _batches(model: trine.Autoencoder, pixels: np.ndarray) -> Any:
    import torch

    store, _ = model._encode(pixels)
    return [store.batch(torch.arange(store.rows))]


def test_a_missing_picture_is_no_part_of_the_mean(tmp_path: Any) -> None:
    from PIL import Image

    paths = []
    for i, pixels in enumerate(PIXELS["binary"][:60]):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        paths.append(str(tmp_path / f"{i}.png"))
    whole = trine.fit(
        {"p": np.array(paths)}, method="autoencoder", code=3, epochs=1, step_size=1e-12, valid=0.0, seed=0
    )
    some = trine.fit(
        {"p": np.array([*paths, *[""] * 30]), "n": np.arange(90.0)}, method="autoencoder", code=3, epochs=1, step_size=1e-12,
        valid=0.0, seed=0,
    )  # fmt: skip
    one, two = (_bias(model) for model in (whole, some))
    assert abs(one.mean() - two.mean()) < 0.25  # the black of rows without a picture would be far lower
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.95


def _bias(model: Any) -> np.ndarray:
    found = next(value for name, value in model._network.state_dict().items() if name.endswith("drawing.bias"))
    return np.asarray(found.numpy())
