"""The forms in which generators take rows, conditions and pairs: arrays, frames, mappings, tensors and data sets of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, load_wine
from torch.utils.data import TensorDataset

import trine
from trine.errors import ChoiceError, DataError

DIGITS = load_digits()
PICTURES = (DIGITS.images[:160] * 15).astype(np.uint8)
LABELS = DIGITS.target[:160]
WINE = load_wine(as_frame=True)
FRAME = WINE.data.iloc[:, :3]
FEW: dict[str, Any] = {"epochs": 1, "random_state": 0, "threads": 1}


@pytest.fixture(scope="module")
def drawn() -> trine.ConditionalGAN:
    """Digits given their class."""
    return trine.ConditionalGAN(channels=4, **FEW).fit(LABELS, PICTURES)


def test_pairs_are_judged_in_any_form(drawn: trine.ConditionalGAN) -> None:
    forms = [
        (LABELS, PICTURES),
        (list(LABELS), PICTURES),
        (pd.Series(LABELS), PICTURES),
        (torch.tensor(LABELS), torch.tensor(PICTURES)),
        TensorDataset(torch.tensor(LABELS), torch.tensor(PICTURES)),
    ]
    scores = [drawn.evaluate(form).metrics["FD-random-conv"].value for form in forms]
    assert np.isfinite(scores[0])
    assert scores == [scores[0]] * len(forms)
    assert drawn.evaluate_all(forms[0])["y"].metrics["FD-random-conv"].value == scores[0]


def test_a_condition_may_be_a_value_a_list_or_a_column(drawn: trine.ConditionalGAN) -> None:
    wanted = drawn.sample(np.array([[7], [3]]), 2, seed=1)
    for given in ([7, 3], np.array([7, 3]), torch.tensor([7, 3]), pd.Series([7, 3])):
        np.testing.assert_array_equal(drawn.sample(given, 2, seed=1), wanted)
    np.testing.assert_array_equal(drawn.sample(7, 3, seed=1), drawn.sample([[7]], 3, seed=1))


def test_pairs_that_do_not_fit_are_refused(drawn: trine.ConditionalGAN) -> None:
    with pytest.raises(DataError, match="X has 160 rows and y has 159"):
        drawn.evaluate((LABELS, PICTURES[:-1]))
    with pytest.raises(DataError, match="give a pair"):
        drawn.evaluate((LABELS, PICTURES, PICTURES))
    for n in (0, -1, 2.5, True):
        with pytest.raises(ChoiceError, match=f"n is {n}"):
            drawn.sample(7, n)  # type: ignore[arg-type]


def test_pictures_given_pictures_are_judged_as_arrays() -> None:
    model = trine.ConditionalGAN(channels=4, **FEW).fit(PICTURES, 255 - PICTURES)
    assert (
        model.evaluate((PICTURES, 255 - PICTURES)).rows == len(PICTURES) // 3
    )  # a third is the floor, a third the judge's


def test_each_column_of_a_frame_is_made() -> None:
    kinds = pd.Series(np.array(["low", "mid", "high"])[WINE.target], name="kind")
    targets = pd.concat([FRAME["ash"], kinds], axis=1)
    model = trine.ConditionalGAN(**FEW).fit(FRAME[["alcohol"]], targets)
    made = model.sample(FRAME[["alcohol"]].head(4), 2)
    assert list(made) == ["ash", "kind"]
    assert len(made["ash"]) == 8
    assert set(made["kind"]) <= {"low", "mid", "high"}
    told = model.evaluate((FRAME[["alcohol"]], targets))
    assert told.rows == len(FRAME) // 2
    with pytest.raises(DataError, match="y has 1 columns; this model makes ash, kind"):
        model.evaluate((FRAME[["alcohol"]], kinds))


def test_rows_may_be_tensors_frames_mappings_or_a_data_set() -> None:
    numbers = FRAME.to_numpy()
    scores = []
    for rows in (numbers, torch.tensor(numbers), TensorDataset(torch.tensor(numbers)), numbers.tolist()):
        model = trine.GAN(**FEW).fit(rows)
        assert model.sample(3).shape == (3, 3)
        scores.append(model.evaluate(rows).metrics["FD-standardised"].value)
    assert scores == [scores[0]] * 4
    by_name = {name: FRAME[name].to_numpy() for name in FRAME}
    model = trine.GAN(**FEW).fit(by_name)
    assert list(model.sample(2)) == list(FRAME)
    assert model.evaluate(by_name).rows == len(FRAME) // 2


def test_piles_may_be_tensors_or_data_sets() -> None:
    a, b = torch.tensor(FRAME.to_numpy()), torch.tensor(FRAME.to_numpy() + 1)
    one = trine.Translator(**FEW).fit(a, b).translate(a[:3])
    two = trine.Translator(**FEW).fit(TensorDataset(a), TensorDataset(b)).translate(TensorDataset(a[:3]))
    assert one.shape == (3, 3)
    np.testing.assert_array_equal(one, two)
    with pytest.raises(ChoiceError, match="n is 0"):
        trine.Translator(**FEW).fit(a, b).translate(a[:3], n=0)


def test_a_sparse_target_does_not_cost_the_training() -> None:
    """Of 6 values in 300 held-out rows have fewer than two, of which no score follows."""
    rng = np.random.default_rng(0)
    full = rng.normal(size=300)
    rows = pd.DataFrame({"full": full, "twice": 2 * full, "sparse": np.where(rng.permutation(300) < 6, full, np.nan)})
    found = trine.GAN(**FEW).fit(rows).evaluations_["x"].metrics
    assert "detection AUC" in found
    assert "sparse, learned from samples" not in found
