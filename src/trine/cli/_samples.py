"""What `trine sample` does: new rows from generators and autoencoders into files, texts on standard output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trine.cli import _codes
from trine.cli._values import keep_apart
from trine.data import read
from trine.domains import Category, Numeric
from trine.errors import ChoiceError
from trine.estimators import GAN, Autoencoder, ConditionalGAN, Transducer, load


def sample(run: Path, data: str | None, given: Mapping[str, str], n: int, seed: int, out: Path | None) -> None:
    """Whatever the model in ``run`` draws; see the command.

    Raises:
        ChoiceError: DATA, a condition or --out where this model takes none, or none where it needs one; says which.
    """
    model = load(run)
    if isinstance(model, GAN | ConditionalGAN):
        _generated(run, model, data, given, n, seed, out)
        return
    if given:
        raise ChoiceError(
            f"--given states a condition, and the model in {run} is of the kind {type(model).__name__}; leave it out."
        )
    if isinstance(model, Autoencoder):
        if data is not None or out is None:
            raise ChoiceError(
                f"The model in {run} is an autoencoder: its samples need no DATA, and --out says where to."
            )
        _codes.save(out, model.schema_.x, model.drawn_columns(n, seed=seed), "samples")
        return
    if not isinstance(model, Transducer):
        raise ChoiceError(
            f"The model in {run} is of the kind {type(model).__name__}; generators and autoencoders draw rows, and one "
            "whose only y is a text draws texts."
        )
    for line in model.generate(n, data, seed):
        print("\t".join(map(str, line)) if data is not None else line)


def _generated(
    run: Path,
    model: GAN | ConditionalGAN,
    data: str | None,
    given: Mapping[str, str],
    n: int,
    seed: int,
    out: Path | None,
) -> None:
    """Write ``n`` new rows, or ``n`` for each condition, its columns beside what is made for it; see the command.

    Raises:
        ChoiceError: a condition where there is none to give, none where one is needed, a column that is no part of it, or no
            --out; says which.
    """
    if out is None:
        raise ChoiceError(
            "There is no --out: name a table's file, or a new directory where pictures or sounds are made."
        )
    if isinstance(model, GAN):
        if data is not None or given:
            raise ChoiceError(
                f"The model in {run} is a GAN without a condition: its samples need no DATA and no --given."
            )
        _codes.save(out, model.schema_.x, model.drawn_columns(n, seed=seed), "samples")
        return
    if data is not None:
        keep_apart(out, data)
    columns = list(model.schema_.x)
    if (data is None) == (not given):
        example = f"--given {columns[0]}=VALUE"
        raise ChoiceError(
            f"The model in {run} makes {', '.join(model.schema_.y)} given {', '.join(columns)}: name DATA with a row for each "
            f"condition, or say it with {example}; one of the two."
        )
    if given:
        unknown = [name for name in given if name not in columns]
        absent = [name for name in columns if name not in given]
        if unknown or absent:
            wrong = f"{unknown[0]!r} is none of its columns" if unknown else f"{absent[0]!r} is not given"
            raise ChoiceError(f"--given: {wrong}; the condition of this model is {', '.join(columns)}.")
        table = read({name: np.array([value]) for name, value in given.items()})
    else:
        assert data is not None
        table = read(data)
    made = model.drawn_columns(n, table, seed=seed)
    beside = {}
    for name in columns:
        column, domain = table.column(name), model.schema_.x[name]
        if given and isinstance(domain, Category):  # said as text, and written as the data have it
            beside[name] = np.repeat(domain.decode(domain.encode(column)), n)
        elif given and isinstance(domain, Numeric):
            beside[name] = np.repeat(_number(given[name]), n)
        elif column.offsets is None and column.values.ndim == 1:
            values = column.values if column.levels is None else np.append(column.levels, "")[column.values]
            beside[name] = np.repeat(values, n)
    _codes.save(out, {**model.schema_.y}, {**beside, **made}, "samples")


def _number(text: str) -> float | int | str:
    """What a text says, or the text itself where it says a date."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
