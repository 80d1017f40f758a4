"""The forecast file: what ``predict`` wrote, and what the file beside it says of the model that made it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcast.data.schema import Schema
from lstmcast.data.sources import open_sources
from lstmcast.data.tabular import Typed, texts
from lstmcast.errors import DataError

NEEDED = ("unique_id", "ds", "cutoff", "step", "y_hat")
CLASS = "p-"
"""How the columns begin that hold the probability of a class."""

TEXT = ["unique_id", "ds", "cutoff", "target", "status"]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the file beside the forecast says of the model that made it."""

    schema: Schema | None = None
    sources: tuple[str, ...] = ()
    season: int | None = None


def read_sidecar(forecast: str) -> Sidecar:
    """What ``<forecast>.meta.json`` says; nothing where there is none. Raises ``DataError`` if it is damaged."""
    path = Path(f"{forecast}.meta.json")
    if not path.exists():
        return Sidecar()
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        schema = Schema.model_validate(written["schema"])
        return Sidecar(schema, tuple(written.get("sources") or ()), written.get("season"))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} does not say how the data were read: {error}", remedy=f"remove {path} and give the reader's flags"
        ) from error


def read_forecasts(path: str) -> pd.DataFrame:
    """The forecast file, CSV, JSON Lines or Parquet: names and times as text, ``step`` as int64, forecasts as float64.

    Where it forecasts classes (columns p-<class>), ``y_hat`` is the number of the class in the order of these columns.

    Raises ``DataError`` when it is no forecast file or holds something else where a number belongs.
    """
    (source,), _ = open_sources([path])
    lines = source.data.lstrip()[:1] == b"{"
    try:
        if source.table is not None:
            frame = texts(Typed(source.table), missing="")
        elif lines:
            frame = _read_jsonl(source.data)
        else:
            frame = pd.read_csv(io.BytesIO(source.data), dtype=str, na_filter=False)
    except ValueError as error:  # pandas' and json's own errors are of this kind
        raise DataError(
            f"{path} is neither CSV nor JSON Lines nor Parquet: {error}",
            remedy="name the file that `lstmcast predict` wrote",
        ) from error
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path} is not a forecast file: it has no column {', '.join(missing)} (it has {', '.join(frame.columns)})",
            remedy="name the file that `lstmcast predict` wrote first, the actuals second",
        )
    named = [name for name in TEXT if name in frame.columns]
    classes = classes_in(frame)
    if classes:
        frame["y_hat"] = frame["y_hat"].map({name: str(number) for number, name in enumerate(classes)}).fillna("")
    figures = ["step", *(name for name in frame.columns if name.startswith(("y_hat", *([CLASS] if classes else []))))]
    kept = frame[named].assign(**{name: _figures(frame[name], path) for name in figures})
    if not (kept["step"] >= 1).all():
        raise DataError(f"{path}: column step must count from 1", remedy="name the file that `lstmcast predict` wrote")
    return kept.astype({"step": np.int64})


def classes_in(frame: pd.DataFrame) -> tuple[str, ...]:
    """The classes that a forecast file tells probabilities of; none where it forecasts numbers."""
    return tuple(str(name).removeprefix(CLASS) for name in frame.columns if str(name).startswith(CLASS))


def _read_jsonl(data: bytes) -> pd.DataFrame:
    frame = pd.DataFrame.from_records([json.loads(line) for line in data.splitlines() if line.strip()])
    return frame.assign(**{name: frame[name].astype(str) for name in TEXT if name in frame})


def _figures(column: pd.Series, path: str) -> pd.Series:
    empty = column.isna() | column.astype(str).str.lower().isin(["", "nan"])
    figures = pd.to_numeric(column.mask(empty), errors="coerce").astype(np.float64)
    wrong = figures.isna() & ~empty
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{path}, row {row + 1}, column {column.name}: {column[row]!r} is not a number",
            remedy="forecast again, or correct that row",
        )
    return figures
