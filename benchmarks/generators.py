"""Generators of pictures: MNIST and Fashion-MNIST against a hand-written DCGAN in the same time; digits given their class.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.generators mnist --seconds 240
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.generators fashion_mnist --seconds 240
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.generators given --seconds 240

Both see the 60,000 training pictures, on one thread, for the same seconds by the clock, one after the other in one run. DCGAN is
Radford et al.'s (2016) for 28 × 28: z 100, 7 × 7 × 128 → 64 → 1 by transposed convolutions with batch normalisation, a critic that
mirrors it, Adam 2e-4 (0.5, 0.999), batches of 64, the non-saturating loss; its last weights are judged. FD-classifier: Fréchet's
distance of 5,000 made pictures from 5,000 test pictures in the 128 features before the last layer of a small convolutional
classifier that is trained on the training pictures in the same run (its test error is given); the floor is that of 5,000 training
pictures. It is no FID. ``given``: ``trine.ConditionalGAN`` on MNIST, 500 pictures of each digit, taken for that digit by a
classifier that saw test pictures alone (it learns on 8,000 of them, its accuracy is of the other 2,000). Kept in
``results/generators.json``, ``.md`` and ``generators_*.png``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import trine
from benchmarks.conditions import RESULTS, conditions, keep, load
from benchmarks.foreign import pictures
from trine.evaluation.samples import closest, frechet, support

MADE = 5_000
BATCH = 64


class Judge(nn.Module):
    """(batch, 1, 28, 28) in [0, 1] → (batch, 10); ``features`` gives (batch, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(),
        )  # fmt: skip
        self.last = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(self.body(x))
        return found

    @torch.inference_mode()
    def of(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """(features, classes) of bytes."""
        parts = [self.body(_unit(part)) for part in np.array_split(x, max(len(x) // 500, 1))]
        h = torch.cat(parts)
        return h.double().numpy(), self.last(h).argmax(1).numpy()


def _unit(x: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).float().div(255).unsqueeze(1)


def judge(x: NDArray[Any], y: NDArray[Any], epochs: int) -> Judge:
    """A classifier, trained."""
    torch.manual_seed(7)
    net = Judge()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    total = epochs * (len(x) // 128)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(128)[: len(x) // 128]:
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(_unit(x[rows])), torch.from_numpy(y[rows])).backward()
            optimiser.step()
            falling.step()
    return net.eval()


def dcgan(x: NDArray[Any], seconds: float) -> tuple[NDArray[Any], int]:
    """(MADE, 28, 28) bytes made after ``seconds`` of training, and the steps taken."""
    torch.manual_seed(0)
    g = nn.Sequential(
        nn.Linear(100, 128 * 49, bias=False), nn.Unflatten(1, (128, 7, 7)), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    d = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(128 * 49, 1),
    )  # fmt: skip
    for layer in (*g, *d):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
    of_g, of_d = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (g, d))
    loss, steps, start = nn.functional.binary_cross_entropy_with_logits, 0, time.perf_counter()
    one, zero = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
    while time.perf_counter() - start < seconds:
        real = _unit(x[np.random.default_rng(steps).integers(0, len(x), BATCH)]) * 2 - 1
        fake = g(torch.randn(BATCH, 100))
        of_d.zero_grad()
        (loss(d(real), one) + loss(d(fake.detach()), zero)).backward()
        of_d.step()
        of_g.zero_grad()
        loss(d(fake), one).backward()
        of_g.step()
        steps += 1
    g.eval()
    with torch.inference_mode():
        made = torch.cat([g(torch.randn(500, 100)) for _ in range(MADE // 500)])
    return ((made.squeeze(1) + 1) * 127.5).round().byte().numpy(), steps


def compare(data: str, seconds: float) -> None:
    x, y, test_x, test_y = of(data)
    net = judge(x, y, 3)
    test, guessed = net.of(test_x)
    rng = np.random.default_rng(0)
    floor = net.of(x[rng.permutation(len(x))[:MADE]])[0]
    start = time.perf_counter()
    model = trine.GAN(random_state=0, threads=1, budget=seconds).fit(x)
    took = time.perf_counter() - start
    ours = np.asarray(model.sample(MADE))
    theirs, steps = dcgan(x, took)
    found: dict[str, Any] = {
        "judge in error": float((guessed != test_y).mean()),
        "true": figures(floor, test[:MADE], floor, net.of(x[:MADE])[1]),
        "epochs": len(model.history_), "dcgan steps": steps, "seconds": took,
        "FD by epoch": [record.get("held_out") for record in model.history_],
    }  # fmt: skip
    for name, made in (("trine", ours), ("dcgan", theirs)):
        features, classes = net.of(made)
        found[name] = figures(features, test[:MADE], floor, classes)
        sheet(made[:80], RESULTS / f"generators_{data}_{name}.png")
    kept(data, found)


def figures(made: NDArray[Any], true: NDArray[Any], train: NDArray[Any], classes: NDArray[Any]) -> dict[str, Any]:
    """Scores of made features against true ones."""
    around = support(true, made)
    shares = np.bincount(classes, minlength=10) / len(classes)
    return {
        "FD": frechet(true, made), "precision": around.precision, "recall": around.recall, "coverage": around.coverage,
        "copies": closest(made, train, true).copies, "rarest class": float(shares.min()),
    }  # fmt: skip


def given(seconds: float) -> None:
    x, y, test_x, test_y = of("mnist")
    net = judge(test_x[:8000], test_y[:8000], 12)
    right = float((net.of(test_x[8000:])[1] == test_y[8000:]).mean())
    start = time.perf_counter()
    model = trine.ConditionalGAN(random_state=0, threads=1, budget=seconds).fit(y.astype(str), x)
    took = time.perf_counter() - start
    asked = np.array(list("0123456789"))
    made = np.asarray(model.sample(asked, 500))
    taken = net.of(made)[1] == np.repeat(np.arange(10), 500)
    ways = made.reshape(10, 500, -1).astype(float).std(1).mean()
    own = np.mean([x[y == k][:500].reshape(500, -1).astype(float).std(0).mean() for k in range(10)])
    sheet(made.reshape(10, 500, 28, 28)[:, :12].reshape(-1, 28, 28), RESULTS / "generators_given.png", 12)
    kept(
        "given",
        {
            "judge right on true": right, "taken for their class": float(taken.mean()),
            "each": taken.reshape(10, 500).mean(1).tolist(), "seconds": took, "epochs": len(model.history_),
            "spread within a class": float(ways), "spread of true ones": float(own),
        },
    )  # fmt: skip


def of(data: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Training and test pictures, bytes, and their classes, int64."""
    (x, y), (test_x, test_y) = pictures(data, "train"), pictures(data, "t10k")
    return x, y.astype(np.int64), test_x, test_y.astype(np.int64)


def sheet(made: NDArray[Any], path: Any, across: int = 16) -> None:
    """Pictures side by side, as one small PNG."""
    from PIL import Image

    rows = len(made) // across
    page = made[: rows * across].reshape(rows, across, 28, 28).transpose(0, 2, 1, 3).reshape(rows * 28, across * 28)
    Image.fromarray(page).save(path, optimize=True)


def kept(name: str, found: dict[str, Any]) -> None:
    results = load("generators") | {name: found, "conditions": conditions()}
    keep("generators", results)
    write(results)
    print(name, {key: value for key, value in found.items() if key != "FD by epoch"}, flush=True)


def write(results: dict[str, Any]) -> None:
    """The tables as Markdown."""
    lines = ["# Generators of pictures", "", __doc__ or ""]
    for data in ("mnist", "fashion_mnist"):
        if data not in results:
            continue
        found = results[data]
        lines += [
            f"{data}: {found['seconds']:.0f} s each; trine {found['epochs']} epochs, DCGAN {found['dcgan steps']:,} steps; "
            f"the judge's test error {100 * found['judge in error']:.2f} %.",
            "", "| | FD-classifier | precision | recall | coverage | copies | rarest class |", "|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for key, label in (("true", "training pictures (floor)"), ("trine", "trine.GAN"), ("dcgan", "DCGAN")):
            part = found[key]
            lines.append(
                f"| {label} | {part['FD']:.2f} | {part['precision']:.3f} | {part['recall']:.3f} | {part['coverage']:.3f} | "
                f"{100 * part['copies']:.1f} % | {100 * part['rarest class']:.1f} % |"
            )
        lines += ["", f"![trine](generators_{data}_trine.png) ![DCGAN](generators_{data}_dcgan.png)", ""]
    if "given" in results:
        found = results["given"]
        lines += [
            f"Given the class: {100 * found['taken for their class']:.2f} % of 5,000 digits are taken for theirs after "
            f"{found['seconds']:.0f} s (least: {100 * min(found['each']):.1f} %); the judge is right on "
            f"{100 * found['judge right on true']:.2f} % of true ones. Deviation of a pixel within a class: "
            f"{found['spread within a class']:.1f}, of true ones {found['spread of true ones']:.1f} (of 255).",
            "", "![Given the class](generators_given.png)", "",
        ]  # fmt: skip
    lines.append(f"Conditions: {results['conditions']}")
    (RESULTS / "generators.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("mnist", "fashion_mnist", "given"))
    parser.add_argument("--seconds", type=float, default=500.0)
    chosen = parser.parse_args()
    if chosen.what == "given":
        given(chosen.seconds)
    else:
        compare(chosen.what, chosen.seconds)


if __name__ == "__main__":
    main()
