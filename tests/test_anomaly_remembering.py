"""What a stream remembers is bounded, and parts of a long one are still judged as the whole would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import watching

from lstmcast.anomaly import remembering
from lstmcast.anomaly.lessons import lesson_ends
from lstmcast.anomaly.remembering import (
    MOST_ROWS,
    NOTHING_FORGOTTEN,
    STEP,
    begin_of,
    forget,
    most_rows,
    parts_of,
)
from lstmcast.anomaly.state import load_state
from lstmcast.cli.app import run

FIGURES = ["y", "y_hat", "lo", "hi", "p_value", "score", "is_anomaly", "status"]


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """384 to 512 rows are remembered; 512 rows need no forgetting."""
    monkeypatch.setattr(remembering, "STEP", 128)
    monkeypatch.setattr(remembering, "MOST_ROWS", 512)


def readings(rows: int, *, series: tuple[str, ...] = ("a",), second: bool = False) -> pd.DataFrame:
    parts = []
    for n, name in enumerate(series):
        rng = np.random.default_rng(n)
        y = 20 + 5 * np.sin(2 * np.pi * np.arange(rows) / 24) + rng.normal(0, 0.5, rows)
        for row, far in ((300, 12), (451, 30), (770, 20), (1001, 25)):
            y[row : row + 1] += far
        y[1030:] += 8
        frame = pd.DataFrame({"unique_id": name, "ds": pd.date_range("2026-01-01", periods=rows, freq="h")})
        frame["y"] = y.round(4)
        if second:
            frame["x"] = (0.5 * y + rng.normal(0, 0.5, rows)).round(4)
            frame.loc[rng.choice(rows, rows // 5, replace=False), "x"] = np.nan
        parts.append(frame.drop(index=np.arange(600, 640)) if n == 0 else frame)
    return pd.concat(parts).sort_values("ds", kind="stable")


def detect(folder: Path, data: pd.DataFrame, *options: str, name: str = "d.csv") -> pd.DataFrame:
    folder.mkdir(exist_ok=True)
    data.to_csv(folder / name, index=False)
    assert run(watching(folder, folder / name, *options)) == 0
    return pd.read_csv(folder / "rows.csv").set_index(["unique_id", "channel", "ds"])


def test_nothing_is_forgotten_below_the_bound_and_then_a_step_at_a_time() -> None:
    rows = np.array([0, MOST_ROWS - 1, MOST_ROWS, MOST_ROWS + STEP - 1, MOST_ROWS + STEP, 1_000_000])
    begin = begin_of(rows, MOST_ROWS)
    assert begin.tolist() == [0, 0, STEP, STEP, 2 * STEP, 983_040]
    assert (rows - begin < MOST_ROWS).all()
    assert begin_of(rows, None).tolist() == [0] * 6


def test_a_long_warm_up_lengthens_the_memory() -> None:
    assert most_rows(750) == MOST_ROWS
    assert most_rows(20_000) >= 2 * 20_000 + STEP
    assert most_rows(20_000) % STEP == 0


def test_every_row_counts_in_one_part_and_each_part_has_its_past() -> None:
    time = np.arange(60_000) * 10
    parts = parts_of([time, time[::3]], NOTHING_FORGOTTEN, MOST_ROWS)
    counted = [np.arange(part.before + part.first, part.stretch[1] // 10 + 1) for part in parts]
    assert np.concatenate(counted).tolist() == list(range(60_000))
    assert all(part.stretch[0] == 10 * part.before for part in parts)
    assert all(part.first >= MOST_ROWS - STEP for part in parts[1:])
    assert len(parts_of([time], NOTHING_FORGOTTEN, None)) == 1


@pytest.mark.parametrize("rows", [100, MOST_ROWS, MOST_ROWS + 3 * STEP + 17])
def test_what_is_left_is_enough_for_the_rows_to_come(rows: int) -> None:
    time = np.arange(rows)
    ((cut, known),) = forget([time], [NOTHING_FORGOTTEN], MOST_ROWS, day=24)
    assert cut == known.own == known.common == begin_of(np.array(rows - 65), MOST_ROWS).clip(0)
    assert rows - cut <= MOST_ROWS + 65
    later = parts_of([np.arange(cut, rows + STEP)], known, MOST_ROWS)
    whole = parts_of([np.arange(rows + STEP)], NOTHING_FORGOTTEN, MOST_ROWS)
    assert later == whole[-len(later) :]


def test_lessons_among_forgotten_rows_have_been() -> None:
    time = np.arange(3000)
    whole = lesson_ends([time], 600)
    later = lesson_ends([time[1000:]], 600, forgotten=[1000])
    assert later[2:] == whole[2:]
    assert later[:2] == [np.iinfo(np.int64).min] * 2


@pytest.mark.parametrize("second", [False, True])
def test_deliveries_that_go_on_for_long_are_judged_as_one_and_the_state_stays_small(
    short_memory: None, tmp_path: Path, second: bool
) -> None:
    data = readings(1300, series=("a", "b"), second=second)
    targets = ["--target", "y", "--target", "x"] if second else []
    times = data["ds"].unique()
    alone, sizes = [], []
    for begin, stop in ((0, 200), (200, 641), (641, 700), (700, 1002), (1002, 1003), (1003, 1300)):
        chosen = data[data["ds"].isin(times[begin:stop])]
        alone.append(detect(tmp_path / "parts", chosen, "--new-only", *targets, name=f"{begin}.csv"))
        kept = load_state(tmp_path / "parts" / "state")
        assert kept is not None
        sizes.append(max(len(channel.time) for channel in kept.channels.values()))
    whole = detect(tmp_path / "whole", data, *targets).sort_index()
    pd.testing.assert_frame_equal(pd.concat(alone).sort_index()[FIGURES], whole[FIGURES], check_exact=True)
    assert max(sizes) <= 512 + 65
    assert sorted(set(whole["is_anomaly"])) == [0, 1]
    state = (tmp_path / "parts" / "state" / "state.safetensors").read_bytes()
    assert state == (tmp_path / "whole" / "state" / "state.safetensors").read_bytes()


def test_rows_that_were_judged_before_what_is_remembered_are_settled(short_memory: None, tmp_path: Path) -> None:
    data = readings(1300)
    detect(tmp_path, data[:1200])
    again = detect(tmp_path, data)
    whole = detect(tmp_path / "whole", data)
    settled = again["status"] == "settled"
    assert 0 < settled.sum() < len(data)
    assert settled.to_numpy()[: settled.sum()].all()
    assert again["score"][settled].isna().all()
    pd.testing.assert_frame_equal(again[FIGURES][~settled], whole[FIGURES][~settled], check_exact=True)


def test_rows_of_the_last_day_may_still_be_corrected_and_older_ones_stay(
    short_memory: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = readings(1250).reset_index(drop=True)
    detect(tmp_path / "parts", data)
    data.loc[[1200, 1205], "y"] = [60.0, 70.0]
    whole = detect(tmp_path / "whole", data)
    data.loc[20, "y"] = 99.0
    corrected = detect(tmp_path / "parts", data)
    assert "2 rows were corrected" in capsys.readouterr().err
    pd.testing.assert_frame_equal(corrected[FIGURES][-40:], whole[FIGURES][-40:], check_exact=True)


def test_a_state_that_remembers_every_row_goes_on_as_a_bounded_one(short_memory: None, tmp_path: Path) -> None:
    import json

    data = readings(900)
    detect(tmp_path, data[:500])
    place = tmp_path / "state" / "state.json"
    facts = json.loads(place.read_text())
    facts["format_version"] = 1
    del facts["plan"]["most"]
    for channel in facts["channels"]:
        del channel["forgotten"]
    place.write_text(json.dumps(facts))
    new = detect(tmp_path, data[500:], "--new-only")
    whole = detect(tmp_path / "whole", data)
    pd.testing.assert_frame_equal(new[FIGURES], whole[FIGURES][500:], check_exact=True)
    kept = load_state(tmp_path / "state")
    assert kept is not None
    assert kept.channels["a"].forgotten.own > 0
