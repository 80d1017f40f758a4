"""Judge: from forecasts and what came true to one verdict per row and one event per stretch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.events import Event, Events, Gap, Track, events, missing_event
from lstmcast.anomaly.history import within
from lstmcast.anomaly.ndt import dynamic_threshold
from lstmcast.anomaly.region import region_score
from lstmcast.anomaly.remembering import Part
from lstmcast.anomaly.rhythm import Rhythm
from lstmcast.anomaly.rules import Hit, flat, level_shift, missing, variance
from lstmcast.anomaly.tail import MIN_PAST, Scores, evidence, score, warm_up_rows
from lstmcast.anomaly.threshold import Flags, counts, false_discovery, flag
from lstmcast.anomaly.watch import Channel
from lstmcast.config import DetectionSettings
from lstmcast.data.calendar import Frequency

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

_HANDICAP = 6.0  # log10 of the number of channels counts once for each tail
_LONGEST_DAY = 2.22  # of the warm-up: a season longer than the rows so far can show says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is the same for all series: the calendar, what the user asked for, and what is known about times.

    ``budget`` alarms per row and series. ``warm_up`` rows, None for a share of each series. ``look_back`` False where
    rows may only be judged by what came before. ``ignored`` and ``bars`` by series: bool (n,) of given times, and a
    score that alarms must exceed.
    """

    rhythm: Rhythm
    frequency: Frequency
    settings: DetectionSettings
    budget: float
    warm_up: int | None
    look_back: bool
    format: Callable[[Times], list[str]]
    ignored: Callable[[str, Times], NDArray[np.bool_]]
    bars: Mapping[str, float] = field(default_factory=dict)

    def warm_up_of(self, rows: int) -> int:
        return warm_up_rows(rows) if self.warm_up is None else self.warm_up

    def half_life_of(self, day: int) -> float:
        return day / 2 if self.settings.quiet_rows is None else self.settings.quiet_rows

    def day_of(self, warm_up: int) -> int:
        return int(np.clip(self.rhythm.rows, 8, max(8, round(_LONGEST_DAY * warm_up))))


@dataclass(frozen=True, slots=True)
class Case:
    """One series with all its channels (M) on their n common rows, before the decision.

    ``place`` for each channel int64 the common rows that it has observed. ``found`` its evidence by kind, ``alone``
    its own scores; ``scores`` those of the series, ``leading`` int64 (n,) the channel with the most evidence.
    ``deviation`` float64 (n,) its error; ``eligible`` bool (n,) rows that may raise an alarm. Of a long series it is
    one ``part``: what comes before the part's first row is there to be compared with.
    """

    name: str
    channels: tuple[Channel, ...]
    time: Times
    place: tuple[Times, ...]
    found: tuple[Mapping[str, Floats], ...]
    alone: tuple[Scores, ...]
    scores: Scores
    leading: Times
    deviation: Floats
    eligible: NDArray[np.bool_]
    warm_up: int
    day: int
    part: Part

    @property
    def counted(self) -> NDArray[np.bool_]:
        """bool (n,) the rows whose verdicts count."""
        return np.arange(len(self.time)) >= self.part.first


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rows file says of each row (n,) of a channel.

    ``judged`` bool (n,) rows whose forecast may be shown; ``unjudged`` says why the others are not. ``ignored`` bool
    (n,) rows that raise no alarm by the user's wish.
    """

    p_value: Floats
    score: Floats
    region_score: Floats
    is_anomaly: NDArray[np.bool_]
    event_id: NDArray[np.object_]
    kind: NDArray[np.object_]
    direction: NDArray[np.object_]
    judged: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    unjudged: NDArray[np.object_]


def examine(name: str, channels: Sequence[Channel], part: Part, facts: Circumstances) -> Case:
    """Score one ``part`` of a series. With several channels the loudest speaks, less what so many voices say by
    chance."""
    channels = [_within(channel, part) for channel in channels]
    time = channels[0].time
    for channel in channels[1:]:
        time = np.union1d(time, channel.time)
    warm_up = facts.warm_up_of(len(time))
    day = facts.day_of(warm_up)
    place = tuple(np.searchsorted(time, channel.time) for channel in channels)
    found = tuple(evidence(c.y, c.error, c.z, day=day, warm_up=facts.warm_up_of(len(c.y))) for c in channels)
    half_life = facts.half_life_of(day)
    alone = tuple(
        score(f, day=day, warm_up=facts.warm_up_of(len(c.y)), half_life=half_life)
        for f, c in zip(found, channels, strict=True)
    )
    total, error = np.full((len(channels), len(time)), -1.0), np.full((len(channels), len(time)), np.nan)
    for m, channel in enumerate(channels):
        total[m, place[m]] = alone[m].sum
        error[m, place[m]] = _nearest(channel.error)
    leading = np.argmax(total, axis=0)
    deviation = error[leading, np.arange(len(time))]
    if len(channels) == 1:
        scores = alone[0]
    else:
        handicap = _HANDICAP * np.log10(len(channels))
        loudest = np.maximum(total.max(axis=0) - handicap, 0.0)
        scores = score({"loudest": loudest}, day=day, warm_up=warm_up, half_life=half_life)
    forecast = np.isfinite(error).any(axis=0)
    settled = (np.arange(len(time)) >= warm_up) & (np.cumsum(forecast) > MIN_PAST)
    eligible = settled & forecast & ~facts.ignored(name, time)
    eligible &= counts(deviation, facts.settings.direction, facts.settings.min_deviation)
    return Case(
        name, tuple(channels), time, place, found, alone, scores, leading, deviation, eligible, warm_up, day, part
    )


def decide(cases: Sequence[Case], facts: Circumstances, *, bar: float | None = None) -> list[Flags]:
    """Which rows raise an alarm, by the threshold asked for; ``bar`` is a score found elsewhere."""
    asked = facts.settings.threshold if bar is None else bar
    if asked == "fdr":
        return false_discovery([(case.time, case.scores, case.eligible & case.counted) for case in cases])
    if asked == "ndt":
        return [dynamic_threshold(case.deviation, case.eligible, day=case.day) for case in cases]
    return [
        flag(
            case.scores,
            eligible=case.eligible,
            budget=facts.budget,
            rows_per_week=facts.frequency.rows_per_week(),
            warm_up=case.warm_up,
            day=case.day,
            threshold=asked if isinstance(asked, float) else None,
            floor=facts.bars.get(case.name, 0.0),
        )
        for case in cases
    ]


def tell(case: Case, flags: Flags, facts: Circumstances) -> tuple[list[Verdict], list[Event]]:
    """The verdict on every row of each channel, and the events of the series in order of time."""
    rules = _rules(case, facts)
    per_week = facts.frequency.rows_per_week()
    tracks = _tracks(case, facts)
    flags = Flags(raised=flags.raised & case.counted, active=flags.active & case.counted)
    told = events(
        tracks,
        case.leading,
        flags,
        case.scores,
        rules=[hit for hits in rules for hit in hits],
        day=case.day,
        rows_per_week=per_week,
        merge_within=facts.settings.merge_within,
        min_duration=facts.settings.min_duration,
    )
    found = [(int(case.time[told.of_row == k][0]), event) for k, event in enumerate(told.events)] + _gaps(case, facts)
    ordered = [event for _, event in sorted(found, key=lambda item: item[0])]
    if case.part.before + len(case.time) < case.part.total:  # what goes on in the next part is an event of that
        ordered = [replace(event, open=False) for event in ordered]
    verdicts = [_verdict(case, m, told, facts) for m in range(len(case.channels))]
    return verdicts, ordered


def _within(channel: Channel, part: Part) -> Channel:
    first, stop = np.searchsorted(channel.time, [part.stretch[0], part.stretch[1] + 1])
    return channel if (first, stop) == (0, len(channel.time)) else within(channel, int(first), int(stop))


def _nearest(error: Floats) -> Floats:
    """float64 (n,) signed error of the nearest forecast there is for each row."""
    nearest = np.argmax(np.isfinite(error), axis=1)
    result: Floats = np.take_along_axis(error, nearest[:, None], axis=1)[:, 0]
    return result


def _tracks(case: Case, facts: Circumstances) -> list[Track]:
    times = facts.format(case.time)
    tracks = []
    for m, channel in enumerate(case.channels):
        columns = {}
        for name, values in (
            ("y", channel.y),
            ("expected", channel.expected),
            ("lower", channel.lower),
            ("upper", channel.upper),
            ("evidence", case.alone[m].sum),
        ):
            laid = np.full(len(case.time), np.nan)
            laid[case.place[m]] = values
            columns[name] = laid
        tracks.append(Track(series=case.name, unique_id=channel.name, times=times, **columns))
    return tracks


def _rules(case: Case, facts: Circumstances) -> list[list[Hit]]:
    """The hits of each channel, in common rows; without those on rows that may not raise an alarm."""
    found = []
    for channel, place in zip(case.channels, case.place, strict=True):
        warm_up = facts.warm_up_of(len(channel.y))
        hits = flat(channel.y, warm_up=warm_up)
        if facts.settings.direction == "both":
            hits += variance(channel.error[:, 0], day=case.day, warm_up=warm_up)
            hits += level_shift(channel.y, day=case.day, warm_up=warm_up)
        allowed = ~facts.ignored(case.name, channel.time)
        first = case.part.first
        found.append(
            [
                Hit(hit.kind, max(first, int(place[hit.onset])), int(place[hit.row]), int(place[hit.last]))
                for hit in hits
                if allowed[hit.row] and place[hit.row] >= first
            ]
        )
    return found


def _gaps(case: Case, facts: Circumstances) -> list[tuple[int, Event]]:
    steps = facts.frequency.locate(case.time[:-1], case.time[1:])[0]
    told = []
    for hit in missing(steps, warm_up=case.warm_up):
        if hit.row < case.part.first:
            continue
        before, after = case.time[hit.onset], case.time[hit.row]
        first, last = facts.frequency.advance(before, np.array([1, int(steps[hit.onset]) - 1]))
        if facts.ignored(case.name, np.array([first]))[0]:
            continue
        start, end, next_row = facts.format(np.array([first, last, after]))
        gap = Gap(
            start=start,
            end=end,
            rows=int(steps[hit.onset]) - 1,
            longest_before=int(np.max(steps[: hit.onset] - 1, initial=0)),
            after=next_row,
        )
        told.append((int(first), missing_event(case.name, gap, rows_per_week=facts.frequency.rows_per_week())))
    return told


def _verdict(case: Case, m: int, told: Events, facts: Circumstances) -> Verdict:
    channel, place = case.channels[m], case.place[m]
    rows = len(channel.time)
    nothing = np.full(rows, np.nan)
    lead = case.leading[place] == m
    names, kinds, sides = (np.full(rows, "", dtype=object) for _ in range(3))
    for position, event in enumerate(told.events):
        inside = told.of_row[place] == position
        names[inside], kinds[inside], sides[inside] = event.event_id, event.kind, event.direction or ""
    seen = np.isfinite(channel.error[:, 0])
    unjudged = np.full(rows, "no_forecast", dtype=object)
    if not facts.look_back:
        unjudged[: facts.warm_up_of(rows)] = "warm_up"
        seen &= np.arange(rows) >= facts.warm_up_of(rows)
    alone = case.alone[m]
    region = nothing
    if facts.look_back and rows > MIN_PAST and np.isfinite(channel.error).any():
        region = region_score(channel.y, channel.error, day=case.day)
    return Verdict(
        p_value=np.where(seen, alone.p_value, np.nan),
        score=np.where(seen, alone.score if len(case.channels) > 1 else case.scores.score, np.nan),
        region_score=region,
        is_anomaly=told.is_anomaly[place] & lead,
        event_id=names,
        kind=kinds,
        direction=sides,
        judged=seen,
        ignored=facts.ignored(case.name, channel.time),
        unjudged=unjudged,
    )
