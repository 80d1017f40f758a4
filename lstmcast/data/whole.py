"""Whole: sources that are read one by one, each as a whole: whatever they hold, and where in them it is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data import columns, id_column, tabular
from lstmcast.data.cells import Cells
from lstmcast.data.column_names import refuse_others
from lstmcast.data.counting import Places
from lstmcast.data.decoding import decode
from lstmcast.data.dialect import DELIMITERS, Dialect, cells, head, remarked
from lstmcast.data.findings import Finding, refuse
from lstmcast.data.frame import Body, load, spellings, split_header
from lstmcast.data.journey import Journey
from lstmcast.data.numbers import is_number, is_text
from lstmcast.data.schema import Schema
from lstmcast.data.sources import Source, open_sources
from lstmcast.data.surroundings import comments_left_out, described, footer, without_comments
from lstmcast.data.tabular import Typed

Loaded = tuple[pd.DataFrame, Places, list[Finding]]


def whole(sources: list[str], journey: Journey) -> Cells:
    """The cells of all sources. Raises ``RefusedError`` for what is no table, naming the source and the line."""
    settings, stored = journey.settings, journey.stored
    ahead = [journey.future] if journey.future else []
    opened, journey.fingerprint = open_sources(
        [*sources, *ahead], query=settings.query, parameters=settings.query_param
    )
    dialect, bodies, sample = _bodies(opened, journey)
    found, time = ({}, stored.time_col) if stored else columns.looks(bodies[0].names, sample, settings)
    texts, ids = id_column.read_as_text(found, time, settings, stored)
    repeating = id_column.repeating(bodies[0].names, sample, ids)
    # their rows are all that is needed now
    opened = [replace(source, data=b"", table=None) for source in opened]
    labels = [source.label for source in opened]

    def tables(written: Dialect) -> list[Loaded]:
        return [
            tabular.load(body, written, label=label, as_text=texts, whole_text=ids)
            if isinstance(body, Typed)
            else load(body, written, label=label, as_text=texts, whole_text=ids, repeating=repeating)
            for label, body in zip(labels, bodies, strict=True)
        ]

    loaded = trimmed(labels, tables(dialect), time)
    numeric = [name for name, look in found.items() if look == "number" and name not in texts | ids]
    if odd_cells := _no_numbers(loaded, numeric):
        mended = remarked(dialect, odd_cells, settings)
        loaded = loaded if mended.decimal == dialect.decimal else trimmed(labels, tables(mended), time)
        dialect = mended
    journey.findings += [finding for _, _, findings in loaded for finding in findings]
    past = len(loaded) - len(ahead)
    if ahead:
        loaded[-1] = _ahead(loaded[-1], loaded[0][0], stored, label=opened[-1].label)
    origin = np.repeat(np.arange(len(loaded)), [len(table) for table, _, _ in loaded])
    return Cells(
        frame=loaded[0][0] if len(loaded) == 1 else pd.concat([table for table, _, _ in loaded], ignore_index=True),
        lines=np.concatenate([lines for _, lines, _ in loaded]),
        origin=np.zeros_like(origin) if past == 1 else origin,  # the future rows of the only series
        stems=tuple(source.stem for source in opened[: 1 if past == 1 else None]),
        later=origin == past if ahead else None,
        dialect=dialect,
        names=bodies[0].names,
        looks=found,
        time=time,
        spelled=lambda names: _spellings(labels[:past], bodies[:past], loaded[:past], dialect, names),
    )


def _decoded(source: Source, encoding: str | None, journey: Journey) -> tuple[str, str]:
    text, found = decode(source, encoding)
    text, comments = without_comments(text)
    if comments:
        journey.findings.append(comments_left_out(source.label, len(comments), comments[0]))
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
        if stored:
            _refuse_another_delimiter(source.label, body.names, stored)
        refuse_others(source.label, body.names, opened[0].label, bodies[0].names)
    if isinstance(bodies[0], Typed):
        return dialect, bodies, tabular.sample(bodies[0])
    first = texts[0][0] if texts[0] else ""
    rows = cells(head(first, dialect.skip_rows), dialect.delimiter)
    return dialect, bodies, rows[dialect.header + dialect.units_row :]


def _refuse_another_delimiter(label: str, names: Sequence[str], stored: Schema) -> None:
    """Raise ``RefusedError`` for a header that is one cell by the delimiter known, and several by another."""
    mark = stored.dialect.delimiter
    other = next((other for other in DELIMITERS if other != mark and other in names[0]), None) if names else None
    if len(names) == 1 and other and stored.time_col != names[0]:
        raise refuse(
            "other-delimiter",
            f"the cells of {label} are separated by {other!r}; the model was trained on files with {mark!r}",
            fix="write the file as before, or train a model on files like this one",
        )


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
    words = {name: like[name].dtype for name in like if name not in table and is_text(like[name])}
    return table.reindex(columns=like.columns).astype(words), lines, findings


def trimmed(labels: list[str], loaded: list[Loaded], time: str | None) -> list[Loaded]:
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
