"""train: the same numbers whatever watches; stopping, budgets, interruptions, and what is kept when it breaks."""

from __future__ import annotations

import errno
import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.miniatures import METHODS, all_weights, digits, fit
from torch import Tensor, nn

from trine.criterion import Criterion, Term, WarmedTerm
from trine.data import Batch, Batches, LabelledBatches, Store
from trine.data._two_piles import PiledBatches, Piles
from trine.divergences import KL, Divergence
from trine.errors import ChoiceError, RunError, TrainingError
from trine.procedures import Descent
from trine.training import Run, Score, fingerprint, steps, train
from trine.training.budget import MEASURED_STEPS, PLANNED_SHARE, WARM_STEPS, Budget


def weights(name: str = "classifier", **how: Any) -> str:
    model, (criterion, _) = fit(name, **{"epochs": 2, "batch_size": 256, **how})
    return fingerprint(all_weights(model, criterion))


def rerun(directory: Path) -> Run:
    return Run.open(directory) if directory.exists() else Run.create(directory, {})


# The same numbers, whoever watches -------------------------------------------------------------------------------


def test_the_loop_is_procedure_step_over_batches() -> None:
    torch.manual_seed(0)
    model, criterion, procedure = METHODS["vae"]()
    state = procedure.init(model, criterion)
    taken = list(steps(procedure, state, model, criterion, Batches(digits(), batch_size=600).epoch(0)))
    assert len(taken) == state.t == 3


@pytest.mark.parametrize("name", list(METHODS))
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    assert weights(name) == weights(name) != weights(name, seed=1)


def test_checkpoints_log_progress_scores_and_observations_change_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def noisy() -> float:
        """A score that draws from every generator."""
        return float(torch.rand(())) + random.random() + float(np.random.rand())  # noqa: NPY002

    plain = weights("vae", epochs=3)
    with Run.create(tmp_path / "run", {}) as run:
        watched = weights("vae", epochs=3, run=run, checkpoint_every=0.0, progress=True, observe=noisy)
    assert watched == plain
    falling = iter([3.0, 2.0, 1.0])
    assert weights("vae", epochs=3, evaluate=lambda: 0.0 * noisy() + next(falling)) == plain
    assert "epoch" in capsys.readouterr().err


def test_the_caller_s_generators_are_undisturbed() -> None:
    def draw() -> list[float]:
        return [float(torch.rand(())), random.random(), float(np.random.rand())]  # noqa: NPY002

    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = draw() + draw()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    first = draw()
    model, criterion, procedure = Line(), Criterion(Term(KL(), "y_hat", "y")), Descent()
    train(model, criterion, procedure, a_feed(), epochs=2, evaluate=lambda: float(torch.rand(())))
    assert first + draw() == expected


def test_all_generators_go_on_where_the_checkpoint_left_them(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        """Draws from each generator at every call."""

        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

        def forward(self, batch: Any) -> dict[str, Any]:
            noise = float(torch.randn(())) + random.gauss(0, 1) + float(np.random.normal())  # noqa: NPY002
            return {"y_hat": torch.distributions.Normal(self.w.expand(len(batch["y"])) + noise, 1.0)}

    def go(run: Run | None, procedure: Descent) -> float:
        model = Noisy()
        train(model, Criterion(Term(KL(), "y_hat", "y")), procedure, a_feed(), epochs=4, run=run)
        return model.w.item()

    whole = go(None, Descent(step_size=0.1))
    with Run.create(tmp_path / "run", {}) as run, pytest.raises(KeyboardInterrupt):
        go(run, Interrupted(8, signal.SIGINT, step_size=0.1))
    with Run.open(tmp_path / "run") as run:
        assert go(run, Descent(step_size=0.1)) == whole


# Stopping --------------------------------------------------------------------------------------------------------


class Line(nn.Module):
    """y = w·x + b with a normal around it."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))
        self.b = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Any) -> dict[str, Any]:
        return {"y_hat": torch.distributions.Normal(batch["x"] @ self.w + self.b, 1.0, validate_args=False)}


def a_feed(rows: int = 40, batch_size: int = 8) -> Batches:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=generator)
    return Batches(Store.of(x=x, y=x.sum(1)), batch_size=batch_size)


def test_patience_stops_and_the_best_weights_are_kept() -> None:
    model, seen = Line(), []
    scores = iter([5.0, 3.0, 1.0, 2.0, math.nan, 4.0, 0.0])

    def evaluate() -> float:
        assert not model.training
        seen.append(model.w.detach().clone())
        return next(scores)

    result = train(
        model, Criterion(Term(KL(), "y_hat", "y")), Descent(step_size=0.1, ema=0.5), a_feed(), epochs=10,
        evaluate=evaluate, patience=3,
    )  # fmt: skip
    assert (result.stopped, result.epochs, result.best_epoch, result.best_score) == ("patience", 6, 3, 1.0)
    assert torch.equal(model.w, seen[2])
    assert not torch.equal(seen[2], seen[5])
    assert [record["held_out"] for record in result.history[:3]] == [5.0, 3.0, 1.0]
    assert not model.training


@pytest.mark.parametrize(("patience", "expected"), [(4, ("patience", 5, 5, 4.1)), (5, ("epochs", 7, 7, 3.9))])
def test_within_its_noise_a_score_is_no_better(patience: int, expected: tuple[Any, ...]) -> None:
    """Running means of 0.7 old and 0.3 new: of the scores 5, 4.97, 4.919, 4.703, 4.522, 4.365 and of the squared errors 0.173 at
    the sixth, so that 5 − 4.365 is for the first time more than √(2 · 0.173) = 0.588. The best weights are kept all the same.
    """
    values, errors = [5.0, 4.9, 4.8, 4.2, 4.1, 4.0, 3.9], [0.3, 0.5, 0.3, 0.5, 0.3, 0.5, 0.3]
    given = iter([Score(value, error) for value, error in zip(values, errors, strict=True)])
    result = train(
        Line(), Criterion(Term(KL(), "y_hat", "y")), Descent(step_size=0.1), a_feed(), epochs=7,
        evaluate=lambda: next(given), patience=patience,
    )  # fmt: skip
    assert (result.stopped, result.epochs, result.best_epoch, result.best_score) == expected
    assert [record["held_out_error"] for record in result.history] == errors[: result.epochs]


def test_one_lucky_score_does_not_end_a_training_that_gets_better() -> None:
    values = [9.0, 8.0, 0.5, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    for error, stopped in ((0.1, "epochs"), (0.0, "patience")):
        given = iter([Score(value, error) for value in values])
        result = train(
            Line(), Criterion(Term(KL(), "y_hat", "y")), Descent(step_size=0.1), a_feed(), epochs=10,
            evaluate=lambda: next(given), patience=5,  # noqa: B023
        )  # fmt: skip
        assert (result.stopped, result.best_epoch) == (stopped, 3)


def test_noise_is_part_of_a_checkpoint(tmp_path: Path) -> None:
    """Killed in the third epoch and gone on with, a training ends where one without a break does."""
    scores = [Score(value, 0.2) for value in (5.0, 4.9, 4.95, 4.9, 4.92, 4.9, 4.9)]

    def ended(run: Run | None, stop: int | None) -> Any:
        def evaluate() -> Score:
            at = len(taken)
            taken.append(at)
            if at == stop:
                raise RuntimeError("killed")
            return scores[at]

        torch.manual_seed(0)
        return train(
            Line(), Criterion(Term(KL(), "y_hat", "y")), Descent(step_size=0.1), a_feed(), epochs=7,
            evaluate=evaluate, patience=3, run=run, checkpoint_every=0,
        )  # fmt: skip

    taken: list[int] = []
    whole = ended(None, None)
    taken = []
    with pytest.raises(RuntimeError, match="killed"):
        ended(rerun(tmp_path / "run"), 2)
    taken = [0, 1]
    again = ended(rerun(tmp_path / "run"), None)
    assert (whole.stopped, whole.epochs) == ("patience", 4)
    assert (again.stopped, again.epochs, again.best_score) == (whole.stopped, whole.epochs, whole.best_score)
    assert [line["held_out_error"] for line in again.history] == [line["held_out_error"] for line in whole.history]


def test_without_a_score_the_average_of_weights_is_what_stays() -> None:
    model = Line()
    train(model, Criterion(Term(KL(), "y_hat", "y")), Descent(step_size=0.1, ema=0.99), a_feed(), epochs=8)
    last = Line()
    train(last, Criterion(Term(KL(), "y_hat", "y")), Descent(step_size=0.1), a_feed(), epochs=8)
    assert not torch.equal(model.w, last.w)
    assert torch.allclose(model.w, last.w, atol=0.2)


def test_a_name_that_is_not_there_is_told_before_the_first_step() -> None:
    model = Line()
    with pytest.raises(ChoiceError, match=r"'y_hut'.*y_hat"):
        train(model, Criterion(Term(KL(), "y_hut", "y")), Descent(), a_feed(), epochs=1)
    assert model.w.abs().sum() == 0


# Budget ----------------------------------------------------------------------------------------------------------


def test_the_steps_that_fit_are_planned_once_from_the_time_of_the_first_after_warming_up() -> None:
    budget = Budget(1000.0)
    clock = 50.0  # the first steps are slow
    answers = []
    for t in range(1, 200):
        clock += 1.0
        answers.append(budget.total(t, clock))
    planned = [(t, total) for t, total in enumerate(answers, 1) if total is not None]
    measured = WARM_STEPS + MEASURED_STEPS
    assert planned == [(measured, measured + int(PLANNED_SHARE * 1000 - 50 - measured))]


def test_very_slow_steps_are_measured_by_fewer_and_the_time_is_kept_in_any_case() -> None:
    budget = Budget(60.0)
    assert [budget.total(t, 5.0 * t) for t in range(1, 5)] == [None, None, None, 4 + int((54 - 20) / 5)]
    assert budget.total(9, 59.9) is None
    assert budget.total(10, 60.0) == 10


def test_a_budget_holds_and_the_schedule_ends_with_it() -> None:
    class Slow(Line):
        def forward(self, batch: Any) -> dict[str, Any]:
            time.sleep(0.004)
            return super().forward(batch)

    sizes: list[float] = []

    class Noting(Descent):
        def step(self, *args: Any) -> Any:
            step = super().step(*args)
            sizes.append(step.step_size)
            return step

    started = time.perf_counter()
    procedure = Noting(step_size=0.1, schedule="cosine")
    result = train(Slow(), Criterion(Term(KL(), "y_hat", "y")), procedure, a_feed(), epochs=100_000, budget=1.0)
    assert time.perf_counter() - started < 1.5
    assert result.stopped == "budget"
    assert 30 < result.steps < 250
    assert sizes[-1] < 0.05 < max(sizes)


class Leaves20(Budget):
    """Finds after the fourth step that time is left for 20 in all."""

    def total(self, t: int, elapsed: float) -> int | None:
        found = 20 if t >= 4 and not self.fitted else None
        self.fitted = self.fitted or t >= 4
        return found


class One(Divergence):
    """1, whatever is predicted."""

    def forward(self, predicted: Any, target: Any, given: Any = None) -> Tensor:
        return torch.ones_like(target) + 0.0 * predicted.mean


def test_a_warm_up_is_over_in_time_where_a_budget_leaves_few_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trine.training.trainer.Budget", Leaves20)

    def go(run: Run | None, procedure: Descent) -> tuple[Line, list[float]]:
        losses, step, model = [], procedure.step, Line()

        def noting(*args: Any) -> Any:
            found = step(*args)
            losses.append(float(found.terms["warmed"]))
            return found

        monkeypatch.setattr(procedure, "step", noting)
        criterion = Criterion(
            Term(KL(), "y_hat", "y", name="fit"), WarmedTerm(One(), "y_hat", "y", name="warmed", share=0.5)
        )
        train(model, criterion, procedure, a_feed(), epochs=100, budget=1e9, run=run)
        return model, losses

    whole, grown = go(None, Descent(step_size=0.1))
    np.testing.assert_allclose(
        grown, [0, 1 / 250, 2 / 250, 3 / 250, *(min(t / 10, 1) for t in range(4, 20))], rtol=1e-6
    )
    with Run.create(tmp_path / "run", {}) as run, pytest.raises(KeyboardInterrupt):
        go(run, Interrupted(8, signal.SIGINT, step_size=0.1))
    with Run.open(tmp_path / "run") as run:
        resumed, rest = go(run, Descent(step_size=0.1))
    assert rest == grown[8:]
    assert torch.equal(resumed.w, whole.w)


# Interruptions ---------------------------------------------------------------------------------------------------


class Interrupted(Descent):
    """Sends its own process a signal within the n-th step."""

    def __init__(self, at: int, number: int, **choices: Any) -> None:
        super().__init__(**choices)
        self.at, self.number = at, number

    def step(self, state: Any, *rest: Any) -> Any:
        if state.t + 1 == self.at:
            os.kill(os.getpid(), self.number)
        return super().step(state, *rest)


def a_line(run: Run | None, procedure: Descent, **how: Any) -> tuple[Line, Any]:
    torch.manual_seed(3)
    model = Line()
    result = train(
        model, Criterion(Term(KL(), "y_hat", "y")), procedure, a_feed(), epochs=3, run=run,
        evaluate=lambda: float((model.w - 0.4).square().sum()), **how,
    )  # fmt: skip
    return model, result


CHOICES = {"step_size": 0.1, "schedule": "cosine", "ema": 0.5}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [1, 4, 5, 10, 14])
def test_ctrl_c_finishes_the_step_keeps_all_and_says_how_to_go_on(tmp_path: Path, at: int, number: int) -> None:
    """Within an epoch (of five steps), at its last step, and at the last but one of all."""
    whole, expected = a_line(None, Descent(**CHOICES))
    handler = signal.getsignal(number)
    with (
        pytest.raises(KeyboardInterrupt, match=f"at step {at} of 15.*trine resume {tmp_path / 'run'}"),
        Run.create(tmp_path / "run", {}) as run,
    ):
        a_line(run, Interrupted(at, number, **CHOICES))
    assert signal.getsignal(number) is handler
    assert Run.read(tmp_path / "run")["status"] == "stopped"
    with Run.open(tmp_path / "run") as run:
        model, result = a_line(run, Descent(**CHOICES))
    assert torch.equal(model.w, whole.w)
    assert (result.history, result.best_epoch) == (expected.history, expected.best_epoch)


def test_ctrl_c_in_the_last_step_comes_too_late(tmp_path: Path) -> None:
    whole, _ = a_line(None, Descent(**CHOICES))
    with Run.create(tmp_path / "run", {}) as run:
        model, result = a_line(run, Interrupted(15, signal.SIGINT, **CHOICES))
    assert torch.equal(model.w, whole.w)
    assert result.steps == 15


def test_ctrl_c_without_a_run_says_that_nothing_was_kept() -> None:
    with pytest.raises(KeyboardInterrupt, match="nothing was kept"):
        a_line(None, Interrupted(2, signal.SIGINT, **CHOICES))


def test_training_outside_the_main_thread_leaves_signals_alone() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        _, result = pool.submit(a_line, None, Descent(**CHOICES)).result()
    assert result.steps == 15


def test_the_log_of_a_resumed_run_is_that_of_one_that_was_not(tmp_path: Path) -> None:
    for name, procedures in (
        ("whole", [Descent(**CHOICES)]),
        ("parts", [Interrupted(7, signal.SIGINT, **CHOICES), Descent(**CHOICES)]),
    ):
        for procedure in procedures:
            try:
                with rerun(tmp_path / name) as run:
                    a_line(run, procedure)
            except KeyboardInterrupt:
                assert name == "parts"
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert logs[0].count('"held_out"') == 3


def test_observations_are_made_once_however_often_it_is_resumed(tmp_path: Path) -> None:
    for procedure in (Interrupted(7, signal.SIGINT, **CHOICES), Descent(**CHOICES), Descent(**CHOICES)):
        try:
            with rerun(tmp_path / "run") as run:
                _, result = a_line(run, procedure, observe=lambda: 1)
        except KeyboardInterrupt:
            pass
    assert [seen["step"] for seen in result.observations] == [0, 5, 15]


@pytest.mark.parametrize("at", [1, 7, 11])
def test_a_film_is_the_same_however_often_it_is_resumed_and_changes_nothing(
    tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trine.training.trainer.FRAMES", 5)
    models: list[Line] = []

    def filmed(run: Run, procedure: Descent) -> Any:
        torch.manual_seed(3)
        models.append(Line())
        return train(
            models[-1], Criterion(Term(KL(), "y_hat", "y")), procedure, a_feed(), epochs=3, run=run,
            evaluate=lambda: float((models[-1].w - 0.4).square().sum()),
            film=lambda: torch.cat([models[-1].w.detach().clone(), torch.rand(1)]),
        )  # fmt: skip

    with Run.create(tmp_path / "whole", {}) as run:
        expected = filmed(run, Descent(**CHOICES))
    assert [frame["step"] for frame in expected.frames] == [0, 4, 8, 12]
    assert [frame["epoch"] for frame in expected.frames] == pytest.approx([0, 0.8, 1.6, 2.4])
    for procedure in (Interrupted(at, signal.SIGINT, **CHOICES), Descent(**CHOICES)):
        try:
            with rerun(tmp_path / "run") as run:
                found = filmed(run, procedure)
        except KeyboardInterrupt:
            pass
    assert [frame["step"] for frame in found.frames] == [0, 4, 8, 12]
    for one, other in zip(found.frames, expected.frames, strict=True):
        assert torch.equal(one["value"][:-1], other["value"][:-1])
    assert not torch.equal(found.frames[0]["value"][:-1], found.frames[1]["value"][:-1])
    plain, _ = a_line(None, Descent(**CHOICES))
    assert torch.equal(plain.w, models[0].w)
    assert torch.equal(plain.w, models[-1].w)


# When it breaks --------------------------------------------------------------------------------------------------


class Breaking(Batches):
    """From batch ``bad`` on, targets are infinite."""

    bad = 7

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for index, batch in enumerate(super().epoch(epoch, start), start=start):
            broken = epoch * self.steps_per_epoch + index >= self.bad
            yield Batch({**batch.tensors, "y": batch["y"] * (math.inf if broken else 1.0)}, batch.views)


def test_a_loss_that_is_not_finite_stops_with_the_rows_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    feed = a_feed()
    breaking = Breaking(feed.store, batch_size=8)
    rows = feed.order(1)[16:24] + 1
    with (
        pytest.raises(
            TrainingError, match=rf"at step 8: term 'y_hat'.*rows {', '.join(str(int(r)) for r in rows)}\..*kept in"
        ),
        Run.create(tmp_path / "run", {}) as run,
    ):
        train(Line(), Criterion(Term(KL(), "y_hat", "y")), Descent(), breaking, epochs=3, run=run, checkpoint_every=0.0)
    assert Run.read(tmp_path / "run")["status"] == "failed"
    kept = Run.open(tmp_path / "run").restore()
    assert kept["procedure"]["t"] == 7
    assert all(bool(value.isfinite().all()) for value in kept["model"].values())


class Labelled(Breaking, LabelledBatches):
    """Rows with a label beside others."""


class Piled(Breaking, PiledBatches):
    """Rows of two piles."""


def test_the_rows_named_are_those_of_the_batch_however_batches_are_put_together() -> None:
    store = a_feed().store
    few = Labelled(store, torch.arange(5), torch.arange(5, store.rows), 2, 8)
    several = Piled(Piles(store, Store.of(z=torch.zeros(9, 1))), batch_size=4)
    for feed in (few, several):
        rows = list(feed.index(feed.bad // feed.steps_per_epoch))[feed.bad % feed.steps_per_epoch] + 1
        sides = [", ".join(str(int(row)) for row in side) for side in (rows[:, None] if rows.dim() == 1 else rows).T]
        said = f"The batch has rows {' of A and '.join(sides)}{' of B' * (len(sides) - 1)}."
        with pytest.raises(TrainingError) as raised:
            train(Line(), Criterion(Term(KL(), "y_hat", "y")), Descent(), feed, epochs=3)
        assert said in str(raised.value)


def test_broken_weights_are_never_kept_even_where_no_loss_has_shown_it(tmp_path: Path) -> None:
    class Poisoning(Descent):
        def step(self, state: Any, model: Any, *rest: Any) -> Any:
            step = super().step(state, model, *rest)
            if state.t == 4:
                with torch.no_grad():
                    model.b.fill_(math.nan)
            return step

    with (
        pytest.raises(TrainingError, match=r"not finite after step 4, first 'b'.*kept"),
        Run.create(tmp_path / "run", {}) as run,
    ):
        train(
            Line(), Criterion(Term(KL(), "y_hat", "y")), Poisoning(), a_feed(), epochs=3, run=run, checkpoint_every=0.0
        )
    assert Run.open(tmp_path / "run").restore()["procedure"]["t"] == 3


def test_a_disk_that_fills_up_stops_in_one_sentence_and_the_run_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = a_line(None, Descent(**CHOICES))
    real: Callable[[int], None] = os.fsync
    left = iter(range(20))

    def filling(handle: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", filling)
    with pytest.raises(RunError, match=r"the disk is full.*trine resume"), Run.create(tmp_path / "run", {}) as run:
        a_line(run, Descent(**CHOICES), checkpoint_every=0.0)
    monkeypatch.undo()
    with Run.open(tmp_path / "run") as run:
        assert run.restore()["procedure"]["t"] > 0
        model, _ = a_line(run, Descent(**CHOICES))
    assert torch.equal(model.w, whole.w)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        a_line(run, Descent(**CHOICES))

    class Wider(Line):
        def __init__(self) -> None:
            super().__init__()
            self.extra = nn.Parameter(torch.zeros(2))

        def forward(self, batch: Any) -> dict[str, Tensor]:
            return super().forward(batch)

    with Run.open(tmp_path / "run") as run, pytest.raises(RunError, match="does not fit the model"):
        train(Wider(), Criterion(Term(KL(), "y_hat", "y")), Descent(), a_feed(), epochs=3, run=run)
