"""A metric on one line: the value with its interval between the trivial prediction and perfection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

WIDTH, LEFT, RIGHT = 200, 10, 192
ENDLESS = ("log_likelihood", "elbo", "reconstruction", "density", "nll", "classes found", "clusters found")
"""Metrics without a best value."""


def strip(name: str, metric: Mapping[str, Any]) -> str:
    """Right is better: the trivial prediction stands left as a tick, perfection is the line's right end.

    Where a metric has no best value (a log density), the right end is the interval's; where neither direction is good
    (a coverage), the tick is what the value should be, and larger is right. Empty where there is nothing to compare the value with:
    neither a best value nor the trivial prediction's, or neither a direction nor a level.
    """
    value, low, high, baseline = (_number(metric.get(key)) for key in ("value", "low", "high", "baseline"))
    if value is None:
        return ""
    better = metric.get("higher_is_better")
    if better is None:
        baseline = _level(name)
    perfect = _perfect(name, metric)
    if baseline is None and perfect is None:
        return ""
    known = [x for x in (value, low, high, baseline, perfect) if x is not None]
    least, most = min(known), max(known)
    if least == most or baseline is None:  # nothing to come from: a tenth of the scale shows how small a gap is
        end = least if perfect is None else perfect
        least = least if better is False else min(least, end - 0.1)
        most = most if better else max(most, end + 0.1)
    span = most - least

    def at(x: float) -> str:
        part = (x - least) / span
        return f"{LEFT + (RIGHT - LEFT) * (1 - part if better is False else part):.1f}"

    shapes = [f'<line x1="{LEFT}" x2="{RIGHT}" y1="11" y2="11" class="axis"/>']
    if perfect is not None:
        shapes.append(f'<line x1="{at(perfect)}" x2="{at(perfect)}" y1="7" y2="15" class="axis"/>')
    if baseline is not None:
        shapes.append(f'<line x1="{at(baseline)}" x2="{at(baseline)}" y1="3" y2="19" class="trivial"/>')
    if low is not None and high is not None:
        shapes.append(f'<line x1="{at(low)}" x2="{at(high)}" y1="11" y2="11" class="interval"/>')
    shapes.append(f'<circle cx="{at(value)}" cy="11" r="4.6" class="value"/>')
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} 22" role="img" '
        f'aria-label="value, 95 % interval and what it is compared with">{"".join(shapes)}</svg>'
    )


def _perfect(name: str, metric: Mapping[str, Any]) -> float | None:
    """The best value that the metric can have."""
    better = metric.get("higher_is_better")
    if better is None or name in ENDLESS:
        return None
    return 1.0 if better else 0.0


def _level(name: str) -> float | None:
    """What a coverage should be, from its name: 0.9 of ``coverage_90``, and of a vector's part ``coverage_90[1]``."""
    digits = name.partition("[")[0].rpartition("_")[2]
    return int(digits) / 100 if digits.isdigit() else None


def _number(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
