"""The report of an autoencoder: pictures and tables, with and without a label, and nothing of it for other runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine

import trine
from trine.domains import Image as ImageDomain
from trine.domains import Series
from trine.estimators._shown.codes import _plane
from trine.estimators._shown.record import picture
from trine.estimators._shown.sheets import contact_sheet, eight_bits
from trine.estimators._shown.traversed import fields, traversals
from trine.report import report_run


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = load_digits()
    out = tmp_path_factory.mktemp("report") / "digits"
    table = {"image": data.images[:300], "digit": np.array([f"digit {i}" for i in data.target[:300]])}
    trine.fit(table, method="autoencoder", label="digit", out=out, shape="kl", code=2, epochs=2, channels=4, valid=0.2)
    return out


def test_pictures_have_their_sheets_and_the_plane_its_labels(digits: Path) -> None:
    page = report_run(digits).read_text()
    for part in (
        "The manifold",
        "One number at a time",
        "Samples",
        "From row to row",
        "The plane of codes",
        "active units",
    ):
        assert part in page
    assert page.count('class="sheet"') == 4
    assert "digit 3" in page
    record = json.loads((digits / "record.json").read_text())["codes"]
    assert len(record["reconstructions"]) == 10
    assert record["plane"]["how"] == "codes"
    assert len(record["plane"]["points"]) == len(record["plane"]["labels"]) == 60
    nats = [row["nats"] for row in record["information"]]
    assert nats == sorted(nats, reverse=True)


def test_a_table_is_shown_as_tables_and_its_codes_as_a_map(tmp_path: Path) -> None:
    data = load_wine()
    table = {name: data.data[:, i] for i, name in enumerate(data.feature_names[:5])}
    table["kind"] = np.array(["a", "b", "c"])[data.target]
    trine.fit(table, method="autoencoder", out=tmp_path / "wine", code=3, epochs=3, valid=0.3)
    page = report_run(tmp_path / "wine").read_text()
    assert "t-SNE" in page
    assert "Column by column" in page
    assert "variance explained" in page
    assert "The manifold" not in page
    assert "Worst mistakes" not in page
    assert "One number at a time" in page
    codes = json.loads((tmp_path / "wine" / "record.json").read_text())["codes"]
    assert [one["number"] for one in codes["moved"]] == [row["number"] for row in codes["information"]]
    for one in codes["moved"]:
        at = [float(value) for value in one["at"]]
        assert at == sorted(at)
        assert one["sheet"] is None
        for column in one["columns"]:
            assert column["name"] in table
            assert len(column["cells"]) == len(at)
            assert all(cell["level"] is None or 0.0 <= cell["level"] <= 1.0 for cell in column["cells"])
    assert any(one["columns"] for one in codes["moved"])


class Line:
    """An autoencoder whose two numbers are known: the first is a length and a grade, the second nothing."""

    def columns_of(self, z: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "length": 3.0 + 2.0 * z[:, 0],
            "still": np.full(len(z), 7.0),
            "grade": np.where(z[:, 0] > 0, "high", "low").astype(object),
            "told": np.where(z[:, 0] > 0, "a text that is long", "another text, as long").astype(object),
            "pair": np.stack([z[:, 0], 5.0 - z[:, 0]], 1),
        }


def test_what_moves_along_a_number_is_shown_and_what_does_not_is_left_out() -> None:
    codes = np.stack([np.linspace(-1, 1, 101), np.linspace(0, 9, 101)], 1)
    told = np.array([0.1, 0.5])
    second, first = traversals(Line(), codes, told, None, ["length", "still", "grade", "told", "pair"])  # type: ignore[arg-type]
    assert (second["number"], first["number"]) == (2, 1)
    assert second["columns"] == []
    assert [column["name"] for column in first["columns"]] == ["grade", "length", "pair, 1", "pair, 2"]
    cells = {column["name"]: column["cells"] for column in first["columns"]}
    assert [cell["level"] for cell in cells["length"]] == pytest.approx(np.linspace(0, 1, 7), abs=1e-3)
    assert [cell["level"] for cell in cells["pair, 2"]] == pytest.approx(np.linspace(1, 0, 7), abs=1e-3)
    assert [cell["value"] for cell in cells["grade"]] == ["low"] * 4 + ["high"] * 3
    assert [cell["value"] for cell in cells["length"]][3] == "3"
    assert first["texts"][0]["lines"] == [
        {"at": "-0.96 … 0.00", "text": "another text, as long"},
        {"at": "0.32 … 0.96", "text": "a text that is long"},
    ]
    grid = np.array([[a, b] for b in (9.0, 0.0) for a in (-1.0, 1.0)])
    over = {field["name"]: field for field in fields(Line(), codes, grid, 2, ["length", "still", "grade", "told"])}
    assert set(over) == {"grade", "length"}
    assert over["length"]["levels"] == [[0, 1], [0, 1]]
    assert [[over["grade"]["labels"][place] for place in row] for row in over["grade"]["codes"]] == [
        ["low", "high"]
    ] * 2


def test_series_are_moved_in_the_same_axes_and_have_their_manifold(tmp_path: Path) -> None:
    time = np.linspace(0, 1, 24)
    waves = np.stack([size * np.sin(6 * time) for size in np.linspace(0.1, 1.0, 60)])[:, :, None].astype(np.float32)
    run = tmp_path / "waves"
    trine.fit({"wave": waves}, method="autoencoder", out=run, code=2, epochs=1, valid=0.2, threads=1)
    page = report_run(run).read_text()
    assert "The manifold" in page
    assert "One number at a time" in page
    codes = json.loads((run / "record.json").read_text())["codes"]
    assert codes["manifold"]["count"] == 49
    assert [one["sheet"]["count"] for one in codes["moved"]] == [7, 7]
    assert codes["moved"][0]["drawn"] == ["wave"]
    column = trine.data.table_of({"wave": waves}).column("wave")
    domain = Series().fit(column)
    low = [
        np.flatnonzero((picture(domain, column.take(np.array([row])), column) < 200).any((0, 2))).size
        for row in (0, 30, 59)
    ]
    assert low[0] < 0.3 * low[2]
    assert low == sorted(low)


@pytest.mark.parametrize("method", ["autoencoder", "gan"])
def test_rows_of_vectors_have_a_report(method: str, tmp_path: Path) -> None:
    vectors = np.empty(60, dtype=object)
    vectors[:] = list(np.random.default_rng(0).normal(size=(60, 3)) @ np.ones((3, 5)))
    run = tmp_path / "run"
    trine.fit({"v": vectors}, method=method, epochs=1, out=run, valid=0.2, **({"code": 2} if method != "gan" else {}))
    assert "<th>v</th>" in report_run(run).read_text()


def test_codes_that_are_all_alike_have_no_map() -> None:
    """Of a code that says nothing; t-SNE would take the process with it."""
    table = trine.data.read({"a": np.arange(40.0)})
    assert _plane(np.ones((40, 3)), table, None, 0) == {}
    assert len(_plane(np.eye(40, 3), table, None, 0)["points"]) == 40


def test_another_run_has_no_codes(tmp_path: Path) -> None:
    data = load_wine()
    table = {"alcohol": data.data[:, 0], "hue": data.data[:, 10], "kind": np.array(["a", "b", "c"])[data.target]}
    trine.fit(table, y="kind", out=tmp_path / "run", epochs=1)
    assert 'id="codes"' not in report_run(tmp_path / "run").read_text()


def test_a_sheet_has_every_picture_in_its_place() -> None:
    pictures = [np.full((3, 4), value, dtype=np.uint8) for value in (0, 50, 100, 150, 200)]
    sheet = np.asarray(contact_sheet(pictures, across=2, longest=20))
    assert sheet.shape == (3 * (3 + 2) - 2, 2 * (4 + 2) - 2) or sheet.shape[0] > 13
    times = (sheet.shape[1] + 2) // 2 // 4 if sheet.shape[1] > 10 else 1
    assert sheet[0, 0] == 0
    assert sheet[0, -1] == 50
    assert sheet[-1, 0] == 200
    assert sheet[-1, -1] == 128
    assert times >= 1


def test_pixels_in_the_users_units_become_bytes() -> None:
    domain = ImageDomain(black=0.0, white=16.0)
    assert eight_bits(domain, np.array([[0.0, 8.0, 16.0, 20.0]])).tolist() == [[0, 128, 255, 255]]
    assert isinstance(contact_sheet([np.zeros((2, 2, 3), np.uint8)]), Image.Image)
