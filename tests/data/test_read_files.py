"""Files of every format, and what is said of those that cannot be read."""

from __future__ import annotations

import gzip
import re
import shutil
import struct

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from trine.data import read
from trine.domains._text import MISSING
from trine.errors import ChoiceError, DataError


def texts(column):
    return [None if code < 0 else column.levels[code] for code in column.values]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def idx(array):
    kinds = {"u1": 0x08, "i4": 0x0C}
    head = bytes([0, 0, kinds[array.dtype.str[1:]], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


# CSV and TSV ---------------------------------------------------------------------------------------------------------

CSV = """age,size,city,zip,when,empty,mixed
 39 ,1.5,Oslo,01234,2020-01-02,?,1
50,NA," Bergen ",94110,2020-01-03,,two
?,2e3,"a,
b",00501,-,NA,3
"""


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "A.CSV"])
def test_text_tables(tmp_path, name):
    content = CSV.encode()
    if "tsv" in name:
        content = content.replace(b'"a,\nb"', b'"a;\nb"').replace(b",", b"\t").replace(b"a;", b"a,")
    if name.endswith("gz"):
        content = gzip.compress(content, mtime=0)
    table = read(write(tmp_path / name, content))
    assert table.names == ["age", "size", "city", "zip", "when", "empty", "mixed"]
    assert table.rows == 3
    np.testing.assert_array_equal(table.column("age").values, [39, 50, np.nan])
    np.testing.assert_array_equal(table.column("size").values, [1.5, np.nan, 2000])
    assert texts(table.column("city")) == ["Oslo", "Bergen", "a,\nb"]
    assert texts(table.column("zip")) == ["01234", "94110", "00501"]
    assert texts(table.column("when")) == ["2020-01-02", "2020-01-03", None]
    assert table.column("empty").missing.all()
    assert texts(table.column("mixed")) == ["1", "two", "3"]
    assert table.column("city").base == str(tmp_path)
    assert table.column("city") is table.column("city")


def test_integers_stay_integers(tmp_path):
    table = read(write(tmp_path / "a.csv", "n,m,h\n1,9007199254740993,0x10\n-2,3,1\n"))
    assert table.column("n").values.dtype == np.int64
    assert table.column("m").values.tolist() == [9007199254740993, 3]
    assert texts(table.column("h")) == ["0x10", "1"]


def test_semicolons_separate_when_the_header_has_no_comma(tmp_path):
    assert read(write(tmp_path / "a.csv", "a;b\n1;2\n")).names == ["a", "b"]


def test_byte_order_mark_blank_lines_and_blank_names(tmp_path):
    table = read(write(tmp_path / "a.csv", b"\xef\xbb\xbf\n, b \n1,2\n\n3,4\n"))
    assert table.names == ["column1", "b"]
    assert table.column("b").values.tolist() == [2, 4]


def test_rows_longer_than_a_megabyte(tmp_path):
    names = [f"{i:06d}" + "x" * 600 for i in range(2_000)]
    table = read(write(tmp_path / "a.csv", ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n"))
    assert (len(table.names), table.column(names[-1]).values.tolist()) == (2_000, [1])
    text = "x" * 2_000_000
    assert read(write(tmp_path / "a.jsonl", f'{{"t": "{text}"}}\n')).column("t").levels.tolist() == [text]


def test_a_file_that_the_system_does_not_give(tmp_path, monkeypatch):
    path = write(tmp_path / "a.csv", "a\n1\n")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(DataError, match=r"a\.csv cannot be read: Permission denied"):
        read(path)


def test_ragged_rows_are_named_by_line_or_skipped(tmp_path):
    path = write(tmp_path / "a.csv", 'a,b\n"1\n",x\n2,y\n3\n4,z\n5,u,v\n6,w\n')
    with pytest.raises(DataError, match=r"a\.csv, line 5: 1 values where the header has 2"):
        read(path)
    table = read(path, on_bad="skip")
    column = table.column("b")
    assert texts(column) == ["x", "y", "z", "w"]
    assert [column.row(i) for i in range(4)] == [1, 2, 4, 6]
    assert [column.take(np.array([3])).row(0)] == [6]
    assert len(table.skipped) == 2
    assert "row 3" in table.skipped[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "no header"),
        ("a.csv", b"a,b\n", "a header and no rows"),
        ("a.csv", b"a,b,a\n1,2,3\n", r"2 columns called 'a' \(columns 1, 3\)"),
        ("a.csv", b"a,b\n1,x\n2,caf\xe9\n", r"line 3 has the byte 0xe9 \(byte 14 of the file\).*iconv"),
        ("a.csv", b"caf\xe9,b\n1,x\n", "line 1 has the byte 0xe9"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "iconv -f UTF-16"),
        ("a.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 9999, mtime=0)[:40], "ends too early"),
        ("a.csv.gz", b"a,b\n1,2\n", "not a whole gzip file"),
        ("a.csv", b'a,"b\n' + b"1,2\n" * 99999, "no header that can be read"),
        ("a.csv", b'a,b\n1,"2\n3,4\n', "never closed"),
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not a JSON value"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2: a list"),
        ("a.jsonl", b'{"a": 1}\n{"a": "x"}\n', "values of one type"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', "line 2"),
        ("a.parquet", b"", "is empty"),
        ("a.parquet", b"PAR1 and no more", "not a whole Parquet file"),
        ("a.npz", b"PK\x03\x04 and no more", "not a whole .npz"),
        ("t-images-idx3-ubyte", b"\x00\x00\x08", "not an IDX file"),
        ("t-images-idx3-ubyte", b"\x89PNG1234", "begins with 89 50 4e 47"),
        ("t-images-idx3-ubyte", b"\x00\x00\x08\x03\x00\x00", "within its header"),
        ("t-images-idx3-ubyte", idx(np.zeros((2, 8, 8), np.uint8))[:-1], "only 127"),
        ("t-images-idx3-ubyte", idx(np.zeros((2, 8, 8), np.uint8)) + b"0", "there are more"),
        ("t-images-idx3-ubyte.gz", gzip.compress(idx(np.zeros((9, 8, 8), np.uint8)), mtime=0)[:-9], "ends too early"),
        ("t-images-idx3-ubyte", b"\x00\x00\x08\x03" + b"\xff" * 12, "damaged"),
        ("a.xlsx", b"PK", r"no format that trine reads.*\.csv.*\.npz.*\.parquet"),
    ],
)
def test_damaged_files_say_what_and_where(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert name in str(caught.value)


def test_no_such_file_names_the_nearest(tmp_path):
    write(tmp_path / "adult.csv", "a\n1\n")
    with pytest.raises(DataError, match=r"no file .*adlut\.csv\. Did you mean 'adult\.csv'\?"):
        read(tmp_path / "adlut.csv")
    with pytest.raises(DataError, match="does not exist either"):
        read(str(tmp_path / "nowhere" / "a.csv"))


def test_no_such_target_names_the_nearest(tmp_path):
    path = write(tmp_path / "a.csv", "income,age\n1,2\n")
    assert read(path, y="income").names == ["income", "age"]
    assert read(path, y=["income"]).rows == 1
    for y in ("incme", ["incme"]):
        with pytest.raises(DataError, match=r"no column 'incme'.*Did you mean 'income'"):
            read(path, y=y)


def test_on_bad_is_checked(tmp_path):
    with pytest.raises(ChoiceError, match="'stop' or 'skip'"):
        read(tmp_path, on_bad="ignore")


def number(text):
    """What a value of a text table is when it is a number, in plain Python."""
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text):
        return float(text)
    return None


@given(
    st.lists(
        st.one_of(
            st.sampled_from([*sorted(MISSING), " ", "x y", "1_0", "0x1", "007", "1e", "é", "+5", "1.", ".5", "-0"]),
            st.integers().map(str),
            st.floats(allow_nan=False, allow_infinity=False).map(repr),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_text_column_is_numbers_when_all_that_is_there_are(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("a,b\n" + "".join(f" {value} ,1\n" for value in values), encoding="utf-8")
    column = read(path).column("a")
    present = [v.strip() for v in values if v.strip() not in MISSING]
    assert column.missing.tolist() == [v.strip() in MISSING for v in values]
    numeric = all(number(v) is not None and not re.match(r"[+-]?0\d", v) for v in present)
    assert (column.levels is None) == numeric
    if numeric:
        np.testing.assert_array_equal(column.values[~column.missing], [number(v) for v in present])
    else:
        assert [t for t in texts(column) if t is not None] == present


# Parquet, JSON lines, npz --------------------------------------------------------------------------------------------


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {"n": [1, None, 3], "s": ["u", None, "u"], "v": [[1.0, 2.0]] * 3, "a.b": [1, 2, 3], "f": [0.5, 1, 2]}
    pq.write_table(pa.table(columns), path, row_group_size=2)
    table = read(path)
    assert (table.names, table.rows) == (list(columns), 3)
    np.testing.assert_array_equal(table.column("n").values, [1, np.nan, 3])
    assert texts(table.column("s")) == ["u", None, "u"]
    assert table.column("v").values.shape == (3, 2)
    assert table.column("a.b").values.tolist() == [1, 2, 3]


def test_parquet_leaves_the_index_of_pandas_out(tmp_path):
    pd.DataFrame({"n": [1, 2]}, index=["a", "b"]).to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").names == ["n"]


def test_parquet_cut_off_or_without_rows(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": list(range(1000))}), path)
    cut = write(tmp_path / "b.parquet", path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a whole Parquet"):
        read(cut)
    pq.write_table(pa.table({"n": pa.array([], pa.int64())}), path)
    with pytest.raises(DataError, match="no rows"):
        read(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".jsonl.gz"])
def test_json_lines(tmp_path, suffix):
    content = b'{"a": 1, "o": {"p": "x"}}\n{"a": null, "o": {"p": "y"}}\n{"o": {"p": "x"}}\n'
    table = read(write(tmp_path / f"a{suffix}", gzip.compress(content, mtime=0) if suffix.endswith("gz") else content))
    assert table.names == ["a", "o.p"]
    np.testing.assert_array_equal(table.column("a").values, [1, np.nan, np.nan])
    assert texts(table.column("o.p")) == ["x", "y", "x"]


def test_npz_pair_leaves_the_rest_out(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.ones((4, 3)), y=np.arange(4), is_test=np.zeros((20, 4), bool))
    table = read(tmp_path / "a.npz")
    assert table.names == ["x0", "x1", "x2", "y"]
    assert table.default_target == "y"
    with pytest.raises(DataError, match=r"no column 'is_test'.*Left out of the archive, beside X and y: is_test"):
        table.column("is_test")


def test_npz_x_without_y_keeps_the_other_arrays_of_as_many_rows(tmp_path):
    digit = np.arange(4) % 2
    np.savez(tmp_path / "a.npz", X=np.zeros((4, 9, 8)), digit=digit, names=np.array(list("ab")), seed=3)
    table = read(tmp_path / "a.npz", y="digit")
    assert table.names == ["image", "digit"]
    np.testing.assert_array_equal(table.column("digit").values, digit)
    np.savez_compressed(tmp_path / "b.npz", x_train=np.zeros((4, 2)), x_test=np.zeros((3, 2)))
    assert read(tmp_path / "b.npz").names == ["x0", "x1"]


def test_npz_pixels_and_named_arrays(tmp_path):
    np.savez(
        tmp_path / "a.npz", x_train=np.zeros((4, 9, 8), np.uint8), y_train=np.array(list("abca")), x_test=np.ones(3)
    )
    table = read(tmp_path / "a.npz")
    assert table.names == ["image", "y"]
    assert table.column("image").values.shape == (4, 9, 8)
    np.savez(tmp_path / "b.npz", age=np.arange(4), place=np.ones((4, 2)))
    assert read(tmp_path / "b.npz").names == ["age", "place0", "place1"]


def test_npz_never_unpickles(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}, None], dtype=object))
    with pytest.raises(DataError, match="pickled"):
        read(tmp_path / "a.npz")


def test_npz_of_different_lengths(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(3), b=np.zeros(4))
    with pytest.raises(DataError, match=r"a\.npz: the arrays differ in their number of rows"):
        read(tmp_path / "a.npz")


# IDX -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mnist(tmp_path):
    pixels = np.arange(3 * 8 * 9, dtype=np.uint8).reshape(3, 8, 9)
    write(tmp_path / "train-images-idx3-ubyte.gz", gzip.compress(idx(pixels), mtime=0))
    write(tmp_path / "train-labels-idx1-ubyte.gz", gzip.compress(idx(np.array([5, 0, 4], np.uint8)), mtime=0))
    write(tmp_path / "t10k-images.idx3-ubyte", idx(pixels[:2]))
    write(tmp_path / "t10k-labels.idx1-ubyte", idx(np.array([7, 2], np.uint8)))
    return tmp_path, pixels


def test_idx(mnist):
    folder, pixels = mnist
    for source in (folder, folder / "train-images-idx3-ubyte.gz"):
        table = read(source)
        assert (table.names, table.default_target) == (["image", "label"], "label")
        np.testing.assert_array_equal(table.column("image").values, pixels)
        assert table.column("label").values.tolist() == [5, 0, 4]
    assert read(folder / "t10k-images.idx3-ubyte").column("label").values.tolist() == [7, 2]
    assert read(folder / "t10k-labels.idx1-ubyte").names == ["label"]


def test_idx_labels_of_other_images(mnist):
    folder, _ = mnist
    shutil.copy(folder / "t10k-labels.idx1-ubyte", folder / "train-labels-idx1-ubyte")
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"2 labels and .* 3 images"):
        read(folder)


def test_idx_without_labels_and_wide_numbers(tmp_path):
    write(tmp_path / "a-images-idx2-ubyte", idx(np.array([[1, -70000]], np.int32)))
    table = read(tmp_path / "a-images-idx2-ubyte")
    assert table.column("image").values.tolist() == [[1, -70000]]


# Folders of images ---------------------------------------------------------------------------------------------------


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.new("L", (8, 8), value).save(path)
    return path


def test_class_folders(tmp_path):
    for name in ("bees/b.png", "ants/2.PNG", "ants/1.jpg", "ants/deep/3.png", "ants/.hidden.png"):
        picture(tmp_path / name)
    write(tmp_path / "ants" / "notes.txt", "no image")
    table = read(tmp_path)
    image = table.column("image")
    assert (table.names, table.key, table.default_target) == (["image", "label"], "image", "label")
    assert texts(image) == ["ants/1.jpg", "ants/2.PNG", "ants/deep/3.png", "bees/b.png"]
    assert image.base == str(tmp_path)
    assert texts(table.column("label")) == ["ants", "ants", "ants", "bees"]


def test_fingerprint_of_a_folder_knows_the_classes(tmp_path):
    for name in ("p/a/1.png", "p/b/1.png", "q/a/1.png", "q/c/1.png"):
        picture(tmp_path / name)
    assert read(tmp_path / "p").fingerprint() == read(tmp_path / "p").fingerprint()
    assert read(tmp_path / "p").fingerprint() != read(tmp_path / "q").fingerprint()


def test_parts_of_a_split_folder(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "val/a/9.png", "val/b/9.png"):
        picture(tmp_path / name)
    assert texts(read(tmp_path).column("image")) == ["a/1.png", "b/1.png"]
    assert texts(read(tmp_path / "val").column("image")) == ["a/9.png", "b/9.png"]


def test_images_without_classes_serve_prediction_only(tmp_path):
    picture(tmp_path / "1.png")
    assert read(tmp_path).names == ["image"]
    assert read(tmp_path / "1.png").rows == 1
    with pytest.raises(DataError, match=r"no column 'label'.*A label needs a sub-folder"):
        read(tmp_path, y="label")


def test_a_single_class_cannot_be_told_apart(tmp_path):
    picture(tmp_path / "ants/1.png")
    assert read(tmp_path).rows == 1
    with pytest.raises(DataError, match="a single class, 'ants'"):
        read(tmp_path, y="label")


def test_unreadable_images_are_left_out_and_counted(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png"):
        picture(tmp_path / name)
    whole = (tmp_path / "a/1.png").read_bytes()
    write(tmp_path / "a/2.png", b"")
    write(tmp_path / "b/2.png", whole[: len(whole) // 2])
    write(tmp_path / "b/3.png", "no picture")
    assert read(tmp_path).rows == 5
    table = read(tmp_path, on_bad="skip")
    assert texts(table.column("image")) == ["a/1.png", "b/1.png"]
    assert [table.column("image").row(i) for i in range(2)] == [1, 3]
    assert [note.split(": ")[:2] for note in table.skipped] == [
        ["row 2", "a/2.png"],
        ["row 4", "b/2.png"],
        ["row 5", "b/3.png"],
    ]
    assert "the file is empty" in table.skipped[0]


def test_giant_and_absent_images_of_a_table_are_left_out(tmp_path, monkeypatch):
    picture(tmp_path / "pictures/small.png")
    Picture.new("L", (64, 64)).save(tmp_path / "pictures/giant.png")
    monkeypatch.setattr("trine.domains._pictures.MOST_PIXELS", 1000)
    path = write(tmp_path / "a.csv", "file,y\npictures/small.png,1\npictures/giant.png,2\npictures/none.png,3\n,4\n")
    table = read(path, on_bad="skip")
    assert table.column("y").values.tolist() == [1, 4]
    assert "more than the 1,000" in table.skipped[0]
    assert "no such file" in table.skipped[1]


def test_nothing_but_unreadable_images(tmp_path):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "1.png", "no picture")
    with pytest.raises(DataError, match="None of the 1 files"):
        read(tmp_path, on_bad="skip")


def test_folder_without_images(tmp_path):
    write(tmp_path / "readme.txt", "nothing here")
    with pytest.raises(DataError, match="has no images"):
        read(tmp_path)


@pytest.mark.data
def test_real_files(shared):
    mnist = read(shared / "mnist")
    assert mnist.column("image").values.shape == (60000, 28, 28)
    assert np.bincount(mnist.column("label").values)[:3].tolist() == [5923, 6742, 5958]
    adult = read(shared / "adult_income" / "train.csv", y="income")
    assert adult.rows == 32561
    assert int(adult.column("workclass").missing.sum()) == 1836
    assert adult.column("age").values.dtype == np.int64
    titanic = read(shared / "titanic" / "titanic.csv")
    assert int(titanic.column("age").missing.sum()) == 177
    assert int(titanic.column("cabin").missing.sum()) == 687
    assert read(shared / "ants_bees").rows == 244
    assert read(shared / "uci_regression" / "yacht.npz").names[-1] == "y"
