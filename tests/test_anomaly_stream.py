"""The law of streams: what comes in parts is judged as the whole would have been."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import watching

from lstmcast.cli.app import run

COLUMNS = ["y_hat", "lo", "hi", "p_value", "score", "is_anomaly", "event_id", "kind", "status"]


def readings(rows: int = 620, series: Sequence[str] = ("a",)) -> pd.DataFrame:
    parts = []
    for n, name in enumerate(series):
        rng = np.random.default_rng(n)
        y = 20 + 5 * np.sin(2 * np.pi * np.arange(rows) / 24) + rng.normal(0, 0.5, rows)
        y[300:301] += 12
        y[450:451] += 30
        times = pd.date_range("2026-01-01", periods=rows, freq="h")
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "y": y.round(4)}))
    return pd.concat(parts).sort_values("ds", kind="stable")


def detect(folder: Path, data: pd.DataFrame, *options: str, name: str = "d.csv") -> int:
    folder.mkdir(exist_ok=True)
    data.to_csv(folder / name, index=False)
    return run(watching(folder, folder / name, *options))


def rows_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "rows.csv").set_index(["unique_id", "ds"]).sort_index()


def test_deliveries_in_parts_are_judged_row_by_row_as_one(tmp_path: Path) -> None:
    data = readings(series=("a", "b"))
    times = data["ds"].unique()
    for stop in (100, 151, 310, 520, 620):
        assert detect(tmp_path / "parts", data[data["ds"] < times[0] + pd.Timedelta(hours=stop)]) == 0
    assert detect(tmp_path / "whole", data) == 0
    parts, whole = rows_of(tmp_path / "parts"), rows_of(tmp_path / "whole")
    pd.testing.assert_frame_equal(parts[COLUMNS], whole[COLUMNS], check_exact=True)
    assert (tmp_path / "parts/events.csv").read_bytes() == (tmp_path / "whole/events.csv").read_bytes()
    assert set(whole["is_anomaly"]) == {0, 1}


def test_parts_without_the_rows_before_them_continue_the_state(tmp_path: Path) -> None:
    data = readings()
    alone = []
    for first, stop in ((0, 200), (200, 420), (420, 620)):
        assert detect(tmp_path / "parts", data[first:stop], "--new-only", name=f"{first}.csv") == 0
        alone.append(pd.read_csv(tmp_path / "parts/rows.csv").set_index(["unique_id", "ds"]))
    assert detect(tmp_path / "whole", data) == 0
    parts, whole = pd.concat(alone).sort_index(), rows_of(tmp_path / "whole")
    figures = ["y_hat", "lo", "hi", "p_value", "score", "is_anomaly", "status"]
    pd.testing.assert_frame_equal(parts[figures], whole[figures], check_exact=True)


def test_unchanged_data_change_nothing_byte_for_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, data = tmp_path / "p", readings(320)
    assert detect(place, data, "--fail-on-anomaly") == 10
    files = [file for file in sorted(place.rglob("*")) if file.is_file()]
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files if file.name != "d.csv"}
    capsys.readouterr()
    assert detect(place, data, "--fail-on-anomaly", "--json") == 0
    assert json.loads(capsys.readouterr().out)["noop"] is True
    assert before == {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in before}


def test_only_new_events_fail(tmp_path: Path) -> None:
    data = readings(500)
    assert detect(tmp_path / "p", data[:440], "--fail-on-anomaly") == 10
    assert detect(tmp_path / "p", data[:448], "--fail-on-anomaly") == 0
    assert detect(tmp_path / "p", data, "--fail-on-anomaly", "--new-only") == 10
    events = pd.read_csv(tmp_path / "p/events.csv")
    assert events["start"].tolist() == ["2026-01-19 18:00:00"]


def test_a_corrected_row_within_the_last_day_is_judged_again_and_an_old_one_is_only_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = readings(330).reset_index(drop=True)
    assert detect(tmp_path / "p", data) == 0
    late = data.copy()
    late.loc[[60, 325], "y"] = [0.0, 80.0]
    assert detect(tmp_path / "p", late) == 0
    assert "2 rows were corrected; 1 are too old to be judged again" in capsys.readouterr().err
    rows = pd.read_csv(tmp_path / "p/rows.csv")
    assert rows["y"].iloc[325] == 80
    assert rows["is_anomaly"].iloc[325] == 1
    assert rows["y"].iloc[60] == pytest.approx(data["y"].iloc[60])


def test_a_truncated_file_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = readings(300)
    assert detect(tmp_path / "p", data) == 0
    assert detect(tmp_path / "p", data[:280]) == 0
    assert "the file was truncated" in capsys.readouterr().err


def test_a_damaged_state_is_named_with_its_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = readings(200)
    assert detect(tmp_path / "p", data) == 0
    (tmp_path / "p/state/state.safetensors").write_bytes(b"x")
    assert detect(tmp_path / "p", data, "--exit-codes", "nagios") == 3
    assert "LSTMCAST UNKNOWN" in capsys.readouterr().out
    assert detect(tmp_path / "p", data) == 4
    assert "begin anew" in capsys.readouterr().err


def stdin_of(data: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data.to_csv(index=False).encode())))


def piped(folder: Path, data: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    stdin_of(data, monkeypatch)
    assert run(watching(folder, "-", "--new-only")) == 0
    return pd.read_csv(folder / "rows.csv").set_index(["unique_id", "ds"])


def test_rows_through_standard_input_continue_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = readings(470)
    (tmp_path / "pipe").mkdir()
    cuts = ((0, 200), (200, 449), (449, 470))
    parts = pd.concat([piped(tmp_path / "pipe", data[a:b], monkeypatch) for a, b in cuts]).sort_index()
    assert detect(tmp_path / "whole", data) == 0
    figures = ["y_hat", "lo", "hi", "p_value", "score", "is_anomaly", "status"]
    pd.testing.assert_frame_equal(parts[figures], rows_of(tmp_path / "whole")[figures], check_exact=True)


def test_rows_that_come_late_within_the_last_day_are_judged_as_if_they_had_come_in_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = readings(330).reset_index(drop=True)
    assert detect(tmp_path / "late", data.drop(index=[60, 318, 319])[:326]) == 0
    capsys.readouterr()
    assert detect(tmp_path / "late", data.drop(index=[60])) == 0
    assert "2 rows came late" in capsys.readouterr().err
    assert detect(tmp_path / "in_time", data.drop(index=[60])) == 0
    pd.testing.assert_frame_equal(
        rows_of(tmp_path / "late")[COLUMNS], rows_of(tmp_path / "in_time")[COLUMNS], check_exact=True
    )
    assert detect(tmp_path / "late", data) == 0
    assert "1 rows came late; 1 are too old to be judged again" in capsys.readouterr().err


def test_a_rotated_file_continues_the_series(tmp_path: Path) -> None:
    data = readings(330)
    assert detect(tmp_path / "p", data[:300]) == 0
    assert detect(tmp_path / "p", data[300:]) == 0
    assert detect(tmp_path / "whole", data) == 0
    figures = ["y_hat", "lo", "hi", "p_value", "score", "is_anomaly", "status"]
    pd.testing.assert_frame_equal(
        rows_of(tmp_path / "p")[figures], rows_of(tmp_path / "whole")[figures][300:], check_exact=True
    )


def test_a_crash_leaves_the_state_and_never_looks_like_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = readings(460)
    assert detect(tmp_path / "p", data[:300]) == 0
    before = {file: file.read_bytes() for file in sorted((tmp_path / "p/state").iterdir())}

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("lstmcast.recipes.detect.save_state", broken)
        code = detect(tmp_path / "p", data, "--fail-on-anomaly")
    assert code not in {0, 10, 11}
    assert {file: file.read_bytes() for file in sorted((tmp_path / "p/state").iterdir())} == before
    capsys.readouterr()
    assert detect(tmp_path / "p", data, "--fail-on-anomaly", "--new-only") == 10
    assert pd.read_csv(tmp_path / "p/rows.csv")["ds"].iloc[0] == "2026-01-13 12:00:00"
