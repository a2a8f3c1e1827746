"""Several processes, one training: started by PyTorch's launcher, together from the first step to the last.

::

    torchrun --nproc-per-node 2 -m trine fit data.csv --y label --out runs/a

Every process reads the same data and derives the same parts; each takes its rows of every batch. Rank 0 alone prints and writes.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.distributions import Distribution
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from trine import collective
from trine.errors import ChoiceError, DataError, RunError, TrainingError, TrineError
from trine.rules import map_arguments
from trine.training import _files, checkpoint
from trine.training.run import Run

T = TypeVar("T")

TIMEOUT = datetime.timedelta(minutes=30)
"""How long a process waits for another: longer than one may need to read the data alone, and not without end."""
GRACE = 5.0
"""Seconds that a terminated process has to say why."""
AGREE_EVERY = 0.25
"""Seconds between the steps at which the processes decide together whether to stop, to save, to be done."""


# Joining -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[None]:
    """Be one of the processes that the launcher started, inside; without a launcher, a process by itself.

    The group is made from the variables that ``torchrun`` sets (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``,
    ``MASTER_ADDR``, ``MASTER_PORT``): NCCL where the training is on GPUs, else Gloo. A failure is told once,
    whichever ranks it reaches: the other ranks end in silence with status 2.

    Args:
        device: as in :func:`resolve_device`.

    Raises:
        RunError: the other processes cannot be reached, or one of them has ended.
        ChoiceError: ``WORLD_SIZE`` is set and the launcher's other variables are not.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ChoiceError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} and {', '.join(missing)} is not set: start the processes by "
            "`torchrun --nproc-per-node N -m trine …`, which sets them all."
        )
    place = resolve_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    try:
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        dist.init_process_group(
            "nccl" if place.type == "cuda" else "gloo",
            store=PrefixStore("trine", store),
            rank=rank,
            world_size=size,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"The processes of this training did not find each other ({_line(error)}): give all nodes the same "
            "--rdzv-endpoint, and the first node a port that the others reach."
        ) from None
    told = PrefixStore("trine/told", store)
    try:
        if rank:
            warnings.simplefilter("ignore")
        with _patient():
            yield
    except TrineError as error:
        if not _mine_to_tell(told, error):
            raise SystemExit(2) from None
        raise
    except RuntimeError as error:
        if not broke_off(error):
            raise
        lost = Lost("A process of this training ended, or its connection broke", error)
        if not _mine_to_tell(told, lost):
            raise SystemExit(2) from None
        raise lost from None
    else:
        dist.destroy_process_group()


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """Inside, a termination signal ends the process ``GRACE`` seconds later: when a rank is lost, the launcher terminates the
    others at once, and one of them has to say what happened and what is kept.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def later(number: int, frame: FrameType | None) -> None:
        timer = threading.Timer(GRACE, os._exit, (128 + number,))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, later)  # for good: the process ends after this
    yield


def launched_first() -> bool:
    """Whether this process is the only one, or the launcher's first, which alone prints."""
    return int(os.environ.get("RANK", "0")) == 0 or int(os.environ.get("WORLD_SIZE", "1")) == 1


class Lost(TrainingError):
    """Another process of the training is gone.

    Args:
        what: happened, and what is kept. error: how this process noticed.
    """

    def __init__(self, what: str, error: BaseException, resume: str = "") -> None:
        super().__init__(
            f"{what} ({_line(error)}). The launcher's message names the rank and how it ended (-9: killed, for want of "
            f"memory or by hand).{resume}"
        )


def broke_off(error: BaseException) -> bool:
    """Whether ``error`` says that the exchange with the other processes failed."""
    if collective.processes() == 1 or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, dist.DistError):
        return True
    return any(word in str(error) for word in ("gloo", "Gloo", "NCCL", "nccl", "Connection", "process group"))


def _line(error: BaseException) -> str:
    """The part of a message that is meant for people."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.rpartition("] ")[2].split(". ")[0].strip().rstrip(".")[:200] or text[:200]


def _mine_to_tell(told: Store, error: TrineError) -> bool:
    """Whether this rank is to tell of ``error``: the first with that message; of a lost process, if no rank said why."""
    try:
        if isinstance(error, Lost):
            if told.check(["reason"]):
                return False
            return bool(told.add("lost", 1) == 1)
        told.set("reason", "told")
        return bool(told.add(hashlib.sha256(str(error).encode()).hexdigest(), 1) == 1)
    except RuntimeError:
        return True  # the store ended with the process that held it


def resolve_device(wanted: str) -> torch.device:
    """Where to train.

    Args:
        wanted: ``cpu``; ``cuda``, the GPU of this process's ``LOCAL_RANK`` under a launcher; ``auto``: ``cuda`` where
            there is one.

    Raises:
        ChoiceError: another name; ``cuda`` where there is no GPU for this process.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise ChoiceError(f"The device is {wanted!r}; it is 'auto', 'cpu' or 'cuda'.")
    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if wanted == "cpu" or (wanted == "auto" and here == 0):
        return torch.device("cpu")
    if here == 0:
        built = "" if torch.version.cuda else ", and this PyTorch is built without CUDA"
        raise ChoiceError(f"The device cuda was asked for and there is no GPU{built}: choose --device cpu, or auto.")
    if local >= here:
        raise ChoiceError(
            f"Process {local + 1} of this machine has no GPU of its own, for there are {here}: start {here} processes "
            "a machine (--nproc-per-node), or choose --device cpu."
        )
    return torch.device("cuda", local)


def device_of(run: str | os.PathLike[str]) -> str:
    """The device that a run was started with; ``auto`` where that is not known."""
    try:
        return str(Run.read(run)["plan"]["device"])
    except (RunError, KeyError, TypeError):
        return "auto"


# Agreeing ----------------------------------------------------------------------------------------------------------


def shared(make: Callable[[], T]) -> T:
    """What rank 0 makes, on every rank; what it raises, it raises on every rank."""
    if collective.processes() == 1:
        return make()
    held: list[Any] = [None, None]
    if collective.first():
        try:
            held[0] = make()
        except TrineError as error:
            held[1] = error
    dist.broadcast_object_list(held, src=0, device=collective.device())
    if held[1] is not None:
        raise held[1]
    made: T = held[0]
    return made


def gathered(value: T) -> list[T]:
    """Every rank's ``value``, on every rank."""
    if collective.processes() == 1:
        return [value]
    values: list[Any] = [None] * collective.processes()
    dist.all_gather_object(values, value)
    return values


def require_same(**parts: str) -> None:
    """Check that all ranks have the same.

    Args:
        **parts: what (with ``_`` for blanks) → a fingerprint of it.

    Raises:
        DataError: names what differs first, in the order given, and on which ranks.
    """
    seen = gathered(parts)
    for name, mine in seen[0].items():
        others = [str(rank) for rank, theirs in enumerate(seen) if theirs[name] != mine]
        if others:
            raise DataError(
                f"The processes do not have the same {name.replace('_', ' ')}: rank {', '.join(others)} differs from rank 0. "
                "Give every process the same files, the same command and the same versions of trine and PyTorch."
            )


def own_seed(seed: int) -> int:
    """The seed of this rank's noise (dropout, augmentation, samples), which every rank draws for its own rows."""
    rank = collective.rank() if collective.processes() > 1 else 0
    if rank == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {rank}".encode()).digest()[:7], "big")


class Decisions:
    """What the processes decide together: whether to stop, to make a checkpoint, and after how many steps to end.

    One small exchange, at steps about ``AGREE_EVERY`` seconds apart; which steps these are is decided in the exchange before. An
    interruption counts on whichever rank it is noted, time on rank 0 alone.

    Args:
        save_every: seconds between checkpoints, which bounds the steps between exchanges.
    """

    def __init__(self, save_every: float) -> None:
        self._every = min(AGREE_EVERY, save_every)
        self._next, self._since, self._steps = 0, time.perf_counter(), 0
        self._total = 0

    def __call__(
        self, t: int, stop: bool, save: bool, total: int | None, at_once: bool
    ) -> tuple[bool, bool, int | None]:
        """(stop, save, total) for all ranks, after step ``t``; nothing at a step between two exchanges.

        Args:
            stop, save, total: what this rank would decide. at_once: whether all ranks exchange now, whatever the step.
        """
        self._total = total or self._total
        self._steps += 1
        if t < self._next and not at_once:
            return False, False, None
        first = collective.first()
        now = time.perf_counter()
        wait = self._every * self._steps / max(now - self._since, 1e-9)
        mine = [
            float(stop),
            save if first else 0,
            self._total if first else 0,
            max(1, min(int(wait), 1000)) if first else 0,
        ]
        stops, saves, end, ahead = collective.add(
            torch.tensor(mine, dtype=torch.float64, device=collective.device())
        ).tolist()
        self._next, self._since, self._steps, self._total = t + int(ahead), now, 0, 0
        return stops > 0, saves > 0, max(int(end), t) if end else None


# Runs --------------------------------------------------------------------------------------------------------------


class Follower(Run):
    """The run as ranks other than 0 have it: they read nothing from it and write nothing to it."""

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, **changes: Any) -> None:
        self.data.update(changes)

    def write(self, name: str, text: str) -> None:
        pass

    def save(self, state: Any) -> None:
        pass

    def log(self, record: Mapping[str, Any]) -> None:
        pass

    def forget_after(self, step: int) -> None:
        pass


def create_run(directory: str | os.PathLike[str], data: Mapping[str, Any]) -> Run:
    """:meth:`Run.create`, by rank 0 for all."""
    return _for_all(lambda: Run.create(directory, data))


def open_run(directory: str | os.PathLike[str]) -> Run:
    """:meth:`Run.open`, by rank 0 for all."""
    return _for_all(lambda: Run.open(directory))


def _for_all(make: Callable[[], Run]) -> Run:
    mine: list[Run] = []

    def known() -> tuple[str, dict[str, Any]]:
        mine.append(make())
        return str(mine[0].directory), mine[0].data

    directory, data = shared(known)
    return mine[0] if mine else Follower(Path(directory), data)


# Batch normalisation -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def whole_statistics(*modules: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation takes its statistics over the whole batch, all ranks' rows, as one process would."""
    changed: list[tuple[nn.Module, type[nn.Module]]] = []
    if collective.processes() > 1:
        for module in (part for whole in modules for part in whole.modules()):
            kind = type(module)
            if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
                changed.append((module, kind))
                # Behind the module's own class, which may lay out its input, and before torch's.
                module.__class__ = type(kind.__name__, (kind, WholeBatchNorm), {})
    try:
        yield
    finally:
        for module, kind in changed:
            module.__class__ = kind


class WholeBatchNorm(_BatchNorm):
    """``torch.nn.BatchNorm*d`` whose statistics are of the rows of all ranks, on any device."""

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, …) → the same."""
        own = self.training or self.running_mean is None
        if not own or collective.processes() == 1:
            return super().forward(input)
        result, mean, variance, count = _Normalise.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        if self.training and self.track_running_stats and self.running_mean is not None:
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
                unbiased = variance * (count / (count - 1).clamp_min(1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)
        out: Tensor = result
        return out


class _Normalise(torch.autograd.Function):
    """(x − mean)/√(variance + eps) · weight + bias over all ranks' rows; also the mean, the variance and the count."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        over = [0, *range(2, x.dim())]
        rows = x.numel() // x.shape[1]
        kind = torch.promote_types(x.dtype, torch.float32)
        variance, mean = torch.var_mean(x.to(kind), over, correction=0)
        # In double precision, since the variance is the difference of two sums.
        mean, variance = mean.double(), variance.double()
        if not rows:
            mean, variance = torch.zeros_like(mean), torch.zeros_like(variance)
        sums = torch.cat([mean * rows, (variance + mean.square()) * rows, mean.new_tensor([rows])])
        collective.add(sums)
        count = sums[-1]
        mean, square = (sums[:-1] / count).chunk(2)
        variance = (square - mean.square()).clamp_min(0)
        rounded = mean.to(kind), variance.to(kind)
        ctx.save_for_backward(x, weight, *rounded, count)
        ctx.eps = eps
        result = functional.batch_norm(x, *rounded, weight, bias, False, 0.0, eps)
        ctx.mark_non_differentiable(mean, variance, count)
        return result, mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        over = [0, *range(2, x.dim())]
        shape = [1, -1, *(1,) * (x.dim() - 2)]
        inverse = torch.rsqrt(variance + ctx.eps)
        centred = (x - mean.view(shape)) * inverse.view(shape)
        by_bias, by_weight = slope.to(mean.dtype).sum(over), (slope * centred).sum(over)
        means = collective.add(torch.cat([by_bias, by_weight]).double()) / count
        level, tilt = means.to(mean.dtype).chunk(2)
        gain = inverse if weight is None else inverse * weight
        gradient = (slope - level.view(shape)).addcmul_(centred, tilt.view(shape), value=-1).mul_(gain.view(shape))
        return (
            gradient.to(x.dtype),
            by_weight if weight is not None else None,
            by_bias if weight is not None else None,
            None,
        )


# Shards ------------------------------------------------------------------------------------------------------------

SHARDED, SHARDED_BEFORE = "checkpoint.sharded", "checkpoint.previous.sharded"
STRUCTURE = "structure.safetensors"
WORTH_A_UNIT = 2**16
"""Parameters from which a child module is gathered by itself, while the others wait in shards."""


def shard(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose parameters, gradients and moments each rank holds a part of (``fully_shard``, ZeRO-3).

    A parameter that is one number stays whole.
    """
    import copy

    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    sharded = copy.deepcopy(model)
    for p in sharded.parameters():
        p.data = p.data.contiguous()  # what fully_shard needs; the shards are vectors anyway
    mesh = init_device_mesh(next(sharded.parameters()).device.type, (collective.processes(),))
    whole = {p for p in sharded.parameters() if p.dim() == 0}
    for part in _units(sharded):
        fully_shard(part, mesh=mesh, ignored_params=whole)
    sharded.register_forward_hook(_with_tensors)  # before fully_shard's own, which looks for tensors
    fully_shard(sharded, mesh=mesh, ignored_params=whole)
    return sharded


def _with_tensors(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """The outputs, and beside them the tensors that distributions are made of.

    ``fully_shard`` notices the backward pass by hooks on the output's tensors, and does not look into a distribution.
    """
    found: dict[str, Tensor] = {}

    def note(value: Tensor) -> Tensor:
        if value.requires_grad:
            found[f"tensor {len(found)}"] = value
        return value

    for value in outputs.values():
        if isinstance(value, Distribution):
            map_arguments(value, note)
    return {**outputs, **found}


def _units(module: nn.Module) -> list[nn.Module]:
    """The parts that hold enough to be gathered one by one: torch's own modules, and those without parts."""
    found: list[nn.Module] = []
    for child in module.children():
        if sum(p.numel() for p in child.parameters()) < WORTH_A_UNIT:
            continue
        lists = isinstance(child, nn.ModuleList | nn.ModuleDict | nn.Sequential)
        # A module of torch's own may use its parts' weights without calling them, as attention does.
        own = type(child).__module__.startswith("torch.nn.") and not lists
        found += [child] if own or not any(True for _ in child.children()) else _units(child)
    return found


def gather(sharded: nn.Module, model: nn.Module) -> None:
    """Put the whole weights of ``sharded`` into ``model``, on every rank, one after the other."""
    own = model.state_dict()
    with torch.no_grad():
        for name, value in sharded.state_dict().items():
            own[name].copy_(whole(value))


def whole(value: Tensor) -> Tensor:
    """A tensor that may be in shards, put together."""
    if not collective.in_shards(value):
        return value
    found: Tensor = value.full_tensor()  # type: ignore[attr-defined]
    return found


def is_sharded(model: nn.Module) -> bool:
    """Whether each rank holds a part of the parameters."""
    return any(collective.in_shards(p) for p in model.parameters())


def save_shards(directory: Path, state: Any) -> None:
    """Keep ``state`` as the last checkpoint: each rank writes its part, as safetensors, by ``torch.distributed.checkpoint``.

    The directory must be one that all nodes see. The new checkpoint takes the old one's place when all parts are there.

    Raises:
        RunError: a part could not be written; the last checkpoint is as it was.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    fresh, last, before = (directory / name for name in (f"new.{SHARDED}", SHARDED, SHARDED_BEFORE))
    tensors: dict[str, Tensor] = {}
    structure = checkpoint.take_apart(state, tensors, "", copy=False)
    layout = {name: [list(v.shape), str(v.dtype), collective.in_shards(v)] for name, v in tensors.items()}

    def ready() -> None:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        checkpoint.save(fresh / STRUCTURE, {"structure": json.dumps(structure), "layout": json.dumps(layout)})

    shared(ready)
    try:
        with _quietly():
            save(tensors, storage_writer=HuggingFaceStorageWriter(str(fresh), save_distributed=True))
    except OSError as error:
        raise _files.not_written(directory / SHARDED, error) from None

    def done() -> None:
        shutil.rmtree(before, ignore_errors=True)
        if last.exists():
            os.replace(last, before)
        os.replace(fresh, last)

    shared(done)


def load_shards(directory: Path, mesh: Any) -> Any:
    """What :func:`save_shards` wrote, in shards over ``mesh`` (None: whole), whatever the number of ranks was; None if nothing.

    Raises:
        RunError: there are checkpoints and none is whole.
    """

    def known() -> tuple[str, Any] | None:
        problem: RunError | None = None
        for name in (SHARDED, SHARDED_BEFORE):
            if (directory / name).exists():
                try:
                    return str(directory / name), checkpoint.load(directory / name / STRUCTURE)
                except RunError as error:
                    problem = problem or error
        if problem is not None:
            raise problem
        return None

    found = shared(known)
    if found is None:
        return None
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load
    from torch.distributed.tensor import Shard, zeros

    path, kept = found
    tensors: dict[str, Tensor] = {}
    for name, (shape, kind, in_shards) in json.loads(kept["layout"]).items():
        dtype = getattr(torch, kind.removeprefix("torch."))
        if in_shards and mesh is not None:
            tensors[name] = zeros(*shape, dtype=dtype, device_mesh=mesh, placements=[Shard(0)])
        else:
            tensors[name] = torch.zeros(shape, dtype=dtype)
    try:
        with _quietly():
            load(tensors, storage_reader=HuggingFaceStorageReader(path))
    except Exception as error:
        if broke_off(error):
            raise
        raise RunError(f"The checkpoint {path} is truncated or damaged ({_line(error)}), and is not used.") from None
    return checkpoint.put_together(json.loads(kept["structure"]), tensors)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def fingerprint(*values: Any) -> str:
    """SHA-256 over JSON values and the bytes of arrays and tensors."""
    total = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        total.update(
            value.tobytes() if hasattr(value, "tobytes") else json.dumps(value, sort_keys=True, default=str).encode()
        )
    return total.hexdigest()


def mesh_of(tensors: Sequence[Tensor]) -> Any:
    """The ranks that sharded ones among ``tensors`` lie on; None where none is sharded."""
    return next((value.device_mesh for value in tensors if hasattr(value, "device_mesh")), None)
