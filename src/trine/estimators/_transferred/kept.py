"""What a transfer has in its run: what was asked for, from its first step on, and what it leaves."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trine import artefact
from trine.errors import RunError
from trine.estimators._encoders import Source
from trine.estimators._estimator import versions
from trine.estimators._shown.record import RECORD
from trine.estimators._workflow import ARTEFACT, taken_at_its_word
from trine.training import Run

ASKED = ("head", "tune", "task", "epochs", "step_size", "batch_size")
"""Parameters that ``run.json`` keeps of a transfer, beside those of its plan."""


def about(
    model: Any,
    fingerprint: str,
    *,
    data: Any = None,
    valid: Any = None,
    place: str | None = None,
    share: float = 0.0,
    by_fit: bool = False,
) -> dict[str, Any]:
    """What ``run.json`` holds: what was asked for, and by what its encoder and data are known again.

    Args:
        model: the transfer, about to be trained. fingerprint: of the data. data, valid, place: where they and the encoder lie, of
            those on disk. share: of the rows that are held out. by_fit: whether X and y are known to the caller of ``fit`` alone.
    """
    again: dict[str, Any] = {}
    if model._looped:
        asked = {name: getattr(model, name) for name in ASKED}
        again = {"asked": asked, "valid": share, "place": place, "mark": mark_of(model.source_), "by_fit": by_fit}
    return {
        "plan": model.plan_.to_json(),
        "source": {"data": data, "valid": valid},
        "transfer": {
            "encoder": model.source_.name, "head": str(model.head), "tune": model.tune, **again,
        },
        "fingerprint": fingerprint,
        "schema": model.schema_.to_json(),
        "versions": versions(),
    }  # fmt: skip


def mark_of(source: Source) -> str:
    """By what an encoder is known again in another process: what it learned, wherever it lies."""
    parts, tensors = source.parts()
    return artefact.digest(json.dumps(parts.get("manifest"), sort_keys=True, default=str), tensors)


def require_free_or_transfer(out: str | os.PathLike[str]) -> None:
    """Check that a call of ``fit`` may begin a run at ``out``, or go on with one of its kind.

    Raises:
        RunError: it holds anything else.
    """
    if not (Path(out) / "run.json").is_file() or "transfer" not in Run.read(out):
        Run.require_free(out)


def begun(out: str | os.PathLike[str], asked: dict[str, Any]) -> Run:
    """A new run at ``out``, or the one that the same call began there before.

    Raises:
        RunError: another call began it; names what differs.
    """
    if not (Path(out) / "run.json").is_file():
        return Run.create(out, asked)
    run = Run.open(out)
    with taken_at_its_word(run.directory):
        there, wanted = _compared(run.data), _compared(json.loads(json.dumps(asked)))
    names = [name for name, value in wanted.items() if there.get(name) != value]
    if names:
        raise RunError(
            f"{out} holds the run of another call, which differs in: {', '.join(names)}. Make the call as it was made then "
            "(random_state a number), or name another directory."
        )
    return run


def _compared(record: Mapping[str, Any]) -> dict[str, Any]:
    """What two calls have to have in common, by the names that a user knows."""
    told = dict(record["transfer"])
    asked = told.get("asked") or record["plan"]["choices"]
    plan = record["plan"]
    return {
        "encoder": (told["encoder"], told.get("mark")),
        "head": told["head"],
        "tune": told["tune"],
        "random_state": plan["seed"],
        "validation_fraction": plan["stop_fraction"],
        **{name: plan[name] for name in ("y", "threads", "budget")},
        **asked,
        "data": record["fingerprint"],
    }


def keep(model: Any, run: Run) -> None:
    """What a finished transfer leaves in its run."""
    source, doubt = run.data["source"]["data"], model.provenance_.get("given_away")
    model.provenance_["source"] = source
    model.save(run.directory / ARTEFACT)
    schema = model.schema_
    record = {
        "title": f"{', '.join(schema.y)} by transfer from {model.source_.name}",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "source": source or "data in memory",
        "rows": model.provenance_["rows"],
        "schema": [
            {
                "column": name,
                "role": role,
                "domain": type(domain).__name__,
                "detail": domain.describe(),
                "reason": "",
            }
            for role, domains in (("x", schema.x), ("y", schema.y))
            for name, domain in domains.items()
        ],
        "derivation": {
            **model.derivation_.sections(),
            **({} if doubt is None else {"what figures are worth": [doubt]}),
        },
        "choices": model.derivation_.chosen(),
        "history": model.history_,
        "evaluations": {name: value.to_json() for name, value in model.evaluations_.items()},
        "mistakes": [],
        "timing": {"seconds": model.provenance_["seconds"], "threads": model.threads or torch.get_num_threads()},
        "seed": model.plan_.seed,
        "versions": versions(),
    }
    run.write(RECORD, json.dumps(record, ensure_ascii=False, default=str))
    run.update(status="finished", choices=model.derivation_.choices.to_json(), metrics=model.metrics_)
