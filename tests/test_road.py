"""The main road through the command itself: CSV in, model, forecast, evaluation, flagged rows out."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lstmcast.artifact import seal
from lstmcast.cli.app import run
from lstmcast.forecast.predict import _parts
from lstmcast.net.forecaster import Forecaster

QUICK = ["--max-steps", "25", "--hidden", "8", "--seed", "1"]
Capture = pytest.CaptureFixture[str]


def hourly(rows: int, *, start: str = "2024-01-01", shops: tuple[str, ...] = ("north", "south")) -> pd.DataFrame:
    """Rows of each shop: a daily wave around its level, with noise."""
    noise, hours = np.random.default_rng(7), np.arange(rows)
    frames = []
    for number, shop in enumerate(shops):
        value = 50 * (number + 1) + 10 * np.sin(2 * np.pi * hours / 24) + noise.normal(size=rows)
        times = pd.date_range(start, periods=rows, freq="h")
        frames.append(pd.DataFrame({"unique_id": shop, "ds": times, "y": value.round(3)}))
    return pd.concat(frames)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data.csv, the hours after it in later.csv, and a model trained on the first."""
    folder = tmp_path_factory.mktemp("trained")
    everything = hourly(420)
    everything.groupby("unique_id").head(396).to_csv(folder / "data.csv", index=False)
    everything.groupby("unique_id").tail(24).to_csv(folder / "later.csv", index=False)
    code = run(["train", str(folder / "data.csv"), "-m", str(folder / "model"), "--horizon", "24", *QUICK, "-q"])
    assert code == 0
    return folder


def facts(capsys: Capture, arguments: list[str]) -> dict[str, Any]:
    """The JSON document of a run."""
    capsys.readouterr()
    run([*arguments, "--json", "-q"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_forecast_continues_each_series_in_the_style_of_the_file(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "forecasts.csv"
    assert run(["predict", "-m", str(trained / "model"), "-o", str(out), "-q"]) == 0
    frame = pd.read_csv(out)
    assert list(frame.columns) == [
        "unique_id", "ds", "cutoff", "step",
        "y_hat", "y_hat-lo-80", "y_hat-hi-80", "y_hat-lo-95", "y_hat-hi-95", "status",
    ]  # fmt: skip
    north = frame[frame.unique_id == "north"]
    assert north.step.tolist() == list(range(1, 25))
    style = pd.read_csv(trained / "data.csv").ds.iloc[0]
    assert len(north.ds.iloc[0]) == len(style)
    assert pd.Timestamp(north.ds.iloc[0]) == pd.Timestamp("2024-01-17 12:00")
    assert (north.cutoff == "2024-01-17 11:00:00").all()
    assert (frame["y_hat-lo-95"] <= frame["y_hat-lo-80"]).all()
    assert (frame["y_hat-lo-80"] <= frame.y_hat).all()
    assert (frame.y_hat <= frame["y_hat-hi-80"]).all()
    assert 40 < north.y_hat.mean() < 60


def test_predicting_twice_writes_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        assert run(["predict", "-m", str(trained / "model"), "-o", str(tmp_path / name), "-q"]) == 0
    assert digest(tmp_path / "one.csv") == digest(tmp_path / "two.csv")


def test_training_twice_with_one_seed_gives_the_same_weights(trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "model"
    run(["train", str(trained / "data.csv"), "-m", str(again), "--horizon", "24", *QUICK, "-q"])
    assert digest(again / "weights.safetensors") == digest(trained / "model" / "weights.safetensors")


def test_with_new_rows_the_forecast_moves_on(trained: Path, tmp_path: Path) -> None:
    grown = tmp_path / "grown.csv"
    pd.concat([pd.read_csv(trained / name) for name in ("data.csv", "later.csv")]).to_csv(grown, index=False)
    assert run(["predict", str(grown), "-m", str(trained / "model"), "-o", str(tmp_path / "f.csv"), "-q"]) == 0
    frame = pd.read_csv(tmp_path / "f.csv")
    assert set(frame.cutoff) == {"2024-01-18 11:00:00"}


def test_as_of_forecasts_as_if_later_rows_were_not_there(trained: Path, tmp_path: Path) -> None:
    grown = tmp_path / "grown.csv"
    pd.concat([pd.read_csv(trained / name) for name in ("data.csv", "later.csv")]).to_csv(grown, index=False)
    run(["predict", "-m", str(trained / "model"), "-o", str(tmp_path / "then.csv"), "-q"])
    arguments = ["predict", str(grown), "-m", str(trained / "model"), "--as-of", "2024-01-17 11:00:00"]
    assert run([*arguments, "-o", str(tmp_path / "asof.csv"), "-q"]) == 0
    assert digest(tmp_path / "then.csv") == digest(tmp_path / "asof.csv")


def test_evaluate_scores_the_forecast_beside_the_baselines(trained: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "f.csv"
    run(["predict", "-m", str(trained / "model"), "-o", str(out), "-q"])
    told = facts(capsys, ["evaluate", str(out), str(trained / "later.csv")])
    metrics = next(iter(told["targets"].values()))["metrics"]
    assert 0 < metrics["mase"]["y_hat"] < 3
    assert metrics["mase"]["seasonal-naive"] > 0
    assert 0 <= metrics["coverage-80"]["y_hat"] <= 1


def test_the_verdict_of_training_is_the_skill_on_held_out_windows(trained: Path, capsys: Capture) -> None:
    manifest = json.loads((trained / "model" / "manifest.json").read_text())
    verdict = manifest["summary"]["verdict"]
    mase = verdict["metrics"]["mase"]
    assert verdict["skill"] == pytest.approx(1 - mase["y_hat"] / mase["seasonal-naive"])
    assert verdict["best_classical"]["tried"] == 5
    assert set(verdict["encoder"]) == {"mase", "mase_without"}


def test_anything_longer_than_the_trained_horizon_is_refused(trained: Path, capsys: Capture) -> None:
    assert run(["predict", "-m", str(trained / "model"), "--horizon", "25"]) == 2
    assert "train again with --horizon 25" in capsys.readouterr().err


def test_a_shorter_horizon_is_the_beginning_of_the_forecast(trained: Path, tmp_path: Path) -> None:
    run(["predict", "-m", str(trained / "model"), "-o", str(tmp_path / "24.csv"), "-q"])
    run(["predict", "-m", str(trained / "model"), "-o", str(tmp_path / "5.csv"), "--horizon", "5", "-q"])
    whole, short = pd.read_csv(tmp_path / "24.csv"), pd.read_csv(tmp_path / "5.csv")
    pd.testing.assert_frame_equal(whole[whole.step <= 5].reset_index(drop=True), short)


def test_other_levels_nest_between_those_of_training(trained: Path, tmp_path: Path) -> None:
    arguments = ["predict", "-m", str(trained / "model"), "-o", str(tmp_path / "l.csv"), "--levels", "50,90,99"]
    assert run([*arguments, "-q"]) == 0
    frame = pd.read_csv(tmp_path / "l.csv")
    widths = [frame[f"y_hat-hi-{level}"] - frame[f"y_hat-lo-{level}"] for level in (50, 90, 99)]
    assert (widths[0] < widths[1]).all()
    assert (widths[1] < widths[2]).all()


def test_json_lines_hold_the_same_forecast(trained: Path, tmp_path: Path) -> None:
    run(["predict", "-m", str(trained / "model"), "-o", str(tmp_path / "f.csv"), "-q"])
    run(["predict", "-m", str(trained / "model"), "-o", str(tmp_path / "f.jsonl"), "--format", "jsonl", "-q"])
    lines = pd.DataFrame(map(json.loads, (tmp_path / "f.jsonl").read_text().splitlines()))
    np.testing.assert_allclose(lines.y_hat, pd.read_csv(tmp_path / "f.csv").y_hat)


def uneven() -> pd.DataFrame:
    """Shops that are forecast, and between them some that never vary, or are too short."""
    parts = []
    for k in range(23):
        shop = hourly(2 if k in {3, 8, 9} else 40, shops=(f"shop {k:02d}",))
        parts.append(shop.assign(y=5.0) if k in {0, 12, 22} else shop.assign(y=shop["y"] * (k + 1)))
    return pd.concat(parts)


@pytest.mark.parametrize("options", [[], ["--samples", "3"], ["--on-error", "skip", "--safe-csv"], ["--threads", "2"]])
def test_a_forecast_made_of_parts_is_that_of_the_whole(
    options: list[str], trained: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    uneven().to_csv(tmp_path / "many.csv", index=False)
    asked = ["predict", str(tmp_path / "many.csv"), "-m", str(trained / "model"), *options]
    monkeypatch.setattr("lstmcast.forecast.predict._WINDOWS", 4)
    whole = facts(capsys, [*asked, "-o", str(tmp_path / "whole.csv")])
    for windows in (1, 2):
        monkeypatch.setattr("lstmcast.forecast.predict._PASSES", windows)
        path = tmp_path / f"{windows}.csv"
        assert facts(capsys, [*asked, "-o", str(path)]) == whole | {"output": str(path)}
        assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_part_ends_where_no_pass_of_the_network_is_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstmcast.forecast.predict._WINDOWS", 4)
    generator = np.random.default_rng(5)
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        usable = generator.random(997) < share
        parts = list(_parts(usable, most=12))
        assert np.concatenate([np.arange(997)[part] for part in parts]).tolist() == list(range(997))
        assert all(usable[: part.stop].sum() % 4 == 0 or not usable[part.stop :].any() for part in parts)
        assert max(usable[part].sum() for part in parts) <= 12
        if share in {0.0, 1.0}:
            assert max(part.stop - part.start for part in parts) == 12


def test_a_forecast_can_go_to_stdout(trained: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(["predict", "-m", str(trained / "model"), "-o", "-"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("unique_id,ds,cutoff,step,y_hat,")
    assert "series forecast" in shown.err


def test_bounds_and_whole_numbers_hold_for_forecast_and_intervals(tmp_path: Path) -> None:
    hourly(300).to_csv(tmp_path / "d.csv", index=False)
    bounds = ["--min", "48", "--max", "104", "--integer"]
    run(["train", str(tmp_path / "d.csv"), "-m", str(tmp_path / "m"), "--horizon", "12", *QUICK, *bounds, "-q"])
    run(["predict", "-m", str(tmp_path / "m"), "-o", str(tmp_path / "f.csv"), "-q"])
    figures = pd.read_csv(tmp_path / "f.csv").filter(like="y_hat").to_numpy()
    assert (figures == figures.round()).all()
    assert figures.min() >= 48
    assert figures.max() <= 104


def test_a_constant_and_a_too_short_series_do_not_stop_the_batch(tmp_path: Path, capsys: Capture) -> None:
    data = hourly(300)
    still = data[data.unique_id == "north"].assign(unique_id="still", y=7.5)
    brief = data[data.unique_id == "north"].tail(3).assign(unique_id="brief")
    pd.concat([data, still, brief]).to_csv(tmp_path / "d.csv", index=False)
    model = str(tmp_path / "m")
    assert run(["train", str(tmp_path / "d.csv"), "-m", model, "--horizon", "12", *QUICK, "-q"]) == 0
    assert run(["predict", "-m", model, "-o", str(tmp_path / "f.csv")]) == 6
    assert "brief" in capsys.readouterr().err
    frame = pd.read_csv(tmp_path / "f.csv")
    status = frame.groupby("unique_id").status.first().to_dict()
    assert status == {"north": "ok", "south": "ok", "still": "constant", "brief": "fallback"}
    assert (frame[frame.unique_id == "still"].filter(like="y_hat") == 7.5).all(axis=None)
    brief_rows = frame[frame.unique_id == "brief"]
    assert (brief_rows.y_hat == brief.y.iloc[-1]).all()
    assert brief_rows["y_hat-lo-80"].isna().all()
    assert run(["predict", "-m", model, "-o", str(tmp_path / "g.csv"), "--on-error", "skip"]) == 6
    assert "brief" not in set(pd.read_csv(tmp_path / "g.csv").unique_id)
    assert run(["predict", "-m", model, "-o", str(tmp_path / "h.csv"), "--on-error", "fail"]) == 12
    assert not (tmp_path / "h.csv").exists()


def test_a_covariate_is_used_and_must_be_there_again(tmp_path: Path, capsys: Capture) -> None:
    data = hourly(300)
    data["temperature"] = np.random.default_rng(1).normal(size=len(data)).round(3)
    data.to_csv(tmp_path / "d.csv", index=False)
    model = str(tmp_path / "m")
    assert run(["train", str(tmp_path / "d.csv"), "-m", model, "--horizon", "6", *QUICK, "-q"]) == 0
    assert run(["predict", "-m", model, "-o", str(tmp_path / "f.csv"), "-q"]) == 0
    data.drop(columns="temperature").to_csv(tmp_path / "without.csv", index=False)
    assert run(["predict", str(tmp_path / "without.csv"), "-m", model, "-o", str(tmp_path / "g.csv")]) == 3
    assert "temperature" in capsys.readouterr().err


def test_future_known_covariates_are_needed_for_the_whole_horizon(tmp_path: Path, capsys: Capture) -> None:
    data = hourly(306)
    data["promo"] = (np.arange(len(data)) % 7 == 0).astype(float)
    known = data.copy()
    last = known.groupby("unique_id").cumcount() >= 300
    known.loc[last, "y"] = np.nan
    known.to_csv(tmp_path / "block.csv", index=False)
    known[~last].to_csv(tmp_path / "d.csv", index=False)
    model = str(tmp_path / "m")
    train = ["train", str(tmp_path / "d.csv"), "-m", model, "--horizon", "6", "--future", "promo", *QUICK, "-q"]
    assert run(train) == 0
    assert run(["predict", "-m", model, "-o", str(tmp_path / "f.csv")]) == 3
    assert "first for series north at 2024-01-13 12:00:00" in capsys.readouterr().err
    assert run(["predict", str(tmp_path / "block.csv"), "-m", model, "-o", str(tmp_path / "f.csv"), "-q"]) == 0
    known[last].to_csv(tmp_path / "future.csv", index=False)
    beside = ["--future", str(tmp_path / "future.csv"), "-o", str(tmp_path / "g.csv"), "-q"]
    assert run(["predict", "-m", model, *beside]) == 0
    assert digest(tmp_path / "f.csv") == digest(tmp_path / "g.csv")
    known[last].drop(columns="y").to_csv(tmp_path / "future.csv", index=False)
    assert run(["predict", "-m", model, *beside]) == 0
    assert digest(tmp_path / "f.csv") == digest(tmp_path / "g.csv")
    known[last].drop(columns="promo").to_csv(tmp_path / "future.csv", index=False)
    assert run(["predict", "-m", model, *beside]) == 3
    assert "future.csv has no column 'promo'" in capsys.readouterr().err


def test_the_future_of_a_lone_series_needs_no_name(tmp_path: Path) -> None:
    data = hourly(206, shops=("north",)).drop(columns="unique_id").assign(promo=lambda x: x.index % 5.0)
    data.tail(6).drop(columns="y").to_csv(tmp_path / "ahead.csv", index=False)
    ahead = ("--future", str(tmp_path / "ahead.csv"))
    code, frame = road(tmp_path, data.head(200), "--future", "promo", predict=ahead)
    assert code == 0
    assert set(frame.unique_id) == {"d"}


def test_several_targets_are_forecast_together(tmp_path: Path) -> None:
    data = hourly(300)
    data["z"] = 3 * data.y + 1
    data.to_csv(tmp_path / "d.csv", index=False)
    model = str(tmp_path / "m")
    targets = ["--target", "y", "--target", "z"]
    assert run(["train", str(tmp_path / "d.csv"), "-m", model, "--horizon", "6", *targets, *QUICK, "-q"]) == 0
    assert run(["predict", "-m", model, "-o", str(tmp_path / "f.csv"), "-q"]) == 0
    frame = pd.read_csv(tmp_path / "f.csv")
    assert frame.groupby(["unique_id", "target"]).size().tolist() == [6, 6, 6, 6]
    levels = frame[frame.unique_id == "north"].groupby("target").y_hat.mean()
    assert 2.5 < levels["z"] / levels["y"] < 3.5


@pytest.mark.parametrize(
    "options",
    [
        ["--decoder", "direct"],
        ["--decoder", "recursive", "--cell", "gru"],
        ["--decoder", "seq2seq", "--layers", "2", "--residual"],
        ["--bidirectional", "--loss", "mae"],
        ["--stateful", "--tbptt", "12,24", "--decoder", "direct"],
        ["--patch", "1", "--decoder", "recursive", "--loss", "mse", "--context", "24"],
        ["--cell", "rnn", "--loss", "huber", "--normaliser", "revin"],
    ],
    ids=" ".join,
)
def test_every_kind_of_network_goes_the_whole_road(tmp_path: Path, options: list[str]) -> None:
    hourly(260).to_csv(tmp_path / "d.csv", index=False)
    model = str(tmp_path / "m")
    assert run(["train", str(tmp_path / "d.csv"), "-m", model, "--horizon", "6", *QUICK, *options, "-q"]) == 0
    assert run(["predict", "-m", model, "-o", str(tmp_path / "f.csv"), "-q"]) == 0
    frame = pd.read_csv(tmp_path / "f.csv")
    assert len(frame) == 12
    assert frame.y_hat.notna().all()
    assert ("y_hat-lo-80" in frame) == ("--loss" not in options)


def test_min_skill_gates_the_exit_code_but_keeps_the_model(trained: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["train", str(trained / "data.csv"), "-m", str(tmp_path / "m"), "--horizon", "24", *QUICK]
    assert run([*arguments, "--min-skill", "0.99"]) == 1
    assert "below --min-skill" in capsys.readouterr().err
    assert (tmp_path / "m" / "manifest.json").exists()


def test_a_dry_run_tells_the_plan_and_writes_nothing(trained: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["train", str(trained / "data.csv"), "-m", str(tmp_path / "m"), "--dry-run", "--explain-plan"]
    told = facts(capsys, arguments)
    assert told["series"] == 2
    assert told["plan"]["context"]["why"]
    assert (told["rows"], told["windows"] > 0) == (
        len((trained / "data.csv").read_text("utf-8").splitlines()) - 1,
        True,
    )
    assert 0 < told["expected_seconds"] <= 120
    assert 50 < told["peak_mb"] < 20_000
    assert list(tmp_path.iterdir()) == []


def test_no_series_long_enough_exits_12_with_the_arithmetic(tmp_path: Path, capsys: Capture) -> None:
    hourly(9).to_csv(tmp_path / "d.csv", index=False)
    assert run(["train", str(tmp_path / "d.csv"), "-m", str(tmp_path / "m"), "--horizon", "24"]) == 12
    assert "the longest, north, has 9" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_backtest_stands_beside_its_baselines_and_writes_both_tables(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, metrics = tmp_path / "b.csv", tmp_path / "m.csv"
    arguments = ["backtest", str(trained / "data.csv"), "--horizon", "12", "--windows", "2", *QUICK]
    told = facts(capsys, [*arguments, "--baselines", "naive", "-o", str(out), "--metrics", str(metrics)])
    assert set(told["metrics"]["mase"]) == {"y_hat", "seasonal-naive", "naive"}
    frame = pd.read_csv(out)
    assert len(frame) == 2 * 2 * 12
    assert {"unique_id", "ds", "cutoff", "step", "y", "y_hat", "seasonal-naive", "naive"} <= set(frame.columns)
    data = pd.read_csv(trained / "data.csv").set_index(["unique_id", "ds"]).y
    np.testing.assert_allclose(
        frame.set_index(["unique_id", "ds"]).y, data.loc[list(zip(frame.unique_id, frame.ds, strict=True))], rtol=1e-5
    )
    assert {"unique_id", "cutoff", "metric", "value", "baseline", "skill"} <= set(pd.read_csv(metrics).columns)
    assert run([*arguments, "--fail-below-skill", "0.99", "-o", str(out), "--metrics", str(metrics), "-q"]) == 1


def test_refitting_before_every_origin_changes_the_later_forecasts_only(trained: Path, tmp_path: Path) -> None:
    frames = []
    for name, extra in (("once", []), ("anew", ["--refit"])):
        arguments = ["backtest", str(trained / "data.csv"), "--horizon", "12", "--windows", "2", *QUICK, *extra]
        run([*arguments, "-o", str(tmp_path / name), "--metrics", str(tmp_path / "m.csv"), "-q"])
        frames.append(pd.read_csv(tmp_path / name).sort_values(["unique_id", "ds"]).reset_index(drop=True))
    once, anew = frames
    first = once.cutoff == once.cutoff.min()
    assert (once.ds == anew.ds).all()
    # The very same network; forecasts in batches of another size may round the last digit written differently.
    np.testing.assert_allclose(once.y_hat[first], anew.y_hat[first], rtol=1e-6)
    assert (once.y_hat[~first] != anew.y_hat[~first]).any()


def test_a_model_is_not_judged_on_rows_it_has_seen(trained: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["backtest", str(trained / "data.csv"), "-m", str(trained / "model"), "--windows", "1"]
    assert run([*arguments, "-o", str(tmp_path / "b.csv"), "--metrics", str(tmp_path / "m.csv")]) == 2
    assert "proves nothing" in capsys.readouterr().err


def spiked(rows: int = 700) -> tuple[pd.DataFrame, str]:
    data = hourly(rows, shops=("north",))
    data.iloc[500, data.columns.get_loc("y")] += 60
    return data, str(data.ds.iloc[500])


def detect(tmp_path: Path, data: pd.DataFrame, *options: str) -> tuple[int, pd.DataFrame, pd.DataFrame]:
    data.to_csv(tmp_path / "d.csv", index=False)
    places = ["-o", str(tmp_path / "a.csv"), "--events", str(tmp_path / "e.csv")]
    code = run(["detect-anomalies", str(tmp_path / "d.csv"), *places, *options, "-q", "--seed", "1"])
    return code, pd.read_csv(tmp_path / "a.csv"), pd.read_csv(tmp_path / "e.csv")


def test_a_planted_spike_is_flagged_and_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, when = spiked()
    code, rows, events = detect(tmp_path, data, "--fail-on-anomaly", "--set", "training.max_steps=80")
    assert code == 10
    assert len(rows) == len(data)
    assert rows.ds.tolist() == [str(time) for time in data.ds]
    flagged = rows[rows.is_anomaly == 1]
    assert when in set(flagged.ds)
    assert len(flagged) <= 3
    event = events[events.start == when].iloc[0]
    assert event.direction == "up"
    assert str(event.message).startswith("north " + when)
    assert rows.set_index("ds").event_id[when] == event.event_id


def test_rows_keep_the_order_of_the_file_and_missing_ones_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = hourly(400, shops=("north",))
    data.iloc[100, data.columns.get_loc("y")] = np.nan
    data = data.iloc[::-1]
    _, rows, _ = detect(tmp_path, data, "--set", "training.max_steps=20")
    assert rows.ds.tolist() == [str(time) for time in data.ds]
    assert rows.status.iloc[399 - 100] == "missing"
    np.testing.assert_allclose(rows.y, data.y, rtol=1e-6)


def test_rows_later_than_the_model_are_judged_by_it_and_seen_ones_never(trained: Path, tmp_path: Path) -> None:
    data = pd.concat([pd.read_csv(trained / name) for name in ("data.csv", "later.csv")])
    _, rows, _ = detect(tmp_path, data, "-m", str(trained / "model"), "--set", "detection.fit=never")
    later = rows.ds > "2024-01-17 11:00:00"
    assert (rows[later].status == "ok").all()
    assert (rows[~later].status == "no_forecast").all()


def test_since_reports_only_what_came_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, when = spiked()
    code, rows, events = detect(
        tmp_path, data, "--since", "2024-01-28 00:00:00", "--fail-on-anomaly", "--set", "training.max_steps=30"
    )
    assert rows.ds.min() == "2024-01-28 00:00:00"
    assert when not in set(events.start)
    assert code == (10 if len(events) else 0)


def test_nothing_to_judge_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["detect-anomalies"]) == 2
    assert "neither a data file nor a model" in capsys.readouterr().err


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        return Path(shutil.copytree(trained / "model", tmp_path / "copy"))

    return make


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda m: (m / "weights.safetensors").write_bytes(b"x"), "sha256"),
        (lambda m: (m / "calibration.json").unlink(), "is missing"),
        (lambda m: (m / "manifest.json").write_text("{}"), "not a model manifest"),
        (lambda m: (m / "manifest.json").write_text("[[["), "not a model manifest"),
        (lambda m: (m / "manifest.json").unlink(), "there is no model"),
        (lambda m: edit(m, "format_version", 99), "has format 99"),
        (lambda m: edit(m, "sha256", {"../../etc/passwd": "0"}), "does not list its files"),
        (lambda m: edit(m, "architectures", [{"hidden": -1}]), "inconsistent"),
        (lambda m: edit(m, "schema", {}), "inconsistent"),
        (lambda m: link(m), "symbolic link"),
    ],
)  # fmt: skip
def test_a_damaged_model_is_refused_with_4_and_nothing_is_written(
    copy: Callable[[], Path], tmp_path: Path, damage: Callable[[Path], None], told: str, capsys: Capture
) -> None:
    model = copy()
    damage(model)
    assert run(["predict", "-m", str(model), "-o", str(tmp_path / "f.csv")]) == 4
    assert told in capsys.readouterr().err
    assert not (tmp_path / "f.csv").exists()


def edit(model: Path, key: str, value: Any) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    changed = {**manifest, key: value}
    del changed["seal"]
    (model / "manifest.json").write_text(json.dumps({**changed, "seal": seal(changed)}))


def link(model: Path) -> None:
    (model / "weights.safetensors").rename(model.parent / "elsewhere")
    (model / "weights.safetensors").symlink_to(model.parent / "elsewhere")


def test_no_file_of_a_model_is_a_pickle(trained: Path) -> None:
    model = trained / "model"
    assert {file.name for file in model.iterdir()} == {
        "manifest.json", "weights.safetensors", "calibration.json", "metrics.csv", "history.csv",
    }  # fmt: skip
    assert not any(file.read_bytes().startswith((b"\x80", b"PK")) for file in model.iterdir())


def test_a_failed_training_keeps_the_old_model(trained: Path, copy: Callable[[], Path], tmp_path: Path) -> None:
    model = copy()
    before = digest(model / "manifest.json")
    (tmp_path / "bad.csv").write_text("ds,y\n1,abc\n2,def\n")
    assert run(["train", str(tmp_path / "bad.csv"), "-m", str(model), "-q"]) == 3
    assert digest(model / "manifest.json") == before
    assert run(["predict", "-m", str(model), "-o", str(tmp_path / "f.csv"), "-q"]) == 0


def test_an_output_that_cannot_be_written_exits_7_and_leaves_no_litter(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    assert run(["predict", "-m", str(trained / "model"), "-o", str(tmp_path / "taken" / "f.csv"), "-q"]) == 7
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


def test_nothing_is_written_outside_the_places_named(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(["train", str(trained / "data.csv"), "--horizon", "6", *QUICK, "-q"])
    run(["predict", "-q"])
    assert {file.name for file in tmp_path.iterdir()} == {"lstmcast-model", "forecasts.csv", "forecasts.csv.meta.json"}


def road(tmp_path: Path, data: pd.DataFrame, *options: str, predict: tuple[str, ...] = ()) -> tuple[int, pd.DataFrame]:
    """Train on ``data`` and predict: the exit code of predict and the forecast."""
    data.to_csv(tmp_path / "d.csv", index=False)
    model = str(tmp_path / "m")
    assert run(["train", str(tmp_path / "d.csv"), "-m", model, "--horizon", "6", *QUICK, *options, "-q"]) == 0
    code = run(["predict", "-m", model, "-o", str(tmp_path / "f.csv"), *predict, "-q"])
    return code, pd.read_csv(tmp_path / "f.csv")


def test_a_folder_with_other_files_is_never_replaced_by_a_model(tmp_path: Path, capsys: Capture) -> None:
    hourly(60).to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    assert run(["train", str(tmp_path / "d.csv"), "-m", str(tmp_path / "mine"), *QUICK]) == 2
    assert "holds 'notes.txt', which is no part of a model" in capsys.readouterr().err
    assert (tmp_path / "mine" / "notes.txt").read_text() == "precious"


def test_a_counter_of_a_million_millions_keeps_its_last_digits(tmp_path: Path) -> None:
    data = hourly(200, shops=("north",))
    data["y"] += 1e12
    code, frame = road(tmp_path, data)
    assert code == 0
    assert frame.y_hat.nunique() == 6
    assert (frame.y_hat - 1e12).between(30, 70).all()


def test_a_series_that_died_gets_a_forecast_and_no_verdict(tmp_path: Path) -> None:
    data = hourly(300, shops=("north",))
    data.loc[data.index >= 100, "y"] = 5.0
    code, frame = road(tmp_path, data)
    assert code == 0
    assert frame.y_hat.between(4.5, 5.5).all()


def test_a_target_without_its_last_value_is_not_forecast_as_zero(tmp_path: Path) -> None:
    data = hourly(200, shops=("north",)).assign(a=7.0, b=70.0).drop(columns="y")
    moving = hourly(200, shops=("south",)).assign(a=lambda x: x.y, b=lambda x: x.y).drop(columns="y")
    data.loc[data.index >= 197, "b"] = np.nan
    _, frame = road(tmp_path, pd.concat([data, moving]), "--target", "a", "--target", "b")
    still = frame[(frame.unique_id == "north") & (frame.target == "b")]
    assert (still.status == "constant").all()
    assert (still.y_hat == 70).all()


def test_as_of_a_time_before_the_data_is_a_usage_error(trained: Path, tmp_path: Path, capsys: Capture) -> None:
    early = ["predict", "-m", str(trained / "model"), "--as-of", "2023-01-01 00:00:00", "-o", str(tmp_path / "f.csv")]
    assert run(early) == 2
    assert "the first is 2024-01-01 00:00:00" in capsys.readouterr().err


def test_as_of_inside_a_gap_forecasts_from_the_last_row_that_was_there(tmp_path: Path) -> None:
    data = hourly(200, shops=("north",))
    data = data.drop(data.index[150:155])
    as_of = ("--as-of", "2024-01-07 08:00:00")  # row 152
    code, frame = road(tmp_path, data, predict=as_of)
    assert code == 0
    assert set(frame.cutoff) == {"2024-01-07 05:00:00"}
    assert frame.ds.iloc[0] == "2024-01-07 06:00:00"


def test_as_of_still_knows_what_is_known_ahead(tmp_path: Path) -> None:
    data = hourly(200).assign(promo=lambda x: (x.index % 5 == 0).astype(float))
    code, frame = road(tmp_path, data, "--future", "promo", predict=("--as-of", "2024-01-07 23:00:00"))
    assert code == 0
    assert set(frame.cutoff) == {"2024-01-07 23:00:00"}


def test_a_renamed_file_is_still_the_data_the_model_has_seen(tmp_path: Path, capsys: Capture) -> None:
    data = hourly(200, shops=("north",)).drop(columns="unique_id")
    road(tmp_path, data)
    data.to_csv(tmp_path / "renamed.csv", index=False)
    places = ["-o", str(tmp_path / "b.csv"), "--metrics", str(tmp_path / "x.csv")]
    assert run(["backtest", str(tmp_path / "renamed.csv"), "-m", str(tmp_path / "m"), *places]) == 2
    assert "proves nothing" in capsys.readouterr().err


def test_metrics_of_several_targets_say_which(tmp_path: Path) -> None:
    data = hourly(200).assign(z=lambda x: 1000 * x.y)
    road(tmp_path, data, "--target", "y", "--target", "z")
    metrics = pd.read_csv(tmp_path / "m" / "metrics.csv")
    assert set(metrics.target) == {"y", "z"}
    assert not metrics.duplicated(["unique_id", "target", "cutoff", "metric"]).any()
    summary = json.loads((tmp_path / "m" / "manifest.json").read_text())["summary"]["verdict"]["metrics"]
    assert "mae" not in summary
    assert 0 < summary["mase"]["y_hat"] < 5


def test_the_policy_for_short_series_is_kept(tmp_path: Path, capsys: Capture) -> None:
    data = hourly(300)
    brief = data[data.unique_id == "north"].tail(30).assign(unique_id="brief")
    everything = pd.concat([data, brief])
    statuses = {}
    for policy in ("pad", "skip", "naive"):
        code, frame = road(tmp_path, everything, "--short", policy, "--context", "48")
        statuses[policy] = (code, frame.groupby("unique_id").status.first().get("brief"))
    assert statuses == {"pad": (0, "padded"), "skip": (6, None), "naive": (6, "fallback")}
    refused = ["train", str(tmp_path / "d.csv"), "-m", str(tmp_path / "e"), "--horizon", "28", "--short", "error"]
    assert run([*refused, *QUICK, "--context", "48", "--patch", "24"]) == 12
    assert "first brief" in capsys.readouterr().err


def test_where_every_series_is_too_short_their_last_values_are_repeated(trained: Path, tmp_path: Path) -> None:
    pd.read_csv(trained / "data.csv").groupby("unique_id").head(2).to_csv(tmp_path / "two.csv", index=False)
    arguments = ["predict", str(tmp_path / "two.csv"), "-m", str(trained / "model"), "-o", str(tmp_path / "f.csv")]
    assert run([*arguments, "-q"]) == 6
    assert (pd.read_csv(tmp_path / "f.csv").status == "fallback").all()
    assert run([*arguments, "--on-error", "skip", "-q"]) == 12


def test_a_model_can_be_read_by_everybody_who_can_read_its_folder(trained: Path) -> None:
    modes = {file.stat().st_mode for file in (trained / "model").iterdir()}
    assert len(modes) == 1


def test_a_training_that_diverges_exits_5_and_the_old_model_still_forecasts(
    trained: Path, copy: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    model = copy()
    before = digest(model / "manifest.json")
    healthy = Forecaster.loss
    with monkeypatch.context() as patch:
        patch.setattr(Forecaster, "loss", lambda *arguments: healthy(*arguments) * float("inf"))
        assert run(["train", str(trained / "data.csv"), "-m", str(model), "--horizon", "24", *QUICK]) == 5
    told = capsys.readouterr().err
    assert "with half the learning rate" in told
    assert "the largest value in the batch is in series" in told
    assert "--lr" in told.splitlines()[-1]
    assert digest(model / "manifest.json") == before
    assert run(["predict", "-m", str(model), "-o", str(tmp_path / "f.csv"), "-q"]) == 0


def test_a_device_that_is_not_there_exits_7(trained: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["train", str(trained / "data.csv"), "-m", str(tmp_path / "m"), "--device", "cuda:77", *QUICK]
    assert run(arguments) == 7
    assert "use --device auto" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_stopped_by_a_signal_resumes_to_the_same_model(
    trained: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "lstmcast", "train", str(trained / "data.csv"), "--horizon", "24"]
    command += ["--epochs", "60", "--max-steps", "600", "--set", "training.checkpoint_steps=20", "-q"]
    command += ["--members", "1"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert subprocess.run([*command, "-m", str(whole)], check=False).returncode == 0
    with subprocess.Popen([*command, "-m", str(cut)], stderr=subprocess.PIPE, text=True) as process:
        while not (cut / "checkpoints" / "trial-0" / "latest.safetensors").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == code
    assert "--resume" in told.splitlines()[-1]
    assert run(["predict", "-m", str(cut), "-o", str(tmp_path / "f.csv"), "-q"]) == 4
    assert subprocess.run([*command, "-m", str(cut), "--resume"], check=False).returncode == 0
    assert digest(cut / "weights.safetensors") == digest(whole / "weights.safetensors")


def test_static_covariates_go_through_the_command_and_a_new_series_is_forecast(tmp_path: Path) -> None:
    data = hourly(200, shops=("north", "south", "west"))
    data["kind"] = data.unique_id.map({"north": "big", "south": "small", "west": "big"})
    data["area"] = data.unique_id.map({"north": 10, "south": 20, "west": 30})
    data.to_csv(tmp_path / "data.csv", index=False)
    model = str(tmp_path / "m")
    static = ["--static", "kind", "--static", "area", "--static", "unique_id"]
    assert run(["train", str(tmp_path / "data.csv"), "-m", model, "--horizon", "6", *static, *QUICK, "-q"]) == 0
    schema = json.loads((tmp_path / "m" / "manifest.json").read_text())["schema"]
    assert schema["static"] == ["kind", "area", "unique_id"]
    later = pd.concat([data, data[data.unique_id == "north"].assign(unique_id="new", kind="odd")])
    later.to_csv(tmp_path / "later.csv", index=False)
    out = tmp_path / "f.csv"
    assert run(["predict", str(tmp_path / "later.csv"), "-m", model, "-o", str(out), "-q"]) == 0
    frame = pd.read_csv(out)
    assert frame[frame.unique_id == "new"].y_hat.notna().all()
    known, new = (frame[frame.unique_id == name].y_hat.to_numpy() for name in ("north", "new"))
    assert not np.allclose(known, new, rtol=1e-6)
    assert np.allclose(known, new, rtol=0.2)
