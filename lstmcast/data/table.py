"""Table: from the sources a person named to one frame, and what each of its columns is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data import columns
from lstmcast.data.cells import Cells
from lstmcast.data.column_names import forecast_as_data, is_forecast
from lstmcast.data.columns import Roles
from lstmcast.data.counting import Places
from lstmcast.data.dialect import Dialect, announcements
from lstmcast.data.findings import Finding
from lstmcast.data.journey import Journey
from lstmcast.data.roads import streamed
from lstmcast.data.whole import whole


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of all n rows and the ``roles`` of the columns; the rest as in ``Cells``.

    ``missing`` tells of targets without a value, given how many of them are in rows of the future among the data; None
    where all have one.
    """

    frame: pd.DataFrame
    lines: Places
    origin: Places
    stems: tuple[str, ...]
    dialect: Dialect
    roles: Roles
    later: NDArray[np.bool_] | None
    stamped: NDArray[np.object_] | None
    missing: Callable[[int], Finding] | None = None


def read_table(sources: Sequence[str], journey: Journey) -> Table:
    """The rows of all sources in one table, and what each column is for."""
    settings, stored = journey.settings, journey.stored
    cells = streamed(sources, journey) or whole(list(sources), journey)
    frame = cells.frame
    journey.rows = len(frame)
    if stored is None:
        journey.say(*announcements(cells.dialect, settings, cells.names))
        if is_forecast(cells.names) and not settings.target:
            journey.findings.append(forecast_as_data(str(sources[0])))
    roles = columns.follow(frame, stored) if stored else columns.assign(frame, cells.looks, cells.time, settings)
    journey.say(*roles.notes)
    masked = _without_named(cells, [*roles.targets, *roles.past, *roles.future, *roles.static])
    missing = None
    if gone := [name for name in roles.targets if frame[name].isna().any()]:
        missing = _missing(frame, gone, cells, _spelled(cells.spelled(gone), masked, gone))
        journey.findings.append(missing(0))
    return Table(
        frame,
        cells.lines,
        cells.origin,
        cells.stems,
        cells.dialect,
        roles,
        later=cells.later,
        stamped=cells.stamped,
        missing=missing,
    )


def _without_named(cells: Cells, names: list[str]) -> dict[str, Counter[str]]:
    """Empty the cells whose number is named as missing: typed and large files are not read as texts.

    Counts those of rows of the past; rows of the future are told as such.
    """
    frame, past = cells.frame, True if cells.later is None else ~cells.later
    counts: dict[str, Counter[str]] = {}
    for number in sorted(cells.dialect.missing_numbers()):
        for name in names:
            if pd.api.types.is_numeric_dtype(frame[name]) and (hit := frame[name].to_numpy() == number).any():
                frame[name] = frame[name].mask(hit)
                counts.setdefault(name, Counter())[f"{number:.15g}"] += int((hit & past).sum())
    return counts


def _spelled(counts: Counter[str], masked: dict[str, Counter[str]], names: list[str]) -> Counter[str]:
    return sum((masked.get(name, Counter()) for name in names), counts)


def _missing(frame: pd.DataFrame, names: list[str], cells: Cells, counts: Counter[str]) -> Callable[[int], Finding]:
    absent = frame[names].isna().to_numpy()
    often = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:5]
    parts = [f"{count} {token!r}" if token else f"{count} empty" for token, count in often]
    if cells.later is not None and (ahead := int(absent[cells.later].sum())):
        parts.append(f"{ahead} in the future rows")
    listed, total = ", ".join(parts), int(absent.sum())
    first = int(cells.lines[np.argmax(absent.any(axis=1))])

    def told(ahead: int) -> Finding:
        among = "" if not ahead else f"; {'all' if ahead == total else ahead} in rows of the future"
        return Finding(
            "missing-values",
            "info",
            f"{total} value{'s are' if total > 1 else ' is'} missing ({listed}{among})",
            column=names[0] if len(names) == 1 else None,
            count=total,
            example_line=first,
        )

    return told
