"""``future-frame``: the rows in which covariates known ahead of time have to be filled in, or what still lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lstmcast.artifact import Model, load
from lstmcast.config import ReaderSettings
from lstmcast.data.ahead import Ahead, ahead, as_text, of_file, to_fill
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.data.sources import STDIN, is_url
from lstmcast.data.writer import write_text
from lstmcast.errors import UsageError
from lstmcast.outcome import OnProgress, Outcome, Table, silent

SHOWN = 50


def future_frame(
    sources: list[str],
    *,
    model: Path,
    output: str | None = None,
    check: str | None = None,
    horizon: int | None = None,
    reader: ReaderSettings = ReaderSettings(),  # noqa: B008  # frozen
    on_progress: OnProgress = silent,
) -> Outcome:
    """Write the rows after the data in which something has to be filled in, as the reader of the model expects them.

    With ``check``, the rows filled in: list what is still missing, write that to ``output`` instead, exit code 1.
    Nothing is written where nothing is missing. Raises ``UsageError`` for a model that knows no covariates ahead, and
    what loading and reading raise.
    """
    trained = load(model)
    steps = _horizon(trained, horizon)
    named = sources or list(trained.sources)
    if STDIN in named and not sources:
        raise UsageError("the model was trained from standard input", remedy="name the data")
    settings = reader.asking_like(trained.settings.reader) if sources else reader
    apart = None if check is None or _among(check, named) else check
    panel = read(named, settings, schema=trained.schema, future=apart, on_progress=on_progress).panel
    panel = of_file(panel)
    _require_one_place(panel)
    rows = ahead(panel, steps)
    frame = to_fill(panel, rows)
    facts: dict[str, Any] = {
        "series": len(panel.ids),
        "horizon": steps,
        "covariates": list(panel.schema.future),
        "rows": len(frame),
        "cells": int(rows.missing.sum()),
    }
    if not len(frame):
        told = f"every covariate known ahead is there for the {steps} rows after the last one"
        return Outcome(facts=facts | {"noop": True}, lines=(told,))
    place = output or ("missing_future.csv" if check is not None else "future.csv")
    write_text(as_text(frame, panel.schema.dialect), place)
    facts["output"] = place
    if check is not None:
        lines = (f"{facts['cells']} cells in {len(frame)} rows are missing: {place}",)
        return Outcome(code=1, facts=facts, lines=lines, table=_missing(panel, rows))
    told = f"{len(frame)} rows to fill in ({', '.join(panel.schema.future)}): {place}"
    return Outcome(facts=facts, lines=(told, f"then: lstmcast predict -m {model} --future {place}"))


def _horizon(trained: Model, asked: int | None) -> int:
    if not trained.schema.future:
        raise UsageError(
            "the model was trained without covariates known ahead of time: there is nothing to fill in",
            remedy="train it with --future COLUMN for each of them",
        )
    most = trained.architecture.horizon
    if asked is not None and asked > most:
        raise UsageError(
            f"the model was trained to forecast {most} rows, not {asked}", remedy=f"use --horizon {most} or less"
        )
    return asked or most


def _among(check: str, sources: list[str]) -> bool:
    """Whether the rows to check stand in the data themselves."""
    paths = [Path(source).resolve() for source in sources if source != STDIN and not is_url(source)]
    return Path(check).resolve() in paths


def _require_one_place(panel: Panel) -> None:
    if panel.schema.id_col is None and not panel.schema.wide and len(panel.ids) > 1:
        raise UsageError(
            "series named after their files cannot be told apart in one file of future rows",
            remedy="append the future rows to each file, or name the series in a column (--id-col)",
        )


def _missing(panel: Panel, rows: Ahead) -> Table:
    series, step = np.nonzero(rows.missing.any(axis=2))
    times = panel.schema.clock.format(rows.times[series, step])
    names = np.array(panel.schema.future, dtype=object)
    listed = tuple(
        (panel.ids[s], time, ", ".join(names[rows.missing[s, k]]))
        for s, k, time in zip(series[:SHOWN].tolist(), step[:SHOWN].tolist(), times[:SHOWN], strict=True)
    )
    more = f" (the first {SHOWN} of {len(series)})" if len(series) > SHOWN else ""
    return Table(f"missing{more}", ("unique_id", "ds", "missing"), listed)
