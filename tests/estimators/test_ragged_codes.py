"""Codes of series of different lengths: rows in any form, and tables with a row a step at the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import trine
from trine.cli import main
from trine.report import report_run


def run(arguments: list[str]) -> None:
    """A command that ends well."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code


def waves(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sin(rng.uniform(0.2, 0.6) * np.arange(rng.integers(8, 30))) for _ in range(n)]


@pytest.mark.parametrize("form", ["list", "array", "lists"])
def test_series_of_different_lengths_are_rows(form: str) -> None:
    rows = waves(40)
    as_array = np.empty(len(rows), dtype=object)
    as_array[:] = rows
    given = {"list": rows, "array": as_array, "lists": [row.tolist() for row in rows]}[form]
    model = trine.Autoencoder(code=2, epochs=1, random_state=0).fit(given)
    assert model.schema_.describe().count("Series") == 1
    z = model.transform(given)
    assert z.shape == (40, 2)
    assert len(model.reconstruct(given)) == 40
    assert np.allclose(z[:3], model.transform(given[:3]), atol=1e-4)
    assert np.allclose(z[:1], model.transform(given[:1]), atol=1e-4)
    named = trine.Autoencoder(code=2, epochs=1, random_state=0).fit({"x": as_array})
    assert np.array_equal(z, named.transform({"x": as_array}))
    labels = np.arange(40) % 2
    assert trine.Classifier(epochs=1, random_state=0).fit(given, labels).predict(given).shape == (40,)


def test_codes_of_a_table_with_a_row_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open("long.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["who", "t", "height"])
        writer.writerows([f"p{i}", t, f"{v:.4f}"] for i, row in enumerate(waves(40)) for t, v in enumerate(row))
    said = ["--method", "autoencoder", "--long", "who,t", "--set", "code=2", "--set", "epochs=1", "--quiet"]
    run(["fit", "long.csv", *said, "--out", "run"])
    run(["encode", "run", "long.csv", "--out", "codes.csv"])
    with open("codes.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["who"] for row in found] == [f"p{i}" for i in range(40)]
    run(["reconstruct", "run", "long.csv", "--out", "back.csv"])
    run(["interpolate", "run", "long.csv", "--between", "3", "17", "--out", "way.csv"])


def test_series_are_translated_in_the_form_that_they_came_in(tmp_path: Path) -> None:
    rows = waves(80)
    a, b = (np.array([*part, None], dtype=object)[:-1] for part in (rows[:40], rows[40:]))
    model = trine.Translator(epochs=1, random_state=0).fit(a, b)
    for form in (a[:3], list(a[:3])):
        made = model.translate(form, to="B", n=2)
        assert made.shape[0] == 6
        # Each ends where it ends, and is not filled up to the longest.
        assert all(len(row) and np.isfinite(row).all() for row in made)
    named = trine.Translator(epochs=1, random_state=0).fit({"x": a}, {"x": b})
    for one, other in zip(model.translate(a[:3]), named.translate({"x": a[:3]})["x"], strict=True):
        np.testing.assert_allclose(np.ravel(one), np.ravel(other), atol=1e-5)
    again = trine.load(model.save(tmp_path / "model.trine"))
    assert all(np.array_equal(x, y) for x, y in zip(model.translate(a[:3]), again.translate(a[:3]), strict=True))


def test_an_array_of_series_is_translated_to_an_array_of_them() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 16, 2)), 3 + rng.normal(size=(50, 16, 2))
    assert trine.Translator(epochs=1, random_state=0).fit(a, b).translate(a[:3], n=2).shape == (6, 16, 2)


def test_series_are_made_in_the_form_that_they_came_in() -> None:
    made = trine.GAN(epochs=1, random_state=0).fit(waves(40)).sample(3)
    assert len(made) == 3
    assert all(np.isfinite(row).all() for row in made)
    whole = np.random.default_rng(0).normal(size=(40, 16, 2))
    assert trine.GAN(epochs=1, random_state=0).fit(whole).sample(3).shape == (3, 16, 2)


def test_the_report_of_translated_series_shows_each_as_long_as_it_is(tmp_path: Path) -> None:
    piles = [np.array([*part, None], dtype=object)[:-1] for part in (waves(80)[:40], waves(80)[40:])]
    trine.fit({"s": piles[0]}, other={"s": piles[1]}, method="unpaired", epochs=1, out=tmp_path / "run", seed=0)
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    for side, pile in zip(record["samples"]["sides"], piles, strict=True):
        told = {row["given"]["rows"][0]["values"]["s"] for row in side["rows"]}
        lengths = {int(text.split()[0]) if text.endswith("steps") else len(text.split()) for text in told}
        assert lengths <= {len(row) for row in pile}
        assert len(told) > 1
    page = report_run(tmp_path / "run").read_text()
    assert "Inputs: 1 Series." in page
