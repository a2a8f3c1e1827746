"""The command line: a thin skin over the estimators.

A user's mistake is one sentence on standard error and exit status 2; an interruption is status 130, with how to resume.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from typing import NoReturn

NO_MEMORY = re.compile("out of memory|allocate memory|not enough memory|alloc_cpu", re.IGNORECASE)
"""How torch's allocators say that there is none left."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its status."""
    from trine.cli._app import app
    from trine.errors import TrineError

    usual, warnings.formatwarning = warnings.formatwarning, _as_told
    try:
        app(args=arguments, prog_name="trine")
    except TrineError as error:
        _refuse(str(error), program=arguments is None)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not NO_MEMORY.search(str(error)):
            raise
        _refuse(_too_much(str(error)), program=arguments is None)
    except BrokenPipeError:
        raise SystemExit(0) from None
    finally:
        warnings.formatwarning = usual


def _too_much(error: str) -> str:
    """That memory does not suffice, with how much was asked for at once, where that is told."""
    found = re.search(r"([\d.]+) ?(bytes|[KMGTPE]i?B)", error)
    asked = f" for {float(found[1]) / 2**30:,.1f} GiB at once" if found and found[2] == "bytes" else ""
    asked = f" for {found[1]} {found[2]} at once" if found and not asked else asked
    return (
        f"There is too little memory{asked}: ask for fewer rows, a smaller batch (--set batch_size=...), a narrower network "
        "(--set hidden=...) or smaller pictures."
    )


def _refuse(sentence: str, *, program: bool) -> NoReturn:
    """Say what was wrong, and end with status 2.

    A program ends at once, all being written: where a mistake is found early, a thread that a library is still starting would
    end it by a signal as the interpreter takes it down, with status 134.
    """
    print(f"trine: {sentence}", file=sys.stderr)
    if program:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)
    raise SystemExit(2) from None


def _as_told(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """What a user is told; of our own code's warnings also where they are from."""
    return (
        f"trine: {message}\n"
        if category is UserWarning
        else f"trine: {category.__name__}: {message} ({filename}:{lineno})\n"
    )
