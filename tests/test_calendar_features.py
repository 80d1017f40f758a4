"""What the time of a row says by itself: cycles and public holidays, also beyond the end of the file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcast.config import ReaderSettings
from lstmcast.data.calendar_features import extended
from lstmcast.data.excerpt import until
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.data.schema import Schema
from lstmcast.errors import UsageError

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def table(folder: Path, rows: int, *, step: timedelta, start: str = "2023-01-02", name: str = "data.csv") -> str:
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    lines = [f"A,{first + n * step:%Y-%m-%d %H:%M:%S},{n % 5}" for n in range(rows)]
    path = folder / name
    path.write_text("unique_id,ds,y\n" + "\n".join(lines) + "\n")
    return str(path)


def panel_of(path: str, *, schema: Schema | None = None, **given: Any) -> Panel:
    return read([path], ReaderSettings.model_validate(given), schema=schema).panel


@pytest.mark.parametrize(
    ("rows", "step", "found"),
    [
        (40, HOUR, ()),
        (49, HOUR, ("hour",)),
        (14 * 24 + 1, HOUR, ("hour", "weekday")),
        (62 * 24, HOUR, ("hour", "weekday", "monthday")),
        (740, DAY, ("weekday", "monthday", "month")),
        (110, 7 * DAY, ("monthday", "month")),
    ],
)
def test_auto_takes_the_features_with_two_cycles_in_the_data(tmp_path, rows, step, found):
    assert panel_of(table(tmp_path, rows, step=step), calendar="auto").schema.calendar == found


def test_nothing_is_added_unless_asked_for(tmp_path):
    panel = panel_of(table(tmp_path, 400, step=HOUR))
    assert panel.covariates.shape[1] == 0
    assert panel.schema.derived == ()


def test_the_cycles_turn_with_the_wall_clock(tmp_path):
    panel = panel_of(table(tmp_path, 48, step=HOUR), calendar="hour", tz="Europe/Berlin")
    turn = np.arange(48) % 24 / 24 * 2 * np.pi
    np.testing.assert_allclose(panel.covariates, np.stack([np.sin(turn), np.cos(turn)], 1), atol=1e-6)
    assert panel.schema.known_ahead == ("hour:sin", "hour:cos")


def test_public_holidays_their_eves_and_the_days_after(tmp_path):
    panel = panel_of(table(tmp_path, 30, step=DAY, start="2023-12-15"), holidays="DE")
    day = np.arange(15, 45)  # of December: Christmas is on two days
    assert set(day[panel.covariates[:, 0] == 1]) == {25, 26, 32}
    assert set(day[panel.covariates[:, 1] == 1]) == {24, 25, 31}
    assert set(day[panel.covariates[:, 2] == 1]) == {26, 27, 33}
    assert panel_of(table(tmp_path, 8, step=DAY, start="2024-01-02"), holidays="DE-BY").covariates[4, 0] == 1


def test_a_stored_schema_gives_the_same_covariates_to_fewer_rows(tmp_path):
    long = panel_of(table(tmp_path, 400, step=HOUR), calendar="auto", holidays="US")
    short = panel_of(table(tmp_path, 10, step=HOUR, name="short.csv"), schema=long.schema)
    np.testing.assert_array_equal(short.covariates, long.covariates[:10])
    assert short.schema == long.schema


def test_covariates_beyond_the_file_are_those_the_longer_file_has(tmp_path):
    long = panel_of(table(tmp_path, 60, step=DAY), calendar="weekday,monthday", holidays="DE")
    short = extended(panel_of(table(tmp_path, 40, step=DAY, name="short.csv"), schema=long.schema), 20)
    np.testing.assert_array_equal(short.covariates, long.covariates)
    assert short.ends.tolist() == [40]
    assert short.offsets.tolist() == [0, 60]
    assert not short.observed[40:].any()


def test_every_series_gets_its_own_rows_ahead_once(tmp_path):
    path = tmp_path / "two.csv"
    days = [f"2023-01-{d:02d}" for d in range(1, 29)]
    path.write_text("unique_id,ds,y\n" + "".join(f"{s},{d},1\n" for s in "AB" for d in days[: 10 if s == "A" else 28]))
    panel = panel_of(str(path), calendar="weekday")
    longer = extended(extended(panel, 5), 7)
    assert longer.offsets.tolist() == [0, 17, 52]
    assert longer.ends.tolist() == [10, 45]
    assert np.isfinite(longer.covariates).all()
    np.testing.assert_array_equal(longer.values[17:45], panel.values[10:])


def test_a_panel_as_it_was_then_keeps_its_calendar_ahead(tmp_path):
    panel = panel_of(table(tmp_path, 30, step=DAY), calendar="weekday")
    then = extended(until(panel, int(panel.times(np.array([9]))[0])), 7)
    np.testing.assert_array_equal(then.covariates, panel.covariates)
    assert then.ends.tolist() == [10]


def test_a_feature_that_never_varies_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--calendar hour says nothing: it is the same for every row at frequency D"):
        panel_of(table(tmp_path, 30, step=DAY), calendar="hour")


def test_numbers_have_no_calendar_and_auto_knows(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("ds,y\n" + "".join(f"{n},{n}\n" for n in range(30)))
    assert panel_of(str(path), calendar="auto").schema.calendar == ()
    with pytest.raises(UsageError, match="--calendar needs dates; the times here are numbers"):
        panel_of(str(path), calendar="weekday")


def test_an_unknown_country_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--holidays XX: no public holidays are known"):
        panel_of(table(tmp_path, 30, step=DAY), holidays="XX")


def test_holidays_in_rows_of_a_week_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--holidays needs rows of a day or less; these are W apart"):
        panel_of(table(tmp_path, 30, step=7 * DAY), holidays="DE")


def test_another_calendar_than_the_models_is_refused(tmp_path):
    path = table(tmp_path, 30, step=DAY)
    schema = panel_of(path, calendar="weekday").schema
    assert panel_of(path, schema=schema, calendar="auto").schema == schema
    with pytest.raises(UsageError, match=r"reader.calendar is \('monthday',\), but the model was trained"):
        panel_of(path, schema=schema, calendar="monthday")
