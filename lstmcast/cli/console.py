"""The console: the only place that writes to the terminal. Data go to stdout, messages to stderr."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import typer

from lstmcast.cli.failures import Failure
from lstmcast.errors import ResourceError
from lstmcast.masking import masked
from lstmcast.outcome import Notice, Outcome, Progress, Report, Table

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_REFRESHES_PER_SECOND = 10
_COLOURS = {"warning": "yellow", "error": "red"}


@dataclass(frozen=True, slots=True)
class Manners:
    """How to speak, as asked on the command line."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    no_progress: bool = False
    color: Literal["auto", "always", "never"] | None = None
    debug: bool = False
    log_file: Path | None = None
    log_format: Literal["text", "jsonl"] | None = None


class Console:
    """Shows progress, notices, outcomes and failures."""

    def __init__(self, manners: Manners | None = None) -> None:
        self.manners = manners or Manners()
        self._log: IO[str] | None = None
        self._bar: Any = None
        self._task: Any = None
        self._stage = ""
        self._stage_start = 0.0
        self._last: Progress | None = None

    def adopt(self, manners: Manners) -> None:
        """Speak as ``manners`` says from now on. Raises ``ResourceError`` if the log file cannot be opened."""
        self.manners = manners
        if manners.log_file is None:
            return
        try:
            self._log = manners.log_file.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise ResourceError(
                f"log file {manners.log_file} cannot be opened: {error.strerror}",
                remedy="name another place with --log-file",
            ) from error

    def on_progress(self, report: Report) -> None:
        """Take one report of a running recipe."""
        if isinstance(report, Notice):
            self.say(report.text, level=report.level)
        else:
            self._advance(report)

    def show(self, outcome: Outcome) -> None:
        """The end of a recipe: its table or JSON on stdout, its sentences on stderr."""
        self._end_stage()
        for line in outcome.lines:
            self.say(line)
        if self.manners.json:
            self._write_json({**outcome.facts, "exit_code": outcome.code})
        elif outcome.table is not None:
            self._write_table(outcome.table)
        elif outcome.text:
            self.text(outcome.text)
        sys.stdout.flush()

    def fail(self, failure: Failure, error: BaseException) -> None:
        """Message, then the remedy as the last line of stderr."""
        self._end_stage(completed=False)
        if self.manners.debug:
            self._write_error(masked("".join(traceback.format_exception(error))))
        self.say(failure.message, level="error")
        if failure.remedy:
            self._message(failure.remedy, level="remedy")
        if self.manners.json:
            facts = {"error": failure.message, "remedy": failure.remedy, "exit_code": failure.code}
            self._write_json(facts | ({"crash_report": failure.crash_report} if failure.crash_report else {}))
        sys.stdout.flush()

    def say(self, text: str, *, level: Literal["info", "warning", "error"] = "info") -> None:
        """One message. ``-q`` keeps warnings and errors only; the log file keeps all."""
        self._message(text, level=level)

    def text(self, text: str) -> None:
        """A line of data on stdout."""
        typer.echo(text)

    def close(self) -> None:
        """Stop the progress bar and let go of the log file."""
        self._end_stage(completed=False)
        if self._log is not None:
            self._log.close()
            self._log = None

    def _message(self, text: str, *, level: str) -> None:
        self._record(text, level)
        self._print(text, level=level)

    def _record(self, text: str, level: str) -> None:
        if self._log is not None:
            self._log.write(_log_line(_visible(text), level, self.manners.log_format))

    def _print(self, text: str, *, level: str) -> None:
        text = _visible(text)
        if level == "info" and self.manners.quiet:
            return
        if self._log is None and self.manners.log_format == "jsonl":
            line = _log_line(text, level, "jsonl", encoding=getattr(sys.stderr, "encoding", None))
            self._write_error(line.rstrip("\n"))
            return
        prefix = f"{level}: " if level in _COLOURS else ""
        colour = _COLOURS.get(level) if self._coloured(sys.stderr) else None
        self._write_error(f"{typer.style(prefix, fg=colour, bold=True) if prefix and colour else prefix}{text}")

    def _write_error(self, text: str) -> None:
        if self._bar is None:
            typer.echo(text, err=True, color=self._coloured(sys.stderr))
            return
        from rich.text import Text

        self._bar.console.print(Text.from_ansi(text), soft_wrap=True)

    def _advance(self, report: Progress) -> None:
        if report.stage != self._stage:
            self._end_stage()
            self._stage, self._stage_start = report.stage, time.monotonic()
        self._last = report
        if not self._animated():
            return
        if self._bar is None:
            self._bar = _progress_bar(coloured=self._coloured(sys.stderr))
            self._bar.start()
            self._task = self._bar.add_task(_visible(report.stage), total=report.total, detail="")
        self._bar.update(self._task, completed=report.done, total=report.total, detail=_visible(report.detail))

    def _end_stage(self, *, completed: bool = True) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None
        last, self._last = self._last, None
        if completed and last is not None and (self.manners.verbose or self._log is not None):
            took = time.monotonic() - self._stage_start
            detail = f", {last.detail}" if last.detail else ""
            text = f"{last.stage}: {last.done} of {last.total}{detail} in {took:.1f} s"
            self._record(text, "info")
            if self.manners.verbose:
                self._print(text, level="info")
        self._stage = ""

    def _animated(self) -> bool:
        manners = self.manners
        plain = manners.no_progress or manners.quiet or manners.json or manners.log_format == "jsonl"
        return not plain and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def _coloured(self, stream: IO[str]) -> bool:
        if self.manners.color in ("always", "never"):
            return self.manners.color == "always"
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _write_json(self, facts: Mapping[str, Any]) -> None:
        self.text(masked(json.dumps(_finite(facts), indent=2, allow_nan=False)))

    def _write_table(self, table: Table) -> None:
        if not sys.stdout.isatty():
            for row in (table.columns, *table.rows):
                self.text("\t".join(_cell(value, exact=True) for value in row))
            return
        _rich_table(table, coloured=self._coloured(sys.stdout))


def _progress_bar(*, coloured: bool) -> Any:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Terminal(stderr=True, no_color=not coloured, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    return Progress(*columns, console=terminal, refresh_per_second=_REFRESHES_PER_SECOND, transient=True)


def _rich_table(table: Table, *, coloured: bool) -> None:
    from rich import box
    from rich.console import Console as Terminal
    from rich.table import Table as Grid
    from rich.text import Text

    title = Text(table.title, style="bold") if table.title else None
    grid = Grid(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, name in enumerate(table.columns):
        numeric = all(isinstance(row[index], int | float) or row[index] is None for row in table.rows)
        grid.add_column(Text(name), justify="right" if numeric and table.rows else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(_cell(value, exact=False)) for value in row))
    Terminal(no_color=not coloured, highlight=False).print(grid)


def _cell(value: Any, *, exact: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value) if exact else f"{value:.5g}"
    return _visible(str(value)).replace("\t", " ").replace("\n", " ")


def _visible(text: str) -> str:
    """Control characters of a hostile cell are shown, not obeyed; a password is not shown."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", masked(text))


def _log_line(text: str, level: str, form: str | None, *, encoding: str | None = "utf-8") -> str:
    """A line of a log; in JSON letters stay letters, to be found again, where the ``encoding`` has them all."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    if form == "jsonl":
        plain = (encoding or "").lower().replace("-", "") != "utf8"
        return json.dumps({"time": now, "level": level, "message": text}, ensure_ascii=plain) + "\n"
    return f"{now} {level}: {text}\n"


def _finite(value: Any) -> Any:
    """JSON knows no NaN: it becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
