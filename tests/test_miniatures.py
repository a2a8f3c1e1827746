"""Two methods that trine does not have yet, trained, killed and resumed by the loop that it has."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.miniatures import METHODS, Autoencoder, Generator, all_weights, digits, fit, gan, in_a_process
from tests.together import PROCESSES
from trine.data import Batches
from trine.training import fingerprint, train


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
        calls += torch.is_grad_enabled()

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


HOW = {"epochs": 2, "batch_size": 128}


def _train(name: str, directory: Path, death: tuple[str, int] | None = None, after: float | None = None) -> str | None:
    """Train in a process; its fingerprint, or None when it was killed: by itself, or from here after some seconds."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=in_a_process, args=(name, str(directory), HOW, death, theirs))
    process.start()
    theirs.close()
    if after is not None:
        while not (directory / "checkpoint.safetensors").exists() and process.is_alive():
            time.sleep(0.002)
        time.sleep(after)
        process.kill()
    try:
        answer: str | None = ours.recv()
    except EOFError:
        answer = None
    process.join(60)
    assert process.exitcode == (0 if answer else -signal.SIGKILL)
    return answer


@pytest.mark.parametrize("name", list(METHODS))
def test_killed_at_any_moment_a_run_ends_in_the_bits_of_one_that_was_not(name: str, tmp_path: Path) -> None:
    """SIGKILL within a step, before a checkpoint is durable, between its two renamings, before the log is cut, and anywhere."""
    model, (criterion, _) = fit(name, **HOW)
    whole = fingerprint(all_weights(model, criterion))

    draw = random.Random(name)
    deaths = [
        ("os.fsync", 1),  # before there is any record of the run
        ("AdamW.advance", draw.randint(2, 12)),
        ("os.fsync", draw.randint(8, 20)),
        *(("os.replace", draw.randint(3, 5) + place) for place in range(3)),
        ("Descent.solution", 1),
    ]
    for death in deaths[1:] if name != "classifier" else deaths:
        directory = tmp_path / ("unborn" if death == deaths[0] else "killed")
        assert _train(name, directory, death) is None
    _train(name, tmp_path / "killed", after=draw.uniform(0.0, 0.1))
    assert _train(name, tmp_path / "killed") == whole
    # Done already: asked again, it gives the same.
    assert _train(name, tmp_path / "killed") == whole


def test_the_miniatures_are_small() -> None:
    """About thirty lines each: the point of the contracts."""
    import inspect

    assert len(inspect.getsource(Autoencoder).splitlines()) < 30
    assert len(inspect.getsource(Generator).splitlines()) < 30
