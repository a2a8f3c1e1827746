"""Three methods in miniature, each the three parts and nothing else; one loop trains them all.

Also what a test kills: :func:`in_a_process` trains in a run's directory, or goes on with it, and ends in the middle of a step
or of a checkpoint when it is told to.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Mapping
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal

from trine.criterion import Criterion, Term
from trine.data import Batches, Store
from trine.divergences import KL, JensenShannon
from trine.errors import RunError
from trine.procedures import Descent
from trine.procedures._adamw import AdamW
from trine.training import Run, fingerprint, train

Parts = tuple[nn.Module, Criterion, Descent]


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


# A classifier ----------------------------------------------------------------------------------------------------


class Softmax(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Sequential(mlp(64, 64, 64), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(64, 10))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": Categorical(logits=self.scores(batch["x"]))}


def classifier() -> Parts:
    return Softmax(), Criterion(Term(KL(), "y_hat", "y")), Descent(step_size=3e-3, schedule="cosine", clip=1.0, ema=0.9)


# A variational autoencoder (Kingma and Welling, 2014) --------------------------------------------------------------


class Autoencoder(nn.Module):
    def __init__(self, code: int = 8) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(64, 128, 2 * code), mlp(code, 128, 64)
        self.code = code

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        mean, log_scale = self.encoder(batch["x"]).chunk(2, dim=1)
        code = Independent(Normal(mean, log_scale.exp()), 1)
        z = code.rsample() if self.training else mean
        return {
            "code": code,
            "prior": Independent(Normal(torch.zeros(self.code), torch.ones(self.code)), 1),
            "z": z,
            "x_hat": Independent(Bernoulli(logits=self.decoder(z), validate_args=False), 1),
        }


def vae() -> Parts:
    criterion = Criterion(Term(KL(), "x_hat", "x"), Term(KL(), "prior", "code"))
    return Autoencoder(), criterion, Descent(step_size=3e-3, clip=10.0)


# A generative adversarial network (Goodfellow et al., 2014) --------------------------------------------------------


class Generator(nn.Module):
    def __init__(self, noise: int = 16) -> None:
        super().__init__()
        self.net, self.noise = nn.Sequential(mlp(noise, 128, 128, 64), nn.Sigmoid()), noise

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"fake": self.net(torch.randn(len(batch["x"]), self.noise))}


def gan() -> Parts:
    criterion = Criterion(Term(JensenShannon(nn.Sequential(mlp(64, 128, 128, 1), nn.Flatten(0)), r1=0.1), "fake", "x"))
    return Generator(), criterion, Descent(step_size=1e-3, betas=(0.0, 0.99), ema=0.99)


METHODS = {"classifier": classifier, "vae": vae, "gan": gan}


def digits() -> Store:
    """scikit-learn's digits as bytes in the store: 64 pixels in 0 … 16, and the label."""
    data = load_digits()
    return Store.of(x=torch.tensor(data.data, dtype=torch.float32) / 16, y=torch.tensor(data.target))


def fit(
    name: str, *, epochs: int, run: Run | None = None, seed: int = 0, batch_size: int = 64, **more: Any
) -> tuple[nn.Module, Any]:
    """Build a miniature under a seed and train it."""
    torch.manual_seed(seed)
    model, criterion, procedure = METHODS[name]()
    batches = Batches(digits(), batch_size=batch_size, seed=seed)
    result = train(model, criterion, procedure, batches, epochs=epochs, seed=seed, run=run, **more)
    return model, (criterion, result)


# A process to kill ------------------------------------------------------------------------------------------------


def all_weights(model: nn.Module, criterion: Criterion) -> dict[str, Tensor]:
    """Everything that training moved."""
    return {**model.state_dict(), **{f"critic.{name}": value for name, value in criterion.state_dict().items()}}


def in_a_process(
    name: str, directory: str, how: dict[str, int], death: tuple[str, int] | None, answer: Connection
) -> None:
    """Train ``name`` in a run at ``directory``, or go on with it, with a checkpoint after every step.

    Args:
        how: epochs and batch size.
        death: at which call of which function the process kills itself, e.g. ``("os.fsync", 7)``: before it is done.
        answer: where the fingerprint of the final weights goes.
    """
    torch.set_num_threads(1)
    os.fsync = lambda _: None  # a kill, unlike a power cut, loses nothing that was written
    if death is not None:
        _die_at(*death)
    try:
        run = Run.open(directory)
    except RunError:
        run = Run.create(directory, {"method": name})
    with run:
        model, (criterion, _) = fit(name, run=run, checkpoint_every=0.0, **how)
    answer.send(fingerprint(all_weights(model, criterion)))


def _die_at(function: str, call: int) -> None:
    owner_name, attribute = function.rsplit(".", 1)
    owner: Any = {"os": os, "AdamW": AdamW, "Descent": Descent}[owner_name]
    real, calls = getattr(owner, attribute), itertools.count(1)

    def fatal(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, attribute, fatal)
