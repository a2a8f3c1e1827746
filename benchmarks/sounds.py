"""Spoken digits with defaults only: from mel spectrograms and from the waveform, and with a speaker left out.

    python -m benchmarks.sounds --seeds 0 1 2 --threads 1
    python -m benchmarks.sounds --splits jackson theo --seeds 0

Free Spoken Digit, 3,000 clips of six speakers. The official split tests clips 0 to 4 of each speaker and digit; a speaker's name
as split tests all clips of that speaker and trains on the others. The peer is a support vector machine on the means of each
clip's log spectrogram over ten parts of its time, fitted to the same rows.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

RECORDINGS = DATA / "free_spoken_digits" / "recordings"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def split(name: str) -> tuple[list[Path], list[Path]]:
    """(training clips, test clips)."""
    train, test = [], []
    for clip in sorted(RECORDINGS.glob("*.wav")):
        _, speaker, index = clip.stem.split("_")
        tested = int(index) < 5 if name == "official" else speaker == name
        (test if tested else train).append(clip)
    return train, test


def table(path: Path, clips: list[Path]) -> Path:
    """A CSV of the clips and their digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sound", "digit"])
        writer.writerows([str(clip), clip.stem[0]] for clip in clips)
    return path


def peer(train: list[Path], test: list[Path]) -> float:
    """Accuracy of a support vector machine on summaries of log spectrograms."""
    import soundfile
    from scipy.signal import stft
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    def features(clip: Path) -> np.ndarray:
        samples, rate = soundfile.read(clip)
        power = np.log(np.abs(stft(samples, rate, nperseg=min(256, len(samples)))[2]) ** 2 + 1e-8)
        # Each frame ten times over, so that the shortest clip has ten parts too.
        parts = np.array_split(np.repeat(power, 10, axis=1), 10, axis=1)
        return np.concatenate([part.mean(axis=1) for part in parts])

    x, t = np.stack([features(clip) for clip in train]), np.stack([features(clip) for clip in test])
    model = make_pipeline(StandardScaler(), SVC(C=10)).fit(x, [clip.stem[0] for clip in train])
    return float(model.score(t, [clip.stem[0] for clip in test]))


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of ``count`` (Wilson, 1927)."""
    z = 1.96
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return centre - half, centre + half


def main() -> None:
    """Fit what was asked for, keep it, and write the page."""
    import trine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", nargs="+", default=["official", *SPEAKERS])
    parser.add_argument("--inputs", nargs="+", default=["mel", "waveform"], choices=["mel", "waveform"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    results = load("sounds")
    for name in options.splits:
        train, test = split(name)
        results.setdefault(name, {})["svm"] = peer(train, test)
        results[name]["clips"] = len(test)
        with tempfile.TemporaryDirectory() as folder:
            paths = table(Path(folder) / "train.csv", train), table(Path(folder) / "test.csv", test)
            for how in options.inputs:
                for seed in options.seeds:
                    started, worked = time.perf_counter(), time.process_time()
                    model = trine.fit(
                        paths[0], y="digit", domains={"digit": "category"}, valid=paths[1], seed=seed, threads=options.threads,
                        **({} if how == "mel" else {"audio": how}),
                    )  # fmt: skip
                    found = {
                        "accuracy": model.metrics_["digit"]["accuracy"]["value"],
                        "seconds": time.perf_counter() - started,
                        "processor_seconds": time.process_time() - worked,
                    }
                    results[name].setdefault(how, {})[str(seed)] = found
                    print(name, how, seed, found, flush=True)
                    results["conditions"] = {**conditions(), "threads": options.threads}
                    keep("sounds", results)
                    write(results)


def write(results: dict[str, Any]) -> None:
    """The results as a page."""
    where = results["conditions"]
    lines = [
        "# Spoken digits",
        "",
        '`python -m benchmarks.sounds` — Free Spoken Digit, defaults only (`audio="waveform"` for the waveform); mean ± '
        "standard deviation over seeds, and the 95 % interval of the mean as a share of the test clips (Wilson). The peer is a "
        "support vector machine on means of log spectrograms, on the same rows. Seconds of one training with its evaluation: of "
        "the processor, and of the clock on a machine that had other work.",
        "",
        "| split | test clips | from | accuracy | 95 % interval | SVM | seeds | processor s | clock s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("official", *SPEAKERS):
        for how in ("mel", "waveform"):
            found = list(results.get(name, {}).get(how, {}).values())
            if not found:
                continue
            values = [one["accuracy"] for one in found]
            low, high = wilson(float(np.mean(values)), results[name]["clips"])
            title = name if name == "official" else f"without {name}"
            lines.append(
                f"| {title} | {results[name]['clips']} | {how} | {_spread(values)} | {low:.3f} to {high:.3f} | "
                f"{results[name]['svm']:.3f} | {len(values)} | {_seconds(found, 'processor_seconds')} | "
                f"{_seconds(found, 'seconds')} |"
            )
    for how in ("mel", "waveform"):
        runs = [results.get(name, {}).get(how, {}) for name in SPEAKERS]
        # Each seed's mean over all six, so that the spread is that of the figure itself.
        seeds = sorted(set.intersection(*(set(run) for run in runs)))
        if not seeds:
            continue
        means = [float(np.mean([run[seed]["accuracy"] for run in runs])) for seed in seeds]
        peer_mean = np.mean([results[name]["svm"] for name in SPEAKERS])
        lines.append(
            f"| mean over six speakers left out | | {how} | {_spread(means)} | | {peer_mean:.3f} | {len(means)} | | |"
        )
    about = (
        f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['threads']} thread; {where['date']}."
    )
    (RESULTS / "sounds.md").write_text("\n".join([*lines, "", about, ""]), encoding="utf-8")


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.4f}" + (f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else "")


def _seconds(found: list[dict[str, float]], name: str) -> str:
    known = [one[name] for one in found if name in one]
    return f"{np.mean(known):.0f}" if known else ""


if __name__ == "__main__":
    main()
