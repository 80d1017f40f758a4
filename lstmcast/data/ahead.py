"""Ahead: the rows after the last observed one whose covariates have to be known, and those of them that are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.dialect import Dialect
from lstmcast.data.panel import Panel


@dataclass(frozen=True, slots=True)
class Ahead:
    """The first H rows after each of N series, for the F covariates known ahead.

    ``times``  int64 (N, H) in the clock's unit
    ``known``  float32 (N, H, F) NaN where nothing is known
    """

    times: NDArray[np.int64]
    known: NDArray[np.float32]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """bool (N, H, F)."""
        return np.isnan(self.known)


def ahead(panel: Panel, horizon: int) -> Ahead:
    """What the panel knows of the ``horizon`` rows after the last observed row of each series."""
    last = panel.last_segment()
    rows = panel.ends[last][:, None] + np.arange(horizon)
    there = rows < panel.offsets[last + 1][:, None]
    known = panel.covariates[np.where(there, rows, 0)][..., len(panel.schema.past) :]
    start = np.broadcast_to(panel.start[last][:, None], rows.shape)
    passed = rows - panel.offsets[last][:, None]
    times = panel.schema.frequency.advance(start.reshape(-1), passed.reshape(-1)).reshape(rows.shape)
    return Ahead(times, np.where(there[..., None], known, np.float32(np.nan)))


def to_fill(panel: Panel, rows: Ahead) -> pd.DataFrame:
    """A row for each of ``rows`` that lacks a covariate, in the columns of the file; what is known is filled in."""
    schema = panel.schema
    series, step = np.nonzero(rows.missing.any(axis=2))
    columns: dict[str, object] = {}
    if schema.id_col is not None:
        columns[schema.id_col] = np.array(panel.ids, dtype=object)[series]
    if schema.time_col is not None:
        columns[schema.time_col] = schema.clock.format(rows.times[series, step])
    for number, name in enumerate(schema.future):
        columns[name] = rows.known[series, step, number]
    frame = pd.DataFrame(columns)
    return frame.drop_duplicates(schema.time_col, ignore_index=True) if schema.wide and schema.time_col else frame


def as_text(frame: pd.DataFrame, dialect: Dialect) -> str:
    """``frame`` written so that ``dialect`` reads it, to stand beside a file of that dialect."""
    if not dialect.header:
        frame = frame.reindex(columns=list(dialect.names))
    body = frame.to_csv(
        index=False, sep=dialect.delimiter, decimal=dialect.decimal, header=dialect.header, lineterminator="\n"
    )
    mark = "" if dialect.encoding in {"utf-8", "utf-8-sig", "ascii"} else "\ufeff"  # which wins over any encoding
    return mark + "# rows to fill in\n" * dialect.skip_rows + body
