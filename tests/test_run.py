"""A scheduled job, night by night: what it publishes, what it remembers, and how each kind of night ends."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shlex
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from lstmcast.artifact import load, seal
from lstmcast.cli.app import run as command
from lstmcast.errors import BusyError, DataError, UsageError
from lstmcast.ops import delivery
from lstmcast.ops.lock import held
from lstmcast.ops.schedule import schedule
from lstmcast.outcome import Notice, Outcome, Report
from lstmcast.recipes import run as recipe
from lstmcast.recipes.history import history as recipe_of_history
from lstmcast.recipes.listing import choices
from lstmcast.recipes.run import run

JOB = {
    "input": "sales.csv",
    "model": "models/sales",
    "retrain": "never",
    "predict": {"horizon": 12, "output": "out/forecasts.csv"},
    "settle": "0s",
    "network": {"hidden": 4, "context": 48, "base": "seasonal"},
    "training": {"max_steps": 12, "members": 1},
}
DAY = 2 * 24  # rows a day brings
FIRST = 15 * DAY


def hourly(days: int = 24) -> pd.DataFrame:
    """Two shops in order of time, a daily wave with noise; the same rows for every length."""
    hours, noise = np.arange(24 * 40), np.random.default_rng(3)
    frames = []
    for number, shop in enumerate(("north", "south")):
        value = 50 * (number + 1) + 10 * np.sin(2 * np.pi * hours / 24) + noise.normal(size=len(hours))
        times = pd.date_range("2024-03-01", periods=len(hours), freq="h")
        frames.append(pd.DataFrame({"unique_id": shop, "ds": times, "y": value.round(3)}))
    rows = pd.concat(frames).sort_values(["ds", "unique_id"], ignore_index=True)
    return rows.head(days * DAY)


def deliver(folder: Path, rows: int) -> None:
    hourly().head(rows).to_csv(folder / "sales.csv", index=False)


def write_job(folder: Path, *, name: str = "sales", **changes: Any) -> Path:
    path = folder / f"{name}.yaml"
    if "training" in changes:
        changes["training"] = {"members": 1, **changes["training"]}
    path.write_text(yaml.safe_dump(JOB | changes))
    return path


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after the first night of its job."""
    folder = tmp_path_factory.mktemp("first")
    deliver(folder, FIRST)
    assert run(write_job(folder)).code == 0
    return folder


@pytest.fixture
def folder(first_night: Path, tmp_path: Path) -> Path:
    """A copy of the folder after the first night."""
    return shutil.copytree(first_night, tmp_path / "job")


def rows_of(folder: Path, table: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "lstmcast.db") as database:
        return database.execute(f"SELECT * FROM {table}").fetchall()


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").iterdir())}


def history(job: Path, **wishes: Any) -> Outcome:
    return recipe_of_history(job, choices=choices(), **wishes)


def notices(job: Path, **wishes: Any) -> tuple[Outcome, list[Notice]]:
    said: list[Report] = []
    outcome = run(job, on_progress=said.append, **wishes)
    return outcome, [report for report in said if isinstance(report, Notice)]


def test_the_first_night_trains_and_publishes_with_a_status_that_vouches_for_every_file(first_night: Path) -> None:
    status = json.loads((first_night / "out" / "status.json").read_text())
    assert (status["job"], status["exit_code"], status["status"]) == ("sales", 0, {"ok": 2})
    assert sorted(outputs(first_night)) == ["forecasts.csv", "forecasts.csv.meta.json", "status.csv", "status.json"]
    for path, digest in status["sha256"].items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
    frame = pd.read_csv(first_night / "out" / "forecasts.csv")
    assert (len(frame), frame["step"].max()) == (24, 12)
    sidecar = json.loads((first_night / "out" / "forecasts.csv.meta.json").read_text())
    assert sidecar["sources"] == [str(first_night / "sales.csv")]
    assert sidecar["output"] == str(first_night / "out" / "forecasts.csv")
    assert len(rows_of(first_night, "forecasts")) == 24


def test_input_that_has_not_changed_is_nothing_to_do(folder: Path) -> None:
    before, runs = outputs(folder), rows_of(folder, "runs")
    outcome = run(folder / "sales.yaml")
    assert (outcome.code, outcome.facts["noop"]) == (0, True)
    assert "nothing to do" in outcome.lines[0]
    assert outputs(folder) == before
    assert rows_of(folder, "runs") == runs


def test_a_changed_job_or_a_lost_output_is_something_to_do(folder: Path) -> None:
    job = folder / "sales.yaml"
    run(job)
    (folder / "out" / "status.csv").unlink()
    assert run(job).facts["noop"] is False
    write_job(folder, predict={"horizon": 6, "output": "out/forecasts.csv"})
    assert run(job).facts["noop"] is False
    assert pd.read_csv(folder / "out" / "forecasts.csv")["step"].max() == 6


def test_running_a_night_twice_is_running_it_once(folder: Path) -> None:
    deliver(folder, FIRST + DAY)
    run(folder / "sales.yaml")
    once = outputs(folder)["forecasts.csv"], len(rows_of(folder, "forecasts")), len(rows_of(folder, "scores"))
    (folder / "out" / "status.csv").unlink()
    run(folder / "sales.yaml")
    assert (outputs(folder)["forecasts.csv"], len(rows_of(folder, "forecasts")), len(rows_of(folder, "scores"))) == once
    assert once[1:] == (48, 24)


def test_forecasts_are_scored_when_their_actuals_arrive(folder: Path) -> None:
    forecast = pd.read_csv(folder / "out" / "forecasts.csv")
    deliver(folder, FIRST + 6)  # three of the twelve hours
    outcome = run(folder / "sales.yaml")
    assert outcome.facts["scored"] == 6
    scored = pd.DataFrame(history(folder / "sales.yaml").facts["nights"])
    truth = hourly().iloc[FIRST : FIRST + 6]
    both = truth.assign(ds=truth["ds"].astype(str)).merge(forecast, on=["unique_id", "ds"])
    assert scored["mae"].iloc[0] == pytest.approx((both["y_hat"] - both["y"]).abs().mean())
    inside = both["y"].between(both["y_hat-lo-80"], both["y_hat-hi-80"])
    assert scored["coverage-80"].iloc[0] == pytest.approx(inside.mean())


def test_rows_that_were_restated_are_said_and_scored_anew(folder: Path) -> None:
    deliver(folder, FIRST + DAY)
    run(folder / "sales.yaml")
    rows = hourly().head(FIRST + 2 * DAY)
    rows.loc[FIRST, "y"] += 5
    rows.to_csv(folder / "sales.csv", index=False)
    outcome, said = notices(folder / "sales.yaml")
    assert outcome.facts["restated"] == 1
    assert any("are not what they were" in notice.text and notice.level == "warning" for notice in said)
    with sqlite3.connect(folder / "lstmcast.db") as database:
        values = [y for (y,) in database.execute("SELECT y FROM actuals")]
    assert any(y == pytest.approx(rows.loc[FIRST, "y"]) for y in values)


def test_a_file_that_only_grew_is_read_from_its_tail_with_the_same_forecast(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TAIL_ROWS", 100)
    deliver(folder, FIRST + DAY)
    assert run(folder / "sales.yaml").facts["read"] == "all"
    deliver(folder, FIRST + 2 * DAY)
    shutil.copytree(folder, folder.with_name("whole"))
    outcome = run(folder / "sales.yaml")
    assert (outcome.facts["read"], outcome.facts["scored"]) == ("tail", 24)
    monkeypatch.setattr(delivery, "TAIL_ROWS", 0)
    other = folder.with_name("whole")
    assert run(other / "sales.yaml").facts["read"] == "all"
    assert outputs(folder)["forecasts.csv"] == outputs(other)["forecasts.csv"]


def test_a_model_that_measures_by_the_whole_series_is_told_what_came_before_the_tail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TAIL_ROWS", 100)
    network = {"hidden": 4, "context": 48, "base": "none", "transform": "none", "spread": "history"}
    detect = {"output": "out/anomalies.csv", "events": "out/events.csv"}
    job = write_job(tmp_path, network=network, detect=detect)
    rows = hourly()
    rows["y"] += np.where(np.arange(len(rows)) < 4 * DAY, 80, 0)  # the tail alone would not tell this scale
    for night in range(3):
        rows.head(FIRST + night * DAY).to_csv(tmp_path / "sales.csv", index=False)
        before = shutil.copytree(tmp_path, tmp_path.with_name(f"before-{night}"))
        assert run(job).facts["read"] == ("tail" if night else "all")
    monkeypatch.setattr(delivery, "TAIL_ROWS", 0)
    assert run(before / "sales.yaml").facts["read"] == "all"
    tail, whole = tmp_path / "out", before / "out"
    near, far = (pd.read_csv(place / "forecasts.csv") for place in (tail, whole))
    pd.testing.assert_frame_equal(near, far, rtol=1e-6)
    near, far = (pd.read_csv(place / "anomalies.csv", index_col=["unique_id", "ds"]) for place in (tail, whole))
    new = near.index[-DAY:]
    pd.testing.assert_series_equal(near.loc[new, "y_hat"], far.loc[new, "y_hat"], rtol=1e-6)


@pytest.mark.parametrize("change", ["late", "restated", "new series gone"])
def test_a_file_that_did_more_than_grow_is_read_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(delivery, "TAIL_ROWS", 100)
    rows = hourly().head(FIRST + 2 * DAY)
    late = rows.iloc[[40]]
    rows.drop(index=40).head(FIRST + DAY).to_csv(folder / "sales.csv", index=False)
    run(folder / "sales.yaml")
    if change == "late":
        pd.concat([rows.drop(index=40), late]).to_csv(folder / "sales.csv", index=False)
    elif change == "restated":
        rows.drop(index=40).assign(y=lambda frame: frame["y"] + 1).to_csv(folder / "sales.csv", index=False)
    else:
        rows[rows["unique_id"] == "north"].to_csv(folder / "sales.csv", index=False)
    outcome, said = notices(folder / "sales.yaml")
    assert outcome.facts["read"] == "all"
    assert any("no longer in the input, south" in notice.text for notice in said) == (change == "new series gone")


def test_a_line_that_is_not_finished_yet_is_tried_later(folder: Path) -> None:
    deliver(folder, FIRST + DAY)
    run(folder / "sales.yaml")
    with (folder / "sales.csv").open("a") as file:
        file.write("north,2024-03-17 00:00:00,5")
    before = outputs(folder)
    with pytest.raises(BusyError, match=r"the last line of .*sales\.csv is not finished"):
        run(folder / "sales.yaml")
    assert outputs(folder) == before


def test_input_that_changes_while_it_is_read_is_tried_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(folder, FIRST + DAY)
    before, predict = outputs(folder), recipe.predict

    def meanwhile(*arguments: Any, **options: Any) -> Outcome:
        deliver(folder, FIRST + 2 * DAY)
        return predict(*arguments, **options)

    monkeypatch.setattr(recipe, "predict", meanwhile)
    with pytest.raises(BusyError, match=r"sales\.csv changed while it was read"):
        run(folder / "sales.yaml")
    assert outputs(folder) == before
    assert rows_of(folder, "runs")[-1][4] == 75


def test_input_that_lost_its_end_is_refused_unless_it_is_accepted(folder: Path) -> None:
    deliver(folder, FIRST - DAY)
    before = outputs(folder)
    with pytest.raises(DataError, match="the last run had rows up to 2024-03-15 23:00:00") as told:
        run(folder / "sales.yaml")
    assert "--accept-older" in told.value.remedy
    assert outputs(folder) == before
    assert run(folder / "sales.yaml", accept_older=True).code == 0


def test_rows_older_than_stale_after_end_with_11_and_say_so_in_the_forecast(folder: Path) -> None:
    job = write_job(folder, stale_after="36h")
    near, far = dt.datetime(2024, 3, 17, 11, tzinfo=dt.UTC), dt.datetime(2024, 3, 17, 12, tzinfo=dt.UTC)
    assert run(job, now=near).code == 0
    assert run(job, now=far).code == 11  # nothing new, and that is the news
    (folder / "out" / "status.csv").unlink()
    assert run(job, now=far).code == 11
    assert set(pd.read_csv(folder / "out" / "forecasts.csv")["status"]) == {"stale"}


def test_one_stale_series_is_a_partial_night(folder: Path) -> None:
    rows = hourly().head(FIRST + 3 * DAY)
    rows[(rows["unique_id"] == "north") | (rows.index < FIRST)].to_csv(folder / "sales.csv", index=False)
    job = write_job(folder, stale_after="36h")
    assert run(job, now=dt.datetime(2024, 3, 19, tzinfo=dt.UTC)).code == 6
    series = pd.read_csv(folder / "out" / "status.csv", index_col="unique_id")
    assert series["status"].to_dict() == {"north": "ok", "south": "stale"}


def test_a_series_the_network_cannot_forecast_gets_seasonal_naive_and_the_batch_goes_on(folder: Path) -> None:
    new = pd.DataFrame({"unique_id": "new", "ds": pd.date_range("2024-03-15", periods=20, freq="h"), "y": range(20)})
    job = write_job(folder, reader={"short": "naive"})
    shutil.rmtree(folder / "models")
    pd.concat([hourly().head(FIRST), new]).to_csv(folder / "sales.csv", index=False)
    assert run(job).code == 6
    frame = pd.read_csv(folder / "out" / "forecasts.csv")
    assert frame[frame["unique_id"] == "new"]["status"].unique() == ["fallback"]
    assert frame[frame["unique_id"] == "north"]["status"].unique() == ["ok"]
    series = pd.read_csv(folder / "out" / "status.csv", index_col="unique_id")
    assert "the last season is repeated" in series.loc["new", "reason"]


def test_the_lock_of_a_running_job_is_waited_for_only_on_request(folder: Path) -> None:
    job = folder / "sales.yaml"
    with held(folder / ".sales.lock"):
        assert command(["run", str(job), "-q"]) == 75
        assert command(["run", str(job), "-q", "--lock-timeout", "0.1"]) == 75
    assert command(["run", str(job), "--fail-on-anomaly", "-q"]) == 0


def test_an_event_is_new_only_once(folder: Path) -> None:
    job = write_job(folder, detect={"budget": "1/week", "output": "out/anomalies.csv", "events": "out/events.csv"})
    rows = hourly().head(FIRST + DAY)
    rows.loc[FIRST - 20, "y"] += 400
    rows.to_csv(folder / "sales.csv", index=False)
    assert run(job, fail_on_anomaly=True).code == 10
    assert len(rows_of(folder, "events")) >= 1
    told = len(rows_of(folder, "events"))
    (folder / "out" / "status.csv").unlink()
    assert run(job, fail_on_anomaly=True).code == 0
    assert len(rows_of(folder, "events")) == told


def test_a_drop_of_skill_is_drift(folder: Path) -> None:
    manifest = folder / "models" / "sales" / "manifest.json"
    facts = json.loads(manifest.read_text())
    facts["summary"]["verdict"]["skill"] = 0.99
    del facts["seal"]
    manifest.write_text(json.dumps({**facts, "seal": seal(facts)}))
    deliver(folder, FIRST + DAY)
    outcome = run(folder / "sales.yaml", fail_on_drift=True)
    assert (outcome.code, outcome.facts["drift"]) == (1, True)


def test_a_new_model_takes_the_place_of_the_old_one_only_if_it_is_not_worse(folder: Path) -> None:
    deliver(folder, FIRST + 6 * DAY)
    before = (folder / "models" / "sales" / "manifest.json").read_bytes()
    worse = write_job(folder, retrain="always", training={"max_steps": 1, "learning_rate": 1, "ema": 0, "seed": 5})
    outcome, said = notices(worse)
    assert outcome.facts["retrain"]["promoted"] is False
    assert any("is not promoted: MASE" in notice.text for notice in said)
    assert (folder / "models" / "sales" / "manifest.json").read_bytes() == before
    assert sorted(place.name for place in (folder / "models").iterdir()) == ["sales"]


def test_old_models_are_kept_as_many_as_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "not_worse", lambda *_: (True, "equal"))
    job, first = write_job(folder, retrain="always", keep=2), dt.datetime(2024, 4, 1, 2, 15, tzinfo=dt.UTC)
    for night in range(1, 5):
        deliver(folder, FIRST + night * DAY)
        assert run(job, now=first + dt.timedelta(days=night)).facts["retrain"]["promoted"]
    kept = sorted(place.name for place in (folder / "models" / "sales.old-models").iterdir())
    assert kept == ["2024-04-04T02-15-00Z", "2024-04-05T02-15-00Z"]
    assert command(["model", "verify", str(folder / "models" / "sales.old-models" / kept[0]), "-q"]) == 0


def test_an_attempt_that_was_not_promoted_counts_as_a_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "not_worse", lambda *_: (False, "worse"))
    job = write_job(folder, retrain={"max_age": "7d", "min_new_rows": "5%", "max_skill_drop": "1000%"})
    start = dt.datetime.now(dt.UTC) + dt.timedelta(days=8)
    deliver(folder, FIRST + 2 * DAY)
    assert run(job, now=start).facts["retrain"]["due"] is True
    deliver(folder, FIRST + 3 * DAY)
    assert run(job, now=start + dt.timedelta(days=1)).facts["retrain"]["due"] is False


def test_out_of_memory_trains_again_with_half_the_batch_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(folder / "models")
    train, tried = recipe.train, []

    def scarce(*arguments: Any, **options: Any) -> Outcome:
        if not options.get("dry_run"):
            tried.append(options["settings"].training.batch)
            if tried[-1] is None or tried[-1] > 8:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return train(*arguments, **options)

    monkeypatch.setattr(recipe, "train", scarce)
    _, said = notices(write_job(folder, training={"max_steps": 12, "batch": 32}))
    assert tried == [32, 16, 8]
    assert any("training again with 16 windows a step instead of 32" in notice.text for notice in said)


def test_two_jobs_live_side_by_side_but_not_in_one_status_file(folder: Path) -> None:
    beside = {"predict": {"horizon": 6, "output": "out/brief.csv"}}
    with pytest.raises(UsageError, match="belongs to the job 'sales'"):
        run(write_job(folder, name="short", **beside))
    assert run(write_job(folder, name="short", status="out/short.json", **beside)).code == 0
    assert history(folder / "short.yaml").facts["runs"] == 2  # the refused one too
    assert run(folder / "sales.yaml").code == 0


def test_history_tells_every_night_and_draws_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for night in range(1, 4):
        deliver(folder, FIRST + night * DAY)
        run(folder / "sales.yaml")
    chart = folder / "accuracy.html"
    assert command(["history", str(folder / "sales.yaml"), "-o", str(chart), "--nights", "2"]) == 0
    shown = capsys.readouterr()
    names, *rows = [line.split("\t") for line in shown.out.splitlines()]
    assert names == ["cutoff", "scored", "mae", "baseline_mae", "skill", "coverage-80", "coverage-95"]
    assert [row[:2] for row in rows] == [["2024-03-16 23:00:00", "24"], ["2024-03-17 23:00:00", "24"]]
    assert "4 runs, 1 training;" in shown.err
    assert any(line.startswith("skill    ") and len(line) == 11 for line in shown.err.splitlines())
    assert "Accuracy of sales" in chart.read_text()
    one = history(folder / "sales.yaml", series=("north",)).facts["nights"]
    assert [night["scored"] for night in one] == [12, 12, 12]
    with pytest.raises(UsageError, match="no forecast of a series 'east'"):
        history(folder / "sales.yaml", series=("east",))


def test_forecasts_finished_and_stored_in_parts_are_those_of_the_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = hourly().head(FIRST + DAY)
    new = [rows[rows["unique_id"] == "north"].tail(2).assign(unique_id=f"new {k}") for k in range(3)]  # too short
    pd.concat([rows.head(FIRST), new[0], rows.tail(DAY), *new[1:]]).to_csv(folder / "sales.csv", index=False)
    shutil.copytree(folder, other := folder.with_name("parts"))
    assert run(folder / "sales.yaml").code == 6
    monkeypatch.setattr("lstmcast.ops.tonight._ROWS", 1)
    assert run(other / "sales.yaml").code == 6
    for name in ("forecasts.csv", "status.csv"):
        assert outputs(folder)[name] == outputs(other)[name]
    query = (
        "select unique_id, cutoff, ds_text, step, y_hat, quantiles, baseline, status from forecasts order by 1, 2, 4"
    )
    stored = []
    for place in (folder, other):
        with closing(sqlite3.connect(place / "lstmcast.db")) as database:
            stored.append(pd.read_sql_query(query, database))
    assert (stored[0]["status"] == "fallback").sum() == 3 * 12
    pd.testing.assert_frame_equal(*stored)


def test_a_job_file_that_is_not_there_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the job file .*none\.yaml cannot be read: No such file"):
        run(tmp_path / "none.yaml")


def test_a_series_that_is_late_is_named_and_the_first_night_says_everything_once(tmp_path: Path) -> None:
    rows = hourly().head(FIRST)
    rows["y"] += np.where(np.arange(len(rows)) == FIRST - 100, 500, 0)  # an event of the past
    rows.head(FIRST - 1).to_csv(tmp_path / "sales.csv", index=False)
    detect = {"output": "out/anomalies.csv", "events": "out/events.csv"}
    job = write_job(tmp_path, detect=detect, training={"max_steps": 2})
    outcome, said = notices(job)
    texts = [notice.text for notice in said]
    assert len(texts) == len(set(texts))
    assert "1 of 2 series end before the newest row: south" in texts
    events = len(outcome.facts["new_events"])
    assert events
    assert f"{events} events in the rows up to now: {tmp_path / 'out' / 'events.csv'}" in texts
    assert not [text for text in texts if text.startswith("new event")]


def test_history_before_the_first_actual_says_so(first_night: Path) -> None:
    assert "no forecast has met its actuals yet" in history(first_night / "sales.yaml").lines[0]


def test_the_log_has_one_json_document_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deliver(folder, FIRST + DAY)
    assert command(["run", str(folder / "sales.yaml"), "--log-format", "jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {"time", "level", "message"} == set(lines[0])
    assert any("2 series forecast (2 ok)" in line["message"] for line in lines)


def test_the_schedule_names_the_job_and_runs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = folder / "100% sales.yaml"
    shutil.copy(folder / "sales.yaml", job)
    assert command(["run", str(job), "--print-schedule"]) == 0
    text = capsys.readouterr().out
    cron = next(line for line in text.splitlines() if line.startswith("15 2 * * *"))
    assert r"100\% sales.yaml'" in cron
    assert "OnCalendar=*-*-* 02:15:00" in text
    assert f'"{folder}/100%% sales.yaml"' in text
    assert "SuccessExitStatus=6 75 143" in text
    assert str(Path(sys.executable).parent) in shlex.split(cron)[8]


def test_a_program_of_several_words_stays_several_words_in_the_schedule() -> None:
    text = schedule(Path("/srv/sales.yaml"), program=["/opt/my python", "-m", "lstmcast"])
    assert "&& '/opt/my python' -m lstmcast run /srv/sales.yaml --log-format jsonl" in text
    assert 'ExecStart="/opt/my python" -m lstmcast run /srv/sales.yaml --log-format jsonl' in text


def test_every_fault_of_a_job_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "modle: m\nretrain: {max_age: soon}\npredict: {outptu: x, levels: [200]}\nkeep: -1\ntraining: {maxsteps: 3}\n"
    )
    with pytest.raises(UsageError) as told:
        run(tmp_path / "bad.yaml")
    for part in (
        "input: is missing",
        "unknown key 'modle'; did you mean 'model'?",
        "retrain.max_age: write a number and a unit",
        "unknown key 'predict.outptu'; did you mean 'output'?",
        "keep:",
        "did you mean 'max_steps'?",
    ):
        assert part in told.value.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detect": {"output": "out/forecasts.csv"}}, "two outputs would be written to"),
        ({"input": "out/forecasts.csv"}, "is an input and an output"),
        ({"input": "-"}, "a job cannot read standard input"),
        ({"store": "mysql://u:secret@host/x"}, "store"),
        ({"store": "nonsense"}, "not a database URL"),
    ],
)
def test_a_job_that_would_harm_itself_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    deliver(tmp_path, FIRST)
    with pytest.raises(UsageError, match=message) as told:
        run(write_job(tmp_path, **change))
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("zone", "begin", "now"),
    [
        ("Europe/Berlin", "2024-10-20", "2024-10-27T02:30:00+02:00"),
        ("America/New_York", "2024-03-03", "2024-03-10T03:30:00-04:00"),
        ("Asia/Kolkata", "2024-02-22", "2024-02-29T00:30:00+05:30"),
    ],
)
def test_nights_when_clocks_change_and_leap_days_keep_one_forecast_an_hour(
    tmp_path: Path, zone: str, begin: str, now: str
) -> None:
    hours = pd.date_range(begin, periods=24 * 9, freq="h", tz=zone)
    value = 50 + 10 * np.sin(2 * np.pi * np.arange(len(hours)) / 24)
    wall = pd.DataFrame({"ds": hours.tz_localize(None).astype(str), "y": value.round(3)})
    job = write_job(tmp_path, reader={"tz": zone}, stale_after="2d")
    for night in range(3):
        wall.head(24 * 6 + 12 + 24 * night).to_csv(tmp_path / "sales.csv", index=False)
        assert run(job, now=dt.datetime.fromisoformat(now) + dt.timedelta(days=night)).code == 0
    frame = pd.read_csv(tmp_path / "out" / "forecasts.csv")
    last = hours[24 * 8 + 11]
    assert frame["ds"].tolist() == [(last + pd.Timedelta(hours=n)).strftime("%Y-%m-%d %H:%M:%S") for n in range(1, 13)]
    keys = [(row[1], row[3], row[4]) for row in rows_of(tmp_path, "forecasts")]
    assert len(set(keys)) == len(keys) == 36
    steps = sorted({row[4] for row in rows_of(tmp_path, "forecasts")})
    assert len(steps) == 36
    assert len(rows_of(tmp_path, "scores")) == 24


def test_a_stateful_model_reads_on_from_night_to_night(tmp_path: Path) -> None:
    """Two nights one after the other end as one night that brings both deliveries."""
    folder, other = tmp_path / "nights", tmp_path / "night"
    network, training = {"hidden": 4, "decoder": "direct", "patch": 4}, {"max_steps": 6, "stateful": True}
    folder.mkdir()
    deliver(folder, FIRST)
    job = write_job(folder, network=network, training=training, detect={})
    assert run(job).code == 0
    shutil.copytree(folder, other)
    (other / "sales.yaml").write_text(job.read_text())
    for rows in (FIRST + 2 * 7, FIRST + 2 * 30):  # in the middle of a patch
        deliver(folder, rows)
        assert run(job).code == 0
    deliver(other, FIRST + 2 * 30)
    assert run(other / "sales.yaml").code == 0
    advanced = [load(place / "models" / "sales").state for place in (folder, other)]
    assert advanced[0] is not None
    assert advanced[1] is not None
    np.testing.assert_array_equal(advanced[0]["newest"], advanced[1]["newest"])
    for name in (name for name in advanced[0] if name.startswith("state.")):
        np.testing.assert_allclose(advanced[0][name], advanced[1][name], rtol=1e-4, atol=1e-5)
    one, two = (pd.read_csv(place / "out" / "forecasts.csv")["y_hat"] for place in (folder, other))
    pd.testing.assert_series_equal(one, two, rtol=1e-4)  # intervals adapt to what each night has scored


@pytest.mark.parametrize("change", ["appended", "a gap", "one series only", "above its level"])
def test_a_stateful_model_reads_the_tail_alone_and_forecasts_as_from_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(delivery, "TAIL_ROWS", 60)
    folder, whole = tmp_path / "tail", tmp_path / "whole"
    network, training = {"hidden": 4, "decoder": "direct", "patch": 4}, {"max_steps": 6, "stateful": True}
    rows = hourly()
    if change == "above its level":
        rows["y"] += 1e7  # which is taken off before float32, and depends on the rows that are read
    elif change == "a gap":  # shorter than max_gap in one series, longer in the other
        gone = {"north": range(FIRST // 2 + 3, FIRST // 2 + 5), "south": range(FIRST // 2 + 3, FIRST // 2 + 20)}
        hour = rows.groupby("unique_id").cumcount()
        rows = rows[[k not in gone[name] for name, k in zip(rows["unique_id"], hour, strict=True)]]
    elif change == "one series only":
        rows = rows[(rows["unique_id"] == "north") | (rows.groupby("unique_id").cumcount() < FIRST // 2)]
    folder.mkdir()
    rows.head(FIRST).to_csv(folder / "sales.csv", index=False)
    job = write_job(folder, network=network, training=training)
    run(job)
    shutil.copytree(folder, whole)
    for night in (FIRST + 14, FIRST + 41, FIRST + 49):  # in the middle of a patch
        for place in (folder, whole):
            rows.head(night).to_csv(place / "sales.csv", index=False)
        read = run(job).facts["read"]
        assert read == ("all" if change == "above its level" else "tail")
        with monkeypatch.context() as patched:
            patched.setattr("lstmcast.ops.intake._tail_is_enough", lambda *_: False)
            assert run(whole / "sales.yaml").facts["read"] == "all"
        assert outputs(folder)["forecasts.csv"] == outputs(whole)["forecasts.csv"]
        assert outputs(folder)["status.csv"] == outputs(whole)["status.csv"]
        one, two = (load(place / "models" / "sales").state for place in (folder, whole))
        assert one is not None
        assert two is not None
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_a_state_that_read_other_rows_than_were_noted_reads_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TAIL_ROWS", 60)
    network, training = {"hidden": 4, "decoder": "direct", "patch": 4}, {"max_steps": 6, "stateful": True}
    deliver(tmp_path, FIRST)
    job = write_job(tmp_path, network=network, training=training)
    run(job)
    for file in ("sales.csv", "other.csv"):  # a file with other rows comes between, by hand
        rows = hourly().head(FIRST + DAY)
        rows.assign(y=rows["y"] + (file == "other.csv")).to_csv(tmp_path / file, index=False)
    assert command(["predict", str(tmp_path / "other.csv"), "-m", str(tmp_path / "models" / "sales"), "--advance",
                    "-o", str(tmp_path / "by-hand.csv"), "-q"]) == 0  # fmt: skip
    assert run(job).facts["read"] == "all"


def test_a_stateful_model_that_also_detects_reads_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TAIL_ROWS", 60)
    network, training = {"hidden": 4, "decoder": "direct", "patch": 4}, {"max_steps": 6, "stateful": True}
    deliver(tmp_path, FIRST)
    job = write_job(tmp_path, network=network, training=training, detect={})
    run(job)
    deliver(tmp_path, FIRST + DAY)
    assert run(job).facts["read"] == "all"


def test_a_clock_that_jumps_changes_neither_forecasts_nor_policy(folder: Path) -> None:
    job = write_job(folder, retrain={"max_age": "7d", "max_skill_drop": "900%"}, stale_after="2d")
    true = dt.datetime(2024, 3, 17, 1, tzinfo=dt.UTC)
    deliver(folder, FIRST + DAY)
    back = run(job, now=true - dt.timedelta(days=4000))
    assert (back.code, back.facts["retrain"]["due"], back.facts["status"]) == (0, False, {"ok": 2})
    forecasts = outputs(folder)["forecasts.csv"]
    (folder / "out" / "status.csv").unlink()
    assert run(job, now=true).code == 0
    assert outputs(folder)["forecasts.csv"] == forecasts
    (folder / "out" / "status.csv").unlink()
    far = run(job, now=true + dt.timedelta(days=4000))
    assert (far.code, far.facts["retrain"]["due"]) == (11, True)  # old data, and an old model
    assert len({(row[1], row[3], row[4]) for row in rows_of(folder, "forecasts")}) == len(rows_of(folder, "forecasts"))


@pytest.mark.parametrize(
    "place", ["models/sales", "models/sales.old-models", "models/.sales.candidate/checkpoints/trial-0"]
)
def test_what_a_killed_run_left_half_written_is_swept_wherever_it_lies(folder: Path, place: str) -> None:
    (folder / place / ".2024.a1b2c3d4.tmp").mkdir(parents=True)
    (folder / place / ".kept").touch()  # not ours
    assert run(folder / "sales.yaml").facts["noop"] is True
    assert [path.name for path in (folder / place).glob(".*")] == [".kept"]


def test_a_night_without_covariates_ahead_lists_them_where_they_stay_and_says_what_a_job_can_do(tmp_path: Path) -> None:
    rows = hourly().assign(promo=lambda rows: rows["ds"].dt.hour % 3)
    whole, ahead = rows.head(FIRST), rows.iloc[FIRST : FIRST + DAY].assign(y=np.nan)
    pd.concat([whole, ahead]).to_csv(tmp_path / "sales.csv", index=False)
    job = write_job(tmp_path, reader={"future": ["promo"]}, network={**JOB["network"], "integer": True, "minimum": 0})
    assert run(job).code == 0
    frame = pd.read_csv(tmp_path / "out" / "forecasts.csv", dtype=str)
    assert frame.filter(like="y_hat").map(str.isdigit).all(axis=None)  # whole numbers are written as such
    before = (tmp_path / "out" / "forecasts.csv").read_bytes()
    rows.head(FIRST + DAY).to_csv(tmp_path / "sales.csv", index=False)
    with pytest.raises(DataError, match="24 rows of future-known covariates") as refused:
        run(job)
    listed = tmp_path / "out" / "sales.missing_future.csv"
    assert str(listed) in refused.value.message
    assert "add them to the input" in refused.value.remedy
    assert "future_fill: ffill" in refused.value.remedy
    assert len(pd.read_csv(listed)) == 24
    assert (tmp_path / "out" / "forecasts.csv").read_bytes() == before
