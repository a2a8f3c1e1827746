"""Accuracy with defaults only, on real data, beside gradient boosting on the same rows.

    python -m benchmarks.quality                          # every set, three seeds
    python -m benchmarks.quality --sets mnist adult --seeds 0 1 --threads 1

No data set gets a setting of its own: a run is ``trine.fit(train, y=..., valid=test)``. Each fit has a process of its own, so that
time and peak memory are its own. Results are merged into ``results/quality.json`` after every fit, and ``results/quality.md`` is
written from it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

CACHE = Path(tempfile.gettempdir()) / "trine-benchmarks"

# set → (target in words, metric that the target is about, whether larger is better)
SETS: dict[str, tuple[str, str, bool]] = {
    "mnist": ("≥ 0.995, within 10 minutes", "accuracy", True),
    "fashion_mnist": ("≥ 0.934", "accuracy", True),
    "cifar10": ("≥ 0.80, within 30 minutes", "accuracy", True),
    "adult": ("log loss ≤ 1.01 × boosting's", "log_loss", False),
    "california": ("RMSE ≤ 44,500 on the split where boosting has 46,840", "rmse", False),
    "california_splits": ("the same on a split of each seed", "rmse", False),
    "bike": ("Poisson deviance ≤ boosting's", "poisson_deviance", False),
    "titanic": ("accuracy within one standard error of the best of logistic regression and boosting", "accuracy", True),
}


# Data ------------------------------------------------------------------------------------------------------------


def cifar() -> Path:
    """CIFAR-10 as class folders, unpacked once."""
    folder = CACHE / "cifar10"
    if not (folder / "done").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(DATA / "cifar10_jpeg" / "cifar10_jpeg.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        (folder / "done").touch()
    return next(folder.rglob("train")).parent


def random_split(path: Path, seed: int, share: float = 0.2) -> tuple[Path, Path]:
    """A CSV divided at random into two CSVs: (train, test)."""
    from sklearn.model_selection import train_test_split

    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    parts = train_test_split(rows, test_size=share, random_state=seed)
    return _write_parts(path, header, parts, f"{seed}")


def folds(path: Path, target: str, seed: int) -> list[tuple[Path, Path]]:
    """Five stratified folds of a CSV as pairs of CSVs."""
    from sklearn.model_selection import StratifiedKFold

    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    labels = [row[header.index(target)] for row in rows]
    divisions = StratifiedKFold(5, shuffle=True, random_state=seed).split(rows, labels)
    return [
        _write_parts(path, header, ([rows[i] for i in train], [rows[i] for i in test]), f"{seed}-{k}")
        for k, (train, test) in enumerate(divisions)
    ]


def _write_parts(path: Path, header: list[str], parts: Any, mark: str) -> tuple[Path, Path]:
    CACHE.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows in zip(("train", "test"), parts, strict=True):
        target = CACHE / f"{path.parent.name}-{mark}-{name}.csv"
        with target.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        written.append(target)
    return written[0], written[1]


def frames(train: Path, test: Path, target: str, drop: tuple[str, ...] = ()) -> tuple[Any, Any, Any, Any]:
    """X, y of train and test for scikit-learn: text as pandas categories over both, dates as numbers."""
    import pandas as pd

    parts = [pd.read_csv(p, na_values=["?"], skipinitialspace=True) for p in (train, test)]
    both = pd.concat(parts, keys=[0, 1])
    for column in both.columns:
        if column == target or pd.api.types.is_numeric_dtype(both[column]):
            continue
        days = pd.to_datetime(both[column], format="%Y-%m-%d", errors="coerce")
        # A date as its number of days, which is what trine starts from too.
        both[column] = days.astype("int64") // 86_400 if days.notna().all() else both[column].astype("category")
    X = both.drop(columns=[target, *drop])
    return X.loc[0], both[target].loc[0], X.loc[1], both[target].loc[1]


def bike_inputs(path: Path) -> list[str]:
    """Columns of the bike table that do not give the answer away."""
    with path.open(encoding="utf-8") as file:
        header = next(csv.reader(file))
    return [name for name in header if name not in ("cnt", "casual", "registered", "instant")]


def tasks(name: str, seed: int) -> list[dict[str, Any]]:
    """The fits of a set: keyword arguments of ``trine.fit``."""
    if name in ("mnist", "fashion_mnist"):
        folder = DATA / name
        find = lambda *words: next(str(p) for p in sorted(folder.iterdir()) if all(w in p.name for w in words))  # noqa: E731
        return [{"data": find("train", "images"), "valid": find("t10k", "images")}]
    if name == "cifar10":
        folder = cifar()
        return [{"data": str(folder / "train"), "valid": str(folder / "test")}]
    if name == "adult":
        folder = DATA / "adult_income"
        return [{"data": str(folder / "train.csv"), "y": "income", "valid": str(folder / "test.csv")}]
    if name in ("california", "california_splits"):
        path = next((DATA / "california_housing").glob("*.csv"))
        train, test = random_split(path, seed if name == "california_splits" else 0)
        return [{"data": str(train), "y": "median_house_value", "valid": str(test)}]
    if name == "bike":
        path = DATA / "bike_sharing" / "hour.csv"
        train, test = random_split(path, seed)
        return [{"data": str(train), "y": "cnt", "valid": str(test), "x": bike_inputs(path)}]
    path = next((DATA / "titanic").glob("*.csv"))
    return [{"data": str(a), "y": "survived", "valid": str(b)} for a, b in folds(path, "survived", seed)]


# One fit, in a process of its own --------------------------------------------------------------------------------


def one(task: dict[str, Any], seed: int, threads: int) -> dict[str, float]:
    """Fit with defaults and evaluate on the test rows."""
    import trine

    started = time.perf_counter()
    arguments = dict(task)
    model = trine.fit(arguments.pop("data"), seed=seed, threads=threads, verbose=True, **arguments)
    result = {name: metric["value"] for name, metric in next(iter(model.metrics_.values())).items()}
    result["seconds"] = time.perf_counter() - started
    result["training seconds"] = model.provenance_["seconds"]
    result["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def separate(task: dict[str, Any], seed: int, threads: int) -> dict[str, float]:
    """:func:`one` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.quality", "--one", json.dumps(task), "--seeds", str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [*command, "--threads", str(threads)], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


# Peers on the same rows ------------------------------------------------------------------------------------------


def boosting(task: dict[str, Any], loss: str | None = None) -> dict[str, float]:
    """scikit-learn's HistGradientBoosting with its defaults."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import accuracy_score, log_loss, mean_poisson_deviance, roc_auc_score, root_mean_squared_error

    target = task["y"]
    X, y, X_test, y_test = frames(Path(task["data"]), Path(task["valid"]), target)
    if "x" in task:
        X, X_test = X[task["x"]], X_test[task["x"]]
    wide = [c for c in X.columns if str(X[c].dtype) == "category" and X[c].nunique() > 255]
    X, X_test = X.drop(columns=wide), X_test.drop(columns=wide)
    if target in ("income", "survived"):
        model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0).fit(X, y)
        p = model.predict_proba(X_test)
        return {
            "accuracy": float(accuracy_score(y_test, model.classes_[p.argmax(1)])),
            "log_loss": float(log_loss(y_test, p)),
            "auc": float(roc_auc_score(y_test, p[:, 1])),
        }
    model = HistGradientBoostingRegressor(
        loss=loss or "squared_error", categorical_features="from_dtype", random_state=0
    ).fit(X, y)
    mean = model.predict(X_test)
    result = {"rmse": float(root_mean_squared_error(y_test, mean))}
    if loss == "poisson":
        result["poisson_deviance"] = float(mean_poisson_deviance(y_test, np.maximum(mean, 1e-9)))
    return result


def logistic(task: dict[str, Any]) -> dict[str, float]:
    """Logistic regression on imputed, scaled numbers and one-hot categories."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    X, y, X_test, y_test = frames(Path(task["data"]), Path(task["valid"]), task["y"])
    wide = [c for c in X.columns if str(X[c].dtype) == "category" and X[c].nunique() > 50]
    X, X_test = X.drop(columns=wide), X_test.drop(columns=wide)
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=["category", "bool"])),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(X, y)
    return {"accuracy": float(accuracy_score(y_test, model.predict(X_test)))}


def peers(name: str, task: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Peer → metrics, for the tables."""
    if name in ("adult", "california", "california_splits"):
        return {"boosting": boosting(task)}
    if name == "bike":
        return {"boosting": boosting(task, "poisson")}
    if name == "titanic":
        return {"boosting": boosting(task), "logistic": logistic(task)}
    return {}


# All -------------------------------------------------------------------------------------------------------------


def measure(names: list[str], seeds: list[int], threads: int) -> None:
    """Fit every set under every seed, keeping the results after each."""
    for name in names:
        for seed in seeds:
            found = tasks(name, seed)
            fits = [separate(task, seed, threads) for task in found]
            beside = [peers(name, task) for task in found]
            results = load("quality")
            record = results.setdefault(name, {})
            record[str(seed)] = {
                "trine": {key: statistics.mean(f[key] for f in fits) for key in fits[0]},
                "folds": [f[SETS[name][1]] for f in fits] if len(fits) > 1 else None,
                "peers": {
                    peer: {key: statistics.mean(b[peer][key] for b in beside) for key in beside[0][peer]}
                    for peer in beside[0]
                },
                "peer folds": {p: [b[p][SETS[name][1]] for b in beside] for p in beside[0]} if len(fits) > 1 else None,
                "threads": threads,
                "conditions": conditions(),
            }
            keep("quality", results)
            write_page(results)
            print(name, seed, json.dumps(record[str(seed)]["trine"]), flush=True)


def _spread(values: list[float], form: Callable[[float], str]) -> str:
    mean = statistics.mean(values)
    return f"{form(mean)} ± {form(statistics.stdev(values))}" if len(values) > 1 else form(mean)


def write_page(results: dict[str, Any]) -> None:
    """``results/quality.md`` from the kept figures."""
    lines = [
        "# Quality with defaults only",
        "",
        "`python -m benchmarks.quality` — mean ± standard deviation over the seeds; each fit in a process of its own, given the",
        "whole training file; time includes reading, deriving and evaluating. For bike, titanic and california_splits a",
        "seed is also another split. Boosting is scikit-learn's HistGradientBoosting with its defaults on the same rows.",
        "",
        "| data | wanted | trine | peers | seeds | seconds | peak memory | threads |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (wanted, metric, _) in SETS.items():
        record = results.get(name)
        if not record:
            continue
        runs = [record[seed] for seed in sorted(record)]
        shown = [key for key in (metric, "accuracy", "auc", "log_loss", "rmse") if key in runs[0]["trine"]]
        form = _form(metric)
        cells = [f"{key} {_spread([r['trine'][key] for r in runs], _form(key))}" for key in dict.fromkeys(shown)]
        beside = [f"{peer} {_spread([r['peers'][peer][metric] for r in runs], form)}" for peer in runs[0]["peers"]]
        if runs[0].get("peer folds"):
            best = max(runs[0]["peers"], key=lambda p: runs[0]["peers"][p][metric])
            error = statistics.mean(statistics.stdev(r["peer folds"][best]) / 5**0.5 for r in runs)
            beside.append(f"standard error of the best over folds {form(error)}")
        seconds = _spread([r["trine"]["seconds"] for r in runs], lambda v: f"{v:.0f}")
        memory = max(r["trine"]["peak memory, MB"] for r in runs)
        lines.append(
            f"| {name} | {wanted} | {', '.join(cells)} | {', '.join(beside) or '–'} | {len(runs)} | {seconds} "
            f"| {memory:.0f} MB | {runs[0]['threads']} |"
        )
    notes = RESULTS / "quality-notes.md"
    last = max((r for record in results.values() for r in record.values()), key=lambda r: r["conditions"]["date"])
    where = last["conditions"]
    lines += ["", f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['date']}.", ""]
    if notes.is_file():
        lines += [notes.read_text(encoding="utf-8").strip(), ""]
    (RESULTS / "quality.md").write_text("\n".join(lines), encoding="utf-8")


def _form(metric: str) -> Callable[[float], str]:
    return (lambda v: f"{v:,.0f}") if metric == "rmse" else (lambda v: f"{v:.4f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(json.loads(arguments.one), arguments.seeds[0], arguments.threads)))
    else:
        measure(arguments.sets, arguments.seeds, arguments.threads)


if __name__ == "__main__":
    main()
