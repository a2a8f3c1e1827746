"""One of the processes that ``torchrun`` starts in the tests: trains a miniature and leaves its weights.

Also run in the test's own process, as the one process that several are compared with.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.overrides import TorchFunctionMode

from tests import miniatures
from trine import collective
from trine.criterion import Criterion, Term
from trine.data import Batches, Shares, Store
from trine.data._store import Field
from trine.divergences import KL
from trine.domains import Category
from trine.errors import RunError
from trine.models import Chains, Draws, Ensemble, LinearisedDraws
from trine.procedures import Descent
from trine.procedures.ensemble import EnsembleDescent
from trine.procedures.langevin import Langevin
from trine.procedures.laplace import Laplace
from trine.procedures.swag import SWAG
from trine.rules import rules
from trine.training import distributed, train


class Normed(nn.Module):
    """A classifier with batch normalisation of images and of features, and a parameter that no row reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.images = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
        )
        self.features = nn.Sequential(nn.Linear(256, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
        self.idle = nn.Parameter(torch.ones(3))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": Categorical(logits=self.features(self.images(batch["x"].view(-1, 1, 8, 8))))}


def normed() -> miniatures.Parts:
    return Normed(), Criterion(Term(KL(), "y_hat", "y")), Descent(step_size=1e-3, clip=0.5, ema=0.9, weight_decay=0.01)


def classifier() -> miniatures.Parts:
    """The miniature without dropout, whose noise is every rank's own."""
    model, criterion, procedure = miniatures.classifier()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model, criterion, procedure


class Ruled(nn.Module):
    """A classifier with a decision rule, as posteriors want it."""

    targets = ("y",)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(64, 16), nn.ReLU())
        labels = tuple("0123456789")
        self.rules = nn.ModuleList([rules["softmax"](16, Category(labels=labels, shares=(0.1,) * 10))])

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        z = self.first(batch["x"].flatten(1))
        return {"z": z, "y_hat.y": self.rules[0](z)}


def posterior(model: nn.Module, procedure: Descent) -> miniatures.Parts:
    return model, Criterion(Term(KL(), "y_hat.y", "y")), procedure


METHODS = {
    **miniatures.METHODS,
    "classifier": classifier,
    "normed": normed,
    "ensemble": lambda: posterior(Ensemble([Ruled() for _ in range(3)]), EnsembleDescent(step_size=1e-3, clip=0.5)),
    "laplace": lambda: posterior(LinearisedDraws(Ruled(), 3), Laplace(step_size=1e-3, curvature="kron")),
    "swag": lambda: posterior(Draws(Ruled(), 3), SWAG(step_size=1e-3, clip=0.5, collect=10)),
    "langevin": lambda: posterior(
        Chains([Ruled() for _ in range(2)], 4), Langevin(step_size=1e-3, rows=1797, steps=60)
    ),
}


def weighed_digits() -> Store:
    """The digits, rows of unequal weight, a third of them without a label: the ranks' denominators differ."""
    plain = miniatures.digits()
    x, y = plain.fields["x"].data, plain.fields["y"].data
    generator = torch.Generator().manual_seed(7)
    present = torch.rand(len(y), generator=generator) > 0.33
    weight = torch.rand(len(y), generator=generator) * torch.arange(len(y)) / len(y)
    fields = {"x": Field(x, {"x": None}), "y": Field(y, {"y": None}, present=present), "weight": Field(weight, {})}
    return Store(fields)


class OneNoise(TorchFunctionMode):
    """Noise for rows is drawn for the whole batch, alike on every rank, of which each takes its rows' part."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.whole = 0
        model.register_forward_pre_hook(self._note)
        model.register_forward_hook(self._forget)

    def _note(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.whole = getattr(inputs[0], "whole", 0)

    def _forget(self, *_: Any) -> None:
        self.whole = 0  # noise of other than rows, as of draws of θ, is every rank's own

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.whole and func is torch.randn:
            return collective.share(func(self.whole, *args[1:], **kwargs))
        if self.whole and func is torch.Tensor.normal_:
            return args[0].copy_(collective.share(func(torch.empty(self.whole, *args[0].shape[1:]))))
        return func(*args, **kwargs)


def run(name: str, how: Mapping[str, Any], directory: str | None = None) -> dict[str, Tensor]:
    """Train under ``how`` and give all weights, whole.

    ``how``: epochs, batch_size; rows: of the data; weighed: rows of unequal weight; sharded; die: (rank, step) of a process
    that kills itself; scored: with a held-out score.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, criterion, procedure = METHODS[name]()
    store = weighed_digits() if how.get("weighed") else miniatures.digits()
    if how.get("double"):
        model.double()
        criterion.double()
        store = Store({k: replace(v, data=v.data.double()) if k == "x" else v for k, v in store.fields.items()})
    rows = torch.arange(how.get("rows", store.rows))
    batches = Batches(store, rows, how["batch_size"], seed=1)
    trained = distributed.shard(model) if how.get("sharded") and collective.processes() > 1 else model
    if how.get("die"):
        rank, last = how["die"]
        step = Descent.step

        def fatal(self: Descent, state: Any, *rest: Any) -> Any:
            if state.t == last and collective.rank() == rank:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, state, *rest)

        Descent.step = fatal  # type: ignore[method-assign]

    held = torch.arange(100)

    def score() -> float:
        batch = store.batch(collective.share(held))
        value = criterion(trained(batch), batch).total.detach() * (batch.size / len(held))
        return float(collective.add(value))

    opened: Any = None
    if directory is not None:
        try:
            opened = distributed.open_run(directory)
        except RunError:
            opened = distributed.create_run(directory, {"method": name})
        opened.__enter__()
    with OneNoise(trained):
        train(
            trained,
            criterion,
            procedure,
            batches if collective.processes() == 1 else Shares(batches),
            epochs=how["epochs"],
            seed=0,
            run=opened,
            evaluate=score if how.get("scored") else None,
            checkpoint_every=how.get("checkpoint_every"),
        )
    if opened is not None:
        opened.__exit__(None, None, None)
    if trained is not model:
        distributed.gather(trained, model)
    return {k: v.detach().contiguous() for k, v in miniatures.all_weights(model, criterion).items()}


def main() -> None:
    """Arguments: jobs as JSON, each (label, miniature, how, directory of the run or ""); where the weights go."""
    jobs, answer = json.loads(sys.argv[1]), Path(sys.argv[2])
    distributed.own_seed = lambda seed: seed
    with distributed.joined("cpu"):
        for label, name, how, directory in jobs:
            save_file(run(name, how, directory or None), answer / f"{label}.{collective.rank()}.safetensors")


if __name__ == "__main__":
    from trine.errors import TrineError

    try:
        main()
    except TrineError as error:
        print(f"trine: {error}", file=sys.stderr)
        raise SystemExit(2) from None
