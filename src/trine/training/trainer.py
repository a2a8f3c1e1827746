"""Training: the loop, and what wraps it — log, progress, checkpoints, held-out score, stopping, budget, Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trine import collective
from trine.blocks.counted import Drawn
from trine.criterion import Criterion
from trine.data import Batch, Batches, Shares
from trine.errors import RunError, TrainingError
from trine.procedures import Feed, Procedure, State, Step, total_norm
from trine.training import distributed, generators, signals
from trine.training.budget import Budget
from trine.training.loop import steps
from trine.training.progress import Progress
from trine.training.run import Run

CHECKPOINT_EVERY = 20.0
"""Seconds between checkpoints; none of them changes a number of the training."""
LOG_POINTS = 200
"""About how many records of the training loss a run logs."""
NEW = 0.3
"""Weight of an epoch's score in the running mean that tells whether scores still improve."""
FRAMES = 25
"""Frames of a film at most; once there are more, every second one is dropped and half as many are taken from then on."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A score that is known within a draw, lower being better.

    Attributes:
        value: of the solution so far. error: an estimate of the value's standard error over draws, as rough as may be: the
            trainer averages over epochs.
    """

    value: float
    error: float = 0.0


@dataclasses.dataclass
class Progressed:
    """Where a training stands and what it has found so far; all of it is part of a checkpoint.

    Attributes:
        epoch, index: the next batch. history: one record an epoch. sums: sums of the epoch's losses by term.
        best: the best solution and its score; None before the first score.
        mark: the score at the last improvement. stale: epochs since.
        level, variance: of scores with an error, running means of the score and of the squared error; None before the first.
        observations: what the observer gave, with the step. frames: of the film, with step and epoch.
        seconds: time spent training.
        fitted: whether the number of steps was fitted to the budget.
    """

    epoch: int = 0
    index: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    sums: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    best: dict[str, Tensor] | None = None
    best_score: float = float("inf")
    best_epoch: int = 0
    mark: float = float("inf")
    stale: int = 0
    level: float | None = None
    variance: float | None = None
    observations: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    frames: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    fitted: bool = False


@dataclasses.dataclass(frozen=True)
class Result:
    """What training left; the model holds the solution θ*.

    Attributes:
        history: one record an epoch: step, epoch, loss, terms, step_size, held-out score, and its standard error where it has one.
        epochs, steps: done. best_epoch: the epoch whose weights were kept. best_score: its held-out score, or None.
        stopped: why it ended: ``"epochs"``, ``"patience"`` or ``"budget"``.
        observations: what the observer gave. seconds: time spent training.
        frames: of the film: ``step``, ``epoch`` (epochs done, with their parts) and ``value``; the first is of step 0.
    """

    history: list[dict[str, Any]]
    epochs: int
    steps: int
    best_epoch: int
    best_score: float | None
    stopped: str
    observations: list[dict[str, Any]]
    seconds: float
    frames: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def train(
    model: nn.Module,
    criterion: Criterion,
    procedure: Procedure,
    batches: Feed,
    *,
    epochs: int,
    seed: int = 0,
    evaluate: Callable[[], float | Score] | None = None,
    patience: int = 0,
    budget: float | None = None,
    run: Run | None = None,
    progress: bool = False,
    observe: Callable[[], Any] | None = None,
    film: Callable[[], Any] | None = None,
    checkpoint_every: float | None = None,
) -> Result:
    """Solve θ* = argmin L(f): step through the batches until the epochs, the patience or the budget are used up.

    The caller's random state is left as it was. A run that holds a checkpoint is gone on with: it ends in the bits that an
    uninterrupted run ends in, on the same machine with the same number of threads.

    Args:
        model, criterion, procedure: the three parts; the model ends with the solution's weights, in evaluation mode.
        batches: the training rows; moved to where the model is.
        epochs: passes over them. seed: of all randomness within the model and the criterion.
        evaluate: score on held-out rows, lower is better, called after each epoch with the solution so far in the model; the
            weights of the best score are kept. None keeps the last.
        patience: epochs without a better score before stopping; 0 never. Of scores with a standard error running means are
            compared, for the best of many is a lucky one; they are better by more than √2 errors, what two draws of one differ by.
        budget: seconds to train for, held-out scores included; the number of steps, and with it the schedule, is fitted
            to it once, after the first steps, and kept by checkpoints.
        run: where to log and keep checkpoints; None keeps nothing on disk.
        progress: whether to show progress on standard error.
        observe: called before the first step, after the first epoch and at the end; what it gives (JSON values) is kept.
        film: called before the first step and at up to ``FRAMES`` even distances from then on, with the solution so far in the
            model; what it gives (tensors, by name or alone) is kept. It changes no number of the training.
        checkpoint_every: seconds between checkpoints, ``CHECKPOINT_EVERY`` by default; 0 makes one after every step.

    Raises:
        TrainingError: the loss is not finite; names step, term, layer and rows.
        KeyboardInterrupt: Ctrl-C or a termination signal, after a checkpoint; its message says how to go on.
    """
    for part in (*model.modules(), *criterion.modules()):
        if isinstance(part, Drawn):
            part.seed = seed
    with generators.seeded(distributed.own_seed(seed)), distributed.whole_statistics(model, criterion):
        training = _Training(
            model,
            criterion,
            procedure,
            batches,
            epochs,
            seed,
            evaluate,
            patience,
            budget,
            run,
            progress,
            observe,
            film,
            CHECKPOINT_EVERY if checkpoint_every is None else checkpoint_every,
        )
        try:
            return training.go()
        except RuntimeError as error:
            if not distributed.broke_off(error):
                raise
            raise training.lost(error) from None


class _Training:
    """The moving parts of one call of :func:`train`."""

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        procedure: Procedure,
        batches: Feed,
        epochs: int,
        seed: int,
        evaluate: Callable[[], float | Score] | None,
        patience: int,
        budget: float | None,
        run: Run | None,
        progress: bool,
        observe: Callable[[], Any] | None,
        film: Callable[[], Any] | None,
        checkpoint_every: float,
    ) -> None:
        self.model, self.criterion, self.procedure, self.batches = model, criterion, procedure, batches
        self.epochs, self.seed, self.evaluate, self.patience = epochs, seed, evaluate, patience
        self.run, self.observe, self.film, self.checkpoint_every = run, observe, film, checkpoint_every
        self.alone, self.sharded = collective.processes() == 1, distributed.is_sharded(model)
        self.decisions = None if self.alone else distributed.Decisions(checkpoint_every)
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.state: State = procedure.init(model, criterion)
        self.state.total = epochs * batches.steps_per_epoch
        self.at = Progressed()
        self.kept = 0
        self.stopped = "epochs"
        if run is not None and (kept := self._restore(run)) is not None:
            self._put_back(kept)
            run.forget_after(self.state.t)
        criterion.spans(self.state.total)
        self.budget = None if budget is None else Budget(budget, self.at.fitted)
        self.log_every = max(1, self.state.total // LOG_POINTS)
        self.progress = Progress(self.state.total, progress and collective.first())
        self.saved = self.started = time.perf_counter()

    def go(self) -> Result:
        """Train to the end."""
        if self.run is not None:
            self.run.update(status="training")
        with self.progress, signals.noted() as interrupted:
            self._check_names()
            if not self.at.observations:
                self._observe()
            if not self.at.frames:
                self._take_frame()
            while not self._over():
                if self._epoch(interrupted) and not self._over():
                    self._interrupt()
            if self.at.observations and self.at.observations[-1]["step"] < self.state.t:
                self._observe()
        self.model.load_state_dict(self.at.best or self.procedure.solution(self.state, self.model))
        self.model.eval()
        if self.run is not None:
            self._save()
        self._conclude()
        best = self.at.best_score if self.at.best is not None else None
        return Result(
            self.at.history,
            len(self.at.history),
            self.state.t,
            self.at.best_epoch or len(self.at.history),
            best,
            self.stopped,
            self.at.observations,
            self.at.seconds,
            self.at.frames,
        )

    def _conclude(self) -> None:
        """What the procedure does once θ* is found. It is not part of a checkpoint: stopped in it, a run does it again.

        Of several processes each does all of it, with all rows and the same noise, since a curvature or a chain is of all rows.
        """
        self.criterion.eval()
        feed = _Shown(self.batches.batches if isinstance(self.batches, Shares) else self.batches, self.progress)
        try:
            with collective.by_itself(), generators.seeded(self.seed), self.procedure.precision(self.device):
                self.procedure.conclude(self.state, self.model, self.criterion, feed)
        except KeyboardInterrupt:
            if self.run is None:
                raise
            self.run.update(status="stopped")
            raise KeyboardInterrupt(
                f"stopped after the last step, while p(θ | data) was drawn; the {self.state.t:,} steps are kept. Go on with: "
                f"trine resume {self.run.directory}"
            ) from None
        self.criterion.train()

    def _over(self) -> bool:
        if self.patience and self.at.stale >= self.patience:
            self.stopped = "patience"
            return True
        return self.at.epoch >= self.epochs or self.state.t >= self.state.total

    def _check_names(self) -> None:
        """Names of outputs and fields are checked once, before the first step."""
        batch = next(self._rest_of_epoch(), None)
        if batch is None:
            return
        # As in training, since some outputs exist there alone; what running statistics learn from it is put back.
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        self.model.train()
        with torch.no_grad(), generators.undisturbed():
            outputs = self.model(batch)
            for name, value in self.model.named_buffers():
                value.copy_(buffers[name])
        self.criterion.check(outputs, batch)

    # An epoch ----------------------------------------------------------------------------------------------------

    def _rest_of_epoch(self) -> Iterator[Batch]:
        batches = self.batches.epoch(self.at.epoch, self.at.index)
        return batches if self.device.type == "cpu" else (batch.to(self.device) for batch in batches)

    def _epoch(self, interrupted: Callable[[], bool]) -> bool:
        """The rest of the epoch: step after step, and what comes between two steps. Whether it was interrupted after the last."""
        if self.at.index == 0 and self.at.epoch > 0:
            self._refresh()
        self.model.train()
        self.criterion.train()
        self.started = time.perf_counter()
        for step in self._steps():
            self.at.index += 1
            self._count(step)
            if self.state.t % self._between_frames() == 0:
                self._take_frame()
            stop, save = self._between(interrupted)
            if self.progress.due():
                self._show(step)
            if self.state.t >= self.state.total:
                break
            if self.at.index < self.batches.steps_per_epoch:
                if stop:
                    self._interrupt()
                if save:
                    self._save()
        self._end_epoch()
        self._clock()
        stop, save = self._between(interrupted, after_epoch=True)
        if save:
            self._save()
        return stop

    def _between(self, interrupted: Callable[[], bool], after_epoch: bool = False) -> tuple[bool, bool]:
        """Whether to stop, and whether to make a checkpoint; and the number of steps, if it is to be another."""
        now = time.perf_counter()
        stop, save = interrupted(), now - self.saved >= self.checkpoint_every
        total = None
        if self.budget is not None and not after_epoch:
            total = self.budget.total(self.state.t, self.at.seconds + now - self.started)
        if self.decisions is not None:
            stop, save, total = self.decisions(self.state.t, stop, save, total, at_once=after_epoch)
        if total is not None and total < self.state.total:
            self.state.total = self.progress.total = total
            self.criterion.spans(total)
            self.log_every = max(1, total // LOG_POINTS)
            self.stopped = "budget"
        if self.budget is not None:
            self.at.fitted = self.budget.fitted
        return stop, save

    def _steps(self) -> Iterator[Step]:
        """The loop over the rest of the epoch; what it raises is told with the rows and what is kept."""
        try:
            yield from steps(self.procedure, self.state, self.model, self.criterion, self._rest_of_epoch())
        except TrainingError as error:
            raise TrainingError(f"{error}{self._rows()}{self._kept()}") from None

    def _clock(self) -> None:
        """Add the time since the last look to what was spent."""
        now = time.perf_counter()
        self.at.seconds += now - self.started
        self.started = now

    def _count(self, step: Step) -> None:
        """Add the step's losses to the epoch's, without waiting for the device."""
        for name, value in {"loss": step.loss, **step.terms}.items():
            if name in self.at.sums:
                self.at.sums[name].add_(value)
            else:
                self.at.sums[name] = value.clone()
        if self.run is not None and self.state.t % self.log_every == 0:
            self.run.log({"step": self.state.t, "epoch": self.at.epoch, **self._losses(step, True), **_sizes(step)})

    def _end_epoch(self) -> None:
        done = self.at.index
        self._pool_sums()
        record: dict[str, Any] = {
            "step": self.state.t,
            "epoch": self.at.epoch + 1,
            "train": {name: value.item() / done for name, value in self.at.sums.items()},
        }
        if not math.isfinite(record["train"]["loss"]):
            raise TrainingError(f"The loss was not finite within epoch {self.at.epoch + 1}.{self._kept()}")
        if self.evaluate is not None:
            found = self._score()
            score = record["held_out"] = found.value
            if found.error:
                record["held_out_error"] = found.error
            self.progress.score = score
            if score < self.at.best_score:
                solution = self.procedure.solution(self.state, self.model)
                self.at.best = {name: value.detach().clone() for name, value in solution.items()}
                self.at.best_score, self.at.best_epoch = score, self.at.epoch + 1
            self._wait(found)
        self.at.history.append(record)
        self.at.epoch, self.at.index, self.at.sums = self.at.epoch + 1, 0, {}
        if self.run is not None:
            self.run.log({k: v for k, v in record.items() if k != "train"} | {"train": record["train"]["loss"]})
        if len(self.at.history) == 1:
            self._observe()

    def _wait(self, score: Score) -> None:
        """Count the epochs since the score got better by more than its noise."""
        at, value, least = self.at, score.value, 0.0
        if score.error and math.isfinite(value + score.error):
            at.level = value if at.level is None else at.level + NEW * (value - at.level)
            square = score.error**2
            at.variance = square if at.variance is None else at.variance + NEW * (square - at.variance)
        if at.level is not None and at.variance is not None:
            value, least = at.level, math.sqrt(2 * at.variance)
        at.stale += 1
        if value < at.mark - least:
            at.mark, at.stale = value, 0

    def _score(self) -> Score:
        assert self.evaluate is not None
        solution = self.procedure.solution(self.state, self.model)
        held, precision = _holding(self.model, solution), self.procedure.precision(self.device)
        # What a score draws is the same each time, so that it moves only as the weights do.
        with held, torch.no_grad(), generators.seeded(distributed.own_seed(self.seed)), precision:
            found = self.evaluate()
        score = found if isinstance(found, Score) else Score(found)
        return Score(collective.from_first(score.value), collective.from_first(score.error))

    def _refresh(self) -> None:
        """What divergences take up from all rows between two epochs, with the solution so far in the model."""
        if not self.criterion.refreshes:
            return
        batches = self.batches.batches if isinstance(self.batches, Shares) else self.batches
        assert isinstance(batches, Batches)
        held = _holding(self.model, self.procedure.solution(self.state, self.model))
        self.model.eval()
        with held, collective.by_itself(), generators.undisturbed(), self.procedure.precision(self.device):
            for divergence in self.criterion.refreshes:
                divergence.refresh(self.model, (batch.to(self.device) for batch in batches.all()))

    def _pool_sums(self) -> None:
        """Sums of losses over the rows of all ranks, in place of those over one's own."""
        if not self.alone and self.at.sums:
            pooled = collective.add(torch.stack(list(self.at.sums.values())))
            self.at.sums = dict(zip(self.at.sums, pooled.unbind(), strict=True))

    def _observe(self) -> None:
        if self.observe is not None:
            with generators.undisturbed(), collective.by_itself():
                value = self.observe()
            self.at.observations.append({"step": self.state.t, "epoch": self.at.epoch, "value": value})

    def _between_frames(self) -> int:
        """Steps from one frame to the next: it follows from the frames there are, and so is part of a checkpoint."""
        return self.at.frames[1]["step"] if len(self.at.frames) > 1 else 1

    def _take_frame(self) -> None:
        if self.film is None:
            return
        held = _holding(self.model, self.procedure.solution(self.state, self.model))
        with held, torch.no_grad(), generators.undisturbed(), self.procedure.precision(self.device):
            value = self.film()
        epoch = self.at.epoch + self.at.index / self.batches.steps_per_epoch
        self.at.frames.append({"step": self.state.t, "epoch": epoch, "value": value})
        if len(self.at.frames) > FRAMES:
            self.at.frames = self.at.frames[::2]

    # Telling -----------------------------------------------------------------------------------------------------

    def _losses(self, step: Step, pooled: bool = False) -> dict[str, float]:
        """The step's losses; of several processes, ``pooled`` or as this one's rows have them."""
        values = {"loss": step.loss, **step.terms} if len(step.terms) > 1 else {"loss": step.loss}
        if self.alone:
            return {name: value.item() for name, value in values.items()}
        stacked = torch.stack(list(values.values()))
        stacked = collective.add(stacked) if pooled else stacked * collective.processes()
        return dict(zip(values, stacked.tolist(), strict=True))

    def _show(self, step: Step) -> None:
        epoch = self.at.epoch + self.at.index / self.batches.steps_per_epoch
        planned = min(self.epochs, round(self.state.total / self.batches.steps_per_epoch, 1))
        self.progress.show(self.state.t, epoch, planned, self.batches.batch_size, self._losses(step))

    def _rows(self) -> str:
        """The rows of the batch in hand, counted from 1, where it is surely the one that failed."""
        if self.device.type != "cpu":
            return ""
        rows = next(self.batches.index(self.at.epoch, self.at.index))
        sides = [rows] if rows.dim() == 1 else rows.unbind(1)  # of two piles, a pair is a row of either
        shown = [", ".join(str(int(row) + 1) for row in side[:8]) + " …" * (len(side) > 8) for side in sides]
        return f" The batch has rows {shown[0] if len(shown) == 1 else f'{shown[0]} of A and {shown[1]} of B'}."

    def _kept(self) -> str:
        if self.run is None:
            return ""
        return f" The last good checkpoint is kept in {self.run.directory}."

    # Keeping -----------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """A checkpoint: all that the next step depends on, and never weights that are broken."""
        if self.run is None:
            return
        self._require_sound()
        self._clock()
        self._pool_sums()
        first, *others = distributed.gathered(generators.state())
        state = {
            "model": dict(self.model.state_dict()),
            "criterion": dict(self.criterion.state_dict()),
            "procedure": self.state.state_dict(),
            "generators": first,
            "at": {field.name: getattr(self.at, field.name) for field in dataclasses.fields(self.at)},
            "stopped": self.stopped,
            **({"other_generators": others} if others else {}),
        }
        if self.sharded:
            distributed.save_shards(self.run.directory, state)
        else:
            self.run.save(state)
        self._own_sums()
        self.kept = self.state.t
        self.saved = time.perf_counter()

    def _own_sums(self) -> None:
        """What was pooled counts once: on rank 0."""
        if not collective.first():
            for value in self.at.sums.values():
                value.zero_()

    def _require_sound(self) -> None:
        weights = [*self.model.parameters(), *self.criterion.parameters()]
        if not bool(total_norm(weights).isfinite()):
            named = (*self.model.named_parameters(), *self.criterion.named_parameters())
            name = next(
                (name for name, p in named if not bool(distributed.whole(p).isfinite().all())), "the sum of all"
            )
            raise TrainingError(
                f"The weights are not finite after step {self.state.t}, first {name!r}, though no loss showed it yet. "
                f"Lower the step size or clip the gradient (clip=1).{self._kept()}"
            )

    def _restore(self, run: Run) -> Any:
        """The last checkpoint, on every rank: whole, or this rank's part of it."""
        mesh = distributed.mesh_of(list(self.model.parameters()))
        kept = distributed.load_shards(run.directory, mesh)
        return kept if kept is not None else distributed.shared(run.restore)

    def _put_back(self, kept: Mapping[str, Any]) -> None:
        try:
            self.model.load_state_dict(kept["model"])
            self.criterion.load_state_dict(kept["criterion"])
            self.state.load_state_dict(kept["procedure"])
            states = [kept["generators"], *kept.get("other_generators", [])]
            # Where the number of ranks is another, so is the noise: each goes on as it began.
            if len(states) == collective.processes() or collective.first():
                generators.restore(states[collective.rank()])
            self.at = Progressed(**kept["at"])
            self.at.sums = {name: value.to(self.device) for name, value in self.at.sums.items()}
            self._own_sums()
            self.stopped = kept["stopped"]
            self.kept = self.state.t
        except (KeyError, TypeError, RuntimeError) as error:
            raise RunError(
                f"The checkpoint does not fit the model that the run derives ({error}); start a new run."
            ) from None

    def lost(self, error: BaseException) -> TrainingError:
        """What a user is told when another process is gone."""
        what = (
            f"The training of {collective.processes()} processes broke off after step {self.state.t}: a process ended"
        )
        if self.run is None:
            return distributed.Lost(what, error, " Nothing was kept, since no run directory was given.")
        kept = f"All until step {self.kept} is kept" if self.kept else "No checkpoint was made yet"
        return distributed.Lost(
            what,
            error,
            f" {kept}. Go on, with as many processes as you like: torchrun --nproc-per-node {collective.processes()} "
            f"-m trine resume {self.run.directory}",
        )

    def _interrupt(self) -> None:
        """Keep all and stop."""
        if self.run is None:
            raise KeyboardInterrupt(
                f"interrupted at step {self.state.t}; nothing was kept, since no run directory was given."
            )
        self._save()
        self.run.update(status="stopped")
        raise KeyboardInterrupt(
            f"stopped at step {self.state.t} of {self.state.total}; all is kept. Go on with: trine resume {self.run.directory}"
        )


class _Shown:
    """Batches that tell how many were read."""

    def __init__(self, feed: Feed, progress: Progress) -> None:
        self.feed, self.progress = feed, progress
        self.steps_per_epoch, self.batch_size = feed.steps_per_epoch, feed.batch_size
        self.read = 0

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch."""
        for batch in self.feed.epoch(epoch, start):
            if self.progress.due():
                self.progress.note(f"drawing from p(θ | data): {self.read:,} batches")
            self.read += 1
            yield batch

    def index(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The rows of each batch of an epoch."""
        return self.feed.index(epoch, start)


def _sizes(step: Step) -> dict[str, float]:
    sizes = {"step_size": step.step_size}
    return sizes if step.grad_norm is None else {**sizes, "grad_norm": step.grad_norm.item()}


@contextlib.contextmanager
def _holding(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The model in evaluation with other weights, for a while."""
    own = {name: value.detach().clone() for name, value in model.state_dict().items()}
    mode = model.training
    model.load_state_dict(dict(weights))
    model.eval()
    try:
        yield
    finally:
        model.load_state_dict(own)
        model.train(mode)
