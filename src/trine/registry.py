"""Open tables: name → implementation, filled by the files of a package as they are imported."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from trine.errors import unknown

T = TypeVar("T")


def import_all(package: str) -> None:
    """Import every module of ``package``, so that whatever they register is there."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, prefix=package + "."):
        importlib.import_module(module.name)


class Registry(Mapping[str, T]):
    """The members of one kind, by the name a user writes.

    A member registers itself beside its implementation (``@rules.register("gamma")``). The first look-up imports every
    module of ``package``, so adding a member is adding a file: nothing old is edited.

    Args:
        kind: what a member is called in messages, e.g. ``"divergence"``.
        package: dotted name of the package whose modules hold the members.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._members: dict[str, T] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: file the decorated member under ``name``.

        Raises:
            ValueError: ``name`` is taken by another member.
        """

        def add(member: T) -> T:
            if self._members.get(name, member) is not member:
                raise ValueError(f"two {self.kind}s are called {name!r}")
            self._members[name] = member
            return member

        return add

    def load(self) -> None:
        """Import every module of the package, so that all members, and what they register elsewhere, are there."""
        if not self._complete:
            self._complete = True
            import_all(self.package)

    def __getitem__(self, name: str) -> T:
        self.load()
        try:
            return self._members[name]
        except KeyError:
            raise unknown(self.kind, name, sorted(self._members)) from None

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(self._members)

    def __len__(self) -> int:
        self.load()
        return len(self._members)
