"""The detector's own forecaster and its scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lstmcast.anomaly.discord import discord
from lstmcast.anomaly.lessons import lesson_ends
from lstmcast.anomaly.region import region_score
from lstmcast.anomaly.rhythm import Rhythm, rhythm
from lstmcast.anomaly.sequences import Sequences, measure_unit
from lstmcast.anomaly.watch import Channel, Plan, empty_channel, watch
from lstmcast.data.calendar import DAY, HOUR, WEEK, Frequency
from lstmcast.outcome import silent

HOURLY = Rhythm(DAY, WEEK, 24, HOUR)
QUICK = Plan(warm_up=160, hidden=8, steps=90, seed=3)


def hours(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=np.int64) * HOUR


def wave(rows: int, seed: int = 0) -> np.ndarray:
    return 10 * np.sin(2 * np.pi * np.arange(rows) / 24) + np.random.default_rng(seed).normal(size=rows)


def watched(y: np.ndarray, plan: Plan = QUICK) -> Channel:
    channels, _ = watch([empty_channel("a")], [(hours(len(y)), y)], HOURLY, plan, on_progress=silent)
    return channels[0]


def test_lessons_come_at_the_warm_up_and_whenever_rows_grew_by_a_third_or_200() -> None:
    time = np.arange(3000)
    assert lesson_ends([time], 600) == [599, 799, 1039, 1351, 1756, 2283, 2968]
    assert lesson_ends([time[:1100]], 600) == [599, 799, 1039]
    assert lesson_ends([time[:500]], 600) == []
    assert lesson_ends([time[:700], time + 50], 600) == [599, 849, 1089, 1401, 1806, 2333, 3018]


def test_no_forecast_looks_at_its_row_or_a_later_one() -> None:
    y = wave(420)
    changed = y.copy()
    changed[400:] += 50
    first, second = watched(y), watched(changed)
    np.testing.assert_array_equal(first.expected[:401], second.expected[:401])
    np.testing.assert_array_equal(first.error[:400], second.error[:400])
    assert (first.expected[401:] != second.expected[401:]).all()


def test_a_taught_forecaster_is_better_than_the_last_value() -> None:
    channel = watched(wave(420), replace(QUICK, steps=300, hidden=16))
    assert np.abs(channel.error[160:, 0]).mean() < 0.8 * np.abs(np.diff(channel.y)).mean()
    covered = (channel.y >= channel.lower) & (channel.y <= channel.upper)
    assert 0.4 < covered[160:].mean() < 0.99


def test_every_row_but_the_first_is_forecast_from_every_distance() -> None:
    channel = watched(wave(300))
    assert np.isnan(channel.error[0]).all()
    assert np.isfinite(channel.error[1:]).all()


def test_questions_hold_values_of_the_same_hour_a_day_and_a_week_before() -> None:
    time, y = hours(400), np.arange(400.0)
    unit = measure_unit(time[:200], y[:200], HOURLY)
    sequences = Sequences([time], [y], [unit], HOURLY)
    asked = sequences.ask(np.array([0]), np.array([300]))
    seen = (asked.facts[0] * asked.scale[0] + asked.level[0]) * unit.scale + unit.level
    one_step, day_ahead = seen[0], seen[2]
    assert one_step[:5].tolist() == pytest.approx([274, 275, 276, 277, 278], abs=0.01)
    assert one_step[5:10].tolist() == pytest.approx([130, 131, 132, 133, 134], abs=0.01)
    assert day_ahead[:5].tolist() == pytest.approx([297, 298, 299, 299, 299], abs=0.01)  # never from the anchor on


def test_the_rhythm_is_the_calendars_or_what_was_found() -> None:
    assert rhythm(Frequency.from_alias("h")) == HOURLY
    assert rhythm(Frequency.from_alias("D")).rows == 7
    assert rhythm(Frequency.from_alias("MS")).rows == 12
    numbered = rhythm(Frequency.from_alias("2"), found=(10, 50))
    assert (numbered.day, numbered.week, numbered.rows) == (20, 100, 10)


def test_discord_rises_where_the_shape_is_new_and_knows_no_later_row() -> None:
    y = wave(900) / 5
    y[700:712] = 2 * (-1.0) ** np.arange(12)
    found = discord(y, day=24, warm_up=150)
    assert found[704:712].min() > np.quantile(found[200:700], 0.98)
    np.testing.assert_array_equal(discord(y[:730], day=24, warm_up=150), found[:730])


def test_the_region_score_covers_the_stretch_and_not_only_its_first_row() -> None:
    y = wave(1200)
    y[800:848] = 0.2 * y[800:848] + 15
    error = np.diff(y, prepend=y[0])[:, None] * np.ones(3)
    found = region_score(y, error, day=24)
    outside = np.delete(found, np.arange(770, 880))
    assert found[805:843].min() > np.quantile(outside, 0.99)
