"""Endings: what an exit code may say of a watch. A crash never looks like an alarm, silence never like health."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from lstmcast.anomaly.events import Event, Severity
from lstmcast.anomaly.spans import parse_span
from lstmcast.data.calendar import HOUR
from lstmcast.data.panel import Panel
from lstmcast.errors import UsageError

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
ANOMALY, STALE = 10, 11
UNKNOWN = 3
_NAGIOS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def staleness(panel: Panel, allowed: str | None) -> str | None:
    """The sentence that tells how old the newest row is, if it is older than ``allowed``. Naive times are read as UTC.

    Raises ``UsageError`` for a span that is none, or times that are none.
    """
    if allowed is None:
        return None
    limit = parse_span(allowed, flag="--fail-on-stale")
    clock = panel.schema.clock
    if clock.kind != "datetime":
        raise UsageError("--fail-on-stale needs times that are times", remedy="leave it out")
    newest = int(panel.times(panel.ends - 1).max())
    age = time.time_ns() - newest
    if age <= limit:
        return None
    return f"the newest row, {clock.format(np.array([newest]))[0]}, is {age / HOUR:.1f} hours old"


def severe(events: Sequence[Event], level: Severity | None) -> list[Event]:
    """The events of at least ``level``; none without one."""
    if level is None:
        return []
    return [event for event in events if SEVERITIES.index(event.severity) >= SEVERITIES.index(level)]


def nagios(events: Sequence[Event], late: str | None) -> tuple[int, str]:
    """Code and line for monitoring: 0 quiet, 1 an event, 2 a critical one or no data."""
    worst = max(events, key=lambda event: SEVERITIES.index(event.severity), default=None)
    code = 0 if worst is None else 2 if worst.severity == "critical" else 1
    if late is not None:
        code = 2
    said = late or (worst.message if worst else "nothing unusual")
    return code, nagios_line(code, said)


def nagios_line(code: int, said: str) -> str:
    """The one line that monitoring shows."""
    return f"LSTMCAST {_NAGIOS[code]} - {said}"
