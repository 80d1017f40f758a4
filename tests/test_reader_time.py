"""Times of all kinds: read, laid on their grid and continued in the style of the file, in any zone and frequency."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmcast.config import ReaderSettings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read

ZONES = (
    *("Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe"),
    *("Pacific/Auckland", "Asia/Kathmandu", "Africa/Casablanca", "UTC"),
)
CHANGES = (datetime(2023, 3, 20), datetime(2023, 3, 5), datetime(2023, 10, 22), datetime(2023, 9, 20))
"""Days before nights in which some of these zones set their clocks."""

quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("time") / "file.csv"


def panel_of(path: Path, texts: list[str], **asked: object) -> Panel:
    path.write_text("ds,y\n" + "".join(f"{text},{n % 7}\n" for n, text in enumerate(texts)), encoding="utf-8")
    return read([str(path)], ReaderSettings.model_validate(asked)).panel


def continued(panel: Panel, steps: int) -> list[str]:
    """The next rows of the only series, in the style of the file."""
    last = panel.times(panel.ends - 1)
    return panel.schema.clock.format(panel.schema.frequency.advance(last, np.arange(1, steps + 1)))


def is_whole(panel: Panel, rows: int) -> None:
    """One segment, nothing absent, nothing doubled."""
    assert (len(panel.series), len(panel.values)) == (1, rows)
    assert panel.observed.all()


@quick
@given(zone=st.sampled_from(ZONES), start=st.sampled_from(CHANGES), minutes=st.sampled_from([15, 30, 60]))
def test_clocks_that_are_set_forward_or_back_leave_no_gap_and_double_nothing(
    path: Path, zone: str, start: datetime, minutes: int
) -> None:
    step, rows, ahead = timedelta(minutes=minutes), 14 * 24 * 60 // minutes, 24 * 60 // minutes
    begin = start.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    local = [(begin + n * step).astimezone(ZoneInfo(zone)) for n in range(rows + ahead)]
    texts = [f"{moment:%Y-%m-%d %H:%M}" for moment in local]
    panel = panel_of(path, texts[:rows], tz=zone)
    is_whole(panel, rows)
    assert continued(panel, ahead) == texts[rows:]
    written = [f"{moment.isoformat(timespec='minutes')}" for moment in local]
    panel = panel_of(path, written[:rows], tz=zone)
    is_whole(panel, rows)
    assert panel.times(np.arange(rows)).tolist() == [int(moment.timestamp()) * 10**9 for moment in local[:rows]]
    assert [datetime.fromisoformat(text).timestamp() for text in continued(panel, ahead)] == [
        moment.timestamp() for moment in local[rows:]
    ]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_half_hour_that_comes_twice_is_told_by_the_step_in_every_series(path: Path, newest_first: bool) -> None:
    zone, begin = ZoneInfo("Australia/Lord_Howe"), datetime(2024, 4, 5, 13, tzinfo=UTC)
    lines = []
    for n in range(80):
        local = (begin + timedelta(hours=n)).astimezone(zone)
        lines += [f"{local:%Y-%m-%d %H:%M},{name},{n % 7}" for name in ("A", "B")]
    path.write_text("\n".join(["ds,unique_id,y", *(lines[::-1] if newest_first else lines)]), encoding="utf-8")
    panel = read([str(path)], ReaderSettings(tz="Australia/Lord_Howe")).panel
    assert (panel.schema.frequency.name, len(panel.series), len(panel.values)) == ("h", 2, 160)
    assert panel.observed.all()


@quick
@given(zone=st.sampled_from(ZONES), start=st.sampled_from(CHANGES))
def test_a_day_of_23_or_25_hours_is_a_day(path: Path, zone: str, start: datetime) -> None:
    days = [f"{start + timedelta(days=n):%Y-%m-%d} 12:00" for n in range(60)]
    panel = panel_of(path, days[:50], tz=zone)
    is_whole(panel, 50)
    assert panel.schema.frequency.name == "D"
    assert continued(panel, 10) == days[50:]
    lengths = set(np.diff(panel.times(np.arange(50))).tolist())
    assert lengths <= {hours * 1_800_000_000_000 for hours in (46, 47, 48, 49, 50)}


@quick
@given(
    alias=st.sampled_from(["D", "B", "W-SUN", "W-WED", "MS", "ME", "QS", "QE", "YS", "YE", "h", "6h", "15min", "10s"]),
    start=st.datetimes(datetime(1995, 1, 1), datetime(2030, 1, 1)),
    style=st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y", "%Y%m%d"]),
)
def test_every_frequency_is_found_and_goes_on_in_every_style(
    path: Path, alias: str, start: datetime, style: str
) -> None:
    index = pd.date_range(start.replace(second=0, microsecond=0), periods=80, freq=alias)
    daily = alias[0] in "DBWMQY"
    index = index.normalize() if daily else index.floor("10s")
    texts = index.strftime(style if daily else f"{style.replace('%Y%m%d', '%Y-%m-%d')} %H:%M:%S").tolist()
    quoted = [f'"{text}"' for text in texts]
    panel = panel_of(path, quoted[:60])
    is_whole(panel, 60)
    assert continued(panel, 20) == texts[60:]


@quick
@given(year=st.integers(1990, 2040), style=st.sampled_from(["{0}-W{1:02d}", "{0}W{1:02d}"]))
def test_iso_weeks_go_on_over_years_of_53_weeks(path: Path, year: int, style: str) -> None:
    monday = datetime.fromisocalendar(year, 40, 1)
    weeks = [style.format(*(monday + timedelta(weeks=n)).isocalendar()[:2]) for n in range(40)]
    panel = panel_of(path, weeks[:30])
    is_whole(panel, 30)
    assert continued(panel, 10) == weeks[30:]


@quick
@given(
    year=st.integers(1950, 2040),
    style=st.sampled_from(["{0}Q{1}", "{0}-Q{1}", "{0} Q{1}", "{0}-{2:02d}", "{0}M{2:02d}", "{2:02d}/{0}"]),
)
def test_quarters_and_months_go_on_over_the_year(path: Path, year: int, style: str) -> None:
    monthly = "{2" in style
    steps = [(year + n // 4, n % 4 + 1, 0) for n in range(40)]
    if monthly:
        steps = [(year + n // 12, 0, n % 12 + 1) for n in range(40)]
    texts = [style.format(*step) for step in steps]
    panel = panel_of(path, texts[:30])
    is_whole(panel, 30)
    assert continued(panel, 10) == texts[30:]


@quick
@given(day=st.integers(28, 31), year=st.sampled_from([2019, 2020, 2023, 2024]), leap=st.booleans())
def test_month_ends_and_leap_days_keep_their_day(path: Path, day: int, year: int, leap: bool) -> None:
    months = pd.period_range(f"{year}-01", periods=40, freq="M")
    texts = [f"{month}-{min(day, month.days_in_month):02d}" for month in months]
    panel = panel_of(path, texts[:30])
    is_whole(panel, 30)
    assert continued(panel, 10) == texts[30:]
    if leap:
        days = pd.date_range("2024-02-01", periods=60).strftime("%Y-%m-%d").tolist()
        assert continued(panel_of(path, days[:28]), 32) == days[28:]


@quick
@given(start=st.integers(-1000, 10**6), step=st.integers(1, 500))
def test_whole_numbers_go_on_by_their_step(path: Path, start: int, step: int) -> None:
    texts = [str(start + n * step) for n in range(40)]
    panel = panel_of(path, texts[:30], freq=str(step), time_col="ds")
    is_whole(panel, 30)
    assert continued(panel, 10) == texts[30:]


@quick
@given(
    start=st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)),
    step=st.sampled_from([10, 20, 50, 100, 250, 500]),
    digits=st.sampled_from([2, 3, 6, 9]),
)
def test_steps_below_a_second_keep_their_decimals(path: Path, start: datetime, step: int, digits: int) -> None:
    begin = pd.Timestamp(start).floor("s")
    index = pd.date_range(begin, periods=60, freq=f"{step}ms")
    texts = [f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond * 1_000:09d}"[: 20 + digits] for moment in index]
    panel = panel_of(path, texts[:40])
    is_whole(panel, 40)
    assert continued(panel, 20) == texts[40:]
