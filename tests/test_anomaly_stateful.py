"""The law of streams where a stateful model judges: it reads each row once, and parts are judged as the whole."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lstmcast.anomaly.state import load_state
from lstmcast.cli.app import run
from lstmcast.net.ensemble import Ensemble

TRAINED, ROWS = 240, 330
SURE = ["is_anomaly", "status", "unique_id", "ds"]
FIGURES = ["y_hat", "lo", "hi", "p_value", "score"]


def hourly(series: str = "ab", *, gap: range | None = None, shift: float = 0.0) -> pd.DataFrame:
    """Hourly rows of each series, in order of time; the rows ``gap`` of the last one are missing."""
    parts = []
    for n, name in enumerate(series):
        rng = np.random.default_rng(n)
        y = 20 + 5 * np.sin(2 * np.pi * np.arange(ROWS) / 24) + rng.normal(0, 0.5, ROWS) + shift
        y[300:302] += 15
        times = pd.date_range("2026-01-01", periods=ROWS, freq="h")
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "y": y.round(3)}))
    if gap is not None:
        parts[-1] = parts[-1].drop(index=list(gap))
    return pd.concat(parts).sort_values("ds", kind="stable").reset_index(drop=True)


def hours(data: pd.DataFrame, first: int, stop: int) -> pd.DataFrame:
    """The rows of the hours ``first`` .. ``stop`` - 1."""
    hour = (data["ds"] - data["ds"].min()) // pd.Timedelta(hours=1)
    return data[(hour >= first) & (hour < stop)]


@pytest.fixture(scope="module", params=[{"decoder": "direct", "patch": 4}, {"decoder": "parallel", "patch": 1}])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    hours(hourly(), 0, TRAINED).to_csv(folder / "train.csv", index=False)
    network = ["--decoder", request.param["decoder"], "--patch", str(request.param["patch"]), "--hidden", "6"]
    quick = ["--stateful", "--horizon", "26", "--max-steps", "8", "--max-gap", "6", "--seed", "1", "-q"]
    assert run(["train", str(folder / "train.csv"), "-m", str(folder / "model"), *network, *quick]) == 0
    return folder / "model"


def delivered(folder: Path, model: Path, data: pd.DataFrame, *flags: str) -> pd.DataFrame:
    folder.mkdir(exist_ok=True)
    data.to_csv(folder / "now.csv", index=False, date_format="%Y-%m-%d %H:%M:%S")
    files = ["-o", str(folder / "rows.csv"), "--events", str(folder / "events.csv"), "--state", str(folder / "state")]
    common = ["-m", str(model), "--fit", "never", "--warmup", "20", "-q"]
    assert run(["detect-anomalies", str(folder / "now.csv"), *files, *common, *flags]) == 0
    return pd.read_csv(folder / "rows.csv")


def assert_same(parts: pd.DataFrame, whole: pd.DataFrame) -> None:
    one, two = (frame.sort_values(["unique_id", "ds"]).reset_index(drop=True) for frame in (parts, whole))
    pd.testing.assert_frame_equal(one[SURE], two[SURE])
    pd.testing.assert_frame_equal(one[FIGURES], two[FIGURES], rtol=1e-4, atol=1e-4)


def errors(folder: Path) -> dict[str, Any]:
    """The errors of all distances, by channel."""
    state = load_state(folder / "state")
    assert state is not None
    return {name: channel.error for name, channel in state.channels.items()}


STOPS = (TRAINED, TRAINED + 1, TRAINED + 2, TRAINED + 7, TRAINED + 40, ROWS)


@pytest.mark.parametrize("gap", [None, range(244, 248), range(250, 262)], ids=["no gap", "short gap", "long gap"])
@pytest.mark.parametrize("overlap", ["grown", "new rows only", "shared rows"])
def test_deliveries_in_parts_are_judged_by_a_stateful_model_as_one(
    tmp_path: Path, model: Path, gap: range | None, overlap: str
) -> None:
    data = hourly(gap=gap)
    whole = delivered(tmp_path / "whole", model, data)
    told = []
    for first, stop in itertools.pairwise((0, *STOPS)):
        begin = {"grown": 0, "new rows only": first, "shared rows": max(0, first - 9)}[overlap]
        told.append(delivered(tmp_path / "parts", model, hours(data, begin, stop), "--new-only"))
    assert_same(pd.concat(told), whole)
    assert set(whole["is_anomaly"]) == {0, 1}
    one, two = errors(tmp_path / "parts"), errors(tmp_path / "whole")
    for name, error in two.items():
        assert np.isfinite(error[TRAINED + 30 :]).all()
        np.testing.assert_allclose(one[name], error, rtol=1e-3, atol=1e-3)


def test_row_by_row_is_judged_as_one_delivery(tmp_path: Path, model: Path) -> None:
    data = hours(hourly("a"), 0, TRAINED + 30).reset_index(drop=True)
    whole = delivered(tmp_path / "whole", model, data)
    told = [delivered(tmp_path / "rows", model, hours(data, 0, TRAINED), "--new-only")]
    for row in range(TRAINED, TRAINED + 30):
        told.append(delivered(tmp_path / "rows", model, data.iloc[[row]], "--new-only"))
    assert_same(pd.concat(told), whole)
    one, two = errors(tmp_path / "rows")["a"], errors(tmp_path / "whole")["a"]
    assert np.isfinite(two[TRAINED + 23 :]).all()
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


def test_each_row_is_read_once_and_the_newest_again(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = hourly("a")
    delivered(tmp_path / "d", model, hours(data, 0, 300))
    read = []
    for name in ("stream", "carry"):
        own = getattr(Ensemble, name)

        def count(self: Ensemble, x: Any, *rest: Any, own: Any = own, **named: Any) -> Any:
            read.append(x.shape[1])
            return own(self, x, *rest, **named)

        monkeypatch.setattr(Ensemble, name, count)
    delivered(tmp_path / "d", model, hours(data, 0, 304))
    assert sum(read) <= 2 * 5  # to forecast and to go on from: the newest known row and four new ones


def test_a_correction_in_the_whole_file_is_read_again_and_one_in_a_part_goes_on(tmp_path: Path, model: Path) -> None:
    data = hourly("a")
    corrected = data.copy()
    corrected.loc[295, "y"] += 2
    whole = delivered(tmp_path / "whole", model, corrected)
    delivered(tmp_path / "file", model, hours(data, 0, 298))
    assert_same(delivered(tmp_path / "file", model, corrected), whole)
    delivered(tmp_path / "part", model, hours(data, 0, 298))
    part = delivered(tmp_path / "part", model, hours(corrected, 290, ROWS))
    assert part["y_hat"].notna().all()


def test_what_another_model_carried_is_passed_by(tmp_path: Path, model: Path) -> None:
    data = hours(hourly("a"), 0, TRAINED)
    data.to_csv(tmp_path / "train.csv", index=False)
    quick = ["--stateful", "--horizon", "3", "--max-steps", "2", "--hidden", "4", "--decoder", "direct", "-q"]
    assert run(["train", str(tmp_path / "train.csv"), "-m", str(tmp_path / "other"), *quick]) == 0
    delivered(tmp_path / "d", tmp_path / "other", hours(hourly("a"), 0, 260))
    rows = delivered(tmp_path / "d", model, hourly("a"))
    kept = load_state(tmp_path / "d" / "state")
    assert kept is not None
    assert kept.carried is not None
    assert rows["y_hat"].notna().sum() == ROWS - TRAINED
