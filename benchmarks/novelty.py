"""How well rows of another kind are told from rows like the training data, with defaults only.

    python -m benchmarks.novelty                                # every set, three seeds
    python -m benchmarks.novelty --sets mnist --seeds 0 --budget 240

Each fit is ``trine.fit(train, y=..., valid=0.0)`` in a process of its own, under
``--budget`` seconds of training. AUROC is that of the score on held-out rows of the same data against rows of the other kind.
Beside it stand three that need only the network: one minus the largest predicted probability (Hendrycks and Gimpel 2017), the
distance in direction to the 5th nearest of 5,000 training rows in z (Sun et al. 2022), and the Mahalanobis distance of z alone
(Lee et al. 2018). Results are merged into ``results/novelty.json`` after every fit, and ``results/novelty.md`` is written from it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

CACHE = Path(tempfile.gettempdir()) / "trine-benchmarks" / "novelty"

# set → (what is told from what, the kind of rows that a figure is wanted for, AUROC wanted)
SETS: dict[str, tuple[str, str, str]] = {
    "mnist": ("MNIST's test digits against Fashion-MNIST's test pictures", "Fashion-MNIST", "≥ 0.97"),
    "adult": ("Adult's test rows against the same rows, each column permuted by itself", "columns permuted", "≥ 0.9"),
    "spoken": (
        "Free Spoken Digit's test clips against 300 clips of music and noise made for the purpose",
        "music or noise",
        "≥ 0.95",
    ),
}
SCORES = ("trine", "largest probability", "nearest neighbours in z", "Mahalanobis of z")


SHOWN = 2000
"""Test pictures of each kind, the first of their files."""


# Data ------------------------------------------------------------------------------------------------------------


def mnist() -> tuple[Any, Any, dict[str, Any]]:
    """Files of training and test digits, and files or arrays of other pictures."""
    from trine.data import read

    def first(name: str, *words: str) -> Any:
        found = next(p for p in sorted((DATA / name).iterdir()) if all(word in p.name for word in words))
        return read(str(found)).take(np.arange(SHOWN))

    train = next(p for p in sorted((DATA / "mnist").iterdir()) if "train" in p.name and "images" in p.name)
    test = first("mnist", "t10k", "images")
    pixels = np.asarray(next(test.column(name).values for name in test.names if test.column(name).values.ndim > 2))
    rng = np.random.default_rng(0)
    others = {
        "Fashion-MNIST": first("fashion_mnist", "t10k", "images"),
        "uniform noise": _as_mnist(test, rng.integers(0, 256, (SHOWN, 28, 28)).astype(np.uint8)),
        "digits, pixels permuted": _as_mnist(
            test, rng.permuted(pixels.reshape(SHOWN, -1), axis=1).reshape(pixels.shape)
        ),
        "digits, inverted": _as_mnist(test, 255 - pixels),
    }
    return str(train), test, others


def _as_mnist(table: Any, pixels: np.ndarray) -> Any:
    """A table like ``table`` with other pictures."""
    from trine.data import read

    return read({next(name for name in table.names if table.column(name).values.ndim > 2): pixels})


def adult() -> tuple[Any, Any, dict[str, Any]]:
    """Adult's files, and the test rows with every column permuted by itself."""
    import pandas as pd

    folder = DATA / "adult_income"
    test = pd.read_csv(folder / "test.csv", na_values=["?"], skipinitialspace=True)
    rng = np.random.default_rng(0)
    shuffled = pd.DataFrame({name: rng.permutation(test[name].to_numpy()) for name in test.columns})
    blank = test.iloc[:100].copy()
    for name in blank.columns.drop("income"):
        blank[name] = np.full(100, np.nan) if blank[name].dtype.kind in "iuf" else None
    CACHE.mkdir(parents=True, exist_ok=True)
    for name, rows in (("shuffled", shuffled), ("blank", blank)):
        rows.to_csv(CACHE / f"adult-{name}.csv", index=False)
    others = {"columns permuted": str(CACHE / "adult-shuffled.csv"), "all missing": str(CACHE / "adult-blank.csv")}
    return str(folder / "train.csv"), str(folder / "test.csv"), others


def spoken() -> tuple[Any, Any, dict[str, Any]]:
    """Tables with a column of sound files: the official split of the digits, and sounds that are no speech."""
    folder = CACHE / "spoken"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for path in sorted((DATA / "free_spoken_digits" / "recordings").glob("*.wav")):
        digit, _, index = path.stem.split("_")
        shutil.copy(path, folder / path.name)
        rows["test" if int(index) < 5 else "train"].append(f"{path.name},d{digit}")
    for name, make in sounds().items():
        rows[name] = []
        for i in range(100 if name in ("chords", "noise", "sweeps") else 20):
            _write_wav(folder / f"{name}_{i}.wav", make(np.random.default_rng(i)))
            rows[name].append(f"{name}_{i}.wav,d0")
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("\n".join(["sound,digit", *lines]) + "\n", encoding="utf-8")
    every = [line for name in ("chords", "noise", "sweeps") for line in rows[name]]
    (folder / "all.csv").write_text("\n".join(["sound,digit", *every]) + "\n", encoding="utf-8")
    others = {"music or noise": str(folder / "all.csv")}
    others |= {name: str(folder / f"{name}.csv") for name in sounds()}
    return str(folder / "train.csv"), str(folder / "test.csv"), others


RATE = 8000


def sounds() -> dict[str, Callable[[np.random.Generator], np.ndarray]]:
    """Name → a clip at 8 kHz of 0.3 to 0.7 s, in [−1, 1], of a generator."""

    def times(rng: np.random.Generator) -> np.ndarray:
        return np.arange(int(RATE * rng.uniform(0.3, 0.7))) / RATE

    def chords(rng: np.random.Generator) -> np.ndarray:
        """A melody of three chords, each note with falling harmonics and a struck envelope."""
        t = times(rng)
        out = np.zeros(len(t))
        for start in np.linspace(0, t[-1], 4)[:3]:
            root = 220.0 * 2 ** (rng.integers(0, 13) / 12)
            on = (t >= start) * np.exp(-5 * np.maximum(t - start, 0))
            for interval in (0, rng.choice([3, 4]), 7):
                tone = root * 2 ** (interval / 12)
                for k in range(1, 5):
                    out += on * np.sin(2 * np.pi * k * tone * (t - start)) / k**1.5
        return out / np.abs(out).max()

    def noise(rng: np.random.Generator) -> np.ndarray:
        """White or pink noise at a level of its own."""
        n = len(times(rng))
        spectrum = np.fft.rfft(rng.normal(size=n))
        if rng.random() < 0.5:
            spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        out = np.fft.irfft(spectrum, n)
        return np.asarray(rng.uniform(0.1, 0.9) * out / np.abs(out).max())

    def sweeps(rng: np.random.Generator) -> np.ndarray:
        """A tone that glides between two frequencies."""
        t = times(rng)
        low, high = rng.uniform(80, 800), rng.uniform(1000, 3800)
        phase = 2 * np.pi * (low * t + (high - low) * t**2 / (2 * t[-1]))
        return np.asarray(rng.uniform(0.2, 0.9) * np.sin(phase))

    return {"chords": chords, "noise": noise, "sweeps": sweeps}


def _write_wav(path: Path, clip: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(clip, -1, 1) * 32767).astype("<i2").tobytes())


# One fit, in a process of its own --------------------------------------------------------------------------------


def one(name: str, seed: int, budget: float, threads: int) -> dict[str, Any]:
    """Fit with defaults; every score of every kind of rows."""
    from sklearn.metrics import roc_auc_score

    import trine

    train, test, others = {"mnist": mnist, "adult": adult, "spoken": spoken}[name]()
    target = {"adult": "income", "spoken": "digit"}.get(name)
    model = trine.fit(train, y=target, seed=seed, threads=threads, valid=0.0, budget=budget, verbose=True)
    fitted = _fitted(model, train)
    own, novelty = _scores(model, fitted, test), model.novelty(test)
    result: dict[str, Any] = {
        "training seconds": model.provenance_["seconds"],
        "epochs": model.provenance_["epochs"],
        "accuracy": model.evaluate(test).metrics["accuracy"].value,
        "calibration rows": model.novelty_.rows,
        "fitting the detector, seconds": _detector_seconds(model, train),
        "detector, bytes": sum(part.numel() * part.element_size() for part in model.novelty_.tensors.values()),
        "flagged of the test rows": float(novelty.flagged.mean()),
        "others": {},
    }
    result |= _cost(model, test)
    for kind, rows in others.items():
        found, there = _scores(model, fitted, rows), model.novelty(rows)
        label = np.repeat([0, 1], [len(own["trine"]), len(found["trine"])])
        result["others"][kind] = {
            "flagged": float(there.flagged.mean()),
            **{s: float(roc_auc_score(label, np.concatenate([own[s], found[s]]))) for s in SCORES},
        }
    return result


def _prepared(model: Any, train: Any) -> Any:
    from trine.data import read
    from trine.estimators._plan import prepare

    derivation = model.derivation_
    found = prepare(model.plan_, read(train), schema=model.schema_, choices=derivation.choices, facts=derivation.facts)
    return found.__class__(found.plan, found.store, found.rows, derivation)


def _detector_seconds(model: Any, train: Any) -> float:
    from trine.estimators._novelty import fit_detector

    prepared = _prepared(model, train)
    started = time.process_time()
    fit_detector(prepared)
    return time.process_time() - started


def _cost(model: Any, rows: Any) -> dict[str, float]:
    """Processor seconds to predict encoded rows with and without novelty, the best of three turns each."""
    store, _ = model._encode(rows)
    plain, both = [], []
    for _ in range(3):
        for kept, seen in ((plain, None), (both, [])):
            started = time.process_time()
            model._reduced(store, None, seen)
            kept.append(time.process_time() - started)
    return {"predict, seconds": min(plain), "predict with novelty, seconds": min(both)}


def _fitted(model: Any, train: Any) -> Any:
    """The z of up to 5,000 training rows."""
    import torch

    from trine.estimators._novelty import _computed, watch_of

    prepared = _prepared(model, train)
    rows = torch.from_numpy(np.random.default_rng(0).permutation(prepared.rows.train)[:5000])
    return _computed(prepared.derivation.model, watch_of(prepared.derivation.model), prepared.store, rows)[1]


def _scores(model: Any, fitted: Any, rows: Any) -> dict[str, np.ndarray]:
    """Score → (n,) values, larger for rows farther off."""
    import torch

    from trine.estimators._novelty import _computed, watch_of

    store, _ = model._encode(rows)
    network = model.derivation_.model
    _, z, _ = _computed(network, watch_of(network), store, torch.arange(store.rows))
    unit = lambda x: x / x.norm(dim=1, keepdim=True).clamp_min(1e-6)  # noqa: E731
    nearest = torch.cdist(unit(z), unit(fitted)).topk(5, largest=False).values[:, -1]
    centre, x = fitted.mean(0), (fitted - fitted.mean(0)).double()
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    far = (((z - centre).double() @ vectors).square() / (values + 1e-3 * values.mean())).sum(1)
    sure = torch.cat([q.probs.max(1).values for q in model._distributions(store).values()])
    return {
        "trine": model.novelty(rows).score,
        "largest probability": 1.0 - sure.numpy(),
        "nearest neighbours in z": nearest.numpy(),
        "Mahalanobis of z": far.numpy(),
    }


# All -------------------------------------------------------------------------------------------------------------


def measure(names: list[str], seeds: list[int], budget: float, threads: int) -> None:
    """Every set under every seed, keeping the results after each."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    for name in names:
        for seed in seeds:
            command = [sys.executable, "-m", "benchmarks.novelty", "--one", name, "--seeds", str(seed)]
            command += ["--budget", str(budget), "--threads", str(threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            result = json.loads(done.stdout.strip().splitlines()[-1])
            results = load("novelty")
            conditions_ = {**conditions(), "budget": budget, "threads": threads}
            results.setdefault(name, {})[str(seed)] = {**result, "conditions": conditions_}
            keep("novelty", results)
            write_page(results)
            print(name, seed, json.dumps(result), flush=True)


def _spread(values: list[float], digits: int = 4) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def write_page(results: dict[str, Any]) -> None:
    """``results/novelty.md`` from the kept figures."""
    known = [name for name in SETS if name in results]
    last = max((r for record in results.values() for r in record.values()), key=lambda r: r["conditions"]["date"])
    where = last["conditions"]
    lines = [
        "# “I do not know”: rows unlike the training data",
        "",
        f"`python -m benchmarks.novelty --budget {where['budget']:g}` — defaults only, as many seconds of training at most;",
        "AUROC, mean ± standard deviation over seeds. Every score is of the same networks; the flagged are the rows with",
        "p ≤ 0.01, of test rows of the same kind as the training rows about one in a hundred.",
        "",
        "| in against out | wanted | " + " | ".join(SCORES) + " | flagged of out | seeds |",
        "|---|---|" + "---|" * (len(SCORES) + 2),
    ]
    for name in known:
        runs = [results[name][seed] for seed in sorted(results[name])]
        main = SETS[name][1]
        for kind in sorted(runs[0]["others"], key=lambda kind: (kind != main, kind)):
            cells = [_spread([r["others"][kind][score] for r in runs]) for score in SCORES]
            flagged = _spread([100 * r["others"][kind]["flagged"] for r in runs], 1)
            wanted = SETS[name][2] if kind == main else ""
            lines.append(f"| {name} → {kind} | {wanted} | {' | '.join(cells)} | {flagged} % | {len(runs)} |")
    lines += ["", *[f"- {name}: {SETS[name][0]}." for name in known], ""]
    lines += [
        "| set | accuracy | epochs | flagged of the test rows | calibration rows | fitting the detector | predict, with / without "
        "| size of the detector |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in known:
        runs = [results[name][seed] for seed in sorted(results[name])]
        ratio = [r["predict with novelty, seconds"] / r["predict, seconds"] for r in runs]
        lines.append(
            f"| {name} | {_spread([r['accuracy'] for r in runs])} | {', '.join(str(r['epochs']) for r in runs)} "
            f"| {_spread([100 * r['flagged of the test rows'] for r in runs], 2)} % | {runs[0]['calibration rows']} "
            f"| {_spread([r['fitting the detector, seconds'] for r in runs], 1)} s | {_spread(ratio, 2)} "
            f"| {max(r['detector, bytes'] for r in runs) / 2**20:.1f} MiB |"
        )
    lines += [
        "",
        f"{where['cpu']}, {where['threads']} thread; Python {where['python']}, torch {where['torch']}; {where['date']}.",
        "",
    ]
    notes = RESULTS / "novelty-notes.md"
    if notes.is_file():
        lines += [notes.read_text(encoding="utf-8").strip(), ""]
    (RESULTS / "novelty.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", type=float, default=240.0, help="seconds of training a fit")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", choices=list(SETS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one, arguments.seeds[0], arguments.budget, arguments.threads)))
    else:
        measure(arguments.sets, arguments.seeds, arguments.budget, arguments.threads)


if __name__ == "__main__":
    main()
