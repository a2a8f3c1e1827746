"""The rooms: a room imports only from rooms above it, and `import trine` stays light."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trine

SOURCE = Path(trine.__file__).parent

# From top to bottom; rooms in one tuple may not import each other unless they are the same room.
ROOMS = [
    ("_version",),
    ("errors",),
    ("collective",),
    ("registry",),
    ("choices",),
    ("domains",),
    ("data",),
    ("blocks",),
    ("rules",),
    ("priors",),
    ("gradients",),
    ("divergences",),
    ("criterion",),
    ("latents",),
    ("models",),
    ("procedures",),
    ("training",),
    ("methods",),
    ("artefact",),
    ("evaluation",),
    ("estimators",),
    ("report",),
    ("cli",),
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, room) of each import of another trine module in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module] if node.module != "trine" else [f"trine.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name if alias.name != "trine" else "trine.__init__" for alias in node.names]
        else:
            continue
        found += [(node.lineno, name.split(".")[1]) for name in names if name.startswith("trine.")]
    return found


FILES = sorted(p for p in SOURCE.rglob("*.py") if p.parent != SOURCE or p.stem in LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_imports_only_from_rooms_above_it(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for line, other in imports(path):
        if other == room:
            continue
        assert other in LEVEL, f"{path.name}:{line} imports {other}, which is no room; add it to docs/architecture.md"
        assert LEVEL[other] < LEVEL[room], f"{path.name}:{line}: {room} must not import {other}"


def module_of(path: Path) -> str:
    return ".".join(("trine", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCE.rglob("*.py")}


def names_taken(module: str) -> Iterator[tuple[str, str, str]]:
    """(module, name there, name here) of each name that a module takes from another of trine, wherever in its text."""
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            up = (
                module.split(".")[: len(module.split(".")) - node.level + (path.stem == "__init__")]
                if node.level
                else []
            )
            source = ".".join([*up, *filter(None, [node.module])])
            if source.split(".")[0] == "trine":
                yield from ((source, alias.name, alias.asname or alias.name) for alias in node.names)


def file_of(module: str, name: str) -> str:
    """The file that a name is from: a package's face only hands it on."""
    if f"{module}.{name}" in MODULES:
        return f"{module}.{name}"
    if MODULES[module].stem == "__init__":
        for source, there, here in names_taken(module):
            if here == name:
                return file_of(source, there)
    return module


def test_no_two_files_import_each_other_not_even_by_way_of_others() -> None:
    files = [module for module, path in MODULES.items() if path.stem != "__init__"]
    order = graphlib.TopologicalSorter(
        {module: {file_of(source, name) for source, name, _ in names_taken(module)} - {module} for module in files}
    )
    order.prepare()  # a circle is an error that names its files


def test_every_public_name_can_be_imported() -> None:
    for name in trine.__all__:
        assert getattr(trine, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        trine.nothing  # noqa: B018


def test_importing_trine_imports_no_heavy_library() -> None:
    code = "import sys, trine; print([m for m in ('torch', 'sklearn', 'pyarrow', 'matplotlib') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
