"""Thirty nights of a scheduled job on real hourly load, with what happens to files in a month.

    python benchmarks/thirty_nights.py pjm_hourly.csv.gz

The file is long (`unique_id,ds,y`); its last weeks arrive night by night. One delivery is late, one restates rows, one
comes twice, one is corrupt, one night the clocks change, one run is killed. Prints a JSON line a night and a last one
with the verdict: each night's exit code is as documented, the store holds exactly one forecast per night and series,
every forecast stands at its hour of the wall clock, a training was begun by the policy, and the accuracy over time can
be drawn. Exit code 1 if not.

The store tells fewer runs than nights: one that finds nothing new (late, doubled) leaves no line there, one that is
killed leaves its own beside that of its repetition. It tells one training more than the policy began, the first.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

NIGHTS, HORIZON = 30, 24
LATE, RESTATED, TWICE, CORRUPT, CRASH = 5, 9, 12, 16, 24
CHANGE = pd.Timestamp("2017-03-12")  # the day clocks were set forward: one hour of every series is missing
UNFINISHED = -1  # what the store says of a run that was killed
RUN = """
import datetime, json, sys
from pathlib import Path
from lstmcast.cli.failures import failure
from lstmcast.recipes.run import run
try:
    outcome = run(Path(sys.argv[1]), now=datetime.datetime.fromisoformat(sys.argv[2]))
    told = {"code": outcome.code} | {k: outcome.facts.get(k) for k in ("noop", "scored", "restated", "retrain", "read")}
except BaseException as error:
    ending = failure(error)
    told = {"code": ending.code, "error": ending.message}
sys.stdout.write(json.dumps(told))
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data", help="the long file of hourly load")
    options.add_argument("--days", type=int, default=150, help="days of history before the first night")
    options.add_argument("--steps", type=int, default=60, help="optimiser steps of a training")
    options.add_argument("--folder", type=Path, help="keep job, outputs and store here, with a chart of the accuracy")
    options.add_argument("--until", default="2017-04-01", help="the day after the last night")
    chosen = options.parse_args()
    rows = pd.read_csv(chosen.data)
    rows = rows.assign(time=pd.to_datetime(rows["ds"])).sort_values(["time", "unique_id"], kind="stable")
    end = pd.Timestamp(chosen.until)
    first = end - pd.Timedelta(days=NIGHTS)
    rows = rows[(rows["time"] >= first - pd.Timedelta(days=chosen.days)) & (rows["time"] < end)]
    series = rows.groupby("unique_id")["time"].max()
    rows = rows[rows["unique_id"].isin(series.index[series >= end - pd.Timedelta(hours=1)])]
    if chosen.folder is not None:
        chosen.folder.mkdir(parents=True)
        return month(chosen.folder, rows, first, steps=chosen.steps)
    with tempfile.TemporaryDirectory() as folder:
        return month(Path(folder), rows, first, steps=chosen.steps)


def month(folder: Path, rows: pd.DataFrame, first: pd.Timestamp, *, steps: int) -> int:
    job = {
        "input": "load.csv",
        "retrain": {"max_age": "14d", "min_new_rows": "5%", "max_skill_drop": "80%"},
        "predict": {"horizon": HORIZON, "output": "out/forecasts.csv"},
        "stale_after": "3d",
        "settle": "0s",
        "network": {"context": 168, "hidden": 16},
        "training": {"max_steps": steps},
    }
    (folder / "load.yaml").write_text(yaml.safe_dump(job))
    faults: list[str] = []
    codes: list[int] = []
    trained = 0
    for night in range(1, NIGHTS + 1):
        now = first.to_pydatetime() + dt.timedelta(days=night, hours=2, minutes=15)
        expected = deliver(folder, rows, first, night)
        if night == CRASH:
            crash(folder, now)
            codes.append(UNFINISHED)
        told = one_night(folder, now)
        codes += [] if told.get("noop") else [told["code"]]
        trained += bool((told.get("retrain") or {}).get("due"))
        print(json.dumps({"night": night, "now": str(now), "happens": expected["what"], **told}), flush=True)
        if told["code"] != expected["code"] or bool(told.get("noop")) != expected["noop"]:
            faults.append(f"night {night} ({expected['what']}): {told}, expected {expected}")
    return verdict(folder, rows, trained, codes, faults)


def deliver(folder: Path, rows: pd.DataFrame, first: pd.Timestamp, night: int) -> dict[str, Any]:
    """Write tonight's file; what happens to it and how the night should end."""
    path, text = folder / "load.csv", ["unique_id", "ds", "y"]
    whole = rows[rows["time"] < first + pd.Timedelta(days=night)]
    usual = {"what": "rows appended", "code": 0, "noop": False}
    if night in {LATE, TWICE}:
        name = "the delivery is late" if night == LATE else "the same delivery comes twice"
        path.write_bytes(path.read_bytes())
        return {"what": name, "code": 0, "noop": True}
    if night == CORRUPT:
        broken = whole[text].to_csv(index=False).replace("\n", "\x00\n", 50)
        path.write_text(broken[: len(broken) // 2] + '\x00\xff;;;;\n"' + broken[len(broken) // 2 :])
        return {"what": "a corrupt delivery", "code": 3, "noop": False}
    if night >= RESTATED:  # restated once, and so it stays
        whole = whole.assign(
            y=whole["y"].where(whole["time"] != first + pd.Timedelta(days=RESTATED - 2), whole["y"] + 9)
        )
    whole[text].to_csv(path, index=False)
    if night == RESTATED:
        return usual | {"what": "rows restated"}
    if night == CRASH:
        return usual | {"what": "killed in the middle, then run again"}
    changed = first + pd.Timedelta(days=night - 1) == CHANGE
    return usual | ({"what": "the clocks change"} if changed else {})


def command(folder: Path, now: dt.datetime) -> list[str]:
    return [sys.executable, "-c", RUN, str(folder / "load.yaml"), now.replace(tzinfo=dt.UTC).isoformat()]


def one_night(folder: Path, now: dt.datetime) -> dict[str, Any]:
    began = time.perf_counter()
    done = subprocess.run(command(folder, now), capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"seconds": round(time.perf_counter() - began, 1)}


def crash(folder: Path, now: dt.datetime) -> None:
    """Kill a run as soon as it has begun to write."""
    with subprocess.Popen(command(folder, now), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list((folder / "out").glob(".load.night.*")):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)


def verdict(folder: Path, rows: pd.DataFrame, trained: int, codes: list[int], faults: list[str]) -> int:
    """Judge the month by its store; ``codes`` are those of the runs that must have left a line there."""
    series = rows["unique_id"].nunique()
    with sqlite3.connect(folder / "lstmcast.db") as database:
        counts = database.execute(
            "SELECT unique_id, cutoff, count(*), count(DISTINCT ds) FROM forecasts GROUP BY 1, 2"
        ).fetchall()
        scored = database.execute("SELECT count(*) FROM scores").fetchone()[0]
        runs = database.execute("SELECT exit_code, trained_at IS NOT NULL FROM runs ORDER BY run").fetchall()
        naive = pd.read_sql_query("SELECT unique_id, cutoff_text, ds_text, baseline FROM forecasts", database)
    nights = NIGHTS - 3  # the late one, the doubled one and the corrupt one forecast nothing
    if len(counts) != nights * series or {row[2:] for row in counts} != {(HORIZON, HORIZON)}:
        faults.append(f"{len(counts)} forecasts for {nights} nights of {series} series, rows {sorted(set(counts))[:3]}")
    trainings = {"first": sum(begun for _, begun in runs) - trained, "by policy": trained}
    if trainings["first"] != 1 or not trained:
        faults.append(f"trainings: {trainings}")
    if [code for code, _ in runs] != codes:
        faults.append(f"the store tells the exit codes {[code for code, _ in runs]}, they were {codes}")
    if moved := shifted(rows, naive):
        faults.append(f"the hours are shifted after {moved}")
    chart = folder / "accuracy.png"
    draw = ["-m", "lstmcast", "history", str(folder / "load.yaml"), "-o", str(chart)]
    subprocess.run([sys.executable, *draw], check=True)
    if not chart.stat().st_size:
        faults.append("there is no chart of the accuracy")
    litter = [path.name for path in folder.rglob("*.tmp")]
    if litter:
        faults.append(f"litter: {litter}")
    told = {"nights": NIGHTS, "series": series, "forecasts": len(counts), "scored": scored, "trainings": trainings}
    print(json.dumps(told | {"runs": len(runs), "exit_codes_of_runs": codes, "faults": faults}))
    return 1 if faults else 0


def shifted(rows: pd.DataFrame, naive: pd.DataFrame) -> list[str]:
    """The cutoffs after which seasonal naive, which stands beside each forecast, repeats another hour of the day than
    its own: in a week around the change of clocks as ever."""
    known = rows.set_index(["unique_id", "ds"])["y"]
    time = pd.to_datetime(naive["ds_text"])
    before = [(time - pd.Timedelta(days=days)).dt.strftime("%Y-%m-%d %H:%M:%S") for days in (1, 7)]
    found = [known.reindex(pd.MultiIndex.from_arrays([naive["unique_id"], text])).to_numpy() for text in before]
    # the row that was restated, and the hour that is missing, are repeated from elsewhere
    own = [np.isclose(values, naive["baseline"], rtol=1e-6) for values in found]
    share = pd.DataFrame({"cutoff": naive["cutoff_text"], "own": own[0] | own[1]}).groupby("cutoff")["own"].mean()
    return [str(cutoff) for cutoff, part in share.items() if part < 1 - 1 / HORIZON - 1e-9]


if __name__ == "__main__":
    sys.exit(main())
