"""Table: from opened sources to one frame. Dialect, header, and what each column is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data import columns, id_column, tabular, time_column
from lstmcast.data.calendar import Times
from lstmcast.data.columns import Roles
from lstmcast.data.decoding import decode
from lstmcast.data.dialect import Dialect, announcements, cells, head, remarked
from lstmcast.data.findings import Finding, refuse
from lstmcast.data.frame import Body, load, spellings, split_header
from lstmcast.data.journey import Journey
from lstmcast.data.numbers import is_number
from lstmcast.data.schema import Schema
from lstmcast.data.sources import Source
from lstmcast.data.surroundings import described, footer, is_footer_text, without_comments
from lstmcast.data.tabular import Typed

Loaded = tuple[pd.DataFrame, Times, list[Finding]]


MANY = 20
"""Files of one form from which on they are parsed in one go."""


@dataclass(frozen=True, slots=True)
class Table:
    """All n rows of all sources; ``lines`` and ``origin`` int64 (n,) hold the line and the source of each."""

    frame: pd.DataFrame
    lines: Times
    origin: Times
    dialect: Dialect
    roles: Roles


def read_table(opened: list[Source], journey: Journey) -> Table:
    """The rows of all sources in one table; their bytes are let go of in ``opened``."""
    settings, stored = journey.settings, journey.stored
    dialect, bodies, sample = _bodies(opened, journey)
    if stored:
        found, time = {}, stored.time_col
        texts, ids = (
            {name for name in (stored.time_col,) if name},
            {name for name in (stored.id_col, *stored.parent) if name},
        )
    else:
        found = columns.kinds(bodies[0].names, sample)
        time = time_column.pick_time(found, settings, stamped=time_column.stamped(bodies[0].names, sample))
        texts, ids = id_column.as_text(found, time, settings)

    repeating = id_column.repeating(bodies[0].names, sample, ids)
    # its rows are all that is needed now
    opened[:] = [replace(source, data=b"", table=None) for source in opened]
    whole = None if journey.future else joined(bodies, dialect.delimiter)
    labels = [source.label for source in opened] if whole is None else [f"{len(opened)} files"]
    bodies = bodies if whole is None else [whole.body]

    def tables(written: Dialect) -> list[Loaded]:
        return [
            tabular.load(body, written, label=label, as_text=texts, whole_text=ids)
            if isinstance(body, Typed)
            else load(body, written, label=label, as_text=texts, whole_text=ids, repeating=repeating)
            for label, body in zip(labels, bodies, strict=True)
        ]

    loaded = _all_trimmed(labels, tables(dialect), time)
    numeric = [name for name, look in found.items() if look == "number" and name not in texts | ids]
    if odd_cells := _no_numbers(loaded, numeric):
        mended = remarked(dialect, odd_cells, settings)
        loaded = loaded if mended.decimal == dialect.decimal else _all_trimmed(labels, tables(mended), time)
        dialect = mended
    journey.findings += [finding for _, _, findings in loaded for finding in findings]
    past = len(loaded)
    if journey.future is not None:
        past -= 1
        loaded[-1] = _ahead(loaded[-1], loaded[0][0], stored, label=opened[-1].label)
    origin = np.repeat(np.arange(len(loaded)), [len(table) for table, _, _ in loaded])
    frame = loaded[0][0] if len(loaded) == 1 else pd.concat([table for table, _, _ in loaded], ignore_index=True)
    lines = np.concatenate([lines for _, lines, _ in loaded])
    if whole is not None:
        origin = np.searchsorted(whole.begins, lines, side="right") - 1
        lines = lines - whole.begins[origin] + whole.first_lines[origin]
    journey.rows = len(frame)
    if stored is None:
        journey.say(*announcements(dialect, settings, bodies[0].names))
    roles = columns.follow(frame, stored) if stored else columns.assign(frame, found, time, settings)
    journey.say(*roles.notes)
    if gone := [name for name in roles.targets if frame[name].isna().any()]:
        journey.findings.append(
            _missing(frame, gone, lines, _spellings(labels[:past], bodies[:past], loaded[:past], dialect, gone))
        )
    return Table(frame, lines, origin, dialect, roles)


def _decoded(source: Source, encoding: str | None, journey: Journey) -> tuple[str, str]:
    text, found = decode(source, encoding)
    text, comments = without_comments(text)
    if comments:
        many = f"{len(comments)} comment line{'s' if len(comments) > 1 else ''} (the first is line {comments[0]})"
        said = Finding(
            "comments", "info", f"{source.label}: {many} left out", count=len(comments), example_line=comments[0]
        )
        journey.findings.append(said)
    return text, found


def _bodies(opened: list[Source], journey: Journey) -> tuple[Dialect, list[Body | Typed], list[list[str]]]:
    """How the sources are written, the rows of each (as text, or typed), and the cells of the first ones as text.

    A last source that holds what is known of the future need not have all columns.
    """
    settings, stored = journey.settings, journey.stored
    asked = settings.encoding or (stored.dialect.encoding if stored else None)
    texts = [None if source.table is not None else _decoded(source, asked, journey) for source in opened]
    dialect, said = (stored.dialect, []) if stored else _dialect(opened, texts, settings)
    journey.say(*said)
    clock = stored.clock if stored else None
    bodies = [
        Typed(source.table, clock) if text is None else split_header(text[0], dialect, label=source.label)
        for source, text in zip(opened, texts, strict=True)
    ]
    alike = len(bodies) - (journey.future is not None)
    for source, body in zip(opened[:alike], bodies[:alike], strict=True):
        if set(body.names) != set(bodies[0].names):
            odd = sorted(set(body.names) ^ set(bodies[0].names))
            raise refuse(
                "different-columns",
                f"{source.label} and {opened[0].label} do not have the same columns ({odd[0]!r})",
                fix="read files with the same columns together",
                column=odd[0],
            )
    if isinstance(bodies[0], Typed):
        return dialect, bodies, tabular.sample(bodies[0])
    first = texts[0][0] if texts[0] else ""
    rows = cells(head(first, dialect.skip_rows), dialect.delimiter)
    return dialect, bodies, rows[dialect.header + dialect.units_row :]


def _dialect(
    opened: list[Source], texts: list[tuple[str, str] | None], settings: ReaderSettings
) -> tuple[Dialect, list[str]]:
    """That of the first source that is a text (cells with types of their own have none), and what there is to say."""
    for source, text in zip(opened, texts, strict=True):
        if text is not None:
            return described(text[0], settings, label=source.label, encoding=text[1])
    marks = {"decimal": settings.decimal or ".", "thousands": settings.thousands}
    return Dialect.model_validate(marks | {"na_values": settings.na_values, "units": settings.units}), []


def _ahead(loaded: Loaded, like: pd.DataFrame, stored: Schema | None, *, label: str) -> Loaded:
    """Rows of the future with the columns of the past: what is not known yet is missing."""
    table, lines, findings = loaded
    needed = (stored.time_col, stored.id_col, *stored.future) if stored else ()
    if absent := [name for name in needed if name is not None and name not in table]:
        raise refuse(
            "missing-column",
            f"{label} has no column {absent[0]!r}",
            fix=f"the rows known ahead need the columns {', '.join(name for name in needed if name)}",
            column=absent[0],
        )
    return table.reindex(columns=like.columns), lines, findings


@dataclass(frozen=True, slots=True)
class Joined:
    """Many bodies as one; int64 (files,) the line of it that each ``begins`` at, and the first line of each itself."""

    body: Body
    begins: Times
    first_lines: Times


def joined(bodies: Sequence[Body | Typed], delimiter: str) -> Joined | None:
    """Many bodies of one form as one; None where they differ.

    Files with quotes, totals below the table, or rows that lack cells are read one by one, so that messages name them.
    """
    parts = [body for body in bodies if isinstance(body, Body)]
    if len(parts) < max(MANY, len(bodies)) or len(parts[0].names) < 2:
        return None
    first = parts[0]
    for body in parts:
        last = body.text[body.text.rfind("\n", 0, -1) + 1 :]
        if body.names != first.names or '"' in body.text or not last.endswith("\n") or is_footer_text(last.strip()):
            return None
    counts = np.array([body.text.count("\n") for body in parts])
    marks = np.array([body.text.count(delimiter) for body in parts])
    if (marks != counts * (len(first.names) - 1)).any():
        return None
    whole = Body(first.names, "".join(body.text for body in parts), 1)
    return Joined(whole, np.cumsum(counts) - counts + 1, np.array([body.first_line for body in parts]))


def _all_trimmed(labels: list[str], loaded: list[Loaded], time: str | None) -> list[Loaded]:
    """The tables without the rows of totals below them."""
    trimmed = []
    for label, (table, lines, findings) in zip(labels, loaded, strict=True):
        count, found = footer(table, lines, time=time, label=label)
        rows = len(table) - count
        trimmed.append((table.iloc[:rows], lines[:rows], [*findings, *found]) if count else (table, lines, findings))
    return trimmed


def _no_numbers(loaded: list[Loaded], names: list[str]) -> list[set[str]]:
    """The cells of each of these columns that holds something other than numbers."""
    return [
        set(table[name].dropna().astype(str).str.strip())
        for table, _, _ in loaded
        for name in names
        if name in table and not is_number(table[name])
    ]


def _spellings(
    labels: list[str], bodies: list[Body | Typed], loaded: list[Loaded], dialect: Dialect, names: list[str]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for label, body, (_, lines, _) in zip(labels, bodies, loaded, strict=True):
        if isinstance(body, Typed):
            counts.update(tabular.spellings(body, names=names))
        else:
            counts.update(spellings(body, dialect, label=label, names=names, lines=lines))
    return counts


def _missing(frame: pd.DataFrame, names: list[str], lines: Times, counts: Counter[str]) -> Finding:
    absent = frame[names].isna().to_numpy()
    listed = ", ".join(f"{count} {token!r}" if token else f"{count} empty" for token, count in counts.most_common(5))
    total = int(absent.sum())
    return Finding(
        "missing-values",
        "info",
        f"{total} value{'s are' if total > 1 else ' is'} missing ({listed})",
        column=names[0] if len(names) == 1 else None,
        count=total,
        example_line=int(lines[np.argmax(absent.any(axis=1))]),
    )
