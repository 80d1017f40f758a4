"""Schema: every decision made while reading a file, so that tomorrow's file is read the same way."""

from __future__ import annotations

from typing import Literal

from lstmcast.config import Frozen, ReaderSettings
from lstmcast.data.calendar import Frequency
from lstmcast.data.clock import Clock
from lstmcast.data.dialect import Dialect
from lstmcast.errors import UsageError


class Schema(Frozen):
    """Columns and their roles, the file's dialect, its clock and its frequency.

    ``time_col`` is None where rows are numbered in the order of the file. ``id_col`` is None for a file without an id
    column (one series named after the file) and for wide files, where every target column is a series of its own. A
    long file has one or more ``targets``; their order is the D axis.
    ``past`` and ``future`` name the covariates; together, in this order, they are the K axis of ``Panel.covariates``.
    """

    time_col: str | None = None
    id_col: str | None
    targets: tuple[str, ...]
    wide: bool = False
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    dialect: Dialect
    clock: Clock
    frequency: Frequency
    gaps: Literal["mask", "zero", "error"] = "mask"
    max_gap: int
    duplicates: Literal["error", "sum", "mean", "first", "last"] = "error"
    short: Literal["pad", "skip", "naive", "error"] = "pad"


def refuse_contradictions(settings: ReaderSettings, schema: Schema) -> None:
    """Raise ``UsageError`` for settings that would read the data otherwise than the schema does."""
    dialect, clock = schema.dialect, schema.clock
    stored = {
        "time_col": schema.time_col,
        "id_col": schema.id_col,
        "target": schema.targets,
        "wide": schema.wide,
        "freq": schema.frequency.name,
        "tz": clock.tz,
        "date_format": clock.formats,
        "day_first": clock.day_first,
        "epoch_unit": clock.epoch_unit,
        "delimiter": dialect.delimiter,
        "decimal": dialect.decimal,
        "thousands": dialect.thousands,
        "na_values": dialect.na_values,
        "skip_rows": dialect.skip_rows,
        "gaps": schema.gaps,
        "max_gap": schema.max_gap,
        "duplicates": schema.duplicates,
        "short": schema.short,
        "past": schema.past,
        "future": schema.future,
    }
    # these belong to the source of the day and do not change how it is read
    for key in sorted(settings.model_fields_set - {"encoding", "query", "query_param"}):
        asked = getattr(settings, key)
        if key == "freq" and asked is not None:
            asked = Frequency.from_alias(asked).name
        if asked not in (None, (), stored[key]):
            raise UsageError(
                f"reader.{key} is {asked!r}, but the model was trained on data read with {stored[key]!r}",
                remedy="leave that setting out, or train a new model with it",
            )
