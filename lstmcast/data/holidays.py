"""Holidays: whether the days that are absent from a file are the holidays of a country or of a stock exchange."""

from __future__ import annotations

from datetime import date

import numpy as np

from lstmcast.data.calendar import DAY, Frequency, Times, to_wall

EXPLAINED = 0.6
"""Share of the absent days that a calendar must explain."""

_FEWEST = 3
_EXCHANGES = ("XNYS", "XECB")
_COUNTRIES = (
    *("US", "DE", "GB", "FR", "IT", "ES", "NL", "BE", "AT", "CH", "PL", "CZ", "SE", "NO", "DK", "FI", "IE", "PT"),
    *("CA", "AU", "NZ", "JP", "IN", "CN", "KR", "BR", "MX", "ZA", "TR"),
)


def explained(absent: Times, present: Times, frequency: Frequency) -> tuple[str, int] | None:
    """The calendar that has most of the ``absent`` days and few of those ``present``, and how many days it explains.

    Times are those of rows; None where the days are too few, or no calendar fits.
    """
    if frequency.kind not in {"business", "days"} or frequency.step != 1:
        return None
    gone, here = (_days(times, frequency.tz) for times in (absent, present))
    gone -= here
    if len(gone) < _FEWEST:
        return None
    import holidays  # costs a tenth of a second: only for files that lack days

    years = sorted({day.year for day in gone})
    best, most = None, 0
    for code in (*_EXCHANGES, *_COUNTRIES):
        calendar = (holidays.financial_holidays if code in _EXCHANGES else holidays.country_holidays)(code, years=years)
        days = set(calendar)
        hits = len(gone & days) - len(here & days)
        if hits > most:
            best, most = code, hits
    if best is None or most < max(_FEWEST, EXPLAINED * len(gone)):
        return None
    return best, most


def _days(times: Times, tz: str | None) -> set[date]:
    days = np.unique(np.floor_divide(to_wall(times, tz), DAY)).astype("datetime64[D]")
    return set(days.tolist())
