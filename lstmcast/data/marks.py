"""Marks: whether the point or the comma of written numbers is the decimal one, and what groups their digits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lstmcast.data.units import undressed

WHOLE = re.compile(r"[+-]?\d+")
_GROUP_MARKS = " '\u2019\u00a0\u202f"
_NUMBER = re.compile(rf"[+-]?(\d+([.,]\d*)?|[.,]\d+|\d{{1,3}}([.,{_GROUP_MARKS}]\d{{3}})+([.,]\d+)?)([eE][+-]?\d+)?")
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_GROUPS = re.compile(rf"[+-]?\d{{1,3}}(?:([.,{_GROUP_MARKS}])\d{{3}})(?:\1\d{{3}})*(?:[.,]\d+)?")
_UNGROUPED = re.compile(r"[+-]?\d{4,}([.,]\d+)?")
_THREE_DECIMALS = re.compile(r"\.(?=\d{3}(?![\d.]))")


@dataclass(frozen=True, slots=True)
class Marks:
    """What the numeric cells say about their marks.

    ``ambiguous`` is a cell that can be read two ways, ``doubtful`` are the marks of all such cells.
    """

    decimal: str | None = None
    thousands: str | None = None
    ambiguous: str | None = None
    contradiction: tuple[str, str] | None = None
    doubtful: frozenset[str] = frozenset()


def looks_numeric(cell: str) -> bool:
    """Whether a cell is a number in some way of writing numbers."""
    return _NUMBER.fullmatch(cell) is not None


def decide_marks(columns: Iterable[Iterable[str]], delimiter: str) -> Marks:
    """Decimal and thousands marks from the cells that look like numbers; other cells say nothing."""
    decimals: dict[str, str] = {}
    thousands: dict[str, str] = {}
    doubtful: dict[str, str] = {}
    mixed = False
    for column in columns:
        numbers = sorted({bare for cell in column if looks_numeric(bare := undressed(cell).removesuffix("e-2"))})
        here: dict[str, str] = {}
        for cell in numbers:
            _weigh(cell, decimals=decimals, thousands=thousands, doubtful=here)
        # a column that writes 12345 without a mark groups nothing: its 1.234 has decimals
        settled = decimals if any(_UNGROUPED.fullmatch(cell) for cell in numbers) else doubtful
        # 900 beside 1.100: nobody drops decimals only where all three are zero
        mixed = mixed or ("." in here and settled is doubtful and any(WHOLE.fullmatch(cell) for cell in numbers))
        for mark, cell in here.items():
            settled.setdefault(mark, cell)
    if len(decimals) > 1:
        return Marks(contradiction=(decimals["."], decimals[","]))
    if decimals:
        (decimal,) = decimals
        grouping = next((mark for mark in [*thousands, *doubtful] if mark != decimal), None)
        return Marks(decimal=decimal, thousands=grouping, doubtful=frozenset(doubtful))
    if thousands:
        grouped = next(iter(thousands))
        decimal = next((mark for mark in doubtful if mark != grouped), "," if grouped == "." else ".")
        return Marks(decimal=decimal, thousands=grouped, doubtful=frozenset(doubtful))
    if doubtful and (mixed or not (set(doubtful) == {"."} and delimiter == ",")):
        return Marks(ambiguous=next(iter(doubtful.values())), doubtful=frozenset(doubtful))
    return Marks(decimal="." if doubtful else None, doubtful=frozenset(doubtful))


def is_doubtful_anywhere(text: str) -> bool:
    """Whether a number such as 1.234 comes anywhere in the text, which the first lines did not show."""
    before = (text[max(found.start() - 4, 0) : found.start()] for found in _THREE_DECIMALS.finditer(text))
    return any(re.fullmatch(r"(?:.*[^\d.:])?[1-9]\d{0,2}", part, re.DOTALL) for part in before)


def _weigh(cell: str, *, decimals: dict[str, str], thousands: dict[str, str], doubtful: dict[str, str]) -> None:
    marks = [character for character in cell if character in ".," + _GROUP_MARKS]
    if not marks:
        return
    if _AMBIGUOUS.fullmatch(cell):
        doubtful.setdefault(marks[0], cell)
        return
    grouped = _GROUPS.fullmatch(cell)
    if len(marks) > 1 and grouped:
        thousands.setdefault(grouped[1], cell)
        if marks[-1] != grouped[1]:
            decimals.setdefault(marks[-1], cell)
    elif marks[0] in _GROUP_MARKS:
        thousands.setdefault(marks[0], cell)
    elif len(marks) == 1:
        decimals.setdefault(marks[0], cell)
