"""Rows inside and after a model's training, in one delivery and in parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import watching

from lstmcast.anomaly.state import load_state
from lstmcast.cli.app import run

FIGURES = ["y", "y_hat", "lo", "hi", "p_value", "score", "is_anomaly", "status"]
QUICK = ["--set", "training.max_steps=30", "--set", "network.hidden=8", "-q"]


def readings(rows: int = 700) -> pd.DataFrame:
    y = 20 + 5 * np.sin(2 * np.pi * np.arange(rows) / 24) + np.random.default_rng(0).normal(0, 0.5, rows)
    y[470:471] += 30
    return pd.DataFrame({"ds": pd.date_range("2026-01-01", periods=rows, freq="h"), "y": y.round(4)})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on the first 330 rows."""
    folder = tmp_path_factory.mktemp("model")
    readings()[:330].to_csv(folder / "early.csv", index=False)
    assert run(["train", str(folder / "early.csv"), "-m", str(folder / "m"), "--horizon", "24", *QUICK]) == 0
    return folder / "m"


def detect(folder: Path, data: pd.DataFrame, model: Path, *options: str, name: str = "d.csv") -> pd.DataFrame:
    folder.mkdir(exist_ok=True)
    data.to_csv(folder / name, index=False)
    assert run(watching(folder, folder / name, "-m", str(model), *options)) == 0
    return pd.read_csv(folder / "rows.csv").set_index("ds")


def taught(folder: Path) -> int:
    state = load_state(folder / "state")
    assert state is not None
    return state.memory.lessons


def test_parts_are_judged_as_the_whole_by_the_detector_and_then_by_the_model(tmp_path: Path, model: Path) -> None:
    data = readings()
    whole = detect(tmp_path / "whole", data, model)
    for cuts in ((200, 310, 420, 421, 560, 700), (400, 700)):
        place = tmp_path / str(len(cuts))
        parts = pd.concat([detect(place, data[:stop], model, "--new-only") for stop in cuts])
        pd.testing.assert_frame_equal(parts[FIGURES], whole[FIGURES], check_exact=True)
    assert (whole["status"][151:] == "ok").all()
    assert whole["is_anomaly"].iloc[470] == 1


def test_files_of_new_rows_alone_still_find_the_judge_of_the_rows_before_them(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = readings()
    detect(tmp_path, data[:420], model, "--new-only")
    lessons = taught(tmp_path)
    new = detect(tmp_path, data[420:], model, "--new-only", name="next.csv")
    assert "the model says nothing; it looks back on" in capsys.readouterr().err
    assert (new["status"] == "ok").all()
    assert taught(tmp_path) > lessons > 0


def test_a_stream_of_rows_that_the_model_never_saw_needs_no_lesson(tmp_path: Path, model: Path) -> None:
    data = readings()[330:]
    whole = detect(tmp_path / "whole", data, model)
    parts = pd.concat([detect(tmp_path / "parts", data[:stop], model, "--new-only") for stop in (200, 290, 370)])
    pd.testing.assert_frame_equal(parts[FIGURES], whole[FIGURES], check_exact=True)
    assert taught(tmp_path / "whole") == 0
