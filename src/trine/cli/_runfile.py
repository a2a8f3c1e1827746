"""Run files: the options of ``trine fit`` as TOML or YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from trine.errors import ChoiceError, nearest


class RunFile(BaseModel):
    """The keys of a run file; the same names as the options, with the choices of ``--set`` under ``set``.

    Paths are relative to the run file's folder.
    """

    model_config = ConfigDict(extra="forbid")

    data: str | None = None
    other: str | None = None
    y: str | list[str] | None = None
    method: str | None = None
    label: str | None = None
    x: list[str] | None = None
    domain: dict[str, str] = {}
    set: dict[str, Any] = {}
    out: str | None = None
    valid: str | float | None = None
    budget: str | float | None = None
    memory: str | int | None = None
    seed: int | None = None
    threads: int | None = None
    class_weight: str | None = None
    on_bad: str | None = None
    long: str | None = None
    group: dict[str, str] = {}


_SEVERAL_TYPES = ("y", "valid", "budget", "memory")


def read_run_file(path: Path) -> RunFile:
    """The run file at ``path``.

    Raises:
        ChoiceError: no such file, a syntax error (with its line), an unknown key (with the nearest), a wrong type.
    """
    import tomllib

    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ChoiceError(f"The run file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ChoiceError(f"The run file {path} is not UTF-8 (byte {error.start + 1}); save it as UTF-8.") from None
    try:
        data = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        # A YAML error shows the place in a drawing of several lines; its parts make a sentence.
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"{problem} (at line {mark.line + 1}, column {mark.column + 1})" if mark else str(error)
        raise ChoiceError(f"The run file {path} is not valid {path.suffix[1:].upper()}: {where}.") from None
    if not isinstance(data, dict):
        raise ChoiceError(
            f'The run file {path} holds no keys; it is a table such as `data = "adult.csv"`, `y = "income"`.'
        )
    try:
        run = RunFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        # Where a key takes one of several types, pydantic adds the type that it tried.
        place = first["loc"][:1] if first["loc"][0] in _SEVERAL_TYPES else first["loc"]
        key = ".".join(map(str, place))
        if first["type"] == "extra_forbidden":
            known = list(RunFile.model_fields)
            raise ChoiceError(
                f"The run file {path} has the unknown key {key!r}.{nearest(key, known)} Keys: {', '.join(known)}."
            ) from None
        raise ChoiceError(f"In the run file {path}, {key} is {first['input']!r}: {first['msg']}.") from None
    base = path.parent
    if run.data is not None:
        run.data = str(base / run.data)
    if run.other is not None:
        run.other = str(base / run.other)
    if run.out is not None:
        run.out = str(base / run.out)
    if isinstance(run.valid, str) and not _is_number(run.valid):
        run.valid = str(base / run.valid)
    return run


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
