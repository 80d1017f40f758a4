"""From any exception to what a person is told: exit code, message, remedy."""

from __future__ import annotations

import difflib
import errno
import os
import platform
import re
import sys
import tempfile
import traceback
from dataclasses import dataclass
from typing import Any

import typer

from lstmcast import __version__
from lstmcast.errors import LstmcastError, StoppedError, is_out_of_memory
from lstmcast.masking import masked

# The class lives in a different module of each Typer generation; its child has always been public.
_CommandLineError: Any = typer.BadParameter.__mro__[1]
_NO_DISK = (errno.ENOSPC, errno.EDQUOT)
_SMALLER = "use a smaller --batch, --context or --hidden"


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived where no checkpoint could be saved."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run ended badly. ``crash_report`` is the path of a file for the authors, if this is a bug."""

    code: int
    message: str
    remedy: str = ""
    crash_report: str | None = None


def failure(error: BaseException) -> Failure:
    """What ``error`` means to a person. Anything unforeseen is a bug: it leaves a crash report and code 70."""
    if isinstance(error, StoppedError):
        return Failure(128 + error.signal_number, error.message, error.remedy)
    if isinstance(error, LstmcastError):
        return Failure(error.exit_code, error.message, error.remedy)
    if isinstance(error, _CommandLineError):
        return Failure(2, _sentence(error), _usage_remedy(error))
    if isinstance(error, Terminated):
        return Failure(143, "terminated; outputs are as they were", "run the same command again")
    if isinstance(error, KeyboardInterrupt):
        return Failure(130, "interrupted; outputs are as they were", "run the same command again")
    if is_out_of_memory(error):
        return Failure(7, f"out of memory: {error}".rstrip(": "), _SMALLER)
    if isinstance(error, OSError) and error.errno in _NO_DISK:
        return Failure(7, f"the disk is full: {error}", "free some space, or write elsewhere with -o or -m")
    return _bug(error)


def _sentence(error: Any) -> str:
    raw = error.message if hasattr(error, "possibilities") else error.format_message()
    message = str(raw).replace("Value error, ", "").strip().rstrip(".")
    return message[:1].lower() + message[1:]


def _usage_remedy(error: Any) -> str:
    context = error.ctx
    if context and hasattr(error, "possibilities"):
        spellings = [name for option in context.command.params for name in (*option.opts, *option.secondary_opts)]
        known = [name.removeprefix("--") for name in spellings if name.startswith("--")]
        close = difflib.get_close_matches(error.option_name.lstrip("-"), known, n=1)
        if close:
            return f"did you mean '--{close[0]}'?"
    # the parameter knows its choices under another name in each Typer generation; the sentence always lists them
    if wrong := re.search(r"'(.+?)' is not one of (.+)", str(error.message)):
        close = difflib.get_close_matches(wrong[1], re.findall(r"'(.+?)'", wrong[2]), n=1)
        if close:
            return f"did you mean {close[0]!r}?"
    return f"`{context.command_path if context else 'lstmcast VERB'} --help` shows the options"


def _bug(error: BaseException) -> Failure:
    path = _crash_report(error)
    summary = f"{type(error).__name__}: {error}".rstrip(": ")
    message = f"unexpected error, a fault of lstmcast: {summary}"
    if path is None:
        return Failure(70, message, "run it again with --debug and report what it prints")
    return Failure(70, message, f"please report it with the file {path}; --debug shows the traceback", path)


def _crash_report(error: BaseException) -> str | None:
    lines = [
        f"lstmcast {__version__}, Python {sys.version.split()[0]}, {platform.platform()}",
        f"arguments: {sys.argv[1:]!r}",
        "",
        *traceback.format_exception(error),
    ]
    try:
        handle, path = tempfile.mkstemp(prefix="lstmcast-crash-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(masked("\n".join(lines)))
    except OSError:  # no room even for the report: the message itself must still come out
        return None
    return path
