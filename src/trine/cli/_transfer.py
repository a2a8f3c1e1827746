"""``trine transfer``: one head on what an encoder has learned, or every way beside every other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from trine.cli._outcome import print_json
from trine.data import write
from trine.errors import ChoiceError
from trine.estimators._transferred.comparison import USUAL, compare
from trine.estimators._transferred.runs import transfer
from trine.report._template import require
from trine.training import Run


def run_comparison(
    encoder: str,
    data: str,
    y: str,
    *,
    labels: str | None,
    draws: int,
    valid: str | float,
    tune: str,
    task: str | None,
    seed: int,
    threads: int | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare, print, and keep the figures and the picture in ``out``."""
    if out is not None:
        require("The picture of a comparison", "matplotlib", then="Leave --out out to see the figures alone.")
        Run.require_free(out)
    if isinstance(valid, str):
        raise ChoiceError(f"--valid {valid}: a comparison holds out a share of DATA's own rows, e.g. --valid 0.2.")
    if tune not in ("frozen", "gradual"):
        raise ChoiceError(
            f"--tune {tune}: a comparison tunes from the top, --tune gradual, or not at all, --tune frozen."
        )
    ways = [*USUAL[:3], "z tuned", *USUAL[3:]] if tune == "gradual" else list(USUAL)
    found = compare(
        encoder, data, y, labels=_numbers(labels), draws=draws, ways=ways, valid=valid, task=task, seed=seed,
        threads=threads, tell=None if quiet else lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    if as_json:
        print_json(found.to_json())
    else:
        print(found.summary())
    if out is None:
        return
    from trine.report.figures.transfer import draw_comparison

    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "comparison.json").write_text(
            json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise ChoiceError(
            f"--out {out} cannot be written: {error.strerror or error}. Name another directory."
        ) from None
    write(out / "comparison.csv", found.columns())
    draw_comparison(out / "comparison.png", found)
    if not as_json:
        print(f"\nkept in  {out}: comparison.json, comparison.csv, comparison.png")


def run_transfer(
    encoder: str, data: str, y: str, *, out: Path | None, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Fit one head, say how it does, keep it."""
    if out is None:
        raise ChoiceError(
            "There is no directory for the run: give --out RUN; or --compare, which keeps nothing unless told."
        )
    model = transfer(encoder, data, y, out=out, verbose=not quiet, **options)
    from trine.report import report_run

    page = report_run(out)
    if as_json:
        about = {"run": str(out), "artefact": str(out / "model.trine"), "report": str(page), "metrics": model.metrics_}
        print(json.dumps({**about, **model.provenance_}, indent=2, ensure_ascii=False, default=str))
        return
    if not quiet:
        print(model.derivation_.describe(), "\n")
    for evaluation in model.evaluations_.values():
        print(evaluation.summary())
        print()
    if (doubt := model.provenance_.get("given_away")) is not None:
        print(doubt, end="\n\n")
    print(f"artefact  {out / 'model.trine'}\nreport    {page}")


def _numbers(text: str | None) -> list[int] | None:
    """``10,100`` as numbers.

    Raises:
        ChoiceError: they are none.
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.replace(" ", "").split(",") if part]
    except ValueError:
        raise ChoiceError(
            f"--labels {text!r} are no whole numbers with commas between, e.g. --labels 10,100,1000."
        ) from None
