"""Tail: the last rows of a file that did nothing but grow, read in the place of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstmcast.config import ReaderSettings
from lstmcast.data.moments import Moments
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading, read
from lstmcast.data.schema import Schema
from lstmcast.errors import DataError
from lstmcast.ops import delivery as deliveries
from lstmcast.outcome import Notice, OnProgress

_GROWN = 4  # times its first length, at which a tail is cut anew from the whole file


@dataclass(frozen=True, slots=True)
class Tail:
    """The ``reading`` of the file ``source``; ``added`` of its rows are new, ``earlier`` tells of those before it."""

    reading: Reading
    source: str
    added: int
    earlier: Moments | None


def is_short(noted: Mapping[str, Any], *, rows: int) -> bool:
    """Whether the tail that ``noted`` begins, of ``rows`` rows a series at first, is still worth reading alone."""
    return bool(noted["tail_rows"] <= _GROWN * rows * len(noted["last"]))


def read_tail(
    noted: Mapping[str, Any],
    folder: Path,
    settings: ReaderSettings,
    *,
    schema: Schema,
    fits: Callable[[Panel], bool] = lambda _: True,
    on_progress: OnProgress,
) -> Tail | None:
    """The tail that the cursor ``noted`` begins, written to ``folder`` and read by ``schema``.

    None where only the whole can be read: where the tail is refused (the whole is then refused with its own lines),
    where what was appended is not later than what was there, and where its panel does not ``fits``.
    """
    source = str(deliveries.write_tail(noted, folder))
    try:
        reading = read([source], settings, schema=schema)
    except DataError:
        return None
    if not (deliveries.continues(noted, reading) and fits(reading.panel)):
        return None
    added = reading.rows - noted["tail_rows"]
    on_progress(Notice(f"{added:,} rows were appended; the last {reading.rows:,} rows are read"))
    earlier = Moments.read(noted["earlier"]) if noted.get("earlier") else None
    return Tail(reading, source, added, earlier)
