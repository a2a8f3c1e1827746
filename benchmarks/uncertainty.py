"""One θ and every posterior on numbers: RMSE, log-likelihood, CRPS and coverage, beside published columns.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.uncertainty                         # the UCI sets, all 20 splits
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.uncertainty --sets yacht --ways one ensemble --splits 0 1 2

The five UCI sets are on the 20 splits of Hernández-Lobato and Adams (2015); California housing, bike sharing and medical
insurance on random splits of four to one. All with defaults; ``one`` is one θ of the network that the posteriors are over
(``members=1``), ``default`` the default, eight weight-sharing members. Every fit is kept in ``results/uncertainty.json`` as it
ends, so that a run that is stopped goes on; ``results/uncertainty.md`` is written from it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

UCI = ("yacht", "energy", "wine_red", "power", "kin8nm")
OTHERS = ("medical_insurance", "california", "bike")
WAYS: dict[str, dict[str, Any]] = {
    "one": {"members": 1},
    "default": {},
    **{name: {"posterior": name} for name in ("ensemble", "dropout", "swag", "laplace", "variational", "langevin")},
}
# set → (RMSE, NLL) of MC dropout (Gal's re-run, 2018) and of deep ensembles (Lakshminarayanan et al., 2017), means over the splits.
PUBLISHED: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "yacht": ((0.67, 1.25), (1.58, 1.18)),
    "energy": ((0.54, 1.21), (2.09, 1.38)),
    "wine_red": ((0.62, 0.93), (0.64, 0.94)),
    "power": ((4.01, 2.80), (4.11, 2.79)),
    "kin8nm": ((0.08, -1.14), (0.09, -1.20)),
}
SCORES = ("rmse", "nll", "crps", "coverage", "nll_calibrated", "coverage_calibrated")

HEAD = "| | splits | RMSE | NLL | CRPS | coverage | NLL, conformal | coverage, conformal | seconds |"


def parts(name: str, split: int) -> tuple[Any, Any, Any, Any]:
    """X, y of the training rows, and of the test rows."""
    if name in UCI:
        data = np.load(DATA / "uci_regression" / f"{name}.npz")
        X, y, test = data["X"], data["y"], data["is_test"][split]
        return X[~test], y[~test], X[test], y[test]
    import pandas as pd
    from sklearn.model_selection import train_test_split

    path, target = {
        "medical_insurance": (next((DATA / "medical_insurance").glob("*.csv")), "charges"),
        "california": (next((DATA / "california_housing").glob("*.csv")), "median_house_value"),
        "bike": (DATA / "bike_sharing" / "hour.csv", "cnt"),
    }[name]
    frame = pd.read_csv(path)
    if name == "bike":
        frame = frame.drop(columns=["casual", "registered", "instant"])
    train, test = train_test_split(frame, test_size=0.2, random_state=split)
    return train.drop(columns=target), train[target], test.drop(columns=target), test[target]


def one(name: str, way: str, split: int) -> dict[str, float]:
    """Fit on the training rows of a split and score the test rows; coverage is of the central 90 % interval."""
    from trine import Regressor

    X, y, X_test, y_test = parts(name, split)
    started = time.perf_counter()
    model = Regressor(**WAYS[way], calibration="conformal", random_state=split, threads=1).fit(X, y)
    seconds = time.perf_counter() - started
    return {**scored(model, X_test, y_test), "seconds": seconds}


def scored(model: Any, X_test: Any, y_test: Any) -> dict[str, float]:
    """The scores of test rows, before and after calibration."""
    import torch

    from trine.divergences import crps
    from trine.rules import Recalibrated, quantile

    truth = torch.as_tensor(np.asarray(y_test, dtype=np.float64))
    after = model.predict_distribution(X_test)
    q = after.base if isinstance(after, Recalibrated) else after
    with torch.inference_mode():
        some = slice(None, None, max(1, len(truth) // 1000))

        def covered(q: Any) -> float:
            low, high = quantile(q, 0.05), quantile(q, 0.95)
            return float(((truth >= low) & (truth <= high)).double().mean())

        return {
            "rmse": float((q.mean - truth).square().mean().sqrt()),
            "nll": float(-q.log_prob(truth).mean()),
            "crps": _crps(crps, q, truth, some),
            "coverage": covered(q),
            "nll_calibrated": float(-after.log_prob(truth).mean()),
            "coverage_calibrated": covered(after),
        }


def _crps(crps: Any, q: Any, truth: Any, some: slice) -> float:
    """The mean over some rows, a part of them at a time: where a mixture is integrated, its nodes take memory."""
    import torch

    from trine.rules import map_arguments

    rows = torch.arange(len(truth))[some]
    return float(
        torch.cat([crps(map_arguments(q, lambda v, at=at: v[at]), truth[at]) for at in rows.split(100)]).mean()
    )


def table(results: dict[str, Any]) -> str:
    """Markdown: a table for each set."""
    lines = [
        "# One θ and every posterior",
        "",
        "`taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.uncertainty` — defaults only; mean ± standard error over "
        "splits. NLL in nats and RMSE, CRPS in units of y; coverage of the central 90 % interval, and after "
        "`calibration=conformal` by the rows that decided when to stop. Seconds of one fit, on a machine that had other work.",
    ]
    for name in (*UCI, *OTHERS):
        if not any(key.startswith(f"{name}/") for key in results):
            continue
        lines += [
            "",
            f"## {name}",
            "",
            HEAD,
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for title, (rmse, nll) in zip(
            ("published: MC dropout", "published: deep ensemble"), PUBLISHED.get(name, ()), strict=False
        ):
            lines.append(f"| {title} | 20 | {rmse} | {nll} | | | | | |")
        for way in WAYS:
            found = [value for key, value in results.items() if key.startswith(f"{name}/{way}/")]
            if found:
                cells = [_cell([part[score] for part in found]) for score in SCORES]
                seconds = sum(part["seconds"] for part in found) / len(found)
                lines.append(f"| {way} | {len(found)} | {' | '.join(cells)} | {seconds:.0f} |")
    where = results["conditions"]
    lines += ["", f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; one thread; {where['date']}."]
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    digits = 3 if abs(mean) < 100 else 0
    if len(values) == 1:
        return f"{mean:,.{digits}f}"
    return f"{mean:,.{digits}f} ± {float(np.std(values, ddof=1)) / len(values) ** 0.5:,.{digits}f}"


def main() -> None:
    """Fit what is not there yet; write the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sets", nargs="+", default=UCI, choices=(*UCI, *OTHERS))
    arguments.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    arguments.add_argument("--splits", nargs="+", type=int, default=list(range(20)))
    arguments.add_argument("--again", action="store_true", help="fit also what is there")
    chosen = arguments.parse_args()
    for split in chosen.splits:
        for name in chosen.sets:
            for way in chosen.ways:
                key = f"{name}/{way}/{split}"
                if key in load("uncertainty") and not chosen.again:
                    continue
                found = one(name, way, split)
                print(key, {score: round(value, 4) for score, value in found.items()}, flush=True)
                results = {**load("uncertainty"), key: found, "conditions": conditions()}
                keep("uncertainty", results)
                (RESULTS / "uncertainty.md").write_text(table(results), encoding="utf-8")


if __name__ == "__main__":
    main()
