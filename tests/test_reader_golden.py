"""One tiny file per way a CSV can be messy, and what is announced, found and done about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lstmcast.config import ReaderSettings
from lstmcast.outcome import Notice, Outcome, Report
from lstmcast.recipes.check import check

MESSY = Path(__file__).parent / "golden" / "messy"
FILES = sorted(path.stem for path in MESSY.glob("*.csv"))
KEYS = ("code", "severity", "count", "example_line", "fix")


def expected(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((MESSY / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def run(name: str, settings: dict[str, Any]) -> tuple[Outcome, list[str]]:
    said: list[str] = []

    def listen(report: Report) -> None:
        if isinstance(report, Notice):
            said.append(report.text)

    return check([str(MESSY / f"{name}.csv")], settings=ReaderSettings(**settings), on_progress=listen), said


@pytest.mark.parametrize("name", FILES)
def test_a_messy_file_is_read_announced_and_judged_as_written_down(name: str) -> None:
    want = expected(name)
    outcome, said = run(name, want["settings"])
    found = [{key: finding[key] for key in KEYS} for finding in outcome.facts["findings"]]
    assert found == want["findings"]
    assert said == want["announced"]
    assert (outcome.code, outcome.facts["series"], outcome.facts["frequency"]) == (
        want["exit"],
        want["series"],
        want["frequency"],
    )


@pytest.mark.parametrize("name", [name for name in FILES if "mended" in expected(name)])
def test_a_refused_file_is_read_with_the_flag_its_finding_names(name: str) -> None:
    want = expected(name)
    outcome, _ = run(name, want["settings"] | want["mended"]["settings"])
    assert outcome.code == want["mended"]["exit"] == 0
    assert (outcome.facts["series"], outcome.facts["frequency"]) == (
        want["mended"]["series"],
        want["mended"]["frequency"],
    )
    first = next(finding for finding in want["findings"] if finding["severity"] == "error")
    for setting in want["mended"]["settings"]:
        assert f"--{setting.replace('_', '-')}" in first["fix"]


def test_there_is_a_file_for_every_row_of_the_reality() -> None:
    rows = {int(name.partition("-")[0]) for name in FILES}
    assert rows >= {1, 2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 23, 25, 28, 30, 31, 32, 35, 36}
