"""Arrays: the columns of a table as series, values and times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import Times
from lstmcast.data.categories import categories_of, classes_of, coded, refuse_arithmetic
from lstmcast.data.clock import Clock
from lstmcast.data.clock_inference import infer_clock
from lstmcast.data.columns import Roles
from lstmcast.data.counting import Places, stretches
from lstmcast.data.dialect import Dialect
from lstmcast.data.findings import Finding, RefusedError, refuse
from lstmcast.data.journey import Journey
from lstmcast.data.numbers import to_floats
from lstmcast.data.rows import Rows
from lstmcast.data.table import Table


def series(table: Table, journey: Journey) -> tuple[tuple[str, ...], Times]:
    """The ids in order of first appearance and the series of each row."""
    name = table.roles.id
    if name is None:
        if table.roles.wide or len(table.stems) == 1:
            return table.stems[:1], np.zeros(len(table.frame), np.int64)
        return table.stems, np.asarray(table.origin)
    codes, spelled = _factorised(table.frame[name])
    merged, names = pd.factorize(np.array([str(text).strip() for text in spelled], dtype=object))
    if padded := sum(str(text) != str(text).strip() for text in spelled):
        journey.say(f"spaces around {padded} name{'s' if padded > 1 else ''} of series are left out")
    if len(names) < len(spelled) or (len(codes) and codes.min() < 0) or "" in names:
        codes = np.where(codes < 0, -1, merged[codes]) if len(merged) else codes
        empty = np.flatnonzero((codes < 0) | np.isin(codes, np.flatnonzero(names == "")))
        if empty.size:
            raise _nameless(name, int(table.lines[empty[0]]), int(empty.size))
    return tuple(str(text) for text in names), codes


def _factorised(column: pd.Series) -> tuple[Times, NDArray[np.object_]]:
    """Codes in order of first appearance, -1 where missing, and the distinct texts."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        codes, spelled = pd.factorize(column.astype(object))
        return np.asarray(codes, np.int64), np.asarray(spelled, dtype=object)
    kept = column.cat.codes.to_numpy()
    if len(kept) and _in_order(kept, len(column.cat.categories)):
        return kept.astype(np.int32, copy=False), column.cat.categories.to_numpy(object)
    codes, used = pd.factorize(kept)
    codes = np.asarray(codes, np.int64)
    texts = column.cat.categories.to_numpy(object)
    if not (used < 0).any():
        return codes, texts[used]
    gone = int(np.flatnonzero(used < 0)[0])
    return np.where(codes == gone, -1, codes - (codes > gone)), texts[used[used >= 0]]


def _in_order(codes: NDArray[np.integer[Any]], many: int) -> bool:
    """Whether the codes are 0, then 1, and so on up to ``many`` - 1, each as often as it likes."""
    if codes[0] != 0 or codes[-1] != many - 1:
        return False
    for part in stretches(len(codes)):
        apart = np.diff(codes[max(part.start - 1, 0) : part.stop])
        if apart.size and not (apart.min() >= 0 and apart.max() <= 1):
            return False
    return True


def _nameless(column: str, line: int, count: int) -> RefusedError:
    return refuse(
        "missing-id",
        f"column {column!r} line {line}: the name of the series is missing ({count} in all)",
        fix="fill it in, or name another column with --id-col",
        column=column,
        line=line,
    )


def values(table: Table, journey: Journey) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Targets (r, D) and covariates (r, K), NaN where missing."""
    frame, roles, dialect, lines = table.frame, table.roles, table.dialect, table.lines
    read_columns = {}
    named = {*(journey.settings.past or ()), *journey.settings.future}
    for name in (*roles.targets, *roles.past, *roles.future):
        aimed = roles.targets == (name,) and not roles.wide
        if journey.stored:
            words = journey.stored.categories.get(name, ())
        else:
            words = categories_of(frame[name], dialect) if name in named else ()
            if aimed and (name in journey.settings.target or journey.settings.classes):
                words = classes_of(frame[name], dialect, forced=journey.settings.classes)
            journey.categories |= {name: words} if words else {}
            if words and aimed:
                refuse_arithmetic(journey.settings, name)
        if words:
            kept, what = journey.stored is not None, "target" if aimed else "covariate"
            read_columns[name], found = coded(
                frame[name], words, dialect, name=name, lines=lines, known=kept, what=what
            )
        else:
            read_columns[name], found = to_floats(frame[name], dialect, name=name, lines=lines)
        journey.findings += found
    targets = [read_columns[name] for name in roles.targets]
    known = [read_columns[name] for name in (*roles.past, *roles.future)]
    covariates = np.empty((len(frame), len(known)), np.float32)
    with np.errstate(over="ignore"):
        for place, column in enumerate(known):
            covariates[:, place] = column
    return targets[0][:, None] if len(targets) == 1 else np.stack(targets, axis=1), covariates


def percent(dialect: Dialect, lines: Places, journey: Journey) -> Dialect:
    """The dialect with the columns that are written in per cent; an error where that is not as it was."""
    now = tuple(finding.column for finding in journey.findings if finding.code == "percent" and finding.column)
    if journey.stored is None:
        return dialect.model_copy(update={"percent": now})
    for name in sorted(set(now) ^ set(dialect.percent)):
        changed = "is written in per cent and was not" if name in now else "is not written in per cent any more"
        text = f"column {name!r} {changed} when the model was trained"
        fix = "write it as it was, or train a new model"
        journey.findings.append(Finding("other-units", "error", text, column=name, example_line=int(lines[0]), fix=fix))
    return dialect


def clock(table: Table, journey: Journey) -> Clock:
    """The clock of the time column: the stored one, or what its texts say."""
    if journey.stored:
        return journey.stored.clock
    name = table.roles.time
    if name is None:
        return Clock(kind="row")
    texts = _distinct(table.frame[name]) if table.stamped is None else table.stamped
    if not len(texts):
        raise refuse("missing-time", f"column {name!r} is empty", fix="name the time with --time-col", column=name)
    found, notes = infer_clock(texts, column=name, settings=journey.settings, lines=table.lines)
    journey.say(*notes)
    return found


def _distinct(column: pd.Series) -> NDArray[np.object_]:
    """The distinct texts in order of first appearance."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _factorised(column)[1]
    return np.asarray(column.dropna().astype(object).unique(), dtype=object)


def times(table: Table, how: Clock, codes: Times) -> Times:
    """int64 (r,) the time of each row; ``codes`` are the series they belong to."""
    name = table.roles.time
    if how.kind == "row" or name is None:
        return np.asarray(pd.Series(codes).groupby(codes).cumcount().to_numpy(np.int64) + 1)
    column = table.frame[name]
    if table.stamped is not None:
        return how.located(column.to_numpy(), groups=codes)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return how.parse(
            column.cat.categories.to_numpy(object),
            column.cat.codes.to_numpy(),
            groups=codes,
            lines=table.lines,
            column=name,
        )
    return how.parse(column.to_numpy(object), groups=codes, lines=table.lines, column=name)


def unpivoted(rows: Rows, roles: Roles) -> Rows:
    """Each target column a series of its own."""
    width, count = len(roles.targets), len(rows.times)
    return Rows(
        ids=roles.targets,
        codes=np.repeat(np.arange(width), count),
        times=np.tile(rows.times, width),
        targets=rows.targets.T.reshape(-1, 1),
        covariates=np.tile(rows.covariates, (width, 1)),
        lines=np.tile(np.asarray(rows.lines), width),
        origin=np.tile(np.asarray(rows.origin), width),
    )
