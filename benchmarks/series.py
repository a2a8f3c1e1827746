"""Series with defaults only: four sets of the UCR and UEA archives, and MNIST read row by row.

    python -m benchmarks.series --sets ECG200 BasicMotions --seeds 0 1 2 --threads 1
    python -m benchmarks.series --sets mnist-lstm mnist-gru --seeds 0

The archives' own training and test parts. MNIST is 28 steps of 28 pixels, read by one recurrent layer (``sequence="lstm"`` and
``"gru"``).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load
from benchmarks.mixed import idx

PUBLISHED = {"ECG200": 0.916, "ECG5000": 0.940, "FaceAll": 0.945, "BasicMotions": 1.0}
"""The best of the published columns."""
WANTED = {**{name: value - 0.01 for name, value in PUBLISHED.items()}, "mnist-lstm": 0.985, "mnist-gru": 0.985}


def parts(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """(training rows, test rows, choices)."""
    from trine.data import Table
    from trine.domains import Column

    if name.startswith("mnist-"):
        tables = []
        for prefix in ("train", "t10k"):
            images = idx(DATA / "mnist" / f"{prefix}-images-idx3-ubyte.gz")
            labels = idx(DATA / "mnist" / f"{prefix}-labels-idx1-ubyte.gz")
            tables.append(Table.of([Column("series", images), Column("label", labels)]))
        return *tables, {"domains": {"series": "series", "label": "category"}, "sequence": name.removeprefix("mnist-")}
    folder = DATA / "time_series" / name
    if name == "BasicMotions":
        with np.load(folder / f"{name}.npz") as data:
            tables = [
                Table.of([Column("series", data[f"X_{part}"]), Column("label", _codes(data[f"y_{part}"]))])
                for part in ("train", "test")
            ]
        return *tables, {"domains": {"series": "series", "label": "category"}}
    return next(folder.glob("*TRAIN*")), next(folder.glob("*TEST*")), {"domains": {"label": "category"}}


def _codes(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def main() -> None:
    """Fit what was asked for, keep it, and write the page."""
    import trine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=list(WANTED), choices=list(WANTED))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    results = load("series")
    for name in options.sets:
        train, test, choices = parts(name)
        for seed in options.seeds:
            started = time.perf_counter()
            model = trine.fit(train, y="label", valid=test, seed=seed, threads=options.threads, **choices)
            metrics = model.metrics_["label"]
            found = {
                "accuracy": metrics["accuracy"]["value"],
                "log_loss": metrics["log_loss"]["value"],
                "seconds": time.perf_counter() - started,
                "rows": model.provenance_["rows"],
            }
            print(name, seed, found, flush=True)
            results.setdefault(name, {})[str(seed)] = found
            results["conditions"] = {**conditions(), "threads": options.threads}
            keep("series", results)
            write(results)


def write(results: dict[str, Any]) -> None:
    """The results as a page."""
    where = results["conditions"]
    lines = [
        "# Series with defaults only",
        "",
        "`python -m benchmarks.series` — the archives' own parts; mean ± standard deviation over seeds. Published: the best of "
        "MLP, FCN and ResNet, means of ten runs (Ismail Fawaz et al., 2019), for BasicMotions the archive's page.",
        "",
        "| set | training rows | test rows | accuracy | wanted | published | seeds | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, wanted in WANTED.items():
        found = list(results.get(name, {}).values())
        if found:
            values = [one["accuracy"] for one in found]
            spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
            rows, seconds = found[0]["rows"], np.mean([one["seconds"] for one in found])
            published = f"{PUBLISHED[name]:.3f}" if name in PUBLISHED else "–"
            lines.append(
                f"| {name} | {rows['train'] + rows['stop']:,} | {rows['held_out']:,} | {np.mean(values):.4f}{spread} | "
                f"≥ {wanted:.3f} | {published} | {len(values)} | {seconds:.0f} |"
            )
    about = (
        f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['threads']} thread; {where['date']}."
    )
    (RESULTS / "series.md").write_text("\n".join([*lines, "", about, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
