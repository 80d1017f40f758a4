from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from lstmcast.anomaly.ndt import dynamic_threshold
from lstmcast.anomaly.surprise import surprise
from lstmcast.anomaly.tail import Scores, evidence, score
from lstmcast.anomaly.threshold import Flags, counts, false_discovery, flag, parse_budget
from lstmcast.errors import UsageError

LEVELS = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
PROBIT = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
HOURLY = 168.0


def scored(peaks: dict[int, float], rows: int = 2000) -> Scores:
    """Scores of 0 but for ``peaks``."""
    values = np.zeros(rows)
    values[list(peaks)] = list(peaks.values())
    return Scores(score=values, p_value=np.full(rows, 0.5), sum=values.copy())


def raised(scores: Scores, **options: object) -> list[int]:
    settings = {"budget": 0.23 / HOURLY, "rows_per_week": HOURLY, "warm_up": 100, "day": 24} | options
    eligible = np.arange(len(scores.sum)) >= settings["warm_up"]
    eligible &= settings.pop("eligible", np.ones(len(scores.sum), bool))
    return np.flatnonzero(flag(scores, eligible=eligible, **settings).raised).tolist()


@pytest.mark.parametrize(
    ("text", "per_row"),
    [
        ("1/week", 1 / 168),
        ("2/week", 2 / 168),
        (" 3 / Day ", 3 / 24),
        ("1/month", 12 / 8766),
        ("0.5/week", 0.5 / 168),
        ("1/1000rows", 1e-3),
        ("2/500 rows", 4e-3),
    ],
)
def test_a_budget_becomes_alarms_per_row(text: str, per_row: float) -> None:
    assert parse_budget(text, rows_per_week=HOURLY) == pytest.approx(per_row)


@pytest.mark.parametrize(
    "text", ["", "1", "week", "1/fortnight", "-1/week", "1/week/day", "1/rows", "one/week", "1,5/day"]
)
def test_a_budget_that_cannot_be_read_names_the_ways_to_write_it(text: str) -> None:
    with pytest.raises(UsageError, match="is not a number of alarms per time") as caught:
        parse_budget(text, rows_per_week=HOURLY)
    assert "1/month" in caught.value.remedy
    assert "1/1000rows" in caught.value.remedy


@pytest.mark.parametrize("text", ["0/week", "0.0/day", "1/0rows"])
def test_a_budget_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="would never allow an alarm") as caught:
        parse_budget(text, rows_per_week=HOURLY)
    assert "--threshold" in caught.value.remedy


def test_a_calendar_budget_needs_a_calendar_and_a_row_budget_does_not() -> None:
    with pytest.raises(UsageError, match="have no calendar time") as caught:
        parse_budget("1/week", rows_per_week=None)
    assert "1/1000rows" in caught.value.remedy
    assert parse_budget("1/1000rows", rows_per_week=None) == 1e-3


def noise(rows: int = 4000, *, seed: int = 0, spread: float = 2.5) -> dict[int, float]:
    """Peaks as noise makes them: one every four rows, with an exponential tail."""
    rng = np.random.default_rng(seed)
    return dict(zip(range(100, rows, 4), rng.exponential(spread, len(range(100, rows, 4))), strict=True))


@pytest.mark.parametrize("budget", [1 / 24, 1 / HOURLY, 1 / (4.35 * HOURLY)])
@pytest.mark.parametrize("spread", [2.5, 3.5])
def test_noise_of_any_height_raises_about_as_many_alarms_as_the_budget_allows(budget: float, spread: float) -> None:
    rows, seeds = 8000, range(3)
    alarms = sum(len(raised(scored(noise(rows, seed=s, spread=spread), rows), budget=budget)) for s in seeds)
    assert 0.3 <= alarms / (budget * len(seeds) * (rows - 100)) <= 1.5


def test_what_stands_out_is_told_although_the_budget_is_spent() -> None:
    peaks = noise() | dict.fromkeys(range(2000, 2400, 100), 60.0)
    assert set(range(2000, 2400, 100)) <= set(raised(scored(peaks, 4000), budget=1 / (4.35 * HOURLY)))


def test_alarms_beyond_the_budget_lift_the_bar() -> None:
    few = noise() | {2000: 40.0, 3000: 24.0}
    many = few | dict.fromkeys(range(2013, 2990, 60), 40.0)
    assert 3000 in raised(scored(few, 4000))
    assert 3000 not in raised(scored(many, 4000))


def test_the_first_bar_is_that_of_any_series() -> None:
    assert raised(scored({101: 17.0}), budget=1 / HOURLY) == [101]
    assert raised(scored({101: 15.0}), budget=1 / HOURLY) == []
    assert raised(scored({101: 17.0}), budget=1 / (4.35 * HOURLY)) == []


def test_little_evidence_is_never_an_alarm_whatever_the_budget() -> None:
    assert raised(scored({300: 5.9, 400: 6.1}), budget=1.0) == [400]


def test_peaks_older_than_eight_weeks_are_forgotten() -> None:
    loud = dict.fromkeys(range(100, 1000, 4), 30.0)
    after = 1000 + 8 * 168 + 12
    peaks = loud | {after - 400: 29.0, after + 24: 29.0}
    assert raised(scored(peaks, rows=4000), budget=1 / HOURLY)[-1] == after + 24
    assert after - 400 not in raised(scored(peaks, rows=4000), budget=1 / HOURLY)


def test_a_fixed_threshold_replaces_the_budget() -> None:
    peaks = scored({300: 40.0, 400: 9.0, 500: 8.9})
    assert raised(peaks, threshold=9.0) == [300, 400]


def test_a_floor_lifts_every_bar() -> None:
    assert raised(scored({300: 18.0, 400: 25.0}), floor=20.0) == [400]


def test_only_the_side_and_size_that_count_raise_alarms_or_spend_the_budget() -> None:
    peaks = scored({300: 40.0, 400: 25.0, 500: 25.0})
    deviation = np.zeros(2000)
    deviation[[300, 400, 500]] = [-8.0, 3.0, np.nan]
    assert raised(peaks, eligible=counts(deviation, "up", 0.0)) == [400]
    assert raised(peaks, eligible=counts(deviation, "down", 0.0)) == [300]
    assert raised(peaks, eligible=counts(deviation, "both", 5.0)) == [300]
    assert raised(peaks, eligible=counts(deviation, "up", 5.0)) == []
    assert raised(peaks, eligible=counts(deviation, "both", 0.0)) == [300, 400, 500]


def test_the_false_discovery_rate_asks_less_of_a_series_when_others_speak_at_the_same_time() -> None:
    def case(chance: float) -> tuple[np.ndarray, Scores, np.ndarray]:
        p_value = np.array([0.5, chance])
        return np.array([1, 2]), Scores(np.array([0.0, 20.0]), p_value, np.array([0.0, 20.0])), np.ones(2, bool)

    alone = false_discovery([case(0.02), *(case(0.5) for _ in range(9))])
    together = false_discovery([case(0.02), *(case(0.01) for _ in range(9))])
    assert not alone[0].raised.any()
    assert [flags.raised.tolist() for flags in together] == [[False, True]] * 10


def test_the_dynamic_threshold_finds_the_stretch_that_stands_out_and_none_in_noise() -> None:
    deviation = np.random.default_rng(0).normal(size=1000)
    assert dynamic_threshold(deviation, np.ones(1000, bool), day=24).raised.sum() <= 1
    deviation[600:610] += 30
    flags = dynamic_threshold(deviation, np.ones(1000, bool), day=24)
    assert 600 <= np.flatnonzero(flags.raised)[0] <= 603
    assert set(np.flatnonzero(flags.active)) <= set(range(598, 625))


def test_damped_rows_with_evidence_enough_are_active_but_raise_nothing() -> None:
    scores = scored({300: 40.0})
    scores.sum[301] = 35.0
    scores.score[301] = 0.3 * 35
    flags = flag(scores, eligible=np.ones(2000, bool), budget=1e-3, rows_per_week=HOURLY, warm_up=100, day=24)
    assert np.flatnonzero(flags.raised).tolist() == [300]
    assert np.flatnonzero(flags.active).tolist() == [300, 301]


def flagged(y: np.ndarray, budget: str, direction: str = "both") -> Flags:
    """The whole road on a series whose true law the forecaster knows: standard normal."""
    surprised = surprise(y, np.broadcast_to(PROBIT, (len(y), 3, len(LEVELS))), LEVELS)
    scores = score(evidence(y, surprised.error, surprised.z, day=24, warm_up=300), day=24, warm_up=300)
    eligible = counts(surprised.deviation(), direction, 0.0) & (np.arange(len(y)) >= 300)
    rate = parse_budget(budget, rows_per_week=HOURLY)
    return flag(scores, eligible=eligible, budget=rate, rows_per_week=HOURLY, warm_up=300, day=24)


@pytest.mark.parametrize("row", [350, 1000, 1999])
def test_a_spike_of_ten_sigma_in_noise_is_flagged(row: int) -> None:
    for seed in range(20):
        y = np.random.default_rng(seed).normal(size=2000)
        y[row] = 10.0
        assert flagged(y, "1/month").raised[row], seed
        assert not flagged(y, "1/month", direction="down").raised[row]


@pytest.mark.parametrize(("budget", "weeks"), [("1/week", 1.0), ("1/month", 4.35)])
def test_white_noise_raises_about_as_many_alarms_as_the_budget_allows(budget: str, weeks: float) -> None:
    alarms = sum(int(flagged(np.random.default_rng(seed).normal(size=2000), budget).raised.sum()) for seed in range(10))
    assert 0.3 <= alarms / (10 * 1700 / HOURLY / weeks) <= 1.5


def test_flags_depend_on_no_later_row() -> None:
    y = np.random.default_rng(7).normal(size=1200)
    y[[500, 640, 700]] = [9.0, 8.0, -9.0]
    changed = y.copy()
    changed[800:] = 1e4
    before, after = flagged(y, "1/month"), flagged(changed, "1/month")
    assert before.raised[:800].any()
    np.testing.assert_array_equal(before.raised[:800], after.raised[:800])
    np.testing.assert_array_equal(before.active[:800], after.active[:800])
    np.testing.assert_array_equal(flagged(y[:800], "1/month").raised, before.raised[:800])
