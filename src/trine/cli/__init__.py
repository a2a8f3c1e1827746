"""The command line: a thin skin over the estimators.

A user's mistake is one sentence on standard error and exit status 2; an interruption is status 130, with how to resume.
"""

from __future__ import annotations

import sys
import warnings


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its status."""
    from trine.cli._app import app
    from trine.errors import TrineError

    usual, warnings.formatwarning = warnings.formatwarning, _as_told
    try:
        app(args=arguments, prog_name="trine")
    except TrineError as error:
        print(f"trine: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        raise SystemExit(0) from None
    finally:
        warnings.formatwarning = usual


def _as_told(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """What a user is told; of our own code's warnings also where they are from."""
    return (
        f"trine: {message}\n"
        if category is UserWarning
        else f"trine: {category.__name__}: {message} ({filename}:{lineno})\n"
    )
