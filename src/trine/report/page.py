"""The page: a report's content, filled into a template that escapes whatever the user's data hold."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trine.errors import RunError
from trine.report import figures
from trine.report._template import duration, environment, require
from trine.report.content import ReportContent, image_uri
from trine.report.words import against, ending, meaning

RECORD, LOG, REPORT = "record.json", "metrics.jsonl", "report.html"

NO_FLOOR = ("comes back", "diversity")
"""Of samples, what true rows have no value of."""
TITLES = {
    "model f(x, θ)": "Model f(x, θ)",
    "decision rule": "Decision rule",
    "criterion": "Criterion L(θ)",
    "procedure": "Procedure",
}
SHOWN_ELSEWHERE = ("what you have", "choices")
"""Sections of a derivation that the page shows as tables of its own."""
RUN_IS_COMPLETE = "The run itself is complete; write its report later with `trine report RUN`."
WIDE_MATRIX = 20
"""Classes beyond which the confusion matrix takes the whole width."""


def report_run(directory: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Write the report of a finished run.

    Args:
        directory: the run's. out: where to; ``report.html`` in the run by default.

    Raises:
        RunError: there is no finished run, its record is damaged, or the page cannot be written.
        ChoiceError: a library that the page is made with is not installed.
    """
    run = Path(directory)
    source = run / RECORD
    if not source.is_file():
        if (run / "run.json").is_file():
            raise RunError(f"The run {run} is not finished; go on with it first: trine resume {run}")
        raise RunError(f"There is no run at {run}. Give the directory that `trine fit --out` made.")
    try:
        content = ReportContent.from_record(json.loads(source.read_text(encoding="utf-8")), _log(run / LOG))
    except ValueError as error:
        raise RunError(f"A report cannot be made of {run}: {RECORD} is damaged ({error}).") from None
    return write_report(out if out is not None else run / REPORT, content)


def _log(path: Path) -> list[dict[str, Any]]:
    """The lines of steps; one that a killed process left half written is passed over."""
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "step" in line:
            found.append(line)
    return found


def write_report(path: str | os.PathLike[str], content: ReportContent) -> Path:
    """Write ``content`` as one HTML file that needs nothing else: no script, no font, no request.

    Raises:
        RunError: the file cannot be written; one that was there before is kept.
        ChoiceError: a library that the page is made with is not installed.
    """
    target = Path(path)
    if target.is_dir():
        raise RunError(f"The report {target} cannot be written: it is a directory. Choose another --out.")
    page = render(content)
    temporary = target.with_name(f".{target.name}.new")
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, target)
    except OSError as error:
        raise RunError(f"The report {target} cannot be written: {error.strerror}. Choose another --out.") from None
    return target


def render(content: ReportContent) -> str:
    """The HTML page; sections whose values are missing are left out.

    Raises:
        ChoiceError: a library that the page is made with is not installed.
    """
    require("A report", "matplotlib", "jinja2", then=RUN_IS_COMPLETE)
    evaluations = [_evaluation(name, content.evaluation(name)) for name in content.evaluations]
    mistakes = [{"values": {}, **mistake, "image": image_uri(mistake.get("image"))} for mistake in content.mistakes]
    farthest = [
        {"values": {}, **row, "image": image_uri(row.get("image"))} for row in content.novelty.get("farthest", ())
    ]
    gradients = content.gradients if any(point["layers"] for point in content.gradients) else ()
    samples = _samples(content)
    game = figures.game_curves(content.history) if content.samples else ""
    learning = [
        (game if not samples.get("game_svg") else "")
        if game
        else figures.learning_curve(content.history)
        if content.history
        else "",
        figures.term_curves(content.history) if content.codes else "",
        figures.step_sizes(content.log) if content.log else "",
    ]
    health = [figures.layer_scales(gradients, quantity) for quantity in ("activation", "gradient") if gradients]
    health += figures.time_scales(gradients)
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            content=content,
            created=_moment(content.created),
            evaluations=evaluations,
            mistakes=mistakes,
            pictured=any(mistake["image"] for mistake in mistakes),
            novelty=figures.novelty(content.novelty) if content.novelty else "",
            farthest=farthest,
            codes=_codes(content),
            samples=samples,
            kinds=_kinds(content.schema),
            sections=[
                (TITLES.get(title, title), _rows_or_lines(lines))
                for title, lines in content.derivation.items()
                if title not in SHOWN_ELSEWHERE and lines
            ],
            learning=[svg for svg in learning if svg],
            health=[svg for svg in health if svg],
            facts=_facts(content),
        )
    )


def _codes(content: ReportContent) -> dict[str, Any]:
    """What the page shows of an autoencoder; empty for any other run."""
    told = content.codes
    if not told:
        return {}
    pairs = [
        {side: {**pair[side], "image": image_uri(pair[side].get("image"))} for side in ("row", "back")}
        for pair in told.get("reconstructions", ())
    ]
    diagnosis = next((content.evaluation(name)["figures"].get("diagnosis") for name in content.evaluations), None) or []
    columns = next((content.evaluation(name)["figures"].get("columns") for name in content.evaluations), None) or []
    return {
        **told,
        "pairs": pairs,
        "pictured": any(pair["row"]["image"] for pair in pairs),
        "drawn": [{**row, "image": image_uri(row.get("image"))} for row in told.get("samples", ())],
        "plane_svg": figures.code_plane(told["plane"]) if told.get("plane") else "",
        "information_svg": figures.code_information(told["information"], bool(told.get("shaped"))),
        "images": {
            name: image_uri(told.get(f"{name}_image"))
            for name in ("samples", "traversals", "interpolations", "manifold")
        },
        "diagnosis": diagnosis,
        "columns": columns,
        "moved": _checked(told.get("moved", ())),
        "fields": [
            {
                **field,
                "image": figures.code_field(field),
                "labels": list(zip(field.get("labels", ()), figures.COLOURS, strict=False)),
            }
            for field in told.get("fields", ())
        ],
        "manifold": _checked(told.get("manifold") or {}),
        "way": [{**row, "image": image_uri(row.get("image"))} for row in told.get("way", ())],
        "marginal_svgs": [figures.marginal(column) for column in told.get("marginals", ())],
    }


def _samples(content: ReportContent) -> dict[str, Any]:
    """What the page shows of a generator; empty for any other run. Pictures that are no data URI are left out."""
    told = content.samples
    if not told:
        return {}
    found: dict[str, Any] = _checked(told)
    score = found.get("score") or {}
    found["score_svg"] = figures.score_curve(content.history, score) if content.history else ""
    said = {name: content.evaluation(name)["figures"].get("diagnosis") or [] for name in content.evaluations}
    found["diagnosis"] = [
        {**finding, "name": f"to {name}: {finding['name']}"} if told.get("sides") else finding
        for name, findings in (said.items() if told.get("sides") else list(said.items())[:1])
        for finding in findings
    ]
    found["marginal_svgs"] = [figures.marginal(column) for column in told.get("marginals", ())]
    found["associations_svg"] = figures.association_matrices(told["associations"]) if told.get("associations") else ""
    found["game_svg"] = (
        figures.game_curves(content.history)
        if content.history and (not found.get("film") or found.get("filmed"))
        else ""
    )
    judged: Mapping[str, Any] = next((content.evaluation(name)["figures"] for name in content.evaluations), {})
    if judged.get("kinds") and not told.get("sides"):
        found["kinds"] = {**judged["kinds"], "svg": figures.marginal(judged["kinds"])}
    found["spread_svg"] = figures.spread(told["spread"]) if told.get("spread") else ""
    found["cloud_svg"] = figures.cloud(told["cloud"]) if told.get("cloud") else ""
    return found


def _checked(value: Any) -> Any:
    """The same, with ``image`` and ``still`` of every mapping in it a data URI or None."""
    if isinstance(value, Mapping):
        return {key: image_uri(part) if key in ("image", "still") else _checked(part) for key, part in value.items()}
    return [_checked(part) for part in value] if isinstance(value, list | tuple) else value


def _cards(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of samples: the distance, and whether content is kept where a judge of it tells, else whether all kinds are made."""
    named = {metric["name"]: metric for metric in metrics}
    second = next((named[name] for name in ("content kept", "coverage") if name in named), None)
    return [metric for metric in metrics if metric is metrics[0] or metric is second]


def _evaluation(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of one target."""
    drawn = data["figures"]
    told = {key: {**metric, "baseline": None} if key in NO_FLOOR else metric for key, metric in data["metrics"].items()}
    metrics = [
        {**metric, "name": key, "meaning": meaning(key), "against": against(key), "strip": figures.strip(key, metric)}
        for key, metric in told.items()
    ]
    matrix = drawn.get("confusion")
    return {
        "name": name,
        "rows": data["rows"],
        "kind": data["kind"],
        "cards": _cards(metrics) if data["kind"] == "samples" else metrics[:2],
        "metrics": metrics,
        "panels": _class_panels(drawn) if data["kind"] == "category" else _number_panels(drawn),
        "matrix": matrix
        and {**matrix, "svg": figures.confusion(matrix) if data["rows"] else "", "wide": _wide(matrix)},
        "classes": drawn.get("classes") or [],
        "confused": (drawn.get("confused") or []) if matrix and matrix["classes"] > 2 else [],
        "unknown": drawn.get("unknown_classes") or 0,
        "calibrated": (drawn.get("calibrated") or {}).get("said") or "",
    }


def _wide(matrix: Mapping[str, Any]) -> bool:
    return len(matrix["labels"]) > WIDE_MATRIX


def _class_panels(drawn: Mapping[str, Any]) -> list[str]:
    """Figures of class probabilities, for which there are data."""
    calibration = drawn.get("calibration") or {"count": []}
    before = (drawn.get("calibrated") or {}).get("calibration")
    panels = [figures.calibration(calibration, before), figures.confidence(calibration)] if calibration["count"] else []
    if drawn.get("roc"):
        panels.append(figures.roc(drawn["roc"]))
    if drawn.get("precision_recall"):
        panels.append(figures.precision_recall(drawn["precision_recall"]))
    return panels


def _number_panels(drawn: Mapping[str, Any]) -> list[str]:
    """Figures of predicted numbers, for which there are data."""
    panels = []
    if drawn.get("truth"):
        panels += [figures.predicted_and_true(drawn), figures.residuals(drawn)]
    if drawn.get("coverage") and drawn["coverage"]["share"]:
        panels.append(figures.coverage(drawn["coverage"], (drawn.get("calibrated") or {}).get("coverage")))
    if sum(drawn.get("transform") or []):
        panels.append(figures.transform(drawn["transform"]))
    return panels


def _rows_or_lines(lines: Sequence[Any]) -> dict[str, Any]:
    """Rows of cells for a table, or lines of text."""
    if all(isinstance(line, list | tuple) for line in lines):
        return {"rows": [[str(cell) for cell in row] for row in lines]}
    text = [str(line) for line in lines]
    return {"text": "\n".join(text), "aligned": any("  " in line.strip() for line in text)}


def _kinds(schema: Sequence[Mapping[str, Any]]) -> str:
    """How many inputs there are of each domain, in words."""
    counts: dict[str, int] = {}
    for row in schema:
        if row.get("role") in ("x", "A"):  # of two piles both have the same
            counts[row["domain"]] = counts.get(row["domain"], 0) + 1
    parts = [f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda item: -item[1])]
    out = sum(row.get("role") == "ignored" for row in schema)
    return ", ".join(parts) + (f"; {out} left out" if out else "")


def _facts(content: ReportContent) -> list[tuple[str, str]]:
    """What it took, and what is needed to do it again."""
    timing = content.timing
    found: list[tuple[str, str | None]] = [
        ("training time", duration(timing.get("seconds"))),
        ("epochs", ending(timing.get("stopped"), timing.get("epochs"), timing.get("planned"))),
        ("speed", f"{timing['rate']:,.0f} examples/s" if timing.get("rate") else None),
        ("threads", str(timing["threads"]) if timing.get("threads") else None),
        ("peak memory", f"{content.memory / 2**20:,.0f} MiB" if content.memory else None),
        ("seed", str(content.seed) if content.seed is not None else None),
        *((str(name), str(version)) for name, version in content.versions.items()),
    ]
    return [(name, value) for name, value in found if value]


def _moment(created: str | None) -> str | None:
    """A moment as a person writes it; as it is where it is no ISO date."""
    if created is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = f" {moment.tzname()}" if moment.tzinfo else ""
    return f"{moment.day} {moment:%B %Y, %H:%M}{zone}"
