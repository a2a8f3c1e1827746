"""Option values that are more than a word: assignments, durations, rows held out, files that are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from trine.errors import ChoiceError

SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def assignments(pairs: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` strings as a mapping.

    Raises:
        ChoiceError: a string without ``=``, or two for one condition.
    """
    result: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise ChoiceError(f"{option} {pair!r} is not of the form NAME=VALUE, e.g. {option} {_EXAMPLES[option]}.")
        if option == "--given" and name in result:
            raise ChoiceError(
                f"--given says {name!r} twice, {result[name]!r} and {value!r}; say each once, or give a table of conditions."
            )
        result[name] = value
    return result


_EXAMPLES = {"--set": "hidden=256,256", "--domain": "zip=category", "--group": "heart='t*'", "--given": "digit=7"}


def pair(text: str | None) -> tuple[str, str] | None:
    """``KEY,TIME`` as two names.

    Raises:
        ChoiceError: there are not two.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names):
        raise ChoiceError(f"--long {text!r} is not of the form KEY,TIME, e.g. --long patient,time.")
    return names[0], names[1]


def choice(text: str) -> Any:
    """The value that ``--set NAME=TEXT`` means: a number, a boolean, a list (``256,256``), or the text itself."""
    bare = re.sub(r"\([^()]*\)", "", text)  # the commas of categorical(8, 10) are its own
    if "," in bare and not text.startswith(("[", "{")):
        text = f"[{text}]"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    # YAML reads 'none' as text and 'null' or '' as None; a choice called none stays text.
    return text if value is None and text.lower() == "none" else value


def inputs(names: Sequence[str] | str | None) -> Sequence[str] | None:
    """The columns named by --x; none where ``none`` is all that is said."""
    named = (names,) if isinstance(names, str) else names
    return () if named is not None and list(named) == ["none"] else named


def choices(sets: Sequence[str] | None) -> dict[str, Any]:
    """The choices that ``--set NAME=VALUE`` makes."""
    return {name: choice(value) for name, value in assignments(sets or [], "--set").items()}


def seconds(text: str | float | None) -> float | None:
    """``"90"``, ``"90s"``, ``"5m"``, ``"1.5h"`` in seconds.

    Raises:
        ChoiceError: not a positive duration.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|)\s*", str(text))
    value = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if value <= 0:
        raise ChoiceError(f"--budget {text!r} is no duration; write for example 90s, 5m or 1.5h.")
    return value


def held_out(text: str | float | None) -> str | float:
    """A share of the rows in [0, 1), or the path of a file with them; 0.1 by default."""
    if text is None:
        return 0.1
    try:
        share = float(text)
    except ValueError:
        return str(text)
    if not 0.0 <= share < 1.0:
        raise ChoiceError(f"--valid {text} is no share of the rows (0 to less than 1) and no file.")
    return share


def keep_apart(out: Path, data: str) -> None:
    """Refuse to write over the data.

    Raises:
        ChoiceError: ``--out`` is the file that was read.
    """
    if out.exists() and Path(data).exists() and out.samefile(data):
        raise ChoiceError(f"--out {out} is the data themselves, which would be lost; name another file.")
