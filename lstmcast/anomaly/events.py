"""Events: flagged rows gathered into stretches a person can read, each with a name that survives a re-run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.tail import Scores
from lstmcast.anomaly.threshold import Flags

Floats = NDArray[np.float64]
Kind = Literal["flat", "level_shift", "new_extreme", "spike", "burst"]
Severity = Literal["info", "warning", "critical"]

SPIKE_ROWS = 3
FLAT_ROWS = 6
USUAL_REPEATS = 0.1
SHIFT_SPREADS = 3.0
SHIFT_SHARE = 0.9
SHIFT_ROWS = 8
NEW_EXTREME_SHARE = 0.001
WARNING_SCORE = 20.0
CRITICAL_SCORE = 30.0
PLAIN_PERCENT = 1000.0
PLAIN_VALUE = 1e12
MOST_DECIMALS = 9
_HOURS = {"year": 8766.0, "week": 168.0, "day": 24.0, "hour": 1.0, "minute": 1 / 60}


@dataclass(frozen=True, slots=True)
class Track:
    """One series as a person sees it: n rows with their time, value, nearest forecast and its band.

    ``times`` n texts in the file's own style. ``y``, ``expected``, ``lower``, ``upper`` float64 (n,) in the user's
    units, NaN where not observed or not forecast.
    """

    unique_id: str
    times: Sequence[str]
    y: Floats
    expected: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One anomalous stretch; the fields are the columns of the events file. None where there is nothing to say.

    ``event_id``  hash of the series and the start: the same after every re-run
    ``start``     time of the first row that raised an alarm; ``end`` of the last row with as much evidence
    ``open``      the last row of the data is still near enough for the event to grow
    ``rows``      from start to end, both counted
    ``kind``      the first that holds: ``flat`` (at least 6 rows repeat one value in a series that seldom does),
                  ``level_shift`` (a day after the onset, nine rows in ten differ from the same rows a day earlier
                  to one side, by 3 robust spreads of that difference), ``new_extreme`` (beyond all values before the
                  event, by a thousandth of their range), ``spike`` (at most 3 rows), ``burst``
    ``severity``  of the largest score: ``info`` below 20, ``warning`` below 30, then ``critical``
    ``peak_time`` row with the most evidence; the values, deviation and p-value are those of that row
    ``once_in``   mean time between rows as improbable as the peak
    """

    event_id: str
    unique_id: str
    start: str
    end: str
    open: bool
    rows: int
    kind: Kind
    direction: Literal["up", "down"] | None
    severity: Severity
    peak_time: str
    value_at_peak: float
    expected_at_peak: float | None
    deviation_pct: float | None
    p_value: float
    once_in: str
    message: str


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one series in order of time, and where its rows belong.

    ``of_row``     int64 (n,) position in ``events`` of the event a row lies in, −1 outside
    ``is_anomaly`` bool (n,) rows that raised an alarm within an event that was kept
    """

    events: tuple[Event, ...]
    of_row: NDArray[np.int64]
    is_anomaly: NDArray[np.bool_]


def events(
    track: Track,
    flags: Flags,
    scores: Scores,
    *,
    day: int,
    rows_per_week: float | None,
    merge_within: int | None = None,
    min_duration: int = 1,
) -> Events:
    """Gather flagged rows into events.

    An event begins with a row that raised an alarm and reaches to the last row with evidence enough for one, across
    at most ``merge_within`` rows without (default: a tenth of ``day``). Events of fewer than ``min_duration`` rows are
    dropped. ``day`` and ``rows_per_week`` as in ``score`` and ``parse_budget``.
    """
    merge = max(1, round(0.1 * day)) if merge_within is None else merge_within
    total = len(track.y)
    of_row = np.full(total, -1, dtype=np.int64)
    found: list[Event] = []
    for first, last in _stretches(flags, merge):
        if last - first + 1 < min_duration:
            continue
        still_open = total - 1 - last <= merge
        of_row[first : last + 1] = len(found)
        found.append(_event(track, scores, first, last, still_open=still_open, day=day, rows_per_week=rows_per_week))
    return Events(events=tuple(found), of_row=of_row, is_anomaly=flags.raised & (of_row >= 0))


def _stretches(flags: Flags, merge: int) -> list[tuple[int, int]]:
    """(first, last) row of each event: groups of active rows, each from its first alarm on."""
    active = np.flatnonzero(flags.active | flags.raised)
    if len(active) == 0:
        return []
    groups = np.split(active, np.flatnonzero(np.diff(active) > merge + 1) + 1)
    alarms = [(group, group[flags.raised[group]]) for group in groups]
    return [(int(raised[0]), int(group[-1])) for group, raised in alarms if len(raised)]


def _event(
    track: Track, scores: Scores, first: int, last: int, *, still_open: bool, day: int, rows_per_week: float | None
) -> Event:
    inside = slice(first, last + 1)
    peak = first + int(np.nanargmax(scores.sum[inside]))
    value, expected = float(track.y[peak]), _known(track.expected[peak])
    p_value = float(scores.p_value[peak])
    start, end = track.times[first], track.times[last]
    once_in = duration(1 / p_value, rows_per_week=rows_per_week)
    return Event(
        event_id=event_id(track.unique_id, start),
        unique_id=track.unique_id,
        start=start,
        end=end,
        open=still_open,
        rows=last - first + 1,
        kind=_kind(track.y, first, last, peak, day),
        direction=None if expected is None or value == expected else ("up" if value > expected else "down"),
        severity=_severity(float(np.nanmax(scores.score[inside]))),
        peak_time=track.times[peak],
        value_at_peak=value,
        expected_at_peak=expected,
        deviation_pct=_percent(value, expected),
        p_value=p_value,
        once_in=once_in,
        message=f"{track.unique_id} {_span(start, end)}: {_comparison(track, peak)}; once in {once_in}",
    )


def event_id(unique_id: str, start: str) -> str:
    """Twelve hexadecimal digits that depend on the series and the start of the event alone."""
    return hashlib.sha256(f"{unique_id}\0{start}".encode()).hexdigest()[:12]


def duration(rows: float, *, rows_per_week: float | None) -> str:
    """So many rows as a person says it: "11 weeks", or "1200 rows" where rows have no calendar time."""
    if rows_per_week is None:
        return _counted(rows, "row")
    hours = rows / rows_per_week * _HOURS["week"]
    unit = next((unit for unit, size in _HOURS.items() if hours >= 2 * size), "minute")
    return _counted(hours / _HOURS[unit], unit)


def _counted(amount: float, unit: str) -> str:
    digits = len(str(int(amount)))
    whole = max(1, round(amount, min(0, 2 - digits)))
    return f"{whole:.0f} {unit}" if whole == 1 else f"{whole:.0f} {unit}s"


def _severity(score: float) -> Severity:
    if score >= CRITICAL_SCORE:
        return "critical"
    return "warning" if score >= WARNING_SCORE else "info"


def _kind(y: Floats, first: int, last: int, peak: int, day: int) -> Kind:
    earlier = y[:first][np.isfinite(y[:first])]
    inside = y[first : last + 1][np.isfinite(y[first : last + 1])]
    if len(inside) >= FLAT_ROWS and np.ptp(inside) == 0 and _repeats(earlier) < USUAL_REPEATS:
        return "flat"
    if _level_shifted(y, first, day):
        return "level_shift"
    margin = NEW_EXTREME_SHARE * np.ptp(earlier) if len(earlier) else math.inf
    if len(earlier) and not earlier.min() - margin <= y[peak] <= earlier.max() + margin:
        return "new_extreme"
    return "spike" if last - first < SPIKE_ROWS else "burst"


def _repeats(values: Floats) -> float:
    """Share of rows equal to the row before."""
    return float(np.mean(np.diff(values) == 0)) if len(values) > 1 else 1.0


def _level_shifted(y: Floats, first: int, day: int) -> bool:
    lag = day * math.ceil(SHIFT_ROWS / day)
    if first < 2 * lag or first + lag > len(y):
        return False
    usual = y[first - lag : first] - y[first - 2 * lag : first - lag]
    now = y[first : first + lag] - y[first - lag : first]
    usual, now = usual[np.isfinite(usual)], now[np.isfinite(now)]
    if min(len(usual), len(now)) < SHIFT_ROWS:
        return False
    shift = float(np.median(now))
    spread = 1.4826 * float(np.median(np.abs(usual - np.median(usual))))
    one_sided = float(np.mean(now * shift > 0)) >= SHIFT_SHARE
    return one_sided and abs(shift) > SHIFT_SPREADS * spread


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _percent(value: float, expected: float | None) -> float | None:
    return None if expected is None or expected == 0 else 100 * (value - expected) / abs(expected)


def _span(start: str, end: str) -> str:
    """ "2026-11-20 03:10–04:45": the end without the date it shares with the start."""
    if start == end:
        return start
    for mark in (" ", "T"):
        date, found, clock = end.rpartition(mark)
        if found and start.startswith(date + mark):
            return f"{start}–{clock}"
    return f"{start} – {end}"


def _comparison(track: Track, peak: int) -> str:
    """ "412, expected 180–240 (+72 %)"; the difference itself where a percentage would be absurd."""
    value, expected = float(track.y[peak]), _known(track.expected[peak])
    if expected is None:
        return f"{value:.6g}, without a forecast to compare"
    lower, upper = float(track.lower[peak]), float(track.upper[peak])
    banded = upper > lower
    decimals = _decimals(value, upper - lower if banded else abs(value - expected))
    band = f"{_plain(lower, decimals)}–{_plain(upper, decimals)}" if banded else _plain(expected, decimals)
    percent = _percent(value, expected)
    if percent is None or abs(percent) >= PLAIN_PERCENT:
        sign = "+" if value >= expected else ""
        return f"{_plain(value, decimals)}, expected {band} ({sign}{_plain(value - expected, decimals)})"
    return f"{_plain(value, decimals)}, expected {band} ({percent:+.0f} %)"


def _decimals(value: float, grain: float) -> int:
    """Decimals that show three digits of ``value`` and two of ``grain``, the width that matters."""
    wanted = [digits - 1 - math.floor(math.log10(abs(x))) for digits, x in ((3, value), (2, grain)) if x != 0]
    return max([0, *wanted])


def _plain(value: float, decimals: int) -> str:
    if decimals > MOST_DECIMALS or abs(value) >= PLAIN_VALUE:
        return f"{value:.3g}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"
