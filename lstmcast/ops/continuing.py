"""Continuing: reading a file that grew since the last time by its tail alone, where what is kept makes that enough."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstmcast.config import ReaderSettings
from lstmcast.data.moments import Moments
from lstmcast.data.reader import Reading, read
from lstmcast.data.schema import Schema
from lstmcast.ops import delivery as deliveries
from lstmcast.ops.delivery import Delivery
from lstmcast.ops.tail import is_short, read_tail
from lstmcast.outcome import OnProgress


@dataclass(frozen=True, slots=True)
class Continued:
    """What was read: all of the sources, or their last rows where ``noted`` is what made that possible.

    ``fingerprint`` is of all their bytes; ``earlier`` tells of the rows before the tail.
    """

    reading: Reading
    fingerprint: str
    delivered: Delivery
    noted: Mapping[str, Any] | None = None
    earlier: Moments | None = None

    @property
    def tail(self) -> bool:
        return self.noted is not None


def continue_reading(
    sources: list[str],
    settings: ReaderSettings,
    *,
    schema: Schema | None,
    noted: Mapping[str, Any] | None,
    rows: int,
    on_progress: OnProgress,
) -> Continued:
    """Read ``sources`` by ``schema``; by their tail where it says as much as the whole would.

    ``noted`` is the ``note`` of the last reading, None to read everything. A tail has ``rows`` of each series at least,
    and is read where one plain file begins with the bytes it had and what was appended is later than what was there.
    Raises what reading raises, and ``BusyError`` for a file that changes meanwhile.
    """
    delivered = deliveries.look(sources, settle=0, cursor=noted and {**noted, "whole_lines": False})
    if noted is not None and schema is not None and _is_enough(noted, delivered, rows):
        with tempfile.TemporaryDirectory() as folder:
            tail = read_tail(noted, Path(folder), settings, schema=schema, on_progress=on_progress)
        if tail is not None:
            return Continued(tail.reading, delivered.fingerprint, delivered, noted, tail.earlier)
    reading = read(sources, settings, schema=schema, on_progress=on_progress)
    return Continued(reading, reading.fingerprint, delivered)


def _is_enough(noted: Mapping[str, Any], delivered: Delivery, rows: int) -> bool:
    if noted["offset"] is None or noted["rows"] < rows:
        return False
    one = len(delivered.stamps) == 1 and delivered.stamps[0][0] == noted["path"]
    return is_short(noted, rows=noted["rows"]) and one and (delivered.grew or delivered.fingerprint == noted["sha256"])


def note(read_now: Continued, *, rows: int) -> dict[str, Any] | None:
    """What the next reading needs to read a tail of ``rows`` of each series; None where it must read everything."""
    delivered, reading = read_now.delivered, read_now.reading
    if read_now.noted is not None:
        return deliveries.advanced(read_now.noted, delivered, reading)
    schema = reading.panel.schema
    if schema.resample is not None or schema.parent:  # rows of the file on both sides would make one of the series
        return None
    found = deliveries.cursor(delivered, reading, rows=rows)
    return None if found is None or found["offset"] is None else found | {"rows": rows}
