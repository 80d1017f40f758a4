"""The console: what goes where, and in which form."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from lstmcast.cli.console import Console, Manners, _progress_bar
from lstmcast.cli.failures import Failure
from lstmcast.outcome import Notice, Outcome, Progress, Report, Table, once

CAPS = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stand in for stderr. Called in the test itself, since pytest puts its own streams back after the set-up."""
    stream = Terminal()
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_notices_go_to_stderr_and_tables_to_stdout(capsys: CAPS) -> None:
    console = Console()
    console.on_progress(Notice("step: h"))
    console.on_progress(Notice("two rows were dropped", "warning"))
    console.show(Outcome(lines=("done",), table=Table("t", ("id", "n"), (("A", 1), ("B", None)))))
    shown = capsys.readouterr()
    assert shown.out == "id\tn\nA\t1\nB\t\n"
    assert shown.err == "step: h\nwarning: two rows were dropped\ndone\n"


def test_quiet_keeps_warnings_and_data(capsys: CAPS) -> None:
    console = Console(Manners(quiet=True))
    console.on_progress(Notice("step: h"))
    console.on_progress(Notice("two rows were dropped", "warning"))
    console.show(Outcome(lines=("done",), table=Table("t", ("id",), (("A",),))))
    shown = capsys.readouterr()
    assert shown.out == "id\nA\n"
    assert shown.err == "warning: two rows were dropped\n"


def test_progress_says_nothing_where_stderr_is_no_terminal(capsys: CAPS) -> None:
    console = Console()
    console.on_progress(Progress("training", 1, 2))
    console.on_progress(Progress("training", 2, 2, "loss 0.1"))
    console.show(Outcome())
    assert capsys.readouterr().err == ""


def test_verbose_says_when_a_stage_ends(capsys: CAPS) -> None:
    console = Console(Manners(verbose=True))
    console.on_progress(Progress("training", 2, 2, "loss 0.1"))
    console.on_progress(Progress("saving", 1, 1))
    console.show(Outcome())
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("training: 2 of 2, loss 0.1 in ")
    assert second.startswith("saving: 1 of 1 in ")


def test_a_terminal_gets_a_bar_that_leaves_no_trace_but_the_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    console = Console()
    console.on_progress(Progress("training", 1, 2, "loss 0.5"))
    console.on_progress(Notice("going back to step 0", "warning"))
    console.on_progress(Progress("training", 2, 2))
    console.close()
    drawn = terminal.getvalue()
    assert "training" in drawn
    assert "warning: " in drawn
    assert "going back to step 0" in drawn


@pytest.mark.parametrize(
    "manners", [Manners(no_progress=True), Manners(quiet=True), Manners(json=True), Manners(log_format="jsonl")]
)
def test_there_is_no_bar_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, manners: Manners) -> None:
    terminal = open_terminal(monkeypatch)
    console = Console(manners)
    console.on_progress(Progress("training", 1, 2))
    console.close()
    assert terminal.getvalue() == ""


def test_the_bar_is_drawn_at_most_ten_times_a_second() -> None:
    assert _progress_bar(coloured=False).live.refresh_per_second <= 10


def test_colours_are_for_terminals_and_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    Console().say("careful", level="warning")
    assert "\x1b[" in terminal.getvalue()
    terminal.truncate(0)
    monkeypatch.setenv("NO_COLOR", "1")
    Console().say("careful", level="warning")
    assert "\x1b[" not in terminal.getvalue()


def test_color_says_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    Console(Manners(color="never")).say("careful", level="warning")
    assert "\x1b[" not in terminal.getvalue()
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    Console(Manners(color="always")).say("careful", level="warning")
    assert "\x1b[" in pipe.getvalue()


def test_a_table_on_a_terminal_is_laid_out_and_numbers_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdout", terminal)
    Console().show(Outcome(table=Table("scores", ("series", "mae"), (("[bold]A", 0.123456789),))))
    drawn = terminal.getvalue()
    assert "scores" in drawn
    assert "[bold]A" in drawn
    assert "0.12346" in drawn
    assert "\t" not in drawn


def test_numbers_keep_all_their_digits_in_a_pipe(capsys: CAPS) -> None:
    Console().show(Outcome(table=Table("", ("mae", "ok"), ((0.1 + 0.2, True),))))
    assert capsys.readouterr().out == "mae\tok\n0.30000000000000004\tyes\n"


def test_json_is_plain_and_knows_no_nan(capsys: CAPS) -> None:
    Console(Manners(json=True)).show(
        Outcome(code=6, facts={"scores": [{"mae": float("nan")}, {"mae": float("inf")}], "id": "Köln"})
    )
    assert json.loads(capsys.readouterr().out) == {
        "scores": [{"mae": None}, {"mae": None}],
        "id": "Köln",
        "exit_code": 6,
    }


def test_control_characters_from_the_data_are_shown_not_obeyed(capsys: CAPS) -> None:
    console = Console(Manners(color="always"))
    console.say("series \x1b[2Jx\x07")
    console.show(Outcome(table=Table("", ("id",), (("a\tb\n\x1b[31m",),))))
    shown = capsys.readouterr()
    assert shown.err == "series \\x1b[2Jx\\x07\n"
    assert shown.out == "id\na b \\x1b[31m\n"


def test_the_log_file_keeps_everything_even_when_quiet(tmp_path: Path, capsys: CAPS) -> None:
    path = tmp_path / "run.log"
    for _ in range(2):
        console = Console()
        console.adopt(Manners(quiet=True, log_file=path))
        console.on_progress(Notice("step: h"))
        console.on_progress(Progress("training", 3, 3))
        console.fail(Failure(3, "no rows", "name another file"), ValueError())
        console.close()
    assert capsys.readouterr().err == "error: no rows\nname another file\n" * 2
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6
    assert lines[0].endswith(" info: step: h")
    assert lines[1].endswith(" error: no rows")


def test_log_lines_can_be_json(tmp_path: Path, capsys: CAPS) -> None:
    path = tmp_path / "run.jsonl"
    console = Console()
    console.adopt(Manners(log_file=path, log_format="jsonl"))
    console.on_progress(Notice("careful", "warning"))
    console.close()
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (record["level"], record["message"]) == ("warning", "careful")
    assert record["time"]
    assert capsys.readouterr().err == "warning: careful\n"


def test_without_a_log_file_the_log_format_is_that_of_stderr(capsys: CAPS) -> None:
    console = Console(Manners(log_format="jsonl"))
    console.on_progress(Notice("careful", "warning"))
    console.fail(Failure(3, "no rows", "name another file"), ValueError())
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(record["level"], record["message"]) for record in records] == [
        ("warning", "careful"),
        ("error", "no rows"),
        ("remedy", "name another file"),
    ]


def test_in_a_json_log_letters_stay_letters_where_the_stream_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console()
    console.adopt(Manners(log_file=tmp_path / "run.jsonl", log_format="jsonl"))
    console.on_progress(Notice("Köln \u2013 Łódź"))
    console.close()
    assert "Köln \u2013 Łódź" in (tmp_path / "run.jsonl").read_text(encoding="utf-8")
    for encoding in ("utf-8", "latin-1", "ascii"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        monkeypatch.setattr(sys, "stderr", stream)
        Console(Manners(log_format="jsonl")).on_progress(Notice("Köln \u2013 Łódź"))
        stream.flush()
        line = stream.buffer.getvalue().decode(encoding)
        assert json.loads(line)["message"] == "Köln \u2013 Łódź"
        assert ("Köln" in line) == (encoding == "utf-8")


def test_a_notice_that_comes_from_two_recipes_is_passed_on_once() -> None:
    said: list[Report] = []
    on_progress = once(said.append)
    for report in (Notice("a"), Progress("step", 1, 2), Notice("a"), Notice("a", "warning"), Progress("step", 1, 2)):
        on_progress(report)
    assert said == [Notice("a"), Progress("step", 1, 2), Notice("a", "warning"), Progress("step", 1, 2)]
