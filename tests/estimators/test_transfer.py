"""Transfer: frozen means frozen, z is computed once, heads answer and are kept without pickle, layers open as told."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import trine
from trine.errors import ArtefactError, ChoiceError, DataError, SchemaError, TrineError
from trine.estimators import _encoders
from trine.estimators._encoders import source_of
from trine.models.foreign import INPUT
from trine.models.transfer import layer_groups
from trine.procedures.gradual import Gradual

X, Y = load_digits(return_X_y=True)
PICTURES = X.reshape(-1, 8, 8).astype(np.uint8) * 15
TRAIN, TEST = slice(0, 300), slice(1000, None)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRINE_CACHE", str(tmp_path / "cache"))
    _encoders.forget()


@pytest.fixture(scope="module")
def autoencoder() -> Any:
    return trine.Autoencoder(code=12, epochs=4, random_state=0, threads=1).fit(PICTURES)


@pytest.fixture(scope="module")
def artefact(autoencoder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return autoencoder.save(tmp_path_factory.mktemp("encoder") / "encoder.trine")


class Network(nn.Module):
    """With what a careless pass would change: running statistics, dropout, a buffer that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.5))
        self.second = nn.Sequential(nn.Linear(48, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.passes += 1
        return self.second(self.first(x))


def trained() -> Network:
    """With running statistics of the pictures, as a network that was trained on them."""
    network = Network()
    with torch.no_grad():
        for _ in range(30):
            network(torch.from_numpy((X / 16).astype(np.float32)))
    return network


def bytes_of(module: nn.Module) -> dict[str, bytes]:
    return {name: value.detach().cpu().numpy().tobytes() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("head", ["linear", "mlp", "boosting", "forest"])
def test_frozen_changes_no_byte_of_the_encoder(head: str, autoencoder: Any) -> None:
    given: Any = RandomForestClassifier(10, random_state=0) if head == "forest" else head
    network = trained().train()
    for encoder, module, data in (
        (network, network, (X / 16).astype(np.float32)),
        (autoencoder, autoencoder.derivation_.model, PICTURES),
    ):
        before, mode = bytes_of(module), module.training
        model = trine.Transfer(encoder, given, random_state=0).fit(data[TRAIN], Y[TRAIN])
        assert model.score(data[TEST], Y[TEST]) > 0.5
        assert bytes_of(module) == before
        assert module.training == mode
        assert all(p.grad is None and p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("tune", ["last", "all", "gradual"])
def test_tuning_changes_a_copy_and_closed_layers_keep_every_byte(tune: str) -> None:
    network = trained()
    before = bytes_of(network)
    data = (X / 16).astype(np.float32)
    model = trine.Transfer(network, "linear", tune, epochs=6, validation_fraction=0.0, random_state=0).fit(
        data[TRAIN], Y[TRAIN]
    )
    assert bytes_of(network) == before
    after = bytes_of(model.model_.encoder.network)
    moved = {name for name in before if before[name] != after[name]}
    if tune == "last":
        assert moved
        assert all(name.startswith("second") for name in moved)
    else:
        assert any(name.startswith("first.0") for name in moved)
        assert any(name.startswith("first.1.running") for name in moved)
    assert model.score(data[TEST], Y[TEST]) > 0.5


def test_layers_are_let_loose_from_the_top_with_smaller_steps_below() -> None:
    network = Network()
    source = source_of(network)
    batch = source.inputs(torch.rand(4, 64)).store().batch(torch.arange(4))
    groups = layer_groups(source.network, batch, 4)
    assert [names[-1] for names in groups] == ["network.first.1", "network.second.1"]
    assert [Gradual.due(t, 100, 2) for t in (0, 16, 17, 33, 34, 99)] == [0, 0, 1, 1, 2, 2]
    model = trine.Transfer(network, "linear", "gradual", epochs=2, random_state=0).fit(X[TRAIN] / 16, Y[TRAIN])
    procedure = model.derivation_.procedure
    assert isinstance(procedure, Gradual)
    state = procedure.init(model.model_, model.derivation_.criterion)
    factors = sorted({group["factor"] for group in state.optimiser.param_groups}, reverse=True)
    assert factors == pytest.approx([1.0, 1 / 2.6])
    assert not any(p.requires_grad for p in model.model_.encoder.parameters())


def test_z_is_what_the_artefact_represents_and_is_computed_once(
    artefact: Path, autoencoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    compute = _encoders.Source._compute
    monkeypatch.setattr(_encoders.Source, "_compute", lambda self, store: computed.append(1) or compute(self, store))
    for head in ("linear", "boosting", GaussianNB()):
        model = trine.Transfer(str(artefact), head, random_state=0).fit(PICTURES[TRAIN], Y[TRAIN])
    assert len(computed) == 1
    assert np.array_equal(model.represent(PICTURES[TRAIN]), autoencoder.represent(PICTURES[TRAIN]))
    _encoders.forget()  # as in another process: read from disk
    again = source_of(str(artefact))
    again.represent(again.inputs(PICTURES[TRAIN]))
    assert len(computed) == 1
    again.represent(again.inputs(PICTURES[TEST]))
    assert len(computed) == 2


def test_z_of_one_network_is_not_served_for_another() -> None:
    """Equal weights are not an equal network: what lies between them, and after them, counts too."""
    data = torch.from_numpy((X[:40] / 16).astype(np.float32))
    net = nn.Sequential(nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 4), nn.Tanh())
    for module in (net[:2], nn.Sequential(net[0], nn.Tanh()), net, net[:-1]):
        model = trine.Transfer(module, random_state=0).fit(data, Y[:40])
        assert np.allclose(model.represent(data), module(data).detach().numpy(), atol=1e-6)
    net[1] = nn.Sigmoid()  # in the place of another activation, in the same object
    model = trine.Transfer(net, random_state=0).fit(data, Y[:40])
    assert np.allclose(model.represent(data), net(data).detach().numpy(), atol=1e-6)


def test_rows_of_a_table_are_fitted_on_the_encoder_that_is_asked_for() -> None:
    table = trine.data.read({**{f"x{i}": X[:40, 20 + i] / 16 for i in range(4)}, "y": Y[:40]})
    model = trine.Transfer(nn.Linear(4, 2), random_state=0, task="classification").fit_rows(table, "y")
    model.set_params(encoder=nn.Linear(4, 3)).fit_rows(table, "y")
    assert model.represent(table).shape == (40, 3)


def test_a_module_that_cannot_be_copied_is_told() -> None:
    network = nn.Linear(64, 2)
    network.scale = network.weight.sum()  # no leaf of a graph
    with pytest.raises(ChoiceError, match=r"encoder Linear cannot be copied \(RuntimeError.*copy\.deepcopy"):
        trine.Transfer(network).fit(X[:40], Y[:40])


class Shifted(nn.Module):
    """What moves z and is no weight: a number, a function, a buffer that no file keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.bend, self.shift = 1.0, torch.relu, torch.zeros(1)
        self.register_buffer("offset", torch.zeros(1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bend(x[:, :8] - 0.5) * self.scale + self.offset + self.shift


@pytest.mark.parametrize("moved", ["scale", "bend", "offset", "shift"])
def test_what_moves_z_and_is_no_weight_counts(moved: str) -> None:
    data = torch.from_numpy((X[:40] / 16).astype(np.float32))
    network = Shifted()
    first = trine.Transfer(network, random_state=0).fit(data, Y[:40])
    before = first.represent(data)
    setattr(network, moved, {"scale": 2.0, "bend": torch.tanh}.get(moved, torch.ones(1)))
    second = trine.Transfer(network, random_state=0).fit(data, Y[:40])
    assert np.allclose(second.represent(data), network(data).numpy(), atol=1e-6)
    assert np.array_equal(first.represent(data), before)


def test_z_of_a_module_is_computed_once_for_all_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    compute = _encoders.Source._compute
    monkeypatch.setattr(_encoders.Source, "_compute", lambda self, store: computed.append(1) or compute(self, store))
    network = trained()
    for head in ("linear", GaussianNB(), "linear"):
        trine.Transfer(network, head, random_state=0).fit(X[:60] / 16, Y[:60])
    assert len(computed) == 1


def test_a_frozen_transfer_answers_as_it_was_fitted_though_its_module_trains_on(tmp_path: Path) -> None:
    network = trained()
    model = trine.Transfer(network, random_state=0).fit(X[TRAIN] / 16, Y[TRAIN])
    known, new = model.predict_proba(X[:50] / 16), model.predict_proba(X[TEST] / 16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.data.neg_()
    assert np.array_equal(model.predict_proba(X[:50] / 16), known)
    assert np.array_equal(model.predict_proba(X[TEST] / 16), new)
    path = model.save(tmp_path / "model.trine")
    given = Network()
    found = trine.Transfer.load(path, encoder=given)
    assert np.array_equal(found.predict_proba(X[TEST] / 16), new)
    again = trine.Transfer(network, random_state=0).fit(X[TRAIN] / 16, Y[TRAIN])
    assert not np.allclose(again.represent(X[:50] / 16), model.represent(X[:50] / 16))


def test_a_transfer_answers_as_it_was_fitted_though_its_autoencoder_is_fitted_again() -> None:
    encoder = trine.Autoencoder(code=2, epochs=1, random_state=0, threads=1).fit(X[:60, 20:24])
    model = trine.Transfer(encoder, random_state=0).fit(X[:60, 20:24], Y[:60])
    known, new = (model.represent(rows) for rows in (X[:60, 20:24], X[60:90, 20:24]))
    encoder.fit(100 + 7 * X[:60, 30:34])
    _encoders.forget()
    assert np.array_equal(model.represent(X[:60, 20:24]), known)
    assert np.array_equal(model.represent(X[60:90, 20:24]), new)


@pytest.mark.parametrize(
    "head",
    ["linear", "mlp", "boosting", "logistic", "pipeline", "bayes"],
)
def test_a_saved_transfer_answers_as_before(head: str, artefact: Path, tmp_path: Path) -> None:
    given = {
        "logistic": LogisticRegression(max_iter=500),
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        "bayes": GaussianNB(),
    }.get(head, head)
    model = trine.Transfer(str(artefact), given, random_state=0).fit(PICTURES[TRAIN], Y[TRAIN])
    found = trine.load(model.save(tmp_path / "model.trine"))
    assert isinstance(found, trine.Transfer)
    assert np.array_equal(found.predict_proba(PICTURES[TEST]), model.predict_proba(PICTURES[TEST]))
    assert np.array_equal(found.predict(PICTURES[TEST]), model.predict(PICTURES[TEST]))
    assert str(found.derivation_).splitlines()[0] == "what you have"


@pytest.mark.parametrize(
    "choices",
    [
        {"sparsity": "topk(2)"},
        {"sparsity": "lifetime(0.2)"},
        {"shape": "kl", "prior": "categorical(2, 3)"},
        {"prior": "vq(4, 2)"},
        {"shape": "kl"},
    ],
    ids=lambda choices: str(list(choices.values())[-1]),
)
def test_z_is_what_the_autoencoder_says_that_it_is(choices: dict[str, Any]) -> None:
    made = trine.Autoencoder(6, **choices, epochs=2, hidden=(8,), numbers="plain", random_state=0).fit(X[TRAIN, 20:40])
    model = trine.Transfer(made, "linear", random_state=0).fit(X[TRAIN, 20:40], Y[TRAIN])
    z = made.transform(X[TEST, 20:40])
    assert np.array_equal(model.represent(X[TEST, 20:40]), z)
    if "categorical" in choices.get("prior", ""):
        assert set(np.unique(z)) == {0.0, 1.0}
        assert (z.reshape(-1, 2, 3).sum(2) == 1).all()
    # Tuned, the encoder learns in training mode, and no row's z hangs on the rest of the batch.
    network: Any = model.source_.network
    batch = made.first(X[TEST, 20:40], 40)
    assert np.array_equal(network.train()(batch).detach().numpy(), z[:40])
    network(batch).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.latent.parameters() if p.dim() == 2)
    network.eval()


def test_a_tuned_transfer_is_kept(autoencoder: Any, tmp_path: Path) -> None:
    model = trine.Transfer(autoencoder, "mlp", "all", epochs=2, random_state=0).fit(PICTURES[TRAIN], Y[TRAIN])
    found = trine.load(model.save(tmp_path / "model.trine"))
    assert np.array_equal(found.predict_proba(PICTURES[TEST]), model.predict_proba(PICTURES[TEST]))
    assert not np.array_equal(found.represent(PICTURES[TEST]), autoencoder.represent(PICTURES[TEST]))
    again = trine.Transfer(found, "linear", random_state=0).fit(
        PICTURES[TRAIN], Y[TRAIN]
    )  # goes on from what was tuned
    assert np.allclose(again.represent(PICTURES[TEST]), found.represent(PICTURES[TEST]), atol=1e-6)
    kept = trine.load(again.save(tmp_path / "again.trine"))
    assert np.array_equal(kept.predict(PICTURES[TEST]), again.predict(PICTURES[TEST]))


def test_a_head_that_needs_pickle_is_refused_when_it_is_to_be_kept(autoencoder: Any, tmp_path: Path) -> None:
    model = trine.Transfer(autoencoder, RandomForestClassifier(5), random_state=0).fit(PICTURES[TRAIN], Y[TRAIN])
    with pytest.raises(ArtefactError, match=r"RandomForestClassifier cannot be kept without pickle.*'boosting'"):
        model.save(tmp_path / "model.trine")
    assert not (tmp_path / "model.trine").exists()


def test_a_module_is_given_back_its_weights(tmp_path: Path) -> None:
    model = trine.Transfer(Network(), random_state=0).fit(X[TRAIN] / 16, Y[TRAIN])
    path = model.save(tmp_path / "model.trine")
    with pytest.raises(ArtefactError, match=r"torch module 'Network'.*encoder=module"):
        trine.load(path)
    found = trine.Transfer.load(path, encoder=Network())
    assert np.array_equal(found.predict(X[TEST] / 16), model.predict(X[TEST] / 16))
    with pytest.raises(ArtefactError, match="not the encoder"):
        trine.Transfer.load(path, encoder=nn.Linear(64, 8))


def test_numbers_are_predicted_with_their_spread(tmp_path: Path) -> None:
    data, y = load_diabetes(return_X_y=True)
    encoder = nn.Sequential(nn.Linear(10, 32), nn.Tanh())
    for head in ("linear", "mlp", "boosting", Ridge(1.0)):
        model = trine.Transfer(encoder, head, random_state=0).fit(data[:300] * 20, y[:300])
        assert model.score(data[300:] * 20, y[300:]) > 0.25
        evaluation = model.evaluate(data[300:] * 20, y[300:])
        assert 0.75 < evaluation.metrics["coverage_90"].value <= 1.0
        found = trine.Transfer.load(model.save(tmp_path / "model.trine"), encoder=encoder)
        assert np.array_equal(found.predict(data[300:] * 20), model.predict(data[300:] * 20))


def test_it_is_an_estimator_of_scikit_learn(autoencoder: Any) -> None:
    model = trine.Transfer(autoencoder, "linear", random_state=0, task="classification")
    copy = clone(model)
    assert copy.encoder is autoencoder
    assert cross_val_score(model, PICTURES[:400], Y[:400], cv=3).mean() > 0.6
    fitted = copy.fit(PICTURES[TRAIN], Y[TRAIN].astype(str))
    assert list(fitted.classes_) == [str(digit) for digit in range(10)]
    assert np.allclose(fitted.predict_proba(PICTURES[TEST]).sum(1), 1)
    assert fitted.evaluate(PICTURES[TEST], Y[TEST].astype(str)).metrics["accuracy"].value > 0.6


def test_a_table_with_a_column_for_y(tmp_path: Path) -> None:
    iris = load_iris(as_frame=True)
    frame = iris.frame.rename(columns={"target": "kind"})
    encoder = trine.fit(frame.drop(columns="kind"), method="autoencoder", code=3, epochs=5, valid=0.0)
    model = trine.Transfer(encoder, "linear", random_state=0).fit(frame, "kind")
    assert model.evaluate(frame).metrics["accuracy"].value > 0.8
    assert "kind" in model.predictions(frame)


# Pretrained networks ---------------------------------------------------------------------------------------------


class Picture(nn.Module):
    """What timm would make: pictures of 16 × 16 in, features out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.pretrained_cfg = {"input_size": (3, 16, 16), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (3, 16, 16)
        return torch.relu(self.stem(x))


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("timm")

    def create_model(name: str, pretrained: bool, num_classes: int) -> nn.Module:
        assert not pretrained
        if name != "small":
            raise RuntimeError(f"Unknown model ({name})")
        return Picture()

    fake.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", fake)


@pytest.mark.usefixtures("timm")
def test_a_network_by_name_through_timm_with_local_weights(tmp_path: Path) -> None:
    weights = Picture().state_dict()
    save_file(weights, tmp_path / "small.safetensors")
    reference = f"timm:small@{tmp_path / 'small.safetensors'}"
    source = source_of(reference)
    batch = source.inputs(PICTURES[:3]).store().batch(torch.arange(3))
    assert batch[INPUT].shape == (3, 3, 16, 16)
    state = source.network.network.state_dict()
    assert all(torch.equal(state[name], weights[name]) for name in weights)
    model = trine.Transfer(reference, "linear", random_state=0).fit(PICTURES[TRAIN], Y[TRAIN])
    assert model.score(PICTURES[TEST], Y[TEST]) > 0.25
    tuned = trine.Transfer(reference, "linear", "all", epochs=2, random_state=0).fit(PICTURES[TRAIN], Y[TRAIN])
    found = trine.load(tuned.save(tmp_path / "model.trine"))
    assert np.array_equal(found.predict_proba(PICTURES[TEST]), tuned.predict_proba(PICTURES[TEST]))
    with pytest.raises(ChoiceError, match=r"no network 'smal'.*Unknown model"):
        source_of(f"timm:smal@{tmp_path / 'small.safetensors'}")
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ArtefactError, match="weights of another network"):
        source_of(f"timm:small@{tmp_path / 'other.safetensors'}")


@pytest.mark.usefixtures("timm")
def test_the_range_of_pixels_is_part_of_what_z_is_kept_under(tmp_path: Path) -> None:
    """The same rows after darker ones are other inputs: black and white are those of the first pictures seen."""
    save_file(Picture().state_dict(), tmp_path / "small.safetensors")
    reference = f"timm:small@{tmp_path / 'small.safetensors'}"
    bright, dark = PICTURES[:20] / 255.0 * 1000.0, PICTURES[20:40] / 255.0 * 100.0
    first = source_of(reference)
    kept = first.represent(first.inputs(bright))
    other = source_of(reference)
    other.represent(other.inputs(dark))
    found = other.represent(other.inputs(bright))
    assert np.array_equal(found, other.features(other.inputs(bright)))
    assert not np.allclose(found, kept)
    again = source_of(reference)  # a new process, which reads what the first one kept
    _encoders.forget()
    assert np.array_equal(again.represent(again.inputs(bright)), kept)


def test_a_library_that_is_absent_or_broken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    save_file({"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ChoiceError, match=r"timm, which cannot be imported.*trine\[pretrained\]"):
        source_of(f"timm:small@{tmp_path / 'w.safetensors'}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ChoiceError, match=r"transformers, which cannot be imported"):
        source_of(f"transformers:{tmp_path}")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ChoiceError, match=r"trine\[boost\]"):
        trine.Transfer(Network(), "boosting").fit(X[TRAIN], Y[TRAIN])


@pytest.mark.parametrize(
    ("reference", "kind", "says"),
    [
        ("timm:small", ChoiceError, "downloads no weights"),
        ("timm:small@/nowhere/w.bin", ArtefactError, r"no \.safetensors file"),
        ("timm:small@/nowhere/w.safetensors", ArtefactError, "cannot be read"),
        ("transformers:/nowhere", ArtefactError, r"no config\.json"),
        ("/nowhere/encoder.trine", ArtefactError, "no encoder at"),
        (3, ChoiceError, "The encoder is 3"),
    ],
)
def test_an_encoder_that_is_none_is_refused(reference: Any, kind: type[TrineError], says: str) -> None:
    with pytest.raises(kind, match=says):
        trine.Transfer(reference).fit(X[TRAIN], Y[TRAIN])


def transformers_() -> Any:
    """The library, whose models are imported when they are asked for; skips where they cannot be."""
    found = pytest.importorskip("transformers")
    try:
        found.BertModel, found.ViTModel  # noqa: B018
    except ImportError as error:
        pytest.skip(str(error).splitlines()[0])
    return found


def test_a_model_of_transformers_with_its_tokenizer(tmp_path: Path) -> None:
    transformers = transformers_()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "very", "not", "a"]
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_max_length=12
    )
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    texts = ["a good film", "very good", "not bad film", "a bad film", "bad", "very bad film"] * 10
    y = np.array((["good"] * 3 + ["bad"] * 3) * 10)
    reference = f"transformers:{tmp_path / 'bert'}"
    model = trine.Transfer(reference, "linear", random_state=0).fit(np.array(texts, dtype=object), y)
    assert model.score(np.array(texts, dtype=object), y) > 0.9
    # Padding is left out of the mean: a text has the same z beside a longer one.
    alone, beside = (model.represent(np.array(rows, dtype=object))[0] for rows in (["bad"], ["bad", "a very bad film"]))
    assert np.allclose(alone, beside, atol=1e-5)
    found = trine.load(model.save(tmp_path / "model.trine"))
    assert np.array_equal(found.predict(np.array(texts, dtype=object)), model.predict(np.array(texts, dtype=object)))


def test_a_model_of_pictures_of_transformers(tmp_path: Path) -> None:
    transformers = transformers_()
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=4,
        num_channels=1,
    )  # fmt: skip
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_text('{"image_mean": [0.5], "image_std": [0.5]}')
    reference = f"transformers:{tmp_path / 'vit'}"
    model = trine.Transfer(reference, "linear", "all", epochs=2, random_state=0).fit(PICTURES[TRAIN], Y[TRAIN])
    found = trine.load(model.save(tmp_path / "model.trine"))
    assert np.array_equal(found.predict_proba(PICTURES[TEST]), model.predict_proba(PICTURES[TEST]))
    assert model.score(PICTURES[TEST], Y[TEST]) > 0.2


# Mistakes --------------------------------------------------------------------------------------------------------


def test_mistakes_are_told_in_words(autoencoder: Any, artefact: Path) -> None:
    with pytest.raises(DataError, match=r"10 × 8 pixels and the encoder was trained on 8 × 8"):
        trine.Transfer(autoencoder).fit(np.zeros((20, 10, 8), dtype=np.uint8), Y[:20])
    with pytest.raises(DataError, match=r"lack the column 'image'.*It reads: image"):
        trine.Transfer(autoencoder).fit({"a": np.arange(20.0), "b": np.arange(20.0) ** 2, "y": Y[:20]}, "y")
    with pytest.raises(DataError, match="1 class"):
        trine.Transfer(autoencoder).fit(PICTURES[:20], np.zeros(20, dtype=int))
    with pytest.raises(DataError, match="give one target for each row"):
        trine.Transfer(autoencoder).fit(PICTURES[:20], Y[:19])
    model = trine.Transfer(autoencoder).fit(PICTURES[TRAIN], Y[TRAIN])
    for wrong in (Y[:19], Y[0], np.stack([Y[:20], Y[:20]], 1)):
        with pytest.raises(DataError, match=r"X has 20 rows and y has the shape .* one target for each row"):
            model.evaluate(PICTURES[:20], wrong)
    with pytest.raises(ChoiceError, match=r"tune is 'frosen'\. Did you mean 'frozen'"):
        trine.Transfer(autoencoder, tune="frosen").fit(PICTURES[TRAIN], Y[TRAIN])
    with pytest.raises(ChoiceError, match="needs a head with a gradient"):
        trine.Transfer(autoencoder, "boosting", "all").fit(PICTURES[TRAIN], Y[TRAIN])
    with pytest.raises(ChoiceError, match=r"no head called 'linera'.*'linear'"):
        trine.Transfer(autoencoder, "linera").fit(PICTURES[TRAIN], Y[TRAIN])
    with pytest.raises(ChoiceError, match="an instance, not its class"):
        trine.Transfer(autoencoder, LogisticRegression).fit(PICTURES[TRAIN], Y[TRAIN])
    with pytest.raises(SchemaError, match="only categories have probabilities"):
        trine.Transfer(autoencoder, task="regression").fit(PICTURES[TRAIN], Y[TRAIN]).predict_proba(PICTURES[:3])
    with pytest.raises(DataError, match=r"cannot read inputs of the shape \(rows, 63\)"):
        trine.Transfer(Network()).fit(X[:50, :63], Y[:50])
    with pytest.raises(DataError, match="missing or not finite"):
        trine.Transfer(Network()).fit(np.full((50, 64), np.nan), Y[:50])
    with pytest.raises(ChoiceError, match="method=transfer needs an encoder"):
        trine.fit((X[:50], Y[:50]), method="transfer")
