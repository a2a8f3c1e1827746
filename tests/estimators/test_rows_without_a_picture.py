"""Rows that lack what is made whole, a picture, a vector, a series or a sound: left out and counted, as if they were not there."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image as Pillow
from sklearn.datasets import load_digits

import trine
from trine.errors import DataError

DIGITS = load_digits()
ROWS = 60
EMPTY = np.arange(ROWS) % 3 == 0
FEW: dict[str, Any] = {"epochs": 1, "channels": 4, "hidden": (8, 8), "threads": 1, "seed": 0}
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(ROWS, 3)).astype(np.float32)
WAVES = np.sin(np.linspace(0, 9, 20) * RNG.uniform(1, 3, (ROWS, 1)))
NUMBERS = RNG.normal(size=ROWS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Pictures and sounds, a file each."""
    place = tmp_path_factory.mktemp("files")
    pictures, sounds = ([str(place / f"{i}.{ending}") for i in range(ROWS)] for ending in ("png", "wav"))
    for i, (picture, sound) in enumerate(zip(pictures, sounds, strict=True)):
        Pillow.fromarray((DIGITS.images[i] * 15 + 15).astype(np.uint8)).save(picture)
        soundfile.write(sound, 0.5 * np.sin(np.arange(64) * (0.1 + 0.01 * i)), 8000)
    return {"image": pictures, "sound": sounds}


Rows = dict[str, np.ndarray]


def with_and_without(columns: dict[str, Any], names: tuple[str, ...]) -> tuple[Rows, Rows]:
    """All rows, those of the columns ``names`` with nothing in a third of them; and the other two thirds alone."""
    whole: Rows = {}
    for name, values in columns.items():
        whole[name] = np.empty(ROWS, dtype=object)
        whole[name][:] = list(values)
    holed = {name: values.copy() for name, values in whole.items()}
    for name in names:
        for row in np.flatnonzero(EMPTY):
            holed[name][row] = np.full(3, np.nan) if name == "vector" else None
    return holed, {name: values[~EMPTY] for name, values in whole.items()}


def weights(model: Any) -> list[torch.Tensor]:
    return [*model.derivation_.model.state_dict().values(), *model.derivation_.criterion.state_dict().values()]


def columns_of(files: dict[str, list[str]]) -> dict[str, Any]:
    labels = DIGITS.target[:ROWS].astype(str)
    return {
        **files,
        "vector": VECTORS,
        "series": WAVES,
        "number": NUMBERS,
        "digit": labels,
        "other": files["image"][::-1],
    }


KINDS = {"image": "image", "vector": "vector", "series": "series", "sound": "audio", "digit": "category"}


CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]] = {
    "picture": (("image",), (), {"method": "gan"}),
    "vector": (("vector",), (), {"method": "gan"}),
    "series": (("series", "number"), (), {"method": "gan"}),
    "sound": (("sound",), (), {"method": "gan"}),
    "given a class": (("image",), ("digit",), {"method": "conditional_gan", "y": "image"}),
    "of two": (("image",), ("digit", "number"), {"method": "conditional_gan", "y": ["image", "number"]}),
    "given a picture": (("image",), ("other",), {"method": "conditional_gan", "y": "other"}),
}


@pytest.mark.parametrize("case", CASES)
def test_training_is_that_of_the_whole_rows(case: str, files: dict[str, list[str]]) -> None:
    lacking, beside, how = CASES[case]
    columns = {name: values for name, values in columns_of(files).items() if name in (*lacking, *beside)}
    holed, whole = with_and_without(columns, tuple(set(lacking) - {"number"}))
    how = {**how, **FEW, "domains": {name: KINDS[name] for name in columns if name in KINDS}}
    with pytest.warns(UserWarning, match=f"^20 of 60 rows have no '{lacking[0]}' and are left out: it is made whole"):
        model = trine.fit(holed, **how)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*are left out.*")
        same = trine.fit(whole, **how)
    assert model.derivation_.facts.rows == same.derivation_.facts.rows == 36
    assert all(torch.equal(one, other) for one, other in zip(weights(model), weights(same), strict=True))
    if case == "given a picture":
        with pytest.raises(DataError, match="The condition image has no value"):
            model.evaluate_all(holed)
        return
    with pytest.warns(UserWarning, match="20 of 60 rows"):
        found = model.evaluate_all(holed)
    assert all(evaluation.rows <= 40 for evaluation in found.values())


def test_either_pile_leaves_its_own_out(files: dict[str, list[str]]) -> None:
    a, whole = with_and_without({"image": files["image"]}, ("image",))
    b = {"image": np.array(files["image"][::-1], dtype=object)}
    b["image"][:7] = None
    how = {"method": "unpaired", **FEW, "layers": 1}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = trine.fit(a, other=b, **how)
    told = [str(warning.message) for warning in said if "left out" in str(warning.message)]
    assert told == [
        f"Pile {pile}: {count} of 60 rows have no 'image' and are left out: it is made whole or not at all."
        for pile, count in (("A", 20), ("B", 7))
    ]
    same = trine.fit(whole, other={"image": b["image"][7:]}, **how)
    assert all(torch.equal(one, other) for one, other in zip(weights(model), weights(same), strict=True))
    with pytest.warns(UserWarning, match="Pile B: 7 of 60"):
        found = model.evaluate(a, b)
    assert found["B"].rows <= 53
    with pytest.raises(DataError, match="Column 'image', row 1: there is nothing to translate"):
        model.translate(a, to="B")
    a["image"][2:] = None
    with pytest.raises(DataError, match="Pile B: 1 rows have a value of 'image'"):
        trine.fit(b, other=a, **how)


def test_unreadable_ones_count_and_a_picture_to_be_given_is_asked_for(
    files: dict[str, list[str]], tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    broken = {"image": np.array([str(tmp_path / "bad.png"), *files["image"][1:]], dtype=object)}
    with pytest.warns(UserWarning, match="1 of 60 rows have no 'image' and are left out"):
        trine.fit(broken, method="gan", on_bad="skip", **FEW)
    holed, _ = with_and_without({"image": files["image"], "other": files["image"][::-1]}, ("image",))
    with pytest.warns(UserWarning, match="20 of 60 rows have no 'image'"):
        model = trine.fit(holed, "other", method="conditional_gan", **FEW)
    with pytest.raises(DataError, match="image has no value"):
        model.sample({"image": holed["image"]}, 1)
    with pytest.raises(DataError, match="have a value of 'image'"):
        trine.fit({"image": holed["image"][:2]}, method="gan", **FEW)
