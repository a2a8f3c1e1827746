"""Inference that a person would agree with, corrections, and refusals that say what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from trine.data import Schema, Table, guess_target, read
from trine.domains import Category, Column, Count, Date, Domain, Image, Positive, Real, Text, Unit, Vector
from trine.errors import ChoiceError, DataError, SchemaError

N = 200
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=N)
CLASSES = np.arange(N) % 3


def table(**columns: Any) -> Table:
    return read({name: np.asarray(values) for name, values in columns.items()})


def kinds(side: dict[str, Domain]) -> dict[str, str]:
    return {name: domain.kind for name, domain in side.items()}


def texts(*values: str) -> np.ndarray:
    return np.array([values[i % len(values)] for i in range(N)], dtype=object)


# Columns of x ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "domain", "reason"),
    [
        (NOISE, Real, "below 0"),
        (np.exp(2 * NOISE), Positive, "upper tail"),
        (1000 + NOISE, Real, "without a long tail"),
        (RNG.random(N), Unit, "from 0 to 1"),
        (RNG.poisson(40, N), Count, "whole numbers, 0 or more"),
        (np.arange(N) % 4, Count, "whole numbers"),
        (RNG.integers(1, 5, N), Count, "whole numbers"),
        (RNG.integers(-3, 4, N), Real, "below 0"),
        (RNG.integers(20_000, 900_000, N), Positive, "amounts"),
        (np.arange(N) % 2, Category, "0 or 1"),
        (np.arange(N) % 2 == 0, Category, "true or false"),
        (texts("yes", "no"), Category, "'yes' or 'no'"),
        (texts("red", "green", "blue", "grey"), Category, "4 different texts"),
        (texts("1,234", " 5 ", "$7.5", "12.5", "-3"), Real, "numbers written as text"),
        (texts("12%", "55%", "99%"), Unit, "numbers written as text; numbers from 0 to 1"),
        (texts("02139", "01002", "90210"), Category, "3 different texts"),
        (texts("2011-01-01", "2012-05-31", "2013-07-07"), Date, "dates, written as '2011-01-01'"),
        (texts("05/31/2011", "06/02/2011"), Date, "dates"),
        (np.arange(N).astype("datetime64[D]"), Date, "dates"),
        (np.where(np.arange(N) % 5 == 0, np.nan, np.arange(N) % 7), Count, "whole numbers"),
        (texts("a.png", "b.jpg", "c.jpeg"), Image, "paths of image files"),
        (np.zeros((N, 9, 9), dtype=np.uint8), None, "same value"),
        (RNG.integers(0, 255, (N, 9, 9), dtype=np.uint8), Image, "9 × 9"),
        (RNG.integers(0, 255, (N, 8, 8, 3), dtype=np.uint8), Image, "3 channels"),
        (np.full(N, 7), None, "every row has the same value"),
        (texts("same"), None, "every row has the same value"),
        (np.full(N, np.nan), None, "no values"),
        (
            np.array([f"free words number {i} of this long text" for i in range(N)], dtype=object),
            Text,
            "200 different texts of 8 words",
        ),
        (
            np.array(["".join(chr(97 + i // 26**k % 26) for k in range(3)) for i in range(N)], dtype=object),
            Text,
            "names",
        ),
        (np.array([f"code {i % 150}" for i in range(N)], dtype=object), None, "150 different texts in 200 rows"),
        (np.array([f"K-{i:05d}" for i in range(N)], dtype=object), None, "name the rows"),
        (np.arange(1, N + 1), None, "counts the rows"),
    ],
)
def test_what_a_column_is(values: np.ndarray, domain: type[Domain] | None, reason: str) -> None:
    schema = Schema.infer(table(column=values, other=NOISE, target=CLASSES), ["target"])
    if domain is None:
        assert "column" in schema.ignored
        assert reason in schema.ignored["column"]
    else:
        assert type(schema.x["column"]) is domain
        assert reason in schema.reasons["column"]


def test_nearly_empty_columns_are_left_out_and_half_empty_ones_kept() -> None:
    nearly = np.full(N, np.nan)
    nearly[3] = 1.0
    half = np.where(np.arange(N) % 2 == 0, np.nan, NOISE)
    flag = np.array(["yes" if i % 2 else None for i in range(N)], dtype=object)
    schema = Schema.infer(table(nearly=nearly, half=half, flag=flag, target=CLASSES), ["target"])
    assert "over 99 % of its values are missing" in schema.ignored["nearly"]
    assert kinds(schema.x) == {"half": "real", "flag": "category"}


@pytest.mark.parametrize(
    "name", ["id", "customer_id", "PassengerId", "row", "index", "Unnamed: 0", "order no", "instant"]
)
def test_identifiers_are_left_out_and_become_the_key(name: str) -> None:
    scattered = RNG.permutation(10 * N)[:N] + 1000
    data = read({name: scattered, "other": NOISE, "target": CLASSES})
    schema = Schema.infer(data, ["target"])
    assert schema.key == name
    assert list(schema.x) == ["other"]
    assert "kept as the key" in schema.ignored[name]


@pytest.mark.parametrize("name", ["paid", "idea", "width", "knot", "fluid"])
def test_names_that_only_look_like_identifiers(name: str) -> None:
    scattered = RNG.permutation(10 * N)[:N] + 1000
    assert name in Schema.infer(read({name: scattered, "target": CLASSES}), ["target"]).x


def test_a_sorted_year_is_no_identifier() -> None:
    schema = Schema.infer(table(year=np.arange(1820, 1820 + N), target=CLASSES), ["target"])
    assert kinds(schema.x) == {"year": "count"}


def test_a_row_count_is_used_when_it_is_all_there_is() -> None:
    schema = Schema.infer(table(t=np.arange(N), y=NOISE), ["y"])
    assert kinds(schema.x) == {"t": "count"}
    assert "all there is" in schema.reasons["t"]


def test_lists_are_vectors() -> None:
    import pandas as pd

    frame = pd.DataFrame({"v": list(RNG.normal(size=(N, 5))), "y": NOISE})
    assert type(Schema.infer(read(frame), ["y"]).x["v"]) is Vector


# Columns of y ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "domain"),
    [
        (NOISE, Real),
        (np.exp(NOISE), Positive),
        (420 + 20 * RNG.random(N), Real),
        (RNG.random(N), Unit),
        (RNG.poisson(40, N), Count),
        (RNG.integers(14_999, 500_001, N), Positive),
        (np.arange(N) % 2, Category),
        ((np.arange(N) % 2).astype(float), Category),
        (np.arange(N) % 2 == 0, Category),
        (np.arange(N) % 10, Category),
        (np.arange(N) % 7 - 3, Category),
        (texts("yes", "no"), Category),
        (texts("1.5", "2.25", "-3.75"), Real),
        (texts("1", "2"), Category),
        (np.where(np.arange(N) % 5 == 0, np.nan, np.arange(N) % 3), Category),
        (np.where(np.arange(N) % 5 == 0, np.nan, np.arange(N) % 40), Count),
    ],
)
def test_what_a_target_is(values: np.ndarray, domain: type[Domain]) -> None:
    schema = Schema.infer(table(other=NOISE, target=values), ["target"])
    assert type(schema.y["target"]) is domain
    assert schema.y["target"].strict  # type: ignore[attr-defined]
    assert schema.reasons["target"]


def test_the_guess_of_a_target_alone() -> None:
    assert type(guess_target(Column("y", NOISE)).domain) is Real
    assert guess_target(Column("y", np.array([1.0, 1.0]))).domain == Category()
    found = guess_target(table(y=np.array([f"row {i} of the text" for i in range(N)], dtype=object)).column("y"))
    assert type(found.domain) is Text
    assert "200 different texts" in found.reason


def test_few_rows_of_many_whole_numbers_are_no_classes() -> None:
    assert type(Schema.infer(table(x=NOISE[:8], y=np.arange(8)), ["y"]).y["y"]) is Count


def test_classes_are_those_of_the_whole_table_and_shares_those_of_the_training_rows() -> None:
    data = table(x=NOISE, y=np.where(np.arange(N) < 100, "a", "b"))
    schema = Schema.infer(data, ["y"])
    assert not schema.fitted
    fitted = schema.fit(data, np.arange(50, 125))
    assert fitted.fitted
    domain = fitted.y["y"]
    assert isinstance(domain, Category)
    assert domain.labels == ("a", "b")
    assert domain.shares == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert fitted.x["x"] == Real().fit(Column("x", NOISE[50:125]))


# The user's word ---------------------------------------------------------------------------------------------------


def test_any_guess_can_be_overridden() -> None:
    data = table(a=np.arange(N) % 4, b=texts("low", "high"), c=NOISE, id=np.arange(N), y=CLASSES)
    stated = {"a": "category", "b": "low<high", "c": Real(centre=1.0), "id": "real", "y": "real"}
    schema = Schema.infer(data, ["y"], domains=stated)
    assert kinds(schema.x) == {"a": "category", "b": "category", "c": "real", "id": "real"}
    assert schema.x["b"] == Category(("low", "high"), ordered=True)
    assert schema.x["c"] == Real(centre=1.0)
    assert kinds(schema.y) == {"y": "real"}
    assert set(schema.reasons.values()) == {"as stated"}
    assert "b" not in Schema.infer(data, ["y"], domains={"b": "ignore"}).x
    ordered = Schema.infer(data, ["y"], domains={"y": "ordered"}).y["y"]
    assert isinstance(ordered, Category)
    assert ordered.ordered
    assert ordered.labels == (0, 1, 2)


def test_columns_asked_for_are_used() -> None:
    data = table(a=NOISE, id=np.arange(N), one=np.full(N, 3.0), y=CLASSES)
    schema = Schema.infer(data, ["y"], x=["id", "one"])
    assert kinds(schema.x) == {"id": "count", "one": "real"}
    assert "as asked" in schema.reasons["id"]


def test_an_unreadable_image_does_what_was_asked() -> None:
    data = table(photo=texts("a.png", "b.png"), y=CLASSES)
    assert Schema.infer(data, ["y"], on_bad="skip").x["photo"] == Image(on_bad="skip")
    assert Schema.infer(data, ["y"], domains={"photo": Image(on_bad="skip")}).x["photo"] == Image(on_bad="skip")


# Refusals ----------------------------------------------------------------------------------------------------------


def singled() -> np.ndarray:
    values = texts("a", "b")
    values[17] = "rare"
    return values


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"y": ["incom"]}, DataError, "no column 'incom'.*Did you mean 'income'"),
        ({"y": ["income"], "x": ["agee"]}, DataError, "no column 'agee'.*Did you mean 'age'"),
        ({"y": ["income"], "domains": {"agee": "real"}}, SchemaError, "'agee'.*not there.*Did you mean 'age'"),
        ({"y": ["income"], "domains": {"age": "reel"}}, ChoiceError, "no domain called 'reel'.*Did you mean 'real'"),
        ({"y": ["income"], "x": ["age", "income"]}, SchemaError, "'income' is in both x and y"),
        ({"y": ["income", "income"]}, SchemaError, "named 2 times for y"),
        ({"y": ["empty"]}, DataError, "'empty' is y and has no value in any row"),
        ({"y": ["constant"]}, DataError, "'constant' is y and has 1 class, '5'"),
        ({"y": ["level"]}, DataError, "'level' is y and is 2.5 in every row"),
        ({"y": ["word"]}, DataError, "'word' is y and has 1 class, 'same'"),
        ({"y": ["single"]}, DataError, r"'single', row 18: the class 'rare' is in this row only.*Merge.*drop.*more"),
        ({"y": ["day"]}, SchemaError, "'day' holds dates, which cannot be y"),
        ({"y": ["income"], "domains": {"income": "ignore"}}, SchemaError, "cannot be ignored"),
        ({"y": ["income"], "domains": {"income": "real"}}, DataError, r"'income', row 1: '<=50K' is no number"),
        ({"y": ["income"], "domains": {"income": "a<b"}}, DataError, r"row 1: '<=50K' is none of the classes"),
        ({"y": ["income"], "x": ["empty"]}, SchemaError, "'empty' cannot be an input: it has no values"),
        ({"y": ["age"], "domains": {"age": "positive"}}, DataError, "'age', row 1: 0 is no positive value"),
    ],
)
def test_mistakes_are_named(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    data = table(
        age=np.arange(N) % 60,
        income=texts("<=50K", ">50K"),
        empty=np.full(N, np.nan),
        constant=np.full(N, 5),
        level=np.full(N, 2.5),
        word=texts("same"),
        single=singled(),
        prose=np.array([f"the long text of row {i}" for i in range(N)], dtype=object),
        day=np.arange(N).astype("datetime64[D]"),
    )
    with pytest.raises(error, match=message):
        Schema.infer(data, **kwargs)


def test_nothing_is_left_for_x() -> None:
    with pytest.raises(SchemaError, match=r"No column is left for x \(c: every row has the same value\).*--domain c="):
        Schema.infer(table(c=np.ones(N), y=CLASSES), ["y"])
    with pytest.raises(SchemaError, match="the table has only y"):
        Schema.infer(table(y=CLASSES), ["y"])


def test_columns_of_one_name_are_refused() -> None:
    class Double:
        names = ("a", "a", "y")
        rows = 3

    with pytest.raises(DataError, match="2 columns are called 'a'"):
        Schema.infer(Double(), ["y"])  # type: ignore[arg-type]


def test_a_slip_in_a_column_of_numbers_is_named() -> None:
    values = np.array([str(i * 0.5) for i in range(N)], dtype=object)
    values[41] = "twelve"
    data = table(price=values, y=CLASSES)
    schema = Schema.infer(data, ["y"])
    assert type(schema.x["price"]) is not Category
    with pytest.raises(DataError, match=r"'price', row 42: 'twelve' is no number.*--domain price=category"):
        schema.fit(data)


# On disk and in print ----------------------------------------------------------------------------------------------


def test_json_and_description() -> None:
    data = table(
        age=np.arange(N) % 60,
        when=np.arange(N).astype("datetime64[D]"),
        id=np.arange(N),
        colour=texts("red", "blue"),
        y=np.exp(NOISE),
    )
    schema = Schema.infer(data, ["y"]).fit(data)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema
    lines = schema.describe().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["y", "y"],
        ["x", "age"],
        ["x", "when"],
        ["x", "colour"],
        ["–", "id"],
    ]
    assert (
        len({line.index(domain) for line, domain in zip(lines, ["Pos", "Count", "Date", "Cat", "left"], strict=True)})
        == 1
    )
    with pytest.raises(SchemaError, match="has the fields"):
        Schema.from_json({**schema.to_json(), "code": 1})


def test_many_columns_are_summed_up() -> None:
    data = read({"x": RNG.normal(size=(50, 90)), "y": np.arange(50) % 2})
    lines = Schema.infer(data, ["y"]).describe().splitlines()
    assert len(lines) == 62
    assert "and 30 more" in lines[-1]
    assert "30 Real" in lines[-1]


# Data that people know ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "target"),
    [
        (datasets.load_iris, Category),
        (datasets.load_wine, Category),
        (datasets.load_breast_cancer, Category),
        (datasets.load_digits, Category),
        (datasets.load_diabetes, (Real, Positive)),
    ],
)
def test_scikit_learns_sets(load: Any, target: type[Domain]) -> None:
    frame = load(as_frame=True).frame
    data = read(frame)
    schema = Schema.infer(data, ["target"])
    assert isinstance(schema.y["target"], target)
    assert len(schema.x) + len(schema.ignored) == frame.shape[1] - 1
    fitted = schema.fit(data)
    for name, domain in {**fitted.x, **fitted.y}.items():
        back = domain.decode(domain.encode(data.column(name)))
        np.testing.assert_allclose(back.astype(float), frame[name].to_numpy(float), rtol=1e-5, atol=1e-4)


def inferred(path: Path, y: str) -> Schema:
    data = read(path)
    schema = Schema.infer(data, [y])
    fitted = schema.fit(data, np.arange(data.rows // 2))
    assert Schema.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    return schema


@pytest.mark.data
def test_adult(shared: Path) -> None:
    schema = inferred(shared / "adult_income" / "train.csv", "income")
    assert schema.y["income"].labels == ("<=50K", ">50K")  # type: ignore[attr-defined]
    numbers = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
    assert {n for n, d in schema.x.items() if d.pack == "numbers"} == numbers
    assert {n for n, d in schema.x.items() if d.pack == "categories"} == set(schema.x) - numbers
    assert len(schema.x) == 14
    assert not schema.ignored
    assert schema.key is None


@pytest.mark.data
def test_titanic(shared: Path) -> None:
    schema = inferred(shared / "titanic" / "titanic.csv", "survived")
    assert kinds(schema.y) == {"survived": "category"}
    expected = {"pclass": "count", "sex": "category", "age": "real", "sibsp": "count", "parch": "count", "fare": "real"}
    assert kinds(schema.x) == {**expected, "name": "text", "embarked": "category"}
    assert set(schema.ignored) == {"ticket", "cabin"}


@pytest.mark.data
def test_california(shared: Path) -> None:
    schema = inferred(shared / "california_housing" / "housing.csv", "median_house_value")
    assert kinds(schema.y) == {"median_house_value": "positive"}
    assert kinds(schema.x)["ocean_proximity"] == "category"
    assert sum(domain.pack == "numbers" for domain in schema.x.values()) == 8
    assert not schema.ignored


@pytest.mark.data
@pytest.mark.parametrize("name", ["hour.csv", "day.csv"])
def test_bike(shared: Path, name: str) -> None:
    schema = inferred(shared / "bike_sharing" / name, "cnt")
    assert kinds(schema.y) == {"cnt": "count"}
    found = kinds(schema.x)
    assert found["dteday"] == "date"
    assert found["temp"] == found["hum"] == "unit"
    assert found["season"] == found["weekday"] == "count"
    assert found["holiday"] == found["workingday"] == "category"
    assert list(schema.ignored) == ["instant"]
    assert schema.key == "instant"


@pytest.mark.data
def test_insurance(shared: Path) -> None:
    schema = inferred(shared / "medical_insurance" / "insurance.csv", "charges")
    assert kinds(schema.y) == {"charges": "positive"}
    expected = {"age": "count", "sex": "category", "bmi": "real", "children": "count"}
    assert kinds(schema.x) == {**expected, "smoker": "category", "region": "category"}


@pytest.mark.data
def test_a_folder_of_photos(shared: Path) -> None:
    data = read(shared / "ants_bees")
    schema = Schema.infer(data, ["label"])
    assert kinds(schema.x) == {"image": "image"}
    fitted = schema.fit(data, np.arange(0, data.rows, 8))
    image = fitted.x["image"]
    assert isinstance(image, Image)
    assert (image.channels, image.height, image.width) == (3, 128, 128)
    assert schema.key == "image"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kind"),
    [("energy", (Real, Positive)), ("kin8nm", Real), ("power", Real), ("wine_red", Category), ("yacht", Positive)],
)
def test_uci(shared: Path, name: str, kind: Any) -> None:
    arrays = np.load(shared / "uci_regression" / f"{name}.npz")
    data = read({"x": arrays["X"], "y": arrays["y"]})
    schema = Schema.infer(data, ["y"])
    assert isinstance(schema.y["y"], kind)
    schema.fit(data)
