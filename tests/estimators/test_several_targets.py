"""Several targets of different domains, vectors, sets and thousands of classes, from data to predictions."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import trine
from trine.cli._app import app
from trine.errors import DataError

QUICK = {"epochs": 30, "members": 2, "hidden": (32,), "seed": 0}


def _data(n=900, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    kind = np.where(a > 0, "up", "down").astype(object)
    kind[::50] = None
    return {
        "a": a,
        "b": b,
        "kind": kind,
        "amount": 10 * a + b + 0.1 * rng.normal(size=n),
        "events": rng.poisson(np.exp(0.8 * b + 1)),
        "tags": np.array(
            [";".join(t for t, has in zip(("pos", "big", "odd"), row, strict=True) if has) or ";"
             for row in zip(a > 0, abs(b) > 0.7, rng.uniform(size=n) < 0.5, strict=True)], dtype=object,
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    data = _data()
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(data)
        writer.writerows(zip(*data.values(), strict=True))
    result = CliRunner().invoke(
        app,
        ["fit", str(folder / "data.csv"), "--y", "kind", "--y", "amount", "--y", "events", "--y", "tags", "--quiet",
         "--out", str(folder / "run"), "--valid", "0.2", "--set", "epochs=30", "--set", "members=2", "--set", "hidden=32"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_each_target_has_its_domain_rule_term_and_metrics(mixed):
    folder, shown = mixed
    model = trine.load(folder / "run")
    assert type(model).__name__ == "MultiTarget"
    assert {name: domain.kind for name, domain in model.schema_.y.items()} == {
        "kind": "category", "amount": "real", "events": "count", "tags": "labels",
    }  # fmt: skip
    metrics = model.metrics_
    assert metrics["kind"]["accuracy"]["value"] > 0.9
    assert metrics["amount"]["r2"]["value"] > 0.8
    assert metrics["events"]["nll"]["value"] < metrics["events"]["nll"]["baseline"]
    # Two of three labels follow from x, one is a coin.
    assert 0.3 < metrics["tags"]["exact_match"]["value"] < 0.7
    assert metrics["tags"]["macro_auc"]["value"] > 0.75
    assert "micro_f1" in shown
    assert "rmse" in shown


def test_predictions_of_all_targets_come_in_one_file_and_by_name(mixed):
    folder, _ = mixed
    out = folder / "predictions.csv"
    done = CliRunner().invoke(app, ["predict", str(folder / "run"), str(folder / "data.csv"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 900
    for column in ("kind", "kind_p(up)", "amount", "amount_p05", "events", "tags", "tags_p(big)", "tags_probability"):
        assert column in rows[0], list(rows[0])
    model = trine.load(folder / "run")
    found = model.predict(folder / "data.csv")
    assert list(found) == ["kind", "amount", "events", "tags"]
    assert found["kind"].tolist() == [row["kind"] for row in rows]
    assert found["tags"].tolist() == [row["tags"] for row in rows]
    np.testing.assert_allclose(found["amount"], [float(row["amount"]) for row in rows], rtol=1e-6)


def test_the_report_and_evaluate_tell_the_targets_apart(mixed):
    folder, _ = mixed
    done = CliRunner().invoke(app, ["evaluate", str(folder / "run"), str(folder / "data.csv"), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert set(found) == {"kind", "amount", "events", "tags"}
    assert found["kind"]["rows"] == 882
    record = json.loads((folder / "run" / "record.json").read_text())
    assert {mistake["target"] for mistake in record["mistakes"]} >= {"amount", "events", "tags"}
    page = (folder / "run" / "report.html").read_text()
    assert "tags on 180 held-out rows" in page
    assert "amount, row " in page


def test_several_targets_in_memory():
    data = _data(300)
    x = {name: data[name] for name in ("a", "b")}
    model = trine.MultiTarget(random_state=0, epochs=3).fit(x, {"amount": data["amount"], "events": data["events"]})
    again = trine.MultiTarget(random_state=0, epochs=3).fit({**x, "amount": data["amount"], "events": data["events"]},
                                                           ["amount", "events"])  # fmt: skip
    for name, value in model.predict(x).items():
        np.testing.assert_array_equal(value, again.predict(x)[name])
    with pytest.raises(DataError, match="a mapping from target to values"):
        trine.MultiTarget().fit(x, data["amount"])


def test_a_vector_from_arrays_and_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3))
    y = np.stack([100 * x[:, 0], x[:, 1] - x[:, 2]], axis=1) + 0.1 * rng.normal(size=(600, 2))
    model = trine.Regressor(random_state=0, epochs=40, hidden=(32,), members=2).fit(x, y)
    assert model.predict(x).shape == (600, 2)
    assert model.score(x, y) > 0.9
    assert model.predict_interval(x).shape == (600, 2, 2)
    data = tmp_path / "data.parquet"
    columns = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": pa.array(y.tolist())}
    pq.write_table(pa.table(columns), data)
    fitted = CliRunner().invoke(
        app, ["fit", str(data), "--y", "y", "--out", str(tmp_path / "run"), "--quiet",
              "--set", "epochs=20", "--set", "members=2"],
    )  # fmt: skip
    assert fitted.exit_code == 0, fitted.output
    loaded = trine.load(tmp_path / "run")
    assert loaded.metrics_["y"]["r2"]["value"] > 0.8
    entries = [name for name in loaded.metrics_["y"] if name.startswith("r2[")]
    assert entries == ["r2[1]", "r2[2]"]
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), str(data), "--out", str(tmp_path / "p.csv")])
    assert done.exit_code == 0, done.output
    row = next(csv.DictReader((tmp_path / "p.csv").open()))
    assert float(row["y_1_p05"]) < float(row["y_1"]) < float(row["y_1_p95"])
    assert "y_2" in row


def test_sets_of_labels_from_arrays():
    from sklearn.datasets import make_multilabel_classification

    x, y = make_multilabel_classification(n_samples=600, n_classes=4, random_state=0)
    model = trine.MultiLabelClassifier(random_state=0, epochs=30, hidden=(32,), members=2).fit(x, y)
    assert ((model.predict(x) == y).mean()) > 0.85
    assert model.predict_proba(x).shape == (600, 4)
    assert model.classes_.tolist() == ["0", "1", "2", "3"]
    texts = model.predict_labels(x)
    assert set("; ".join(texts).replace(" ", "").split(";")) <= {"0", "1", "2", "3", ""}
    assert model.evaluate(x, y).metrics["micro_f1"].value > 0.8


def test_lists_of_texts_are_sets_in_x_and_in_y(tmp_path):
    rng = np.random.default_rng(0)
    has = rng.uniform(size=(500, 3)) < 0.5
    tags = [[t for t, there in zip("abc", row, strict=True) if there] for row in has]
    table = {"tags": pa.array(tags), "kinds": pa.array([[t.upper() for t in row] for row in tags])}
    pq.write_table(pa.table(table), tmp_path / "data.parquet")
    model = trine.fit(tmp_path / "data.parquet", y="kinds", domains={"tags": "labels"}, epochs=60, seed=0, unknown=0.0)
    assert model.schema_.x["tags"].labels == ("a", "b", "c")
    assert model.schema_.reasons["kinds"] == "a list of texts in every row"
    assert model.metrics_["kinds"]["exact_match"]["value"] > 0.95


def test_thousands_of_classes_keep_the_likeliest_alone(tmp_path):
    rng = np.random.default_rng(0)
    classes = 1200
    code = np.tile(np.arange(classes), 6)
    data = {
        "x": code / classes + 0 * rng.normal(size=len(code)),
        "y": np.array([f"c{i:04d}" for i in code], dtype=object),
    }
    model = trine.fit(data, y="y", epochs=2, seed=0)
    assert model.derivation_.choices.members == 1
    metrics = model.metrics_["y"]
    assert metrics["top_5_accuracy"]["value"] >= metrics["accuracy"]["value"]
    assert metrics["log_loss"]["value"] < metrics["log_loss"]["baseline"]
    columns = model.predictions(data)
    assert [name for name in columns if name.startswith("y")] == [
        "y", "y_probability", *(f"y_{i}{end}" for i in range(2, 6) for end in ("", "_probability")),
    ]  # fmt: skip
    assert (columns["y_probability"] >= columns["y_2_probability"]).all()
    assert columns["y"].tolist() == model.predict(data).tolist()
