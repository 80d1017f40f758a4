"""What travels upwards: progress while a recipe runs, and its outcome when it is done.

Nothing below ``cli`` knows a terminal. A recipe takes one callable ``on_progress`` and returns one ``Outcome``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for a person: an inference made, something worth knowing, or a warning."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage has come. ``detail`` is a short figure such as the current loss."""

    stage: str
    done: int
    total: int
    detail: str = ""


Report = Notice | Progress
OnProgress = Callable[[Report], None]


def silent(_: Report) -> None:
    """An ``on_progress`` that drops everything."""


def once(on_progress: OnProgress) -> OnProgress:
    """``on_progress`` that passes on every notice the first time only, for a recipe made of others."""
    told: set[Notice] = set()

    def new_only(report: Report) -> None:
        if report not in told:
            on_progress(report)
        if isinstance(report, Notice):
            told.add(report)

    return new_only


@dataclass(frozen=True, slots=True)
class Table:
    """Rows a person reads and a pipe can take; printed on stdout."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a recipe.

    ``code``  the exit code (see ``errors`` and ``lstmcast --help``)
    ``facts`` what ``--json`` prints: plain JSON values only
    ``lines`` what a person reads on stderr, one sentence each
    ``table`` the data of the verb where it has any, on stdout
    ``text``  likewise, where the data are a text
    """

    code: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    table: Table | None = None
    text: str = ""
