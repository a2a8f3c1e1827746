"""Bad texts in files: each named by file, line, row and column, in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import trine
from trine.errors import ChoiceError, DataError


def rows(change: dict[int, str], count: int = 60) -> str:
    texts = [change.get(i, f"a sentence of words number {['one', 'two', 'three'][i % 3]} {i}") for i in range(count)]
    return "text,label\n" + "".join(f'"{text}",{"yes" if i % 2 else "no"}\n' for i, text in enumerate(texts))


def fit(path: Path, **more: object) -> None:
    trine.fit(path, y="label", epochs=1, **more)


def test_a_file_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_bytes(rows({2: "caf\u00e9 cr\u00e8me"}).encode("latin-1"))
    with pytest.raises(DataError, match=r"texts.csv is not UTF-8: line 4 has the byte 0xe9.*iconv"):
        fit(path)


def test_lines_of_json_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(b'{"text": "fine", "label": 1}\n{"text": "caf\xe9", "label": 0}\n' * 3)
    with pytest.raises(DataError, match=r"texts.jsonl.*line 2"):
        fit(path)


def test_a_nul_is_named_with_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(rows({6: "a sen\0tence of several words"}))
    with pytest.raises(DataError, match=r"Column 'text', row 7: .*NUL"):
        fit(path)


def test_a_text_of_a_million_characters_is_named_with_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(rows({3: "long words " * 100_000}))
    with pytest.raises(DataError, match=r"Column 'text', row 4: a text of 1,\d+,\d+ characters.*longest="):
        fit(path, valid=0.0, stop_fraction=0.0)


def test_numbers_where_text_is_stated_are_named(tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("amount,label\n" + "".join(f"{i * 1.5},{i % 2}\n" for i in range(40)))
    with pytest.raises(
        DataError, match=r"Column 'amount', row \d+: the number .* where a text is expected.*amount=real"
    ):
        fit(path, domains={"amount": "text"})


def test_an_unknown_unit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(rows({}))
    with pytest.raises(ChoiceError, match="no unit 'letters'"):
        fit(path, domains={"text": "text(unit=letters)"})


def test_empty_texts_are_missing_and_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(rows({4: "", 9: "  "}))
    model = trine.fit(path, y="label", epochs=1, seed=0)
    p = model.predict_proba({"text": np.array(["", "words never seen xyzzy", None], dtype=object)})
    assert np.isfinite(p).all()
    # Nothing known: the share of each class, whichever way nothing is written.
    np.testing.assert_allclose(p[0], p[2])


def test_the_report_shows_texts_and_cuts_long_ones(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    # Labels by chance: some evaluated rows are mistaken.
    path.write_text(rows({i: f"start of row {i} " + "and so on " * 80 for i in range(0, 60, 3)}))
    trine.fit(path, y="label", epochs=1, seed=0, valid=0.5, out=tmp_path / "run")
    mistakes = json.loads((tmp_path / "run" / "record.json").read_text())["mistakes"]
    assert mistakes
    for mistake in mistakes:
        shown = mistake["values"]["text"]
        assert len(shown) < 330
        assert shown.startswith("start of row") == shown.endswith("characters)")
