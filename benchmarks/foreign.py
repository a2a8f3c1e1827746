"""Foreign pictures: does a posterior know better than one θ what it does not know?

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.foreign --rows 10000 --seeds 0

Trained on MNIST's first rows with defaults; judged on its test rows, on the same rows turned by 15° to 90°, and on Fashion-MNIST.
AUROC of telling foreign from own test rows by the entropy of the prediction and by what θ leaves open (epistemic); accuracy,
negative log-likelihood and expected calibration error (15 bins of equal width; Guo et al., 2017). Kept in ``results/foreign.json``
and ``results/foreign.md``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

WAYS: dict[str, dict[str, Any]] = {
    "one": {},
    "ensemble": {"posterior": "ensemble", "draws": 5},
    "laplace": {"posterior": "laplace"},
    "dropout": {"posterior": "dropout"},
    "swag": {"posterior": "swag"},
}
ANGLES = (15, 30, 45, 60, 75, 90)
SHOWN = 2000
"""Test rows of each kind that are judged."""


def pictures(name: str, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels and labels of an IDX set."""
    from trine import read

    folder = DATA / name
    table = read(next(p for p in sorted(folder.iterdir()) if part in p.name and "images" in p.name))
    x, y = (table.column(column).values for column in ("image", "label"))
    return np.asarray(x), np.asarray(y)


def turned(x: NDArray[np.uint8], angle: float) -> NDArray[np.uint8]:
    """Pictures turned about their middle, bilinear."""
    from scipy.ndimage import rotate

    return np.asarray(rotate(x, angle, axes=(1, 2), reshape=False, order=1, mode="constant"), dtype=np.uint8)


def judged(model: Any, x: NDArray[np.uint8], y: NDArray[np.int64] | None) -> dict[str, Any]:
    """What the model says of some rows."""
    import torch

    from trine.rules import spread

    q = model.predict_distribution(x)
    with torch.inference_mode():
        aleatoric, epistemic = spread(q)
        found: dict[str, Any] = {"entropy": (aleatoric + epistemic).numpy(), "epistemic": epistemic.numpy()}
        if y is not None:
            p = q.probs.double().numpy()
            hit = p.argmax(1) == y
            found |= {
                "accuracy": float(hit.mean()),
                "nll": float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean()),
                "ece": calibration_error(p.max(1), hit),
            }
    return found


def calibration_error(confidence: NDArray[np.float64], hit: NDArray[np.bool_], bins: int = 15) -> float:
    """Σ over bins of share · |accuracy − confidence|."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    parts = [(place == b) for b in range(bins)]
    return float(sum(part.mean() * abs(hit[part].mean() - confidence[part].mean()) for part in parts if part.any()))


def one(way: str, seed: int, rows: int) -> dict[str, float]:
    """Fit and judge."""
    from sklearn.metrics import roc_auc_score

    from trine import Classifier

    x, y = pictures("mnist", "train")
    x_test, y_test = pictures("mnist", "t10k")
    foreign, _ = pictures("fashion_mnist", "t10k")
    x_test, y_test, foreign = x_test[:SHOWN], y_test[:SHOWN], foreign[:SHOWN]
    started = time.perf_counter()
    model = Classifier(random_state=seed, threads=1, **WAYS[way]).fit(x[:rows], y[:rows])
    result = {"seconds": time.perf_counter() - started}
    own, other = judged(model, x_test, y_test), judged(model, foreign, None)
    result |= {name: own[name] for name in ("accuracy", "nll", "ece")}
    is_foreign = np.repeat([0, 1], [len(x_test), len(foreign)])
    for score in ("entropy", "epistemic"):
        result[f"auroc_{score}"] = float(roc_auc_score(is_foreign, np.concatenate([own[score], other[score]])))
    for angle in ANGLES:
        found = judged(model, turned(x_test, angle), y_test)
        result |= {f"{name}_{angle}": found[name] for name in ("accuracy", "nll", "ece")}
    return result


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    rows = results["rows"]
    lines = [
        "# Foreign pictures",
        "",
        f"`taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.foreign --rows {rows}` — trained on {rows:,} rows of MNIST with "
        f"defaults (the ensemble of 5), judged on {SHOWN:,} test rows, the same turned, and {SHOWN:,} of Fashion-MNIST; "
        "mean over seeds. Seconds are the clock's, on a machine that had other work.",
        "",
        "| | seeds | accuracy | NLL | ECE | AUROC, entropy | AUROC, epistemic | "
        + " | ".join(f"NLL at {angle}°" for angle in ANGLES)
        + " | ECE at 45° | seconds |",
        "|" + "---|" * (9 + len(ANGLES)),
    ]
    for way in WAYS:
        found = [value for key, value in results.items() if key.startswith(f"{way}/")]
        if found:
            names = [
                "accuracy",
                "nll",
                "ece",
                "auroc_entropy",
                "auroc_epistemic",
                *(f"nll_{a}" for a in ANGLES),
                "ece_45",
            ]
            cells = [f"{np.mean([part[name] for part in found]):.4f}" for name in names]
            if way == "one":
                cells[4] = "–"
            lines.append(
                f"| {way} | {len(found)} | {' | '.join(cells)} | {np.mean([p['seconds'] for p in found]):.0f} |"
            )
    where = results["conditions"]
    lines += ["", f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; one thread; {where['date']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit what is not there yet; write the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--ways", nargs="+", default=["one", "ensemble", "laplace"], choices=list(WAYS))
    arguments.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments.add_argument("--rows", type=int, default=10_000)
    chosen = arguments.parse_args()
    for seed in chosen.seeds:
        for way in chosen.ways:
            found = one(way, seed, chosen.rows)
            print(way, seed, {name: round(value, 4) for name, value in found.items()}, flush=True)
            results = {**load("foreign"), f"{way}/{seed}": found, "rows": chosen.rows, "conditions": conditions()}
            keep("foreign", results)
            (RESULTS / "foreign.md").write_text(table(results), encoding="utf-8")


if __name__ == "__main__":
    main()
