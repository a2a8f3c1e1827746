"""From texts to tokens and back: characters, words, learned byte pairs."""

from __future__ import annotations

import abc
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ._base import Sequences, offsets_of

UNKNOWN, BEGIN, END = 0, 1, 2
"""Reserved codes: a token that training never saw, what stands before the first, what stands after the last."""
SPECIAL = 3
"""Code of the first token of a vocabulary."""
REPLACEMENT = "\ufffd"
"""How an unknown token is written."""

_WORD = re.compile(
    r"""['’](?:s|m|d|ll|re|ve)\b            # what a film 's and a they 're end in
      | \w+(?:['’](?!(?:s|m|d|ll|re|ve)\b)\w+)*
      | [^\w\s]                             # any sign by itself""",
    re.IGNORECASE | re.VERBOSE,
)


def normal(text: str, lower: bool = False) -> str:
    """The text with letters and their accents composed (Unicode NFC), in small letters on request."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return text.lower() if lower else text


def words(text: str) -> list[str]:
    """Words, the ends ``'s`` and ``'re`` apart, and signs."""
    return _WORD.findall(text)


class Tokens(abc.ABC):
    """Texts (normal form) → codes from :data:`SPECIAL` on, 0 where a token is unknown; and back."""

    @abc.abstractmethod
    def encode(self, texts: Sequence[str]) -> Sequences:
        """The tokens of each text, int32; a text always has one or more."""

    @abc.abstractmethod
    def decode(self, codes: np.ndarray) -> str:
        """The text of one row's codes; special codes but the unknown are left out."""


class Characters(Tokens):
    """One token a character (Unicode code point); exact both ways but for characters that training never saw."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        points = np.array([ord(c) for c in vocabulary], dtype=np.int64)
        self.order = np.argsort(points)
        self.points = points[self.order]
        self.vocabulary = vocabulary

    def encode(self, texts: Sequence[str]) -> Sequences:
        points = points_of(texts)
        offsets = offsets_of(np.fromiter((len(text) for text in texts), dtype=np.int64, count=len(texts)))
        if not len(self.points):
            return Sequences(np.zeros(len(points), dtype=np.int32), offsets)
        places = np.searchsorted(self.points, points).clip(max=len(self.points) - 1)
        codes = np.where(self.points[places] == points, self.order[places] + SPECIAL, UNKNOWN)
        return Sequences(codes.astype(np.int32), offsets)

    def decode(self, codes: np.ndarray) -> str:
        return "".join(_written(codes, self.vocabulary))


class Words(Tokens):
    """One token a word or sign; written back with a blank between, so blanks and line breaks are not kept."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.places = {word: code for code, word in enumerate(vocabulary, SPECIAL)}
        self.vocabulary = vocabulary

    def encode(self, texts: Sequence[str]) -> Sequences:
        get = self.places.get
        rows = [[get(word, UNKNOWN) for word in words(text)] or [UNKNOWN] for text in texts]
        values = np.fromiter((code for row in rows for code in row), dtype=np.int32)
        return Sequences(values, offsets_of(np.array([len(row) for row in rows], dtype=np.int64)))

    def decode(self, codes: np.ndarray) -> str:
        return " ".join(_written(codes, self.vocabulary))


class Pieces(Tokens):
    """Pairs of bytes that training texts join most often, joined again and again; exact both ways for any text.

    References:
        Sennrich, Haddow and Birch, `Neural Machine Translation of Rare Words with Subword Units`, 2016, section 3.2; on
        bytes: Radford et al., `Language Models are Unsupervised Multitask Learners`, 2019, section 2.2.
    """

    def __init__(self, vocabulary: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        from tokenizers.models import BPE

        places = {piece: code for code, piece in enumerate(vocabulary)}
        self.tokenizer = _byte_level(BPE(vocab=places, merges=[(left, right) for left, right in merges]))

    def encode(self, texts: Sequence[str]) -> Sequences:
        rows = [found.ids for found in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        values = np.fromiter((code for row in rows for code in row), dtype=np.int32) + np.int32(SPECIAL)
        return Sequences(values, offsets_of(np.array([len(row) for row in rows], dtype=np.int64)))

    def decode(self, codes: np.ndarray) -> str:
        text: str = self.tokenizer.decode((codes[codes >= SPECIAL] - SPECIAL).tolist(), skip_special_tokens=False)
        return text


def points_of(texts: Iterable[str]) -> np.ndarray:
    """(characters,) int64 code points of all texts, end to end."""
    return np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32).astype(np.int64)


def characters_of(texts: Sequence[str], counts: np.ndarray, most: int) -> tuple[str, ...]:
    """The characters of texts that come ``counts`` times each, the most frequent first, at most ``most``."""
    lengths = np.fromiter((len(text) for text in texts), dtype=np.int64, count=len(texts))
    points, inverse = np.unique(points_of(texts), return_inverse=True)
    seen = np.bincount(inverse, weights=np.repeat(counts, lengths), minlength=len(points))
    return tuple(chr(points[i]) for i in np.argsort(-seen, kind="stable")[:most])


def words_of(texts: Sequence[str], counts: np.ndarray, most: int, fewest: int) -> tuple[str, ...]:
    """The words that are in ``fewest`` rows or more, the most frequent first, at most ``most``."""
    seen: Counter[str] = Counter()
    for text, count in zip(texts, counts.tolist(), strict=True):
        for word in dict.fromkeys(words(text)):
            seen[word] += count
    # By number, then by the word itself, so that the order of rows decides nothing.
    ranked = sorted((item for item in seen.items() if item[1] >= fewest), key=lambda item: (-item[1], item[0]))
    return tuple(word for word, _ in ranked[:most])


def pieces_of(texts: Sequence[str], size: int) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """(vocabulary of at most ``size`` byte pairs, merges in their order) learned from the texts."""
    import json

    from tokenizers import pre_tokenizers, trainers
    from tokenizers.models import BPE

    tokenizer = _byte_level(BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    vocabulary = tuple(sorted(learned["vocab"], key=learned["vocab"].__getitem__))
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in learned["merges"])
    return vocabulary, tuple((left, right) for left, right in pairs)


def _byte_level(model: Any) -> Any:
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _written(codes: np.ndarray, vocabulary: Sequence[str]) -> list[str]:
    tokens = (*("" for _ in range(SPECIAL)), *vocabulary)
    return [REPLACEMENT if code == UNKNOWN else tokens[code] for code in codes.tolist() if code not in (BEGIN, END)]
