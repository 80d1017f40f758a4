"""Oddities: values that look like mistakes. They are told about and never changed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.calendar import Times
from lstmcast.data.counting import by_series
from lstmcast.data.findings import Finding
from lstmcast.data.rows import Rows
from lstmcast.data.schema import Schema

LOOKED_AT = 500
"""Series that are searched one by one for outliers, stuck values and shifts of level."""

UNEVEN = 100
"""Times the median length or level from which one series stands out."""

STUCK = 20
OUTLYING = 15.0
SHIFT = 6.0
LEAKING = 0.9999
_REPEATED = 3
_SAMPLE = 200_000

Floats = NDArray[np.float64]


def oddities(rows: Rows, schema: Schema) -> list[Finding]:
    """Sentinels, uneven series, leaking covariates, stuck values, outliers and shifts of level."""
    found = []
    for column, name in enumerate(schema.targets[: rows.targets.shape[1]]):
        label = None if schema.wide else name
        values = rows.targets[:, column]
        sentinels = _sentinels(rows, values, label)
        found += sentinels
        if not sentinels:
            found += _one_by_one(rows, values, schema, label)
    return [*found, *_uneven(rows), *_leaking(rows, schema)]


def _sentinels(rows: Rows, values: Floats, column: str | None) -> list[Finding]:
    """A value that comes again and again, far outside all others: missing, spelled as a number."""
    found: list[Finding] = []
    if not np.isfinite(values).any():
        return found
    for extreme in (float(np.nanmin(values)), float(np.nanmax(values))):
        if not extreme.is_integer() or not (extreme == -1 or set(f"{abs(extreme):.0f}") == {"9"}):
            continue
        count = int((values == extreme).sum())
        rest = values[np.isfinite(values) & (values != extreme)]
        if count < _REPEATED or len(rest) < 3 * count:
            continue
        low, high = float(rest.min()), float(rest.max())
        distance = low - extreme if extreme < low else extreme - high
        code_like = set(f"{abs(extreme):.0f}") == {"9"} or (extreme == -1 and low >= 0)
        if not (code_like and abs(extreme) > 9 and distance > (high - low)) and not (extreme == -1 and low >= 0):
            continue
        place = int(np.flatnonzero(values == extreme)[np.argmin(rows.lines[values == extreme])])
        found.append(
            Finding(
                "sentinel",
                "warning",
                f"{extreme:.0f} comes {count} times, far outside all other values ({low:g} to {high:g}); it may mean "
                "missing",
                unique_id=rows.ids[rows.codes[place]],
                column=column,
                count=count,
                example_line=int(rows.lines[place]),
                fix=f"--na-values {extreme:.0f}",
            )
        )
    return found


def _one_by_one(rows: Rows, values: Floats, schema: Schema, column: str | None) -> list[Finding]:
    hits: dict[str, list[tuple[int, int, int, str]]] = {"stuck": [], "outliers": [], "level-shift": []}
    season = max(schema.frequency.seasons()[:1] or (10,))
    for places in _series(rows, values):
        y = values[places]
        low, high = np.quantile(y, [0.25, 0.75])
        if y.min() == y.max() or (y == 0).mean() >= 0.5:
            continue
        if run := _longest_run(y, least=max(STUCK, 2 * season)):
            hits["stuck"].append((int(places[run[0]]), int(places[run[1] - 1]), run[1] - run[0], f"{y[run[0]]:g}"))
        elif split := _shift_of_level(y, width=max(season, 10)):
            text = f"{np.median(y[:split]):.4g} to {np.median(y[split:]):.4g}"
            hits["level-shift"].append((int(places[split]), int(places[split]), 1, text))
        elif high > low:
            middle = np.median(y)
            spread = 1.4826 * float(np.median(np.abs(y - middle)))
            far = np.flatnonzero(np.abs(y - middle) > OUTLYING * max(spread, (high - low) / 1.35))
            if 0 < far.size <= max(3, len(y) // 100):
                worst = int(far[np.argmax(np.abs(y[far] - middle))])
                text = f"{y[worst]:g} where half of the values are {low:.4g} to {high:.4g}"
                hits["outliers"].append((int(places[far[0]]), int(places[far[-1]]), int(far.size), text))
    return [_told(code, found, rows, schema, column) for code, found in hits.items() if found]


def _series(rows: Rows, values: Floats) -> Iterator[Times]:
    """The places of the values of each of the first series that are long enough to be judged."""
    bounds = np.r_[rows.first, len(rows.codes)]
    for first, stop in pairwise(bounds[: LOOKED_AT + 1].tolist()):
        places = first + np.flatnonzero(np.isfinite(values[first:stop]))
        if len(places) >= STUCK:
            yield places


def _longest_run(y: Floats, *, least: int) -> tuple[int, int] | None:
    """Where the longest run of one value begins and ends, if values change elsewhere as a rule."""
    turns = np.r_[0, np.flatnonzero(np.diff(y)) + 1, len(y)]
    lengths = np.diff(turns)
    longest = int(lengths.argmax())
    length = int(lengths[longest])
    others = np.delete(lengths, longest)
    if length < least or not others.size or others.mean() > 2 or others.max() * 3 > length:
        return None
    return int(turns[longest]), int(turns[longest + 1])


def _shift_of_level(y: Floats, *, width: int) -> int | None:
    """The row from which the values lie on another level, if they did not drift there."""
    if len(y) < 4 * width:
        return None
    split = int(np.abs(np.cumsum(y - y.mean())[:-1]).argmax()) + 1
    if not width <= split <= len(y) - width:
        return None
    for before, after in ((y[:split], y[split:]), (y[split - width : split], y[split : split + width])):
        spread = max(before.std(), after.std(), 1e-9 * abs(float(y.mean())), 1e-300)
        if abs(before.mean() - after.mean()) < SHIFT * spread:
            return None
    return split


def _told(code: str, found: list[tuple[int, int, int, str]], rows: Rows, schema: Schema, column: str | None) -> Finding:
    first, last, count, shown = found[0]
    begin, end = schema.clock.format(rows.times[[first, last]])
    text = {
        "stuck": f"stays at {shown} for {count} rows",
        "outliers": f"has {count} value{'s' if count > 1 else ''} far outside the rest ({shown})",
        "level-shift": f"moves to another level ({shown})",
    }[code]
    fix = {
        "stuck": "empty these cells, if the sensor stood still",
        "outliers": "empty these cells, if they are mistakes; else nothing: scaling is robust",
        "level-shift": f"--since {end if ' ' not in end else repr(end)}  # if only what came after counts",
    }[code]
    more = f" (so it is in {len(found) - 1} other series)" if len(found) > 1 else ""
    name = rows.ids[rows.codes[first]]
    return Finding(
        code,
        "warning" if code == "stuck" else "info",
        f"series {name} {text}{more}",
        unique_id=name,
        column=column,
        first_ds=begin,
        last_ds=end,
        count=count if len(found) == 1 else len(found),
        example_line=int(rows.lines[first]),
        fix=fix,
    )


def _uneven(rows: Rows) -> list[Finding]:
    """A series a hundred times as long or as large as the usual one."""
    if len(rows.ids) < 3:
        return []
    first = rows.first
    lengths = np.diff(first, append=len(rows.codes))
    total, count = np.zeros(len(first)), np.zeros(len(first), np.int64)
    for part, among in by_series(first, len(rows.codes)):
        seen = np.asarray(np.isfinite(rows.targets[part]).all(axis=1))
        sizes = np.where(seen[:, None], np.abs(rows.targets[part]), 0).sum(axis=1)
        begin = np.maximum(first[among] - part.start, 0)
        total[among] += np.add.reduceat(sizes, begin)
        count[among] += np.add.reduceat(seen, begin, dtype=np.int64)
    level = total / np.maximum(count, 1)
    found = []
    for code, measure, text, rest in (
        ("uneven-lengths", lengths.astype(float), "as long as", "longer series give more training windows"),
        ("uneven-levels", level, "as large as", "each series is scaled by itself, so it does not drown the others"),
    ):
        usual = float(np.median(measure[measure > 0])) if (measure > 0).any() else 0.0
        top = int(measure.argmax())
        if usual and measure[top] >= UNEVEN * usual:
            message = f"series {rows.ids[top]} is {measure[top] / usual:.0f} times {text} the median series; {rest}"
            many = int((measure >= UNEVEN * usual).sum())
            found.append(Finding(code, "info", message, unique_id=rows.ids[top], count=many))
    return found


def _leaking(rows: Rows, schema: Schema) -> list[Finding]:
    """Covariates that are the target itself, of the same row or of a later one."""
    names = (*schema.past, *schema.future)
    targets = rows.targets[:_SAMPLE, 0]
    found = []
    for column, name in enumerate(names):
        covariate = rows.covariates[:_SAMPLE, column].astype(np.float64)
        for lead in (0, 1, 2):
            same = rows.codes[lead : len(targets)] == rows.codes[: len(targets) - lead]
            x, y = covariate[: len(targets) - lead][same], targets[lead:][same]
            if _is_copy(x, y):
                where = "of the same row" if lead == 0 else f"{lead} row{'s' if lead > 1 else ''} later"
                ahead = name in schema.future
                told = "so it cannot be known ahead" if ahead else "so it tells nothing new" if not lead else "a leak"
                found.append(
                    Finding(
                        "leaking-covariate",
                        "warning",
                        f"covariate {name} is the target {where} (correlation 1), {told}",
                        column=name,
                        count=len(x),
                        fix="name the covariates that are meant with --past and --future",
                    )
                )
                break
    return found


def _is_copy(x: Floats, y: Floats) -> bool:
    both: NDArray[np.bool_] = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 10:
        return False
    x, y = x[both], y[both]
    return _correlation(x, y) >= LEAKING and _correlation(np.diff(x), np.diff(y)) >= LEAKING


def _correlation(x: Floats, y: Floats) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return abs(float(x @ y)) / size if size > 1e-12 * max(1.0, float(np.abs(y).max())) else 0.0
