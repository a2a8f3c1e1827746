"""How much memory there is, and how much of it columns may take."""

from __future__ import annotations

import os
import re
from pathlib import Path

from trine.errors import ChoiceError

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
LEAST = 1 << 30
"""Smallest limit that is accepted: Python, torch, pyarrow and scikit-learn take some 450 MiB once they are imported, and
the weights, a batch, its activations and gradients come on top."""
STATED, MACHINE = 0.25, 0.5
"""Share of a stated limit, and of the machine's memory, that the encoded columns may take before they go to a file."""
A_ROW = 160
"""Bytes a row that are needed whatever is on disk: the order of an epoch, and one column while its domain is fitted."""


def bytes_of(size: str | float) -> int:
    """``"4GiB"``, ``"512M"`` or a number of bytes, as bytes; units are powers of 1,024.

    Raises:
        ChoiceError: no size, or less than ``LEAST``.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?\s*", str(size).lower())
    if match is None:
        raise ChoiceError(f"The memory {size!r} is no size; write for example 4GiB, 512MiB or a number of bytes.")
    value = int(float(match[1]) * UNITS[match[2]])
    if value < LEAST:
        raise ChoiceError(
            f"The memory {size!r} is too little: Python and torch alone take about 450 MiB, and a network, its batch and "
            f"gradients come on top. Give at least {shown(LEAST)}."
        )
    return value


def machine() -> int:
    """Bytes of memory that the process may use: the machine's, or its control group's where that is less."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):  # not known here
        found = 8 << 30
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            found = min(found, int(text))
    return found


def room(limit: int | None) -> int:
    """Bytes that encoded columns may take in memory, by a stated limit or the machine's memory."""
    return int(machine() * MACHINE) if limit is None else int(limit * STATED)


def require_rows(rows: int, limit: int | None) -> None:
    """Refuse more rows than a limit has room for even with every column on disk.

    Raises:
        ChoiceError: a larger limit is needed; says which.
    """
    if limit is None:
        return
    needed = LEAST // 2 + rows * A_ROW
    if needed > limit:
        raise ChoiceError(
            f"The memory of {shown(limit)} is too little for {rows:,} rows: their order and one column at a time take about "
            f"{shown(needed)}. Give at least that."
        )


def shown(size: float) -> str:
    """A number of bytes as a person writes it."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size / 1024:.0f} KiB"
