"""Delivery: which bytes lie in the input tonight, whether they are at rest, and which of them are new.

The tail of a file that only grew can be read alone: the header and the last rows, from a byte offset noted the night
before. Whether it only grew is told by the hash of the part that was there.
"""

from __future__ import annotations

import glob
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.moments import Moments, measure
from lstmcast.data.reader import Reading
from lstmcast.data.sources import GZIP_MAGIC
from lstmcast.errors import BusyError

TAIL_ROWS = 2048  # of each series, at least: what detection needs to know the usual
_PLAIN = ("utf-8", "utf-8-sig", "ascii", "cp1252", "latin-1", "iso-8859-1", "iso8859-1")
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Delivery:
    """``stamps`` (path, size, modification time in ns) of every input file; ``fingerprint`` is the sha256 of their
    bytes, in order. ``grew`` tells that the only file begins with the very bytes it had when ``cursor`` was noted.
    """

    stamps: tuple[tuple[str, int, int], ...]
    fingerprint: str
    grew: bool = False


def look(sources: list[str], *, settle: float, cursor: Mapping[str, Any] | None = None) -> Delivery:
    """The input files as they are, once no write has been seen for ``settle`` seconds.

    Raises ``BusyError`` if one of them changes meanwhile, or if its last line is not finished though it was before.
    Databases have no stamps and no fingerprint here; files that do not exist are left to the reader.
    """
    try:
        return _look(sources, settle, cursor)
    except FileNotFoundError as error:
        raise BusyError(f"{error.filename} was taken away while it was read", remedy=_LATER) from error


def _look(sources: list[str], settle: float, cursor: Mapping[str, Any] | None) -> Delivery:
    stamps = _stamps(sources)
    wait = settle - (time.time() - max((stamp[2] for stamp in stamps), default=0) / 1e9)
    if 0 < wait <= settle:
        time.sleep(wait)
    digest, grew = hashlib.sha256(), False
    for path, size, _ in stamps:
        mark = int(cursor["size"]) if cursor and len(stamps) == 1 and cursor["path"] == path else -1
        grew = _hash(path, digest, mark=mark) == (cursor or {}).get("sha256") and mark < size
        if mark >= 0 and cursor and cursor["whole_lines"] and not _ends_a_line(path):
            raise BusyError(f"the last line of {path} is not finished: it is still being written", remedy=_LATER)
    require_at_rest(sources, Delivery(stamps, ""))
    known = bool(stamps) and not any("://" in source for source in sources)
    return Delivery(stamps, digest.hexdigest() if known else "", grew)


_LATER = "run the job again when the delivery is complete; `settle` says how long an input must be at rest"


def require_at_rest(sources: list[str], seen: Delivery) -> None:
    """Raises ``BusyError`` if an input file is not as it was when ``seen``."""
    now = _stamps(sources)
    if now != seen.stamps:
        changed = sorted({path for path, _, _ in set(now) ^ set(seen.stamps)})
        raise BusyError(f"{changed[0]} changed while it was read: it is still being written", remedy=_LATER)


def cursor(delivery: Delivery, reading: Reading, *, rows: int) -> dict[str, Any] | None:
    """What must be noted tonight to tell tomorrow what is new; None unless the input is one plain file.

    ``offset`` is where its tail begins, in which every series has at least ``rows`` rows; None where the tail alone
    would not do: it takes one line a row, in order of time, and a file much longer than its tail. ``earlier`` holds the
    moments of the rows before it; None where rows of a resampled file may lie on both sides.
    """
    if len(delivery.stamps) != 1:
        return None
    path, size, _ = delivery.stamps[0]
    data = Path(path).read_bytes()
    if data.startswith(GZIP_MAGIC) or hashlib.sha256(data).hexdigest() != delivery.fingerprint:
        return None
    noted = {"path": path, "size": size, "sha256": delivery.fingerprint, "whole_lines": data.endswith(b"\n")}
    return noted | (_tail_of(data, reading, rows) or {"offset": None})


def _tail_of(data: bytes, reading: Reading, rows: int) -> dict[str, Any] | None:
    schema = reading.panel.schema
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    lines = len(ends) + (len(data) > (int(ends[-1]) if len(ends) else 0))
    head = lines - reading.rows
    # blank lines, comments, footers, line ends in quotes: lines are not rows there
    if head != schema.dialect.skip_rows + schema.dialect.header or schema.dialect.encoding not in _PLAIN:
        return None
    first = _first_row_of_tail(reading, rows) if schema.time_col and head <= len(ends) else None
    if first is None:
        return None
    last = np.full(len(reading.input_ids), np.iinfo(np.int64).min)
    np.maximum.at(last, reading.input_series, reading.input_time)
    return {
        "header": int(ends[head - 1]) if head else 0,
        "offset": int(ends[head + first - 1]) if head + first else 0,
        "tail_rows": reading.rows - first,
        "last": dict(zip(reading.input_ids, last.tolist(), strict=True)),
        "earlier": _before(reading, first).plain() if schema.resample is None else None,
    }


def _before(reading: Reading, first: int) -> Moments:
    """What came before the input row ``first`` in each series: the tail alone does not tell the scale of the whole."""
    panel = reading.panel
    tail = reading.panel_row[first:]
    tail = tail[tail >= 0]
    begin = panel.offsets[np.searchsorted(panel.series, np.arange(1, len(panel.ids) + 1))]  # where the series ends
    np.minimum.at(begin, panel.series[panel.segment_of(tail)], tail)
    series = np.repeat(panel.series, np.diff(panel.offsets))
    seen = panel.observed & (np.arange(len(series)) < begin[series])[:, None]
    return measure(panel.ids, series, panel.values + panel.shift[series], seen)


def write_tail(noted: Mapping[str, Any], folder: Path) -> Path:
    """The header and the tail of the file ``noted`` in a cursor, as a file of the same name in ``folder``."""
    source = Path(noted["path"])
    tail = folder / source.name
    with source.open("rb") as whole, tail.open("wb") as file:
        file.write(whole.read(noted["header"]))
        whole.seek(noted["offset"])
        while block := whole.read(_BLOCK):
            file.write(block)
    return tail


def continues(noted: Mapping[str, Any], tail: Reading) -> bool:
    """Whether what was appended comes after what was there, in every series: else the tail does not say enough."""
    new = np.arange(len(tail.input_time)) >= noted["tail_rows"]
    never = np.iinfo(np.int64).min
    known = np.array([noted["last"].get(name, never) for name in tail.input_ids], dtype=np.int64)
    same_series = set(noted["last"]) <= set(tail.input_ids)
    return same_series and bool((tail.input_time[new] > known[tail.input_series[new]]).all())


def advanced(noted: Mapping[str, Any], delivery: Delivery, tail: Reading) -> dict[str, Any]:
    """The cursor after a night that read the ``tail`` alone: the same offset, a longer file."""
    ends = dict(noted["last"])
    for name, time_of in zip(np.array(tail.input_ids)[tail.input_series], tail.input_time.tolist(), strict=True):
        ends[str(name)] = max(ends.get(str(name), time_of), time_of)
    path, size, _ = delivery.stamps[0]
    return {
        **noted,
        "size": size,
        "sha256": delivery.fingerprint,
        "whole_lines": _ends_a_line(path),
        "tail_rows": tail.rows,
        "last": ends,
    }


def _first_row_of_tail(reading: Reading, rows: int) -> int | None:
    """The input row from which on every series has at least ``rows`` rows; None if the tail would not be worth it."""
    order = np.argsort(reading.input_series, kind="stable")
    series, times = reading.input_series[order], reading.input_time[order]
    same = series[1:] == series[:-1]
    if reading.panel.schema.wide or (times[1:][same] <= times[:-1][same]).any():
        return None
    bounds: NDArray[np.int64] = np.searchsorted(series, np.arange(len(reading.input_ids) + 1))
    starts = np.maximum(bounds[1:] - rows, bounds[:-1])
    first = int(order[starts].min())
    return first if reading.rows - first <= reading.rows // 2 else None


def _stamps(sources: list[str]) -> tuple[tuple[str, int, int], ...]:
    paths: list[str] = []
    for source in sources:
        if "://" not in source:
            there = [source] if Path(source).exists() else sorted(glob.glob(source, recursive=True))  # noqa: PTH207
            for place in map(Path, there):
                paths += sorted(map(str, filter(Path.is_file, place.rglob("*")))) if place.is_dir() else [str(place)]
    found = []
    for path in dict.fromkeys(paths):
        stat = Path(path).stat()
        found.append((path, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _hash(path: str, digest: Any, *, mark: int) -> str | None:
    """Feed the file to ``digest``; the hash of its first ``mark`` bytes, None if it has fewer."""
    at_mark, done = None, 0
    with Path(path).open("rb") as file:
        while block := file.read(min(_BLOCK, mark - done) if done < mark else _BLOCK):
            digest.update(block)
            done += len(block)
            if done == mark:
                at_mark = str(digest.hexdigest())
    return at_mark


def _ends_a_line(path: str) -> bool:
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return file.read(1) in {b"\n", b""}
