"""Aggregates: parents that are not in the file are the sums of their children; those that are should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.calendar import Times
from lstmcast.data.column_names import listed
from lstmcast.data.findings import Finding, refuse
from lstmcast.data.lineage import heights
from lstmcast.data.rows import Rows
from lstmcast.data.schema import Schema

_AGREES = 0.01
"""Mean deviation from the sum of the children, as a share of the mean size, up to which a parent counts as that sum."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Sum:
    """``times`` (t,) of the children together, ``targets`` (t, D) their sum where all are known, else NaN,
    ``covariates`` (t, K) their mean, and the line of a child's row."""

    times: Times
    targets: Floats
    covariates: NDArray[np.float32]
    lines: Times


def with_sums(rows: Rows, schema: Schema) -> tuple[Rows, Schema, list[Finding]]:
    """The rows and, after them, those of parents that have none; and the schema that says which these are and whether
    the other parents are the sums of their children.

    ``rows`` are sorted, distinct and on the grid. A sum is missing where one of the children is that has begun and not
    ended: the last row of a child is its end if it lies more than ``schema.max_gap`` rows before the newest of all
    children. A covariate of a sum is the mean of the children's, or what they agree on where it is a word.
    """
    families: dict[str, list[str]] = {}
    for child, parent in schema.parents.items():
        families.setdefault(parent, []).append(child)
    height = heights(schema.parents)
    begin = np.searchsorted(rows.codes, np.arange(len(rows.ids) + 1))
    parts = {name: rows.take(np.arange(begin[k], begin[k + 1])) for k, name in enumerate(rows.ids)}
    made: dict[str, Rows] = {}
    off: list[tuple[str, float, int, int]] = []
    for parent in sorted(families, key=lambda name: height[name]):
        members = [parts[child] for child in families[parent] if child in parts and len(parts[child].times)]
        total = _total(members, schema, parent)
        if total is None:
            continue
        if parent in parts:
            off += _deviation(parts[parent], total, parent)
            continue
        like = members[0]
        made[parent] = parts[parent] = replace(
            like,
            codes=np.full(len(total.times), len(rows.ids) + len(made)),
            times=total.times,
            targets=total.targets,
            covariates=total.covariates,
            lines=total.lines,
            origin=np.full(len(total.times), -1),
        )
    additive = not any(wrong for _, wrong, _, _ in off)
    schema = schema.model_copy(update={"sums": tuple(made), "additive": additive})
    return _joined(rows, made), schema, _told(list(made), off)


def _total(members: list[Rows], schema: Schema, parent: str) -> _Sum | None:
    if not any(np.isfinite(part.targets).any() for part in members):
        return None
    times = np.unique(np.concatenate([part.times for part in members]))
    if not schema.frequency.locate(np.full_like(times, times[0]), times)[1].all():
        raise refuse(
            "other-grids",
            f"the children of {parent} have rows at different times of a step of {schema.frequency.name}, so that "
            "they cannot be added up",
            fix=f"--resample {schema.frequency.name} --agg sum",
        )
    shape = len(times), members[0].targets.shape[1]
    total, known, due = np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    lines = np.zeros(len(times), np.int64)
    newest = max(int(part.times[np.isfinite(part.targets).any(axis=1)].max(initial=times[0])) for part in members)
    for part in members:
        at = np.searchsorted(times, part.times)
        there = np.isfinite(part.targets)
        total[at] += np.where(there, part.targets, 0)
        known[at] += there
        lines[at] = part.lines
        alive = _alive(part, there, times, newest, schema)
        if schema.gaps == "zero":  # an absent row is a zero; only an empty cell is missing
            alive &= np.isin(times, part.times)[:, None]
        due += alive
    whole = (known == due) & (due > 0)
    return _Sum(times, np.where(whole, total, np.nan), _covariates(members, times, schema), lines)


def _alive(part: Rows, there: NDArray[np.bool_], times: Times, newest: int, schema: Schema) -> NDArray[np.bool_]:
    """bool (t, D) from the first to the last value of a series, or to the end if that is near."""
    alive = np.zeros((len(times), there.shape[1]), bool)
    for d, seen in enumerate(there.T):
        if not seen.any():
            continue
        first, last = part.times[seen][[0, -1]]
        behind = schema.frequency.locate(np.array([last]), np.array([max(newest, int(last))]))[0][0]
        alive[:, d] = (times >= first) & ((times <= last) if behind > schema.max_gap else True)
    return alive


def _covariates(members: list[Rows], times: Times, schema: Schema) -> NDArray[np.float32]:
    names = (*schema.past, *schema.future)
    shape = len(times), members[0].covariates.shape[1]
    total, count = np.zeros(shape), np.zeros(shape)
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for part in members:
        at, values = np.searchsorted(times, part.times), part.covariates
        there = np.isfinite(values)
        total[at] += np.where(there, values, 0)
        count[at] += there
        low[at] = np.where(there, np.minimum(low[at], values), low[at])
        high[at] = np.where(there, np.maximum(high[at], values), high[at])
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    words = np.array([name in schema.categories for name in names[: shape[1]]], dtype=bool)
    mean[:, words] = np.where((low == high)[:, words], mean[:, words], np.nan)
    return mean.astype(np.float32)


def _deviation(own: Rows, total: _Sum, parent: str) -> list[tuple[str, float, int, int]]:
    """Name, share of the size, number of rows and first line, if a parent is not the sum of its children."""
    _, mine, theirs = np.intersect1d(own.times, total.times, return_indices=True)
    difference = np.abs(own.targets[mine] - total.targets[theirs])
    size = np.nanmean(np.abs(own.targets[mine])) if np.isfinite(own.targets[mine]).any() else 0.0
    if not np.isfinite(difference).any():
        return []
    share = float(np.nanmean(difference) / size) if size else float(np.nanmean(difference) > 0)
    rows = (difference > _AGREES * size).any(axis=1)
    if not rows.any():
        return []
    return [(parent, share if share > _AGREES else 0.0, int(rows.sum()), int(own.lines[mine][np.argmax(rows)]))]


def _joined(rows: Rows, made: Mapping[str, Rows]) -> Rows:
    parts = [rows, *made.values()]
    if len(parts) == 1:
        return rows
    return Rows(
        ids=(*rows.ids, *made),
        codes=np.concatenate([part.codes for part in parts]),
        times=np.concatenate([part.times for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        covariates=np.concatenate([part.covariates for part in parts]),
        lines=np.concatenate([np.asarray(part.lines) for part in parts]),
        origin=np.concatenate([np.asarray(part.origin) for part in parts]),
    )


def _told(made: list[str], off: list[tuple[str, float, int, int]]) -> list[Finding]:
    found = []
    if made:
        many = f"{len(made)} series are the sums" if len(made) > 1 else "1 series is the sum"
        text = f"{many} of their children, as the data have no rows of their own for them: {listed(made)}"
        found.append(Finding("sums", "info", text, unique_id=made[0], count=len(made)))
    if off:
        name, share, rows, line = max(off, key=lambda one: one[1])
        more = f"; {len(off) - 1} other parents deviate too" if len(off) > 1 else ""
        mean = f", by {share:.1%} of its size on average" if share else ""
        text = f"series {name} is not the sum of its children in {rows} row{'s' if rows > 1 else ''}{mean}{more}"
        fix = "add a series for the rest; until then forecasts add up only with --coherent mint or bottom-up"
        found.append(Finding("not-additive", "warning", text, unique_id=name, count=rows, example_line=line, fix=fix))
    return found
