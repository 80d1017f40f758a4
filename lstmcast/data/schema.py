"""Schema: every decision made while reading a file, so that tomorrow's file is read the same way."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lstmcast.config import Frozen, ReaderSettings
from lstmcast.data.calendar import Frequency
from lstmcast.data.clock import Clock
from lstmcast.data.dialect import Dialect
from lstmcast.errors import UsageError

FEATURES: tuple[Literal["hour", "weekday", "monthday", "month"], ...] = ("hour", "weekday", "monthday", "month")
"""What a calendar says of a time, the fastest first."""


class Ledger(Frozen):
    """What the data of a model looked like: checksums of its values and the usual size of its columns.

    ``ids`` and ``start`` (first time) of the watched series; each checksum covers ``size`` steps of one of them.
    ``keys``, ``sums`` and ``counts`` are int64 arrays in base64: which block, its checksum, its number of values.
    ``sizes`` is the median size of each of ``columns``.
    """

    ids: tuple[str, ...]
    start: tuple[int, ...]
    size: int
    keys: str
    sums: str
    counts: str
    columns: tuple[str, ...]
    sizes: tuple[float, ...]


class Schema(Frozen):
    """Columns and their roles, the file's dialect, its clock and its frequency.

    ``time_col`` is None where rows are numbered in the order of the file. ``id_col`` is None for a file without an id
    column (one series named after the file) and for wide files, where every target column is a series of its own. A
    long file has one or more ``targets``; their order is the D axis.
    ``past`` and ``future`` name the covariates in the file, ``calendar`` and ``holidays`` what is ``derived`` from the
    time of a row; ``past + future + derived`` is the K axis of ``Panel.covariates``. ``static`` names the covariates of
    a whole series: the S axis of ``Panel.static``. The words of covariates are in ``categories``.
    ``parent`` names the columns that say what a series is part of, ``parents`` the parent of each series that has one,
    ``sums`` those that have no rows of their own, and ``additive`` whether every parent that has some was the sum of
    its children.
    """

    time_col: str | None = None
    id_col: str | None
    targets: tuple[str, ...]
    wide: bool = False
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    dialect: Dialect
    clock: Clock
    frequency: Frequency
    gaps: Literal["mask", "zero", "error"] = "mask"
    max_gap: int
    duplicates: Literal["error", "sum", "mean", "first", "last"] = "error"
    short: Literal["pad", "skip", "naive", "error"] = "pad"
    calendar: tuple[Literal["hour", "weekday", "monthday", "month"], ...] = ()
    holidays: str | None = None
    resample: str | None = None
    agg: Literal["mean", "sum", "last", "first"] = "mean"
    drop_incomplete: bool = True
    since: str | None = None
    stale_after: int | None = None
    future_fill: Literal["none", "ffill"] = "none"
    categories: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    ledger: Ledger | None = None
    parent: tuple[str, ...] = ()
    parents: dict[str, str] = Field(default_factory=dict)
    sums: tuple[str, ...] = ()
    additive: bool = True

    def without_past(self) -> Schema:
        """As this, of files whose covariates known only up to now are not read."""
        if not self.past:
            return self
        categories = {name: words for name, words in self.categories.items() if name not in self.past}
        kept = self.ledger
        if kept is not None:
            pairs = [pair for pair in zip(kept.columns, kept.sizes, strict=True) if pair[0] not in self.past]
            columns, sizes = zip(*pairs, strict=True)
            kept = kept.model_copy(update={"columns": columns, "sizes": sizes})
        return self.model_copy(update={"past": (), "categories": categories, "ledger": kept})

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the covariates that come from the time of a row rather than from the file."""
        waves = tuple(f"{name}:{wave}" for name in self.calendar for wave in ("sin", "cos"))
        return waves + (("holiday", "holiday:eve", "holiday:after") if self.holidays else ())

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of a target that is words; none where it is numbers."""
        return self.categories.get(self.targets[0], ()) if len(self.targets) == 1 else ()

    @property
    def static_words(self) -> tuple[int, ...]:
        """How many words each static covariate has, 0 for a number."""
        return tuple(len(self.categories.get(name, ())) for name in self.static)

    @property
    def known_ahead(self) -> tuple[str, ...]:
        """The covariates known over the horizon: the file's own, then the derived ones."""
        return self.future + self.derived


def require_numbers(schema: Schema, doing: str) -> None:
    """Raises ``UsageError`` where the target holds classes; ``doing`` names what was asked for."""
    if schema.classes:
        raise UsageError(
            f"{doing} is about numbers, and the target {schema.targets[0]} holds classes",
            remedy="name a column of numbers with --target; train, predict, backtest and evaluate know classes",
        )


def refuse_contradictions(settings: ReaderSettings, schema: Schema) -> None:
    """Raise ``UsageError`` for settings that would read the data otherwise than the schema does."""
    dialect, clock = schema.dialect, schema.clock
    stored = {
        "time_col": schema.time_col,
        "id_col": schema.id_col,
        "target": schema.targets,
        "classes": bool(schema.classes),
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
        "units": dialect.units,
        "gaps": schema.gaps,
        "max_gap": schema.max_gap,
        "duplicates": schema.duplicates,
        "short": schema.short,
        "resample": schema.resample,
        "agg": schema.agg,
        "drop_incomplete": schema.drop_incomplete,
        "since": schema.since,
        "past": schema.past,
        "future": schema.future,
        "static": schema.static,
        "calendar": schema.calendar,
        "holidays": schema.holidays,
        "parent": schema.parent,
    }
    # these are left out: they belong to the source of the day and do not change how it is read
    today = {"encoding", "query", "query_param", "stale_after", "future_fill", "cache_above_mb", "cache_gb"}
    for key in sorted(settings.model_fields_set - today):
        asked = getattr(settings, key)
        if key in {"freq", "resample"} and asked is not None:
            asked = Frequency.from_alias(asked).name
        if key == "calendar" and asked == ("auto",):
            continue  # what was found then is what is meant now
        if key == "calendar":
            asked = tuple(name for name in FEATURES if name in asked)
        if asked not in (None, (), stored[key]):
            raise UsageError(
                f"reader.{key} is {asked!r}, but the model was trained on data read with {stored[key]!r}",
                remedy="leave that setting out, or train a new model with it",
            )
