"""Two methods that trine does not have yet, trained, killed and resumed by the loop that it has."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.miniatures import METHODS, Autoencoder, Generator, digits, fit, gan
from trine.data import Batches
from trine.training import train


def test_the_vae_learns_to_reconstruct_and_its_codes_follow_the_prior() -> None:
    model, (_, result) = fit("vae", epochs=25)
    first, last = result.history[0]["train"], result.history[-1]["train"]
    assert last["loss"] < 0.8 * first["loss"]
    x = digits().batch(torch.arange(500))
    outputs = model(x)
    error = (outputs["x_hat"].mean - x["x"]).square().mean()
    assert error < 0.6 * (x["x"] - x["x"].mean(0)).square().mean()
    spread = outputs["code"].base_dist.loc.var(0) + outputs["code"].base_dist.scale.square().mean(0)
    assert spread.mean().item() == pytest.approx(1.0, abs=0.35)


def test_the_gan_s_samples_approach_the_data() -> None:
    x = digits().batch(torch.arange(1797))["x"]

    def separability(model: Generator) -> float:
        """Accuracy with which a linear classifier tells samples from data; 0.5 where it cannot."""
        with torch.no_grad():
            fake = model({"x": x})["fake"]
        both, truth = torch.cat([x, fake]).numpy(), [0] * len(x) + [1] * len(x)
        return float(LogisticRegression(max_iter=200).fit(both[::2], truth[::2]).score(both[1::2], truth[1::2]))

    torch.manual_seed(0)
    untrained = separability(gan()[0])  # type: ignore[arg-type]
    trained, _ = fit("gan", epochs=40)
    assert untrained > 0.99
    assert separability(trained) < 0.9  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(METHODS))
def test_the_outputs_are_computed_once_a_step(name: str) -> None:
    torch.manual_seed(0)
    model, criterion, procedure = METHODS[name]()
    batches = Batches(digits(), batch_size=64)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += model.training

    model.register_forward_hook(count)
    train(model, criterion, procedure, batches, epochs=1)
    assert calls == batches.steps_per_epoch


def test_a_step_moves_the_critic_by_its_bound_alone_and_the_model_by_its_term_alone() -> None:
    torch.manual_seed(0)
    model, criterion, procedure = gan()
    state = procedure.init(model, criterion)
    state.total = 10
    batch = digits().batch(torch.arange(64))
    torch.manual_seed(1)
    procedure.step(state, model, criterion, batch)
    after = {k: v.clone() for k, v in criterion.state_dict().items()}

    # The same by hand: the critic first, on the outputs as they were, then the model against the moved critic.
    torch.manual_seed(0)
    model2, criterion2, _ = gan()
    critic = torch.optim.AdamW(criterion2.parameters(), lr=1e-3, betas=(0.0, 0.99), weight_decay=0.0)
    generator = torch.optim.AdamW(model2.parameters(), lr=1e-3, betas=(0.0, 0.99), weight_decay=0.0)
    torch.manual_seed(1)
    outputs = model2(batch)
    criterion2.tighten({"fake": outputs["fake"].detach()}, batch).total.backward()
    critic.step()
    critic.zero_grad()
    criterion2(outputs, batch).total.backward()
    generator.step()
    for name, value in criterion2.state_dict().items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(model.parameters(), model2.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def _run(name: str, directory: Path, kill_after: float | None = None) -> str | None:
    """The program of the miniatures in a process; killed after a time, or its fingerprint."""
    command = [sys.executable, "-m", "tests.miniatures", name, str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if kill_after is not None:
        record = directory / "checkpoint.safetensors"
        while not record.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return None
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out.strip()


@pytest.mark.parametrize("name", list(METHODS))
def test_a_killed_run_resumes_to_the_bits_of_one_that_was_not(name: str, tmp_path: Path) -> None:
    whole = _run(name, tmp_path / "whole")
    # At moments drawn at random, so within steps, within checkpoints and between them.
    moments = random.Random(name)
    for _ in range(3):
        _run(name, tmp_path / "killed", kill_after=moments.uniform(0.0, 0.25))
    assert _run(name, tmp_path / "killed") == whole


def test_the_miniatures_are_small() -> None:
    """About thirty lines each: the point of the contracts."""
    import inspect

    assert len(inspect.getsource(Autoencoder).splitlines()) < 30
    assert len(inspect.getsource(Generator).splitlines()) < 30
