"""Two piles end to end: what is translated, stopped runs that end in the same bits, and what cannot be used, said."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from tests.stopping import stopped_and_resumed

import trine
from trine.errors import ChoiceError, DataError, SchemaError
from trine.estimators._picture_ways import noises
from trine.estimators._piles import halves, piles_of, prepare_piles
from trine.estimators._scored.translations import evaluate_translations

DIGITS = (load_digits().images * 15).astype(np.uint8)
A, B = DIGITS[:120], 255 - DIGITS[120:280]
TINY: dict[str, Any] = {"epochs": 2, "channels": 4, "layers": 1, "batch_size": 16, "threads": 1, "random_state": 0}


def normals(n: int, seed: int, shift: float, scale: float) -> np.ndarray:
    return shift + scale * np.random.default_rng(seed).normal(size=(n, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])


@pytest.fixture(scope="module")
def rows() -> trine.Translator:
    """Two populations of two columns that go together, at other places and of other widths."""
    return trine.Translator(epochs=60, hidden=(64, 64), random_state=0, threads=1).fit(
        normals(400, 0, 0.0, 1.0), normals(600, 1, 50.0, 10.0)
    )


def test_rows_of_one_population_become_rows_of_the_other(rows: trine.Translator) -> None:
    made = rows.translate(normals(500, 2, 0.0, 1.0), to="B")
    true = normals(500, 3, 50.0, 10.0)
    assert made.shape == (500, 2)
    assert np.abs(made.mean(0) - true.mean(0)).max() < 4.5  # of a deviation of 10
    assert np.abs(np.cov(made.T) - np.cov(true.T)).max() < 60.0
    back = rows.translate(true, to="A")
    assert np.abs(back.mean(0)).max() < 0.45
    assert np.abs(back.std(0) - 1.0).max() < 0.35
    for evaluation in rows.evaluate(normals(200, 4, 0.0, 1.0), normals(200, 5, 50.0, 10.0)).values():
        assert evaluation.metrics["comes back"].value > 0.8
        assert evaluation.metrics["FD-standardised"].value < 0.4


def test_the_best_is_kept_and_the_noise_matters(rows: trine.Translator) -> None:
    scores = [record["held_out"] for record in rows.history_]
    assert rows.provenance_["best_epoch"] == int(np.argmin(scores)) + 1
    assert min(scores) < 0.3 * scores[0]
    many = rows.translate(np.zeros((3, 2)), to="B", n=50, seed=1).reshape(3, 50, 2)
    assert many.std(axis=1).max() > 0.2
    assert rows.evaluations_["B"].metrics["diversity"].value > 0.001


def test_piles_of_unlike_size_are_halved_each_by_itself(rows: trine.Translator) -> None:
    """Else rows of the smaller pile, which come again and again in pairs, would be judged by themselves."""
    judged, others = halves(np.arange(9), np.arange(50), seed=0)
    for place, count in ((0, 9), (1, 50)):
        one, other = set(judged[:, place].tolist()), set(others[:, place].tolist())
        assert not one & other
        assert one | other == set(range(count))
    metrics = rows.evaluate(normals(40, 7, 0.0, 1.0), normals(400, 8, 50.0, 10.0))["A"].metrics
    floors = {name: metrics[name].baseline for name in ("FD-standardised", "precision", "recall", "coverage")}
    assert floors["FD-standardised"] > 0.01
    assert min(floors["precision"], floors["recall"], floors["coverage"]) < 1.0
    with pytest.raises(DataError, match="Pile A has 3 rows; translations are judged by 4 or more"):
        rows.evaluate(normals(3, 7, 0.0, 1.0), normals(40, 8, 50.0, 10.0))


def test_what_is_wrong_is_said_of_either_way(rows: trine.Translator) -> None:
    for name in "AB":
        said = {finding["name"]: finding for finding in rows.evaluations_[name].figures["diagnosis"]}
        assert {"modes", "critic", "noise", "condition"} <= set(said)
        assert not said["condition"]["wrong"]
    noise = []
    for order in (np.argsort(normals(400, 0, 0.0, 1.0)[:, 0]), np.arange(400)):  # a file may be sorted
        piles = piles_of(rows.plan_, normals(400, 0, 0.0, 1.0)[order], normals(400, 1, 50.0, 10.0))
        prepared = dataclasses.replace(prepare_piles(rows.plan_, piles), derivation=rows.derivation_)
        found = evaluate_translations(prepared, rows.derivation_.model, prepared.rows.train, [])
        noise += [finding["value"] for finding in found["A"].figures["diagnosis"] if finding["name"] == "noise"]
    assert noise[0] == pytest.approx(noise[1], rel=0.25)
    still = trine.Translator(**{**TINY, "epochs": 1, "step_size": 1e-7, "diversity": 0.0}).fit(A, A[::-1].copy())
    still.translate(A[:2])
    with torch.no_grad():
        for part in (still.derivation_.model.to_a, still.derivation_.model.to_b):
            part.forward = lambda value, z: value
    prepared = prepare_piles(still.plan_, piles_of(still.plan_, A, A[::-1].copy()))
    prepared = dataclasses.replace(prepared, derivation=still.derivation_)
    found = evaluate_translations(prepared, still.derivation_.model, prepared.rows.train, [], "budget")
    said = {finding["name"]: finding for finding in found["B"].figures["diagnosis"]}
    assert said["identity"]["wrong"]
    assert "nothing is translated" in said["identity"]["sentence"]
    assert said["identity"]["remedy"].endswith("a larger budget")
    assert said["noise"]["wrong"]


def test_what_is_saved_translates_to_the_same_bits(rows: trine.Translator, tmp_path: Path) -> None:
    rows.save(tmp_path / "model.trine")
    again = trine.load(tmp_path / "model.trine")
    given = normals(20, 6, 0.0, 1.0)
    assert (again.translate(given, n=2, seed=3) == rows.translate(given, n=2, seed=3)).all()
    assert (again.translate(given, seed=4) != rows.translate(given, seed=3)).any()


CASES: dict[str, dict[str, Any]] = {
    "cycle": {},
    "identity": {"identity_weight": 2.5},
    "contrast": {"content": "contrast"},
    "contrast-identity": {"content": "contrast", "identity_weight": 1.0},
    "no-pool-no-codes": {"history": 0, "diversity": 0.0},
    "augmented": {"critic_augment": 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_pictures_by_every_choice_of_terms(case: str) -> None:
    model = trine.Translator(**TINY, **CASES[case]).fit(A, B)
    made = model.translate(A[:5], to="B", n=2)
    assert made.shape == (10, 8, 8)
    assert made.dtype == np.uint8
    names = {term.name for term in model.derivation_.criterion.terms}
    expected = {"A", "B", "noise_a", "noise_b"}
    expected |= {"patches_a", "patches_b"} if "contrast" in case else {"cycle_a", "cycle_b"}
    if case.endswith("identity"):
        expected |= {"patches_same_a", "patches_same_b"} if "contrast" in case else {"same_a", "same_b"}
    if case == "no-pool-no-codes":
        expected -= {"noise_a", "noise_b"}
    assert names == expected
    assert ("comes back" in model.evaluations_["A"].metrics) == ("contrast" not in case)


@pytest.mark.parametrize(("side", "times"), [(8, 1), (13, 2), (16, 2)])
def test_a_picture_of_the_trained_size_is_translated_by_the_network_as_it_was_trained(side: int, times: int) -> None:
    piles = [pile[:40].repeat(times, 1).repeat(times, 2)[:, :side, :side] for pile in (A, B)]
    model = trine.Translator(**TINY | {"epochs": 1}).fit(*piles)
    network = model.derivation_.model.eval()
    draws = noises(way := model.way("B"), 3, 0)
    with torch.inference_mode():
        pixels = torch.from_numpy(piles[0][:1].astype(np.float32))[:, None] / 255
        made = network.to_b((pixels * 2 - 1).expand(3, -1, -1, -1), draws.z)
    expected = ((made[:, 0].numpy() + 1) / 2 * 255).clip(0, 255)
    found = way.answers(piles[0][:1], draws).astype(float)
    assert found.shape == (3, side, side)
    assert np.abs(found - expected).max() <= 0.51  # rounded to whole pixels


FRAMES = [
    pd.DataFrame(
        {
            "size": np.random.default_rng(seed).gamma(2.0, size, 90 + seed),
            "kind": np.random.default_rng(seed).choice(["x", "y", "z"], 90 + seed, p=[p, 0.9 - p, 0.1]),
            "known": np.where(np.arange(90 + seed) % 7 == 0, np.nan, np.arange(90 + seed) % 5 + 0.5 * seed),
        }
    )
    for seed, size, p in ((0, 1.0, 0.7), (1, 5.0, 0.2))
]


def test_mixed_tables_are_translated_in_their_units() -> None:
    model = trine.Translator(epochs=3, random_state=0, threads=1, hidden=(32, 32)).fit(*FRAMES)
    made = model.translate(FRAMES[0][["known", "kind", "size"]][:7], to="B", n=3)
    assert list(made) == ["size", "kind", "known"]
    assert all(len(values) == 21 for values in made.values())
    assert set(made["kind"]) <= {"x", "y", "z"}
    with pytest.raises(ChoiceError, match="identity_weight is of pictures"):
        trine.Translator(identity_weight=1.0).fit(*FRAMES)
    with pytest.raises(ChoiceError, match="compares places of pictures"):
        trine.Translator(content="contrast").fit(*FRAMES)
    with pytest.raises(DataError, match="lack the column 'kind'"):
        model.translate(FRAMES[0][["size"]], to="B")


def people(rows: int, seed: int, abroad: bool) -> dict[str, Any]:
    """Age, income, which follows from it and from work, and sex: abroad all earn three times as much, and are somewhat older."""
    rng = np.random.default_rng(seed)
    sex, work = rng.choice(["f", "m"], rows, p=[0.6, 0.4]), rng.choice(["shop", "office"], rows, p=[0.6, 0.4])
    age = 20 + rng.gamma(2.0, 10.0, rows)
    income = np.exp(0.02 * age + 0.6 * (work == "office") + 0.2 * rng.normal(size=rows))
    return {
        "age": 1.1 * age + 2 if abroad else age,
        "income": 3 * income if abroad else income,
        "sex": sex,
        "work": work,
    }


def test_rows_are_moved_no_further_than_they_have_to_be() -> None:
    given, kept = people(300, 2, False), {}
    how = {"epochs": 20, "batch_size": 32, "step_size": 2e-3, "hidden": (64, 64), "random_state": 0, "threads": 1}
    for transport in (None, 0.0):
        model = trine.Translator(transport=transport, **how)
        model.fit(pd.DataFrame(people(600, 0, False)), pd.DataFrame(people(600, 1, True)))
        made = model.translate(pd.DataFrame(given), to="B", seed=0)
        kept[transport] = min(float((made[name] == given[name]).mean()) for name in ("sex", "work"))
        assert 2 < made["income"].astype(float).mean() / given["income"].mean() < 4
        assert ("KL(shared_a ‖ moved_b)" in str(model.derivation_)) == (transport is None)
    assert kept[None] > 0.75
    assert kept[0.0] < 0.6


def test_categories_of_two_piles_are_the_same_by_their_names() -> None:
    a = pd.DataFrame({"kind": ["x", "y", "x", "y"] * 10, "size": np.arange(40.0)})
    b = pd.DataFrame({"kind": ["z", "y", "z", "x"] * 10, "size": 100 - np.arange(40.0)})
    model = trine.Translator(epochs=1, random_state=0, threads=1, hidden=(16, 16)).fit(a, b)
    network = model.derivation_.model
    piles = prepare_piles(model.plan_, piles_of(model.plan_, a, b), schema=model.schema_)
    out = network(piles.store.batch(torch.arange(40)[:, None].expand(-1, 2)))
    labels = {side: own["kind"].labels for side, own in (("a", model.schema_.x), ("b", model.schema_.y))}
    assert set(labels["a"]) < set(labels["b"])
    columns = {side: (network.to_a if side == "a" else network.to_b).columns(out[f"real_{side}"]) for side in "ab"}
    for side, found in columns.items():
        kinds = np.array(labels[side])[found["kind"].numpy()]
        for place, label in enumerate(labels["a"]):
            # Places: the category's, one for each label that both have, behind the number or before it.
            assert any(
                np.array_equal(out[f"shared_{side}"][:, at].numpy(), (kinds == label).astype(np.float32))
                for at in {place, place + 1}
            )
    assert "KL(shared_a ‖ moved_b)" in str(model.derivation_)
    with pytest.raises(ChoiceError, match="transport is of tables"):
        trine.Translator(transport=1.0).fit(A, B)
    waves = [
        {name: np.array([*rng.normal(size=(20, 14)), None], dtype=object)[:-1] for name in ("wave", "beat")}
        for rng in map(np.random.default_rng, (0, 1))
    ]
    with pytest.raises(ChoiceError, match="and here are none"):
        trine.fit(
            waves[0],
            other=waves[1],
            method="unpaired",
            domains={"wave": "series", "beat": "series"},
            transport=1.0,
            epochs=1,
        )


STOPPED = {"cycle": {"ema": 0.9, "history": 24}, "contrast": {"content": "contrast", "ema": 0.9, "history": 24}}


@pytest.mark.parametrize("case", STOPPED)
def test_a_stopped_translator_ends_in_the_same_bits(case: str, tmp_path: Path) -> None:
    how = {"channels": 4, "layers": 1, "epochs": 3, "batch_size": 16, "threads": 1, "seed": 0, **STOPPED[case]}
    whole = trine.fit({"image": A}, other={"image": B}, method="unpaired", **how, out=tmp_path / "whole")
    resumed = stopped_and_resumed(
        lambda: trine.fit({"image": A}, other={"image": B}, method="unpaired", **how, out=tmp_path / "stopped"),
        lambda: trine.resume(tmp_path / "stopped", data={"image": A}, other={"image": B}),
        at=12,
    )
    for part in ("model", "criterion"):
        one, two = (getattr(found.derivation_, part).state_dict() for found in (whole, resumed))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    held = [value for name, value in whole.derivation_.criterion.state_dict().items() if name.endswith("held")]
    assert len(held) == 2
    assert all(pool.abs().sum() > 0 for pool in held)
    assert whole.history_[-1]["held_out"] == resumed.history_[-1]["held_out"]


def test_what_cannot_be_used_is_said() -> None:
    with pytest.raises(DataError, match="Pile B is empty"):
        trine.Translator().fit(pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": []}))
    with pytest.raises(DataError, match="in pile A and not in pile B"):
        trine.Translator().fit(FRAMES[0], FRAMES[1].drop(columns="kind"))
    with pytest.raises(SchemaError, match="there is one"):
        trine.fit({"image": A}, method="unpaired")
    with pytest.raises(SchemaError, match="takes A and B"):
        trine.fit({"image": A}, other={"image": B}, method="gan")
    with pytest.raises(SchemaError, match="have no y"):
        trine.fit({"image": A}, "image", other={"image": B})
    with pytest.raises(SchemaError, match="at least 8 a side"):
        trine.fit({"i": A[:, :7, :7]}, other={"i": B[:, :7, :7]}, domains={"i": "image"})
    model = trine.Translator(**TINY).fit(A, B)
    with pytest.raises(ChoiceError, match="to A or to B, and not to 'C'"):
        model.translate(A, to="C")
    with pytest.raises(ChoiceError, match="at least 1 translation"):
        model.translate(A, n=0)
    with pytest.raises(ChoiceError, match="no y to predict"):
        model.predictions(A)


def test_grey_and_colour_are_brought_together_and_said() -> None:
    colour = np.repeat(B[..., None], 3, -1)
    with pytest.warns(UserWarning, match="1 channels in A and 3 in B: both are taken as RGB"):
        model = trine.Translator(**TINY).fit(A, colour)
    assert model.translate(A[:2], to="B").shape == (2, 8, 8, 3)
    assert model.translate(colour[:2], to="A").shape == (2, 8, 8, 3)


def test_three_pictures_and_identical_piles_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="Pile A has 3 rows: a translator learns so few by heart"):
        model = trine.Translator(**TINY).fit(A[:3], B)
    assert model.translate(A[:3], to="B").shape == (3, 8, 8)
    with pytest.warns(UserWarning, match="hold the same rows"):
        trine.Translator(**TINY).fit(A, A.copy())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trine.Translator(**TINY).fit(A, A[::-1].copy())


@pytest.mark.parametrize(("times", "side", "layers", "penalty"), [(1, 8, 2, 1.0), (3, 24, 3, 0.05), (6, 48, 3, 1.0)])
def test_a_critic_of_small_pictures_sees_them_whole(times: int, side: int, layers: int, penalty: float) -> None:
    piles = [pile[:20].repeat(times, 1).repeat(times, 2) for pile in (A, B)]
    plan = trine.derive({"image": piles[0]}, other={"image": piles[1]}, method="unpaired")[0]
    assert plan.choices.penalty == penalty
    critic = plan.criterion.terms[0].divergence.divergence.critic
    assert len(critic.stages) == layers
    values = critic(torch.zeros(2, 1, side, side))
    assert values.shape[0] == 2
    assert values[0].numel() > 0
    bound = trine.derive({"image": piles[0]}, other={"image": piles[1]}, method="unpaired", divergence="wasserstein")[0]
    assert bound.choices.penalty == 10.0
