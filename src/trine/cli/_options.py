"""Arguments and options that several commands have, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="CSV, TSV, Parquet, JSON lines, .npz or IDX file, a folder of class folders of images or sounds, or a table with "
        "columns of such paths.",
    ),
]
Other = Annotated[
    str | None,
    typer.Argument(
        metavar="[B]",
        help="Of --method unpaired the pile that DATA, A, is translated to and from; of conditional_gan the folder of what "
        "the pictures of DATA become, by their names.",
    ),
]
Target = Annotated[list[str] | None, typer.Option("--y", metavar="COL", help="Target column; repeat for several.")]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="supervised (default), of x alone autoencoder or gan, of y given x conditional_gan, of two piles unpaired.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="COL",
        help="Of x alone or two piles: a column left out, which colours the report and judges what is made.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--x", metavar="COL", help="Input column; repeat. Default: all other columns. none: y by itself."),
]
Domains = Annotated[
    list[str] | None,
    typer.Option("--domain", metavar="COL=KIND", help="Override an inferred domain, e.g. zip=category. Repeat."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a choice, e.g. hidden=256,256 or divergence=cramer. Repeat."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="The run's directory.")]
OnBad = Annotated[
    str | None,
    typer.Option("--on-bad", metavar="stop|skip", help="What an unreadable row, image or sound does. Default: stop."),
]
Long = Annotated[
    str | None,
    typer.Option(
        "--long", metavar="KEY,TIME", help="Rows are steps of series: the columns that say whose step it is, and when."
    ),
]
Group = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="NAME=PATTERN", help="Columns are steps of a series, e.g. heart='t*'. Repeat."),
]
Into = Annotated[
    Path,
    typer.Option(
        metavar="FILE|DIR",
        help="A table's file (.csv, .tsv, .parquet, .jsonl), or a new directory where there are pictures or sounds.",
    ),
]
