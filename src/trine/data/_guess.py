"""What a raw column is, by its look, and why: the inference of one column's domain."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from trine.domains import Category, Column, Count, Domain, Labels, Positive, Real, Text, Unit, domains
from trine.domains._numeric import percent, shown, subsample
from trine.domains._text import numbers_of

EMPTY = 0.99
"""Share of missing values above which an input column is left out."""
CLASSES = 10
"""Most distinct whole numbers of a y that are taken for classes; more are a number."""
CLASS_ROWS = 5
"""Rows that such a class must have in the mean (0 and 1 are always classes)."""
MOST_CLASSES = 1000
"""Most distinct texts of a y, unless they come again and again: in as many rows in the mean as a class must have."""
COUNT_MOST = 10_000
"""Whole numbers that begin above 0 and exceed this are amounts (dollars, people) rather than counts."""
SKEW = 0.5
"""Skewness above which positive numbers are taken for amounts, whose errors grow with their size."""
SPAN = 5.0
"""Ratio of the largest to the smallest value that amounts have at least."""
NUMBER_SHARE = 0.9
"""Share of distinct texts that are numbers from which the others are taken for mistakes, to be reported."""
FEW = 20
"""Distinct texts that are never too many, whatever the number of rows."""
UNIQUE_SHARE = 0.5
"""Share of distinct texts among the rows above which they name rows rather than categories."""
WORDS = 4.0
"""Words a text has in the mean from which it is read as a text, when texts seldom repeat."""
REPEATED = 0.2
"""Share of distinct texts among the rows below which even long texts are categories (answers to choose from)."""

SPELT_SHARE = 0.9
"""Share of texts without a digit from which texts that hardly repeat are names rather than codes."""

_SPELT = re.compile(r"[^\W\d_][^\d_/\\]+")
_ID_NAME = re.compile(
    r"(?i:(?:.*[_ .\-])?(?:id|uuid|guid|key|index|idx|instant|rowid|row|no|nr|unnamed: ?0))|.*[a-z]I[dD]"
)
_ID_TEXT = re.compile(
    r"(?i)[a-z]{0,6}[-_/#]?\d+|[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|(?=.*\d)[0-9a-z_-]{6,40}"
)
_LEADING_ZERO = re.compile(r"[+-]?0\d+")


@dataclasses.dataclass(frozen=True)
class Guess:
    """A domain, or None where the column is left out, and the reason in a sentence's words.

    Attributes:
        key: whether the column names the rows.
        named: whether a key is one by its name too.
        asked: the domain when the user lists the column in x although it would be left out; None: it cannot be used.
    """

    domain: Domain | None
    reason: str
    key: bool = False
    named: bool = False
    asked: Domain | None = None


def guess_input(column: Column) -> Guess:
    """The domain of a column of x."""
    known = len(column) - int(column.missing.sum())
    if not known:
        return Guess(None, "it has no values")
    if known < (1.0 - EMPTY) * len(column):
        return Guess(None, f"{percent(1 - known / len(column))} of its values are missing", asked=_any(column, known))
    if known == len(column) and _constant(column):
        return Guess(None, "every row has the same value", asked=_any(column, known))
    recognised = _recognised(column)
    if recognised is not None:
        return recognised
    if column.offsets is not None:
        return Guess(None, "its rows have different lengths, and no domain reads them")
    if column.levels is not None:
        return _texts(column, known)
    return _numbers(column, _known(column), known == len(column))


def guess_target(column: Column) -> Guess:
    """The domain of a column of y, which has at least one value; None where it is no target, with the reason.

    Whole numbers with few values are taken for classes.
    """
    if (sets := Labels.recognise_target(column)) is not None:
        return Guess(Labels(), sets)
    recognised = _recognised(column)
    if recognised is not None:
        return recognised
    if column.offsets is not None:
        return Guess(None, "its rows have different lengths, and no domain reads them")
    if column.values.dtype.kind == "b" and column.levels is None:
        return Guess(Category(), "true or false")
    prefix = ""
    if column.levels is not None:
        levels = _used(column)
        if not _written_numbers(levels):
            known = len(column) - int(column.missing.sum())
            many = len(levels) > MOST_CLASSES and known < CLASS_ROWS * len(levels)
            if many or (len(levels) > FEW and len(levels) > UNIQUE_SHARE * known):
                return Guess(Text(), f"{len(levels):,} different texts in {known:,} rows: written, not chosen")
            return Guess(Category(), _counted(levels))
        prefix = "numbers written as text; "
    values = _known(column)
    values = values[~np.isnan(values)]
    distinct = np.unique(subsample(values))
    whole = bool((distinct == np.floor(distinct)).all())
    if whole and len(distinct) <= CLASSES and (len(distinct) <= 2 or len(values) >= CLASS_ROWS * len(distinct)):
        return Guess(Category(), f"{prefix}{len(distinct)} different whole numbers, taken for classes")
    domain, reason = _amount(column, values)
    return Guess(domain, prefix + reason)


def _recognised(column: Column) -> Guess | None:
    for kind in domains.values():
        reason = kind.recognise(column)
        if reason is not None:
            return Guess(kind(), reason)
    return None


def _texts(column: Column, known: int) -> Guess:
    levels = _used(column)
    if _written_numbers(levels):
        values = _known(column)
        found = _numbers(column, values[~np.isnan(values)], known == len(column))
        return dataclasses.replace(found, reason=f"numbers written as text; {found.reason}")
    texts = [
        str(level).strip() for level in levels[np.linspace(0, len(levels) - 1, min(len(levels), 1000)).astype(int)]
    ]
    few = len(levels) <= FEW
    if not few and len(levels) == known == len(column):
        named = bool(_ID_NAME.fullmatch(column.name))
        if named or all(_ID_TEXT.fullmatch(text) for text in texts):
            return Guess(None, "its texts name the rows", key=True, named=True, asked=Category())
    words = float(np.mean([text.count(" ") + 1 for text in texts]))
    if not few and words >= WORDS and len(levels) > REPEATED * known:
        return Guess(Text(), f"{len(levels):,} different texts of {words:.0f} words")
    if not few and len(levels) > UNIQUE_SHARE * known:
        hardly = f"{len(levels):,} different texts in {known:,} rows hardly repeat"
        spelt = sum(bool(_SPELT.fullmatch(text)) for text in texts)
        if spelt >= SPELT_SHARE * len(texts):
            return Guess(Text(), f"{hardly}, yet are letters without digits, as names are")
        return Guess(None, f"{hardly}, and are codes", asked=Category())
    return Guess(Category(), _counted(levels))


def _numbers(column: Column, values: np.ndarray, complete: bool) -> Guess:
    if column.levels is None and column.values.dtype.kind == "b":
        return Guess(Category(), "true or false")
    distinct = np.unique(subsample(values))
    if len(distinct) == 2 and (distinct == (0.0, 1.0)).all():
        return Guess(Category(), "0 or 1")
    domain, reason = _amount(column, values)
    if complete and _whole(column, values) and len(distinct) == min(len(values), len(distinct)) and len(values) > 2:
        named = bool(_ID_NAME.fullmatch(column.name))
        steps = np.diff(values)
        if values[0] in (0.0, 1.0) and (steps == 1).all():
            return Guess(None, "it counts the rows", key=True, named=named, asked=domain)
        if named and ((steps > 0).all() or len(np.unique(values)) == len(values)):
            return Guess(None, "its numbers name the rows", key=True, named=True, asked=domain)
    return Guess(domain, reason)


def _amount(column: Column, values: np.ndarray) -> tuple[Domain, str]:
    """The set that numbers live in; bounds are those of all rows."""
    low, high = float(values.min()), float(values.max())
    if _whole(column, values) and low >= 0:
        if low > 0 and high > COUNT_MOST:
            return Positive(), f"whole numbers above 0, up to {shown(high)}: amounts"
        return Count(), "whole numbers, 0 or more"
    if low >= 0 and high <= 1:
        return Unit(), "numbers from 0 to 1"
    if low > 0 and high >= SPAN * low and _skewness(values) > SKEW:
        return Positive(), "numbers above 0 with a long upper tail"
    return (
        Real(),
        "numbers, below 0 too" if low < 0 else "numbers, 0 too" if low == 0 else "numbers without a long tail",
    )


def _whole(column: Column, values: np.ndarray) -> bool:
    """Whether the numbers are integers: by type, or floats only because some are missing or they were text."""
    if column.levels is None and column.values.dtype.kind == "f" and not column.missing.any():
        return False
    return column.values.dtype.kind != "m" and bool((values == np.floor(values)).all())


def _skewness(values: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        centred = values - values.mean()
        skew = (centred**3).mean() / max(float((centred**2).mean()), 1e-300) ** 1.5
    return float(skew) if np.isfinite(skew) else 0.0


def _known(column: Column) -> np.ndarray:
    """(m,) float64 of the rows that have a value; texts that are no numbers are NaN."""
    values = column.values[~column.missing]
    if column.levels is not None:
        return np.asarray(numbers_of(column.levels)[0][values])
    if values.dtype.kind == "m":
        return np.asarray(values / np.timedelta64(1, "s"))
    return np.asarray(values, dtype=np.float64)


def _used(column: Column) -> np.ndarray:
    """(k,) the distinct texts that occur, without those that stand for a missing value."""
    assert column.levels is not None
    used = np.zeros(len(column.levels), dtype=bool)
    used[column.values[~column.missing]] = True
    return column.levels[used]


def _written_numbers(levels: np.ndarray) -> bool:
    """Whether distinct texts are numbers, all or so nearly that the rest must be mistakes; codes such as 0123 are
    not.
    """
    some = levels[np.linspace(0, len(levels) - 1, min(len(levels), 1000)).astype(int)]
    if numbers_of(some)[1].mean() > 0.5:
        return False
    wrong = numbers_of(levels)[1]
    if wrong.any() and (1.0 - wrong.mean() < NUMBER_SHARE or (~wrong).sum() < CLASSES):
        return False
    return not any(_LEADING_ZERO.fullmatch(str(level).strip()) for level in levels)


def _constant(column: Column) -> bool:
    values = column.values
    # A look at some rows first: all of them may be gigabytes of pictures.
    some = np.linspace(0, max(len(values) - 1, 0), min(len(values), 100)).astype(int)
    return len(values) > 0 and bool((values[some] == values[:1]).all()) and bool((values == values[:1]).all())


def _any(column: Column, known: int) -> Domain:
    """A domain for a column that tells little, when it is asked for."""
    recognised = _recognised(column)
    if recognised is not None and recognised.domain is not None:
        return recognised.domain
    if column.levels is not None and not _written_numbers(_used(column)):
        return Category()
    return Real()


def _counted(levels: np.ndarray) -> str:
    if len(levels) == 2:
        return f"{str(levels[0])!r} or {str(levels[1])!r}"
    return f"{len(levels):,} different text{'s' if len(levels) != 1 else ''}"
