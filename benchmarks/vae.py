"""Variational autoencoders on binarised MNIST: likelihood by importance sampling, and the speed of a step.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.vae likelihood --nets dense default
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.vae speed          # pythae takes part where it is installed

MNIST is binarised statically at 127.5 of 255: a threshold, not a draw, so that likelihoods are higher than those of drawn pixels
and comparable with none but these. ``dense`` is the net 784-400-40 and back, ``loop`` the same net in a hand-written loop with
the same schedule, ``weighted`` the net ``dense`` that descends the importance-weighted bound of 5 draws, ``default`` the
convolutional network that trine derives. Negative log-likelihood in nats an image, the lower the better, with its standard error
from the draws, and the bounds with fewer draws. Kept in ``results/vae.json`` and ``results/vae.md``.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.conditions import RESULTS, conditions, keep, load
from benchmarks.foreign import pictures

CODE, HIDDEN, BATCH, STEP = 40, 400, 100, 2e-3
DRAWS = 5
"""Of the importance-weighted bound that ``weighted`` descends."""


def binary(part: str) -> NDArray[np.uint8]:
    """(rows, 28, 28) pixels, 0 or 255."""
    return np.where(pictures("mnist", part)[0] > 127, 255, 0).astype(np.uint8)


class Loop(nn.Module):
    """The net of a hand-written loop: 784-400-40 and back, as a tutorial writes it."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * CODE))
        self.decoder = nn.Sequential(nn.Linear(CODE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 784))
        with torch.no_grad():
            self.decoder[2].bias.copy_(torch.logit(mean.clamp(1e-3, 1 - 1e-3)))

    def code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = self.encoder(x).chunk(2, 1)
        return location, log_scale.clamp(-7, 3)

    def loss(self, x: Tensor) -> Tensor:
        location, log_scale = self.code(x)
        z = location + log_scale.exp() * torch.randn_like(location)
        lost = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(1)
        kl = 0.5 * (location.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)
        return (lost + kl).mean()


def by_hand(x: Tensor, epochs: int, seed: int) -> tuple[Loop, float]:
    """(trained, seconds) the hand-written loop."""
    torch.manual_seed(seed)
    net = Loop(x.mean(0))
    optimiser = torch.optim.AdamW(net.parameters(), lr=STEP, weight_decay=0.0, fused=True)
    steps = epochs * (len(x) // BATCH)
    start, t = time.perf_counter(), 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH)[: len(x) // BATCH]:
            t += 1
            for group in optimiser.param_groups:
                group["lr"] = STEP * min(1, t / (0.05 * steps)) * 0.5 * (1 + math.cos(math.pi * t / steps))
            loss = net.loss(x[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net, time.perf_counter() - start


def likelihood_by_hand(net: Loop, x: Tensor, samples: int) -> dict[str, float]:
    """Mean negative log-likelihood of rows of pixels, and its standard error from the draws."""
    from trine.evaluation.likelihood import summed

    values, errors = [], []
    with torch.inference_mode():
        for part in x.split(256):
            location, log_scale = net.code(part)
            found = []
            for _ in range(samples):
                noise = torch.randn_like(location)
                z = location + log_scale.exp() * noise
                lost = binary_cross_entropy_with_logits(net.decoder(z), part, reduction="none").sum(1)
                found.append(-lost + (0.5 * noise.square() - 0.5 * z.square() + log_scale).sum(1))
            value, error = summed(torch.stack(found).double())
            values.append(value)
            errors.append(error)
    error = torch.cat(errors)
    return {"nll": -float(torch.cat(values).mean()), "error": float(error.square().sum().sqrt()) / len(error)}


def likelihood(net: str, epochs: int | None, samples: int, shown: int, seed: int) -> dict[str, Any]:
    """Train one net and judge it on test images."""
    import trine

    train, test = binary("train"), binary("t10k")[:shown]
    if net == "loop":
        x = torch.from_numpy(train).float().div(255).flatten(1)
        trained, seconds = by_hand(x, epochs or 10, seed)
        found: dict[str, Any] = likelihood_by_hand(trained, torch.from_numpy(test).float().div(255).flatten(1), samples)
        return {**found, "seconds": seconds, "epochs": epochs or 10, "rows": shown, "samples": samples}
    own: dict[str, Any] = {"epochs": epochs} if epochs else {}
    if net in ("dense", "weighted"):
        own |= {"image": "dense", "hidden": (HIDDEN,), "batch_size": BATCH, "step_size": STEP, "epochs": epochs or 10}
    if net == "weighted":
        own |= {"draws": DRAWS}
    model = trine.Autoencoder(CODE, "kl", **own, validation_fraction=0.0, random_state=seed, threads=1).fit(train)
    measured = model.log_likelihood(test, samples)
    return {
        "nll": -measured.mean,
        "error": measured.mean_error,
        "bounds": {str(k): -value for k, value in measured.bounds.items()},
        "seconds": model.provenance_["seconds"],
        "epochs": model.provenance_["epochs"],
        "rows": shown,
        "samples": samples,
    }


Stepper = Callable[[], None]


def hand_stepper(plain: Tensor) -> Stepper:
    """A step of the hand-written loop, its batch taken by index from pixels that are floats already."""
    torch.manual_seed(0)
    net = Loop(plain.mean(0))
    optimiser = torch.optim.AdamW(net.parameters(), lr=STEP, weight_decay=0.0, fused=True)
    order = itertools.cycle(torch.randperm(len(plain)).split(BATCH))

    def step() -> None:
        loss = net.loss(plain[next(order)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def own_stepper(x: NDArray[np.uint8]) -> Stepper:
    """A step of trine's procedure on batches of its own store, whose pixels are bytes."""
    import trine
    from trine.data import Batches

    model = trine.Autoencoder(
        CODE, "kl", image="dense", hidden=(HIDDEN,), batch_size=BATCH, step_size=STEP, epochs=1, ema=0.0, clip=0.0,
        validation_fraction=0.0, random_state=0, threads=torch.get_num_threads(),
    ).fit(x)  # fmt: skip
    derivation = model.derivation_
    store, _ = model._encode(x)
    state = derivation.procedure.init(derivation.model, derivation.criterion)
    state.total = 10_000
    derivation.model.train()
    derivation.criterion.train()
    batches = Batches(store, None, BATCH, 0)
    feed = (batch for epoch in itertools.count() for batch in batches.epoch(epoch))

    def step() -> None:
        derivation.procedure.step(state, derivation.model, derivation.criterion, next(feed))

    return step


def pythae_stepper(plain: Tensor) -> Stepper | None:
    """A step as pythae's trainer makes it, with its data set and loader, on the same net; None where it is not installed."""
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
    except ImportError:
        return None

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.layer = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU())
            self.mean, self.log_var = nn.Linear(HIDDEN, CODE), nn.Linear(HIDDEN, CODE)

        def forward(self, x: Tensor) -> Any:
            h = self.layer(x.flatten(1))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.layers = nn.Sequential(nn.Linear(CODE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 784), nn.Sigmoid())

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.layers(z).view(-1, 1, 28, 28))

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=CODE, reconstruction_loss="bce")
    net = VAE(config, encoder=Encoder(), decoder=Decoder())
    images = plain.view(-1, 1, 28, 28)
    loader = torch.utils.data.DataLoader(BaseDataset(images, torch.zeros(len(images))), batch_size=BATCH, shuffle=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=STEP, weight_decay=0.0, fused=True)
    feed = (batch for _ in itertools.count() for batch in loader)

    def step() -> None:
        loss = net(next(feed)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def speed(rounds: int, threads: int) -> dict[str, Any]:
    """Processor seconds of a step of each, in turns of 50 steps, and the ratios of their medians to trine's."""
    torch.set_num_threads(threads)
    x = binary("train")[:20_000]
    plain = torch.from_numpy(x).float().div(255).flatten(1)
    steppers = {"loop": hand_stepper(plain), "trine": own_stepper(x), "pythae": pythae_stepper(plain)}
    seconds: dict[str, list[float]] = {name: [] for name, stepper in steppers.items() if stepper is not None}
    for _ in range(rounds):
        for name, stepper in steppers.items():
            if stepper is None:
                continue
            start = time.process_time() if threads == 1 else time.perf_counter()
            for _ in range(50):
                stepper()
            seconds[name].append(((time.process_time() if threads == 1 else time.perf_counter()) - start) / 50)
    medians = {name: float(np.median(found)) for name, found in seconds.items()}
    return {
        "threads": threads,
        "milliseconds": {name: 1000 * value for name, value in medians.items()},
        "ratios": {name: value / medians["trine"] for name, value in medians.items() if name != "trine"},
        "rounds": rounds,
        "clock": "processor" if threads == 1 else "wall",
    }


def write(results: dict[str, Any]) -> None:
    """The tables as Markdown."""
    lines = [
        "# Variational autoencoders on MNIST binarised at a threshold",
        "",
        "`python -m benchmarks.vae likelihood`",
        "",
    ]
    lines += [
        "| net | epochs | seconds | NLL | ± (draws) | draws | images | bounds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in results.get("likelihood", {}).items():
        bounds = ", ".join(f"L{k} {-value:.2f}" for k, value in found.get("bounds", {}).items())
        lines.append(
            f"| {name} | {found['epochs']} | {found['seconds']:.0f} | {found['nll']:.2f} | {found['error']:.3f} | "
            f"{found['samples']:,} | {found['rows']:,} | {bounds} |"
        )
    if results.get("speed"):
        lines += [
            "",
            "`python -m benchmarks.vae speed`: a step of the dense net, in turns of 50 steps; median milliseconds, and",
            "",
        ]
        lines += ["how many times as long as trine's the others' step is.", ""]
        lines += [
            "| threads | clock | trine | loop | pythae | loop / trine | pythae / trine |",
            "|---|---|---|---|---|---|---|",
        ]
        for found in results["speed"].values():
            took, ratios = found["milliseconds"], found["ratios"]
            cells = [f"{took[name]:.2f}" if name in took else "–" for name in ("trine", "loop", "pythae")]
            cells += [f"{ratios[name]:.2f}" if name in ratios else "–" for name in ("loop", "pythae")]
            lines.append(f"| {found['threads']} | {found['clock']} | {' | '.join(cells)} |")
    lines += ["", f"Conditions: {results['conditions']}"]
    (RESULTS / "vae.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("likelihood", "speed"))
    parser.add_argument("--nets", nargs="*", default=["loop", "dense", "default"])
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for net in given.nets if given.what == "likelihood" else [None]:
        if net is None:
            part, name, found = "speed", str(given.threads), speed(given.rounds, given.threads)
        else:
            part, name = "likelihood", net if given.epochs is None else f"{net}, {given.epochs} epochs"
            found = likelihood(net, given.epochs, given.samples, given.images, given.seed)
        results = load("vae")
        results.setdefault(part, {})[name] = found
        results["conditions"] = conditions()
        keep("vae", results)
        write(results)
        print(part, name, {key: value for key, value in found.items() if key != "ratios"}, flush=True)


if __name__ == "__main__":
    main()
