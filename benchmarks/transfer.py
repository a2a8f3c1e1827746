"""Transfer: does an encoder of unlabelled pictures, or of other classes, pay where labels are few?

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.transfer fashion digits

``fashion``: an autoencoder of Fashion-MNIST's 60,000 training pictures without their labels. ``digits``: a classifier of MNIST's
training digits 0 to 4, put to use on 5 to 9. Labels are drawn from the first rows of the training set, classes alike, fewer among
more; the held-out rows are the test set. Beside the ways of ``trine transfer --compare``: PCA to 30 numbers of all training
pictures with an RBF support-vector machine (C = 10). The encoder is given a stated number of seconds. Kept in
``results/transfer.json``, ``transfer.md`` and ``transfer-*.png``.
"""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import RESULTS, conditions, keep, load
from benchmarks.foreign import pictures

WAYS = ("z + linear", "z + net", "z + boosting", "z tuned", "x + boosting", "from scratch")
POOL = 10_000
"""Training rows that labels are drawn from."""
SHOWN = 5_000
"""Most test rows."""
TITLES = {
    "fashion": "Fashion-MNIST: autoencoder of 60,000 pictures, no label",
    "digits": "MNIST 5–9: classifier of the digits 0–4",
}


def encoder_of(task: str, seconds: float) -> tuple[Any, str, tuple[NDArray[Any], ...]]:
    """(encoder, how it was made, (pixels that it saw, labelled pool, its labels, test pixels, test labels))."""
    from trine import Autoencoder, Classifier

    name = "fashion_mnist" if task == "fashion" else "mnist"
    x, y = pictures(name, "train")
    x_test, y_test = pictures(name, "t10k")
    if task == "fashion":
        model = Autoencoder(
            code=256, image="dense", corruption=0.3, random_state=0, threads=1, budget=seconds, verbose=True
        ).fit(x)
        made = f'Autoencoder(code=256, image="dense", corruption=0.3, budget={seconds:g})'
        return model, made, (x, x[:POOL], y[:POOL], x_test[:SHOWN], y_test[:SHOWN])
    low, high, high_test = y < 5, y >= 5, y_test >= 5
    model = Classifier(random_state=0, threads=1, budget=seconds, verbose=True).fit(x[low], y[low])
    own = (x[low], x[high][:POOL], y[high][:POOL], x_test[high_test], y_test[high_test])
    return model, f"Classifier(budget={seconds:g}) of 0–4", own


def one(task: str, labels: list[int], draws: int, seconds: float) -> dict[str, Any]:
    """Train the encoder, compare, draw."""
    from sklearn.decomposition import PCA
    from sklearn.svm import SVC

    from trine.estimators._transferred.comparison import compare
    from trine.report.figures.transfer import draw_comparison

    started = time.perf_counter()
    encoder, made, (seen, pool, y_pool, x_test, y_test) = encoder_of(task, seconds)
    trained = time.perf_counter() - started
    x, y = np.concatenate([pool, x_test]), np.concatenate([y_pool, y_test])
    # All pictures are there without labels; of the digits' transfer the new classes' pool is.
    whole = seen if task == "fashion" else pool
    pca = PCA(30, random_state=0).fit(whole.reshape(len(whole), -1) / 255.0)
    reduced = pca.transform(x.reshape(len(x), -1) / 255.0)

    def machine(rows: NDArray[np.int64], codes: NDArray[Any], held: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(SVC(C=10.0).fit(reduced[rows], codes).predict(reduced[held]))

    found = compare(
        encoder, x, y, labels=labels, draws=draws, ways=WAYS, valid=np.arange(len(pool), len(x)),
        also={"PCA-30 + SVM": machine}, task="classification", tell=lambda line: print(line, flush=True),
    )  # fmt: skip
    print(found.summary(), flush=True)
    draw_comparison(RESULTS / f"transfer-{task}.png", found, TITLES[task])
    return {**found.to_json(), "encoder": made, "trained": trained, "epochs": encoder.n_iter_}


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# Transfer",
        "",
        "`taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.transfer fashion digits` — accuracy in per cent on the test "
        "rows, mean of draws of labels (classes alike, fewer among more), 95 % bootstrap interval over test rows and draws in "
        "brackets. Dashed in the figures: what does not read z. PCA-30 + SVM: PCA of all unlabelled training pictures (of 5–9: of "
        "the pool), RBF, C = 10.",
    ]
    for task in TITLES:
        if task not in results:
            continue
        found = results[task]
        rows = found["results"]
        counts = list(dict.fromkeys(row["labels"] for row in rows))
        lines += [
            "",
            f"## {TITLES[task]}",
            "",
            f"Encoder: `{found['encoder']}`, {found['trained']:.0f} s on one thread, {found['epochs']} epochs; z has "
            f"{found['features']} numbers, computed once for all {found['held_out'] + found['details']['pool']:,} rows in "
            f"{found['seconds']:.1f} s. {found['held_out']:,} test rows, {len(rows[0]['draws'])} draws.",
            "",
            "| | " + " | ".join(f"{count:,} labels" for count in counts) + " | seconds, most labels |",
            "|" + "---|" * (len(counts) + 2),
        ]
        for way in dict.fromkeys(row["way"] for row in rows):
            own = [SimpleNamespace(**row) for row in rows if row["way"] == way]
            cells = [f"{100 * r.value:.1f} ({100 * r.low:.1f} … {100 * r.high:.1f})" for r in own]
            lines.append(f"| {way} | {' | '.join(cells)} | {own[-1].seconds:.1f} |")
        lines += ["", *(f"- {line}" for line in found["verdicts"]), "", f"![{TITLES[task]}](transfer-{task}.png)"]
    where = results["conditions"]
    lines += ["", f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; one thread; {where['date']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is asked for; write the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("tasks", nargs="+", choices=list(TITLES))
    arguments.add_argument("--labels", nargs="+", type=int, default=[10, 100, 1000])
    arguments.add_argument("--draws", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=120.0, help="of the encoder's training")
    chosen = arguments.parse_args()
    for task in chosen.tasks:
        found = one(task, chosen.labels, chosen.draws, chosen.seconds)
        keep("transfer", {**load("transfer"), task: found, "conditions": conditions()})
        (RESULTS / "transfer.md").write_text(table(load("transfer")), encoding="utf-8")


if __name__ == "__main__":
    main()
