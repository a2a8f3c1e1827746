"""An option that a sentence advises is one of the command that it names: the same sentence is said by every command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import trine
from trine.cli._app import app

SOURCE = Path(trine.__file__).parent
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def sentences() -> Iterator[tuple[str, str]]:
    """(place, text) of what is said outside of the command line's own room, docstrings left out."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path.is_relative_to(SOURCE / "cli"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node.value


@pytest.mark.parametrize("option", ["--on-bad", "--domain"])
def test_an_option_that_few_commands_have_is_named_with_one_that_has_it(option: str) -> None:
    found = [(place, text) for place, text in sentences() if option in text]
    assert found
    for place, text in found:
        named = re.findall(rf"trine (\w+) {option}", text)
        assert len(named) == text.count(option), f"{place} names {option} without its command: {text}"
        for command in named:
            assert any(option in parameter.opts for parameter in COMMANDS[command].params), place
