"""Columns through their domains into the store."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.data import encode, read
from trine.domains import Category, Domain, Image, Positive, Real
from trine.errors import DataError


class Plain(Domain):
    """Enough of a domain for the encoder: a column's values as they are."""

    def fit(self, column):
        return self

    def decode(self, encoded):
        return encoded

    def describe(self):
        return self.kind

    def encode(self, column):
        return column.values


@dataclasses.dataclass(frozen=True)
class Number(Plain):
    kind = "test-number"
    pack = "numbers"
    size: int = 1

    @property
    def width(self):
        return self.size

    def encode(self, column):
        return np.repeat(column.values.astype(np.float32)[:, None], self.size, axis=1)


@dataclasses.dataclass(frozen=True)
class Code(Plain):
    kind = "test-code"
    pack = "categories"

    def encode(self, column):
        return column.values.astype(np.int32)[:, None]


@dataclasses.dataclass(frozen=True)
class Pixels(Plain):
    kind = "test-pixels"
    most: float = 255.0

    @property
    def divisor(self):
        return self.most


@dataclasses.dataclass
class Schema:
    x: Mapping[str, Domain]
    y: Mapping[str, Domain]


def test_packs_views_and_fields():
    table = read(
        {
            "b": np.array([1.0, np.nan, 3.0]),
            "place": np.array([4.0, 5.0, 6.0]),
            "c": np.array([0, -1, 2]),
            "d": np.array([0, 300, -2]),
            "image": np.full((3, 8, 8), 51, np.uint8),
            "t": np.array([0.5, np.nan, 1.5]),
            "k": np.array([1, 0, -2]),
        }
    )
    schema = Schema(
        {"place": Number(2), "d": Code(), "b": Number(), "c": Code(), "image": Pixels()}, {"t": Number(), "k": Code()}
    )
    store = encode(table, schema, weight=np.array([1, 2, 0]))
    assert store.fields["x.numbers"].data.tolist()[0] == [4.0, 4.0, 1.0]
    assert store.fields["x.categories"].data.dtype == torch.int16
    assert store.fields["x.categories"].data.tolist() == [[0, 0], [300, -1], [-2, 2]]
    assert store.fields["y.k"].data.dtype == torch.int8
    batch = store.batch(torch.tensor([1, 2]))
    assert batch["x.place"].tolist() == [[5.0, 5.0], [6.0, 6.0]]
    assert torch.isnan(batch["x.b"]).tolist() == [True, False]
    assert batch["x.d"].tolist() == [300, -2]
    assert batch["x.categories"].dtype == torch.int64
    assert batch["x.image"].dtype == torch.float32
    torch.testing.assert_close(batch["x.image"], torch.full((2, 8, 8), 0.2))
    assert batch["y.t"].tolist() == [0.0, 1.5]
    assert batch["y.t.present"].tolist() == [False, True]
    assert (batch["y.k"].tolist(), batch["y.k.present"].tolist()) == ([0, 0], [True, False])
    assert batch["weight"].tolist() == [2.0, 0.0]
    assert "x.image.present" not in batch


def test_a_file_through_the_real_domains_and_back(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("size,city,price,sold\n1.5,Oslo,10,yes\n,Rome,20,no\n3,?,30,\n4,Oslo,40,yes\n")
    table = read(path)
    x = {"size": Real().fit(table.column("size")), "city": Category().fit(table.column("city"))}
    y = {"price": Positive().fit(table.column("price")), "sold": Category(strict=True).fit(table.column("sold"))}
    store = encode(table, Schema(x, y))
    batch = store.batch(torch.tensor([3, 1, 2]))
    assert x["size"].decode(batch["x.size"].numpy())[0] == pytest.approx(4)
    assert torch.isnan(batch["x.size"]).tolist() == [False, True, False]
    assert batch["x.city"].tolist() == [0, 1, -1]
    np.testing.assert_allclose(y["price"].decode(batch["y.price"].numpy()), [40, 20, 30], rtol=1e-6)
    assert batch["y.sold.present"].tolist() == [True, True, False]
    assert y["sold"].decode(batch["y.sold"].numpy())[:2].tolist() == ["yes", "no"]
    assert "y.price.present" not in batch


def test_mnist_shaped_pixels_are_not_copied():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    image = Image().fit(read(pixels).column("image"))
    store = encode(read(pixels), Schema({"image": image}, {}))
    assert store.fields["x.image"].data.shape == (40, 1, 28, 28)
    assert np.shares_memory(store.fields["x.image"].data.numpy(), pixels)


def test_reading_libraries_load_when_something_is_read():
    code = "import sys, trine.data; print([m for m in ('pyarrow', 'sklearn', 'pandas', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=40),
    st.integers(1, 5),
)
def test_every_view_gives_back_its_column(widths, rows):
    arrays = {f"c{i}": np.arange(rows) + 10.0 * i for i in range(len(widths))}
    schema = Schema({f"c{i}": Number(width) for i, width in enumerate(widths)}, {})
    batch = encode(read(arrays), schema).batch(torch.arange(rows))
    assert batch["x.numbers"].shape == (rows, sum(widths))
    for i, width in enumerate(widths):
        expected = torch.tensor(arrays[f"c{i}"], dtype=torch.float32)
        torch.testing.assert_close(batch[f"x.c{i}"].reshape(rows, width), expected[:, None].expand(rows, width))


@pytest.mark.parametrize(
    ("codes", "kind"), [([-2, 127], torch.int8), ([-1, 128], torch.int16), ([0, 40000], torch.int32), ([], torch.int8)]
)
def test_codes_take_the_smallest_type(codes, kind):
    from trine.data._encode import _compact

    assert torch.from_numpy(_compact(np.array(codes, dtype=np.int64))).dtype == kind


def test_rows_and_weights_are_taken_together():
    table = read({"a": np.arange(4.0), "y": np.arange(4.0)})
    schema = Schema({"a": Number()}, {"y": Number()})
    store = encode(table, schema, rows=np.array([3, 1]), weight=np.arange(4.0))
    batch = store.batch(torch.arange(2))
    assert (batch["x"].tolist(), batch["y"].tolist(), batch["weight"].tolist()) == ([3, 1], [3, 1], [3, 1])


def test_targets_need_not_be_there_to_predict():
    schema = Schema({"a": Number()}, {"y": Number()})
    assert list(encode(read({"a": np.arange(2.0)}), schema, targets=False).fields) == ["x.numbers"]
    with pytest.raises(DataError, match="no column 'y'"):
        encode(read({"a": np.arange(2.0)}), schema)


def test_pixels_are_shared_and_16_bits_are_scaled():
    pixels = np.full((2, 8, 8), 65535, np.uint16)
    store = encode(read(pixels), Schema({"image": Pixels(most=65535.0)}, {}))
    assert store.fields["x.image"].data.numpy().ctypes.data == pixels.ctypes.data
    torch.testing.assert_close(store.batch(torch.arange(2))["x"], torch.ones(2, 8, 8))


def test_missing_pixels_are_masked_and_the_users_array_is_left():
    pixels = np.ones((3, 8, 8), np.float32)
    pixels[1, 0, 0] = np.nan
    batch = encode(read(pixels), Schema({"image": Pixels()}, {})).batch(torch.arange(3))
    assert batch["x.image.present"].tolist() == [True, False, True]
    assert batch["x.image"][1].abs().sum() == 0
    assert np.isnan(pixels[1, 0, 0])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1], "1 weights for 2 rows"),
        ([1, -1], r"row 2 is -1"),
        ([np.nan, 1], "row 1 is nan"),
        ([0, 0], "All weights are 0"),
    ],
)
def test_unusable_weights(weight, message):
    with pytest.raises(DataError, match=message):
        encode(read({"a": np.arange(2.0)}), Schema({"a": Number()}, {}), weight=np.array(weight))
