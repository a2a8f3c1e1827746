"""Autoencoders of series, names and spoken digits: what a code saves beside no code, and beside PCA.

    python -m benchmarks.autoencoders [--threads 1]

Every number is of rows that were not trained on. NLL is in nats a number of a series (in units of the training standard
deviation), a token of a name (its end counts as one), a 16-bit sample of a sound; that of a sequence's length is in it.
Without a code the best is known: of series the mean of every step with one scale a channel; of texts the same decoder, trained
as a language model of the same names; of sounds one Laplace distribution for all samples.
"""

from __future__ import annotations

import argparse
import glob
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

import trine
from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

CODE = 8
"""Numbers in a code of a series."""


def ucr(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(rows, steps, 1) training and test rows."""
    parts = [np.loadtxt(glob.glob(str(DATA / "time_series" / name / f"*{part}*"))[0]) for part in ("TRAIN", "TEST")]
    train, test = (part[:, 1:, None] for part in parts)
    return train, test


def motions() -> tuple[np.ndarray, np.ndarray]:
    """(rows, 100 steps, 6 channels)."""
    found = np.load(DATA / "time_series" / "BasicMotions" / "BasicMotions.npz")
    train, test = (found[part].transpose(0, 2, 1).astype(float) for part in ("X_train", "X_test"))
    return train, test


def of_series(name: str, train: np.ndarray, test: np.ndarray, threads: int, epochs: int) -> dict[str, Any]:
    """Autoencoder, PCA of as many components, and no code."""
    start = time.perf_counter()
    model = trine.Autoencoder(code=CODE, epochs=epochs, random_state=0, threads=threads).fit(train)
    seconds = time.perf_counter() - start
    found = model.evaluate(test).metrics
    numbers = test[0].size
    domain = model.schema_.x["x"]
    one, other = ((part - np.array(domain.mean)) / np.array(domain.std) for part in (train, test))
    pca = PCA(min(CODE, len(train) - 1)).fit(one.reshape(len(one), -1))

    def back(rows: np.ndarray) -> np.ndarray:
        flat = rows.reshape(len(rows), -1)
        return np.asarray(pca.inverse_transform(pca.transform(flat)).reshape(rows.shape))

    def nll(residual: np.ndarray, of_train: np.ndarray) -> float:
        scale = np.sqrt(np.square(of_train).mean((0, 1)))
        return float((0.5 * np.square(residual / scale) + np.log(scale) + 0.5 * np.log(2 * np.pi)).mean())

    def error(residual: np.ndarray) -> float:
        return float(np.square(residual).mean() / np.square(other).mean())

    mean = one.mean(0)
    return {
        "rows": len(train),
        "held out": len(test),
        "seconds": seconds,
        "nll": -found["reconstruction"].value / numbers,
        "nll of PCA": nll(other - back(other), one - back(one)),
        "nll without code": nll(other - mean, one - mean),
        "unexplained": found["unexplained"].value,
        "unexplained by PCA": error(other - back(other)),
        "unexplained without code": error(other - mean),
    }


def of_names(threads: int) -> dict[str, Any]:
    """4,000 surnames of 18 nationalities to learn from, 1,000 others held out, no name twice."""
    files = sorted(glob.glob(str(DATA / "names_by_nationality" / "*.txt")))
    lines = (line for file in files for line in Path(file).read_text(encoding="utf-8").splitlines())
    names = sorted({line.strip() for line in lines} - {""})
    names = list(np.random.RandomState(0).permutation(names))
    train, test = pd.DataFrame({"name": names[:4000]}), pd.DataFrame({"name": names[-1000:]})
    tokens = float((test["name"].str.len() + 1).mean())
    start = time.perf_counter()
    model = trine.Autoencoder(code=16, epochs=10, random_state=0, threads=threads).fit(train)
    seconds = time.perf_counter() - start
    found = model.evaluate(test).metrics
    alone = trine.fit(train, y="name", x=[], valid=0.0, epochs=10, seed=0, threads=threads)
    return {
        "rows": len(train),
        "held out": len(test),
        "seconds": seconds,
        "nll": -found["reconstruction"].value / tokens,
        "nll without code": alone.evaluate(test).metrics["nll"].value / tokens,
        "letters to mend": found["wrong"].value,
    }


def of_digits(threads: int) -> dict[str, Any]:
    """600 spoken digits of six speakers to learn from, 150 others held out."""
    import soundfile

    files = sorted(glob.glob(str(DATA / "free_spoken_digits" / "recordings" / "*.wav")))
    files = list(np.random.RandomState(0).permutation(files))
    train, test = files[:600], files[-150:]
    start = time.perf_counter()
    model = trine.Autoencoder(code=16, epochs=12, random_state=0, threads=threads).fit(pd.DataFrame({"clip": train}))
    seconds = time.perf_counter() - start
    found = model.evaluate(pd.DataFrame({"clip": test})).metrics
    one, other = (
        np.concatenate([soundfile.read(file, dtype="int16")[0] for file in part]).astype(float)
        for part in (train, test)
    )
    scale = np.abs(one).mean()
    return {
        "rows": len(train),
        "held out": len(test),
        "seconds": seconds,
        "nll": -found["reconstruction"].value * len(test) / len(other),
        "nll without code": float((np.abs(other) / scale + np.log(2 * scale)).mean()),
        "unexplained": found["unexplained"].value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("only", nargs="*", help="ECG5000, FaceAll, BasicMotions, names, digits; all by default")
    given = parser.parse_args()
    threads = given.threads
    tasks: dict[str, Callable[[], dict[str, Any]]] = {
        "ECG5000": lambda: of_series("ECG5000", *ucr("ECG5000"), threads, 40),
        "FaceAll": lambda: of_series("FaceAll", *ucr("FaceAll"), threads, 40),
        "BasicMotions": lambda: of_series("BasicMotions", *motions(), threads, 100),
        "names": lambda: of_names(threads),
        "digits": lambda: of_digits(threads),
    }
    results: dict[str, Any] = {
        **(load("autoencoders") if given.only else {}),
        "conditions": conditions(),
        "threads": threads,
    }
    for name, run in tasks.items():
        if not given.only or name in given.only:
            results[name] = run()
            print(name, results[name], flush=True)
            keep("autoencoders", results)
            report(results)


def report(results: dict[str, Any]) -> None:
    """Write the table."""
    head = ("set", "rows", "NLL", "of PCA", "without code", "unexplained", "of PCA", "without code", "seconds")
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for name, found in results.items():
        if name in ("conditions", "threads"):
            continue
        figures = [
            found.get(key)
            for key in (
                "nll",
                "nll of PCA",
                "nll without code",
                "unexplained",
                "unexplained by PCA",
                "unexplained without code",
            )
        ]
        if "letters to mend" in found:
            figures[3] = found["letters to mend"]
        cells = ["" if value is None else f"{value:.3f}" for value in figures]
        lines.append(
            f"| {name} | {found['rows']:,} + {found['held out']:,} | {' | '.join(cells)} | {found['seconds']:.0f} |"
        )
    where = results["conditions"]
    missing = [name for name in ("ECG5000", "FaceAll", "BasicMotions", "names", "digits") if name not in results]
    text = "\n".join(
        [
            "# Autoencoders of sequences",
            "",
            "`python -m benchmarks.autoencoders`. " + " ".join((__doc__ or "").split("\n\n")[2].split()),
            "",
            f"Codes of {CODE} numbers for series (PCA has as many components), of 16 for names and sounds. Rows: training + held "
            "out. Unexplained: squared error over that of the training mean; of names the share of letters to mend.",
            "",
            *lines,
            "",
            *([f"Not measured here: {', '.join(missing)}.", ""] if missing else []),
            f"{where['cpu']}, {results['threads']} thread, torch {where['torch']}, commit {where['commit']}, {where['date']}. "
            "Other trainings ran on the machine: seconds are an upper bound.",
            "",
        ]
    )
    RESULTS.joinpath("autoencoders.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
