"""From the files people have to a Panel: roles, dialects, gaps, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from lstmcast.config import ReaderSettings
from lstmcast.data.excerpt import excerpt
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Examination, Reading, examine, read
from lstmcast.data.schema import Schema
from lstmcast.errors import DataError, UsageError
from lstmcast.outcome import Notice, Report


def settings(**given: Any) -> ReaderSettings:
    return ReaderSettings.model_validate(given)


def write(folder: Path, text: str | bytes, name: str = "data.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def daily(values: Sequence[object], *, head: str = "ds,y", start: str = "2024-01-01") -> str:
    first = date.fromisoformat(start)
    return head + "\n" + "".join(f"{first + timedelta(n)},{value}\n" for n, value in enumerate(values))


def panel_of(reading: Reading | Examination) -> Panel:
    assert reading.panel is not None, reading.findings
    return reading.panel


def rows_of(reading: Reading | Examination) -> NDArray[np.int64]:
    read_ = reading.reading if isinstance(reading, Examination) else reading
    assert read_ is not None
    return read_.panel_row


def codes(reading: Reading | Examination) -> set[str]:
    return {finding.code for finding in reading.findings}


def test_a_long_file_becomes_one_segment_per_series(tmp_path: Path) -> None:
    path = write(tmp_path, "unique_id,ds,y\nB,1,10\nB,2,11\nA,5,1.5\nB,3,12\nA,6,2.5\n")
    reading = read([path], settings())
    panel = panel_of(reading)
    assert panel.ids == ("B", "A")
    assert panel.offsets.tolist() == [0, 3, 5]
    assert panel.start.tolist() == [1, 5]
    assert panel.values[:, 0].tolist() == [10, 11, 12, 1.5, 2.5]
    assert rows_of(reading).tolist() == [0, 1, 3, 2, 4]
    assert panel.times(np.arange(5)).tolist() == [1, 2, 3, 5, 6]


def test_a_file_without_ids_is_one_series_named_after_it(tmp_path: Path) -> None:
    assert panel_of(read([write(tmp_path, daily(range(9)), "demand.csv")], settings())).ids == ("demand",)


def test_the_fingerprint_is_the_sha256_of_the_bytes_read(tmp_path: Path) -> None:
    text = daily(range(9)).encode()
    reading = read([write(tmp_path, text)], settings())
    assert reading.fingerprint == hashlib.sha256(text).hexdigest()
    assert reading.rows == 9


def test_compressed_files_globs_and_standard_input_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = daily(range(9)).encode()
    assert panel_of(read([write(tmp_path, gzip.compress(text), "north.csv.gz")], settings())).ids == ("north",)
    write(tmp_path, text, "south.csv")
    assert panel_of(read([str(tmp_path / "*th.csv*")], settings())).ids == ("north", "south")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert panel_of(read(["-"], settings())).ids == ("stdin",)


def test_messages_call_standard_input_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ds,y\n1,1\n2,2,2\n")))
    (finding,) = [found for found in examine(["-"], ReaderSettings()).findings if found.severity == "error"]
    assert finding.message == "standard input line 3 has 3 cells, not 2"


def test_several_files_with_ids_are_read_as_one(tmp_path: Path) -> None:
    first = write(tmp_path, "unique_id,ds,y\nA,1,1\nA,2,2\n", "1.csv")
    second = write(tmp_path, "y,unique_id,ds\n3,A,3\n9,B,1\n8,B,2\n", "2.csv")
    panel = panel_of(read([first, second], settings()))
    assert panel.ids == ("A", "B")
    assert panel.values[:, 0].tolist() == [1, 2, 3, 9, 8]


def test_files_of_different_columns_are_not_mixed(tmp_path: Path) -> None:
    first, second = write(tmp_path, daily(range(3)), "1.csv"), write(tmp_path, daily(range(3), head="ds,z"), "2.csv")
    with pytest.raises(DataError, match="do not have the same columns"):
        read([first, second], settings())


def test_ids_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    rows = "".join(f"{name},{n},1.0\n" for name in ("007", "7", "NA") for n in range(3))
    assert panel_of(read([write(tmp_path, "sku,ds,y\n" + rows)], settings())).ids == ("007", "7", "NA")


def test_a_missing_id_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'unique_id' line 3: the name of the series is missing"):
        read([write(tmp_path, "unique_id,ds,y\nA,1,1\n,2,2\nA,3,3\n")], settings())


def test_other_numbers_beside_a_named_target_become_past_covariates(tmp_path: Path) -> None:
    text = daily([f"{n},{n * 2},note" for n in range(9)], head="ds,sales,price,comment")
    said: list[str] = []

    def listen(report: Report) -> None:
        assert isinstance(report, Notice)
        said.append(report.text)

    panel = panel_of(read([write(tmp_path, text)], settings(target=("sales",)), on_progress=listen))
    assert panel.schema.past == ("price",)
    assert panel.covariates[:, 0].tolist() == [n * 2 for n in range(9)]
    assert any(text.startswith("covariates known up to now: price") for text in said)
    assert any(text.startswith("ignored: comment") for text in said)


def test_covariates_can_be_left_out_and_named_as_known_ahead(tmp_path: Path) -> None:
    path = write(tmp_path, daily([f"{n},{n * 2},{n % 2}" for n in range(9)], head="ds,y,price,promo"))
    schema = panel_of(read([path], settings(past=(), future=("promo",)))).schema
    assert (schema.past, schema.future) == ((), ("promo",))


@pytest.mark.parametrize(
    ("flags", "match", "remedy"),
    [
        ({"target": ("sale",)}, r"no column called 'sale' \(--target\)", "did you mean 'sales'"),
        ({"time_col": "dat"}, r"no column called 'dat' \(--time-col\)", "did you mean 'date'"),
        ({"id_col": "shop"}, r"no column called 'shop' \(--id-col\)", "choose one of"),
        ({"future": ("promos",)}, r"no column called 'promos' \(--future\)", "did you mean 'promo'"),
    ],
)
def test_a_column_that_is_not_there_is_answered_with_the_nearest(
    tmp_path: Path, flags: dict[str, Any], match: str, remedy: str
) -> None:
    path = write(tmp_path, daily([f"{n},1" for n in range(9)], head="date,sales,promo"))
    with pytest.raises(DataError, match=match) as caught:
        read([path], settings(**flags))
    assert remedy in caught.value.remedy


def test_a_column_has_one_role(tmp_path: Path) -> None:
    path = write(tmp_path, daily([f"{n},1" for n in range(9)], head="ds,y,x"))
    with pytest.raises(UsageError, match="'x' is named by --past and --future"):
        read([path], settings(past=("x",), future=("x",)))
    with pytest.raises(UsageError, match="--wide makes each column a series"):
        read([path], settings(wide=True, id_col="x"))


def test_each_column_of_a_wide_file_is_a_series(tmp_path: Path) -> None:
    path = write(tmp_path, daily(["1,", "2,5", "3,6"], head="date,north,south"))
    reading = read([path], settings(wide=True))
    panel = panel_of(reading)
    assert panel.ids == ("north", "south")
    assert panel.offsets.tolist() == [0, 3, 5]
    assert panel.values[:, 0].tolist() == [1, 2, 3, 5, 6]
    assert rows_of(reading).reshape(3, 2).tolist() == [[0, -1], [1, 3], [2, 4]]


def test_several_targets_are_forecast_together(tmp_path: Path) -> None:
    path = write(tmp_path, daily(["1,4", "2,", "3,6"], head="date,north,south"))
    panel = panel_of(read([path], settings(target=("south", "north"))))
    assert panel.schema.targets == ("south", "north")
    assert panel.observed.tolist() == [[True, True], [False, True], [True, True]]
    assert panel.values.tolist() == [[4, 1], [0, 2], [6, 3]]


def test_rows_are_numbered_from_one_where_there_is_no_time(tmp_path: Path) -> None:
    panel = panel_of(read([write(tmp_path, "rate\n3\n\n5\n6\n\n")], settings()))
    assert panel.schema.clock.kind == "row"
    assert panel.observed[:, 0].tolist() == [True, False, True, True]
    assert panel.schema.clock.format(panel.times(np.arange(4))) == ["1", "2", "3", "4"]


def test_two_columns_of_times_are_not_chosen_between(tmp_path: Path) -> None:
    text = "opened,closed,y\n" + "".join(f"2024-01-0{n},2024-02-0{n},{n}\n" for n in range(1, 9))
    with pytest.raises(DataError, match="opened, closed all hold times") as caught:
        read([write(tmp_path, text)], settings())
    assert caught.value.remedy == "--time-col opened  # or closed"


@pytest.mark.parametrize(
    ("text", "match", "remedy"),
    [
        ("year,month,y\n" + "".join(f"2024,{n},{n}\n" for n in range(1, 13)), "spread over the columns", "one column"),
        (
            "date,hour,y\n" + "".join(f"2024-01-0{1 + n // 24},{n % 24},{n}\n" for n in range(48)),
            "'hour' tells them apart",
            "write date, hour into one column",
        ),
        ('"ds","y","z"\n"1","2","3"\n"2","3"\n"3","4","5"\n', "line 3 has 2 cells, not 3", "correct these lines"),
        ("ds,y\n1,2\n2,3\nClosed,5\n", "line 4: 'Closed' is not a time", "correct these rows"),
    ],
)
def test_a_table_that_is_none_yet_is_answered_with_what_to_do(
    tmp_path: Path, text: str, match: str, remedy: str
) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read([write(tmp_path, text)], settings())
    assert remedy in caught.value.remedy


def test_quoted_cells_may_hold_commas_and_line_breaks(tmp_path: Path) -> None:
    rows = "".join(f'"{n}","{n * 2}","a, ""b""\nc"\n' for n in range(1, 9))
    assert panel_of(read([write(tmp_path, '"ds","y","note"\n' + rows)], settings())).values[:, 0].tolist() == [
        *range(2, 18, 2)
    ]
    reading = examine([write(tmp_path, '"ds","y","note"\n' + rows + '"9","x","d"\n')], settings())
    assert [finding.example_line for finding in reading.findings] == [18]


def test_names_of_series_may_mix_numbers_and_words(tmp_path: Path) -> None:
    text = "ds,branch,y\n" + "".join(f"{n},{k},{n * 2}\n" for n in range(9) for k in ("007", "12", "North"))
    assert panel_of(read([write(tmp_path, text)], settings())).ids == ("007", "12", "North")


def test_weekdays_beside_numbers_are_no_time(tmp_path: Path) -> None:
    panel = panel_of(read([write(tmp_path, "day,y\nMonday,1\nTuesday,2\nWednesday,3\n")], settings()))
    assert panel.schema.time_col is None


def test_two_columns_that_could_name_the_series_are_not_chosen_between(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-0{n},{k},{k.lower()},{n}\n" for n in range(1, 9) for k in "AB")
    with pytest.raises(DataError, match="shop, region could each name the series") as caught:
        read([write(tmp_path, "ds,shop,region,y\n" + rows)], settings())
    assert caught.value.remedy == "--id-col shop  # or region"


def test_the_index_a_data_frame_leaves_behind_is_no_target(tmp_path: Path) -> None:
    text = "".join(f"{n},2024-01-0{n + 1},{n * n}\n" for n in range(9))
    panel = panel_of(read([write(tmp_path, ",ds,sales\n" + text)], settings()))
    assert panel.schema.targets == ("sales",)
    assert panel.schema.past == ()


def test_an_absent_row_is_masked_and_a_long_gap_splits_the_series(tmp_path: Path) -> None:
    text = "ds,y\n" + "".join(f"{n},{n}\n" for n in (1, 2, 4, 5, 9, 10))
    reading = examine([write(tmp_path, text)], settings(max_gap=2))
    panel = panel_of(reading)
    assert panel.series.tolist() == [0, 0]
    assert panel.start.tolist() == [1, 9]
    assert panel.observed[:, 0].tolist() == [True, True, False, True, True, True, True]
    assert {"gaps", "long-gaps"} <= codes(reading)


def test_absent_rows_are_zero_on_request(tmp_path: Path) -> None:
    panel = panel_of(read([write(tmp_path, "ds,y\n1,1\n4,4\n5,5\n6,6\n7,7\n")], settings(gaps="zero", freq="1")))
    assert panel.values[:4, 0].tolist() == [1, 0, 0, 4]
    assert panel.observed.all()


@pytest.mark.parametrize(
    ("first", "step", "shown"),
    [(1_700_000_000, 60, "1700000060"), (1_700_000_000_000, 60_000, "1700000060000"), (20230301, 1, "20230302")],
)
def test_a_column_of_ascending_epochs_or_packed_dates_is_the_time_whatever_its_name(
    tmp_path: Path, first: int, step: int, shown: str
) -> None:
    text = "stamp of row,load,other\n" + "".join(f"{first + step * n},{n % 7},{n % 5}\n" for n in range(20))
    panel = panel_of(read([write(tmp_path, text)], settings(target=("load",))))
    assert panel.schema.time_col == "stamp of row"
    assert panel.schema.past == ("other",)
    assert panel.schema.clock.format(panel.times(np.array([1]))) == [shown]


def test_a_large_number_that_does_not_ascend_is_no_time(tmp_path: Path) -> None:
    text = "ds,visits,money\n" + "".join(f"{n},{n % 7},{1_700_000_000 + (n * 7919) % 100}\n" for n in range(20))
    panel = panel_of(read([write(tmp_path, text)], settings(target=("visits",))))
    assert panel.schema.time_col == "ds"
    unnamed = text.replace("ds,", "count,")
    assert panel_of(read([write(tmp_path, unnamed)], settings(target=("visits",)))).schema.time_col is None


def test_each_input_row_keeps_its_series_and_time_even_if_it_was_left_out(tmp_path: Path) -> None:
    text = "unique_id,ds,y\nB,1,\nA,1,1\nA,2,2\nA,2,2\nA,3,3\nB,2,5\nB,3,6\nA,4,\n"
    reading = read([write(tmp_path, text)], settings())
    ids = [reading.input_ids[n] for n in reading.input_series]
    assert ids == ["B", "A", "A", "A", "A", "B", "B", "A"]
    assert reading.input_time.tolist() == [1, 1, 2, 2, 3, 2, 3, 4]
    assert reading.panel_row[0] == -1
    assert reading.panel_row[-1] == -1


def test_gaps_are_an_error_on_request(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 gap with 2 absent rows"):
        read([write(tmp_path, "ds,y\n1,1\n4,4\n5,5\n6,6\n")], settings(gaps="error"))


def test_a_gap_with_zeros_never_splits(tmp_path: Path) -> None:
    text = "ds,y\n" + "".join(f"{n},1\n" for n in (*range(5), *range(40, 45)))
    panel = panel_of(read([write(tmp_path, text)], settings(gaps="zero")))
    assert panel.offsets.tolist() == [0, 45]
    assert panel.values.sum() == 10


def test_rows_after_the_last_value_are_kept_only_for_covariates_known_ahead(tmp_path: Path) -> None:
    path = write(tmp_path, daily(["1,0", "2,1", "3,0", ",1", ",0"], head="ds,y,promo"))
    known = panel_of(read([path], settings(future=("promo",))))
    assert (known.ends.tolist(), known.offsets.tolist()) == ([3], [0, 5])
    assert known.covariates[3:, 0].tolist() == [1, 0]
    assert not known.observed[3:].any()
    unknown = panel_of(read([path], settings(past=("promo",))))
    assert (unknown.ends.tolist(), unknown.offsets.tolist()) == ([3], [0, 3])


def test_a_missing_value_of_the_future_is_told_once(tmp_path: Path) -> None:
    options = settings(future=("promo",), na_values=("-999",))
    days = pd.date_range("2024-01-01", periods=5)
    rows = pd.DataFrame({"ds": days, "y": [1.0, -999.0, 3.0, -999.0, np.nan], "promo": [0.0, 1.0, 0.0, 1.0, 0.0]})
    data, ahead = tmp_path / "data.parquet", tmp_path / "ahead.parquet"
    rows[:3].to_parquet(data)
    rows[3:].to_parquet(ahead)
    schema = panel_of(read([str(data)], options)).schema
    found = examine([str(data)], options, schema=schema, future=str(ahead)).findings
    told = next(finding for finding in found if finding.code == "missing-values")
    assert told.message == "3 values are missing (1 '-999', 2 in the future rows)"


@pytest.mark.parametrize(("how", "merged"), [("sum", 9), ("mean", 4.5), ("first", 2), ("last", 7)])
def test_rows_of_one_time_are_merged_on_request(tmp_path: Path, how: str, merged: float) -> None:
    path = write(tmp_path, "ds,y\n1,1\n2,2\n2,7\n3,3\n4,4\n")
    reading = examine([path], settings(duplicates=how))
    assert panel_of(reading).values[:, 0].tolist() == [1, merged, 3, 4]
    assert rows_of(reading).tolist() == [0, 1, 1, 2, 3]
    assert "same-time" in codes(reading)


def test_rows_between_two_steps_are_never_dropped_silently(tmp_path: Path) -> None:
    text = "ds,y\n" + "".join(f"2024-01-01 {n:02d}:00,{n}\n" for n in range(20)) + "2024-01-01 20:20,99\n"
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=r"most steps are h .* 1 of 21 rows are not on that grid, the first on line 22"):
        read([path], settings())
    reading = examine([path], settings(duplicates="mean"))
    assert panel_of(reading).values[-1, 0] == 99
    assert "snapped" in codes(reading)
    assert len(panel_of(read([path], settings(freq="20min"))).values) == 62


def test_a_series_without_values_is_left_out_and_named(tmp_path: Path) -> None:
    reading = examine([write(tmp_path, "unique_id,ds,y\nA,1,\nA,2,\nB,1,5\nB,2,6\n")], settings())
    assert panel_of(reading).ids == ("B",)
    assert rows_of(reading).tolist() == [-1, -1, 0, 1]
    (finding,) = [finding for finding in reading.findings if finding.code == "empty-series"]
    assert (finding.unique_id, finding.severity) == ("A", "warning")


def test_a_level_that_dwarfs_the_spread_keeps_its_digits(tmp_path: Path) -> None:
    values = [1_700_000_000 + n % 7 for n in range(30)]
    panel = panel_of(read([write(tmp_path, daily(values))], settings()))
    assert (panel.values[:, 0] + panel.shift[0, 0]).tolist() == pytest.approx(values, abs=1e-3)
    assert panel_of(read([write(tmp_path, daily([n % 7 for n in range(30)]))], settings())).shift.tolist() == [[0]]


def test_a_grid_far_finer_than_the_rows_is_refused(tmp_path: Path) -> None:
    seconds = np.cumsum([1, 1, *np.random.default_rng(1).integers(10_000, 80_000, 40)])
    text = "ds,y\n" + "".join(f"{1_700_000_000 + second},1\n" for second in seconds)
    with pytest.raises(DataError, match="of a grid with a row every s"):
        read([write(tmp_path, text)], settings(max_gap=10**6))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"ds,y\n", "has a header but no rows"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not a text file"),
        (b"ds,y\n1,2\n2,\x00\n", "line 3 holds a NUL byte"),
        (b"\x1f\x8b\x08broken", "is a damaged gzip file"),
        (b"ds,y\n1,caf\xe9\n", "line 2 is not utf-8"),
        (b"ds,y,y\n1,2,3\n", "two columns called 'y'"),
        (b'ds,y\n1,"2\n3,4\n', "is not a table"),
        (b"ds,y\nmonday,1\ntuesday,2\n", "'monday' is not a time"),
        (b"ds,y\n2024-01-01,1\n", "so their distance is unknown"),
        (b"ds,y\n1,\n2,\n", "no column holds numbers to forecast"),
        (b"ds,name\n1,x\n2,z\n", "no column holds numbers to forecast"),
        (b"ds,y\n1,1\n,2\n3,3\n", "line 3: the time is missing"),
        (b"ds;y\n1;0,5\n2;1.5\n", "'0,5' is no number"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_a_reason(tmp_path: Path, data: bytes, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read([write(tmp_path, data)], settings())
    assert caught.value.remedy


def test_a_missing_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, daily(range(3)), "sales_2024.csv")
    with pytest.raises(DataError, match=r"there is no file .*sales-2024\.csv") as caught:
        read([str(tmp_path / "sales-2024.csv")], settings())
    assert caught.value.remedy.endswith("sales_2024.csv?")
    with pytest.raises(DataError, match="no file matches"):
        read([str(tmp_path / "*.parquet")], settings())
    with pytest.raises(DataError, match="is a folder"):
        read([str(tmp_path)], settings())


def test_an_unknown_encoding_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no text encoding called 'klingon'"):
        read([write(tmp_path, daily(range(3)))], settings(encoding="klingon"))


def test_a_frequency_that_does_not_fit_the_clock_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--freq 3 does not fit: times are dates"):
        read([write(tmp_path, daily(range(3)))], settings(freq="3"))
    with pytest.raises(UsageError, match="--freq h does not fit: times are whole numbers"):
        read([write(tmp_path, "ds,y\n1,1\n2,2\n")], settings(freq="h"))


GERMAN = "Tag;Laden;Umsatz\n" + "".join(f"0{n}.03.2024;{k};{n},5\n" for n in range(1, 10) for k in ("A", "B"))


def test_tomorrows_file_is_read_as_todays_was(tmp_path: Path) -> None:
    today = read([write(tmp_path, GERMAN)], settings())
    schema = Schema.model_validate_json(today.panel.schema.model_dump_json())
    # alone, these rows would be month first, with a decimal point, of one series
    tomorrow = "Laden;Umsatz;Tag;neu\nB;1,5;10.03.2024;x\nB;2,5;11.03.2024;x\n"
    reading = read([write(tmp_path, tomorrow)], settings(), schema=schema)
    panel = panel_of(reading)
    assert panel.ids == ("B",)
    assert panel.values[:, 0].tolist() == [1.5, 2.5]
    assert panel.schema == schema
    assert schema.clock.format(panel.times(np.array([1]))) == ["11.03.2024"]


def test_a_single_row_is_enough_where_the_schema_is_known(tmp_path: Path) -> None:
    schema = read([write(tmp_path, GERMAN)], settings()).panel.schema
    panel = panel_of(read([write(tmp_path, "Tag;Laden;Umsatz\n10.03.2024;B;1,5\n")], settings(), schema=schema))
    assert panel.values.tolist() == [[1.5]]


def test_a_file_of_another_delimiter_than_the_models_is_refused_by_it(tmp_path: Path) -> None:
    schema = read([write(tmp_path, GERMAN)], settings()).panel.schema
    for comma in (GERMAN.replace(",", ".").replace(";", ","), GERMAN.replace(",", "").replace(";", ",")):
        with pytest.raises(DataError, match=r"separated by ','; the model was trained on files with ';'"):
            read([write(tmp_path, comma)], settings(), schema=schema)


def test_a_column_that_is_gone_tomorrow_is_named_with_the_nearest(tmp_path: Path) -> None:
    schema = read([write(tmp_path, GERMAN)], settings()).panel.schema
    with pytest.raises(DataError, match="no column called 'Umsatz'") as caught:
        read([write(tmp_path, GERMAN.replace("Umsatz", "Umsaetze"))], settings(), schema=schema)
    assert "Umsaetze" in caught.value.remedy


@pytest.mark.parametrize(
    "contradiction",
    [{"decimal": "."}, {"target": ("Tag",)}, {"freq": "h"}, {"tz": "UTC"}, {"wide": True}, {"duplicates": "sum"}],
)
def test_a_setting_that_contradicts_the_schema_is_refused(tmp_path: Path, contradiction: dict[str, Any]) -> None:
    path = write(tmp_path, GERMAN)
    schema = read([path], settings()).panel.schema
    with pytest.raises(UsageError, match=f"reader.{next(iter(contradiction))} is "):
        read([path], settings(**contradiction), schema=schema)
    assert read([path], settings(decimal=",", freq="D", duplicates="error"), schema=schema).panel is not None


def test_findings_are_collected_rather_than_raised_one_by_one(tmp_path: Path) -> None:
    text = daily([1, 2, "inf", "closed", 5, 6])
    reading = examine([write(tmp_path, text)], settings())
    assert reading.panel is None
    assert codes(reading) == {"infinite", "unknown-token"}
    assert [finding.example_line for finding in reading.findings] == [5, 4]


def test_warnings_are_announced_when_reading_goes_on(tmp_path: Path) -> None:
    said: list[Report] = []
    read([write(tmp_path, daily(range(9)))], settings(), on_progress=said.append)
    assert any(isinstance(report, Notice) and report.level == "warning" and "9" in report.text for report in said)


def test_a_file_of_many_series_is_read_without_a_loop_over_rows(tmp_path: Path) -> None:
    ids = np.repeat(np.arange(2_000), 20)
    text = "unique_id,ds,y\n" + "".join(f"s{k},{n % 20},{n % 7}\n" for n, k in enumerate(ids))
    panel = panel_of(read([write(tmp_path, text)], settings()))
    assert len(panel.ids) == 2_000
    assert (np.diff(panel.offsets) == 20).all()


def test_a_flag_says_whether_the_first_line_names_the_columns(tmp_path: Path) -> None:
    named = write(tmp_path, "shop,7\nA,1\nB,2\nC,3\n")
    assert panel_of(read([named], settings())).schema.targets == ("7",)
    assert panel_of(read([named], settings(target=("y",)))).values[:, 0].tolist() == [7, 1, 2, 3]
    bare = write(tmp_path, "1,2\n1,5\n2,6\n3,9\n")
    assert panel_of(read([bare], settings(time_col="c1", target=("c2",), duplicates="last"))).values.tolist() == [
        [5],
        [6],
        [9],
    ]
    assert panel_of(read([bare], settings(time_col="1", target=("2",)))).values[:, 0].tolist() == [5, 6, 9]
    assert panel_of(read([bare], settings(skip_rows=0, target=("2",)))).schema.past == ("1",)


@pytest.mark.parametrize("first", ["01 Jan 2024,1.5", "Mon 01 Jan 2024,1.5", "2024Q1,1.5", "2024-W01,1.5"])
def test_a_first_line_of_values_is_no_header(tmp_path: Path, first: str) -> None:
    lines = [first.replace("01 ", f"0{n} ").replace("Q1", f"Q{n}").replace("W01", f"W0{n}") for n in (1, 2, 3, 4)]
    schema = examine([write(tmp_path, "\n".join(lines))], settings()).schema
    assert schema is not None
    assert not schema.dialect.header


def test_a_header_may_hold_line_breaks_and_a_file_the_separator_of_excel(tmp_path: Path) -> None:
    panel = panel_of(read([write(tmp_path, '"ds","y\n(kWh)"\n1,2\n2,3\n3,x\n')], settings(na_values=("x",))))
    assert panel.schema.targets == ("y (kWh)",)
    reading = examine([write(tmp_path, '"ds","y\n(kWh)"\n1,2\n2,3\n3,x\n')], settings())
    assert [finding.example_line for finding in reading.findings] == [5]
    assert panel_of(read([write(tmp_path, "sep=;\nds;y\n1;2,5\n2;3,5\n")], settings())).values.tolist() == [
        [2.5],
        [3.5],
    ]


def test_names_of_series_lose_the_spaces_around_them(tmp_path: Path) -> None:
    text = 'id,ds,y\nA ,1,1\n" A",2,2\nA,3,3\nB,1,4\nB,2,5\n'
    assert panel_of(read([write(tmp_path, text)], settings())).ids == ("A", "B")


def test_a_date_beside_a_clock_is_not_read_as_a_series_per_hour(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-0{1 + n // 24},{n % 24:02d}:00,{n}\n" for n in range(48))
    path = write(tmp_path, "date,time,y\n" + rows)
    with pytest.raises(DataError, match="spread over the columns date, time"):
        read([path], settings())
    assert panel_of(read([path], settings(duplicates="sum"))).values.tolist() == [[276], [852]]


def long(head: str, *keys: str) -> str:
    return f"{head},ds,y\n" + "".join(f"{key},{n},{n}.5\n" for key in keys for n in range(9))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (long("store,item", "a,x", "a,z", "b,x", "b,z"), "write store, item"),
        (long("id,item", "1,7", "1,8", "2,7", "2,8"), "write id, item"),
        (long("Filiale,k", "1,a", "2,a", "3,a", "4,a"), "--id-col Filiale"),
        ("Filiale,ds,Umsatz\n" + "1,1,.5\n1,2,.7\n2,1,.6\n2,2,.8\n", "--id-col Filiale --target Umsatz"),
        ("ds,y\n1,5 €\n2,6 $\n3,7\n", "write the column in one unit"),
        ("ds,y\n1,5\n2,n.v.\n3,closed\n4,6\n5,7\n", "--na-values n.v. --na-values closed  # if"),
    ],
)
def test_the_remedy_fits_the_file(tmp_path: Path, text: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        read([write(tmp_path, text)], settings())
    assert caught.value.remedy.startswith(remedy) or remedy in caught.value.remedy


def test_an_hour_that_came_twice_with_one_value_is_no_mere_repetition(tmp_path: Path) -> None:
    hours = ["2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 02:00", "2024-10-27 03:00", "2024-10-27 04:00"]
    path = write(tmp_path, "ds,y\n" + "".join(f"{hour},0\n" for hour in hours))
    (finding,) = [found for found in examine([path], settings()).findings if found.code == "repeated-rows"]
    assert (finding.severity, finding.fix) == ("warning", "--tz Europe/Berlin  # or the zone these local times are in")
    assert len(panel_of(read([path], settings(tz="Europe/Berlin"))).values) == 5


def test_utf_16_without_a_mark_is_answered_with_its_byte_order(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        with pytest.raises(DataError) as caught:
            read([write(tmp_path, daily(range(9)).encode(encoding))], settings())
        assert caught.value.remedy == f"--encoding {encoding}"


@pytest.mark.parametrize("cells", [("900", '"1,000"', '"1,100"'), ("900", "950", "1.000")])
def test_the_other_mark_groups_where_one_is_named(tmp_path: Path, cells: tuple[str, ...]) -> None:
    path = write(tmp_path, "ds,y\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells)))
    with pytest.raises(DataError, match="with a decimal or with a thousands mark"):
        read([path], settings())
    grouped = panel_of(read([path], settings(decimal="." if "," in cells[2] else ",")))
    assert grouped.values[:, 0].tolist() == [float(cell.strip('"').replace(",", "").replace(".", "")) for cell in cells]


def test_a_mark_that_comes_late_is_not_overlooked(tmp_path: Path) -> None:
    path = write(tmp_path, "ds,y\n" + "".join(f"{n},{n if n < 210 else f'1.{n}'}\n" for n in range(230)))
    with pytest.raises(DataError, match=r"line 212: '1.210' can be read"):
        read([path], settings())


def test_steps_that_are_nearly_usual_are_put_on_the_usual_grid(tmp_path: Path) -> None:
    jitter = [f"2024-01-01 {n:02d}:00:{(n * 7) % 3:02d}" for n in range(24)]
    ends = ["2024-01-31", "2024-02-29", "2024-03-29", "2024-04-30", "2024-05-31", "2024-06-28", "2024-07-31"]
    path = write(tmp_path, "ds,y\n" + "".join(f"{text},{n}\n" for n, text in enumerate(jitter)))
    panel = panel_of(examine([path], settings()))
    assert (panel.schema.frequency.name, panel.values[:, 0].tolist()) == ("h", list(range(24)))
    path = write(tmp_path, "ds,y\n" + "".join(f"{text},{n}\n" for n, text in enumerate(ends)))
    with pytest.raises(DataError) as caught:
        read([path], settings())
    assert caught.value.remedy.startswith("--resample ME --agg mean  #")
    panel = panel_of(examine([path], settings(resample="ME")))
    assert panel.values[:, 0].tolist() == list(range(len(ends)))


def test_series_with_rows_further_apart_than_a_step_are_named(tmp_path: Path) -> None:
    text = "id,ds,y\n" + "".join(f"A,{n},{n}\n" for n in range(30)) + "".join(f"B,{n * 7},{n}\n" for n in range(6))
    (finding,) = [f for f in examine([write(tmp_path, text)], settings()).findings if f.code == "other-steps"]
    assert (finding.unique_id, finding.severity) == ("B", "warning")
    assert "most rows 7 steps of 1 apart" in finding.message


def test_digits_that_a_float_cannot_hold_are_announced(tmp_path: Path) -> None:
    for level in (2**60, 10**20):
        reading = examine([write(tmp_path, daily([level + n for n in range(9)]))], settings())
        assert "long-numbers" in codes(reading)
    assert "long-numbers" not in codes(examine([write(tmp_path, daily([f"{n}e20" for n in range(9)]))], settings()))


def test_truth_values_are_a_target_when_named(tmp_path: Path) -> None:
    path = write(tmp_path, daily(["True", "False", "True"]))
    with pytest.raises(DataError) as caught:
        read([path], settings())
    assert caught.value.remedy.startswith("--target y  #")
    assert panel_of(read([path], settings(target=("y",)))).values[:, 0].tolist() == [1, 0, 1]


SHOPS = "shop,ds,y,region,area\n" + "".join(
    f"{shop},{n},{n % 3},{region},{area}\n"
    for shop, region, area in (("a", "north", "10"), ("b", "south", ""), ("c", "north", "30"))
    for n in range(1, 9)
)


def test_static_covariates_are_numbers_or_words_of_each_series(tmp_path: Path) -> None:
    reading = read([write(tmp_path, SHOPS)], settings(target=("y",), id_col="shop", static=("region", "area", "shop")))
    panel = panel_of(reading)
    np.testing.assert_array_equal(panel.static, [[0, 10, 0], [1, np.nan, 1], [0, 30, 2]])
    assert panel.schema.static_words == (2, 0, 3)
    assert panel.covariates.shape[1] == 0


def test_a_series_training_never_saw_and_a_new_word_are_not_known(tmp_path: Path) -> None:
    asked = settings(target=("y",), id_col="shop", static=("region", "shop"))
    schema = panel_of(read([write(tmp_path, SHOPS)], asked)).schema
    later = SHOPS + "".join(f"d,{n},5,west,1\n" for n in range(1, 9))
    reading = read([write(tmp_path, later, "later.csv")], settings(), schema=schema)
    np.testing.assert_array_equal(panel_of(reading).static[-1], [np.nan, np.nan])
    assert [finding.column for finding in reading.findings if finding.code == "unknown-category"] == ["region", "shop"]


def test_a_static_covariate_that_changes_is_refused_in_training_and_told_of_later(tmp_path: Path) -> None:
    asked = settings(target=("y",), id_col="shop", static=("region",))
    schema = panel_of(read([write(tmp_path, SHOPS)], asked)).schema
    moved = write(tmp_path, SHOPS.replace("b,8,2,south", "b,8,2,north"), "moved.csv")
    with pytest.raises(DataError, match=r"region changes within a series: 'south' in line 10, 'north' later"):
        read([moved], asked)
    reading = read([moved], settings(), schema=schema)
    assert "static-changes" in codes(reading)
    assert panel_of(reading).static[:, 0].tolist() == [0, 0, 0]


def test_static_covariates_follow_their_series_through_an_excerpt(tmp_path: Path) -> None:
    panel = panel_of(read([write(tmp_path, SHOPS)], settings(target=("y",), id_col="shop", static=("area",))))
    part = excerpt(panel, np.array([8, 8, 16]), np.array([8, 16, 24]))
    assert part.ids == ("b", "c")
    np.testing.assert_array_equal(part.static[:, 0], [np.nan, 30])


def test_a_static_covariate_of_a_wide_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column tells of one of them as a whole"):
        read([write(tmp_path, "ds,a,b\n1,2,3\n2,3,4\n")], settings(wide=True, static=("a",)))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tz": "Europe/Berln"}, "there is no time zone called 'Europe/Berln'"),
        ({"freq": "hourly"}, "--freq 'hourly' is not a frequency"),
        ({"resample": "5 mins"}, "--resample '5 mins' is not a frequency"),
        ({"encoding": "cp1525"}, "there is no text encoding called 'cp1525'"),
        ({"date_format": ("%Q",)}, "--date-format '%Q' is not a time format"),
        ({"date_format": ("%A %Y",)}, "--date-format '%A %Y' holds a directive that cannot be written back"),
        ({"holidays": "XX"}, "--holidays XX: no public holidays are known"),
        ({"since": "yesterday"}, "--since 'yesterday' is no time"),
        ({"target": ("y",), "future": ("y",)}, "column 'y' is named by --target and --future"),
        ({"wide": True, "id_col": "shop"}, "so there is no --id-col"),
    ],
)
def test_a_wrong_flag_is_told_before_any_file_is_opened(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        examine(["no-such-file.csv"], ReaderSettings(**asked))


@pytest.mark.parametrize(
    ("text", "written", "meant"),
    [
        ("売上,日付\n", "cp932", "cp932"),
        ("Größe,Datum\n", "cp1252", "cp1252"),
        ("Größe\x81,Datum\n", "latin-1", "latin-1"),
    ],
)
def test_the_encoding_that_is_proposed_is_one_that_fits(text: str, written: str, meant: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes((text + "1,2024-01-01\n2,2024-01-02\n").encode(written))
    (found,) = examine([str(path)], ReaderSettings()).findings
    assert (found.code, found.fix) == ("encoding", f"--encoding {meant}")


@pytest.mark.parametrize("dated", [True, False])
def test_years_and_names_of_months_are_refused_only_where_nothing_else_is_the_time(dated: bool, tmp_path: Path) -> None:
    months = ("Jan", "Feb", "March", "Apr", "May", "June", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    rows = [f"{2020 + n // 12},{months[n % 12]},{n}" for n in range(36)]
    days = [f"{2020 + n // 12}-{n % 12 + 1:02d}-01," for n in range(36)] if dated else [""] * 36
    head = ("ds," if dated else "") + "year,month,y"
    path = tmp_path / "data.csv"
    path.write_text("\n".join([head, *(day + row for day, row in zip(days, rows, strict=True))]))
    examined = examine([str(path)], ReaderSettings(target=("y",)))
    assert (examined.reading is not None) == dated
    assert dated or examined.findings[0].message == "the time is spread over the columns year, month"


@pytest.mark.parametrize(
    "below",
    ["__________", "© The Office, 2024", "Source: our own counting", "Quelle: Amt", "Copyright 2024 The Office"],
)
def test_lines_below_a_table_that_are_none_of_it_are_left_out(below: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("ds,y\n" + "".join(f"2024-01-{n:02d},{n}\n" for n in range(1, 20)) + below + "\n", encoding="utf-8")
    examined = examine([str(path)], ReaderSettings())
    assert [found.code for found in examined.findings if found.severity != "info"] == ["footer", "short-series"]
    assert examined.rows == 19


@pytest.mark.parametrize("past", [(), ("promo",)])
def test_the_schema_of_a_wide_file_can_do_without_covariates(past: tuple[str, ...], tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{n:02d},{n},{n % 5},{n % 3}\n" for n in range(1, 31))
    path = tmp_path / "data.csv"
    path.write_text(f"ds,a,b,promo\n{rows}", encoding="utf-8")
    schema = read([str(path)], ReaderSettings(wide=True, target=("a", "b"), past=past)).panel.schema
    without = schema.without_past()
    assert schema.ledger is not None
    assert without.ledger is not None
    assert schema.ledger.columns == ("y", *past)
    assert without.past == ()
    assert len(without.ledger.columns) == len(without.ledger.sizes) == 1
