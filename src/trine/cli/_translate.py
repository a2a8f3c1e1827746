"""What `trine translate` does: pictures into pictures, a file for each answer; rows of one pile into rows of the other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from trine.errors import ChoiceError, DataError


def translate(run: Path, data: Path, out: Path, *, to: str | None, samples: int, seed: int, side: int | None) -> None:
    """Write the answers to each picture of ``data``; see the command."""
    from trine.cli import _codes
    from trine.domains import Image
    from trine.estimators import Translator, load
    from trine.estimators._picture_ways import named, noises, of_file, pictures_in
    from trine.estimators._sheets import eight_bits, pillow

    model: Any = load(run)
    if not hasattr(model, "way"):
        raise ChoiceError(
            f"The model in {run} is of the kind {type(model).__name__} and translates nothing; fit pairs of pictures with --method "
            "conditional_gan, or two piles with --method unpaired."
        )
    if isinstance(model, Translator) and to is not None:
        made = model.made_in(to)
        if len(made) != 1 or not isinstance(next(iter(made.values())), Image):
            columns = model.translated_columns(str(data), to, samples, seed=seed)
            _codes.save(out, made, columns, "translations")
            return
    way = model.way(to)
    if out.exists():
        raise ChoiceError(f"--out {out} is there already; name a new directory, so that nothing is written over.")
    z = noises(way, samples, seed)
    files = list(named(pictures_in(data), data, samples))
    for path, names in files:
        answers = way.answers(of_file(way.read, path, side), z)
        for name, answer in zip(names, answers, strict=True):
            try:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                pillow(eight_bits(way.made, answer)).save(out / name)
            except OSError as error:
                raise DataError(f"Cannot write {out / name}: {error.strerror or error}.") from None
    more = f", {samples} answers each," if samples > 1 else ""
    print(f"{len(files):,} picture{'s' * (len(files) != 1)}{more} translated to {out}", file=sys.stderr)
