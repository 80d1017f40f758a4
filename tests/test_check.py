"""The verb ``check``: what it reports, how it ends, and the repaired copy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcast.config import ReaderSettings
from lstmcast.data.reader import read
from lstmcast.errors import UsageError
from lstmcast.recipes.check import check

GOOD = "unique_id,ds,y\n" + "".join(f"{k},{n},{n * 1.5}\n" for k in "AB" for n in range(1, 40))
MESSY = (
    "Datum;Wert;Laden\n03.02.2024;1.234,5;A\n01.02.2024;12,25;A\n02.02.2024;-;A\n01.02.2024;12,25;A\n"
    "01.02.2024;7,5;007\n02.02.2024;8,5;007\n03.02.2024;8,75;007\n"
)


def write(folder: Path, text: str, *, name: str = "data.csv", encoding: str = "utf-8") -> str:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return str(path)


def test_good_data_end_with_code_0_and_a_line_per_series(tmp_path: Path) -> None:
    outcome = check([write(tmp_path, GOOD)], settings=ReaderSettings())
    assert outcome.code == 0
    assert outcome.table is None
    assert [line.partition("  ")[0] for line in outcome.lines] == [
        "A: 39 rows, 1 to 39",
        "B: 39 rows, 1 to 39",
        "nothing to remark",
    ]
    sketch = outcome.lines[0].partition("  ")[2]
    assert (sketch[0], sketch[-1], len(sketch)) == ("▁", "█", 39)
    assert list(sketch) == sorted(sketch)
    assert {key: outcome.facts[key] for key in ("ok", "findings", "rows", "series", "segments", "frequency")} == {
        "ok": True,
        "findings": [],
        "rows": 78,
        "series": 2,
        "segments": 2,
        "frequency": "1",
    }


def test_missing_rows_and_pieces_are_counted_per_series(tmp_path: Path) -> None:
    text = "ds,y\n" + "".join(f"{n},{n}\n" for n in (*range(10), *range(12, 20), *range(50, 60)))
    assert check([write(tmp_path, text)], settings=ReaderSettings()).lines[0] == (
        "data: 30 rows, 0 to 59, 2 missing, in 2 pieces  ▁▁▁▂▂▂▂·▂▃▃▃▃····················▇▇▇▇███"
    )


def test_many_series_share_a_line(tmp_path: Path) -> None:
    text = "unique_id,ds,y\n" + "".join(f"{k},{n},{n % 5}\n" for k in range(9) for n in range(30 + k))
    assert check([write(tmp_path, text)], settings=ReaderSettings()).lines[0] == "9 series of 30 to 38 rows, 1"


def test_errors_come_first_and_end_with_code_1(tmp_path: Path) -> None:
    text = "ds,y\n" + "".join(f"{n},{n}\n" for n in (3, 2, 1, 4, 5)) + "6,closed\n"
    outcome = check([write(tmp_path, text)], settings=ReaderSettings())
    assert outcome.code == 1
    assert outcome.table is not None
    severities = [row[0] for row in outcome.table.rows]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert outcome.facts["findings"][0]["code"] == "unknown-token"


def test_a_file_that_is_not_there_is_an_error_in_the_report(tmp_path: Path) -> None:
    outcome = check([str(tmp_path / "nowhere.csv")], settings=ReaderSettings())
    assert outcome.code == 1
    assert [finding["code"] for finding in outcome.facts["findings"]] == ["no-such-file"]


def test_warnings_count_only_where_it_is_strict(tmp_path: Path) -> None:
    path = write(tmp_path, "ds,y\n1,1\n2,2\n3,4\n")
    assert check([path], settings=ReaderSettings()).code == 0
    assert check([path], settings=ReaderSettings(), strict=True).code == 1


def test_the_report_holds_the_facts(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    outcome = check([write(tmp_path, MESSY)], settings=ReaderSettings(), report=report)
    assert json.loads(report.read_text(encoding="utf-8")) == json.loads(json.dumps(outcome.facts))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_repaired_copy_is_plain_and_holds_the_same_data(tmp_path: Path, encoding: str) -> None:
    fixed = tmp_path / "fixed.csv"
    path = write(tmp_path, MESSY, encoding=encoding)
    outcome = check([path], settings=ReaderSettings(), fix=fixed)
    assert fixed.read_text(encoding="utf-8") == (
        "Datum,Wert,Laden\n2024-02-01,12.25,A\n2024-02-02,,A\n2024-02-03,1234.5,A\n"
        "2024-02-01,7.5,007\n2024-02-02,8.5,007\n2024-02-03,8.75,007\n"
    )
    assert "1 repeated row left out" in outcome.facts["changes"]
    before, after = read([path], ReaderSettings()).panel, read([str(fixed)], ReaderSettings()).panel
    assert before is not None
    assert after is not None
    assert before.ids == after.ids
    assert np.array_equal(before.values, after.values)
    assert before.start.tolist() == after.start.tolist()
    again = check([str(fixed)], settings=ReaderSettings(), fix=tmp_path / "twice.csv")
    assert again.facts["changes"][0] == "nothing needed repair"


def test_values_that_contradict_each_other_are_left_to_the_person(tmp_path: Path) -> None:
    fixed = tmp_path / "fixed.csv"
    outcome = check([write(tmp_path, "ds,y\n2,2\n1,1\n2,5\n3,3\n")], settings=ReaderSettings(), fix=fixed)
    assert outcome.code == 1
    assert fixed.read_text(encoding="utf-8") == "ds,y\n1,1\n2,2\n2,5\n3,3\n"


def test_nothing_is_written_where_the_data_cannot_be_read(tmp_path: Path) -> None:
    outcome = check([write(tmp_path, "ds,y\n1,2,3\n")], settings=ReaderSettings(), fix=tmp_path / "fixed.csv")
    assert outcome.code == 1
    assert not (tmp_path / "fixed.csv").exists()
    assert "was not written" in outcome.facts["changes"][0]


def test_the_data_are_never_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(UsageError, match="would overwrite the data"):
        check([path], settings=ReaderSettings(), fix=Path(path))
    with pytest.raises(UsageError, match="standard input can be read only once"):
        check(["-"], settings=ReaderSettings(), fix=tmp_path / "fixed.csv")


def test_checking_needs_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from lstmcast.config import ReaderSettings; from lstmcast.recipes.check import check;"
        f"check([{write(tmp_path, GOOD)!r}], settings=ReaderSettings()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_what_stands_around_the_table_is_left_out_of_the_repaired_copy(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{n:02d};{n},5 %\n" for n in range(1, 25))
    path = write(tmp_path, f"Report of plant 7\n\nds;rate\n# checked\n{rows}Total;300 %\n")
    outcome = check([path], settings=ReaderSettings(), fix=tmp_path / "fixed.csv")
    assert outcome.code == 0
    fixed = (tmp_path / "fixed.csv").read_text(encoding="utf-8").splitlines()
    assert (fixed[0], fixed[1], fixed[-1], len(fixed)) == ("ds,rate", "2024-01-01,0.015", "2024-01-24,0.245", 25)
    told = " ".join(outcome.facts["changes"])
    for what in ("lines above the header", "1 comment line", "as a share of 1", "Total"):
        assert what in told
    assert check([str(tmp_path / "fixed.csv")], settings=ReaderSettings()).facts["findings"] == []


def test_findings_name_the_line_of_their_first_example(tmp_path: Path) -> None:
    outcome = check([write(tmp_path, "ds,y\n1,1\n2,x\n3,3\n")], settings=ReaderSettings())
    assert outcome.table is not None
    assert outcome.table.columns == ("severity", "line", "finding", "what to do")
    assert outcome.table.rows[0][1] == 3


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_number_named_as_missing_is_empty_in_the_repaired_copy(ending: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"ds": range(60), "y": [-999.0 if n in (7, 40) else n / 2 for n in range(60)]})
    path, copy = tmp_path / f"data.{ending}", tmp_path / "repaired.csv"
    frame.to_parquet(path) if ending == "parquet" else frame.to_csv(path, index=False)
    outcome = check([str(path)], settings=ReaderSettings(na_values=("-999",)), fix=copy)
    assert "2 numbers of y left empty (--na-values)" in outcome.lines
    assert [found["message"] for found in outcome.facts["findings"]] == ["2 values are missing (2 '-999')"]
    again = check([str(copy)], settings=ReaderSettings())
    assert [found["message"] for found in again.facts["findings"]] == ["2 values are missing (2 empty)"]


def test_spellings_of_missing_values_that_the_repaired_copy_leaves_out_are_counted(tmp_path: Path) -> None:
    cells = {7: "-999", 9: "-999.0", 12: "NA", 13: "", 20: " NA"}
    path = write(tmp_path, "ds,y\n" + "".join(f"{n},{cells.get(n, n / 2)}\n" for n in range(60)))
    outcome = check([path], settings=ReaderSettings(na_values=("-999",)), fix=tmp_path / "repaired.csv")
    assert "3 cells that mean missing left empty (2 'NA', 1 '-999')" in outcome.lines
    assert "1 number of y left empty (--na-values)" in outcome.lines


@pytest.mark.parametrize("name", ["forecast.csv", "a_forecast.csv"])
def test_a_forecast_among_the_data_is_named(name: str, tmp_path: Path) -> None:
    write(tmp_path, "ds,y\n1,1\n2,2\n", name="data.csv")
    made = write(tmp_path, "unique_id,ds,cutoff,step,y_hat\ndata,3,2,1,3.5\n", name=name)
    outcome = check([str(tmp_path / "*.csv")], settings=ReaderSettings())
    (found,) = outcome.facts["findings"]
    assert found["fix"] == f"{made} looks like a forecast of lstmcast: name the data without it, or move it elsewhere"


def test_a_forecast_alone_is_called_what_it_is(tmp_path: Path) -> None:
    rows = "".join(f"A,2024-01-{day:02d},2023-12-31,{day},{day}.5\n" for day in range(1, 30))
    made = write(tmp_path, f"unique_id,ds,cutoff,step,y_hat\n{rows}", name="forecasts.csv")
    outcome = check([made], settings=ReaderSettings())
    (found,) = [found for found in outcome.facts["findings"] if found["code"] == "forecast-as-data"]
    assert found["severity"] == "warning"
    assert found["fix"] == f"lstmcast evaluate '{made}' ACTUAL  # scores it; or name the data instead"
    wanted = check([made], settings=ReaderSettings(target=("y_hat",)))
    assert "forecast-as-data" not in [found["code"] for found in wanted.facts["findings"]]


@pytest.mark.parametrize("wide", [False, True])
def test_rows_of_the_future_among_the_data_are_counted_as_such(wide: bool, tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},{'' if day in (4, *range(25, 30)) else day % 5},{day},1" for day in range(1, 30)]
    path = write(tmp_path, "\n".join(["ds,y,z,promo", *rows]))
    settings = ReaderSettings(future=("promo",), **({"wide": True} if wide else {"target": ("y",)}))
    outcome = check([path], settings=settings)
    messages = [found["message"] for found in outcome.facts["findings"]]
    assert "6 values are missing (6 empty; 5 in rows of the future)" in messages
