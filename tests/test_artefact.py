"""The artefact: what is saved comes back, what was touched is refused, and nothing in it can execute."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from sklearn.datasets import load_iris

import trine
from trine import artefact
from trine.errors import ArtefactError

TENSORS = {
    "weight": torch.linspace(-1, 1, 12).reshape(3, 4).T,  # not contiguous
    "bias": torch.tensor([float("inf"), float("-inf"), 0.0]),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "mask": torch.tensor([True, False]),
}
MANIFEST: dict[str, Any] = {
    "estimator": "nothing",
    "columns": {"zulu": 1, "alpha": [1.5, None]},
    "text": '€ ‖ \u2028 "quoted"',
}


@functools.cache
def saved() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return artefact.save(Path(folder) / "a.trine", MANIFEST, TENSORS).read_bytes()


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


def test_it_comes_back_as_it_was_in_order(tmp_path: Path) -> None:
    manifest, tensors = artefact.load(artefact.save(tmp_path / "a.trine", MANIFEST, TENSORS))
    assert manifest == {"format": artefact.FORMAT, **MANIFEST}
    assert list(manifest["columns"]) == ["zulu", "alpha"], "the order of columns is the order of the model's inputs"
    assert equal(tensors, TENSORS)


def test_the_file_is_a_length_json_and_numbers(tmp_path: Path) -> None:
    data = saved()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__")
    assert metadata.keys() == {"trine", "sha256"}
    assert json.loads(metadata["trine"])["estimator"] == "nothing"
    covered = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    ends = [0, *(end for _, end in covered)]
    assert [start for start, _ in covered] == ends[:-1], "no byte between or beside the numbers"
    assert 8 + size + ends[-1] == len(data)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 2**32), change=st.integers(1, 255))
def test_a_byte_altered_anywhere_is_refused_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    """Nothing changes where one blank of the header's padding becomes another."""
    data = bytearray(saved())
    data[place % len(data)] ^= change
    path = tmp_path_factory.getbasetemp() / "altered.trine"
    path.write_bytes(data)
    try:
        manifest, tensors = artefact.load(path)
    except ArtefactError:
        return
    assert manifest == {"format": artefact.FORMAT, **MANIFEST}
    assert equal(tensors, TENSORS)


def test_every_altered_byte_of_a_weight_is_refused(tmp_path: Path) -> None:
    data = saved()
    start = 8 + int.from_bytes(data[:8], "little")
    for place in range(start, len(data)):
        path = tmp_path / "altered.trine"
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ArtefactError, match="altered or damaged"):
            artefact.load(path)


@settings(max_examples=80, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = tmp_path_factory.getbasetemp() / "short.trine"
    path.write_bytes(saved()[: int(share * len(saved()))])
    with pytest.raises(ArtefactError, match=r"short\.trine"):
        artefact.load(path)


def test_bytes_after_the_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.trine"
    path.write_bytes(saved() + b"more")
    with pytest.raises(ArtefactError, match=r"long\.trine"):
        artefact.load(path)


@pytest.mark.parametrize("versions", [{"trine": "9.1"}, {}, ["whatever a newer one writes"], None])
def test_a_newer_format_is_refused_with_the_remedy(tmp_path: Path, versions: Any) -> None:
    path = artefact.save(tmp_path / "a.trine", {"format": artefact.FORMAT + 1, "versions": versions}, {})
    with pytest.raises(ArtefactError, match=r"format 2; this trine reads up to 1. Install a newer trine"):
        artefact.load(path)


@pytest.mark.parametrize("manifest", ["not json", "[]", "{}", '{"format": "1"}', '{"format": null}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: str) -> None:
    path = tmp_path / "a.trine"
    save_file({}, path, metadata={"trine": manifest, "sha256": artefact.digest(manifest, {})})
    with pytest.raises(ArtefactError, match="altered and is refused"):
        artefact.load(path)


def test_what_other_programs_write_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "other.safetensors"
    save_file({"w": torch.ones(2)}, foreign)
    with pytest.raises(ArtefactError, match="another program wrote it"):
        artefact.load(foreign)
    pickled = tmp_path / "model.pt"
    torch.save({"w": torch.ones(2)}, pickled)
    (tmp_path / "empty.trine").touch()
    for path in (pickled, tmp_path / "empty.trine"):
        with pytest.raises(ArtefactError, match="not a complete trine artefact"):
            artefact.load(path)
    for path in (tmp_path / "absent.trine", tmp_path):
        with pytest.raises(ArtefactError, match="no artefact at"):
            artefact.load(path)


def test_what_cannot_be_written_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = artefact.save(tmp_path / "a.trine", MANIFEST, TENSORS)
    before = path.read_bytes()
    with pytest.raises(ArtefactError, match="could not be written"):
        artefact.save(tmp_path / "no" / "such" / "a.trine", MANIFEST, TENSORS)
    with pytest.raises((ArtefactError, ValueError)):
        artefact.save(path, {"loss": float("nan")}, TENSORS)
    assert os.listdir(tmp_path) == ["a.trine"]
    assert path.read_bytes() == before


# Whole estimators --------------------------------------------------------------------------------------------------


def frame() -> tuple[Any, np.ndarray]:
    pd = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True)
    columns = {"zeta": X[:, 0], "colour": np.where(X[:, 3] > 1, "red", "blue"), "alpha": X[:, 2], "mid": X[:, 1]}
    return pd.DataFrame(columns), np.array(["setosa", "versicolor", "virginica"])[y]


@functools.cache
def fitted() -> trine.Classifier:
    return trine.Classifier(epochs=3, random_state=0, threads=1).fit(*frame())


def test_an_estimator_in_a_fresh_process_gives_the_same_predictions(tmp_path: Path) -> None:
    """With columns that are not in the alphabet's order, given in yet another order."""
    pytest.importorskip("pandas")
    X, _ = frame()
    path = fitted().save(tmp_path / "iris.trine")
    X.to_csv(tmp_path / "iris.csv", index=False)
    code = (
        "import sys, trine, torch, numpy as np, pandas as pd; torch.set_num_threads(1);"
        "model = trine.load(sys.argv[1]); X = pd.read_csv(sys.argv[2]);"
        "np.save(sys.argv[3], np.stack([model.predict_proba(X), model.predict_proba(trine.read(sys.argv[2]))]));"
        "print(*model.classes_, *model.schema_.x)"
    )
    where = [str(path), str(tmp_path / "iris.csv"), str(tmp_path / "p.npy")]
    done = subprocess.run(
        [sys.executable, "-c", code, *where], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["setosa", "versicolor", "virginica", "zeta", "colour", "alpha", "mid"]
    here = fitted().predict_proba(X)
    for there in np.load(tmp_path / "p.npy"):
        np.testing.assert_array_equal(there, here)


def test_saved_again_it_is_the_same(tmp_path: Path) -> None:
    first = fitted().save(tmp_path / "one.trine")
    (manifest, tensors), (again, tensors_again) = (
        artefact.load(first),
        artefact.load(trine.load(first).save(tmp_path / "two.trine")),
    )
    assert json.dumps(manifest) == json.dumps(again)
    assert equal(tensors, tensors_again)


@pytest.mark.parametrize(
    "key", ["estimator", "method", "schema", "choices", "reasons", "facts", "plan", "provenance", "metrics"]
)
def test_a_manifest_that_lacks_a_part_is_refused(tmp_path: Path, key: str) -> None:
    manifest = fitted().manifest()
    del manifest[key]
    path = artefact.save(tmp_path / "a.trine", manifest, fitted().derivation_.model.state_dict())
    with pytest.raises(ArtefactError, match=r"a\.trine"):
        trine.load(path)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tensors = dict(fitted().derivation_.model.state_dict())
    name, value = next((n, v) for n, v in tensors.items() if v.dim() == 2)
    for wrong in (
        {**tensors, name: value[1:]},
        {k: v for k, v in tensors.items() if k != name},
        {**tensors, "more": value},
    ):
        path = artefact.save(tmp_path / "a.trine", fitted().manifest(), wrong)
        with pytest.raises(ArtefactError, match="does not fit together"):
            trine.load(path)
