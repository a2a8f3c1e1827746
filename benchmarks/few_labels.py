"""Few labels: MNIST with 100 and 1,000 labels and all 60,000 pictures, and Adult with 200.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.few_labels mnist --labels 100 --ways propagation none svm --draws 10
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.few_labels mnist --ways pseudo --draws 10
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.few_labels mnist --ways consistency generative --draws 3
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.few_labels mnist --ways adversarial reconstruct --draws 3
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.few_labels mnist --labels 1000 --ways propagation none svm --draws 2
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.few_labels adult --draws 5

The labelled rows of a draw are class-balanced for MNIST and at random for Adult, the same for every way; no other label is seen in
training, nor to stop. Error on the 10,000 (Adult: 16,281) test rows. ``svm``: 30 principal components of all pictures and a
support-vector machine with radial kernels, C = 10. How many labels of a table come in a batch was chosen on Adult's draws 0 and 1
of these, how long a table trains on draws 0 to 16. Kept in ``results/few_labels.json`` and ``results/few_labels.md``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load
from benchmarks.foreign import pictures

WAYS = ("propagation", "consistency", "pseudo", "reconstruct", "generative", "adversarial", "none", "svm")


def mnist(way: str, labels: int, draw: int) -> dict[str, float]:
    """Error on the test rows with so many labels, and seconds of training."""
    import trine

    x, y = pictures("mnist", "train")
    test, truth = pictures("mnist", "t10k")
    rng = np.random.default_rng(draw)
    own = np.concatenate([rng.choice(np.flatnonzero(y == digit), labels // 10, replace=False) for digit in range(10)])
    start = time.perf_counter()
    if way == "svm":
        answers = by_machine(x, y, own, test)
    else:
        told: NDArray[Any] = np.full(len(y), None, dtype=object)
        told[own] = [f"digit {label}" for label in y[own]]
        use: dict[str, Any] = {"unlabelled": way}
        if way == "adversarial":  # label and style codes, shaped by critics
            use = {"unlabelled": "generative", "shape": "js"}
        model = trine.fit(
            {"image": x, "digit": told}, y="digit", valid=0.0, **use, seed=draw, threads=1, calibration="none"
        )
        answers = np.array([int(str(label)[-1]) for label in model.predict({"image": test})])
    return {"error": float((answers != truth).mean()), "seconds": time.perf_counter() - start}


def by_machine(x: NDArray[Any], y: NDArray[Any], own: NDArray[Any], test: NDArray[Any]) -> NDArray[Any]:
    """Answers of the machine on principal components."""
    from sklearn.decomposition import PCA
    from sklearn.svm import SVC

    flat = x.reshape(len(x), -1) / 255.0
    axes = PCA(30, random_state=0).fit(flat)
    machine = SVC(C=10).fit(axes.transform(flat[own]), y[own])
    return np.asarray(machine.predict(axes.transform(test.reshape(len(test), -1) / 255.0)))


def adult(way: str, labels: int, draw: int) -> dict[str, float]:
    """Error and log loss on the test file, of which no row is seen in training."""
    import pandas as pd
    from sklearn.metrics import log_loss, roc_auc_score

    import trine

    table = pd.read_csv(DATA / "adult_income" / "train.csv")
    test = pd.read_csv(DATA / "adult_income" / "test.csv")
    rng = np.random.default_rng(draw)
    own = rng.choice(len(table), labels, replace=False)
    table.loc[np.setdiff1d(np.arange(len(table)), own), "income"] = None
    start = time.perf_counter()
    model = trine.fit(table, y="income", valid=0.0, unlabelled=way, seed=draw, threads=1, calibration="none")
    seconds = time.perf_counter() - start
    p = model.predict_proba(test.drop(columns="income"))
    truth = test["income"].to_numpy()
    return {
        "error": float((np.array(model.classes_)[p.argmax(1)] != truth).mean()),
        "log_loss": float(log_loss(truth, p, labels=list(model.classes_))),
        "auc": float(roc_auc_score(truth == model.classes_[1], p[:, 1])),
        "seconds": seconds,
    }


def write(results: dict[str, Any]) -> None:
    """The tables as Markdown."""
    lines = [
        "# Few labels",
        "",
        __doc__ or "",
        "| data | labels | way | draws | error % ± sd | each | seconds a draw |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for key, found in sorted((key, found) for key, found in results.items() if key != "conditions"):
        data, labels, way = key.split("/")
        errors = 100 * np.array([part["error"] for part in found.values()])
        seconds = np.mean([part["seconds"] for part in found.values()])
        more = ""
        if data == "adult":
            losses = [part["log_loss"] for part in found.values()]
            more = f"; log loss {np.mean(losses):.4f} ± {np.std(losses):.4f}, AUC {np.mean([p['auc'] for p in found.values()]):.4f}"
        sd = f" ± {errors.std(ddof=1):.2f}" if len(errors) > 1 else ""
        each = ", ".join(f"{error:.2f}" for error in errors)
        lines.append(
            f"| {data} | {labels} | {way} | {len(errors)} | {errors.mean():.2f}{sd}{more} | {each} | {seconds:.0f} |"
        )
    lines += ["", f"Conditions: {results['conditions']}"]
    (RESULTS / "few_labels.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=("mnist", "adult"))
    parser.add_argument("--ways", nargs="*", default=None, choices=WAYS)
    parser.add_argument("--labels", type=int, default=None)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    labels = given.labels or {"mnist": 100, "adult": 200}[given.data]
    for draw in range(given.first, given.first + given.draws):
        for way in given.ways or (WAYS if given.data == "mnist" else ("reconstruct", "none")):
            found = (mnist if given.data == "mnist" else adult)(way, labels, draw)
            results = load("few_labels")
            results.setdefault(f"{given.data}/{labels}/{way}", {})[str(draw)] = found
            results["conditions"] = conditions()
            keep("few_labels", results)
            write(results)
            print(given.data, labels, way, draw, found, flush=True)


if __name__ == "__main__":
    main()
