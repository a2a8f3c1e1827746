"""Labels on some rows: how the others are used, what it brings, and that a killed run ends in the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits, load_wine
from tests.stopping import stopped_and_resumed

import trine
from trine.criterion import WarmedTerm
from trine.data import LabelledBatches, Store, read
from trine.divergences.pseudo_labels import PseudoLabels
from trine.errors import ChoiceError
from trine.estimators._plan import Plan, prepare
from trine.methods._shapes import RowKL
from trine.models import GenerativeClassifier, Reconstructing, TwoViews
from trine.report import report_run


def digits(per_class: int = 3) -> tuple[dict[str, Any], dict[str, Any]]:
    """(training table with labels on some rows, test table)."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    test, rest = order[:500], order[500:]
    names = np.array([f"digit {i}" for i in data.target], dtype=object)
    own = np.concatenate([rest[data.target[rest] == c][:per_class] for c in range(10)])
    labels = names.copy()
    labels[np.setdiff1d(rest, own)] = None
    return (
        {"image": data.images[rest], "digit": labels[rest]},
        {"image": data.images[test], "digit": names[test]},
    )


def accuracy(model: Any, test: dict[str, Any]) -> float:
    return float((model.predict({"image": test["image"]}) == test["digit"]).mean())


def test_every_batch_has_labels_and_an_epoch_sees_every_row_without() -> None:
    labelled, unlabelled = torch.arange(7), torch.arange(100, 150)
    store = Store.of(x=torch.arange(150.0))
    batches = LabelledBatches(store, labelled, unlabelled, 3, 13, seed=1)
    parts = list(batches.index(0))
    assert batches.steps_per_epoch == 5
    assert all((part[:3] < 7).all() and (part[3:] >= 100).all() and len(part) == 13 for part in parts)
    assert sorted(torch.cat([part[3:] for part in parts]).tolist()) == list(range(100, 150))
    # Labelled rows come once each before any comes again, from epoch to epoch.
    drawn = torch.cat([part[:3] for epoch in range(7) for part in batches.index(epoch)])
    assert all(sorted(drawn[i : i + 7].tolist()) == list(range(7)) for i in range(0, 105, 7))
    # Any place in it can be gone on from.
    again = LabelledBatches(store, labelled, unlabelled, 3, 13, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(list(batches.index(4))[2:], again.index(4, 2), strict=True))


def test_pseudo_labels_are_the_sure_answers() -> None:
    seen = torch.distributions.Categorical(probs=torch.tensor([[0.97, 0.03], [0.6, 0.4], [0.01, 0.99]]))
    other = torch.distributions.Categorical(probs=torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]]))
    found = PseudoLabels(0.95)(other, seen)
    np.testing.assert_allclose(found, [np.log(2), 0.0, -np.log(0.8)], rtol=1e-5)
    logits = torch.zeros(3, 2, requires_grad=True)
    PseudoLabels(0.5)(seen, torch.distributions.Categorical(logits=logits)).sum()
    assert logits.grad is None


def test_pictures_without_labels_are_used_and_the_derivation_says_how() -> None:
    train, test = digits()
    model = trine.fit(train, y="digit", valid=0.0, epochs=25, channels=8, seed=0)
    alone = trine.fit(train, y="digit", valid=0.0, unlabelled="none", channels=8, seed=0)
    assert isinstance(model.derivation_.model, TwoViews)
    said = model.derivation_.describe()
    assert "30 of 30 labelled rows beside 64 of 1,267 without y" in said
    assert "1,267 rows have no y, and 30 have one" in said
    assert "1,267 rows without y are left out" in alone.derivation_.describe()
    assert accuracy(model, test) > accuracy(alone, test) - 0.01
    assert model.provenance_["rows"]["train"] == 30


def test_a_table_is_had_again_from_codes_on_the_same_encoder() -> None:
    data = load_wine()
    labels = np.array(["a", "b", "c"], dtype=object)[data.target]
    labels[np.random.default_rng(0).permutation(178)[20:]] = None
    table = {f"x{i}": data.data[:, i] for i in range(13)} | {"kind": labels}
    model = trine.fit(table, y="kind", valid=0.0, epochs=40, seed=0)
    assert isinstance(model.derivation_.model, Reconstructing)
    assert "0.1 · E[−log q((numbers) | z, θ)]" in model.derivation_.criterion.describe()
    names = np.array(["a", "b", "c"])[data.target]
    assert (model.predict(table) == names).mean() > 0.85
    shaped = trine.fit(table, y="kind", valid=0.0, epochs=3, seed=0, shape="kl", code=4)
    assert "KL(code ‖ prior)" in shaped.derivation_.criterion.describe()


@pytest.mark.parametrize("shape", ["kl", "js", "mmd"])
def test_a_row_is_made_from_its_class_and_a_style(shape: str) -> None:
    """M2, and its adversarial and two-sample kin: label and style codes, each shaped to its prior."""
    train, test = digits()
    model = trine.fit(train, y="digit", valid=0.0, epochs=20, channels=8, seed=0, unlabelled="generative", shape=shape)
    network = model.derivation_.model
    assert isinstance(network, GenerativeClassifier)
    said = model.derivation_.criterion.describe()
    assert "digit" in said.rpartition("q(image")[2]
    assert accuracy(model, test) > 0.7
    # The same style as another class: what is made changes with the label code alone.
    z = torch.zeros(10, network.decoding.latent.width)
    made = network.decoding.draw(torch.cat([z, torch.eye(10)], 1))["image"].mean.reshape(10, -1)
    assert torch.cdist(made, made).flatten().sort().values[10:].min().item() > 0.3


def test_label_codes_are_labels_where_there_are_some_and_draws_elsewhere() -> None:
    train, _ = digits()
    model = trine.fit(train, y="digit", valid=0.0, epochs=1, channels=4, seed=0, unlabelled="generative")
    network = model.derivation_.model.train()
    assert isinstance(network, GenerativeClassifier)
    assert float(network.shares.sum()) == pytest.approx(1)
    store = model._encode(train, targets=True)[0]
    batch = store.batch(torch.arange(120))
    known = batch["y.digit.present"]
    assert 0 < int(known.sum()) < 120
    outputs = network(batch)
    drawn, free, prior = outputs["label.digit"], outputs["free.digit"], outputs["prior.digit"]
    assert ((drawn == 0) | (drawn == 1)).all()
    assert (drawn.sum(1) == 1).all()
    value = RowKL()(prior, free)
    q = outputs["y_hat.digit"].probs
    expected = (q * (q / network.shares).log()).sum(1)
    assert torch.allclose(value[~known], expected[~known], atol=1e-4)
    assert torch.allclose(value[known], torch.zeros(()), atol=1e-5)
    slope = torch.autograd.grad(
        value[known].sum(), list(network.rules.parameters()), retain_graph=True, allow_unused=True
    )
    assert all(part is None or not part.any() for part in slope)
    # Labels of labelled rows reach the decoder, and no gradient of theirs the classifier.
    seen: list[torch.Tensor] = []
    hook = network.decoding.trunk.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(batch)
    hook.remove()
    assert torch.equal(seen[0][known, -10:].argmax(1), batch["y.digit"].reshape(-1)[known].long())


def test_two_classes_of_a_table_are_label_codes_side_by_side() -> None:
    data = load_wine()
    kind = np.array(["a", "b", "c"], dtype=object)[data.target]
    strong = np.where(data.data[:, 0] > 13, "strong", "light").astype(object)
    order = np.random.default_rng(0).permutation(178)
    kind[order[40:]], strong[order[30:]] = None, None
    table = {f"x{i}": data.data[:, i] for i in range(1, 13)} | {"kind": kind, "strong": strong}
    model = trine.fit(table, y=["kind", "strong"], valid=0.0, epochs=30, seed=0, unlabelled="generative")
    network = model.derivation_.model
    assert isinstance(network, GenerativeClassifier)
    assert network.sizes == [3, 2]
    assert (model.predict(table)["kind"] == np.array(["a", "b", "c"])[data.target]).mean() > 0.8


def test_numbers_as_y_too() -> None:
    data = load_diabetes()
    y = data.target.copy()
    y[np.random.default_rng(0).permutation(len(y))[60:]] = np.nan
    table = {f"x{i}": data.data[:, i] for i in range(10)} | {"y": y}
    model = trine.fit(table, y="y", valid=0.0, epochs=10, seed=0)
    assert model.derivation_.choices.unlabelled == "reconstruct"
    assert np.corrcoef(model.predict(table), data.target)[0, 1] > 0.5


@pytest.mark.parametrize("weight", ["balanced", (("a", 30.0), ("b", 10.0), ("c", 20.0))], ids=["balanced", "told"])
def test_a_row_without_a_label_weighs_as_the_labelled_in_the_mean(weight: Any) -> None:
    data = load_wine()
    labels = np.array(["a", "b", "c"], dtype=object)[data.target]
    labels[np.random.default_rng(0).permutation(178)[20:]] = None
    table = read({"x": data.data[:, 0], "kind": labels})
    prepared = prepare(Plan(("kind",), class_weight=weight), table)
    weights = prepared.store.fields["weight"].data.flatten()
    assert weights[prepared.rows.unlabelled].unique().item() == pytest.approx(
        weights[prepared.rows.train].mean().item(), rel=1e-6
    )


def test_few_rows_without_labels_are_left_out_as_ever() -> None:
    data = load_wine()
    labels = np.array(["a", "b", "c"], dtype=object)[data.target]
    labels[:20] = None
    table = {f"x{i}": data.data[:, i] for i in range(13)} | {"kind": labels}
    model = trine.fit(table, y="kind", valid=0.0, epochs=1)
    assert model.derivation_.choices.unlabelled == "none"
    assert "20 rows without y are left out" in model.derivation_.describe()


def test_an_artefact_gives_the_same(tmp_path: Any) -> None:
    train, test = digits()
    for use in ("consistency", "reconstruct", "generative"):
        model = trine.fit(train, y="digit", valid=0.0, epochs=1, channels=4, unlabelled=use)
        again = trine.load(model.save(tmp_path / f"{use}.trine"))
        assert (again.predict_proba({"image": test["image"]}) == model.predict_proba({"image": test["image"]})).all()


def test_a_run_that_was_stopped_ends_in_the_same_bits(tmp_path: Any) -> None:
    train, _ = digits()
    choices: dict[str, Any] = {"y": "digit", "valid": 0.0, "epochs": 3, "channels": 4, "shape": "kl", "warmup": 0.5}
    for use in ("consistency", "reconstruct", "generative"):
        own = {key: value for key, value in choices.items() if use != "consistency" or key not in ("shape", "warmup")}
        whole = trine.fit(train, **own, unlabelled=use, out=tmp_path / f"{use} whole")
        resumed = stopped_and_resumed(
            lambda: trine.fit(train, **own, unlabelled=use, out=tmp_path / use),  # noqa: B023
            lambda: trine.resume(tmp_path / use, data=train),  # noqa: B023
            at=20,
        )
        one, two = whole.derivation_.model.state_dict(), resumed.derivation_.model.state_dict()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_shapes_codes_of_rows_without_y_warms_up_over_its_share_of_the_steps() -> None:
    train, _ = digits()
    model = trine.fit(
        train, y="digit", valid=0.0, epochs=1, channels=4, unlabelled="generative", shape="kl", warmup=0.25
    )
    warmed = [term for term in model.derivation_.criterion.terms if isinstance(term, WarmedTerm)]
    assert [term.name for term in warmed] == ["shape", "digit, shape"]
    assert all((term.share, term.steps) == (0.25, int(term.taken)) for term in warmed)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"unlabelled": "reconstruct", "posterior": "ensemble"}, "posterior=none"),
        ({"unlabelled": "consistency", "batch_size": 20}, "raise batch_size"),
        ({"unlabelled": "generative", "free_bits": 0.5, "shape": "js"}, "free_bits are of shape=kl"),
    ],
    ids=["posterior", "room", "free bits"],
)
def test_what_has_no_use_is_refused(choices: dict[str, Any], said: str) -> None:
    train, _ = digits()
    with pytest.raises(ChoiceError, match=said):
        trine.fit(train, y="digit", valid=0.0, epochs=1, **choices)


def test_uses_that_this_y_has_not_are_refused() -> None:
    data = load_diabetes()
    y = data.target.copy()
    y[100:] = np.nan
    table = {f"x{i}": data.data[:, i] for i in range(10)} | {"y": y}
    with pytest.raises(ChoiceError, match="choose unlabelled=reconstruct"):
        trine.fit(table, y="y", unlabelled="pseudo")
    with pytest.raises(ChoiceError, match="every row has a y"):
        trine.fit({**table, "y": data.target}, y="y", unlabelled="reconstruct")


@pytest.mark.parametrize("use", ["none", "consistency"])
def test_the_report_tells_of_the_rows_without_labels(tmp_path: Any, use: str) -> None:
    data = load_wine()
    kinds = np.array(["a", "b", "c"], dtype=object)[data.target]
    kinds[np.arange(178) % 2 == 1] = None
    table = {f"x{i}": data.data[:, i] for i in range(4)} | {"kind": kinds}
    model = trine.fit(table, y="kind", out=tmp_path / "run", seed=0, unlabelled=use, epochs=1)
    told = model.provenance_["rows"]
    report_run(tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    if use == "none":
        assert "unlabelled" not in told
        return
    assert told["unlabelled"] == 89
    assert "and 89 without y beside them" in page
    own = model.derivation_.choices.labelled_size
    assert f"batches of {own} of {told['train']} labelled rows beside 89 of 89 without y; 1 pass over" in page


def test_where_no_column_of_x_comes_back_rows_without_y_are_used_in_another_way() -> None:
    days = (np.datetime64("2020-01-01") + np.arange(80)).astype(str)
    kinds = np.array([None] * 60 + ["a", "b"] * 10, dtype=object)
    assert trine.derive({"day": days, "y": kinds}, y="y")[0].choices.unlabelled == "pseudo"
    numbers = np.array([np.nan] * 60 + list(range(20))) / 7
    assert trine.derive({"day": days, "y": numbers}, y="y")[0].choices.unlabelled == "none"
