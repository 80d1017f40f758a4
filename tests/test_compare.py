"""Comparison: everyone runs the same course, what cannot run is named, and what is written can be trusted."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import MakePanel

from lstmcast.cli.app import run
from lstmcast.config import Settings
from lstmcast.errors import StoppedError, UsageError
from lstmcast.fit.interrupt import Stop
from lstmcast.fit.loop import fit
from lstmcast.fit.plan import Plan, make
from lstmcast.forecast.predict import quantiles_at
from lstmcast.layers import resolve
from lstmcast.net.cells import CELLS
from lstmcast.outcome import Progress, Report, silent
from lstmcast.recipes.compare import compare
from lstmcast.recipes.scaling import scaling as scaling_recipe
from lstmcast.study import COMPARATORS, race, scaling

Capture = pytest.CaptureFixture[str]
SMALL = {"horizon": 4, "hidden": 8, "context": 16, "patch": 4}


def settings(network: dict[str, Any] | None = None, **training: Any) -> Settings:
    return resolve([("test", {"network": SMALL | (network or {}), "training": training})], choices={})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    time, noise = np.arange(150), np.random.default_rng(0)
    frame = pd.DataFrame({"ds": time + 1, "y": 20 + 5 * np.sin(2 * np.pi * time / 8) + noise.normal(size=150)})
    frame.to_csv(tmp_path / "waves.csv", index=False)
    return tmp_path / "waves.csv"


def plan_and_panel(make_panel: MakePanel, **training: Any) -> tuple[Plan, Any]:
    time, noise = np.arange(160), np.random.default_rng(0)
    panel = make_panel([20 + n + 5 * np.sin(2 * np.pi * time / 8 + n) + noise.normal(size=160) for n in range(3)])
    return make(panel, settings(**training)), panel


def lap(make_panel: MakePanel, name: str, *, steps: int = 3, seed: int = 1) -> race.Lap:
    plan, panel = plan_and_panel(make_panel)
    (candidate,) = race.candidates(plan, (name,))
    return race.run(candidate, panel, seed=seed, steps=steps, stop=Stop(), on_step=lambda *_: None)


@pytest.mark.parametrize("name", [*CELLS, *COMPARATORS])
def test_every_cell_and_comparator_learns_and_is_scored(make_panel: MakePanel, name: str) -> None:
    result = lap(make_panel, name, steps=60)
    assert np.mean(result.losses[-5:]) < result.losses[0]
    assert np.isfinite(result.mase)
    assert result.seconds > 0
    assert result.kept > 0
    assert not result.diverged
    assert not result.stopped


def test_same_seed_same_losses_and_another_seed_others(make_panel: MakePanel) -> None:
    assert lap(make_panel, "gru").losses == lap(make_panel, "gru").losses
    assert lap(make_panel, "gru").losses != lap(make_panel, "gru", seed=2).losses


def test_the_race_trains_as_the_verb_train_does(make_panel: MakePanel) -> None:
    plan, panel = plan_and_panel(make_panel, max_steps=6, checkpoint_steps=1)
    history = fit(panel, plan, on_progress=silent).history
    assert lap(make_panel, "lstm", steps=6).losses == pytest.approx([row[1] for row in history], rel=1e-5)


def test_the_linear_comparator_holds_the_highway_and_a_spread_and_nothing_else(make_panel: MakePanel) -> None:
    plan, _ = plan_and_panel(make_panel)
    methods = 5  # the panel is short: those of a statistical base are weighed too
    spread = 4 * (len(plan.architecture.quantiles) + methods)
    assert lap(make_panel, "linear").parameters == 4 * (16 + 1) + spread


def test_the_transformer_sees_every_patch(make_panel: MakePanel) -> None:
    plan, panel = plan_and_panel(make_panel)
    (candidate,) = race.candidates(plan, ("transformer",))
    network = race._network(candidate, panel, seed=1).eval()
    at = np.array([100])
    before = quantiles_at(network, panel, at)
    panel.values[84 + 1] += 5.0  # in the oldest patch of the window that ends at row 99
    assert not np.allclose(quantiles_at(network, panel, at), before)


def test_an_unknown_cell_is_refused_with_the_nearest_name(make_panel: MakePanel) -> None:
    plan, _ = plan_and_panel(make_panel)
    with pytest.raises(UsageError, match="no cell or comparator called 'transformr'") as told:
        race.candidates(plan, ("transformr",))
    assert "transformer" in told.value.remedy


def test_a_candidate_the_settings_do_not_allow_is_listed_with_its_reason(data: Path, tmp_path: Path) -> None:
    wish = settings({"patch": 1}, stateful=True)
    out = tmp_path / "compare.csv"
    compare([str(data)], settings=wish, cells=("rnn", "transformer"), steps=2, output=str(out))
    rows = pd.read_csv(out).set_index("candidate")
    assert rows["status"].to_dict() == {"rnn": "ok", "transformer": "refused"}
    assert "carries no state" in rows["note"]["transformer"]


def test_where_nobody_can_take_part_the_reason_is_the_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no candidate can take part: comparator 'linear' reads whole windows"):
        compare([str(data)], settings=settings({"patch": 1}, stateful=True), cells=("linear",), steps=2)


def test_the_command_writes_rows_curves_and_chart_and_tells_them_as_json(
    data: Path, tmp_path: Path, capsys: Capture
) -> None:
    files = [str(tmp_path / name) for name in ("rows.csv", "curves.csv", "chart.html")]
    line = ["compare", str(data), "--cells", "lstm,linear", "--seeds", "2", "--steps", "6", "--horizon", "4"]
    line += ["--hidden", "8", "-o", files[0], "--curves", files[1], "--plot", files[2], "--json", "-q"]
    assert run(line) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {entry["candidate"] for entry in facts["candidates"]} == {"lstm", "linear"}
    assert pd.read_csv(files[0]).groupby("candidate")["seed"].apply(list).to_dict() == {
        "linear": [1, 2],
        "lstm": [1, 2],
    }
    assert len(pd.read_csv(files[1])) == 2 * 2 * 6
    assert "Comparison on equal footing" in Path(files[2]).read_text("utf-8")


def test_settings_files_take_part_on_equal_footing(data: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "narrow.yaml").write_text("network: {hidden: 4, context: 8, cell: gru}\n")
    (tmp_path / "wide.yaml").write_text("network: {hidden: 12}\n")
    out = tmp_path / "compare.csv"
    files = f"{tmp_path / 'narrow.yaml'},{tmp_path / 'wide.yaml'}"
    line = ["compare", str(data), "--configs", files, "--steps", "3", "--horizon", "4", "-o", str(out), "-q"]
    assert run(line) == 0
    rows = pd.read_csv(out).set_index("candidate")
    assert list(rows.index) == ["narrow", "wide"]
    assert rows["steps"].tolist() == [3, 3]
    assert rows["parameters"]["narrow"] < rows["parameters"]["wide"]
    assert run([*line, "--cells", "rnn"]) == 0
    assert set(pd.read_csv(out)["candidate"]) == {"narrow", "wide", "rnn"}


def test_a_settings_file_keeps_the_windows_of_the_others(make_panel: MakePanel) -> None:
    plan, panel = plan_and_panel(make_panel)
    (own,) = race.configured(plan, panel, {"long": settings({"context": 48})})
    assert own.plan.architecture.context == 48
    assert own.plan.split is plan.split


def test_settings_files_that_ask_for_another_horizon_or_other_data_are_refused(make_panel: MakePanel) -> None:
    plan, panel = plan_and_panel(make_panel)
    with pytest.raises(UsageError, match="far forecasts 9 rows, the others 4"):
        race.configured(plan, panel, {"far": settings({"horizon": 9})})
    other = resolve([("test", {"reader": {"target": ["z"]}})], choices={})
    with pytest.raises(UsageError, match="z reads the data in a way of its own"):
        race.configured(plan, panel, {"z": other})


def test_a_settings_file_that_cannot_be_built_is_listed_with_its_reason(make_panel: MakePanel) -> None:
    plan, panel = plan_and_panel(make_panel)
    (candidate,) = race.configured(plan, panel, {"both": settings({"bidirectional": True}, stateful=True)})
    assert "bidirectional" in candidate.refusal


def test_without_data_there_is_nothing_to_compare_on(capsys: Capture) -> None:
    assert run(["compare", "-q"]) == 2
    assert "lstmcast compare DATA" in capsys.readouterr().err


def test_cost_is_timed_at_several_sizes_and_the_law_fitted(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "scaling.csv"
    assert run(["compare", "--scaling", "--cells", "rnn", "-o", str(out), "--json", "-q"]) == 0
    rows = pd.read_csv(out)
    assert rows[["T", "C", "B"]].nunique().to_dict() == {"T": 3, "C": 3, "B": 3}
    (law,) = json.loads(capsys.readouterr().out)["cells"]
    assert rows["fitted"].to_numpy() == pytest.approx(
        law["k"] * rows["T"] * rows["B"] * (rows["C"] ** 2 + rows["C"] * rows["F"])
    )


def test_timings_that_follow_the_law_are_fitted_without_deviation() -> None:
    timings = [scaling.Timing("lstm", **size, seconds=0.0) for size in scaling.sizes()]
    law = scaling.fitted([replace(timing, seconds=3e-12 * timing.work) for timing in timings])
    assert law.k == pytest.approx(3e-12)
    assert law.deviation == pytest.approx(0.0, abs=1e-9)
    assert law.growth["T"] == pytest.approx(1.0)
    assert 1.0 < law.growth["C"] < 2.0


def test_a_cell_that_does_not_exist_is_not_timed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cell called 'lstn'"):
        scaling_recipe(cells=("lstn",), output=str(tmp_path / "s.csv"))


def test_after_a_signal_what_was_finished_is_written(data: Path, tmp_path: Path) -> None:
    def interrupt(report: Report) -> None:
        if isinstance(report, Progress) and report.done == 5:  # in the second candidate's second step
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "compare.csv"
    with pytest.raises(StoppedError, match="1 of 3 runs are complete"):
        compare(
            [str(data)], settings=settings(), cells=("lstm", "gru", "rnn"), steps=3, output=str(out),
            on_progress=interrupt,
        )  # fmt: skip
    rows = pd.read_csv(out).set_index("candidate")
    assert rows["status"].to_dict() == {"lstm": "ok", "gru": "stopped"}
    assert np.isnan(rows["mase"]["gru"])
