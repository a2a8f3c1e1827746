"""A series among the worst mistakes is shown as lines, not as numbers."""

from __future__ import annotations

import numpy as np

from trine.domains import Column, Sequences, Series, Vector
from trine.estimators._shown.record import LINES, SHOWN_SIDE, picture


def column(*rows: np.ndarray, absent: list[bool] | None = None) -> Column:
    joined = Sequences.of(list(rows))
    missing = None if absent is None else np.array(absent)
    return Column("s", joined.values, offsets=joined.offsets, absent=missing)


def test_each_channel_is_a_line_of_its_colour() -> None:
    wave = np.stack([np.sin(np.arange(50) / 5), np.linspace(0, 9, 50)], axis=1)
    domain = Series().fit(column(wave, wave))
    shown = picture(domain, column(wave))
    assert shown.shape == (3, SHOWN_SIDE, SHOWN_SIDE)
    pixels = np.moveaxis(shown, 0, 2).reshape(-1, 3).astype(int)
    for colour in LINES[:2]:
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(pixels - wanted).sum(axis=1) < 30).sum() > 40
    # The ramp goes up to the right: its dark pixels lie lower in the picture at the left.
    ramp = np.abs(np.moveaxis(shown, 0, 2).astype(int) - [209, 102, 10]).sum(axis=2) < 90
    left, right = np.argwhere(ramp[:, :40])[:, 0].mean(), np.argwhere(ramp[:, -40:])[:, 0].mean()
    assert left > right


def test_a_constant_series_of_one_step_and_a_missing_one() -> None:
    domain = Series().fit(column(np.array([1.0, 2.0]), np.array([3.0])))
    assert picture(domain, column(np.array([3.0]))) is not None
    assert picture(domain, column(np.zeros(0), absent=[True])) is None


def test_a_series_beside_another_has_axes_that_both_fit() -> None:
    high, flat = np.linspace(0.0, 10.0, 30), np.linspace(4.0, 6.0, 30)
    domain = Series().fit(column(high, flat))

    def reach(shown: np.ndarray | None) -> float:
        """Rows of pixels between the highest and the lowest of the line."""
        assert shown is not None
        ink = np.flatnonzero((shown.min(axis=0) < 128).any(axis=1))
        return float(ink[-1] - ink[0])

    alone, beside = picture(domain, column(flat)), picture(domain, column(flat), column(high))
    assert reach(beside) < 0.35 * reach(alone)
    assert reach(picture(domain, column(high), column(flat))) == reach(picture(domain, column(high)))
    missing = column(np.zeros(0), absent=[True])
    assert np.array_equal(picture(domain, column(flat), missing), alone)


def test_a_long_vector_is_a_line_and_a_short_one_is_read() -> None:
    values = np.stack([np.linspace(0.0, 1.0, 40), np.linspace(1.0, 0.0, 40)])
    domain = Vector().fit(Column("v", values))
    shown = picture(domain, Column("v", values[:1]))
    assert shown is not None
    assert shown.shape == (3, SHOWN_SIDE, SHOWN_SIDE)
    ink = (shown.min(axis=0) < 128).argmax(axis=0)
    inked = np.flatnonzero(ink)
    assert ink[inked[0]] > ink[inked[-1]]
    assert picture(Vector().fit(Column("v", values[:, :5])), Column("v", values[:1, :5])) is None
