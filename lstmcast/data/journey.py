"""Journey: what is known so far on the way from files to a panel."""

from __future__ import annotations

from dataclasses import dataclass, field

from lstmcast.config import ReaderSettings
from lstmcast.data.findings import Finding
from lstmcast.data.schema import Schema
from lstmcast.outcome import Notice, OnProgress


@dataclass(slots=True)
class Journey:
    """What is known so far while a file is read."""

    settings: ReaderSettings
    stored: Schema | None
    on_progress: OnProgress
    findings: list[Finding] = field(default_factory=list)
    future: str | None = None
    fingerprint: str = ""
    rows: int = 0
    schema: Schema | None = None
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def say(self, *texts: str) -> None:
        for text in texts:
            self.on_progress(Notice(text))

    def stop_on_errors(self) -> None:
        if any(finding.severity == "error" for finding in self.findings):
            raise StopError


class StopError(Exception):
    """The findings so far leave nothing to go on with."""
