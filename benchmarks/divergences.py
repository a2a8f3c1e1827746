"""What a scoring rule adds to a training step, and exact distances of samples beside POT's and SciPy's, in one run.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.divergences
    taskset -c 0 env OMP_NUM_THREADS=1 PYTHONPATH=<where POT is> python -m benchmarks.divergences --parts samples

``steps``: the training step of a network of 8 inputs and two layers of 64 rectifiers, batch 256, by the one loop (``steps`` with
``Descent``: AdamW) on synthetic rows in memory, once with ``divergence=kl``, the negative log-likelihood, and once with ``cramer``,
the CRPS or, of four numbers, the energy score; the same initial weights and rows. Then the default network for California housing,
whose y has the default rule of positive numbers, as ``trine.fit`` derives it.

``samples``: two samples of 10,000 standard normals, one of them shifted by 0.3, float64, forward only: W1 and energy of one number,
W2 of four numbers over 50 projections. POT and SciPy get NumPy's arrays, trine tensors. Values are compared before times are taken.

(Before all, a large block of memory is taken and given back, as reading any data does: from then on the C library keeps what a step
frees, for all contestants alike.)

Contestants take turns, segment by segment, the order reversed every round. With one thread the clock is the process's own processor
time; a ratio is the median over the rounds, with the range.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load
from benchmarks.speed import SECONDS, Case, Segment, _clock, mlp, supervised
from trine.criterion import Criterion, Term
from trine.data import Store
from trine.divergences import KL, Cramer
from trine.divergences.two_sample import energy_distance, sliced_wasserstein, wasserstein_1d
from trine.domains import Count, Domain, Positive, Real, Unit, Vector
from trine.rules import default_rule, rules

ROWS, INPUTS, BATCH, WIDTH = 20_000, 8, 256, 64
SAMPLES, PROJECTIONS = 10_000, 50
MOST_STEP, MOST_SAMPLES = 1.3, 1.5
RULES = {
    "normal": "real",
    "laplace": "real",
    "logistic": "real",
    "student": "real",
    "softplus-normal": "positive",
    "lognormal": "positive",
    "gamma": "positive",
    "beta": "unit",
    "logit-normal": "unit",
    "poisson": "count",
    "negative-binomial-fixed": "count",
    "normal-vector": "vector",
}
CALIFORNIA = "default network, California"


# Steps -------------------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """Two layers and a decision rule."""

    def __init__(self, rule: str, domain: Domain) -> None:
        super().__init__()
        self.layers = nn.Sequential(mlp(INPUTS, WIDTH, WIDTH), nn.ReLU())
        self.rule = rules[rule](WIDTH, domain)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": self.rule(self.layers(batch["x"]))}


def synthetic(kind: str) -> tuple[Tensor, Tensor, Domain]:
    """Inputs, targets in encoded units, and the domain that knows their mean and deviation."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, INPUTS, generator=generator)
    signal = x[:, 0] + 0.5 * x[:, 1] * x[:, 2] + 0.5 * torch.randn(ROWS, generator=generator)
    y = {
        "real": signal,
        "positive": (0.5 * signal).exp(),
        "unit": signal.sigmoid(),
        "count": torch.poisson((0.5 * signal + 1).exp(), generator=generator),
        "vector": torch.stack([signal, x[:, 3], signal * x[:, 4], x[:, 5]], 1) + 0.3 * x[:, 6:7],
    }[kind]
    mean, std = y.double().mean(0), y.double().std(0)
    if kind == "vector":
        size = y.shape[1]
        scale = (1.0,) * size
        return (
            x,
            y,
            Vector(size=size, centre=(0.0,) * size, scale=scale, mean=tuple(mean.tolist()), std=tuple(std.tolist())),
        )
    family = {"real": Real, "positive": Positive, "unit": Unit, "count": Count}[kind]
    return x, y, family(mean=mean.item(), std=std.item())


def step_contestants(name: str) -> dict[str, Segment]:
    """The loop under KL and under Cramér."""
    if name == CALIFORNIA:
        return {
            divergence: supervised(
                DATA / "california_housing" / "housing.csv", ("median_house_value",), BATCH, divergence=divergence
            ).trine()
            for divergence in ("kl", "cramer")
        }
    x, y, domain = synthetic(RULES[name])
    torch.manual_seed(0)
    model = Small(name, domain)
    store = Store.of(x=x, y=y)
    return {
        key: Case(
            copy.deepcopy(model), Criterion(Term(divergence, "y_hat", "y")), store, None, [], BATCH, _no_loss
        ).trine()
        for key, divergence in (("kl", KL()), ("cramer", Cramer()))
    }


def _no_loss(model: nn.Module) -> Callable[..., Tensor]:
    raise NotImplementedError("only trine's loop runs here")


# Samples -----------------------------------------------------------------------------------------------------------


def sample_contestants(name: str) -> dict[str, Callable[[], float]]:
    """Each a call that gives the value."""
    import ot
    import scipy.stats

    draw = np.random.default_rng(0)
    if name == "sliced W2":
        a, b = draw.normal(size=(SAMPLES, 4)), draw.normal(size=(SAMPLES, 4)) + 0.3
        x, y = torch.from_numpy(a), torch.from_numpy(b)
        return {
            "trine": lambda: sliced_wasserstein(x, y, 2, PROJECTIONS, torch.Generator().manual_seed(0)).item(),
            "POT": lambda: float(ot.sliced_wasserstein_distance(a, b, n_projections=PROJECTIONS, seed=0)),
        }
    a, b = draw.normal(size=SAMPLES), draw.normal(size=SAMPLES) + 0.3
    if name == "W1, unequal sizes":
        b = b[: SAMPLES // 2]
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    if name.startswith("W1"):
        return {
            "trine": lambda: wasserstein_1d(x, y).item(),
            "SciPy": lambda: float(scipy.stats.wasserstein_distance(a, b)),
            "POT": lambda: float(ot.wasserstein_1d(a, b)),
            "POT, emd2_1d": lambda: float(ot.emd2_1d(a, b, metric="euclidean")),
        }
    return {
        "trine": lambda: energy_distance(x, y).sqrt().item(),
        "SciPy": lambda: float(scipy.stats.energy_distance(a, b)),
    }


def repeated(call: Callable[[], float]) -> Segment:
    """Calls a second, over as many as fill a segment."""
    call()
    started = _clock()
    for _ in range(3):
        call()
    count = max(3, round(SECONDS / 2 / ((_clock() - started) / 3)))

    def segment() -> float:
        started = _clock()
        for _ in range(count):
            call()
        return count / (_clock() - started)

    return segment


# All ---------------------------------------------------------------------------------------------------------------

STEPS = (*RULES, CALIFORNIA)
DISTANCES = ("W1", "W1, unequal sizes", "energy", "sliced W2")


def contest(contestants: dict[str, Segment], rounds: int) -> dict[str, list[float]]:
    """Rates of every contestant, by rounds."""
    rates: dict[str, list[float]] = {key: [] for key in contestants}
    for turn in range(rounds):
        for key in list(contestants)[:: 1 if turn % 2 == 0 else -1]:
            rates[key].append(contestants[key]())
    return rates


def ratio(slow: list[float], fast: list[float]) -> dict[str, Any]:
    """How many times longer the first takes, by rates."""
    parts = [b / a for a, b in zip(slow, fast, strict=True)]
    return {"median": statistics.median(parts), "range": [min(parts), max(parts)]}


def measure_step(name: str, rounds: int) -> dict[str, Any]:
    """Microseconds of a step, and the ratio."""
    rates = contest(step_contestants(name), rounds)
    return {
        "microseconds": {key: 1e6 * BATCH / statistics.median(values) for key, values in rates.items()},
        "cramer / kl": ratio(rates["cramer"], rates["kl"]),
        "rounds": rounds,
        "conditions": {**conditions(), "threads": torch.get_num_threads()},
    }


def measure_samples(name: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of a call, and the ratio to the fastest of the others."""
    import ot
    import scipy

    calls = sample_contestants(name)
    values = {key: call() for key, call in calls.items()}
    rates = contest({key: repeated(call) for key, call in calls.items()}, rounds)
    best = max((key for key in rates if key != "trine"), key=lambda key: statistics.median(rates[key]))
    return {
        "milliseconds": {key: 1e3 / statistics.median(found) for key, found in rates.items()},
        "values": values,
        "best of the others": best,
        "trine / best": ratio(rates["trine"], rates[best]),
        "rounds": rounds,
        "conditions": {
            **conditions(),
            "threads": torch.get_num_threads(),
            "POT": ot.__version__,
            "SciPy": scipy.__version__,
        },
    }


def write_page(results: dict[str, Any]) -> None:
    """``results/divergences.md`` from the kept figures."""
    lines = [
        "# Speed of divergences",
        "",
        "`taskset -c 0 env OMP_NUM_THREADS=1 PYTHONPATH=<where POT is> python -m benchmarks.divergences` — what is measured, and",
        "how contestants take turns, is at the top of [divergences.py](../divergences.py). Ratios: median over the rounds, range",
        "in brackets.",
        "",
        f"## A training step under the CRPS or the energy score, over one under the likelihood (wanted: ≤ {MOST_STEP})",
        "",
        "| rule | cramer / kl | step under kl, µs | under cramer, µs |",
        "|---|---|---|---|",
    ]
    steps = results.get("steps", {})
    defaults = {default_rule(synthetic(kind)[2]) for kind in set(RULES.values())}
    for name in (name for name in STEPS if name in steps):
        found, times = steps[name]["cramer / kl"], steps[name]["microseconds"]
        low, high = found["range"]
        label = f"{name} (a default)" if name in defaults else name
        lines.append(
            f"| {label} | {found['median']:.2f} ({low:.2f} – {high:.2f}) | {times['kl']:,.0f} | {times['cramer']:,.0f} |"
        )
    lines += [
        "",
        f"## Two samples of {SAMPLES:,}, forward only (wanted: ≤ {MOST_SAMPLES} of the best of POT and SciPy)",
        "",
        "| distance | trine / best | milliseconds |",
        "|---|---|---|",
    ]
    samples = results.get("samples", {})
    for name in (name for name in DISTANCES if name in samples):
        found = samples[name]["trine / best"]
        low, high = found["range"]
        times = ", ".join(f"{key} {value:.3f}" for key, value in samples[name]["milliseconds"].items())
        lines.append(f"| {name} | {found['median']:.2f} ({low:.2f} – {high:.2f}) | {times} |")
    where = next(iter((steps or samples).values()))["conditions"]
    versions = next(iter(samples.values()))["conditions"] if samples else {}
    lines += [
        "",
        f"{where['cpu']}; {where['threads']} thread; Python {where['python']}, torch {where['torch']}, NumPy {np.__version__}"
        + (f", SciPy {versions['SciPy']}, POT {versions['POT']}" if versions else "")
        + f"; {next(iter((steps or samples).values()))['rounds']} rounds; {where['date']}.",
        "",
    ]
    (RESULTS / "divergences.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("steps", "samples"), default=["steps", "samples"])
    parser.add_argument("--cases", nargs="+", choices=(*STEPS, *DISTANCES), default=[*STEPS, *DISTANCES])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print, and keep nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.empty(
        1 << 24
    )  # a large block, freed: from now on the C library keeps what is freed, instead of giving it back each step
    for part, names, measure, key in (
        ("steps", STEPS, measure_step, "cramer / kl"),
        ("samples", DISTANCES, measure_samples, "trine / best"),
    ):
        for name in (name for name in names if part in arguments.parts and name in arguments.cases):
            found = measure(name, arguments.rounds)
            low, high = found[key]["range"]
            times = found.get("microseconds", found.get("milliseconds"))
            print(f"{name}: {key} {found[key]['median']:.2f} ({low:.2f} – {high:.2f}) {times}", flush=True)
            if not arguments.dry:
                results = load("divergences")
                results.setdefault(part, {})[name] = found
                keep("divergences", results)
                write_page(results)


if __name__ == "__main__":
    main()
