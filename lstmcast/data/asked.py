"""Asked: flags of the reader that are wrong whatever the data hold, told before any file is opened."""

from __future__ import annotations

import io
import re

import numpy as np

from lstmcast.config import ReaderSettings
from lstmcast.data import styles
from lstmcast.data.calendar import Frequency, zone
from lstmcast.data.calendar_features import days_off
from lstmcast.data.column_names import by_flag
from lstmcast.errors import UsageError


def refuse_wrong(settings: ReaderSettings) -> None:
    """Raises ``UsageError`` for the first flag that no file could follow, or that contradicts another one."""
    if settings.encoding is not None:
        _refuse_encoding(settings.encoding)
    if settings.tz is not None:
        zone(settings.tz)
    for style in settings.date_format:
        _refuse_style(style)
    for flag, alias in (("--freq", settings.freq), ("--resample", settings.resample)):
        if alias is not None:
            Frequency.from_alias(alias, flag=flag)
    if settings.holidays is not None:
        days_off(settings.holidays, np.zeros(1, np.int64))
    if settings.since is not None and not re.search(r"\d", settings.since):
        raise UsageError(f"--since {settings.since!r} is no time", remedy="write it as in the file, or like 2024-01-31")
    _refuse_two_roles(settings)
    _refuse_wide(settings)


def _refuse_encoding(name: str) -> None:
    try:
        io.TextIOWrapper(io.BytesIO(), name)
    except LookupError:
        raise UsageError(f"there is no text encoding called {name!r}", remedy="try --encoding cp1252") from None


def _refuse_style(style: str) -> None:
    styles.read(np.array(["2024-01-31"], dtype=object), style)
    if not styles.writable(style):
        raise UsageError(
            f"--date-format {style!r} holds a directive that cannot be written back",
            remedy="write it like %Y-%m-%d %H:%M",
        )


def _refuse_two_roles(settings: ReaderSettings) -> None:
    seen: dict[str, str] = {settings.time_col: "--time-col"} if settings.time_col else {}
    for flag, names in by_flag(settings).items():
        for name in names:
            if name in seen and not (flag == "--static" and name == settings.id_col):
                raise UsageError(f"column {name!r} is named by {seen[name]} and {flag}", remedy="give it one role")
            seen[name] = flag


def _refuse_wide(settings: ReaderSettings) -> None:
    if settings.wide and settings.static:
        raise UsageError(
            "--wide makes each column a series, and no column tells of one of them as a whole",
            remedy="leave out --static, or bring the table into long form",
        )
    if settings.wide and settings.id_col:
        raise UsageError("--wide makes each column a series, so there is no --id-col", remedy="leave one of them out")
    if settings.wide and settings.parent:
        raise UsageError(
            "--wide makes each column a series, and --parent is a column beside their names",
            remedy="write one row per series and time, with a column for the series and one for its parent",
        )
