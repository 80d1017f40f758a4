"""Opening: what the first lines of plain files say about how every block of them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from lstmcast.data import columns, id_column, plain, styles
from lstmcast.data.blocks import NotPlainError
from lstmcast.data.columnar import Texts
from lstmcast.data.dialect import Dialect, cells, head
from lstmcast.data.findings import RefusedError
from lstmcast.data.frame import split_header
from lstmcast.data.journey import Journey
from lstmcast.data.marks import Marks, decide_marks
from lstmcast.data.plain import Plan
from lstmcast.data.surroundings import described

_TOP = 300
"""Lines that are looked at."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The ``plan``, what the columns look like, which is the ``time``, what there is to say, and the columns read as
    text and as names. ``watched``: a number such as 1.234 further down would make the decimal mark doubtful.
    ``stamped`` are some of the times where they are read on the way.
    """

    plan: Plan
    looks: Mapping[str, str]
    time: str | None
    said: list[str]
    as_text: tuple[set[str], set[str]]
    watched: bool
    stamped: NDArray[np.object_] | None


def opened(text: str, journey: Journey, *, label: str, encoding: str, whole: bool) -> Opening:
    """Decide by the first lines; ``whole``: there are no others. Raises ``NotPlainError`` where they are not plain."""
    settings, stored = journey.settings, journey.stored
    lines = text.split("\n", _TOP)[:_TOP]
    if len(lines) < _TOP and not whole:
        raise NotPlainError
    top = "\n".join(lines)
    dialect, said, watched = (stored.dialect, [], False) if stored else _described(top, journey, label, encoding)
    if dialect.thousands or len(dialect.delimiter.encode()) > 1:
        raise NotPlainError
    names = split_header(text, dialect, label=label).names
    sample = cells(head(top, dialect.skip_rows), dialect.delimiter)[dialect.header + dialect.units_row :]
    if len(names) < 2 or any(len(row) != len(names) for row in sample):
        raise NotPlainError
    looks, time = ({}, stored.time_col) if stored else columns.looks(names, sample, settings)
    as_text = id_column.read_as_text(looks, time, settings, stored)
    given = [row[names.index(time)] for row in sample] if time in names else []
    stamped = given if _are_stamps(given, journey) else []
    plan = _plan(names, sample, dialect, journey, as_text)
    if stamped and time is not None:
        plan.kinds[time], plan.stamp = "stamp", stamped[0]
    distinct = np.array(list(dict.fromkeys(stamped)), dtype=object) if stamped else None
    return Opening(plan, looks, time, said, as_text, watched, distinct)


def _described(top: str, journey: Journey, label: str, encoding: str) -> tuple[Dialect, list[str], bool]:
    settings = journey.settings
    try:
        dialect, said = described(top, settings, label=label, encoding=encoding)
    except RefusedError as error:
        raise NotPlainError from error
    rows = cells(head(top, dialect.skip_rows), dialect.delimiter)[dialect.header :]
    marks = decide_marks(zip_longest(*rows, fillvalue=""), dialect.delimiter)
    if marks.ambiguous and not settings.decimal:
        raise NotPlainError
    return dialect, said, marks == Marks() and not settings.decimal


def _plan(
    names: Sequence[str],
    sample: Sequence[Sequence[str]],
    dialect: Dialect,
    journey: Journey,
    as_text: tuple[set[str], set[str]],
) -> Plan:
    texts, ids = as_text
    looks = columns.kinds(names, sample)
    words = journey.stored.categories if journey.stored else {}
    plan = Plan(dialect, {}, texts={name: Texts() for name in names})
    for place, name in enumerate(names):
        kind = plain.kind_of([row[place] for row in sample], looks[name], dialect.tokens())
        plan.kinds[name] = "name" if name in ids else "text" if name in texts or name in words else kind
    return plan


def _are_stamps(given: Sequence[str], journey: Journey) -> bool:
    """Whether these times are all written alike, year first, in the style that will be followed."""
    settings, stored = journey.settings, journey.stored
    if not given or settings.epoch_unit or not plain.ISO.fullmatch(given[0]):
        return False
    style = styles.recognise(given[0], day_first=True)
    asked = stored.clock.formats if stored else settings.date_format
    alike = all(len(cell) == len(given[0]) for cell in given)
    return alike and style is not None and asked in {(), (style,)} and not (stored and stored.clock.epoch_unit)
