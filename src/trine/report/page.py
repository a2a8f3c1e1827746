"""The page: a run's record, filled into a template that escapes whatever the user's data hold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trine.errors import RunError
from trine.evaluation import figure
from trine.report import figures

RECORD = "record.json"

MEANING = {
    "accuracy": "share of rows whose most probable class is right",
    "balanced_accuracy": "the same, each class counting alike",
    "log_loss": "mean of −log of the probability given to the truth",
    "brier": "squared distance of the probabilities from the truth",
    "auc": "chance that a row of the class scores above one that is not",
    "macro_f1": "harmonic mean of precision and recall, averaged over classes",
    "calibration_error": "mean gap between confidence and share right",
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "r2": "share of the variance that is explained",
    "nll": "mean of −log of the density at the truth",
    "crps": "distance of the predicted distribution from the truth",
    "coverage_90": "share of rows inside the 90 % interval",
    "poisson_deviance": "twice the log-likelihood lost to a perfect Poisson rate",
}
TITLES = {
    "what you have": "What was inferred",
    "model f(x, θ)": "Model f(x, θ)",
    "decision rule": "Decision rule",
    "criterion": "Criterion L(θ)",
    "procedure": "Procedure",
}


def report_run(directory: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Write the report of a finished run.

    Args:
        directory: the run's. out: where to; ``report.html`` in the run by default.

    Raises:
        RunError: the run is not finished, so there is nothing to report. ChoiceError: matplotlib is not installed.
    """
    source = Path(directory) / RECORD
    if not source.is_file():
        if (Path(directory) / "run.json").is_file():
            raise RunError(f"The run {directory} is not finished; go on with it first: trine resume {directory}")
        raise RunError(f"There is no run at {directory}. Give the directory that `trine fit --out` made.")
    record = json.loads(source.read_text(encoding="utf-8"))
    target = Path(out) if out is not None else Path(directory) / "report.html"
    temporary = target.with_name(f".{target.name}.new")
    try:
        temporary.write_text(render(record), encoding="utf-8")
        os.replace(temporary, target)
    except OSError as error:
        raise RunError(f"The report {target} cannot be written: {error.strerror}.") from None
    return target


def render(record: Mapping[str, Any]) -> str:
    """One self-contained HTML page from a run's record; sections whose data are missing are left out."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trine.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["figure"] = lambda value: "–" if value is None else figure(value)
    environment.filters["markup"] = lambda svg: jinja2.utils.markupsafe.Markup(svg)  # type: ignore[attr-defined]
    history = record.get("history") or []
    return environment.get_template("page.html.jinja").render(
        record=record,
        rows=record.get("rows") or {},
        sections=[
            (TITLES.get(title, title), lines)
            for title, lines in (record.get("derivation") or {}).items()
            if title not in ("what you have", "choices")
        ],
        curves=figures.learning_curves(history) if history else "",
        evaluations=[_evaluation(name, data) for name, data in (record.get("evaluations") or {}).items()],
        health=figures.gradient_health(record["gradients"]) if record.get("gradients") else "",
        mistakes=record.get("mistakes") or [],
        pictured=any(mistake.get("image") for mistake in record.get("mistakes") or []),
    )


def _evaluation(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of one target."""
    drawn = data["figures"]
    pictures = []
    if data["kind"] == "category":
        more = drawn["confusion"]["classes"] > len(drawn["confusion"]["labels"])
        note = (
            f"The {len(drawn['confusion']['labels'])} most frequent of {drawn['confusion']['classes']} classes."
            if more
            else ""
        )
        pictures.append(
            (
                "Confusion",
                note or "Rows are the truth; blue is right, orange is wrong.",
                figures.confusion(drawn["confusion"]),
            )
        )
        pictures.append(
            (
                "Calibration",
                "On the dashed line, confidence is earned.",
                figures.calibration(drawn["calibration"], drawn.get("roc")),
            )
        )
    else:
        pictures.append(
            (
                "Predicted and true",
                "On the dashed lines, prediction and truth agree.",
                figures.predicted_and_true(drawn),
            )
        )
        pictures.append(
            (
                "Calibration",
                "On the dashed lines, intervals hold what they promise.",
                figures.coverage(drawn["coverage"], drawn["transform"]),
            )
        )
    metrics = [
        {"name": key, "meaning": MEANING.get(key, ""), "strip": figures.strip(metric), **metric}
        for key, metric in data["metrics"].items()
    ]
    return {"name": name, "rows": data["rows"], "metrics": metrics, "pictures": pictures}
