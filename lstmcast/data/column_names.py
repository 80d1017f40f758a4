"""Column names: the words by which columns are known, and how their names are written in messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data.findings import Finding, refuse
from lstmcast.data.schema import Schema
from lstmcast.family import nearest

SURE_TIMES = ("ds", "datetime", "timestamp", "date_time", "date", "time", "datum")
TIMES = (
    *(*SURE_TIMES, "utc", "utc_time", "fecha", "data_ora"),
    *("zeit", "zeitstempel", "day", "tag", "week", "month", "monat", "quarter", "period", "year", "jahr", "t", "step"),
)
PARTS = ("year", "jahr", "quarter", "month", "monat", "week", "day", "tag", "hour", "stunde", "minute")
IDS = ("unique_id", "series_id", "item_id", "series", "id")
WEAK_IDS = (
    *("sku", "store", "item", "product", "article", "shop", "symbol", "ticker", "sensor", "device", "meter", "site"),
    *("station", "location", "region", "country", "city", "name", "key", "code", "host", "machine", "channel", "group"),
)
COUNTERS = ("#", "no", "no.", "nr", "nr.", "row", "rownum", "record", "index", "lfd. nr.", "n°")
TARGETS = ("y", "target", "value", "values", "_value")


def require(name: str, columns: Mapping[str, str] | list[str], *, flag: str) -> None:
    """Raise ``RefusedError`` naming the nearest column unless ``name`` is one of them."""
    if name not in columns:
        raise refuse(
            "no-such-column",
            f"there is no column called {name!r} ({flag})",
            fix=nearest(name, list(columns)),
            column=name,
        )


def by_flag(given: ReaderSettings | Schema) -> dict[str, tuple[str, ...]]:
    """The columns named beside that of time, under the flag that names them."""
    return {
        "--id-col": (given.id_col,) if given.id_col else (),
        "--target": given.targets if isinstance(given, Schema) else given.target,
        "--past": given.past or (),
        "--future": given.future,
        "--parent": given.parent,
        "--static": given.static,
    }


def listed(names: Sequence[str] | pd.Index) -> str:
    """The names one after the other, the first six of many."""
    shown = ", ".join(str(name)[:40] for name in names[:6])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 6 else shown


def as_flag(name: str) -> str:
    """A name as the value of a flag, in quotes where the shell needs them."""
    return name if re.fullmatch(r"[\w.-]+", name) else f"'{name}'"


def is_forecast(names: Iterable[str]) -> bool:
    """Whether a file with these columns is one that ``predict`` or ``backtest`` wrote."""
    return {"ds", "cutoff", "step", "y_hat"} <= set(names)


def refuse_others(label: str, names: Sequence[str], first: str, like: Sequence[str]) -> None:
    """Raise ``RefusedError`` unless the file ``label`` has the columns of the ``first`` one, in any order."""
    if set(names) == set(like):
        return
    odd = min(set(names) ^ set(like))
    made = [at for at, its in ((label, names), (first, like)) if is_forecast(its)]
    raise refuse(
        "different-columns",
        f"{label} and {first} do not have the same columns ({odd!r})",
        fix=f"{made[0]} looks like a forecast of lstmcast: name the data without it, or move it elsewhere"
        if len(made) == 1
        else "read files with the same columns together",
        column=odd,
    )


def forecast_as_data(label: str) -> Finding:
    """The warning about data that are a forecast."""
    return Finding(
        "forecast-as-data",
        "warning",
        f"{label} looks like a forecast of lstmcast, not like data",
        fix=f"lstmcast evaluate {as_flag(label)} ACTUAL  # scores it; or name the data instead",
    )
