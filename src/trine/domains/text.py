"""Text: tokens over time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from trine.errors import ChoiceError, DataError, nearest

from ._base import Column, Domain, Sequences, domains, offsets_of, steps_of
from ._numeric import percent
from ._text import missing_levels
from ._tokens import (
    BEGIN,
    END,
    SPECIAL,
    UNKNOWN,
    Characters,
    Pieces,
    Tokens,
    Words,
    characters_of,
    normal,
    pieces_of,
    words,
    words_of,
)

UNITS = ("characters", "words", "pieces")
MOST_CHARACTERS = 1_000_000
"""Characters from which a text is refused, unless the user states after how many tokens texts are cut."""
MOST_TOKENS = 1_000
"""Tokens after which an x is cut, unless the user states another number."""
MOST_WORDS, MOST_SIGNS = 30_000, 8_000
"""Most words, and most characters, of a vocabulary."""
MOST_PIECES = 4_000
"""Pieces of a learned vocabulary, fewer where the training texts are short."""
FEW_WORDS = 3.0
"""Words that texts have in the mean below which their spelling is read."""
RARE = 0.25
"""Share of the words of training texts that occur in one text only, above which words are read in pieces."""
SAMPLE = 2_000
"""Distinct texts that are looked at to choose the unit."""


@domains.register("text")
@dataclasses.dataclass(frozen=True)
class Text(Domain):
    """Tokens over time, encoded as :class:`~trine.domains.Sequences` of int32 codes.

    The codes 0, 1 and 2 stand for an unknown token, the beginning and the end (:attr:`unknown`, :attr:`begin`,
    :attr:`end`); encoding writes neither of the latter. The vocabulary is learned from the training rows, and an unseen token
    is legal: it is unknown. Letters are composed with their accents (Unicode NFC). A text of blanks, and one that stands for
    nothing (``NA``, ``?``), is a missing value.

    Characters and pieces are written back exactly (but for characters that training never saw); words with a blank between.

    Attributes:
        unit: what a token is: ``"characters"``, ``"words"`` or ``"pieces"`` (learned byte pairs). Empty: chosen by
            :meth:`fit`: characters where texts are names of few words, words where they come again in other texts, pieces
            where they do not. A y is read in characters where texts are short, else in pieces.
        lower: whether letters are made small; None: of an x in words they are, as capitals make a word many.
        longest: tokens of a text that are kept. 0: learned; those of the longest training text, of an x at most 1,000.
        vocabulary: the tokens, token i with the code 3 + i; the most frequent first.
        merges: pairs of pieces that are joined, in their order.
        why: why the unit is what it is, where :meth:`fit` chose it.
        cut: whether the user stated ``longest``, so that a text of any length is taken.
        median: tokens of a training text in the median.
        unseen: share of the training texts' tokens that the vocabulary lacks (words of a single row).
        missing: share of training rows without a value. rows: number of those with one.
        strict: whether the column is y.
    """

    kind: ClassVar[str] = "text"
    ragged: ClassVar[bool] = True
    unknown: ClassVar[int] = UNKNOWN
    begin: ClassVar[int] = BEGIN
    end: ClassVar[int] = END

    unit: str = ""
    lower: bool | None = None
    longest: int = 0
    vocabulary: tuple[str, ...] = ()
    merges: tuple[tuple[str, str], ...] = ()
    why: str = ""
    cut: bool = False
    median: float = 0.0
    unseen: float = 0.0
    missing: float = 0.0
    rows: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        if self.unit and self.unit not in UNITS:
            raise ChoiceError(
                f"Texts have no unit {self.unit!r}.{nearest(self.unit, UNITS)} Units: {', '.join(UNITS)}."
            )
        if isinstance(self.longest, bool) or not isinstance(self.longest, int) or self.longest < 0:
            raise ChoiceError(f"longest is {self.longest!r}; it is a whole number of tokens, 1 or more.")

    @property
    def fitted(self) -> bool:
        return bool(self.vocabulary)

    @property
    def size(self) -> int:
        """Number of codes: the vocabulary and the three special ones."""
        return SPECIAL + len(self.vocabulary)

    @functools.cached_property
    def tokens(self) -> Tokens:
        """What splits texts and joins them."""
        if self.unit == "pieces":
            return Pieces(self.vocabulary, self.merges)
        return Characters(self.vocabulary) if self.unit == "characters" else Words(self.vocabulary)

    def fit(self, column: Column) -> Self:
        """Learn unit, vocabulary and longest, whatever of them is not stated.

        Raises:
            DataError: values that are no texts, a NUL character, a text of more than a million characters, or no text at
                all; names column and row.
        """
        cut = self.cut or self.longest > 0
        _, counts, texts = self._texts(column, cut)
        if not texts:
            raise DataError(f"Column {column.name!r} has no text in any row; give rows that have one, or leave it out.")
        unit, why = (self.unit, self.why) if self.unit else _unit(texts, self.strict)
        lower = (unit == "words" and not self.strict) if self.lower is None else self.lower
        texts = [normal(text, lower) for text in texts]
        vocabulary, merges = self.vocabulary, self.merges
        if not vocabulary and unit == "characters":
            vocabulary = characters_of(texts, counts, MOST_SIGNS)
        elif not vocabulary and unit == "words":
            vocabulary = words_of(texts, counts, MOST_WORDS, fewest=1 if self.strict else 2) or words_of(
                texts, counts, MOST_WORDS, fewest=1
            )
        elif not vocabulary:
            many = sum(len(text) for text in texts) // 50
            vocabulary, merges = pieces_of(texts, 256 + min(MOST_PIECES, max(many, 64)))
        learned = dataclasses.replace(
            self, unit=unit, why=why, lower=lower, vocabulary=vocabulary, merges=merges, cut=cut
        )
        rows = learned.tokens.encode(texts)
        lengths = rows.lengths
        longest = self.longest or int(lengths.max() if self.strict else min(lengths.max(), MOST_TOKENS))
        repeated = np.repeat(counts, lengths)
        known = len(column) - int(_missing(column).sum())
        return dataclasses.replace(
            learned,
            longest=longest,
            median=float(np.median(np.repeat(lengths, counts))),
            unseen=float(repeated[rows.values == UNKNOWN].sum() / repeated.sum()),
            missing=1.0 - known / len(column),
            rows=known,
        )

    def encode(self, column: Column) -> Sequences:
        used, _, texts = self._texts(column, self.cut)
        each = self.tokens.encode([normal(text, bool(self.lower)) for text in texts])
        assert column.levels is not None or not len(used)
        # Level → place among the distinct texts that are used; the last place is of a row without a value.
        place = np.full(len(column.levels) + 1 if column.levels is not None else 1, len(used), dtype=np.int64)
        place[used] = np.arange(len(used))
        codes = column.values if column.levels is not None else np.full(len(column), -1)
        at = place[codes]
        starts = np.append(each.offsets[:-1], 0)[at]
        # A y is whole, lest half of a text count as right; unless the user cuts it.
        most = each.lengths if self.strict and not self.cut else np.minimum(each.lengths, self.longest)
        lengths = np.append(most, 0)[at]
        offsets = offsets_of(lengths)
        return Sequences(each.values[steps_of(starts, lengths, offsets)], offsets)

    def encode_known(self, column: Column) -> tuple[Sequences, np.ndarray]:
        return self.encode(column), ~_missing(column)

    def decode(self, encoded: Any) -> np.ndarray:
        """(n,) texts of :class:`~trine.domains.Sequences`, a list of code arrays, or (n, steps) codes padded with −1.

        Codes of the beginning, the end and padding are left out; an unknown token is written as ``�``.
        """
        texts = np.empty(len(encoded), dtype=object)
        for i in range(len(encoded)):
            codes = np.asarray(encoded[i]).astype(np.int64)
            texts[i] = self.tokens.decode(codes[codes >= 0])
        return texts

    def describe(self) -> str:
        if not self.fitted:
            return f"Text in {self.unit}" if self.unit else "Text"
        of = {"characters": "characters", "words": "words", "pieces": "learned pieces"}[self.unit]
        parts = [f"Text in {of}{' in small letters' if self.lower else ''}, {len(self.vocabulary):,} of them"]
        parts.append(f"{self.median:.0f} a text in the median, {self.longest:,} at most")
        if self.unseen:
            parts.append(f"{percent(self.unseen)} unknown")
        if self.missing:
            parts.append(f"{percent(self.missing)} missing")
        return ", ".join(parts)

    def _texts(self, column: Column, cut: bool) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """((k,) levels in use that are texts, (k,) their numbers of rows, the k texts).

        Raises:
            DataError: values that are no texts, a NUL character, or a text of more than a million characters.
        """
        if column.levels is None or column.offsets is not None:
            _no_text(column)
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), []
        codes = column.values[column.values >= 0]
        counts = np.bincount(codes, minlength=len(column.levels))
        used = np.flatnonzero((counts > 0) & ~missing_levels(column.levels))
        texts = [str(level) for level in column.levels[used]]
        for level, text in zip(used.tolist(), texts, strict=True):
            wrong = ""
            if "\0" in text:
                wrong = (
                    f"the text {_short(text)!r} has a NUL character (at {text.index(chr(0)) + 1}), which no text has. Is the "
                    "file binary, or UTF-16? Take the character out"
                )
            elif len(text) > MOST_CHARACTERS and not cut:
                wrong = (
                    f"a text of {len(text):,} characters, and at most {MOST_CHARACTERS:,} are expected. Split it into rows, or "
                    "say after how many tokens texts are cut, e.g. "
                    f"`trine fit --domain '{column.name}=text(longest={MOST_TOKENS})'`"
                )
            elif not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
                wrong = (
                    f"the text {_short(text)!a} holds half a character (a surrogate). Decode its bytes as UTF-8 again"
                )
            if wrong:
                row = column.row(int(np.flatnonzero(column.values == level)[0]))
                raise DataError(f"Column {column.name!r}, row {row}: {wrong}.")
        return used, counts[used], texts


def _missing(column: Column) -> np.ndarray:
    return np.asarray(column.missing)


def _no_text(column: Column) -> None:
    """Refuse a column of other things than texts, unless it has no value at all."""
    if column.missing.all() and column.offsets is None:
        return
    row = int(np.flatnonzero(~column.missing)[0]) if len(column) else 0
    if column.offsets is not None or column.values.ndim > 1:
        found = "a list or an array"
    else:
        kinds = {"b": "a truth value", "M": "a date", "m": "a duration"}
        found = f"{kinds.get(column.values.dtype.kind, 'the number')} {column.values[row]}"
    raise DataError(
        f"Column {column.name!r}, row {column.row(row)}: {found}, where a text is expected. Write the values as text "
        f"(in quotes, or of type str), or say what they are, e.g. `trine fit --domain {column.name}=real`."
    )


def _unit(texts: Sequence[str], target: bool) -> tuple[str, str]:
    """(unit, why) of the distinct training texts."""
    some = [texts[i] for i in np.linspace(0, len(texts) - 1, min(len(texts), SAMPLE)).astype(int)]
    split = [words(normal(text, lower=True)) for text in some]
    mean = float(np.mean([len(text.split()) for text in some]))
    if target:
        length = float(np.mean([len(text) for text in some]))
        if length <= 64:
            return "characters", f"texts of {length:.0f} characters are written letter by letter"
        return "pieces", "long texts have fewer pieces than letters"
    if mean < FEW_WORDS:
        return "characters", f"texts of {mean:.1f} words, whose spelling tells"
    seen: dict[str, int] = {}
    for found in split:
        for word in set(found):
            seen[word] = seen.get(word, 0) + 1
    total = sum(len(found) for found in split)
    rare = sum(seen[word] == 1 for found in split for word in found) / max(total, 1)
    if rare > RARE:
        return "pieces", f"{percent(rare)} of the words are in one text only"
    return "words", f"{mean:.0f} words a text, which come again in others"


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
