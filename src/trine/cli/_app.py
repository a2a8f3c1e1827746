"""The commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trine._version import __version__
from trine.cli._interruption import interruptible
from trine.cli._new_kinds import novelty
from trine.cli._options import (
    Data,
    Domains,
    Group,
    Inputs,
    Into,
    Json,
    Label,
    Long,
    Method,
    OnBad,
    Other,
    RunDir,
    Sets,
    Target,
)
from trine.cli._outcome import print_json, report_outcome, summaries
from trine.cli._values import assignments, choices, held_out, inputs, keep_apart, pair, seconds

app = typer.Typer(
    name="trine",
    help="Learning = model + criterion + procedure: say what you have, trine derives the three and trains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"trine {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Learning = model + criterion + procedure: say what you have, trine derives the three and trains."""


@app.command(epilog="Example: trine derive adult.csv --y income --set divergence=cramer")
def derive(
    data: Data,
    other: Other = None,
    y: Target = None,
    method: Method = None,
    label: Label = None,
    x: Inputs = None,
    domain: Domains = None,
    sets: Sets = None,
    seed: Annotated[int, typer.Option(help="Seeds the split that the domains learn from.")] = 0,
    on_bad: OnBad = None,
    long: Long = None,
    group: Group = None,
    as_json: Json = False,
) -> None:
    """Show what is inferred and what follows from it, as formulas; train nothing."""
    from trine.estimators import derive as derive_

    derivation, sample = derive_(
        data,
        other=other,
        y=y,
        method=method,
        label=label,
        x=inputs(x),
        domains=assignments(domain or [], "--domain"),
        seed=seed,
        on_bad=on_bad or "stop",
        long=pair(long),
        group=assignments(group or [], "--group"),
        **choices(sets),
    )
    if as_json:
        print_json(derivation.to_json(sample))
    else:
        print(derivation.describe(sample))


@app.command(
    epilog="Examples: trine fit adult.csv --y income --out runs/adult   ·   trine fit photos/ --out runs/photos --budget 5m"
    "   ·   trine fit --config run.toml"
)
def fit(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="As for `derive`; may stand in the run file.")
    ] = None,
    other: Other = None,
    y: Target = None,
    method: Method = None,
    label: Label = None,
    x: Inputs = None,
    domain: Domains = None,
    sets: Sets = None,
    out: Annotated[str | None, typer.Option(metavar="RUN", help="New directory for the run.")] = None,
    valid: Annotated[
        str | None,
        typer.Option(metavar="FILE|FRACTION", help="Rows kept from training, for the metrics only. Default: 0.1."),
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Most time to train, e.g. 90s, 5m, 1h.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Most memory to take, e.g. 4GiB; larger data go to files, built once."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds split, weights and order. Default: 0.")] = None,
    threads: Annotated[int | None, typer.Option(help="Torch threads. Default: chosen.")] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda", help="Where to train. Default: a GPU where there is one.")
    ] = "auto",
    class_weight: Annotated[str | None, typer.Option(metavar="balanced", help="Let classes count alike.")] = None,
    on_bad: OnBad = None,
    long: Long = None,
    group: Group = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A run.toml or run.yaml with these options.")
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.html.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Json = False,
) -> None:
    """Infer, derive, train; keep the run, the artefact and a report in RUN. Options override the run file's keys."""
    from trine.cli._runfile import RunFile, read_run_file
    from trine.errors import ChoiceError
    from trine.estimators import fit as fit_
    from trine.training import distributed

    # DATA may itself be a run file: `trine fit run.toml`.
    if config is None and data is not None and Path(data).suffix in (".toml", ".yaml", ".yml"):
        config, data = Path(data), None
    run = read_run_file(config) if config is not None else RunFile()
    source = data or run.data
    directory = out or run.out
    if source is None:
        raise ChoiceError("There is no DATA: name a file or folder, or a run file with the key `data`.")
    if directory is None:
        raise ChoiceError("There is no directory for the run: give --out RUN, or the key `out` in the run file.")
    columns = [run.y] if isinstance(run.y, str) else run.y
    first = distributed.launched_first()
    with interruptible(), distributed.joined(device):
        estimator = fit_(
            source,
            other=other or run.other,
            y=y or columns,
            method=method or run.method,
            label=label or run.label,
            x=inputs(x or run.x),
            domains={**run.domain, **assignments(domain or [], "--domain")},
            out=directory,
            valid=held_out(valid if valid is not None else run.valid),
            budget=seconds(budget if budget is not None else run.budget),
            memory=memory if memory is not None else run.memory,
            seed=seed if seed is not None else run.seed or 0,
            threads=threads if threads is not None else run.threads,
            device=device,
            class_weight=class_weight or run.class_weight,
            on_bad=on_bad or run.on_bad or "stop",
            long=pair(long or run.long),
            group={**run.group, **assignments(group or [], "--group")},
            verbose=not quiet,
            announce=None if quiet or as_json or not first else lambda text: print(text, "\n", flush=True),
            **{**run.set, **choices(sets)},
        )
        if first:
            report_outcome(estimator, Path(directory), report=not no_report, as_json=as_json)


@app.command(epilog="Example: trine resume runs/adult")
def resume(
    run: RunDir,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Where the data are now, if they have moved.")
    ] = None,
    other: Annotated[
        str | None, typer.Option(metavar="B", help="Of two piles: where B is now, if it has moved.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(metavar="ENCODER", help="Of a transfer: where its encoder is now, if it has moved.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="auto|cpu|cuda", help="Where to go on. Default: as the run was started.")
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.html.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped; the result is that of a run never stopped."""
    from trine.estimators import resume as resume_
    from trine.training import distributed

    with interruptible(), distributed.joined(device or distributed.device_of(run)):
        estimator = resume_(run, data=data, other=other, encoder=encoder, device=device, verbose=not quiet)
        if distributed.launched_first():
            report_outcome(estimator, run, report=not no_report, as_json=as_json)


@app.command(epilog="Example: trine evaluate runs/adult test.csv")
def evaluate(
    run: RunDir,
    data: Data,
    other: Other = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|timm:…|transformers:…",
            help="Of samples: a network in whose features distances are taken as well. Weights of Inception v3 give the FID; else "
            "an artefact of trine, or what `trine transfer` takes.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Metrics of a run's model on rows with the target, with intervals; of classes beside the trivial prediction."""
    from trine.errors import ChoiceError
    from trine.estimators import GAN, ConditionalGAN, Translator, load

    model = load(run)
    if other is not None and not isinstance(model, Translator | ConditionalGAN):
        raise ChoiceError(
            f"The model in {run} is of the kind {type(model).__name__}, which is evaluated on one table: name DATA alone."
        )
    given: dict[str, Any] = {}
    if network is not None:
        if not isinstance(model, GAN | ConditionalGAN | Translator):
            raise ChoiceError(
                f"--network judges samples, and the model in {run} is of the kind {type(model).__name__}; leave it out."
            )
        given = {"network": network}
    evaluations = model.evaluate_all(data if other is None else (data, other), **given)
    if as_json:
        print_json({name: evaluation.to_json() for name, evaluation in evaluations.items()})
    else:
        shown = Path(data).name if other is None else f"{Path(data).name} and {Path(other).name}"
        print("\n\n".join(summaries(model, evaluations, shown)))


@app.command(epilog="Example: trine predict runs/adult new.csv --out predictions.csv")
def predict(
    run: RunDir,
    data: Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV, TSV, Parquet or JSON lines, by its ending.")],
) -> None:
    """Write key or row number, prediction, and how sure it is, for each row of DATA."""
    from trine.data import write
    from trine.estimators import load

    keep_apart(out, data)
    columns = load(run).predictions(data)
    write(out, columns)
    print(f"{len(next(iter(columns.values()))):,} predictions written to {out}", file=sys.stderr)


@app.command(
    epilog="Examples: trine sample runs/digits -n 64 --out samples   ·   trine sample runs/digits --given digit=7 --out sevens"
    "   ·   trine sample runs/names -n 20"
)
def sample(
    run: RunDir,
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Rows of x to draw for: of a conditional generator, or where y is a text."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(metavar="COL=VALUE", help="A condition in the place of DATA; give it again for other columns."),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many (for each row, where there is an x).")] = 10,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE|DIR", help="Where rows go: a table's file, or a new directory.")
    ] = None,
) -> None:
    """New rows from a generator or an autoencoder, written to --out; or texts from a model whose y is a text, one a line."""
    from trine.cli import _samples

    _samples.sample(run, data, assignments(given or [], "--given"), n, seed, out)


@app.command(epilog="Example: trine translate runs/maps photos/ --out maps --samples 5")
def translate(
    run: RunDir,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Pictures of any sizes, in a folder at any depth; or one. Of piles of rows: a table."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="A new directory; a picture is called there as it is here. Of rows: a file."),
    ],
    to: Annotated[
        str | None, typer.Option(metavar="A|B", help="Which pile to translate to, of a run that knows both ways.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers for each picture, numbered from 1.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the noise, which all pictures share.")] = 0,
    side: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Bring the shorter sides to this first. Default: as they are."),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="Longest side made in one piece; larger pictures in overlapping parts. Default: 1024.",
        ),
    ] = None,
) -> None:
    """Write what pictures become, of a run that learned pictures from pictures."""
    from trine.cli import _translate

    _translate.translate(run, data, out, to=to, samples=samples, seed=seed, side=side, tile=tile)


@app.command(epilog="Example: trine encode runs/digits photos/ --out codes.csv")
def encode(run: RunDir, data: Data, out: Into) -> None:
    """Write the code of each row of DATA beside its key or row number; of a model with a y, its representation z."""
    from trine.cli import _codes

    _codes.encode(run, data, out)


@app.command(epilog="Example: trine decode runs/digits codes.csv --out rows")
def decode(
    run: RunDir,
    codes: Annotated[str, typer.Argument(metavar="CODES", help="A table with the columns code_1, code_2 …")],
    out: Into,
) -> None:
    """Write what codes stand for, in the data's own units, as pictures or as sounds."""
    from trine.cli import _codes

    _codes.decode(run, codes, out)


@app.command(epilog="Example: trine reconstruct runs/digits photos/ --out back")
def reconstruct(run: RunDir, data: Data, out: Into) -> None:
    """Write the rows of DATA as they come back from their codes."""
    from trine.cli import _codes

    _codes.reconstruct(run, data, out)


@app.command(epilog="Example: trine interpolate runs/digits photos/ --between 3 17 --out way")
def interpolate(
    run: RunDir,
    data: Data,
    between: Annotated[tuple[int, int], typer.Option(metavar="ROW ROW", help="Rows of DATA, counted from 1.")],
    out: Into,
    steps: Annotated[int, typer.Option(min=2, help="Rows on the way, its ends among them.")] = 8,
) -> None:
    """Write what lies between two rows: codes on the straight line between theirs, decoded."""
    from trine.cli import _codes

    _codes.interpolate(run, data, between, steps, out)


@app.command(
    epilog="Examples: trine transfer runs/encoder labelled.csv --y kind --compare   ·   trine transfer runs/encoder labelled.csv "
    "--y kind --head boosting --out runs/kind"
)
def transfer(
    encoder: Annotated[
        str,
        typer.Argument(
            metavar="ENCODER",
            help="A run or artefact of trine, timm:NAME@WEIGHTS.safetensors or transformers:DIRECTORY; nothing is downloaded.",
        ),
    ],
    data: Data,
    y: Annotated[str, typer.Option("--y", metavar="COL", help="Target column; rows without it are passed over.")],
    compare: Annotated[
        bool, typer.Option("--compare", help="Heads on z, boosting on raw x and training from scratch, side by side.")
    ] = False,
    labels: Annotated[
        str | None, typer.Option(metavar="N,…", help="With --compare: numbers of labels. Default: 10,100,1000.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="With --compare: draws of labels.")] = 3,
    head: Annotated[str, typer.Option(metavar="NAME", help="linear, mlp or boosting.")] = "linear",
    tune: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="frozen, last, all or gradual; with --compare gradual adds that way to the others."
        ),
    ] = "frozen",
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="classification or regression. Default: by what y looks like.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New directory for the run, or the comparison.")
    ] = None,
    valid: Annotated[
        str | None, typer.Option(metavar="FILE|FRACTION", help="Rows held out. Default: 0.1; of a comparison 0.2.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of tuning. Default: derived.")] = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Most time to tune, e.g. 90s, 5m.")] = None,
    seed: Annotated[int, typer.Option(help="Seeds split, draws and training.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: chosen.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Json = False,
) -> None:
    """Put what ENCODER has learned of x to use: fit a head on few labels, or ask honestly whether that pays."""
    from trine.cli._transfer import run_comparison, run_transfer

    with interruptible():
        if compare:
            run_comparison(
                encoder, data, y, labels=labels, draws=draws, valid=0.2 if valid is None else held_out(valid),
                tune=tune, task=task, seed=seed, threads=threads, out=out, quiet=quiet, as_json=as_json,
            )  # fmt: skip
        else:
            run_transfer(
                encoder, data, y, head=head, tune=tune, task=task, out=out, valid=held_out(valid), epochs=epochs,
                budget=seconds(budget), seed=seed, threads=threads, quiet=quiet, as_json=as_json,
            )  # fmt: skip


@app.command(epilog="Example: trine info runs/adult")
def info(run: RunDir, as_json: Json = False) -> None:
    """What a run or an artefact holds: data, domains, parts, state, metrics."""
    from trine.estimators import describe_run

    found = describe_run(run)
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        if isinstance(value, str) and "\n" in value:
            print(f"{key}:\n" + "\n".join(f"  {line}" for line in value.splitlines()))
        else:
            print(f"{key}: {value}")


@app.command(epilog="Example: trine report runs/adult")
def report(
    run: RunDir,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: RUN/report.html.")] = None,
) -> None:
    """Write the run's report again, one self-contained HTML file."""
    from trine.report import report_run

    print(report_run(run, out))


@app.command(
    epilog='Examples: trine divergence --p "normal(20, 10)" --q "normal(-5, 3)" --out figure.png   ·   trine divergence '
    '--p "0.5*normal(0,1) + 0.5*normal(4,1)" --q "normal(2, 2)"   ·   trine divergence --p ages.csv:age --q "gamma(2, 0.05)"'
)
def divergence(
    p: Annotated[
        str, typer.Option("--p", metavar="DISTRIBUTION", help="As name(numbers), a mixture of them, or FILE[:COLUMN].")
    ],
    q: Annotated[str, typer.Option("--q", metavar="DISTRIBUTION", help="Likewise.")],
    only: Annotated[str | None, typer.Option(metavar="NAME,…", help="These divergences. Default: all.")] = None,
    alpha: Annotated[float, typer.Option(help="Order of Rényi's divergence.")] = 0.5,
    bandwidth: Annotated[
        float | None, typer.Option(help="Width of MMD's kernel. Default: the median distance.")
    ] = None,
    draws: Annotated[int, typer.Option(min=2, help="Of each, where nothing but Monte Carlo will do.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of those draws.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw p, q and what each divergence sees: .png, .svg or .pdf.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Every divergence between two distributions, with its method, its error and what holds of it."""
    from trine.cli._divergence import run

    run(p, q, only=only, alpha=alpha, bandwidth=bandwidth, draws=draws, seed=seed, out=out, as_json=as_json)


app.command(epilog="Example: trine novelty digits.npz --label digit --new 5,6,7,8,9 --out kinds")(novelty)


@app.command(epilog="Example: trine demo --out demo")
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory for the two runs.")] = Path("demo"),
) -> None:
    """The main job on data that comes with scikit-learn: digits as images, and a table of medical measurements."""
    from trine.cli._demo import run_demo

    run_demo(out)
