"""A night with a state reads the tail of a file that grew, and says what it would have said of the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import watching

from lstmcast.anomaly.state import load_state
from lstmcast.cli.app import run
from lstmcast.data.reader import Reading, read

FIGURES = ["y", "y_hat", "lo", "hi", "p_value", "score", "is_anomaly", "event_id", "status"]


@pytest.fixture
def read_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each reading had, where tails of 100 rows will do."""
    rows: list[int] = []

    def counted(*args: Any, **named: Any) -> Reading:
        reading = read(*args, **named)
        rows.append(reading.rows)
        return reading

    for room in ("continuing", "tail"):
        monkeypatch.setattr(f"lstmcast.ops.{room}.read", counted)
    monkeypatch.setattr("lstmcast.recipes.detect.TAIL_ROWS", 100)
    return rows


def readings(rows: int, *, series: int = 1) -> pd.DataFrame:
    parts = []
    for n in range(series):
        rng = np.random.default_rng(n)
        y = 20 + 5 * np.sin(2 * np.pi * np.arange(rows) / 24) + rng.normal(0, 0.5, rows)
        y[[450, 470]] += [30, 35]
        times = pd.date_range("2026-01-01", periods=rows, freq="h")
        frame = pd.DataFrame({"ds": times, "y": y.round(4)})
        parts.append(frame.assign(unique_id=f"s{n}") if series > 1 else frame)
    return pd.concat(parts).sort_values("ds", kind="stable")


def night(folder: Path, data: pd.DataFrame, *options: str, name: str = "d.csv") -> pd.DataFrame:
    folder.mkdir(exist_ok=True)
    data.to_csv(folder / name, index=False)
    assert run(watching(folder, folder / name, *options)) == 0
    return pd.read_csv(folder / "rows.csv")


@pytest.mark.parametrize("series", [1, 3])
def test_the_tail_says_what_the_whole_would_have_said(tmp_path: Path, read_rows: list[int], series: int) -> None:
    data = readings(620, series=series)
    alone = [night(tmp_path, data[: stop * series], "--new-only") for stop in (400, 424, 460, 461, 620)]
    assert read_rows[0] == 400 * series
    assert read_rows[1:] == [124 * series, 160 * series, 161 * series, 320 * series]
    told = {(tmp_path / "events.csv").read_bytes()}
    whole = night(tmp_path / "whole", data)
    keys = [name for name in ("unique_id", "ds") if name in whole]
    parts = pd.concat(alone).sort_values(keys).reset_index(drop=True)
    pd.testing.assert_frame_equal(parts[FIGURES], whole.sort_values(keys).reset_index(drop=True)[FIGURES])
    again = tmp_path / "again"
    for stop in (400, 424, 460, 461, 620):
        state = load_state(again / "state")
        if state is not None:  # as if every night had read everything
            forget_the_place(again / "state")
        night(again, data[: stop * series], "--new-only")
    assert {(again / "events.csv").read_bytes()} == told
    assert read_rows[-1] == 620 * series


def forget_the_place(state: Path) -> None:
    import json

    facts = json.loads((state / "state.json").read_text())
    facts["noted"] = None
    (state / "state.json").write_text(json.dumps(facts))


def test_an_unchanged_file_changes_nothing_though_only_its_tail_is_read(tmp_path: Path, read_rows: list[int]) -> None:
    data = readings(500)
    night(tmp_path, data[:480], "--new-only")
    night(tmp_path, data, "--new-only")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert run([*watching(tmp_path, tmp_path / "d.csv"), "--new-only"]) == 0
    assert {file: file.read_bytes() for file in before} == before
    assert read_rows == [480, 120, 120]


def test_a_file_that_did_not_only_grow_is_read_whole(
    tmp_path: Path, read_rows: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    data = readings(560).reset_index(drop=True)
    night(tmp_path, data[:480], "--new-only")
    corrected = data.copy()
    corrected.loc[475, "y"] = 60.0
    night(tmp_path, corrected[:500], "--new-only")
    assert read_rows == [480, 500]
    assert "1 rows were corrected" in capsys.readouterr().err
    night(tmp_path, corrected[:490], "--new-only")
    assert read_rows[-1] == 490
    assert "the file was truncated" in capsys.readouterr().err
    night(tmp_path, corrected[500:530], "--new-only")
    assert read_rows[-1] == 30
    late = pd.concat([corrected[500:520], corrected[525:530], corrected[520:525], corrected[530:]])
    night(tmp_path, late, "--new-only")
    assert read_rows[-1] == 60
    whole = night(tmp_path / "whole", corrected)
    last = pd.read_csv(tmp_path / "rows.csv")
    pd.testing.assert_frame_equal(last[FIGURES[:-2]], whole[FIGURES[:-2]][530:].reset_index(drop=True))


def test_rows_appended_out_of_order_are_seen_by_a_whole_reading(
    tmp_path: Path, read_rows: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    data = readings(500).reset_index(drop=True)
    night(tmp_path, data.drop(index=[470, 471])[:478], "--new-only")
    night(tmp_path, pd.concat([data.drop(index=[470, 471])[:478], data.loc[480:490], data.loc[470:471]]), "--new-only")
    assert read_rows[-1] == 491
    assert "2 rows came late" in capsys.readouterr().err


def test_without_new_only_every_row_is_told_and_so_every_row_is_read(tmp_path: Path, read_rows: list[int]) -> None:
    data = readings(500)
    night(tmp_path, data[:480], "--new-only")
    assert len(night(tmp_path, data)) == 500
    assert read_rows == [480, 500]
