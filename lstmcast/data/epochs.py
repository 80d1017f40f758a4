"""Epochs: between numbers that count time and int64 times. Seconds since 1970 and finer, Excel days, whole numbers."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import DAY, Times, to_wall

EpochUnit = Literal["s", "ms", "us", "ns", "excel"]

UNITS: dict[str, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
EXCEL_EPOCH = 25_569  # the serial of 1970-01-01
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")

_LARGEST = 2**62
_WHOLE = re.compile(r"[+-]?\d{1,19}(\.0*)?")


def integers(texts: NDArray[np.object_]) -> tuple[Times, NDArray[np.bool_]]:
    """Whole numbers to int64, and which texts are such."""
    fits = np.fromiter((_WHOLE.fullmatch(text) is not None for text in texts), bool, len(texts))
    numbers = [int(text.partition(".")[0]) for text in texts[fits]]
    small = np.fromiter((abs(number) < _LARGEST for number in numbers), bool, len(numbers))
    times = np.zeros(len(texts), np.int64)
    times[np.flatnonzero(fits)[small]] = [number for number in numbers if abs(number) < _LARGEST]
    fits[fits] = small
    return times, fits


def read(texts: NDArray[np.object_], unit: str) -> tuple[Times, NDArray[np.bool_]]:
    """Numbers since 1970 (or Excel serials) to nanoseconds; fractions to a microsecond.

    Excel serials are taken to the millisecond, second or minute that their decimals can tell apart.
    """
    fits = np.fromiter((NUMBER.fullmatch(text) is not None for text in texts), bool, len(texts))
    numbers = pd.to_numeric(pd.Series(np.where(fits, texts, "0")), errors="coerce").to_numpy(float)
    seconds = (numbers - EXCEL_EPOCH) * 86_400 if unit == "excel" else numbers * (UNITS[unit] / 1e9)
    fits &= np.abs(seconds) < 9_200_000_000
    if unit == "excel":
        # six decimals of a day are 0.09 s: what was written is the nearest whole second
        digits = decimals(texts)
        finest = 1_000 if digits > 7 else 1 if digits > 4 else 1 / 60
        milliseconds = np.round(np.round(np.where(fits, seconds, 0) * finest) / finest * 1_000)
        return milliseconds.astype(np.int64) * 1_000_000, fits
    whole, exact = integers(np.array([text.partition(".")[0] for text in texts], dtype=object))
    rest = np.where(fits, numbers - np.trunc(numbers), 0)
    fraction = np.round(rest * (UNITS[unit] / 1_000)).astype(np.int64) * 1_000
    fits &= exact
    return np.where(fits, whole, np.int64(0)) * UNITS[unit] + fraction, fits


def write(times: Times, unit: str, *, tz: str | None, fraction: int) -> list[str]:
    """Times as numbers of ``unit`` with ``fraction`` decimals; Excel serials count the days of the wall clock."""
    if unit == "excel":
        days = to_wall(times, tz) / DAY + EXCEL_EPOCH
        digits = fraction or 10
        return [str(int(day)) if day == int(day) else repr(round(day, digits)) for day in days.tolist()]
    whole, rest = np.divmod(times, UNITS[unit])
    if not fraction:
        return [str(number) for number in whole.tolist()]
    parts = rest * 10**fraction // UNITS[unit]
    return [f"{n}.{part:0{fraction}d}" for n, part in zip(whole.tolist(), parts.tolist(), strict=True)]


def decimals(texts: NDArray[np.object_]) -> int:
    """The most decimals of seconds, or of numbers, that one of the texts has."""
    found = pd.Series(texts).str.extract(r"^(?:.*:\d{2}|[+-]?\d+)[.,](\d+)")[0].dropna().str.len()
    return int(found.max()) if len(found) else 0
