"""Texts with defaults only, beside linear models of n-grams on the same rows.

    python -m benchmarks.texts                               # both sets, three seeds
    python -m benchmarks.texts --sets names --seeds 0

A run is ``trine.fit(train, y=..., valid=test)``: nothing is chosen. Each fit has a process of its own. Results are merged into
``results/texts.json`` after every fit, and ``results/texts.md`` is written from it.

- sst2: the official split; training rows alone are used (the library holds a tenth of them out to know when to stop), the
  development rows by nobody.
- names: repeats are removed before the split, and a name that occurs under several nationalities is kept once, under the one with
  the fewest names. 80 % of the names, stratified, are trained on; a seed is another split.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

SETS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "sst2": ("accuracy above 81.3 %", "label", ("accuracy", "auc", "log_loss")),
    "names": (
        "accuracy and top 3 above logistic regression's",
        "nation",
        ("accuracy", "top_3_accuracy", "balanced_accuracy", "log_loss"),
    ),
}
"""Set → (target in words, y, metrics shown)."""


# Data ------------------------------------------------------------------------------------------------------------


def names() -> Any:
    """A frame of the distinct names and their nationalities."""
    import pandas as pd

    rows = [
        (name.strip(), path.stem)
        for path in sorted((DATA / "names_by_nationality").glob("*.txt"))
        for name in path.read_text(encoding="utf-8").splitlines()
        if name.strip()
    ]
    frame = pd.DataFrame(rows, columns=["name", "nation"]).drop_duplicates()
    sizes = frame["nation"].value_counts()
    # A name of several nationalities stays with the smallest of them.
    frame = frame.assign(size=frame["nation"].map(sizes)).sort_values(["size", "nation", "name"], kind="stable")
    return frame.drop_duplicates("name")[["name", "nation"]].sort_values("name").reset_index(drop=True)


def split(name: str, seed: int) -> tuple[Any, Any]:
    """(training rows, test rows) as frames."""
    import pandas as pd
    from sklearn.model_selection import train_test_split

    if name == "sst2":
        folder = DATA / "sst2_sentiment"
        return pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")
    frame = names()
    train, test = train_test_split(frame, test_size=0.2, stratify=frame["nation"], random_state=seed)
    return train.reset_index(drop=True), test.reset_index(drop=True)


# One fit, in a process of its own --------------------------------------------------------------------------------


def one(name: str, seed: int, threads: int) -> dict[str, float]:
    """Fit with defaults and evaluate on the test rows."""
    import trine

    train, test = split(name, seed)
    y = SETS[name][1]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "train.csv", Path(folder) / "test.csv"]
        for frame, path in zip((train, test), paths, strict=True):
            frame.to_csv(path, index=False)
        started, processor = time.perf_counter(), time.process_time()
        model = trine.fit(paths[0], y=y, valid=paths[1], seed=seed, threads=threads)
        seconds, used = time.perf_counter() - started, time.process_time() - processor
    metrics = next(iter(model.evaluations_.values())).metrics
    return {key: metrics[key].value for key in SETS[name][2]} | {
        "seconds": seconds,
        "processor seconds": used,
        "rows": len(train),
        "test rows": len(test),
    }


def separate(name: str, seed: int, threads: int) -> dict[str, float]:
    """:func:`one` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.texts", "--one", name, "--seeds", str(seed), "--threads", str(threads)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(found.stderr)
    return dict(json.loads(found.stdout.splitlines()[-1]))


# Peers -----------------------------------------------------------------------------------------------------------


def linear(name: str, seed: int) -> dict[str, dict[str, float]]:
    """Logistic regression on tf-idf of n-grams: of one and two words, or of one to five characters with a name's ends."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score, top_k_accuracy_score

    train, test = split(name, seed)
    y = SETS[name][1]
    column = next(c for c in train.columns if c != y)
    if name == "sst2":
        kinds = {
            f"tf-idf of 1 and 2 words, C = {c:g}": (
                TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True),
                c,
            )
            for c in (1.0, 10.0)
        }
    else:
        kinds = {
            f"character n-grams, C = {c:g}": (
                TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True),
                c,
            )
            for c in (1.0, 10.0)
        }
    found = {}
    for title, (vectors, c) in kinds.items():
        x, x_test = vectors.fit_transform(train[column]), vectors.transform(test[column])
        model = LogisticRegression(C=c, max_iter=1000).fit(x, train[y])
        p = model.predict_proba(x_test)
        hit = model.classes_[np.argmax(p, axis=1)]
        found[title] = {"accuracy": float(accuracy_score(test[y], hit)), "log_loss": float(log_loss(test[y], p))}
        if name == "sst2":
            found[title]["auc"] = float(roc_auc_score(test[y], p[:, 1]))
        else:
            found[title]["top_3_accuracy"] = float(top_k_accuracy_score(test[y], p, k=3))
    return found


# All -------------------------------------------------------------------------------------------------------------


def measure(chosen: list[str], seeds: list[int], threads: int) -> None:
    """Fit every set under every seed, keeping the results after each."""
    for name in chosen:
        for seed in seeds:
            record = {
                "trine": separate(name, seed, threads),
                "peers": linear(name, seed),
                "threads": threads,
                "conditions": conditions(),
            }
            results = load("texts")
            results.setdefault(name, {})[str(seed)] = record
            keep("texts", results)
            write_page(results)
            print(name, seed, json.dumps(record["trine"]), json.dumps(record["peers"]), flush=True)


def _spread(values: list[float], form: str = "{:.2f}", factor: float = 1.0) -> str:
    values = [factor * value for value in values]
    mean = form.format(statistics.mean(values))
    return f"{mean} ± {form.format(statistics.stdev(values))}" if len(values) > 1 else mean


def _cells(runs: list[dict[str, float]], metrics: tuple[str, ...]) -> str:
    shown = [
        f"{key.replace('_', ' ')} {_spread([run[key] for run in runs], *(('{:.3f}',) if key == 'log_loss' else ('{:.2f} %', 100)))}"
        for key in metrics
        if key in runs[0]
    ]
    return ", ".join(shown)


def write_page(results: dict[str, Any]) -> None:
    """``results/texts.md`` from the kept figures."""
    lines = [
        "# Texts with defaults only",
        "",
        "`python -m benchmarks.texts` — mean ± standard deviation over the seeds; each fit in a process of its own; time includes",
        "reading, deriving, training and evaluating. Peers are scikit-learn's logistic regression on tf-idf of n-grams of the same",
        "rows. sst2: the official split, trained on the training rows alone. names: repeats removed before the split, a name of",
        "several nationalities kept once, under the one with the fewest names; of names a seed is also another split. Seconds",
        "on the clock were measured beside other work on the same processor; processor seconds are the fit's own.",
        "",
        "| data | wanted | trine | peers | rows | seeds | processor seconds | seconds | threads |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, (wanted, _, metrics) in SETS.items():
        if not (record := results.get(name)):
            continue
        runs = [record[seed] for seed in sorted(record)]
        ours = [run["trine"] for run in runs]
        beside = [f"{peer}: {_cells([run['peers'][peer] for run in runs], metrics)}" for peer in runs[0]["peers"]]
        lines.append(
            f"| {name} | {wanted} | {_cells(ours, metrics)} | {'; '.join(beside)} "
            f"| {ours[0]['rows']:,.0f} + {ours[0]['test rows']:,.0f} | {', '.join(sorted(record))} "
            f"| {_spread([run['processor seconds'] for run in ours], '{:.0f}')} "
            f"| {_spread([run['seconds'] for run in ours], '{:.0f}')} | {runs[0]['threads']} |"
        )
    last = max(
        (run for record in results.values() for run in record.values()), key=lambda run: run["conditions"]["date"]
    )
    where = last["conditions"]
    lines += ["", f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['date']}.", ""]
    (RESULTS / "texts.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Measure, or one fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", choices=list(SETS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one, arguments.seeds[0], arguments.threads)))
        return
    measure(arguments.sets, arguments.seeds, arguments.threads)


if __name__ == "__main__":
    main()
