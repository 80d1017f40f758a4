"""Units: what people write around a number. Currency signs, per cent, brackets and minus signs of other kinds."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SIGNS = "€$£¥￥₹₩₽₺₪฿₴₫"
_CODES = (
    "EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|PLN|CZK|HUF|INR|CNY|BRL|AUD|CAD|Fr\\.?|kr\\.?|zł|Kč|Ft|(?:R|US|A|C|NZ|HK|S)\\$"
)
_MONEY = rf"(?:{_CODES}|[{_SIGNS}])"
_DRESSED = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+-])?\s*(?P<before>{_MONEY})?\s*(?P<inner>[+-])?"
    rf"(?P<number>\d[\d.,'\u2019\u00a0\u202f ]*?|[.,]\d+)\s*(?P<after>{_MONEY}|%)?\s*(?P<late>-)?\s*(?P<close>\))?"
)
_OTHER_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-", "\ufe63": "-", "\uff0d": "-"})


def undressed(cell: str) -> str:
    """The number in a cell such as ``€ 1.234``, ``(12,5)``, ``12-`` or ``12 %`` (as ``12e-2``); else the cell."""
    text = cell.translate(_OTHER_MINUS).strip()
    found = _DRESSED.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return cell
    minus = [found["open"], found["late"], *(mark for mark in (found["sign"], found["inner"]) if mark == "-")]
    if sum(map(bool, minus)) > 1 or (found["before"] and found["after"] and found["after"] != "%"):
        return cell
    return ("-" if any(minus) else "") + found["number"].strip() + ("e-2" if found["after"] == "%" else "")


def is_percent(cell: str) -> bool:
    """Whether a cell is a number of per cent."""
    return "%" in cell and undressed(cell).endswith("e-2")


def named(cells: Iterable[str]) -> tuple[str, ...]:
    """The signs, brackets and words around the numbers, in order of first appearance."""
    found: dict[str, None] = {}
    for cell in cells:
        match = _DRESSED.fullmatch(cell.translate(_OTHER_MINUS).strip())
        if match:
            found |= dict.fromkeys(mark for mark in (match["before"], match["after"]) if mark)
            found |= {"brackets": None} if match["open"] else {}
            found |= {"a minus behind": None} if match["late"] else {}
    return tuple(found)


def currencies(marks: Iterable[str]) -> tuple[str, ...]:
    """Those of the marks that name a currency."""
    return tuple(mark for mark in marks if re.fullmatch(_MONEY, mark))
