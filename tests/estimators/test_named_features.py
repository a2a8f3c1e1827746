"""Samples in the features of a network that the user has, through Python and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_wine
from torch import nn

import trine
from trine.cli import main
from trine.errors import ChoiceError
from trine.evaluation.inception import CLASSES, Inception

SHORT: dict[str, Any] = {"epochs": 1, "channels": 4, "random_state": 0, "threads": 1}


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return (load_digits().images * 15.9).astype(np.uint8)[:200]


@pytest.fixture(scope="module")
def gan(pictures: NDArray[np.uint8]) -> trine.GAN:
    return trine.GAN(**SHORT).fit(pictures)


class Columns(nn.Module):
    """Mean of each column of pixels, of pictures in [0, 1] with channels first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 4
        assert x.shape[1] == 1
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
        return x.mean((1, 2))


def test_a_distance_is_named_after_its_network(gan: trine.GAN, pictures: NDArray[np.uint8], tmp_path: Path) -> None:
    found = gan.evaluate(pictures, Columns()).metrics
    assert list(found)[:2] == ["FD-Columns", "KD-Columns"]
    assert found["FD-Columns"].value > 3 * found["FD-Columns"].baseline  # type: ignore[operator]
    assert "FID" not in found
    judge = trine.Classifier(epochs=2, random_state=0, threads=1).fit(pictures, load_digits().target[:200])
    path = judge.save(tmp_path / "digits.trine")
    assert "FD-digits" in gan.evaluate(pictures, path).metrics
    wine = trine.GAN(epochs=2, random_state=0, threads=1).fit(load_wine().data)
    assert "FD-Linear" in wine.evaluate(load_wine().data, nn.Linear(13, 4)).metrics


def test_a_translator_is_judged_by_it_both_ways(pictures: NDArray[np.uint8]) -> None:
    model = trine.Translator(**SHORT).fit(pictures[:60], 255 - pictures[60:120])
    found = model.evaluate(pictures[120:160], 255 - pictures[160:], Columns())
    assert {"FD-Columns", "KD-Columns"} <= set(found["A"].metrics) & set(found["B"].metrics)


def test_only_of_its_own_weights_it_is_the_fid(tmp_path: Path, pictures: NDArray[np.uint8], gan: trine.GAN) -> None:
    torch.manual_seed(0)
    weights = {**Inception().state_dict(), "fc.weight": torch.zeros(CLASSES, 2048), "fc.bias": torch.zeros(CLASSES)}
    torch.save(weights, tmp_path / "inception.pth")
    gan.save(tmp_path / "gan.trine")
    np.savez(tmp_path / "few.npz", image=pictures[:24])
    wine = trine.GAN(epochs=1, random_state=0, threads=1).fit(load_wine().data)
    with pytest.raises(ChoiceError, match="Inception reads pictures"):
        wine.evaluate(load_wine().data, tmp_path / "inception.pth")
    found = gan.evaluate(pictures[:24], tmp_path / "inception.pth").metrics
    assert list(found)[:2] == ["FID", "KID"]
    assert np.isfinite(found["FID"].value)
    assert found["FID"].value > 0


def test_the_command_line_takes_a_network(
    tmp_path: Path, pictures: NDArray[np.uint8], gan: trine.GAN, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as end:
            main([str(part) for part in arguments])
        return int(end.value.code or 0)

    gan.save(tmp_path / "gan.trine")
    judge = trine.Classifier(epochs=1, random_state=0, threads=1).fit(pictures, load_digits().target[:200])
    judge.save(tmp_path / "judge.trine")
    np.savez(tmp_path / "digits.npz", image=pictures)
    assert (
        run(
            "evaluate", tmp_path / "gan.trine", tmp_path / "digits.npz", "--network", tmp_path / "judge.trine", "--json"
        )
        == 0
    )
    assert "FD-judge" in next(iter(json.loads(capsys.readouterr().out).values()))["metrics"]
    assert run("evaluate", tmp_path / "gan.trine", tmp_path / "digits.npz", "--network", tmp_path / "none.pth") == 2
    assert "cannot be read" in capsys.readouterr().err
    assert (
        run("evaluate", tmp_path / "judge.trine", tmp_path / "digits.npz", "--network", tmp_path / "judge.trine") == 2
    )
    assert "--network judges samples" in capsys.readouterr().err
