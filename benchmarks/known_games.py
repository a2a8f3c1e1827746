"""Games whose answer is known: rings and grids of Gaussians for every divergence, and a mixture on a line against quadrature.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.known_games gaussians --epochs 30
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.known_games line
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.known_games gradient
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.known_games stacked --seconds 300
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.known_games answers

``gaussians``: 8 Gaussians of deviation 0.02 on a ring of radius 2, and 25 of deviation 0.05 on a grid of distance 2; 20,000
points are seen, 2,500 are made by ``trine.GAN(divergence, likelihood=0)``, so that what is learned is the divergence alone, with
30 epochs. A made point is good within three deviations of a mode, and a mode is found that has one (VEEGAN's protocol, where it
found 8 and 24.6 modes, and a plain GAN 1 and 3.3). ``line``: critics alone, between 0.5 N(-1.5, 0.5²) + 0.5 N(1.5, 0.5²) and N(0,
1), and between N(0, 1) and N(3, 1). ``gradient``: what reaches a generator early, under the loss of 2014 as written and under the
non-saturating one. ``stacked``: three random MNIST training digits as the channels of a picture, 128,000 of them, by
``trine.GAN()`` for so many seconds each, rows by themselves and in packs of two; 26,000 made ones, each channel read by a
classifier, are put to the 1,000 triples: modes seen, and KL(made ‖ uniform), beside those of as many true ones (PacGAN's
protocol, where DCGAN has 99 / 3.40, PacDCGAN2 1000 / 0.06 after 50 epochs on a GPU; R3GAN 1000 / 0.029). ``answers``: 400 pairs of
a number x and 3 sin 2x ± 1, by ``trine.ConditionalGAN(diversity=…, noise=1)`` of two layers of 32 and 40 epochs, ten seeds: how
far 100 answers to each of 20 x's are apart, and their W1 from the two true ones. Kept in ``results/known_games.json``, ``.md``,
``stacked.png``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm

import trine
from benchmarks.conditions import RESULTS, conditions, keep, load
from trine.divergences import learned

ROWS, MADE = 20_000, 2_500
SHAPES = {"ring": (8, 0.02), "grid": (25, 0.05)}


def centres(shape: str) -> NDArray[np.float64]:
    """(modes, 2)."""
    if shape == "ring":
        angle = np.arange(8) * np.pi / 4
        return 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.stack(np.meshgrid(np.arange(-4, 5, 2), np.arange(-4, 5, 2)), -1).reshape(-1, 2).astype(float)


def points(shape: str, rows: int, seed: int) -> NDArray[np.float64]:
    """(rows, 2) of the mixture, every mode as often."""
    rng = np.random.default_rng(seed)
    at = centres(shape)
    return at[rng.integers(0, len(at), rows)] + rng.normal(0, SHAPES[shape][1], (rows, 2))


def judged(made: NDArray[np.float64], shape: str) -> dict[str, float]:
    """Modes found, share of good points, and reverse KL of the modes' shares."""
    away = np.linalg.norm(made[:, None] - centres(shape), axis=2)
    nearest = away.argmin(1)
    good = away.min(1) < 3 * SHAPES[shape][1]
    shares = np.bincount(nearest[good], minlength=SHAPES[shape][0]) / max(good.sum(), 1)
    there = shares > 0
    return {
        "modes": int(there.sum()),
        "good": float(good.mean()),
        "reverse_kl": float((shares[there] * np.log(shares[there] * len(shares))).sum()),
    }


def gaussians(names: list[str], **choices: Any) -> None:
    for name in names:
        for shape in SHAPES:
            start = time.perf_counter()
            # What is learned is to be seen, and not what a likelihood beside it does.
            model = trine.GAN(name, likelihood=0.0, random_state=0, threads=1, **choices).fit(points(shape, ROWS, 0))
            found = judged(np.asarray(model.sample(MADE)), shape)
            found["seconds"] = time.perf_counter() - start
            results = load("known_games")
            results.setdefault("gaussians", {}).setdefault(name, {})[shape] = found
            results["conditions"] = conditions()
            keep("known_games", results)
            write(results)
            print(name, shape, found, flush=True)


# Critics on a line ----------------------------------------------------------------------------------------------------


def js_by_quadrature() -> float:
    """Jensen-Shannon of the mixture and N(0, 1), ½ KL(p ‖ m) + ½ KL(q ‖ m) with m = (p + q) / 2."""

    def p(x: float) -> float:
        return float(0.5 * norm.pdf(x, -1.5, 0.5) + 0.5 * norm.pdf(x, 1.5, 0.5))

    def part(x: float) -> float:
        a, b = p(x), float(norm.pdf(x))
        m = (a + b) / 2
        return (a * np.log(a / m) if a > 0 else 0.0) + (b * np.log(b / m) if b > 0 else 0.0)

    return 0.5 * float(quad(part, -8, 8, limit=400, points=[-1.5, 0, 1.5])[0])


def tightened(divergence: Any, fake: Any, real: Any, steps: int, size: float) -> float:
    """The bound after ``steps`` of the critic on fresh samples, the mean over a million."""
    optimiser = torch.optim.AdamW(divergence.parameters(), size, betas=(0.0, 0.99), weight_decay=0.0)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        divergence.tighten(fake(1024), real(1024)).mean().backward()
        optimiser.step()
        falling.step()
    with torch.no_grad():
        return float(torch.stack([divergence.bound(fake(10_000), real(10_000)).mean() for _ in range(100)]).mean())


class Line(torch.nn.Module):
    """A critic on a line, (batch, 1) → (batch,)."""

    def __init__(self) -> None:
        super().__init__()
        layers = [
            torch.nn.Linear(1, 64),
            torch.nn.SiLU(),
            torch.nn.Linear(64, 64),
            torch.nn.SiLU(),
            torch.nn.Linear(64, 1),
        ]
        self.net = torch.nn.Sequential(*layers)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.net(value).squeeze(1)
        return found


def line() -> None:
    torch.manual_seed(0)

    def normal(at: float = 0.0) -> Any:
        return lambda n: at + torch.randn(n, 1)

    def mixture(n: int) -> torch.Tensor:
        return torch.where(torch.rand(n, 1) < 0.5, -1.5, 1.5) + 0.5 * torch.randn(n, 1)

    found: dict[str, Any] = {}
    for name in ("js", "minimax"):
        found[name] = {
            "learned": tightened(learned[name](Line()), normal(), mixture, 6000, 2e-3),
            "truth": js_by_quadrature(),
        }
    # The slope of the best critic under the one-sided penalty λ (‖∇‖ − 1)₊² is 1 + D / (2 λ), and its bound D times that.
    wasserstein = learned["wasserstein"](Line())
    found["wasserstein, D = 3"] = {
        "learned": tightened(wasserstein, normal(), normal(3.0), 6000, 2e-3),
        "truth": 3 * (1 + 3 / (2 * wasserstein.weight)),
        "without penalty": 3.0,
    }
    results = load("known_games") | {"line": found, "conditions": conditions()}
    keep("known_games", results)
    write(results)
    print(found)


# What a generator descends early --------------------------------------------------------------------------------------


def gradient() -> None:
    """How steep each loss is for the generator as the critic grows sure that its samples are made."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    torch.manual_seed(0)
    steps = [0, *np.unique(np.geomspace(1, 400, 40).astype(int)).tolist()]
    slopes: dict[str, list[float]] = {"minimax": [], "js": []}
    sure: list[float] = []
    critic = Line()
    optimiser = torch.optim.Adam(critic.parameters(), 2e-3)
    for step in range(max(steps) + 1):
        shift = torch.zeros(1, requires_grad=True)  # a generator that has only begun: N(shift, 0.3²), the truth far off
        fake, real = shift + 0.3 * torch.randn(2048, 1), 3 + 0.3 * torch.randn(2048, 1)
        if step in steps:
            sure.append(float(torch.sigmoid(critic(fake)).mean().detach()))
            for name, known in slopes.items():
                (slope,) = torch.autograd.grad(learned[name](critic)(fake, real).mean(), shift, retain_graph=True)
                known.append(float(slope.abs()))
        optimiser.zero_grad()
        learned["js"](critic).tighten(fake.detach(), real).mean().backward()
        optimiser.step()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    at = np.linspace(-8, 4, 200)
    left.plot(at, -np.log1p(np.exp(at)), color="#b5483a", label="minimax: log(1 − σ(v))")
    left.plot(at, np.log1p(np.exp(-at)), color="#2a6f97", label="non-saturating: −log σ(v)")
    left.axvspan(-8, -3, color="#888888", alpha=0.12, lw=0)
    left.text(-5.5, -2.2, "made samples,\nearly in training", ha="center", va="center", fontsize=9)
    left.set(xlabel="the critic's value v of a made sample", ylabel="what the generator descends", title="Two losses")
    right.semilogy(steps, slopes["minimax"], color="#b5483a", label="minimax")
    right.semilogy(steps, slopes["js"], color="#2a6f97", label="non-saturating")
    right.set(
        xlabel="steps of the critic, the generator at rest",
        ylabel="|∂L/∂θ|",
        title="Gradient that reaches the generator",
    )
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "saturation.png", dpi=110)
    found = {
        "steps": steps[-1],
        "sigma of made": sure[-1],
        "minimax": slopes["minimax"][-1],
        "non-saturating": slopes["js"][-1],
    }
    results = load("known_games") | {"gradient": found, "conditions": conditions()}
    keep("known_games", results)
    write(results)
    print(found)


# A thousand modes ------------------------------------------------------------------------------------------------------

STACKED, SEEN = 128_000, 26_000


def stacks(x: NDArray[np.uint8], rows: int, seed: int) -> NDArray[np.uint8]:
    """(rows, 28, 28, 3), each channel a random picture of ``x``."""
    chosen = np.random.default_rng(seed).integers(0, len(x), (3, rows))
    return np.stack([x[part] for part in chosen], -1)


def modes_of(made: NDArray[np.uint8], net: Any) -> dict[str, float]:
    """Triples seen of 1,000, and KL of their shares from all alike."""
    digits = [net.of(np.ascontiguousarray(made[..., channel]))[1] for channel in range(3)]
    shares = np.bincount(digits[0] * 100 + digits[1] * 10 + digits[2], minlength=1000) / len(made)
    there = shares > 0
    return {
        "modes": int(there.sum()),
        "reverse_kl": float((shares[there] * np.log(shares[there] * len(shares))).sum()),
    }


def stacked(seconds: float) -> None:
    """The default game on 1,000 modes, rows by themselves and in packs."""
    from PIL import Image

    from benchmarks.foreign import pictures
    from benchmarks.generators import judge

    torch.set_num_threads(1)
    (x, y), (test_x, test_y) = pictures("mnist", "train"), pictures("mnist", "t10k")
    net = judge(x, y, 2)
    found: dict[str, Any] = {"judge": float((net.of(test_x)[1] == test_y).mean())}
    found["true"] = modes_of(stacks(test_x, SEEN, 1), net)
    print(found, flush=True)
    rows = stacks(x, STACKED, 0)
    shown = []
    for pack in (1, 2):
        start = time.perf_counter()
        model = trine.GAN(pack=pack, random_state=0, threads=1, budget=seconds, validation_fraction=0.02).fit(rows)
        took = time.perf_counter() - start
        made = np.concatenate([np.asarray(model.sample(2_000, seed=part)) for part in range(SEEN // 2_000)])
        found[f"pack {pack}"] = modes_of(made, net) | {
            "seconds": took, "steps": model.history_[-1]["step"]
        }  # fmt: skip
        shown.append(np.concatenate(list(np.concatenate(list(made[:24].reshape(2, 12, 28, 28, 3)), 1)), 1))
        print(pack, found[f"pack {pack}"], flush=True)
        results = load("known_games") | {"stacked": found}
        results["stacked"]["conditions"] = conditions()
        keep("known_games", results)
        write(results)
    Image.fromarray(np.concatenate(shown, 0)).save(RESULTS / "stacked.png", optimize=True)


# Answers to one condition ---------------------------------------------------------------------------------------------

WEIGHTS = (None, 0.0, 0.1, 1.0)
"""Of what keeps answers apart; None: the default."""


def wave(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the two answers to x lie about, one above and one below by 1."""
    found: NDArray[np.float64] = 3 * np.sin(2 * x)
    return found


def answers(seeds: int = 10) -> None:
    """The term that keeps answers apart against the same training without it."""
    asked = np.linspace(-1, 1, 20)
    found: dict[str, Any] = {}
    for weight in WEIGHTS:
        apart, away = [], []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=400)
            y = wave(x) + rng.choice([-1.0, 1.0], 400) + 0.05 * rng.normal(size=400)
            model = trine.ConditionalGAN(
                diversity=weight,
                noise=1,
                epochs=40,
                hidden=(32, 32),
                validation_fraction=0.0,
                random_state=seed,
                threads=1,
            ).fit(x[:, None], y)
            made = np.sort(np.asarray(model.sample(asked[:, None], 100, seed=1)).reshape(20, 100), axis=1)
            true = np.repeat([-1.0, 1.0], 50) + wave(asked)[:, None]
            apart.append(float(made.std(1).mean()))
            away.append(float(np.abs(made - true).mean()))
        used = model.derivation_.choices.diversity
        name = f"{used:g}" + (" (the default)" if weight is None else "")
        found[name] = {"deviation": apart, "w1": away}
        print(name, np.round(apart, 2), np.round(away, 2), flush=True)
    results = load("known_games") | {"answers": found, "conditions": conditions()}
    keep("known_games", results)
    write(results)


def write(results: dict[str, Any]) -> None:
    """The tables as Markdown."""
    lines = ["# Games whose answer is known", "", __doc__ or ""]
    if "gaussians" in results:
        lines += [
            "| divergence | ring: modes of 8 | good | reverse KL | grid: modes of 25 | good | reverse KL | seconds |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, by_shape in results["gaussians"].items():
            cells = [
                f"{part['modes']} | {100 * part['good']:.1f} % | {part['reverse_kl']:.3f}"
                for part in (by_shape.get(shape) for shape in SHAPES)
                if part
            ]
            seconds = sum(part["seconds"] for part in by_shape.values())
            cells += [" | | "] * (len(SHAPES) - len(cells))
            lines.append(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |")
        lines.append("")
    if "line" in results:
        lines += ["| critic | learned | truth |", "|---|---|---|"]
        for name, found in results["line"].items():
            more = f" = D + D²/(2λ); W1 itself is {found['without penalty']:.0f}" if "without penalty" in found else ""
            lines.append(f"| {name} | {found['learned']:.4f} | {found['truth']:.4f}{more} |")
        lines.append("")
    if "gradient" in results:
        found = results["gradient"]
        lines += [
            f"After {found['steps']} steps of the critic, σ(v) of made samples is {found['sigma of made']:.1e}; what reaches the "
            f"generator is {found['minimax']:.1e} under the loss as written, {found['non-saturating']:.2f} under the other.",
            "", "![Gradients early in training](saturation.png)", "",
        ]  # fmt: skip
    if "stacked" in results:
        found = results["stacked"]
        lines += ["| stacked MNIST | modes of 1,000 | KL | seconds | steps of 64 |", "|---|---|---|---|---|"]
        for name in ("true", "pack 1", "pack 2"):
            if name in found:
                part = found[name]
                told = f"{part['seconds']:.0f} | {part['steps']:,}" if "seconds" in part else " | "
                lines.append(f"| {name} | {part['modes']} | {part['reverse_kl']:.3f} | {told} |")
        lines += [
            "",
            f"The judge is right on {100 * found['judge']:.2f} % of test digits; `true` is of pictures stacked of test digits. "
            "One seed each. In packs of two the critic has half as many values of as many rows. "
            "Made, the upper two rows by themselves, the lower two in packs of two:",
            "", "![Made stacks of digits](stacked.png)", "", f"Conditions of stacked MNIST: {found['conditions']}", "",
        ]  # fmt: skip
    if "answers" in results:
        lines += [
            "| diversity | deviation of answers (1 in the data): mean, least, most | W1 from the true ones |",
            "|---|---|---|",
        ]
        for name, part in results["answers"].items():
            apart = part["deviation"]
            lines.append(
                f"| {name} | {np.mean(apart):.2f}, {min(apart):.2f}, {max(apart):.2f} | {np.mean(part['w1']):.2f} |"
            )
        lines.append("")
    lines.append(f"Conditions: {results['conditions']}")
    (RESULTS / "known_games.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("gaussians", "line", "gradient", "stacked", "answers"))
    parser.add_argument("--seconds", type=float, default=300.0, help="of each game of stacked")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--names", nargs="*", default=None, choices=list(learned))
    given = parser.parse_args()
    if given.what == "gaussians":
        gaussians(given.names or list(learned), epochs=given.epochs)
    elif given.what == "stacked":
        stacked(given.seconds)
    else:
        {"line": line, "gradient": gradient, "answers": answers}[given.what]()


if __name__ == "__main__":
    main()
