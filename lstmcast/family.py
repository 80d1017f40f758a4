"""A family: interchangeable members behind one table NAME -> class.

The table is the registry. It holds import paths rather than classes, so that listing a family, completing a flag or
suggesting a name never imports the members (and with them torch).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from lstmcast.errors import UsageError


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a family table: where the class lives (``package.module:Class``) and what it is, in one line."""

    path: str
    summary: str


class Family(Mapping[str, Member]):
    """A named, ordered table of members."""

    def __init__(self, kind: str, members: Mapping[str, Member]) -> None:
        self.kind = kind
        self._members = dict(members)

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def load(self, name: str) -> Any:
        """The class called ``name``. Raises ``UsageError`` naming the nearest member."""
        if name not in self._members:
            raise UsageError(f"there is no {self.kind} called {name!r}", remedy=nearest(name, self._members))
        module, _, attribute = self._members[name].path.partition(":")
        return getattr(import_module(module), attribute)


def nearest(name: str, choices: Mapping[str, Any] | list[str] | tuple[str, ...]) -> str:
    """A sentence that names the closest choice, or lists them all."""
    close = difflib.get_close_matches(name, list(choices), n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(choices)}"
