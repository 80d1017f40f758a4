"""Finding: one thing worth knowing about the data, with the rows concerned and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lstmcast.errors import DataError

Severity = Literal["error", "warning", "info"]

RANK = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """``count`` rows, cells or series are concerned; ``example_line`` is the 1-based line of the first of them.

    ``code`` is a stable kebab-case name. ``first_ds`` and ``last_ds`` are times in the style of the file. ``fix`` is
    the flag or command that mends it.
    """

    code: str
    severity: Severity
    message: str
    unique_id: str | None = None
    column: str | None = None
    first_ds: str | None = None
    last_ds: str | None = None
    count: int = 1
    example_line: int | None = None
    fix: str | None = None

    def facts(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class RefusedError(DataError):
    """Data that cannot be used as they are; carries the finding that says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message, remedy=finding.fix or "")
        self.finding = finding


def refuse(code: str, message: str, *, fix: str, column: str | None = None, line: int | None = None) -> RefusedError:
    """The error to raise where reading cannot go on."""
    return RefusedError(Finding(code, "error", message, column=column, example_line=line, fix=fix))


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then information; within each in the order found."""
    return tuple(sorted(findings, key=lambda finding: RANK[finding.severity]))
