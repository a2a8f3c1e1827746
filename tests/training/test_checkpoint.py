"""Checkpoints: what goes in comes out; what is damaged is refused; a full disk loses nothing."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trine.errors import RunError
from trine.training import checkpoint, fingerprint

TENSORS = [
    torch.arange(6.0).reshape(2, 3),
    torch.tensor(3, dtype=torch.int64),
    torch.zeros(0, 4),
    torch.tensor([True, False]),
    torch.tensor([1.5, float("inf"), float("nan")], dtype=torch.bfloat16),
    torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    torch.randn(5, 4).t(),
]
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(TENSORS)
)
states = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9) | st.just("$tensor"), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return (
            isinstance(b, Tensor)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and fingerprint({"": a}) == fingerprint({"": b})
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(state=states)
def test_any_nested_state_comes_back_equal_in_structure_and_bits(
    state: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("c") / "c.safetensors"
    checkpoint.save(path, state)
    assert same(checkpoint.load(path), state)


def test_tied_tensors_are_kept_and_the_file_is_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tied = torch.randn(3, 3)
    checkpoint.save(tmp_path / "c", {"a": tied, "b": tied, "c": tied[1]})
    assert set(load_file(tmp_path / "c")) == {"/a", "/b", "/c"}
    assert torch.equal(checkpoint.load(tmp_path / "c")["c"], tied[1])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"weight": torch.randn(40, 40), "t": 7})
    return path


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
def test_a_truncated_file_is_refused(written: Path, share: float) -> None:
    data = written.read_bytes()
    written.write_bytes(data[: int(share * len(data))])
    with pytest.raises(RunError, match="truncated or damaged"):
        checkpoint.load(written)


def test_a_file_with_one_bit_turned_is_refused_wherever_it_is(written: Path) -> None:
    data = written.read_bytes()
    header = int.from_bytes(data[:8], "little")
    for place in (data.index(b'"t'), 8 + header + 5, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        written.write_bytes(changed)
        with pytest.raises(RunError, match=str(written)):
            checkpoint.load(written)


def test_a_structure_that_was_edited_is_refused(written: Path) -> None:
    written.write_bytes(written.read_bytes().replace(b'\\"t\\": 7', b'\\"t\\": 8'))
    with pytest.raises(RunError, match="altered"):
        checkpoint.load(written)


def test_a_newer_format_and_a_foreign_file_are_refused_by_name(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import save_file

    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    checkpoint.save(written, {})
    monkeypatch.undo()
    with pytest.raises(RunError, match="newer trine"):
        checkpoint.load(written)
    save_file({"a": torch.zeros(1)}, written)
    with pytest.raises(RunError, match="cannot be read"):
        checkpoint.load(written)
    with pytest.raises(RunError, match="nowhere"):
        checkpoint.load(written.with_name("nowhere"))


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(
    written: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = written.read_bytes()
    monkeypatch.setattr(os, function, full)
    with pytest.raises(RunError, match=r"the disk is full.*last good checkpoint is kept.*trine resume"):
        checkpoint.save(written, {"weight": torch.zeros(10)})
    monkeypatch.undo()
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_the_structure_is_json_that_a_person_can_read(written: Path) -> None:
    from safetensors import safe_open

    with safe_open(written, framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["structure"]) == {"weight": {"$tensor": "/weight"}, "t": 7}


def test_fingerprints_tell_values_names_types_and_shapes_apart() -> None:
    a = torch.zeros(4)
    assert fingerprint({"a": a}) == fingerprint({"a": a.clone()})
    others = [{"b": a}, {"a": a.reshape(2, 2)}, {"a": a.to(torch.int32)}, {"a": -a}, {}]
    assert len({fingerprint(t) for t in [{"a": a}, *others]}) == 6
