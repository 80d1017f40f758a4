"""Tabular: cells that have types of their own (Parquet, databases) in the form a parsed text has.

Numbers stay numbers, texts are texts, and times become texts in the style the model knows, else in ISO style, so that
everything after this point is the same for every kind of source.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data import styles
from lstmcast.data.calendar import DAY, Times, to_wall
from lstmcast.data.clock import Clock
from lstmcast.data.dialect import SAMPLE_LINES, Dialect
from lstmcast.data.findings import Finding, refuse

if TYPE_CHECKING:
    import pyarrow as pa

_MINUTE = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Typed:
    """A typed table, and the clock its times are written by where one is known."""

    table: pa.Table
    clock: Clock | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self.table.column_names)


def sample(body: Typed) -> list[list[str]]:
    """The first rows as texts."""
    head = Typed(body.table.slice(0, SAMPLE_LINES), body.clock)
    columns = [_texts(head, name) for name in head.names]
    return [["" if cell is None else str(cell) for cell in row] for row in zip(*columns, strict=True)]


def load(
    body: Typed, dialect: Dialect, *, label: str, as_text: Collection[str], whole_text: Collection[str]
) -> tuple[pd.DataFrame, NDArray[np.int64], list[Finding]]:
    """As ``frame.load`` does for a text; the line of a row is its number."""
    if not body.table.num_rows:
        raise refuse("no-rows", f"{label} has no rows", fix="check what wrote it, or the query")
    tokens = list(dialect.tokens())
    columns = {}
    for name in body.names:
        if name in as_text or name in whole_text or not _is_figure(body, name):
            texts = pd.Series(_texts(body, name), dtype=object)
            missing = texts.isna() | (texts.astype(str).str.strip().isin(tokens) if name not in whole_text else False)
            columns[name] = texts.mask(missing, np.nan)
        else:
            columns[name] = _figures(body.table.column(name))
    return pd.DataFrame(columns), np.arange(1, body.table.num_rows + 1), []


def spellings(body: Typed, *, names: Collection[str]) -> dict[str, int]:
    """How many cells of the columns ``names`` are missing: typed cells have one spelling for that."""
    return {"": sum(body.table.column(name).null_count for name in names if name in body.names)}


def texts(body: Typed, *, missing: object = np.nan) -> pd.DataFrame:
    """Every cell as text, ``missing`` where there is none."""
    columns = {name: pd.Series(_texts(body, name), dtype=object) for name in body.names}
    return pd.DataFrame({name: column.where(column.notna(), missing) for name, column in columns.items()})


def _is_figure(body: Typed, name: str) -> bool:
    import pyarrow as pa

    kind = _plain(body.table.column(name)).type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(number or pa.types.is_null(kind))


def _figures(column: pa.ChunkedArray) -> pd.Series:
    import pyarrow as pa

    plain = _plain(column)
    if pa.types.is_integer(plain.type) and not plain.null_count and plain.type != pa.uint64():
        return pd.Series(plain.cast(pa.int64()).to_numpy())
    return pd.Series(plain.cast(pa.float64(), safe=False).to_numpy())


def _texts(body: Typed, name: str) -> NDArray[np.object_]:
    import pyarrow as pa

    column = _plain(body.table.column(name))
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _times(column, body.clock, name)
    if pa.types.is_boolean(column.type):
        return np.array([None if cell is None else str(cell) for cell in column.to_pylist()], dtype=object)
    try:
        return np.asarray(column.cast(pa.string()).to_numpy(), dtype=object)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.array([None if cell is None else str(cell) for cell in column.to_pylist()], dtype=object)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without the dictionary some writers put repeated texts into."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _times(column: pa.ChunkedArray, clock: Clock | None, name: str) -> NDArray[np.object_]:
    import pyarrow as pa

    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    try:
        stamps = column.cast(pa.timestamp("ns", zone))
    except pa.ArrowInvalid as error:
        raise refuse(
            "bad-time", f"column {name!r} holds times before 1678 or after 2261", fix="correct these rows", column=name
        ) from error
    known = stamps.drop_null().cast(pa.int64()).to_numpy()
    distinct, back = np.unique(known, return_inverse=True)
    written = (_as_known(distinct, zone, clock) if clock else None) or _as_iso(distinct, zone)
    cells = np.full(len(column), None, dtype=object)
    if known.size:
        cells[np.asarray(stamps.is_valid().to_numpy(), bool)] = np.array(written, dtype=object)[back]
    return cells


def _as_known(times: Times, zone: str | None, clock: Clock) -> list[str] | None:
    """In the style of a clock, or None where that would lose something of these times."""
    if clock.kind != "datetime" or (zone is None) != (clock.tz is None and not clock.epoch_unit):
        return _as_known_wall(times, clock) if zone is None and clock.tz and not clock.epoch_unit else None
    if clock.epoch_unit:
        written = clock.format(times)
        return written if np.array_equal(clock.parse(written), times) else None
    return _lossless(clock.format(times), clock, wall=to_wall(times, clock.tz), times=times)


def _as_known_wall(times: Times, clock: Clock) -> list[str] | None:
    """Naive times for a clock that knows their zone: what the clock on the wall showed."""
    if styles.is_zoned(clock.formats[0]):
        return None
    naive = clock.model_copy(update={"tz": None})
    return _lossless(naive.format(times), clock, wall=times, times=times)


def _lossless(written: list[str], clock: Clock, *, wall: Times, times: Times) -> list[str] | None:
    read, fits = styles.read(np.array(written, dtype=object), clock.formats[0])
    meant = times if styles.is_zoned(clock.formats[0]) else wall
    return written if fits.all() and np.array_equal(read, meant) else None


def _as_iso(times: Times, zone: str | None) -> list[str]:
    wall = to_wall(times, zone)
    fraction = next((digits for digits in (0, 3, 6) if not (wall % 10 ** (9 - digits)).any()), 9)
    time = "%H:%M:%S" + (".%f" if fraction else "")
    style = "%Y-%m-%d" if zone is None and not (wall % DAY).any() else f"%Y-%m-%d {time}{'%:z' if zone else ''}"
    return styles.write(wall, style, offsets=(wall - times) // _MINUTE, bare="", fraction=fraction)
