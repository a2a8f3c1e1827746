"""Texts that stand for nothing, and texts that are written numbers."""

from __future__ import annotations

import re

import numpy as np

MISSING = frozenset(
    ("", "?", "-", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaT", "null", "NULL", "Null", "nan", "NaN", "NAN", "None")
)
"""Texts that stand for a missing value, after surrounding blanks are taken off."""

_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([, \u00a0\u202f])\d{3})(?:\1\d{3})*(?:\.\d*)?(?:[eE][+-]?\d+)?")
_CURRENCY = "$€£¥"


def missing_levels(levels: np.ndarray) -> np.ndarray:
    """(k,) bool: which of the distinct texts stand for a missing value."""
    return np.fromiter((str(level).strip() in MISSING for level in levels), dtype=bool, count=len(levels))


def some_texts(levels: np.ndarray, most: int = 1000) -> list[str]:
    """At most ``most`` of the distinct texts, evenly taken and stripped, without those that mean a missing value."""
    if len(levels) > most:
        levels = levels[np.linspace(0, len(levels) - 1, most).astype(int)]
    return [text for level in levels if (text := str(level).strip()) not in MISSING]


def number(text: str) -> float | None:
    """The number that ``text`` writes, NaN for a missing one, None when it is no number.

    Reads ``1e-3``, ``1,234.5`` and ``1 234`` (groups of three), ``$5``, ``5 €`` and ``12%`` (0.12).
    """
    text = text.strip()
    if text in MISSING:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        pass
    text = text.replace("\u2212", "-")
    sign = -1.0 if text.startswith("-") else 1.0
    text = text[text.startswith(("-", "+")) :].strip().strip(_CURRENCY).strip()
    if percent := text.endswith("%"):
        text = text[:-1].rstrip()
    if _GROUPED.fullmatch(text):
        text = re.sub("[, \u00a0\u202f]", "", text)
    if not text[:1].isdigit() and not text.startswith("."):
        return None
    try:
        # Dividing keeps 12% the float nearest to 0.12.
        return sign * (float(text) / 100.0 if percent else float(text))
    except ValueError:
        return None


def numbers_of(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((k,) float64 numbers of the distinct texts, NaN for missing; (k,) bool, which texts are no numbers)."""
    try:
        return levels.astype(np.float64), np.zeros(len(levels), dtype=bool)
    except (ValueError, TypeError):
        pass
    parsed = [number(str(level)) for level in levels]
    wrong = np.fromiter((value is None for value in parsed), dtype=bool, count=len(parsed))
    return np.array([np.nan if value is None else value for value in parsed], dtype=np.float64), wrong
