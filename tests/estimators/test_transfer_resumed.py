"""A transfer that is stopped goes on: by the run's directory, to the bits of one that was never stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from tests.stopping import stopped_and_resumed
from torch import nn

import trine
from trine.errors import ArtefactError, ChoiceError, RunError, TrineError
from trine.estimators import _encoders
from trine.estimators._transferred.runs import transfer

X, Y = load_digits(return_X_y=True)
ROWS = 200


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRINE_CACHE", str(tmp_path / "cache"))
    _encoders.forget()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled file and an encoder of its numbers."""
    folder = tmp_path_factory.mktemp("transfer")
    columns = {f"p{i}": X[:600, i] for i in range(18, 30)}
    trine.fit(columns, method="autoencoder", code=4, epochs=2, valid=0.0, out=folder / "encoder", threads=1)
    table = {name: values[:ROWS] for name, values in columns.items()}
    rows = zip(*table.values(), Y[:ROWS], strict=True)
    text = "\n".join([",".join([*table, "digit"]), *(",".join(map(str, row)) for row in rows)])
    (folder / "digits.csv").write_text(text + "\n")
    return folder


def begun(work: Path, out: Path, **told: Any) -> Any:
    given = {"epochs": 3} if told.get("tune", "frozen") != "frozen" else {}
    encoder, data = str(work / "encoder"), str(work / "digits.csv")
    return transfer(encoder, data, "digit", task="classification", out=out, threads=1, **given, **told)


def kept(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.trine")


def same(one: Path, other: Path) -> bool:
    first, second = kept(one), kept(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("head", "tune"), [("linear", "all"), ("mlp", "all"), ("linear", "gradual"), ("linear", "last"), ("mlp", "frozen")]
)
def test_a_transfer_that_is_killed_goes_on_to_the_same_bits(head: str, tune: str, work: Path, tmp_path: Path) -> None:
    whole = begun(work, tmp_path / "whole", head=head, tune=tune)
    resumed = stopped_and_resumed(
        lambda: begun(work, tmp_path / "stopped", head=head, tune=tune),
        lambda: trine.resume(tmp_path / "stopped"),
        at=7,
    )
    assert same(tmp_path / "whole", tmp_path / "stopped")
    assert resumed.metrics_ == whole.metrics_
    assert resumed.history_ == whole.history_
    assert (resumed.source_.name, resumed.tune, resumed.head) == (whole.source_.name, tune, head)
    told = json.loads((tmp_path / "stopped" / "run.json").read_text())
    assert told["status"] == "finished"


def test_a_run_on_disk_changes_no_number(work: Path, tmp_path: Path) -> None:
    with_run = begun(work, tmp_path / "run", tune="gradual")
    without = transfer(
        str(work / "encoder"),
        str(work / "digits.csv"),
        "digit",
        tune="gradual",
        task="classification",
        threads=1,
        epochs=3,
    )
    found, expected = without.model_.state_dict(), with_run.model_.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


class Network(nn.Module):
    """Running statistics, dropout and a buffer that counts: what a checkpoint must not lose."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
        self.second = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.passes += 1
        return self.second(self.first(x))


@pytest.mark.parametrize("tune", ["all", "gradual"])
def test_an_encoder_in_memory_is_given_again(tune: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network()
    data = {**{f"p{i}": X[:ROWS, i] / 16 for i in range(64)}, "y": Y[:ROWS].astype(str)}
    table = trine.data.read(data)

    def fit(out: str) -> Any:
        return transfer(network, table, "y", tune=tune, epochs=3, threads=1, out=tmp_path / out)

    fit("whole")

    def resume() -> Any:
        with pytest.raises(RunError, match=r"with an encoder in memory; give it again: trine\.resume\(.*, encoder="):
            trine.resume(tmp_path / "stopped", data=table)
        with pytest.raises(RunError, match=r"started from data in memory"):
            trine.resume(tmp_path / "stopped", encoder=network)
        with pytest.raises(RunError, match="The encoder Network is not the one that the run"):
            trine.resume(tmp_path / "stopped", data=table, encoder=Network())
        return trine.resume(tmp_path / "stopped", data=table, encoder=network)

    stopped_and_resumed(lambda: fit("stopped"), resume, at=8)
    assert same(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize(("head", "tune"), [("linear", "gradual"), ("mlp", "frozen")])
def test_the_same_call_of_fit_goes_on(head: str, tune: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, out = Network(), tmp_path / "run"

    def fit(out: Path | None = None, X: Any = X[:ROWS] / 16, **other: Any) -> Any:
        given = {"tune": tune, "epochs": 2, "random_state": 0, **other}
        return trine.Transfer(network, head, threads=1, **given).fit(X, Y[:ROWS], out=out)

    def again() -> Any:
        with pytest.raises(RunError, match=r"the run of another call, which differs in: random_state\. Make the call"):
            fit(out=out, random_state=1)
        with pytest.raises(RunError, match=r"which differs in: data\."):
            fit(out=out, X=X[:ROWS] / 8)
        with pytest.raises(RunError, match=r"which differs in: tune, epochs\."):
            fit(out=out, tune="all", epochs=9)
        with pytest.raises(RunError, match="the same call, made again, goes on with it"):
            trine.resume(out)
        return fit(out=out)

    whole = fit()
    resumed = stopped_and_resumed(lambda: fit(out=out), again, at=6)
    expected, found = whole.tensors(), resumed.tensors()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    loaded = trine.Transfer.load(out, encoder=Network())
    assert (loaded.predict_proba(X[:20] / 16) == whole.predict_proba(X[:20] / 16)).all()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(RunError, match="exists and is no run"):
        fit(out=tmp_path / "other")


def test_a_head_that_is_fitted_at_once_is_kept_by_fit_as_well(tmp_path: Path) -> None:
    network, out = Network(), tmp_path / "run"
    first, second = (trine.Transfer(network, random_state=0).fit(X[:ROWS] / 16, Y[:ROWS], out=out) for _ in range(2))
    assert (first.predict(X[:50] / 16) == second.predict(X[:50] / 16)).all()
    assert json.loads((out / "run.json").read_text())["status"] == "finished"
    with pytest.raises(ArtefactError, match="cannot be kept without pickle"):
        trine.Transfer(network, RandomForestClassifier(3)).fit(X[:ROWS] / 16, Y[:ROWS], out=tmp_path / "forest")
    assert not (tmp_path / "forest").exists()


def test_an_encoder_that_moved_is_found_where_it_is_said_to_be(work: Path, tmp_path: Path) -> None:
    begun(work, tmp_path / "whole", tune="all")
    moved = tmp_path / "moved"

    def resume() -> Any:
        run = tmp_path / "stopped"
        (work / "encoder").rename(moved)
        try:
            with pytest.raises(RunError, match=r"cannot open its encoder: There is no encoder at .* --encoder ENCODER"):
                trine.resume(run)
            with pytest.raises(ChoiceError, match="which one process trains"):
                trine.resume(run, encoder=moved, device="cuda")
            return trine.resume(run, encoder=moved)
        finally:
            moved.rename(work / "encoder")

    stopped_and_resumed(lambda: begun(work, tmp_path / "stopped", tune="all"), resume, at=5)
    assert same(tmp_path / "whole", tmp_path / "stopped")


def test_other_data_are_refused(work: Path, tmp_path: Path) -> None:
    begun(work, tmp_path / "run", tune="all")
    (tmp_path / "other.csv").write_text((work / "digits.csv").read_text().replace("0.0", "1.0", 1))
    with pytest.raises(RunError, match="are not those that the run"):
        trine.resume(tmp_path / "run", data=str(tmp_path / "other.csv"))


def test_a_finished_transfer_that_is_resumed_stays_as_it_is(work: Path, tmp_path: Path) -> None:
    model = begun(work, tmp_path / "run", head="mlp")
    assert len(model.history_) == model.provenance_["epochs"] > 0
    before = kept(tmp_path / "run")
    trine.resume(tmp_path / "run")
    after = kept(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_head_that_is_fitted_at_once_has_nothing_to_go_on_with(work: Path, tmp_path: Path) -> None:
    begun(work, tmp_path / "run")
    with pytest.raises(
        RunError, match=r"fitted at once.*to fit it anew: trine transfer ENCODER DATA --y COL --out NEW"
    ):
        trine.resume(tmp_path / "run")


def test_only_a_transfer_has_an_encoder_to_go_on_with(work: Path) -> None:
    with pytest.raises(ChoiceError, match="is no transfer and has no encoder; leave encoder out"):
        trine.resume(work / "encoder", encoder="elsewhere")


def test_a_mistake_leaves_no_run(work: Path, tmp_path: Path) -> None:
    lines = (work / "digits.csv").read_text().splitlines()
    same = [lines[0], *(line.rpartition(",")[0] + ",one" for line in lines[1:])]
    (tmp_path / "same.csv").write_text("\n".join(same))
    with pytest.raises(TrineError, match="1 class"):
        transfer(str(work / "encoder"), str(tmp_path / "same.csv"), "digit", head="mlp", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
