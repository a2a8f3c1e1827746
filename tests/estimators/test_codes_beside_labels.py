"""Codes on the encoder of a network with few labels: each member's by itself, under every shape, prior and bound."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine
from torch.distributions import Distribution

import trine
from trine.choices import Choices
from trine.data import Batch, read
from trine.divergences import LearnedDivergence
from trine.errors import ChoiceError
from trine.estimators._plan import Plan, Prepared, prepare
from trine.methods._shapes import known_shapes
from trine.models import GenerativeClassifier, Reconstructing

USES = ("reconstruct", "generative")
PRIORS: list[dict[str, Any]] = [
    {"shape": "kl", "code_prior": "mixture(3)"},
    {"shape": "kl", "code_prior": "vamp(5)"},
    {"shape": "kl", "code_prior": "categorical(2,3)"},
    {"shape": "mmd", "code_prior": "ball"},
    {"shape": "js", "code_prior": "ball"},
    {"shape": "none", "code_prior": "vq(4,1)"},
]
BOUNDS: list[dict[str, Any]] = [
    {"shape": "kl", "free_bits": 1e-9},
    {"shape": "kl", "free_bits": 0.5},
    {"sparsity": "topk(2)"},
    {"sparsity": "lifetime(0.25)"},
    {"sparsity": "l1(0.1)"},
    {"shape": "cramer", "sparsity": "topk(1)", "contraction": 0.1},
]


def told(choices: dict[str, Any]) -> str:
    return " ".join(map(str, choices.values()))


def wine(with_pictures: bool = False) -> dict[str, Any]:
    """Three kinds of wine, twenty of them told."""
    data = load_wine()
    labels = np.array(["a", "b", "c"], dtype=object)[data.target]
    labels[np.random.default_rng(0).permutation(178)[20:]] = None
    table: dict[str, Any] = {f"x{i}": data.data[:, i] for i in range(6)} | {"kind": labels}
    return {"image": load_digits().images[:178], **table} if with_pictures else table


def prepared(**choices: Any) -> Prepared:
    chosen = {"hidden": (16,), "code": 3, "dropout": 0.0, **choices}
    return prepare(Plan(("kind",), choices=Choices.of(chosen)), read(wine()))


def parts(found: Prepared) -> tuple[Any, Any, Batch]:
    """(network, criterion, a batch of 32 rows), in training."""
    derivation = found.derivation
    return derivation.model.train(), derivation.criterion.train(), found.store.batch(torch.arange(32))


def unwrapped(term: Any) -> Any:
    return getattr(term.divergence, "divergence", term.divergence)


@pytest.fixture
def same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn beside a code is the same for every row and member."""
    noise = torch.randn(64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(torch, "randn_like", lambda like: noise[: like.shape[-1]].expand(like.shape))
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self: self.fill_(1.0))  # Gumbel's


@pytest.mark.usefixtures("same_noise")
@pytest.mark.parametrize("choices", [*({"shape": shape} for shape in known_shapes()), *PRIORS, *BOUNDS], ids=told)
def test_members_that_are_one_have_the_terms_of_one(choices: dict[str, Any]) -> None:
    """Three members that see x alike are one network three times, and so is all that is said of their codes."""
    torch.manual_seed(0)
    three, criterion, batch = parts(prepared(**choices, unlabelled="reconstruct", members=3))
    one, expected, _ = parts(prepared(**choices, unlabelled="reconstruct", members=1))
    with torch.no_grad():
        three.encoder.members.scale.fill_(1.0)
    one.load_state_dict(
        {
            name: value
            for name, value in three.state_dict().items()
            if not name.startswith(("rules", "encoder.members"))
        },
        strict=False,
    )
    pairs = [(a, b) for a, b in zip(criterion.terms, expected.terms, strict=True) if a.training_only]
    for a, b in pairs:
        b.load_state_dict(
            {name.replace("divergence.divergence.", "divergence."): v for name, v in a.state_dict().items()}
        )
        for term in (a, b):  # the same draws of the prior for each member
            unwrapped(term).register_forward_pre_hook(lambda *_: torch.manual_seed(1) and None)
    outputs, others = three(batch), one(batch)
    assert outputs["code.z"].shape == (3, 32, three.decoding.latent.width)
    torch.testing.assert_close(outputs["code.z"].mean(0), others["code.z"])
    assert {a.name for a, _ in pairs} >= {"numbers"}
    for a, b in pairs:
        found = a.values(outputs, batch)
        assert found.shape == (32,)
        if a.name != "contraction":  # whose directions are drawn
            torch.testing.assert_close(found, b.values(others, batch), rtol=1e-4, atol=1e-5)
        if isinstance(a.divergence, LearnedDivergence):
            assert a.values(outputs, batch, tighten=True).shape == (32,)
    loss = criterion(outputs, batch).total
    loss.backward()
    assert bool(loss.isfinite())
    assert three.decoding.trunk.layers[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("choices", [{"shape": "kl", "code_prior": "normal"}, *PRIORS], ids=told)
def test_every_prior_has_a_meaning_under_both_uses(use: str, choices: dict[str, Any]) -> None:
    model = trine.fit(wine(), y="kind", valid=0.0, epochs=1, seed=0, hidden=(16,), code=4, unlabelled=use, **choices)
    network = model.derivation_.model
    assert isinstance(network, Reconstructing | GenerativeClassifier)
    assert np.isfinite(model.predict_proba(wine())).all()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("prior", ["mixture(3)", "vamp(5)"])
def test_a_code_is_priced_at_its_own_draw_and_not_at_the_encoder_s_features(use: str, prior: str) -> None:
    """Features and code are as wide here, so that nothing but the value tells one from the other."""
    network, criterion, batch = parts(
        prepared(unlabelled=use, shape="kl", code_prior=prior, code=16, hidden=(16,), members=1)
    )
    outputs = network(batch)
    code, z, p = outputs["code"], outputs["code.z"], outputs["prior"]
    assert isinstance(code, Distribution)
    assert z.shape == outputs["z"].shape
    shape = next(term for term in criterion.terms if term.name == "shape")
    torch.testing.assert_close(shape.values(outputs, batch), code.log_prob(z) - p.log_prob(z))


@pytest.mark.parametrize("use", USES)
def test_quantised_codes_are_committed_to_their_vectors(use: str) -> None:
    network, criterion, batch = parts(prepared(unlabelled=use, code_prior="vq(4,1)", code=16, hidden=(16,), members=1))
    outputs = network(batch)
    term = next(term for term in criterion.terms if term.name == "commitment")
    torch.testing.assert_close(term.values(outputs, batch), (outputs["code"] - outputs["code.z"]).square().sum(1))


def test_only_so_many_numbers_of_a_code_are_kept_in_a_row() -> None:
    network, _, batch = parts(prepared(unlabelled="reconstruct", members=3, code=6, sparsity="topk(2)"))
    assert ((network(batch)["code.z"] != 0).sum(-1) == 2).all()
    network, _, batch = parts(prepared(unlabelled="reconstruct", members=3, code=6, sparsity="lifetime(0.25)"))
    assert ((network(batch)["code.z"] > 0).sum((0, 1)) <= 24).all()


@pytest.mark.parametrize("members", [1, 3])
def test_the_slope_of_the_codes_of_a_row_is_that_of_its_members_in_the_mean(members: int) -> None:
    found = prepared(unlabelled="reconstruct", members=members, contraction=0.5, hidden=(8,))
    network, criterion, batch = parts(found)
    batch = Batch({name: value[:4] for name, value in batch.tensors.items()}, batch.views)
    torch.manual_seed(0)
    draws = torch.stack([network(batch)["contraction"].detach() for _ in range(400)])

    def codes(numbers: torch.Tensor) -> torch.Tensor:
        z: torch.Tensor = network(Batch({**batch.tensors, "x.numbers": numbers}, batch.views))["code.z"]
        return z

    network.decoding.contracts = ()
    jacobian = torch.autograd.functional.jacobian(codes, batch["x.numbers"])  # (members, batch, code, batch, numbers)
    rows = torch.arange(4)
    jacobian = jacobian.reshape(members, 4, 3, 4, -1)[:, rows, :, rows]
    stds = torch.tensor([domain.std for domain in found.derivation.schema.x.values()])  # type: ignore[attr-defined]
    expected = (jacobian * stds).square().sum((2, 3)).mean(1)
    error = draws.std(0) / 20
    assert ((draws.mean(0) - expected).abs() < 4 * error).all()
    term = next(term for term in criterion.terms if term.name == "contraction")
    assert term.weight == pytest.approx(0.05)
    assert term.training_only


def test_pictures_and_numbers_together_come_back_from_the_code_of_each_member() -> None:
    model = trine.fit(
        wine(with_pictures=True), y="kind", valid=0.0, epochs=1, channels=4, seed=0, unlabelled="reconstruct", members=2
    )
    network = model.derivation_.model.train()
    batch = model._encode(wine(with_pictures=True), targets=True)[0].batch(torch.arange(8))
    network.eval()
    outputs = network(batch)
    each = torch.stack([network.decoding.draw(z)["image"].log_prob(batch["x.image"]) for z in outputs["code.z"]])
    torch.testing.assert_close(outputs["x_hat.image"].log_prob(batch["x.image"]), each)


@pytest.mark.parametrize("shape", ["none", "kl"])
def test_label_codes_have_their_prior_whatever_shapes_the_style(shape: str) -> None:
    network, criterion, batch = parts(prepared(unlabelled="generative", shape=shape))
    outputs = network(batch)
    term = next(term for term in criterion.terms if term.name == "kind, shape")
    q = outputs["y_hat.kind"].probs
    known = batch["y.kind.present"]
    expected = torch.where(known, 0.0, (q * (q / network.shares).log()).sum(1))
    torch.testing.assert_close(term.values(outputs, batch), expected, rtol=1e-3, atol=1e-5)
    assert term.weight == pytest.approx(0.1)


@pytest.mark.parametrize("use", [*USES, "consistency", "pseudo", "propagation"])
@pytest.mark.parametrize("asked", [{"unknown": 0.1}, {"prior": "normal(1)"}], ids=told)
def test_rows_with_nothing_known_and_a_prior_of_the_weights_go_with_every_use(use: str, asked: dict[str, Any]) -> None:
    code = 3 if use in USES else None
    found = prepared(unlabelled=use, code=code, **asked)
    network, criterion, batch = parts(found)
    store = found.store.batch(torch.arange(32))
    batch = Batch({**store.tensors, "row": torch.arange(32)}, store.views)
    outputs = network(batch)
    criterion.check(outputs, batch)
    loss = criterion(outputs, batch)
    assert bool(loss.total.isfinite())
    if "unknown" in asked:
        assert outputs["blank.kind"].batch_shape[-1] == 32
        assert "kind, nothing known" in loss.terms
    else:
        decoder = getattr(network, "decoding", None)
        count = outputs["theta"].numel()
        weights = [p for name, p in network.named_parameters() if p.dim() > 1 and not name.endswith("bias")]
        assert count == sum(p.numel() for p in weights if p.dim() < 3 or p.numel() > len(p))
        assert decoder is None or count > sum(p.numel() for p in decoder.parameters() if p.dim() > 1)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"unlabelled": "reconstruct", "corruption": 0.3}, "corruption is 0.3"),
        ({"unlabelled": "generative", "corruption": 0.3}, "corruption is 0.3"),
        ({"corruption": 0.3}, "unlabelled=reconstruct; leave corruption out"),
        ({"unlabelled": "reconstruct", "shape": "kl", "draws": 5}, "draws is 5"),
        ({"unlabelled": "generative", "contraction": 0.1}, "contraction is 0.1"),
        ({"unlabelled": "generative", "members": 4}, "members is 4"),
        ({"unlabelled": "reconstruct", "image": "winners"}, "choose positional or dense"),
        ({"unlabelled": "reconstruct", "shape": "kl", "sparsity": "topk(2)"}, "sparsity is of codes that are numbers"),
        (
            {"unlabelled": "reconstruct", "confidence": 0.9},
            "confidence is 0.9.* or choose unlabelled=consistency, pseudo or",
        ),
    ],
    ids=lambda given: told(given) if isinstance(given, dict) else "",
)
def test_what_has_no_meaning_beside_labels_is_refused_in_words(choices: dict[str, Any], said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        prepared(**choices)


@pytest.mark.parametrize("use", ["consistency", "pseudo", "propagation"])
@pytest.mark.parametrize(
    ("choices", "belongs"),
    [
        ({"code": 3}, "unlabelled=reconstruct or generative"),
        ({"shape": "kl"}, "unlabelled=reconstruct or generative"),
        ({"sparsity": "topk(2)"}, "unlabelled=reconstruct or generative"),
        ({"contraction": 0.1}, "unlabelled=reconstruct"),
        ({"corruption": 0.3}, "method=autoencoder"),
    ],
    ids=lambda given: told(given) if isinstance(given, dict) else "",
)
def test_what_is_about_codes_is_refused_where_rows_without_y_have_none(
    use: str, choices: dict[str, Any], belongs: str
) -> None:
    (name, value), *_ = choices.items()
    with pytest.raises(
        ChoiceError, match=rf"{name} is {re.escape(str(value))}: .*unlabelled={use} has none.* or choose {belongs}"
    ):
        prepared(**{"code": None, "unlabelled": use, **choices})
    # That there is no code may be said.
    assert prepared(code=None, unlabelled=use, shape="none").derivation.choices.unlabelled == use
