"""Objects that an autoencoder gives back as they are, from noise: of pictures, of a table; kept, restored and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine
from tests.stopping import stopped_and_resumed

import trine
from trine.data import Schema, read, stored, table_of
from trine.domains import Category, Labels
from trine.errors import ArtefactError, ChoiceError, DataError, RunError, SchemaError, TrineError
from trine.estimators._kinds.look import Look
from trine.estimators._kinds.noise import noise


@pytest.fixture(scope="module")
def digits() -> Any:
    data = load_digits()
    return data.images[:1000], data.target[:1000]


@pytest.fixture(scope="module")
def fitted(digits: Any) -> Any:
    images, target = digits
    classifier = trine.Classifier(epochs=4, random_state=0, threads=1, validation_fraction=0.1).fit(images, target)
    model = trine.Novelty(starts=150, epochs=8, random_state=0, threads=1)
    return model.fit(images, target, new=[5, 6], classifier=classifier)


def test_the_iteration_goes_on_falling_until_nearly_all_objects_rest(fitted: Any) -> None:
    change = np.array([step["change"] for step in fitted.trace_])
    share = np.array([step["fixed"] for step in fitted.trace_])
    # The first steps tell: then a few objects in cycles are left, of which each change weighs.
    assert (np.diff(change[:8]) < 0).all()
    assert (np.diff(share) >= 0).all()
    assert len(share) <= 100
    assert share[-1] >= 0.9
    assert change[-1] < 0.01 * change[0]


def test_what_is_generated_is_fixed_ink_with_the_share_of_the_known(fitted: Any) -> None:
    made = fitted.generate(60, seed=3)
    assert made.ndim == 3
    assert set(np.unique(made)) == {0.0, 16.0}
    assert (made > 0).mean() == pytest.approx(fitted.ink_["image"], abs=0.02)
    again = fitted.generate(start=made)
    assert np.array_equal(again, made)
    assert np.array_equal(fitted.generate(60, seed=3), made)
    assert not np.array_equal(fitted.generate(60, seed=4)[:5], made[:5])
    assert len(np.unique(made.reshape(len(made), -1), axis=0)) == len(made)


def test_types_are_scored_against_known_and_held_out_classes(fitted: Any) -> None:
    assert fitted.types_
    rows = fitted.provenance_["rows"]
    known = np.isin(load_digits().target[:1000], [5, 6], invert=True).sum()
    assert rows["train"] + rows["stop"] == known
    for kind in fitted.types_:
        assert set(kind.apart) == set("01234789")
        assert kind.taken_for in set("0123456789")
        assert 0.0 <= kind.new <= 1.0
        assert kind.coherence > 0
        assert len(fitted.values_of_type(kind)) == kind.size
    assert fitted.scores_["fixed"] >= 0.9
    assert fitted.scores_["coherence"] > 0.0
    assert {"objectness", "out_of_class_count", "out_of_class_max", "unsure"} <= set(fitted.scores_)


def test_an_artefact_generates_the_same_bits(fitted: Any, tmp_path: Path) -> None:
    path = fitted.save(tmp_path / "kinds.trine")
    again = trine.load(path)
    assert type(again) is trine.Novelty
    assert again.types_ == fitted.types_
    assert np.array_equal(again.generate(40, seed=9), fitted.generate(40, seed=9))
    assert np.array_equal(again.objects_values_, fitted.objects_values_)
    assert all(np.array_equal(a, b) for a, b in zip(again.map_, fitted.map_, strict=True))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtefactError):
        trine.load(path)


def test_a_run_that_was_stopped_ends_in_the_same_bits(digits: Any, tmp_path: Path) -> None:
    images = digits[0][:300]
    whole = trine.Novelty(starts=30, epochs=4, random_state=1, threads=1).fit(images)

    def kept() -> trine.Novelty:
        return trine.Novelty(starts=30, epochs=4, random_state=1, threads=1).fit(images, out=tmp_path / "n")

    again = stopped_and_resumed(kept, kept, at=15)
    tensors = again.autoencoder_.tensors()
    for name, tensor in whole.autoencoder_.tensors().items():
        assert tensor.equal(tensors[name]), name
    assert np.array_equal(again.generate(20, seed=2), whole.generate(20, seed=2))


def test_a_directory_with_another_autoencoder_is_refused(tmp_path: Path) -> None:
    rows = np.stack(list(vectors(np.random.default_rng(0))))
    asked: dict[str, Any] = {"starts": 30, "epochs": 3, "random_state": 1, "threads": 1, "sparsity": "topk(2)"}

    def fit(rows: Any, **changes: Any) -> Any:
        return trine.Novelty(**{**asked, **changes}).fit(rows, out=tmp_path / "n")

    first = fit(rows).autoencoder_
    with pytest.raises(
        RunError, match=r"hidden=\(derived\), epochs=3, code=128, seed=1; asked for: hidden=\[16\], epochs=9"
    ):
        fit(rows, epochs=9, random_state=7, code=64, hidden=(16,))
    with pytest.raises(RunError, match="learns other rows than those that are given now"):
        fit(rows[:50])
    again = fit(rows, starts=36).autoencoder_  # the same autoencoder, looked at from other noise
    assert all(tensor.equal(first.tensors()[name]) for name, tensor in again.tensors().items())


def test_a_table_of_numbers_and_words_is_iterated_in_its_own_units() -> None:
    frame = load_wine(as_frame=True).frame.iloc[:, [0, 1, 6, 9, 13]].copy()
    frame["shade"] = np.where(frame["color_intensity"] > 5, "dark", "light")
    model = trine.Novelty(starts=60, epochs=30, random_state=0, threads=1, steps=60, code=32, sparsity="topk(3)")
    model.fit(frame.drop(columns="target"))
    made = model.generate(40, seed=1)
    assert set(made) == {"alcohol", "malic_acid", "flavanoids", "color_intensity", "shade"}
    assert set(made["shade"]) <= {"dark", "light"}
    assert np.abs(made["alcohol"] - 13).max() < 5
    assert model.types_[0].nearest == "(all)"
    assert model.classifier_ is None
    assert "objectness" not in model.scores_


def rows_of(values: Any) -> np.ndarray:
    """An object array of rows, which stay one column."""
    found = np.empty(len(values), dtype=object)
    found[:] = list(values)
    return found


def texts(rng: np.random.Generator) -> np.ndarray:
    parts = (["good", "bad", "dull"], ["film", "book", "song"], ["in", "at"], ["rome", "lima", "oslo"])
    return rows_of([" ".join(rng.choice(part) for part in parts) for _ in range(60)])


def clips(rng: np.random.Generator) -> np.ndarray:
    made = []
    for hertz, samples in zip(rng.choice([200, 400, 800], 30), rng.integers(300, 400, 30), strict=True):
        made.append((0.05 * np.sin(2 * np.pi * hertz * np.arange(samples) / 8000)).astype(np.float32))
    return rows_of(made)


def vectors(rng: np.random.Generator) -> np.ndarray:
    return rows_of(rng.normal(size=(80, 2)) @ rng.normal(size=(2, 12)) + 0.05 * rng.normal(size=(80, 12)))


KINDS = {"text": ("text", texts), "sound": ("audio(rate=8000)", clips), "vector": ("vector", vectors)}


@pytest.fixture(scope="module", params=list(KINDS))
def searched(request: Any) -> Any:
    """(known values, a search of objects like them)."""
    domain, made = KINDS[request.param]
    known = made(np.random.default_rng(0))
    autoencoder = trine.fit(
        {"it": known},
        method="autoencoder",
        domains={"it": domain},
        valid=0.0,
        code=16,
        sparsity="topk(2)",
        epochs=2,
        threads=1,
    )
    return known, trine.Novelty(starts=20, steps=12, random_state=0, threads=1).fit(
        {"it": known}, autoencoder=autoencoder
    )


def test_a_search_starts_from_noise_and_from_no_known_row(searched: Any) -> None:
    known, model = searched
    start = model._noise(20, 5).column("it")
    domain = model.schema_.x["it"]
    encoded, like = domain.encode(start), domain.encode(read({"it": known}).column("it"))
    lengths = {len(like[i]) for i in range(len(known))}
    for i in range(20):
        assert len(encoded[i]) in lengths
        assert not any(np.array_equal(encoded[i], like[j]) for j in range(len(known)))
    if domain.kind != "text":
        values, spread = np.concatenate(list(encoded)), np.concatenate(list(like))
        assert values.std() == pytest.approx(spread.std(), rel=0.3)
    else:
        assert len({code for i in range(20) for code in encoded[i]}) > 10


def test_a_search_of_texts_sound_and_vectors_comes_to_objects(searched: Any) -> None:
    known, model = searched
    made = model.generate(20, seed=3)["it"]
    assert len(made) == len({str(np.asarray(value).tolist()) for value in made})
    assert model.scores_["objects"] >= 1
    again = model.generate(start=table_of({"it": made}))["it"]
    assert 1 <= len(again) <= len(made)
    assert type(made[0]) is type(known[0])


def test_noise_of_sets_of_labels_breaks_them_up() -> None:
    known = table_of({"it": rows_of(["red; round", "blue; square"] * 10)}).column("it")
    domain = Labels().fit(known)
    made = noise(domain, lambda: domain.decode(domain.encode(known)), 50, np.random.default_rng(0))
    assert {"red; square", "blue; round"} & {"; ".join(sorted(text.split("; "))) for text in made}
    assert domain.encode(table_of({"it": made}).column("it")).mean() == pytest.approx(0.5, abs=0.1)


def test_what_never_rests_is_told() -> None:
    known = {"it": vectors(np.random.default_rng(0))}
    autoencoder = trine.Autoencoder(code=16, sparsity="topk(2)", epochs=1, random_state=0, threads=1).fit(known)
    with pytest.raises(DataError, match="Of 10 objects none came to rest in 1 steps; give more steps"):
        trine.Novelty(starts=10, steps=1, random_state=0).fit(known, autoencoder=autoencoder)


def test_a_category_that_is_missing_or_unseen_is_as_far_from_one_as_from_another() -> None:
    table = read({"kind": np.array(["a", "b", "c", None, "a"], dtype=object)})
    domain = Category().fit(table.column("kind"))
    schema = Schema(x={"kind": domain}, y={})
    known = stored(table, schema)
    look = Look.of(known, schema.x, None)
    rows = look.flat(known)
    assert np.linalg.norm(rows[0] - rows[1]) == pytest.approx(1.0)
    new = look.flat(stored(read({"kind": np.array(["z", "c"], dtype=object)}), schema))
    for row in (rows[3], new[0]):
        away = np.linalg.norm(rows[:3] - row, axis=1)
        assert away == pytest.approx(away[0])
        assert 0.5 < away[0] < 1.0


def test_pictures_may_be_read_densely_and_in_grey(digits: Any) -> None:
    model = trine.Novelty(image="dense", binarise=False, starts=20, steps=20, epochs=3, random_state=0, threads=1)
    model.fit(digits[0][:300])
    assert model.derivation_.choices.sparsity == "topk(25)"
    assert model.ink_ == {}
    assert model.trace_[-1]["fixed"] >= 0.9
    made = model.objects_values_
    assert made.shape[1:] == (8, 8)
    assert len(np.unique(made)) > 5  # not ink alone
    back = model.generate(
        start=made
    )  # each is at rest: none moves by a level of the 16, and those that are one count once
    assert len(back) >= 0.9 * len(made)
    assert np.abs(back[:, None] - made).max((2, 3)).min(1).max() <= 1.0


@pytest.mark.parametrize(
    ("change", "call", "kind", "words"),
    [
        ({"starts": 0}, {}, ChoiceError, "starts is 0"),
        ({}, {"new": [3]}, SchemaError, "the rows have none"),
        ({}, {"y": np.zeros(100, dtype=int), "new": [7]}, DataError, "label '7'"),
        ({}, {"y": np.arange(100)}, SchemaError, "100 different labels"),
        ({}, {"y": np.zeros(3)}, DataError, "one label for each row"),
        ({}, {"y": np.repeat([0, 1], 50), "new": [0, 1]}, DataError, "0 rows are left"),
        ({"image": "winners"}, {"X": np.random.default_rng(0).normal(size=(50, 4))}, ChoiceError, "one picture"),
    ],
    ids=["starts", "unlabelled", "unknown-label", "many-labels", "lengths", "nothing-known", "winners-of-a-table"],
)
def test_mistakes_are_told(digits: Any, change: Any, call: Any, kind: type[TrineError], words: str) -> None:
    model = trine.Novelty(**{"epochs": 1, **change})
    given = {"X": digits[0][:100], **call}
    with pytest.raises(kind, match=words):
        model.fit(given.pop("X"), given.pop("y", None), **given)


@pytest.mark.parametrize("given", [{}, {"code": 2}])
def test_a_code_of_few_columns_keeps_fewer_numbers_than_these(given: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    known = trine.data.read(rng.normal(size=(40, 4)))
    kept = trine.Novelty(**given)._derived(known)["sparsity"]
    assert kept == ("topk(3)" if not given else "topk(1)")
    assert trine.Novelty()._derived(trine.data.read(rng.normal(size=(40, 30))))["sparsity"] == "topk(8)"
