"""One tiny file per way a CSV can be messy, and what is announced, found and done about it."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from lstmcast.cli.app import run
from lstmcast.config import ReaderSettings
from lstmcast.data import counting
from lstmcast.data.reader import read
from lstmcast.outcome import Notice, Outcome, Report
from lstmcast.recipes.check import check

MESSY = Path(__file__).parent / "golden" / "messy"
FILES = sorted(path.stem for path in MESSY.glob("*.csv"))
KEYS = ("code", "severity", "unique_id", "column", "first_ds", "last_ds", "count", "example_line", "fix")


def expected(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((MESSY / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def judged(name: str, settings: dict[str, Any]) -> tuple[Outcome, list[str]]:
    said: list[str] = []

    def listen(report: Report) -> None:
        if isinstance(report, Notice):
            said.append(report.text)

    return check([str(MESSY / f"{name}.csv")], settings=ReaderSettings(**settings), on_progress=listen), said


@pytest.mark.parametrize("name", FILES)
def test_a_messy_file_is_read_announced_and_judged_as_written_down(name: str) -> None:
    want = expected(name)
    outcome, said = judged(name, want["settings"])
    found = [{key: finding[key] for key in KEYS} for finding in outcome.facts["findings"]]
    assert found == want["findings"]
    assert said == want["announced"]
    assert (outcome.code, outcome.facts["series"], outcome.facts["frequency"]) == (
        want["exit"],
        want["series"],
        want["frequency"],
    )


def test_what_is_found_does_not_depend_on_how_many_rows_are_worked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "STRETCH", 7)
    for name in FILES:
        want = expected(name)
        outcome, _ = judged(name, want["settings"])
        found = [{key: finding[key] for key in KEYS} for finding in outcome.facts["findings"]]
        assert (name, found) == (name, want["findings"])


@pytest.mark.parametrize("name", [name for name in FILES if "mended" in expected(name)])
def test_a_refused_file_is_read_with_the_flag_its_finding_names(name: str) -> None:
    want = expected(name)
    outcome, _ = judged(name, want["settings"] | want["mended"]["settings"])
    assert outcome.code == want["mended"]["exit"] == 0
    assert (outcome.facts["series"], outcome.facts["frequency"]) == (
        want["mended"]["series"],
        want["mended"]["frequency"],
    )
    first = next(finding for finding in want["findings"] if finding["severity"] == "error")
    assert shlex.split(first["fix"], comments=True) == flags(want["mended"]["settings"])


def flags(settings: dict[str, Any]) -> list[str]:
    """Settings of the reader as a person would type them."""
    typed: list[str] = []
    for key, value in settings.items():
        for one in value if isinstance(value, list) else [value]:
            typed += [f"--{key.replace('_', '-')}"] + ([] if one is True else [str(one)])
    return typed


RUNS = [
    pytest.param(name, part, id=f"{name}{'-mended' if part else ''}")
    for name in FILES
    for part in ((), ("mended",))
    if not part or "mended" in expected(name)
]


@pytest.mark.parametrize(("name", "part"), RUNS)
def test_check_train_and_predict_end_as_written_down(name: str, part: tuple[str, ...], tmp_path: Path) -> None:
    want = expected(name)
    settings = want["settings"] | (want["mended"]["settings"] if part else {})
    want = want["mended"] if part else want
    path, model, out = str(MESSY / f"{name}.csv"), str(tmp_path / "model"), tmp_path / "forecasts.csv"
    typed = [*flags(settings), "-q"]
    assert run(["check", path, *typed]) == want["exit"]
    quick = ["--max-steps", "5", "--hidden", "4", "--seed", "1", *want.get("train_flags", [])]
    assert run(["train", path, "-m", model, *quick, *typed]) == want["train"]
    if want["predict"] is None:
        assert not Path(model).exists()
        return
    assert run(["predict", "-m", model, "-o", str(out), "-q"]) == want["predict"]
    if want["forecast"] is None:
        assert not out.exists()
        return
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (len(rows), rows[0]["ds"]) == (want["forecast"], want["next"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), RUNS)
def test_detect_refuses_what_train_refuses_and_scores_every_row_of_the_rest(
    name: str, part: tuple[str, ...], tmp_path: Path
) -> None:
    want = expected(name)
    settings = want["settings"] | (want["mended"]["settings"] if part else {})
    refused = (want["mended"] if part else want)["exit"] != 0
    places = ["-o", str(tmp_path / "rows.csv"), "--events", str(tmp_path / "events.csv")]
    code = run(
        [
            "detect-anomalies",
            str(MESSY / f"{name}.csv"),
            *(["--set", f"reader.since={settings['since']}"] if "since" in settings else []),
            *flags({key: value for key, value in settings.items() if key != "since"}),
            *places,
            "--set",
            "training.max_steps=3",
            "--set",
            "network.hidden=4",
            "-q",
        ]
    )
    assert code == 3 if refused else code in {0, 12}
    if code:
        assert not (tmp_path / "rows.csv").exists()
        return
    reading = read([str(MESSY / f"{name}.csv")], ReaderSettings.model_validate(settings))
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(reading.panel_row)
    assert [row["status"] == "dropped" for row in rows] == [place < 0 for place in reading.panel_row]


def test_series_too_short_for_the_usual_horizon_end_with_the_arithmetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(MESSY / "32-short-series.csv"), "-m", str(tmp_path / "model"), "-q"]) == 12
    told = capsys.readouterr().err
    assert "history 2 + horizon 14 = 16 rows are needed; the longest, 32-short-series, has 9" in told
    assert expected("32-short-series")["findings"][0]["fix"] in told


def test_there_is_a_file_for_every_row_of_the_reality() -> None:
    rows = {int(name.partition("-")[0]) for name in FILES}
    assert rows >= set(range(1, 47)) - {43, 44}  # sizes and numbers of files are no matter of one small file
