"""Events: flagged rows gathered into stretches a person can read, each with a name that survives a re-run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.kinds import Kind, kind_of
from lstmcast.anomaly.rules import Hit
from lstmcast.anomaly.tail import Scores
from lstmcast.anomaly.threshold import Flags

Floats = NDArray[np.float64]
Severity = Literal["info", "warning", "critical"]

TOP_CHANNELS = 3
WARNING_SCORE = 20.0
CRITICAL_SCORE = 30.0
PLAIN_PERCENT = 1000.0
PLAIN_VALUE = 1e12
MOST_DECIMALS = 9
_HOURS = {"year": 8766.0, "week": 168.0, "day": 24.0, "hour": 1.0, "minute": 1 / 60}


@dataclass(frozen=True, slots=True)
class Track:
    """One channel as a person sees it: n rows with their time, value, nearest forecast and its band.

    ``series`` and ``unique_id``, the name of the channel: the same where a series has one. ``times`` n texts in the
    file's own style. ``y``, ``expected``, ``lower``, ``upper`` float64 (n,) in the user's units, NaN where not observed
    or not forecast; ``evidence`` (n,) against each row.
    """

    series: str
    unique_id: str
    times: Sequence[str]
    y: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    evidence: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One anomalous stretch; the fields are the columns of the events file. None where there is nothing to say.

    ``event_id``     hash of the series and the start: the same after every re-run
    ``start``        time of the first row that raised an alarm, or at which the rule that did says it began; ``end`` of
                     the last row with as much evidence
    ``open``         the last row of the data is still near enough for the event to grow
    ``rows``         from start to end, both counted
    ``kind``         see ``kinds.kind_of``; ``missing`` is a gap longer than any before
    ``severity``     of the largest score: ``info`` below 20, ``warning`` below 30, then ``critical``
    ``score``        the largest one in the event
    ``peak_time``    row with the most evidence; the values, deviation and p-value are those of that row
    ``once_in``      mean time between rows as improbable as the peak
    ``top_channels`` where a series has several: up to three, with their shares of the evidence
    ``detected_at``  time of the row that raised the alarm; ``delay`` from the start to it
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
    value_at_peak: float | None
    expected_at_peak: float | None
    deviation_pct: float | None
    score: float | None
    p_value: float | None
    once_in: str
    top_channels: str
    detected_at: str
    delay: str
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
    tracks: Sequence[Track],
    leading: NDArray[np.int64],
    flags: Flags,
    scores: Scores,
    *,
    rules: Sequence[Hit] = (),
    day: int,
    rows_per_week: float | None,
    merge_within: int | None = None,
    min_duration: int = 1,
) -> Events:
    """Gather flagged rows into events.

    ``tracks`` the channels of one series on the same n rows; ``leading`` (n,) which of them has the most evidence.
    An event begins with a row that raised an alarm, or where the rule that raised it says it began, and reaches to the
    last row with evidence enough for one, across at most ``merge_within`` rows without (default: a tenth of ``day``).
    Events of fewer than ``min_duration`` rows are dropped. ``day`` and ``rows_per_week`` as in ``evidence`` and
    ``parse_budget``.
    """
    merge = max(1, round(0.1 * day)) if merge_within is None else merge_within
    total = len(leading)
    raised, active = flags.raised.copy(), flags.active | flags.raised
    for hit in sorted(rules, key=lambda hit: hit.row):
        raised[hit.row] |= not raised[hit.onset : hit.row].any()  # else an alarm has said so already
        # where there are other channels, one that stands still for weeks must not take their alarms for its own
        active[hit.onset : (hit.last if len(tracks) == 1 else hit.row) + 1] = True
    of_row = np.full(total, -1, dtype=np.int64)
    found: list[Event] = []
    for first, last in _stretches(raised, active, rules, merge):
        if last - first + 1 < min_duration:
            continue
        of_row[first : last + 1] = len(found)
        peak = first + int(np.nanargmax(scores.sum[first : last + 1]))
        said = tuple(hit for hit in rules if first <= hit.row <= last)
        alarm = first + int(np.argmax(raised[first : last + 1]))
        stretch = _Stretch(first, last, peak, alarm, still_open=total - 1 - last <= merge, rules=said)
        found.append(_event(tracks, int(leading[peak]), scores, stretch, day=day, rows_per_week=rows_per_week))
    return Events(events=tuple(found), of_row=of_row, is_anomaly=raised & (of_row >= 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Rows that did not come: times of the first and the last of them, and of the row after (None: still to come)."""

    start: str
    end: str
    rows: int
    longest_before: int
    after: str | None


def missing_event(unique_id: str, gap: Gap, *, rows_per_week: float | None) -> Event:
    """The event of a gap longer than any before."""
    return Event(
        event_id=event_id(unique_id, gap.start),
        unique_id=unique_id,
        start=gap.start,
        end=gap.end,
        open=gap.after is None,
        rows=gap.rows,
        kind="missing",
        direction=None,
        severity="warning",
        peak_time=gap.start,
        value_at_peak=None,
        expected_at_peak=None,
        deviation_pct=None,
        score=None,
        p_value=None,
        once_in="",
        top_channels="",
        detected_at=gap.after or gap.end,
        delay=duration(gap.rows, rows_per_week=rows_per_week),
        message=f"{unique_id} {_span(gap.start, gap.end)}: {_counted(gap.rows, 'row')} missing; "
        f"the longest gap before had {gap.longest_before}",
    )


class _Stretch(NamedTuple):
    first: int
    last: int
    peak: int
    alarm: int
    still_open: bool
    rules: tuple[Hit, ...]


def _stretches(
    raised: NDArray[np.bool_], active: NDArray[np.bool_], rules: Sequence[Hit], merge: int
) -> list[tuple[int, int]]:
    """(first, last) row of each event: groups of active rows, each from its first alarm or that alarm's onset on."""
    rows = np.flatnonzero(active)
    if len(rows) == 0:
        return []
    groups = np.split(rows, np.flatnonzero(np.diff(rows) > merge + 1) + 1)
    onset = {hit.row: hit.onset for hit in sorted(rules, key=lambda hit: -hit.onset)}
    found = []
    for group in groups:
        alarms = group[raised[group]]
        if len(alarms):
            first = min(int(alarms[0]), onset.get(int(alarms[0]), len(raised)))
            found.append((first, int(group[-1])))
    return found


def _event(
    tracks: Sequence[Track],
    channel: int,
    scores: Scores,
    at: _Stretch,
    *,
    day: int,
    rows_per_week: float | None,
) -> Event:
    track = tracks[channel]
    value, expected = _known(track.y[at.peak]), _known(track.expected[at.peak])
    p_value = float(scores.p_value[at.peak])
    start, end = track.times[at.first], track.times[at.last]
    top = float(np.nanmax(scores.score[at.first : at.last + 1]))
    kind = kind_of(track.y, at.first, at.last, at.peak, day=day, rules=at.rules)
    once_in = duration(1 / p_value, rows_per_week=rows_per_week)
    seen = _comparison(track, at.peak)
    if kind == "flat":
        rows = at.last - at.first + 1
        seen = f"stuck at {float(track.y[at.last]):.6g} for {_counted(rows, 'row')}"
    return Event(
        event_id=event_id(track.series, start),
        unique_id=track.series,
        start=start,
        end=end,
        open=at.still_open,
        rows=at.last - at.first + 1,
        kind=kind,
        direction=None if value is None or expected is None or value == expected else _side(value - expected),
        severity=_severity(top),
        peak_time=track.times[at.peak],
        value_at_peak=value,
        expected_at_peak=expected,
        deviation_pct=None if value is None else _percent(value, expected),
        score=round(top, 3),
        p_value=p_value,
        once_in=once_in,
        top_channels=_top_channels(tracks, at) if len(tracks) > 1 else "",
        detected_at=track.times[at.alarm],
        delay=duration(at.alarm - at.first, rows_per_week=rows_per_week) if at.alarm > at.first else "",
        message=f"{track.unique_id} {_span(start, end)}: {seen}; once in {once_in}",
    )


def _side(difference: float) -> Literal["up", "down"]:
    return "up" if difference > 0 else "down"


def _top_channels(tracks: Sequence[Track], at: _Stretch) -> str:
    """The three channels with the largest shares of the evidence, each with its value and forecast at the peak."""
    inside = slice(at.first, at.last + 1)
    shares = np.array([np.nansum(track.evidence[inside]) for track in tracks])
    if not shares.sum() > 0:
        return ""
    told = []
    for k in np.argsort(-shares, kind="stable")[:TOP_CHANNELS]:
        name = tracks[k].unique_id.removeprefix(f"{tracks[k].series}/")
        share = 100 * shares[k] / shares.sum()
        told.append(f"{name} {share:.0f} % ({tracks[k].y[at.peak]:.6g}, expected {tracks[k].expected[at.peak]:.6g})")
    return "; ".join(told)


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
