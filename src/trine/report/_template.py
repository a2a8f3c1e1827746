"""What pages are made with: templates that escape whatever the user's data hold, and the libraries that they need."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trine.errors import ChoiceError
from trine.evaluation import figure
from trine.report.words import name_of

if TYPE_CHECKING:
    from jinja2 import Environment


def require(what: str, *libraries: str, then: str = "") -> None:
    """Check that the libraries of the extra ``report`` are installed, before anything is computed that would be lost.

    Args:
        what: needs them. then: what else a user is told.

    Raises:
        ChoiceError: one is not.
    """
    for name in libraries:
        if importlib.util.find_spec(name) is None:
            raise ChoiceError(
                f"{what} needs {name}, which is not installed: pip install 'trine[report]'. {then}".strip()
            )


@functools.cache
def environment() -> Environment:
    """Templates of this folder, with the filters that figures and metrics are written by."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trine.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    filters: dict[str, Callable[..., Any]] = {
        "figure": figure,
        "markup": Markup,  # figures alone: they escape what they are given
        "metric_name": name_of,
        "percent": lambda share: (
            "–"
            if share is None
            else f"{100 * share:.1f} %"
            if 0.0005 < share < 0.9995
            else f"{100 * share:.0f} %".replace("-0 %", "0 %")
        ),
        "duration": duration,
    }
    environment.filters.update(filters)
    return environment


def duration(seconds: float | None) -> str | None:
    """A time in the unit that a person takes; None stays None."""
    if seconds is None:
        return None
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
