from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcast.anomaly.events import Event, Events, Gap, Track, duration, event_id, events, missing_event
from lstmcast.anomaly.rules import Hit
from lstmcast.anomaly.tail import Scores
from lstmcast.anomaly.threshold import Flags

ROWS = 240
HOURLY = 168.0


def times(rows: int) -> list[str]:
    return [f"2026-11-{1 + row // 24:02d} {row % 24:02d}:00" for row in range(rows)]


def track(
    y: np.ndarray | None = None, *, expected: float = 210.0, half_width: float = 30.0, name: str = "web"
) -> Track:
    y = 200 + 20 * np.sin(np.arange(ROWS) * 2 * np.pi / 24) if y is None else y
    middle = np.full(len(y), expected)
    return Track(
        series=name,
        unique_id=name,
        times=times(len(y)),
        y=y,
        expected=middle,
        lower=middle - half_width,
        upper=middle + half_width,
        evidence=np.zeros(len(y)),
    )


def gathered(
    raised: list[int],
    *,
    active: list[int] | None = None,
    on: Track | None = None,
    beside: tuple[Track, ...] = (),
    totals: dict[int, float] | None = None,
    peaks: dict[int, float] | None = None,
    p_value: float = 1e-3,
    rows_per_week: float | None = HOURLY,
    merge_within: int | None = 2,
    min_duration: int = 1,
    day: int = 24,
    rules: tuple[Hit, ...] = (),
) -> Events:
    on = track() if on is None else on
    flags = Flags(raised=np.zeros(len(on.y), bool), active=np.zeros(len(on.y), bool))
    flags.raised[raised] = True
    flags.active[raised + (active or [])] = True
    total = np.where(flags.active, 16.0, 1.0)
    for row, value in (totals or {}).items():
        total[row] = value
    score = np.where(flags.raised, 16.0, 0.3)
    for row, value in (peaks or {}).items():
        score[row] = value
    scores = Scores(score=score, p_value=np.full(len(on.y), p_value), sum=total)
    return events(
        [on, *beside],
        np.zeros(len(on.y), dtype=np.int64),
        flags,
        scores,
        rules=rules,
        day=day,
        rows_per_week=rows_per_week,
        merge_within=merge_within,
        min_duration=min_duration,
    )


def only(result: Events) -> Event:
    assert len(result.events) == 1
    return result.events[0]


def test_no_flag_is_no_event() -> None:
    result = gathered([], active=[5, 6])
    assert result.events == ()
    assert set(result.of_row) == {-1}


def test_flags_at_most_merge_within_clear_rows_apart_are_one_event() -> None:
    result = gathered([50, 53, 57], merge_within=2)
    assert [(event.start[8:], event.end[8:], event.rows) for event in result.events] == [
        ("03 02:00", "03 05:00", 4),
        ("03 09:00", "03 09:00", 1),
    ]
    assert np.flatnonzero(result.of_row == 0).tolist() == [50, 51, 52, 53]
    assert np.flatnonzero(result.of_row == 1).tolist() == [57]
    assert np.flatnonzero(result.is_anomaly).tolist() == [50, 53, 57]


def test_by_default_a_tenth_of_a_day_merges() -> None:
    assert len(gathered([50, 53], merge_within=None, day=24).events) == 1
    assert len(gathered([50, 54], merge_within=None, day=24).events) == 2
    assert len(gathered([50, 79], merge_within=None, day=288).events) == 1


def test_merge_within_0_still_joins_neighbours() -> None:
    assert [event.rows for event in gathered([50, 51, 53], merge_within=0).events] == [2, 1]


def test_an_event_begins_with_an_alarm_and_reaches_as_far_as_the_evidence() -> None:
    event = only(gathered([50], active=[48, 49, 51, 52, 55]))
    assert (event.start, event.end, event.rows) == ("2026-11-03 02:00", "2026-11-03 07:00", 6)


def test_events_shorter_than_min_duration_are_dropped_with_their_flags() -> None:
    result = gathered([50, 100, 101, 102], min_duration=3)
    assert only(result).rows == 3
    assert np.flatnonzero(result.is_anomaly).tolist() == [100, 101, 102]
    assert np.flatnonzero(result.of_row >= 0).tolist() == [100, 101, 102]


def test_an_event_is_open_while_the_next_row_could_still_join_it() -> None:
    assert only(gathered([ROWS - 1])).open
    assert only(gathered([ROWS - 3], merge_within=2)).open
    assert not only(gathered([ROWS - 4], merge_within=2)).open


def test_an_event_keeps_its_id_when_it_grows_and_no_two_share_one() -> None:
    short, long = gathered([50]), gathered([50, 51, 52, 120])
    assert short.events[0].event_id == long.events[0].event_id == event_id("web", "2026-11-03 02:00")
    assert long.events[0].event_id != long.events[1].event_id
    assert event_id("web", "1") != event_id("web1", "")
    assert event_id("web", "2026-11-03 02:00") == "c87e2d5749d2"


def test_the_peak_is_the_row_with_the_most_evidence() -> None:
    y = track().y.copy()
    y[51] = 412.0
    event = only(gathered([50], active=[51, 52], on=track(y), totals={51: 25.0}, p_value=1 / 1848))
    assert event.peak_time == "2026-11-03 03:00"
    assert (event.value_at_peak, event.expected_at_peak, event.direction) == (412.0, 210.0, "up")
    assert event.deviation_pct == pytest.approx(100 * 202 / 210)
    assert (event.p_value, event.once_in) == (1 / 1848, "11 weeks")


def test_the_message_says_what_when_and_how_rare() -> None:
    y = track().y.copy()
    y[51] = 412.0
    event = only(gathered([50], active=[51, 52], on=track(y), totals={51: 25.0}, p_value=1 / 1848))
    assert event.message == "web 2026-11-03 02:00–04:00: 412, expected 180–240 (+96 %); once in 11 weeks"


def test_a_message_over_midnight_keeps_both_dates_and_one_row_has_one_time() -> None:
    assert "2026-11-03 23:00 – 2026-11-04 00:00:" in only(gathered([71, 72])).message
    assert "web 2026-11-03 02:00: " in only(gathered([50])).message


@pytest.mark.parametrize(
    ("value", "expected", "half_width", "words"),
    [
        (0.01234, 0.011, 0.0004, "0.01234, expected 0.01060–0.01140 (+12 %)"),
        (-5.0, 0.0, 1.5, "-5.00, expected -1.50–1.50 (-5.00)"),
        (90.0, 0.5, 0.25, "90.00, expected 0.25–0.75 (+89.50)"),
        (1234567.0, 1000000.0, 20000.0, "1234567, expected 980000–1020000 (+23 %)"),
        (7.0, 5.0, 0.0, "7.00, expected 5.00 (+40 %)"),
        (3e15, 1e15, 1e14, "3e+15, expected 9e+14–1.1e+15 (+200 %)"),
        (7.0, math.nan, 1.0, "7, without a forecast to compare"),
    ],
)
def test_numbers_in_a_message_have_as_many_digits_as_matter(
    value: float, expected: float, half_width: float, words: str
) -> None:
    y = np.full(ROWS, 1.0)
    y[50] = value
    assert f": {words};" in only(gathered([50], on=track(y, expected=expected, half_width=half_width))).message


def test_without_a_forecast_there_is_no_direction_and_no_percentage() -> None:
    event = only(gathered([50], on=track(expected=math.nan)))
    assert (event.direction, event.expected_at_peak, event.deviation_pct) == (None, None, None)
    assert only(gathered([50], on=track(expected=0.0))).deviation_pct is None


@pytest.mark.parametrize(
    ("score", "severity"), [(19.9, "info"), (20.0, "warning"), (29.9, "warning"), (30.0, "critical")]
)
def test_severity_follows_the_largest_score(score: float, severity: str) -> None:
    assert only(gathered([50], active=[51], peaks={51: score}, totals={50: 45.0})).severity == severity


def series(seed: int = 0, rows: int = ROWS) -> np.ndarray:
    daily = 20 * np.sin(np.arange(rows) * 2 * np.pi / 24)
    return 200 + daily + np.random.default_rng(seed).normal(size=rows)


def kind(y: np.ndarray, raised: list[int], active: list[int] | None = None) -> str:
    return only(gathered(raised, active=active, on=track(y))).kind


def test_a_few_rows_within_the_known_range_are_a_spike_and_more_are_a_burst() -> None:
    y = series()
    y[100:103] = [180.0, 215.0, 185.0]
    assert kind(y, [100], [101, 102]) == "spike"
    y[103:107] = [215.0, 180.0, 210.0, 185.0]
    assert kind(y, [100], [101, 102, 103, 104, 105, 106]) == "burst"


def test_a_spike_with_a_tail_of_alarms_or_a_small_rest_is_a_spike_and_with_a_large_rest_is_not() -> None:
    y = series()
    y[100:103] += 30.0
    assert kind(y, [100], [101, 102, 103, 104]) == "spike"
    y[103:106] += 6.0
    assert kind(y, [100], [101, 102, 103, 104]) == "spike"
    y[103:106] += 12.0
    assert kind(y, [100], [101, 102, 103, 104]) != "spike"


def test_a_value_beyond_all_before_is_a_new_extreme() -> None:
    y = series()
    y[100:105] = 300.0, 310.0, 305.0, 303.0, 301.0
    assert kind(y, [100], [101, 102, 103, 104]) == "new_extreme"
    y[50] = 320.0
    assert kind(y, [100], [101, 102, 103, 104]) == "burst"
    y[100:105] -= 220.0
    assert kind(y, [100], [101, 102, 103, 104]) == "new_extreme"


def test_a_single_row_is_a_spike_however_far_it_goes() -> None:
    y = series()
    y[100] = 300.0
    assert kind(y, [100]) == "spike"


def test_a_repeated_value_is_flat_only_where_values_seldom_repeat() -> None:
    y = series()
    y[100:110] = 200.0
    assert kind(y, [100], list(range(101, 110))) == "flat"
    assert kind(y, [100], [101, 102]) != "flat"
    y[:100] = np.repeat(y[:100:4], 4)
    assert kind(y, [100], list(range(101, 110))) != "flat"


def test_a_level_that_stays_for_a_day_is_a_level_shift_and_needs_that_day() -> None:
    y = series()
    y[100:] += 30.0
    assert kind(y, [100]) == "level_shift"
    assert kind(y[:123], [100]) != "level_shift"
    down = series()
    down[100:] -= 15.0
    assert kind(down, [100]) == "level_shift"
    within_noise = series()
    within_noise[100:] += 3.0  # one side, but only two spreads of the usual difference
    assert kind(within_noise, [100]) != "level_shift"
    back = series()
    back[100:112] += 30.0
    assert kind(back, [100]) != "level_shift"


@pytest.mark.parametrize(
    ("rows", "per_week", "text"),
    [
        (1848, 168.0, "11 weeks"),
        (336, 168.0, "2 weeks"),
        (335, 168.0, "14 days"),
        (30, 168.0, "30 hours"),
        (20, 2016.0, "100 minutes"),
        (1, 168.0, "60 minutes"),
        (2000, 7.0, "5 years"),
        (1234, None, "1200 rows"),
        (1.2, None, "1 row"),
    ],
)
def test_a_number_of_rows_is_told_in_the_unit_a_person_would_use(
    rows: float, per_week: float | None, text: str
) -> None:
    assert duration(rows, rows_per_week=per_week) == text


def test_events_without_a_calendar_count_rows() -> None:
    assert only(gathered([50], rows_per_week=None)).once_in == "1000 rows"


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        only(gathered([50])).rows = 2  # type: ignore[misc]


def test_a_rule_raises_an_event_from_its_onset_and_names_its_kind() -> None:
    event = only(gathered([], rules=(Hit("flat", 100, 106, 112),)))
    assert (event.kind, event.rows, event.start, event.detected_at) == (
        "flat",
        13,
        "2026-11-05 04:00",
        "2026-11-05 10:00",
    )
    assert event.delay == "6 hours"
    assert "stuck at" in event.message
    assert only(gathered([98], rules=(Hit("variance", 80, 100, 100),))).kind == "variance"


def test_a_channel_that_stands_still_does_not_take_the_alarms_of_others_for_its_own() -> None:
    stuck = Hit("flat", 60, 66, 190)
    assert len(gathered([100, 150], rules=(stuck,), beside=(track(name="heat"),)).events) == 3
    assert len(gathered([100, 150], rules=(stuck,)).events) == 1  # alone it stands still all the while


def test_missing_rows_are_told_by_their_number_and_the_longest_gap_before() -> None:
    gap = Gap(start="2026-11-03 02:00", end="2026-11-03 06:00", rows=5, longest_before=1, after="2026-11-03 07:00")
    event = missing_event("web", gap, rows_per_week=HOURLY)
    assert event.message == "web 2026-11-03 02:00–06:00: 5 rows missing; the longest gap before had 1"
    assert (event.kind, event.open, event.delay, event.detected_at) == ("missing", False, "5 hours", "2026-11-03 07:00")


def shaped(values: np.ndarray, *, first: int = 120) -> str:
    y = series()
    y[first : first + len(values)] = values
    return kind(y, [first], list(range(first + 1, first + len(values))))


def test_a_longer_stretch_is_told_apart_by_its_shape() -> None:
    usual = series()[120:144]
    assert shaped(usual + np.linspace(0, 40, 24)) == "trend"
    assert shaped(400 - usual) == "season"
    assert shaped(np.roll(usual, 9)) == "season"
    assert shaped(usual + 25 * (-1.0) ** np.arange(24)) == "variance"


def test_an_event_is_named_by_all_of_its_excursion_and_not_only_by_what_follows_the_alarm() -> None:
    y = series()
    y[120:144] += np.linspace(0, 40, 24)
    assert kind(y, [136], [137, 138]) == "trend"


def test_what_comes_back_within_five_days_is_no_new_level() -> None:
    usual = series()[120:168]
    assert shaped(usual + 500) == "new_extreme"
    y = series()
    y[120:] += 500
    assert kind(y, [120], list(range(121, 140))) == "level_shift"


def test_swings_of_one_size_are_variance_and_of_many_a_burst() -> None:
    usual, rng = series()[120:132], np.random.default_rng(4)
    assert shaped(usual + 30 * rng.choice([-1.0, 1.0], 12)) == "variance"
    assert shaped(usual + np.array([4, -9, 40, -6, 3, -35, 8, -3, 5, -20, 6, -4.0]) * 3) == "burst"


def test_of_several_channels_the_three_with_most_evidence_are_named_with_value_and_forecast() -> None:
    tracks = []
    for n, share in enumerate((1.0, 6.0, 3.0, 0.0)):
        part = track()
        evidence = np.zeros(ROWS)
        evidence[50] = share
        tracks.append(replace(part, unique_id=f"web/c{n}", evidence=evidence))
    alone = np.zeros(ROWS)
    alone[50] = 30.0
    flags = Flags(raised=alone > 0, active=alone > 0)
    scores = Scores(score=alone, p_value=np.full(ROWS, 1e-3), sum=alone)
    leading = np.ones(ROWS, dtype=np.int64)
    found = events(tracks, leading, flags, scores, day=24, rows_per_week=HOURLY)
    assert [part.split(" (")[0] for part in found.events[0].top_channels.split("; ")] == [
        "c1 60 %",
        "c2 30 %",
        "c0 10 %",
    ]
    assert found.events[0].message.startswith("web/c1 ")


@settings(max_examples=50, deadline=None)
@given(
    st.sets(st.integers(0, ROWS - 1), max_size=30),
    st.sets(st.integers(0, ROWS - 1), max_size=30),
    st.integers(0, 10),
    st.integers(1, 4),
)
def test_events_are_apart_ordered_and_hold_every_alarm_kept(
    raised: set[int], active: set[int], merge_within: int, min_duration: int
) -> None:
    result = gathered(sorted(raised), active=sorted(active), merge_within=merge_within, min_duration=min_duration)
    inside = np.flatnonzero(result.of_row >= 0)
    assert len({event.event_id for event in result.events}) == len(result.events)
    assert sum(event.rows for event in result.events) == len(inside)
    assert all(event.rows >= min_duration for event in result.events)
    assert (np.diff(result.of_row[inside]) >= 0).all()
    assert set(np.flatnonzero(result.is_anomaly)) == raised & set(inside.tolist())
    if min_duration == 1:
        assert raised <= set(inside.tolist())
