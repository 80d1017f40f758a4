"""Times: read, written back in the file's own style, and counted in rows of a frequency."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcast.config import ReaderSettings
from lstmcast.data.calendar import DAY, HOUR, Frequency, from_wall, to_wall, zone
from lstmcast.data.clock import Clock
from lstmcast.data.clock_inference import infer_clock
from lstmcast.data.findings import RefusedError
from lstmcast.data.spacing import infer
from lstmcast.errors import UsageError

STYLES = {
    "iso date": ["2024-01-31", "2024-02-01"],
    "iso space": ["2024-01-31 23:00:00", "2024-02-01 00:00:00"],
    "iso without seconds": ["2024-01-31 23:00", "2024-02-01 00:00"],
    "iso T": ["2024-01-31T23:00:00", "2024-02-01T00:00:00"],
    "iso Z": ["2024-01-31T23:00:00Z", "2024-02-01T00:00:00Z"],
    "iso offset": ["2024-01-31T23:00:00+05:30", "2024-02-01T00:00:00+05:30"],
    "offset without colon": ["2024-01-31 23:00-0300", "2024-02-01 00:00-0300"],
    "milliseconds": ["2024-01-31 23:00:00.250", "2024-01-31 23:00:00.500"],
    "slashes": ["2024/01/31", "2024/02/01"],
    "month": ["2024-01", "2024-02"],
    "dots": ["31.01.2024", "01.02.2024"],
    "dots and clock": ["31.01.2024 23:00", "01.02.2024 00:00"],
    "unpadded": ["31/1/2024", "1/2/2024"],
    "month first with am and pm": ["1/31/2024 9:05 PM", "2/1/2024 12:05 AM"],
    "two-digit year": ["31.01.24", "01.02.24"],
    "named month": ["31 Jan 2024", "01 Feb 2024"],
    "quarter": ["2024Q3", "2024Q4"],
    "iso week": ["2024-W05", "2024-W06"],
    "packed": ["20240131", "20240201"],
    "unix seconds": ["1706742000", "1706745600"],
    "unix milliseconds": ["1706742000000", "1706745600000"],
    "unix with fraction": ["1706742000.5", "1706742001.0"],
    "excel": ["45322", "45323"],
    "integers": ["-1", "0", "17"],
    "plain years": ["1880", "1881"],
    "packed hours": ["2024013122", "2024013123"],
    "packed minutes": ["202401312330", "202401312345"],
    "packed seconds": ["20240131233000", "20240131233001"],
    "packed date and clock": ["20240131 23:30", "20240201 00:00"],
    "excel with six decimals": ["45322.041667", "45322.083333"],
}


def clock_of(texts: list[str], *, column: str = "ds", **settings: object) -> Clock:
    return infer_clock(np.array(texts, object), column=column, settings=ReaderSettings.model_validate(settings))[0]


def instants(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[ns]").view(np.int64)


@pytest.mark.parametrize("style", STYLES)
def test_times_are_written_back_as_they_were_read(style: str) -> None:
    texts = STYLES[style]
    clock = clock_of(texts, column="year" if style == "plain years" else "ds")
    times = clock.parse(texts)
    assert clock.format(times) == texts
    assert (np.diff(times) > 0).all()
    assert Clock.model_validate_json(clock.model_dump_json()) == clock


def test_the_zone_in_the_text_makes_it_an_instant() -> None:
    clock = clock_of(["2024-01-31T23:00:00+05:30"])
    assert clock.parse(["2024-01-31T23:00:00+05:30"]).tolist() == instants("2024-01-31T17:30").tolist()
    assert clock.tz == "+05:30"


def test_excel_serials_are_days_since_1899() -> None:
    clock = clock_of(["45292.5", "45292.75"], column="Date")
    assert clock.parse(["45292.5"]).tolist() == instants("2024-01-01T12:00").tolist()


@pytest.mark.parametrize(
    ("texts", "column"), [(["45000", "45001"], "step"), (["1880", "1881"], "ds"), (["202401", "202402"], "t")]
)
def test_numbers_that_may_only_count_stay_integers(texts: list[str], column: str) -> None:
    assert clock_of(texts, column=column).kind == "integer"


def test_one_field_above_twelve_anywhere_decides_the_order_of_day_and_month() -> None:
    assert clock_of(["01/02/2024", "02/02/2024", "13/02/2024"]).day_first is True
    assert clock_of(["01/02/2024", "02/02/2024", "02/13/2024"]).day_first is False


def test_constant_steps_decide_the_order_of_day_and_month_where_no_field_does() -> None:
    hours = [f"0{1 + hour // 24}/02/2024 {hour % 24:02d}:00" for hour in range(30)]
    assert clock_of(hours).day_first is True
    assert clock_of([f"02/{text[:2]}{text[5:]}" for text in hours]).day_first is False


def test_dates_that_are_as_regular_either_way_are_refused() -> None:
    first_of_month_or_first_days = [f"01/{month:02d}/2024" for month in range(1, 13)]
    with pytest.raises(RefusedError, match="can be day first or month first") as caught:
        clock_of(first_of_month_or_first_days)
    assert caught.value.remedy == "--day-first  # or --no-day-first"
    assert clock_of(first_of_month_or_first_days, day_first=True).formats == ("%d/%m/%Y",)


def test_contradicting_orders_of_day_and_month_are_refused() -> None:
    with pytest.raises(RefusedError, match="holds both '13/01/2024' and '01/13/2024'"):
        clock_of(["13/01/2024", "01/13/2024"])


def test_a_text_that_is_no_time_is_named_with_its_line() -> None:
    clock = clock_of(["2024-01-01"])
    with pytest.raises(RefusedError, match=r"column 'day', line 7: '2024-02-30' is not a time written like %Y-%m-%d"):
        clock.parse(["2024-01-01", "2024-02-30"], lines=np.array([6, 7]), column="day")
    with pytest.raises(RefusedError, match="line 7: the time is missing"):
        clock.parse(["2024-01-01", ""], lines=np.array([6, 7]))


def test_another_style_in_the_column_is_offered_as_a_second_format() -> None:
    with pytest.raises(RefusedError) as caught:
        clock_of(["2024-01-01"]).parse(["2024-01-01", "02.01.2024"])
    assert caught.value.remedy == "--date-format '%Y-%m-%d' --date-format '%d.%m.%Y'"


@pytest.mark.parametrize("text", ["9999-12-31", "1500-01-01"])
def test_a_time_beyond_nanoseconds_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match=text):
        clock_of(["2024-01-01"]).parse([text])


def test_fractions_that_are_no_times_are_refused() -> None:
    with pytest.raises(RefusedError, match=r"counts time in fractions \(0\.5\)"):
        clock_of(["0", "0.5"])


def test_an_unknown_zone_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no time zone called 'Europe/Atlantis'"):
        clock_of(["2024-01-01"], tz="Europe/Atlantis")


def test_the_hour_that_comes_twice_is_told_apart_by_its_order_within_each_series() -> None:
    texts = ["2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 02:30", "2024-10-27 03:30"]
    clock = clock_of(texts, tz="Europe/Berlin")
    expected = instants("2024-10-26T23:30", "2024-10-27T00:30", "2024-10-27T01:30", "2024-10-27T02:30")
    assert clock.parse(texts).tolist() == expected.tolist()
    assert clock.parse(texts[::-1]).tolist() == expected[::-1].tolist()
    assert clock.parse(texts * 2, groups=np.repeat([0, 1], 4)).tolist() == expected.tolist() * 2
    assert clock.format(expected) == texts


def test_days_of_23_and_25_hours_are_one_step() -> None:
    days = Frequency.from_alias("D", tz="Europe/Berlin")
    for first in ("2024-03-30T23:00", "2024-10-26T22:00"):
        start = instants(first)
        after = days.advance(start, np.arange(4))
        assert set(np.diff(after).tolist()) == {24 * HOUR, 23 * HOUR if "03" in first else 25 * HOUR}
        assert days.locate(start, after)[0].tolist() == [0, 1, 2, 3]


def test_month_ends_stay_month_ends_and_other_days_come_back_after_february() -> None:
    assert _texts("ME", "2023-12-31", 4) == ["2023-12-31", "2024-01-31", "2024-02-29", "2024-03-31"]
    on_30 = Frequency(kind="months", anchor="day", day=30)
    assert _texts(on_30, "2023-12-30", 4) == ["2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30"]
    assert _texts("QS", "2024-01-01", 3) == ["2024-01-01", "2024-04-01", "2024-07-01"]
    assert _texts("B", "2024-02-01", 4) == ["2024-02-01", "2024-02-02", "2024-02-05", "2024-02-06"]


def _texts(frequency: Frequency | str, start: str, rows: int) -> list[str]:
    found = Frequency.from_alias(frequency) if isinstance(frequency, str) else frequency
    times = found.advance(instants(start), np.arange(rows))
    return [str(text) for text in np.datetime_as_string(times.view("datetime64[ns]"), unit="D")]


ALIASES = ("1", "5", "h", "15min", "30s", "D", "2D", "W", "B", "MS", "ME", "QS", "QE", "YS", "6h", "250ms")


@given(
    alias=st.sampled_from(ALIASES),
    tz=st.sampled_from([None, "UTC", "Europe/Berlin", "America/New_York", "+05:30"]),
    day=st.integers(0, 20_000),
    steps=st.lists(st.integers(0, 200), min_size=1, max_size=5),  # years: int64 nanoseconds end in 2262
)
def test_rows_between_two_times_are_the_rows_that_were_added(
    alias: str, tz: str | None, day: int, steps: list[int]
) -> None:
    frequency = Frequency.from_alias(alias, tz=None if alias.isdigit() else tz)
    start = from_wall(np.array([day * DAY]), frequency.tz)
    if alias in {"B", "ME", "QE"}:
        start = frequency.advance(start, np.array([1]))
    added = np.array(steps)
    found, on_grid = frequency.locate(start, frequency.advance(start, added))
    assert found.tolist() == steps
    assert on_grid.all()


def test_a_time_off_the_grid_is_not_rounded() -> None:
    hourly = Frequency.from_alias("h")
    start, stop = instants("2024-01-01T00:00"), instants("2024-01-01T01:00", "2024-01-01T02:01")
    assert hourly.locate(start, stop)[1].tolist() == [True, False]


@pytest.mark.parametrize("alias", [alias for alias in ALIASES if alias != "B"])
def test_a_frequency_is_recognised_from_times_and_named_like_its_alias(alias: str) -> None:
    frequency = Frequency.from_alias(alias)
    start = instants("2024-01-31" if alias in {"ME", "QE"} else "2024-01-01")
    if alias == "QE":
        start = instants("2024-03-31")
    times = frequency.advance(start, np.arange(30))
    found = infer(times, np.arange(30) > 0, integer=frequency.kind == "integer", tz=None)
    assert found is not None
    assert found.name == frequency.name == ("5" if alias == "5" else alias)


def test_days_without_weekends_are_business_days() -> None:
    times = Frequency.from_alias("B").advance(instants("2024-01-01"), np.arange(15))
    found = infer(times, np.arange(15) > 0, integer=False, tz=None)
    assert found is not None
    assert found.name == "B"
    assert found.seasons() == (5,)


@pytest.mark.parametrize(
    ("alias", "seasons", "horizon"),
    [
        ("15min", (96, 672), 96),
        ("h", (24, 168), 48),
        ("D", (7,), 14),
        ("B", (5,), 10),
        ("W", (52,), 13),
        ("MS", (12,), 18),
        ("QS", (4,), 8),
        ("YS", (), 6),
        ("1", (), 12),
    ],
)
def test_seasons_and_horizon_are_those_people_live_by(alias: str, seasons: tuple[int, ...], horizon: int) -> None:
    frequency = Frequency.from_alias(alias)
    assert frequency.seasons() == seasons
    assert frequency.default_horizon() == horizon


def test_rows_per_week_follow_the_step() -> None:
    weeks = {alias: Frequency.from_alias(alias).rows_per_week() for alias in ("h", "D", "B", "W", "MS", "1")}
    assert weeks == {"h": 168, "D": 7, "B": 5, "W": 1, "MS": pytest.approx(0.23, abs=0.001), "1": None}


@pytest.mark.parametrize("alias", ["fortnight", "", "0", "-1", "1.5h", "0h"])
def test_an_alias_that_is_no_frequency_is_refused(alias: str) -> None:
    with pytest.raises(UsageError, match="is not a frequency"):
        Frequency.from_alias(alias)


@pytest.mark.parametrize(("word", "alias"), [("mothly", "MS"), ("day", "D"), ("15 minuts", "15min"), ("2Weeks", "2W")])
def test_a_word_for_a_frequency_is_refused_with_the_alias_that_is_meant(word: str, alias: str) -> None:
    with pytest.raises(UsageError, match="is not a frequency") as raised:
        Frequency.from_alias(word)
    assert raised.value.remedy.startswith(f"did you mean '{alias}'?")
    assert Frequency.from_alias(alias).name == alias


def test_a_misspelt_zone_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="no time zone called 'Europe/Berln'") as raised:
        zone("Europe/Berln")
    assert raised.value.remedy == "did you mean 'Europe/Berlin'? (--tz)"


@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=5), st.sampled_from(["Europe/Berlin", "Asia/Kolkata"]))
def test_the_wall_clock_leads_back_to_an_instant_that_shows_it(times: list[int], tz: str) -> None:
    wall = to_wall(np.array(times), tz)
    for later in (False, True):
        assert to_wall(from_wall(wall, tz, later=later), tz).tolist() == wall.tolist()


def test_packed_weeks_and_short_years_need_a_telling_name() -> None:
    assert clock_of(["202401", "202402"], column="week").formats == ("%G%V",)
    assert clock_of(["240130", "240131"], column="date").formats == ("%y%m%d",)
    assert clock_of(["240130", "240131"]).kind == "integer"


def test_a_whole_step_says_that_numbers_only_count() -> None:
    for texts in (["45000", "45001"], ["1700000000", "1700000060"], ["20240101", "20240102"]):
        assert clock_of(texts).kind == "datetime"
        assert clock_of(texts, freq="1").kind == "integer"


def test_excel_serials_mean_the_time_their_decimals_can_tell_apart() -> None:
    clock = clock_of(["45292.041667", "45292.083333"], column="Date")
    assert clock.parse(["45292.041667", "45292.083333"]).tolist() == instants("2024-01-01T01", "2024-01-01T02").tolist()


def test_a_year_of_two_digits_in_front_is_told_by_the_steps() -> None:
    days = [f"24-03-{day}" for day in range(20, 32)] + ["24-04-01"]
    assert clock_of(days).formats == ("%y-%m-%d",)
    assert clock_of(["-".join(reversed(text.split("-"))) for text in days]).formats == ("%d-%m-%y",)
    with pytest.raises(RefusedError, match="can begin or end with the year"):
        clock_of(["24-01-05", "24-02-05", "24-03-05"])
    assert clock_of(["24-01-05", "24-02-05", "24-03-05"], day_first=True).formats == ("%d-%m-%y",)


def test_offsets_that_change_name_their_zone() -> None:
    berlin = ["2024-10-26T00:00:00+02:00", "2024-10-27T00:00:00+02:00", "2024-10-28T00:00:00+01:00"]
    assert clock_of(berlin).tz == "Europe/Berlin"
    assert clock_of(["2024-06-01T00:00:00+02:00", "2024-06-02T00:00:00+05:00"]).tz == "UTC"


def test_the_format_offered_first_says_most() -> None:
    with pytest.raises(RefusedError) as caught:
        clock_of(["2024-01-01", "2024-01-01 01:00"]).parse(["2024-01-01", "2024-01-01 01:00"])
    assert caught.value.remedy == "--date-format '%Y-%m-%d %H:%M' --date-format '%Y-%m-%d'"
    with pytest.raises(RefusedError) as caught:
        clock_of(["2024-12-01"]).parse(["2024-12-01", "2024-13-01"])
    assert caught.value.remedy == "--date-format '%Y-%d-%m'"
