"""What a report shows of codes when rows are few, of samples beside the data, and of each term."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine

import trine
from trine.estimators._shown.marginals import marginals
from trine.report import figures, report_run


@pytest.mark.parametrize("rows", [12, 30])
def test_one_held_out_picture_or_three_are_enough(tmp_path: Path, rows: int) -> None:
    images = load_digits().images[:rows].astype(np.uint8)
    trine.fit({"image": images}, method="autoencoder", out=tmp_path / "run", code=2, channels=4, epochs=1, valid=0.1)
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["rows"]["held_out"] == rows // 10
    assert all(np.isfinite(row["nats"]) for row in record["codes"]["information"])
    assert ("interpolations_image" in record["codes"]) == (rows >= 20)
    assert 'alt="samples"' in report_run(tmp_path / "run").read_text()


def test_samples_of_a_table_stand_beside_its_columns(tmp_path: Path) -> None:
    data = load_wine()
    table = {
        "alcohol": data.data[:, 0],
        "magnesium": data.data[:, 4],
        "kind": np.array(["<a>", "b", "c"])[data.target],
    }
    model = trine.fit(table, method="autoencoder", out=tmp_path / "run", code=2, shape="kl", epochs=3)
    found = json.loads((tmp_path / "run" / "record.json").read_text())["codes"]["marginals"]
    assert [column["column"] for column in found] == ["alcohol", "magnesium", "kind"]
    for column in found:
        for name in ("data", "samples"):
            assert sum(column[name]) + column.get("beyond", {}).get(name, 0.0) == pytest.approx(1)
    assert set(found[2]["labels"]) == {"<a>", "b", "c"}
    counts = dict(zip(found[2]["labels"], found[2]["data"], strict=True))
    assert counts["b"] == pytest.approx(np.mean(table["kind"] == "b"))
    page = report_run(tmp_path / "run").read_text()
    assert "Samples beside the data" in page
    assert "Each term by epoch" in page
    assert "<a>" not in page
    way = json.loads((tmp_path / "run" / "record.json").read_text())["codes"]["way"]
    assert len(way) == 9
    numbers = [float(row["values"]["alcohol"]) for row in way]
    assert min(table["alcohol"]) < numbers[0] < max(table["alcohol"])
    assert "From row to row" in page
    drawn = model.drawn_columns(50)
    assert len(marginals(model.schema_.x, trine.data.read({"alcohol": table["alcohol"][:9]}), drawn)) == 1


def test_terms_have_a_curve_each_where_there_are_several() -> None:
    one = [{"epoch": i, "train": {"loss": 1.0, "image": 1.0}} for i in (1, 2)]
    two = [{"epoch": i, "train": {"loss": 3.0 / i, "image": 2.0 / i, "shape": None}} for i in (1, 2)]
    assert figures.term_curves(one) == ""
    drawn = figures.term_curves(two)
    assert "image, at last 1" in drawn
    assert "shape" not in drawn
