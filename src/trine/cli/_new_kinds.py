"""``trine novelty``: new kinds of x, from data or from a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli._interruption import interruptible
from trine.cli._outcome import print_json
from trine.cli._values import assignments, choice
from trine.errors import ChoiceError

OWN = ("starts", "steps", "binarise", "most_types", "least")
"""Choices that are the novelty's own; the others are its autoencoder's."""


def novelty(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA|RUN",
            help="Data, as for fit; or the run of an autoencoder, or an artefact of one, with --data for what it is to be "
            "compared with where the run's own are not at hand.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="New directory for types, sheet, map, objects and report.")
    ],
    label: Annotated[
        str | None,
        typer.Option(
            "--label", metavar="COL", help="Column of labels: the known classes. Default: what the data name."
        ),
    ] = None,
    new: Annotated[
        str | None,
        typer.Option(
            "--new", metavar="A,B", help="Labels kept from the autoencoder; the classifier says what is of them."
        ),
    ] = None,
    known: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help="With a run: the known rows. Default: the run's.")
    ] = None,
    starts: Annotated[int, typer.Option(help="Noise objects to start from.")] = 1000,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a choice, e.g. epochs=20 or sparsity='topk(8)'. Repeat."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    threads: Annotated[int | None, typer.Option(help="torch threads.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Find kinds of x that the data do not hold: what a sparse autoencoder, iterated from noise, gives back as it is.

    Goes on with the autoencoder's run where DIR has one; it is to be of the same data, choices and seed.
    """
    from trine.estimators.new_kinds import RUN, Novelty
    from trine.report.kinds import require_libraries, write_kinds
    from trine.training import Run

    require_libraries()
    given = {name: choice(value) for name, value in assignments(sets or [], "--set").items()}
    parameters = set(Novelty().get_params(deep=False))
    if unknown := sorted(set(given) - parameters):
        raise ChoiceError(f"trine novelty has no choice {unknown[0]!r}; it has {', '.join(sorted(parameters))}.")
    autoencoder, rows, coloured = _source(data, known)
    if autoencoder is not None and (own := sorted(set(given) - set(OWN))):
        raise ChoiceError(f"{own[0]} is a choice of the autoencoder, which {data} has trained already; leave it out.")
    if autoencoder is not None or not (out / RUN / "run.json").is_file():
        Run.require_free(out)
    model = Novelty(
        **{"starts": starts, **given, "random_state": seed, "threads": threads, "verbose": not quiet and not as_json}
    )
    wanted = [part.strip() for part in new.split(",")] if new else []
    with interruptible():
        model.fit(rows, label or coloured, new=wanted, autoencoder=autoencoder, out=out)
    found = write_kinds(model, out)
    if as_json:
        about: dict[str, Any] = {name: str(path) for name, path in found.items()}
        scores = {name: value for name, value in model.scores_.items() if value == value}
        print_json({**about, "scores": scores})
        return
    print(_summary(model))
    for name, path in found.items():
        print(f"{name:9} {path}")


def _source(data: str, known: str | None) -> tuple[Any, Any, str | None]:
    """(the autoencoder of a run or artefact, or None; the known rows; the column that the run had as its label).

    Raises:
        ChoiceError: a run of another method, or one whose data are not on disk; or --data beside data.
    """
    path = Path(data)
    if not (path / "run.json").is_file() and path.suffix != ".trine":
        if known is not None:
            raise ChoiceError(f"{data} are data already; --data goes with the run of an autoencoder.")
        return None, data, None
    from trine.estimators import Autoencoder, load
    from trine.training import Run

    model = load(path)
    if not isinstance(model, Autoencoder):
        raise ChoiceError(
            f"{data} holds a model of the kind {type(model).__name__}, and only an autoencoder can be iterated: "
            "trine fit DATA --method autoencoder."
        )
    source = known or (Run.read(path)["source"]["data"] if path.is_dir() else None)
    if source is None:
        raise ChoiceError(f"What {data} was trained on is not on disk; name the known rows with --data DATA.")
    return model, source, model.plan_.label


def _summary(model: Any) -> str:
    """What was found, in words."""
    s = model.scores_
    coherent = f", coherence {s['coherence']:.2f}" if model.types_ else ""
    away = (
        "how far objects are from the known has no unit, as the known rows are all alike"
        if math.isnan(s["distance"])
        else f"objects are {s['distance']:.1f} times as far from the known as these from each other"
    )
    lines = [
        f"{s['objects']:,.0f} objects from {model.starts:,} starts: {s['fixed']:.1%} came to rest in at most {model.steps} steps",
        f"{s['types']:.0f} types{coherent}; {away}",
    ]
    if "out_of_class_count" in s:
        lines.append(
            f"{s['out_of_class_count']:.1%} of the objects are surely of {', '.join(model.new_)}; "
            f"{s['types_taken_for_new']:.0f} {'type is' if s['types_taken_for_new'] == 1 else 'types are'} taken for them"
        )
    elif "unsure" in s:
        lines.append(f"{s['unsure']:.1%} of the objects are like no known class")
    head = f"{'type':>6} {'objects':>8} {'coherence':>10} {'distance':>9}  nearest"
    rows = [
        f"{kind.name:>6} {kind.size:>8} {kind.coherence:>10.2f} {kind.distance:>9.2f}  {kind.nearest or ''}"
        + (f", taken for {kind.taken_for} ({kind.probability:.0%})" if kind.taken_for is not None else "")
        for kind in model.types_[:12]
    ]
    more = [f"  … and {len(model.types_) - 12} more"] if len(model.types_) > 12 else []
    table = ["", head, *rows, *more] if rows else []
    return "\n".join([*lines, *table, ""])
