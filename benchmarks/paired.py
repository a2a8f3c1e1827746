"""Pictures given pictures: the conditional GAN beside the same network with the likelihood alone, and without the diversity term.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.paired digits
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.paired aerial2map
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.paired map2aerial

``digits``: half of the edge pixels of an MNIST digit (thresholded gradient; 2 × 2 squares left out at random), as a picture,
become the digit. The judge is a classifier of real digits that saw none of these: is the made digit of the right class, and how
far are made digits from real ones in its features (Fréchet).

``map2aerial`` and ``aerial2map``: the pairs of shared/data/aerial2map at SIDE × SIDE pixels (means of boxes), mirrored at random in
training, both pictures alike. The judge of made aerials is a small network that learned from real pairs to tell which of five
colours of the map a place has (as the FCN score of Isola et al., 2017, section 4.1); of made maps it is the nearest colour itself.

All variants have the same network, batches, step sizes and epochs, whatever their scores do on the way (``patience=0``: steps end
small, and most is gained there), and keep the epoch with the best energy score. Kept in
``results/paired.json``, ``paired.md`` and small pictures: what was read, the truth, five answers of each variant.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mode
from torch import nn
from torch.nn.functional import cross_entropy, interpolate, relu

import trine
from benchmarks.conditions import DATA, RESULTS, conditions, keep, load
from benchmarks.foreign import pictures
from trine.choices import Choices
from trine.criterion import Criterion
from trine.data import Schema
from trine.estimators._scored.pairs import energy
from trine.evaluation.features import feature_space
from trine.evaluation.samples import frechet
from trine.methods import methods
from trine.methods._base import Facts
from trine.methods.gan import ConditionalGanMethod
from trine.procedures import Procedure

Pixels = NDArray[np.uint8]
ANSWERS, SHOWN, SIDE, COLOURS = 5, 8, 64, 5


@methods.register("likelihood_alone")
class LikelihoodAlone(ConditionalGanMethod):
    """The same generator without a critic."""

    def build(self, schema: Schema, choices: Choices, facts: Facts) -> tuple[nn.Module, Criterion, Procedure]:
        """The three parts, of which the criterion has the likelihood alone."""
        model, criterion, procedure = super().build(schema, choices.replace(diversity=0.0), facts)
        return model, Criterion(*(term for term in criterion.terms if term.name == "likelihood")), procedure


class ByLikelihood(trine.ConditionalGAN):
    """The estimator of it."""

    method = "likelihood_alone"


VARIANTS: dict[str, tuple[type[trine.ConditionalGAN], dict[str, Any]]] = {
    "likelihood alone": (ByLikelihood, {"diversity": 0.0}),
    "GAN": (trine.ConditionalGAN, {}),
    "GAN without diversity": (trine.ConditionalGAN, {"diversity": 0.0}),
}


def edges_of(digits: Pixels, seed: int) -> Pixels:
    """(rows, 28, 28) 0 or 255: about half of where a digit's gradient is steep."""
    rng = np.random.default_rng(seed)
    unit = np.pad(digits.astype(np.float32) / 255, ((0, 0), (1, 1), (1, 1)))
    rise = np.hypot(unit[:, 1:-1, 2:] - unit[:, 1:-1, :-2], unit[:, 2:, 1:-1] - unit[:, :-2, 1:-1])
    left = (rng.random((len(digits), 14, 14)) < 0.5).repeat(2, 1).repeat(2, 2)
    return np.where((rise > 0.6) & left, 255, 0).astype(np.uint8)


class Digits:
    """Edges → digits."""

    name = "digits"
    choices: Mapping[str, Any] = {"channels": 16, "epochs": 4}

    def __init__(self) -> None:
        digits, labels = pictures("mnist", "train")
        tested, self.labels = (part[:1000] for part in pictures("mnist", "t10k"))
        self.judge = trine.Classifier(random_state=0, threads=1, budget=60).fit(
            digits[20_000:40_000], labels[20_000:40_000]
        )
        self.train = edges_of(digits[:4000], 0), digits[:4000]
        self.test = edges_of(tested, 1), tested
        self.known = self.judge.represent(tested).astype(np.float64)

    def read(self, answers: Pixels) -> NDArray[np.int64]:
        """(n,) what the judge sees in one answer to each test picture."""
        return np.asarray(self.judge.predict(answers), dtype=np.int64)

    def judged(self, read: NDArray[np.int64]) -> dict[str, float]:
        """Of what was read in one answer to each test picture, or in most of several."""
        return {"right class": float((read == self.labels).mean())}

    def distance(self, answers: Pixels) -> dict[str, float]:
        """Fréchet's in the judge's features, of one answer to each test picture."""
        return {"FD-classifier": frechet(self.known, self.judge.represent(answers).astype(np.float64))}


class Reader(nn.Module):
    """(n, 3, h, w) aerial → (n, colours, h, w) logits of the map's colours."""

    def __init__(self, colours: int) -> None:
        super().__init__()
        self.near, self.far = nn.Conv2d(3, 16, 5, padding=2), nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.farther, self.last = nn.Conv2d(32, 32, 5, padding=2), nn.Conv2d(48, colours, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        near = relu(self.near(x))
        far = relu(self.farther(relu(self.far(near))))
        logits: torch.Tensor = self.last(torch.cat([near, interpolate(far, scale_factor=2.0)], 1))
        return logits


class Maps:
    """Aerial photographs and maps, either way."""

    choices: Mapping[str, Any] = {"epochs": 10, "flip": "both"}

    def __init__(self, name: str) -> None:
        from sklearn.cluster import KMeans

        self.name = name
        parts = {part: halves(DATA / "aerial2map" / part) for part in ("train", "val")}
        order = slice(None, None, 1 if name == "aerial2map" else -1)
        self.train, self.test = parts["train"][order], parts["val"][order]
        aerial, maps = parts["train"]
        self.colours = KMeans(COLOURS, n_init=4, random_state=0).fit(maps[::4, ::2, ::2].reshape(-1, 3).astype(float))
        self.truth = self.colour(parts["val"][1])
        if name == "map2aerial":
            self.reader = self._reader(aerial, self.colour(maps))

    def colour(self, maps: Pixels) -> NDArray[np.int64]:
        """(n, h, w) the nearest colour of each place."""
        found = self.colours.predict(maps.reshape(-1, 3).astype(float)).reshape(maps.shape[:3])
        return np.asarray(found, dtype=np.int64)

    def read(self, answers: Pixels) -> NDArray[np.int64]:
        """(n, h, w) which colour of the map the judge sees in each place of one answer to each test picture."""
        if self.name == "aerial2map":
            return self.colour(answers)
        with torch.inference_mode():
            found = [self.reader(unit(some)).argmax(1) for some in np.array_split(answers, 4)]
        return torch.cat(found).numpy()

    def judged(self, read: NDArray[np.int64]) -> dict[str, float]:
        """Of what was read in one answer to each test picture, or in most of several."""
        kinds = [(read == k, self.truth == k) for k in range(COLOURS)]
        overlap = [float((a & b).sum() / max((a | b).sum(), 1)) for a, b in kinds]
        return {"right colour": float((read == self.truth).mean()), "overlap": float(np.mean(overlap))}

    def distance(self, answers: Pixels) -> dict[str, float]:
        """The judges of maps have no features."""
        return {}

    @staticmethod
    def _reader(aerial: Pixels, colour: NDArray[np.int64], epochs: int = 12) -> Reader:
        torch.manual_seed(0)
        net, x, y = Reader(COLOURS), unit(aerial), torch.from_numpy(colour)
        optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(16):
                flip = [[], [2], [3], [2, 3]][int(torch.randint(4, ()))]
                inputs, wanted = x[rows].flip(flip), y[rows].flip([axis - 1 for axis in flip])
                loss = cross_entropy(net(inputs), wanted)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return net.eval()


def halves(folder: Path) -> tuple[Pixels, Pixels]:
    """(aerials, maps), (n, SIDE, SIDE, 3) each."""
    from PIL import Image

    found = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as picture:
            found.append(np.asarray(picture.resize((2 * SIDE, SIDE), Image.Resampling.BOX)))
    both = np.stack(found)
    return both[:, :, :SIDE], both[:, :, SIDE:]


def unit(pixels: Pixels) -> torch.Tensor:
    """(n, 3, h, w) in [−1, 1]."""
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1


def measured(task: Any, variant: str, epochs: int | None) -> tuple[dict[str, Any], Pixels]:
    """(figures, five answers to each shown picture) of one variant."""
    kind, more = VARIANTS[variant]
    choices = {**task.choices, **more, **({"epochs": epochs} if epochs else {})}
    clock = time.process_time(), time.perf_counter()
    model = kind(random_state=0, threads=1, patience=0, **choices).fit(*task.train)
    spent = time.process_time() - clock[0], time.perf_counter() - clock[1]
    x, y = task.test
    made: Pixels = model.translate(x, ANSWERS, seed=1)
    found = compared(made, y, task.train[1])
    answers = [made[:, k] for k in range(ANSWERS)]
    read = [task.read(one) for one in answers]
    judged = [task.judged(labels) | task.distance(one) for labels, one in zip(read, answers, strict=True)]
    found |= {name: float(np.mean([one[name] for one in judged])) for name in judged[0]}
    vote = mode(np.stack(read), axis=0).mode
    found |= {f"{name}, by vote": value for name, value in task.judged(vote).items()}
    found |= {"processor seconds": spent[0], "seconds": spent[1], "best epoch": model.provenance_["best_epoch"]}
    found |= {"epochs": model.n_iter_, "pairs": len(y)}
    return found, made[shown(len(y))]


def compared(made: Pixels, true: Pixels, known: Pixels) -> dict[str, float]:
    """Of (n, answers, ...) made pictures beside their true ones: in random features, and number by number.

    Fréchet's distance is that of one answer to each test picture from as many pictures of the training, and its floor that of the
    test's own.
    """
    reference = seen(known[np.random.default_rng(0).permutation(len(known))[: len(true)]])
    space = feature_space(reference, [tuple(reference.shape[1:])], len(true))
    features, real = np.stack([space(seen(made[:, k])) for k in range(ANSWERS)], axis=1), space(seen(true))
    answers, truth = made.astype(np.float64) / 255, true.astype(np.float64)[:, None] / 255
    error = np.abs(answers - truth).mean()
    apart = np.abs(answers - np.roll(answers, 1, 1)).mean()
    distances = [frechet(space(reference), features[:, k]) for k in range(ANSWERS)]
    return {
        "energy-random-conv": float(energy(real, features).mean()),
        "FD-random-conv": float(np.mean(distances)),
        "floor of FD-random-conv": frechet(space(reference), real),
        "absolute error": float(error),
        "apart": float(apart / np.abs(answers - np.roll(answers, 1, 0)).mean()),
        "spread": float(apart / error),
    }


def seen(pixels: Pixels) -> torch.Tensor:
    """(n, channels, h, w) in [−1, 1] of grey or coloured pictures."""
    return unit(pixels if pixels.ndim == 4 else pixels[..., None])


def shown(pairs: int) -> NDArray[np.int64]:
    """Which test pairs the picture shows: spread over all, for neighbours in a folder are alike."""
    return np.linspace(0, pairs - 1, SHOWN).astype(np.int64)


def drawn(task: Any, answers: Mapping[str, Pixels]) -> None:
    """A row for each picture: what was read, the truth, the answers of each variant."""
    from PIL import Image

    x, y = (part[shown(len(part))] for part in task.test)
    gap = [np.full((*x.shape[1:2], 6, *x.shape[3:]), 128, np.uint8)]
    rows = []
    for i in range(SHOWN):
        line: list[Pixels] = [x[i], y[i]]
        for made in answers.values():
            line += [*gap, *made[i]]
        rows.append(np.concatenate(line, axis=1))
    sheet = np.concatenate(rows)
    sheet = sheet if task.name != "digits" else sheet.repeat(2, 0).repeat(2, 1)
    picture = Image.fromarray(sheet)
    picture = picture.quantize(128) if sheet.ndim == 3 else picture
    picture.save(RESULTS / f"paired-{task.name}.png", optimize=True)


TITLES = {
    "digits": "Edges → digits, 28 × 28",
    "aerial2map": f"Aerial photograph → map, {SIDE} × {SIDE}",
    "map2aerial": f"Map → aerial photograph, {SIDE} × {SIDE}",
}
JUDGES = (
    "right class", "right class, by vote", "FD-classifier", "right colour", "right colour, by vote", "overlap", "overlap, by vote",
    "FD-random-conv", "energy-random-conv",
)  # fmt: skip
OTHERS = ("absolute error", "apart", "spread", "best epoch", "processor seconds")
INTRODUCTION = """# Pictures given pictures

The conditional GAN as it is by default (a critic of pairs, a likelihood, and the spread term that keeps a picture's answers
apart), beside the same network without the spread term, and with the likelihood alone. One seed, the same batches, step sizes and
epochs; the best epoch by the energy score is kept. Figures are of five answers to each test pair, which no training saw.

- *right class*, *right colour*: what the judge sees is what the true picture shows. *overlap*: mean over five colours of the map of
  intersection over union. *by vote*: of what most of the five answers show. A single answer that is drawn from what the data leave
  open is right less often than one that is always the likeliest (Σ p² ≤ max p); a vote of several makes up for some of that.
- *FD*: Fréchet's distance of one answer's features to real ones, less is better.
- *energy-random-conv*: the energy score of answers in random features; least where answers are distributed as the data.
- *apart*: distance of two answers to one picture over that of answers to two pictures under one noise. *spread*: the same over the
  answers' error; 1 where answers are drawn from what the data leave open, 0 where they are all alike.
"""


def written() -> None:
    """``paired.md`` from what is kept and ``paired-notes.md``, which says what to read in it."""
    lines, notes = [INTRODUCTION], (RESULTS / "paired-notes.md").read_text(encoding="utf-8")
    for name, found in load("paired").items():
        by = {variant: found["variants"][variant] for variant in VARIANTS}
        first = next(iter(by.values()))
        columns = [key for key in (*JUDGES, *OTHERS) if key in first]
        lines += [
            f"## {TITLES[name]}",
            "",
            f"![read, truth, and five answers each of: {', '.join(by)}](paired-{name}.png)",
            "",
        ]
        lines += [f"Left to right: what was read, the truth, five answers each of {', '.join(by)}.", ""]
        lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for variant, figures in by.items():
            lines.append(f"| {variant} | " + " | ".join(number(figures[key]) for key in columns) + " |")
        real = {**found["real"], "FD-random-conv": first["floor of FD-random-conv"]}
        lines.append(
            "| real pictures | " + " | ".join(number(real[key]) if key in real else "" for key in columns) + " |"
        )
        of = found["conditions"]
        lines += [
            "",
            f"{first['pairs']:,} test pairs, {first['epochs']} epochs. "
            f"`python -m benchmarks.paired {name} --epochs {first['epochs']}`, one",
        ]
        lines += [
            f"thread of {of['cpu']}, shared with other work; {of['date']}, commit {of['commit']}, torch {of['torch']}.",
            "",
        ]
    (RESULTS / "paired.md").write_text("\n".join([*lines, notes]), encoding="utf-8")


def number(value: float) -> str:
    """With three digits."""
    value = round(value, 6)  # a distance from itself is 0, whatever the rounding
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


TASKS: dict[str, Callable[[], Any]] = {
    "digits": Digits,
    "map2aerial": lambda: Maps("map2aerial"),
    "aerial2map": lambda: Maps("aerial2map"),
}


def main() -> None:
    """Run one task, all variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--epochs", type=int)
    given = parser.parse_args()
    task = TASKS[given.task]()
    real = task.judged(task.read(task.test[1])) | task.distance(task.test[1])
    print("real", real, flush=True)
    figures, answers = {}, {}
    for variant in VARIANTS:
        figures[variant], answers[variant] = measured(task, variant, given.epochs)
        print(variant, {name: round(value, 4) for name, value in figures[variant].items()}, flush=True)
    drawn(task, answers)
    keep("paired", {**load("paired"), given.task: {"variants": figures, "real": real, "conditions": conditions()}})
    written()


if __name__ == "__main__":
    main()
