"""What a training reached and where it lies, told to a person or to a machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def report_outcome(estimator: Any, directory: Path, *, report: bool, as_json: bool) -> None:
    """Write the report, if it is wanted, and say what was reached and where all lies."""
    from trine.report import report_run

    page = report_run(directory) if report else None
    skipped = estimator.provenance_.get("skipped", [])
    if skipped:
        more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        print(f"trine: {len(skipped)} left out as unreadable: {skipped[0]}{more}", file=sys.stderr)
    if as_json:
        print_json(
            {
                "run": str(directory),
                "artefact": str(directory / "model.trine"),
                "report": str(page) if page else None,
                "metrics": estimator.metrics_,
                **estimator.provenance_,
            }
        )
        return
    for summary in summaries(estimator, estimator.evaluations_):
        print(summary)
        print()
    if (doubt := estimator.provenance_.get("given_away")) is not None:
        print(doubt, end="\n\n")
    if cut := _cut_short(estimator):
        print(cut)
        print()
    print(f"artefact  {directory / 'model.trine'}")
    if page:
        print(f"report    {page}")


def _cut_short(estimator: Any) -> str:
    """A sentence on a training that its budget ended; else nothing."""
    from trine.report.words import ending

    told, planned = estimator.provenance_, estimator.derivation_.choices.epochs
    if told.get("stopped") != "budget" or not (told["epochs"] < planned):
        return ""
    return f"{ending('budget', told['epochs'], planned)} epochs; for more epochs, grant a larger budget or none"


def summaries(estimator: Any, evaluations: Mapping[str, Any], rows: str = "held out") -> list[str]:
    """The metrics of each target, or of each way of a translator; named where there are several; ``rows``: of which rows."""
    from trine.estimators import Translator

    of = "to " if isinstance(estimator, Translator) else ""
    names = {name: f"{of}{name}: {rows}" if len(evaluations) > 1 else rows for name in evaluations}
    return [evaluation.summary(names[name]) for name, evaluation in evaluations.items()]


def print_json(value: Any) -> None:
    """JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
