"""What trine raises when a user's request cannot be met.

::

    TrineError (ValueError)
    ├── DataError          the data: a file, a column, a row, a value
    ├── SchemaError        the statement of what the user has: domains of x and y
    ├── ChoiceError        a choice: a keyword, a name, a key of a run file
    ├── ArtefactError      a saved model that must not be trusted or cannot be read
    ├── RunError           a run on disk: taken, incomplete, of other data
    └── TrainingError      the training itself: a loss that is not finite

Every message says what was wrong, where, what was expected and what to do next, in one or two sentences. The command line
prints it and ends with status 2; no traceback is shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TrineError(ValueError):
    """A mistake that the user can mend; its message says how."""


class DataError(TrineError):
    """A file, column, row or value that cannot be used."""


class SchemaError(TrineError):
    """The stated or inferred domains of x and y do not fit the data or the method."""


class ChoiceError(TrineError):
    """A keyword, a name or a key that trine does not know, or a value outside its range."""


class ArtefactError(TrineError):
    """A saved model that is damaged, altered, or written by a newer trine."""


class RunError(TrineError):
    """A run directory that is taken, incomplete, or belongs to other data."""


class TrainingError(TrineError):
    """Training that cannot go on, for example a loss that is not finite."""


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint `` Did you mean 'x'?`` when one of ``names`` is close to ``name``, else an empty string."""
    close = difflib.get_close_matches(str(name), [str(n) for n in names], n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: object, known: Iterable[str]) -> ChoiceError:
    """What to raise where ``name`` is no ``kind`` that there is: the nearest one, and all of them."""
    names = list(known)
    return ChoiceError(f"There is no {kind} called {name!r}.{nearest(str(name), names)} Known: {', '.join(names)}.")
