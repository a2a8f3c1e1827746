"""Text: what is learned, exact round trips, unknown tokens, how the unit is chosen, and what is no text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.data import read
from trine.domains import Column, Domain, Sequences, Text
from trine.errors import ChoiceError, DataError

SENTENCES = [
    "The quick brown fox isn't lazy .",
    "a lazy dog and the fox's quick den",
    "Grüße aus München, it's 12 °C 🙂",
    "the dog and the fox , again",
]


def column(texts: Sequence[str | None]) -> Column:
    return read({"text": np.array(texts, dtype=object), "n": np.arange(len(texts))}).column("text")


@pytest.mark.parametrize("unit", ["characters", "pieces"])
def test_texts_come_back_exactly(unit: str) -> None:
    domain = Text(unit=unit).fit(column(SENTENCES))
    assert domain.decode(domain.encode(column(SENTENCES))).tolist() == SENTENCES


ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(ANY.filter(lambda text: bool(text.strip())))
def test_pieces_of_other_texts_write_any_text(text: str) -> None:
    domain = Text(unit="pieces", longest=1000).fit(column(SENTENCES))
    composed = unicodedata.normalize("NFC", text)
    cell = Column("text", np.zeros(1, dtype=np.int32), np.array([text], dtype=object))
    if not cell.missing[0]:
        assert domain.decode(domain.encode(cell)).tolist() == [composed]


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY.filter(lambda text: bool(text.strip())), min_size=1, max_size=8))
def test_characters_of_training_texts_come_back(texts: list[str]) -> None:
    levels = np.array(sorted(set(texts)), dtype=object)
    data = Column("text", np.arange(len(levels), dtype=np.int32), levels)
    if data.missing.any():
        return
    domain = Text(unit="characters").fit(data)
    expected = [unicodedata.normalize("NFC", text) for text in levels]
    assert domain.decode(domain.encode(data)).tolist() == expected


def test_words_are_split_made_small_and_written_with_blanks() -> None:
    domain = Text(unit="words", strict=False).fit(column([*SENTENCES, *SENTENCES]))
    encoded = domain.encode(column(SENTENCES[:2]))
    assert domain.decode(encoded).tolist() == [
        "the quick brown fox isn't lazy .",
        "a lazy dog and the fox 's quick den",
    ]
    assert "in small letters" in domain.describe()


def test_capitals_of_a_target_are_kept() -> None:
    domain = Text(unit="words", strict=True).fit(column(SENTENCES))
    assert domain.decode(domain.encode(column(["The fox"]))).tolist() == ["The fox"]


def test_codes_below_three_are_reserved_and_unseen_tokens_are_unknown() -> None:
    domain = Text(unit="characters").fit(column(["abab", "abc"]))
    assert (domain.unknown, domain.begin, domain.end) == (0, 1, 2)
    assert domain.vocabulary == ("a", "b", "c")  # the most frequent first
    assert domain.size == 6
    encoded = domain.encode(column(["cab", "xay"]))
    assert encoded.values.tolist() == [5, 3, 4, 0, 3, 0]
    assert encoded.values.dtype == np.int32
    assert domain.decode(encoded).tolist() == ["cab", "\ufffda\ufffd"]
    assert domain.decode(np.array([[1, 3, 4, 2, -1]])).tolist() == ["ab"]
    assert domain.decode([np.array([3, 3]), np.array([], dtype=np.int64)]).tolist() == ["aa", ""]


def test_words_of_a_single_row_are_unknown_in_x_and_kept_in_y() -> None:
    data = column(["red fish fish", "red bird", "blue bird"])
    assert set(Text(unit="words").fit(data).vocabulary) == {"red", "bird"}
    assert Text(unit="words").fit(data).unseen == pytest.approx(3 / 7)
    assert set(Text(unit="words", strict=True).fit(data).vocabulary) == {"red", "bird", "fish", "blue"}


def test_vocabulary_is_that_of_training_rows_alone_and_counts_rows() -> None:
    data = column(["abc", "abc", "xyz", None])
    fitted = Text(unit="characters").fit(data.take(np.array([0, 1, 3])))
    assert set(fitted.vocabulary) == set("abc")
    assert (fitted.rows, fitted.missing) == (2, pytest.approx(1 / 3))


def test_accents_are_composed() -> None:
    domain = Text(unit="characters").fit(column(["caf\u00e9"]))
    assert domain.encode(column(["cafe\u0301"])).values.tolist() == domain.encode(column(["caf\u00e9"])).values.tolist()


def test_empty_and_blank_texts_are_missing() -> None:
    data = column(["one two", "", "  ", None, "two"])
    domain = Text(unit="words").fit(data)
    encoded, known = domain.encode_known(data)
    assert known.tolist() == [True, False, False, False, True]
    assert encoded.lengths.tolist() == [2, 0, 0, 0, 1]
    assert domain.missing == pytest.approx(0.6)


def test_longest_is_learned_or_stated() -> None:
    data = column(["abcdefgh", "abc", "ab"])
    assert Text(unit="characters").fit(data).longest == 8
    stated = Domain.stated("text(unit=characters, longest=4)").fit(data)
    assert stated.encode(data).lengths.tolist() == [4, 3, 2]
    assert stated.decode(stated.encode(data)).tolist() == ["abcd", "abc", "ab"]


def test_unit_is_derived_with_its_reason() -> None:
    names = column([f"{first}{last}" for first in ("Wil", "Ber", "Ingr") for last in ("son", "ta", "helm")])
    by_name = Text().fit(names)
    assert by_name.unit == "characters"
    assert "spelling" in by_name.why
    repeated = Text().fit(column([f"the {a} {b} of a day" for a in ("old", "new") for b in ("end", "start", "noon")]))
    assert repeated.unit == "words"
    own_words = [
        " ".join(f"{chr(97 + i)}{chr(97 + j)}{chr(97 + k)}q" for k in range(5)) for i in range(9) for j in range(9)
    ]
    assert Text().fit(column(own_words)).unit == "pieces"
    assert Text(strict=True).fit(names).unit == "characters"


@pytest.mark.parametrize("unit", ["characters", "words", "pieces"])
def test_what_was_learned_is_json(unit: str) -> None:
    domain = Text(unit=unit).fit(column(SENTENCES))
    again = Domain.from_json(json.loads(json.dumps(domain.to_json())))
    assert again == domain
    found, wanted = again.encode(column(SENTENCES)), domain.encode(column(SENTENCES))
    assert isinstance(found, Sequences)
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.offsets, wanted.offsets)


def test_rows_share_what_their_distinct_text_gave() -> None:
    domain = Text(unit="characters").fit(column(["ab", "c"]))
    encoded = domain.encode(column(["c", "ab", None, "c"]))
    assert [encoded[i].tolist() for i in range(4)] == [[5], [3, 4], [], [5]]


def test_no_unit_of_another_name() -> None:
    with pytest.raises(ChoiceError, match=r"no unit 'word'.*Did you mean 'words'.*characters, words, pieces"):
        Text(unit="word")
    with pytest.raises(ChoiceError, match=r"longest is -3; it is a whole number"):
        Text(longest=-3)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["fine", "a\0b"], r"Column 'text', row 2: the text 'a\\x00b' has a NUL character \(at 2\)"),
        (
            ["fine", "x" * 1_000_001],
            r"'text', row 2: a text of 1,000,001 characters, and at most 1,000,000.*longest=1000",
        ),
        (["", None], r"'text' has no text in any row"),
    ],
    ids=["nul", "a million", "nothing"],
)
def test_bad_texts_are_named(texts: list[str | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Text().fit(column(texts))


def test_a_million_characters_are_cut_where_the_user_says_so() -> None:
    domain = Text(unit="characters", longest=10).fit(column(["abc", "x" * 1_000_001]))
    assert domain.encode(column(["y" * 2_000_000])).lengths.tolist() == [10]


def test_halves_of_characters_are_named() -> None:
    half = Column("text", np.zeros(1, dtype=np.int32), np.array(["a\ud800"], dtype=object))
    with pytest.raises(DataError, match=r"'text', row 1: .*surrogate"):
        Text().fit(half)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.array([3.5, 2.0]), "the number 3.5"),
        (np.array([np.nan, 7.0]), "row 2: the number 7.0"),
        (np.array([True, False]), "a truth value True"),
        (np.zeros((2, 3)), "a list or an array"),
    ],
    ids=["number", "second number", "truth", "array"],
)
def test_other_values_than_texts_are_named(values: np.ndarray, found: str) -> None:
    with pytest.raises(DataError, match=f"{found}, where a text is expected"):
        Text().fit(Column("text", values))
    fitted = Text(unit="characters").fit(column(["a"]))
    with pytest.raises(DataError, match=f"{found}, where a text is expected"):
        fitted.encode(Column("text", values))


def test_a_column_without_a_value_is_all_missing() -> None:
    fitted = Text(unit="characters").fit(column(["a"]))
    assert fitted.encode(Column("text", np.full(3, np.nan))).lengths.tolist() == [0, 0, 0]
