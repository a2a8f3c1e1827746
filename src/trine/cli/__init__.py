"""The command line: a thin skin over the estimators.

A user's mistake is one sentence on standard error and exit status 2; an interruption is status 130, with how to resume.
"""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its status."""
    from trine.cli._app import app
    from trine.errors import TrineError

    try:
        app(args=arguments, prog_name="trine")
    except TrineError as error:
        print(f"trine: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        raise SystemExit(0) from None
