"""Explain: why a row got the score it has, or why it raised no alarm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcast.anomaly.events import Event
from lstmcast.anomaly.judge import Case, Circumstances
from lstmcast.anomaly.sequences import BACKS
from lstmcast.anomaly.spans import parse_times
from lstmcast.anomaly.threshold import Flags
from lstmcast.data.clock import Clock
from lstmcast.errors import DataError, UsageError
from lstmcast.outcome import Table

_MEANING = {
    "error": "plain error of the forecast made {back} rows before",
    "z": "error of that forecast in units of its own spread ({back} rows before)",
    "extreme": "beyond all earlier values",
    "discord": "the last quarter day is unlike any before",
}


def explained(case: Case, flags: Flags, row: int, facts: Circumstances) -> tuple[Table, tuple[str, ...]]:
    """The evidence against the common row ``row`` of ``case``, the strongest first, and what became of it."""
    lines = []
    rows = []
    for m, channel in enumerate(case.channels):
        at = int(np.searchsorted(case.place[m], row))
        if at >= len(case.place[m]) or case.place[m][at] != row:
            continue
        band = f"{channel.lower[at]:.6g} to {channel.upper[at]:.6g}"
        lines.append(f"{channel.name}: {channel.y[at]:.6g}, expected {channel.expected[at]:.6g}, usually {band}")
        for name, evidence in case.found[m].items():
            kind, _, k = name.partition("-")
            back = BACKS[int(k)] if k else 0
            size = {"error": channel.error, "z": channel.z}.get(kind)
            value = float("nan") if size is None else float(size[at, int(k)])
            rows.append((channel.name, name, _MEANING[kind].format(back=back), value, float(evidence[at])))
    rows.sort(key=lambda entry: -entry[-1])
    when = facts.format(case.time[[row]])[0]
    total, damped = float(case.scores.sum[row]), float(case.scores.score[row])
    lines.append(
        f"evidence {total:.1f} in all, {damped:.1f} after what still rings of earlier rows: {_fate(case, flags, row)}"
    )
    table = Table(f"{case.name} {when}", ("channel", "kind", "what", "size", "evidence"), tuple(rows))
    return table, tuple(lines)


def _fate(case: Case, flags: Flags, row: int) -> str:
    if flags.raised[row]:
        return "an alarm"
    if flags.active[row]:
        return "part of an event, no alarm of its own"
    if row < case.warm_up:
        return f"no alarm: one of the first {case.warm_up} rows, from which the usual is learnt"
    if not case.eligible[row]:
        return "no alarm: on the side or of the size that does not count, ignored, or without a forecast"
    return "no alarm: too little, or below what the budget allows"


def place_of(wanted: str, cases: Sequence[Case], events: Sequence[Sequence[Event]], clock: Clock) -> tuple[int, int]:
    """Case and row that ``wanted`` means: the peak of the event of that id, or the loudest series at that time.

    Raises ``UsageError`` if it is neither.
    """
    for k, found in enumerate(events):
        for event in found:
            if event.event_id == wanted:
                row = int(np.searchsorted(cases[k].time, clock.parse([event.peak_time])[0]))
                return k, min(row, len(cases[k].time) - 1)
    try:
        at = int(parse_times([wanted], clock)[0])
    except DataError as error:
        raise UsageError(
            f"--explain {wanted!r} is neither an event of these data nor a time of theirs",
            remedy="take an event_id from the events file, or a time written like those of the data",
        ) from error
    rows = {k: int(np.searchsorted(case.time, at)) for k, case in enumerate(cases) if at in case.time[case.counted]}
    if not rows:
        raise UsageError(f"no series has a row at {wanted}", remedy="name the time of a row of the data")
    loudest = max(rows, key=lambda k: float(cases[k].scores.sum[rows[k]]))
    return loudest, rows[loudest]
