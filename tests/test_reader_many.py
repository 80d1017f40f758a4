"""Many files in one run, and what is compared with the data a model was trained on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lstmcast.cli.app import run
from lstmcast.config import ReaderSettings
from lstmcast.data.ahead import ahead, carried_on, stale, to_fill, without
from lstmcast.data.reader import Examination, examine, read
from lstmcast.errors import DataError, UsageError

MESSY = Path(__file__).parent / "golden" / "messy"


def codes(examined: Examination) -> list[str]:
    return [finding.code for finding in examined.findings]


def tomorrow(name: str, tmp_path: Path, *, settings: ReaderSettings, change: dict[str, str]) -> Examination:
    """The golden file ``name`` with texts exchanged, read as a model trained on the unchanged one would read it."""
    text = (MESSY / f"{name}.csv").read_text(encoding="utf-8")
    schema = read([str(MESSY / f"{name}.csv")], settings).panel.schema
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / f"{name}.csv"
    path.write_text(text, encoding="utf-8")
    return examine([str(path)], ReaderSettings(), schema=type(schema).model_validate_json(schema.model_dump_json()))


def test_many_files_are_one_batch_with_a_series_and_lines_of_their_own(tmp_path: Path) -> None:
    for k in range(30):
        rows = "".join(f"{n},{n * k}\n" for n in range(1, 12))
        (tmp_path / f"s{k:02d}.csv").write_text(f"ds,y\n{rows}", encoding="utf-8")
    reading = read([str(tmp_path / "*.csv")], ReaderSettings())
    assert reading.panel.ids == tuple(f"s{k:02d}" for k in range(30))
    assert np.diff(reading.panel.offsets).tolist() == [11] * 30
    (tmp_path / "s17.csv").write_text(
        "ds,y\n" + "".join(f"{n},{n if n != 5 else 'x'}\n" for n in range(1, 12)), "utf-8"
    )
    (finding,) = [f for f in examine([str(tmp_path / "*.csv")], ReaderSettings()).findings if f.severity == "error"]
    assert finding.example_line == 6
    (tmp_path / "s17.csv").write_text("ds,y\n1,2\n2,3,4\n3,4\n", "utf-8")
    with pytest.raises(DataError, match=r"s17\.csv line 3 has 3 cells"):
        read([str(tmp_path / "*.csv")], ReaderSettings())


def test_past_values_that_changed_since_training_are_counted(tmp_path: Path) -> None:
    settings = ReaderSettings()
    lines = (MESSY / "39-history.csv").read_text(encoding="utf-8").splitlines()
    changed = {lines[9]: lines[9] + "1", lines[19]: lines[19].split(",")[0] + ",99"}
    (finding,) = [
        f for f in tomorrow("39-history", tmp_path, settings=settings, change=changed).findings if f.code == "restated"
    ]
    assert (finding.count, finding.first_ds, finding.last_ds) == (2, "2024-01-09", "2024-01-19")
    grown = {lines[-1]: f"{lines[-1]}\n2024-03-01,21\n2024-03-02,22"}
    assert "restated" not in codes(tomorrow("39-history", tmp_path, settings=settings, change=grown))
    shorter = {"\n".join(lines[1:20]) + "\n": ""}
    assert "restated" not in codes(tomorrow("39-history", tmp_path, settings=settings, change=shorter))


def test_history_longer_than_the_ledger_is_compared_in_stretches(tmp_path: Path) -> None:
    rows = [f"{n},{math.sin(n):.4f}" for n in range(10_000)]
    path = tmp_path / "long.csv"
    path.write_text("\n".join(["ds,y", *rows]) + "\n", encoding="utf-8")
    schema = read([str(path)], ReaderSettings()).panel.schema
    assert schema.ledger is not None
    assert len(schema.model_dump_json()) < 200_000
    rows[5000] = "5000,7"
    path.write_text("\n".join(["ds,y", *rows]) + "\n", encoding="utf-8")
    (finding,) = examine([str(path)], ReaderSettings(), schema=schema).findings
    assert (finding.code, finding.count) == ("restated", 1)
    assert f"stretches of {schema.ledger.size} past values" in finding.message


def test_a_column_that_is_gone_tomorrow_is_named_with_the_nearest_name(tmp_path: Path) -> None:
    settings = ReaderSettings(target=("y",))
    examined = tomorrow("38-two-covariates", tmp_path, settings=settings, change={"temp,wind": "temp_c,wind"})
    assert examined.reading is None
    assert examined.findings[-1].code == "no-such-column"
    assert "temp_c" in str(examined.findings[-1].fix)


def test_a_covariate_in_another_unit_is_told_about(tmp_path: Path) -> None:
    text = (MESSY / "38-two-covariates.csv").read_text(encoding="utf-8").splitlines()
    change = {line: ",".join([*line.split(",")[:3], str(float(line.split(",")[3]) * 1000)]) for line in text[1:]}
    examined = tomorrow("38-two-covariates", tmp_path, settings=ReaderSettings(target=("y",)), change=change)
    (finding,) = [f for f in examined.findings if f.code == "scale-shift"]
    assert (finding.column, finding.severity) == ("wind", "warning")


def test_a_category_training_never_saw_is_missing_and_counted(tmp_path: Path) -> None:
    examined = tomorrow("29-categories", tmp_path, settings=ReaderSettings(past=("weather",)), change={"snow": "hail"})
    (finding,) = [f for f in examined.findings if f.code == "unknown-category"]
    assert (finding.count, finding.column) == (20, "weather")
    assert examined.panel is not None
    assert examined.panel.schema.categories == {"weather": ("rain", "snow", "sun")}
    known = examined.panel.covariates[:, 0]
    assert (np.isnan(known).sum(), set(known[~np.isnan(known)])) == (20, {0.0, 2.0})


def test_per_cent_that_are_none_tomorrow_are_refused(tmp_path: Path) -> None:
    examined = tomorrow("05-percent", tmp_path, settings=ReaderSettings(), change={" %": ""})
    assert (examined.reading, examined.findings[0].code) == (None, "other-units")


def test_units_can_be_refused() -> None:
    with pytest.raises(DataError, match="is no number"):
        read([str(MESSY / "05-currency.csv")], ReaderSettings(units="refuse"))


def test_stale_series_are_marked_and_can_be_left_out() -> None:
    panel = read([str(MESSY / "34-dead-product.csv")], ReaderSettings(stale_after=14)).panel
    assert stale(panel).tolist() == [False, True]
    assert stale(panel, 40).tolist() == [False, False]
    assert without(panel, stale(panel)).ids == ("A",)


def test_missing_future_rows_are_listed_and_can_be_carried_on() -> None:
    panel = read([str(MESSY / "37-future-with-holes.csv")], ReaderSettings(future=("temp",))).panel
    rows = to_fill(panel, ahead(panel, 16))
    assert rows[panel.schema.time_col].tolist() == ["2024-03-06", "2024-03-15", "2024-03-16"]
    longer, filled = carried_on(panel, 16)
    assert filled == 3
    assert to_fill(longer, ahead(longer, 16)).empty
    assert longer.covariates[65, 0] == longer.covariates[64, 0]
    assert (longer.values[:60] == panel.values[:60]).all()


def test_predict_writes_the_missing_future_rows_or_carries_the_last_ones_on(tmp_path: Path) -> None:
    data, model, out = str(MESSY / "37-future-with-holes.csv"), str(tmp_path / "m"), str(tmp_path / "f.csv")
    quick = ["--max-steps", "2", "--hidden", "2", "-q"]
    assert run(["train", data, "-m", model, "--future", "temp", *quick]) == 0
    assert run(["predict", "-m", model, "-o", out, "-q"]) == 3
    listed = tmp_path / "missing_future.csv"
    assert listed.read_text(encoding="utf-8") == "ds,temp\n2024-03-06,\n"
    listed.write_text("ds,temp\n2024-03-06,7.5\n", encoding="utf-8")
    assert run(["predict", "-m", model, "-o", out, "-q", "--future", str(listed)]) == 0
    assert run(["predict", "-m", model, "-o", out, "-q", "--future-fill", "ffill"]) == 0
    assert len(Path(out).read_text(encoding="utf-8").splitlines()) == 15


def test_since_takes_an_iso_date_whatever_the_style_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("ds,y\n" + "".join(f"{n:02d}.03.2024,{n}\n" for n in range(1, 29)), encoding="utf-8")
    for text in ("2024-03-11", "11.03.2024"):
        reading = read([str(path)], ReaderSettings(since=text))
        assert reading.panel.values[:, 0].tolist() == list(range(11, 29))
        assert (reading.panel_row[:10] == -1).all()
    with pytest.raises(UsageError, match="is no time of this file"):
        read([str(path)], ReaderSettings(since="day 7"))
    with pytest.raises(DataError, match="no row is left"):
        read([str(path)], ReaderSettings(since="2030-01-01"))


@pytest.mark.parametrize(("agg", "want"), [("mean", 11.5), ("sum", 276.0), ("first", 0.0), ("last", 23.0)])
def test_rows_are_gathered_into_days_and_a_day_that_is_not_over_is_left_out(
    tmp_path: Path, agg: str, want: float
) -> None:
    path = tmp_path / "h.csv"
    rows = [f"2024-03-{1 + n // 24:02d} {n % 24:02d}:00,{n % 24}" for n in range(24 * 9 + 5)]
    path.write_text("\n".join(["ds,y", *rows]) + "\n", encoding="utf-8")
    reading = read([str(path)], ReaderSettings.model_validate({"resample": "D", "agg": agg}))
    assert reading.panel.values[:, 0].tolist() == [want] * 9
    assert reading.panel_row.tolist() == [*np.repeat(np.arange(9), 24).tolist(), -1, -1, -1, -1, -1]
    kept = read([str(path)], ReaderSettings.model_validate({"resample": "D", "agg": agg, "drop_incomplete": False}))
    assert len(kept.panel.values) == 10
