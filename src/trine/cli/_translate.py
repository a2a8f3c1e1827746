"""What `trine translate` does: pictures into pictures, a file for each answer; rows of one pile into rows of the other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from trine.cli._values import keep_apart
from trine.errors import ChoiceError, DataError

SHEET = "contact_sheet.png"
SHOWN, ANSWERS = 12, 8
"""Pictures on it, and answers to each, at most."""
FAR = 3
"""Times the shorter side of training's pictures from which on a scale is to be asked about."""


def translate(
    run: Path,
    data: Path,
    out: Path,
    *,
    to: str | None,
    samples: int,
    seed: int,
    side: int | None,
    tile: int | None = None,
) -> None:
    """Write the answers to each picture of ``data``; see the command."""
    from trine.blocks.tiles import parts_of
    from trine.cli import _codes
    from trine.domains import Image
    from trine.estimators import Translator, load
    from trine.estimators._picture_ways import TILE, named, noises, of_file, pictures_in, require_readable
    from trine.estimators._shown.sheets import beside_sheet, eight_bits, pillow

    model: Any = load(run)
    if not hasattr(model, "way"):
        raise ChoiceError(
            f"The model in {run} is of the kind {type(model).__name__} and translates nothing; fit pairs of pictures with --method "
            "conditional_gan, or two piles with --method unpaired."
        )
    if isinstance(model, Translator) and to is not None:
        made = model.made_in(to)
        if len(made) != 1 or not isinstance(next(iter(made.values())), Image):
            keep_apart(out, str(data))
            columns = model.translated_columns(str(data), to, samples, seed=seed)
            _codes.save(out, made, columns, "translations")
            return
    way = model.way(to)
    if tile is not None:
        parts_of(tile, way.reach, way.stride)
    if out.exists():
        raise ChoiceError(f"--out {out} is there already; name a new directory, so that nothing is written over.")
    z = noises(way, samples, seed)
    files = list(named(pictures_in(data), data, samples))
    require_readable(path for path, _ in files)
    shown: list[list[Any]] = []
    for path, names in files:
        pixels = of_file(way.read, path, side)
        answers = way.answers(pixels, z, tile or TILE)
        if len(shown) < SHOWN:
            read = way.read.decode((pixels / way.read.divisor)[None])[0]
            shown.append([eight_bits(way.read, read), *(eight_bits(way.made, answer) for answer in answers[:ANSWERS])])
        for name, answer in zip(names, answers, strict=True):
            try:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                pillow(eight_bits(way.made, answer)).save(out / name)
            except OSError as error:
                raise DataError(f"Cannot write {out / name}: {error.strerror or error}.") from None
    sheet = out / SHEET
    if len(files) * samples > 1 and SHEET not in {name for _, names in files for name in names}:
        beside_sheet(shown).save(sheet)
    pictures = f"{len(files):,} picture{'s' * (len(files) != 1)}"
    more = f", {samples} answers each," if samples > 1 else ""
    beside = f"; {SHEET} shows them beside what was read" if sheet.exists() else ""
    print(f"{pictures}{more} translated to {out}{beside}", file=sys.stderr)
    if side is None:
        _say_scale(way.read, shown)


def _say_scale(read: Any, shown: list[list[Any]]) -> None:
    """Say where pictures are of another size than training saw, for what they show is then of another scale, if not cut out."""
    shorter = [min(row[0].shape[:2]) for row in shown]
    known = min(read.height, read.width)
    if max(shorter) > FAR * known or min(shorter) * FAR < known:
        print(
            f"Training saw pictures of {read.height} × {read.width} pixels, and the shorter sides of these are up to "
            f"{max(shorter)}: what they show should be as large in pixels as it was there. Else bring them to that size with "
            f"--side {known}.",
            file=sys.stderr,
        )
