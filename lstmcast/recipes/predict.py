"""``predict``: a saved model over today's file, a forecast after the last row of each series."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast import __version__
from lstmcast.artifact import Model, advance, load
from lstmcast.config import ReaderSettings
from lstmcast.data.ahead import ahead as rows_ahead
from lstmcast.data.ahead import as_text, carried_on, of_file, stale, to_fill, without
from lstmcast.data.calendar_features import extended
from lstmcast.data.excerpt import consecutive, portions, until
from lstmcast.data.moments import Moments
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.data.sources import lasting
from lstmcast.data.writer import STDOUT, Format, check_output, is_file, write_frames, write_json, write_text
from lstmcast.errors import DataError, TooShortError, UsageError
from lstmcast.fit import device as devices
from lstmcast.forecast.memory import WHY, Memory
from lstmcast.forecast.predict import Forecast, forecasts
from lstmcast.forecast.standing import least_rows, stand
from lstmcast.forecast.told import KEYS, Telling, wished
from lstmcast.masking import masked
from lstmcast.outcome import Notice, OnProgress, Outcome, silent
from lstmcast.process import cores

_NOT_FORECAST = {"fallback", "skipped"}
_APART = "a series of their tree ends earlier, or is not forecast"


def predict(
    sources: list[str],
    *,
    model: Path,
    output: str = "forecasts.csv",
    horizon: int | None = None,
    levels: tuple[float, ...] | None = None,
    samples: int = 0,
    as_of: str | None = None,
    future: str | None = None,
    advance_state: bool = False,
    coherent: Literal["mint", "bottom-up", "none"] | None = None,
    format: Format | None = None,  # noqa: A002  # the flag's name
    safe_csv: bool = False,
    on_error: Literal["skip", "naive", "fail"] = "naive",
    reader: ReaderSettings = ReaderSettings(),  # noqa: B008  # frozen
    device: str = "auto",
    threads: int | None = None,
    earlier: Moments | None = None,
    missing: Path | None = None,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Forecast with the model in the folder ``model``; without ``sources``, from the files it was trained on.

    ``samples`` paths are added as columns: what may come, with the dependence between the steps kept. A stateful model
    goes on from its stored state; with ``advance_state`` the state after the newest rows is kept for the next time.
    ``earlier`` tells of rows before those in ``sources``, where these are but the tail of a history. ``missing`` is the
    file for rows of the future that lack covariates: ``missing_future.csv`` beside ``output``, if not a job's own.

    Where the model knows which series are part of which, forecasts add up as ``coherent`` says, else as in training.

    Exit code 6 if some series could not be forecast by the network. Raises ``ModelError``, ``DataError``,
    ``UsageError`` for a horizon or levels the model was not trained for, ``TooShortError`` if no series, or with
    ``on_error="fail"`` any series, is too short.
    """
    devices.use_threads(threads)
    check_output(output)
    trained = load(model)
    wish = wished(trained, horizon, levels, samples, coherent)
    memory = None if trained.state is None else Memory.of(trained.state, trained.forecaster.initial_state)
    _refuse_advance(trained, advance_state, as_of)
    read_from = sources or list(trained.sources)
    reader = reader.asking_like(trained.settings.reader) if sources else reader
    if not sources and STDOUT in trained.sources:
        raise UsageError("the model was trained from standard input", remedy="name the data: lstmcast predict DATA")
    panel, fingerprint = _read(read_from, reader, trained, future, earlier, on_progress)
    panel = panel if as_of is None else until(panel, _cutoff(panel, as_of))
    panel = extended(panel, trained.architecture.horizon)
    panel, excluded = _ready(panel, reader, wish.horizon or 1, on_progress)
    lacking = _lacks_future(panel, wish.horizon or 1, output, missing)
    network = trained.forecaster.to(devices.choose(device))
    standing = stand(network, panel, fallback=on_error == "naive", excluded=lacking, memory=memory)
    for notice in _begun_anew(standing.anew):
        on_progress(notice)
    failed = [name for name, status in zip(panel.ids, standing.status, strict=True) if status in _NOT_FORECAST]
    strict = on_error == "fail" or panel.schema.short == "error"
    if failed and (strict or standing.status.count("skipped") == len(panel.ids)):
        raise _too_short(trained, panel, failed)
    telling = Telling(trained, wish, samples)
    parts = forecasts(network, panel, standing, whole=telling.whole, wide=samples, threads=1 if threads else cores())
    seen = _Seen()
    tables = seen.told(telling, parts)
    write_frames(tables, output, format=format, keys=KEYS, safe=safe_csv)
    facts = _facts(trained, fingerprint, panel, seen, output) | {"horizon": wish.horizon, "stale": excluded}
    if is_file(output):
        remembered = [lasting(source, query=reader.query, parameters=reader.query_param) for source in read_from]
        write_json(_sidecar(trained, panel, remembered, facts), Path(f"{output}.meta.json"))
    if advance_state and seen.memory is not None:
        advance(model, trained, seen.memory.arrays())
    if seen.apart:
        on_progress(Notice(f"{seen.apart} rows of the forecast do not add up: {_APART}", "warning"))
    if failed:
        cause = "too short, or without covariates for the whole horizon" if lacking.any() else "too short"
        on_progress(Notice(f"{_some(failed)} {cause}: {_fate(on_error)}", "warning"))
    return Outcome(code=6 if failed else 0, facts=facts, lines=_lines(facts, output))


@dataclass(slots=True)
class _Seen:
    """What is noted of a forecast while its parts are written and gone."""

    status: Counter[str] = field(default_factory=Counter)
    cutoff: int | None = None
    apart: int = 0
    memory: Memory | None = None
    read_on: dict[str, int] = field(default_factory=dict)

    def told(self, telling: Telling, parts: Iterable[tuple[Panel, Forecast]]) -> Iterator[pd.DataFrame]:
        """The table of each part that has rows."""
        for panel, ahead in parts:
            self.status.update(ahead.status)
            newest = int(ahead.cutoff.max())
            self.cutoff = newest if self.cutoff is None else max(self.cutoff, newest)
            if ahead.memory is not None:
                self.memory = ahead.memory
                self.read_on = {"rows_read": ahead.rows_read, "begun_anew": len(ahead.anew)}
            table = telling.table(panel, ahead)
            self.apart += int((table["coherent"] == "no").sum()) if "coherent" in table else 0
            if len(table):
                yield table


def _read(
    sources: list[str],
    reader: ReaderSettings,
    trained: Model,
    future: str | None,
    earlier: Moments | None,
    on_progress: OnProgress,
) -> tuple[Panel, str]:
    """The panel and the fingerprint of what was read; all else that reading learnt of each row is let go."""
    reading = read(sources, reader, schema=trained.schema, future=future, on_progress=on_progress)
    return replace(reading.panel, earlier=earlier), reading.fingerprint


def _refuse_advance(trained: Model, wanted: bool, as_of: str | None) -> None:
    if wanted and not trained.architecture.stateful:
        raise UsageError(
            "--advance keeps a carried state, and this model reads windows and has none",
            remedy="leave out --advance, or train with --stateful",
        )
    if wanted and as_of is not None:
        raise UsageError(
            "--advance would keep the state of an earlier time (--as-of)", remedy="leave out one of the two"
        )


def _begun_anew(anew: Mapping[str, str]) -> Iterator[Notice]:
    """Which series could not be continued from the stored state, and why."""
    for reason, why in WHY.items():
        if names := [name for name, told in anew.items() if told == reason]:
            level: Literal["info", "warning"] = "info" if reason in {"new", "gap"} else "warning"
            text = f"{_some(names)} {why}: read from the start of the last segment, not from the stored state"
            yield Notice(text, level)


def _cutoff(panel: Panel, as_of: str) -> int:
    try:
        return int(panel.schema.clock.parse([as_of])[0])
    except DataError as error:
        raise UsageError(
            f"--as-of {as_of!r} is not a time of this file",
            remedy=f"write it like {panel.schema.clock.format(panel.start[:1])[0]}",
        ) from error


def _ready(panel: Panel, reader: ReaderSettings, horizon: int, on_progress: OnProgress) -> tuple[Panel, list[str]]:
    """The panel without stale series and with future covariates carried on, as asked; the names of the stale ones."""
    gone = stale(panel, reader.stale_after)
    names = [name for name, left in zip(panel.ids, gone, strict=True) if left]
    if names:
        panel = without(panel, gone)
        on_progress(Notice(f"{_some(names)} stale (--stale-after) and not forecast"))
    fill = reader.future_fill if "future_fill" in reader.model_fields_set else panel.schema.future_fill
    if panel.schema.future and fill == "ffill":
        panel, filled = carried_on(panel, horizon)
        if filled:
            on_progress(
                Notice(f"{filled} future covariates were missing; the last known ones are carried on", "warning")
            )
    return panel, names


def _lacks_future(panel: Panel, horizon: int, output: str, missing: Path | None) -> NDArray[np.bool_]:
    """bool (N,) series whose known-ahead covariates do not cover the horizon. Raises ``DataError`` if none does.

    The missing rows are then written to ``missing``, or to ``missing_future.csv`` beside ``output``.
    """
    if not panel.schema.future:
        return np.zeros(len(panel.ids), dtype=np.bool_)
    each = (rows_ahead(consecutive(panel, these), horizon).missing.any(axis=(1, 2)) for these in portions(panel))
    lacking = np.concatenate(list(each))
    if lacking.all():
        panel = of_file(panel)
        known = rows_ahead(panel, horizon)
        place = missing or (Path(output).parent if is_file(output) else Path()) / "missing_future.csv"
        told, filled = f"give them with --future {place}", "--future-fill ffill"
        if missing:
            told, filled = "add them to the input", "future_fill: ffill under `reader`"
        write_text(as_text(to_fill(panel, known), panel.schema.dialect), str(place))
        series, step = np.argwhere(known.missing.any(axis=2))[0]
        raise DataError(
            f"{int(known.missing.any(axis=2).sum())} rows of future-known covariates "
            f"({', '.join(panel.schema.future)}) are missing, first for series {panel.ids[series]} at "
            f"{panel.schema.clock.format(known.times[series, [step]])[0]}; all are listed in {place}",
            remedy=f"fill them in and {told}, or carry on the last ones: {filled}",
        )
    return lacking


def _facts(trained: Model, fingerprint: str, panel: Panel, seen: _Seen, output: str) -> dict[str, Any]:
    return {
        "output": masked(output),
        "series": len(panel.ids),
        "status": dict(sorted(seen.status.items())),
        "cutoff": panel.schema.clock.format(np.array([seen.cutoff]))[0],
        "model_id": trained.identity,
        "fingerprint": fingerprint,
        **({"classes": list(panel.schema.classes)} if panel.schema.classes else {}),
        **seen.read_on,
    }


def _sidecar(trained: Model, panel: Panel, sources: list[str], facts: dict[str, Any]) -> dict[str, Any]:
    return facts | {
        "lstmcast_version": __version__,
        "schema": panel.schema.model_dump(mode="json"),
        "season": trained.summary["season"],
        "sources": sources,
        "seed": trained.settings.training.seed,
        "device": str(trained.forecaster.device),
        "created_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _too_short(trained: Model, panel: Panel, failed: list[str]) -> TooShortError:
    need = least_rows(trained.forecaster, panel.schema.short)
    return TooShortError(
        f"{_some(failed)} too short, or without covariates ahead: the network needs {need} observed rows",
        remedy="use --on-error naive to repeat their last value, or give more history",
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(names)} series ({shown}) {'is' if len(names) == 1 else 'are'}"


def _fate(on_error: str) -> str:
    return "the last value is repeated, status fallback" if on_error == "naive" else "left out"


def _lines(facts: dict[str, Any], output: str) -> tuple[str, ...]:
    counts = ", ".join(f"{count} {status}" for status, count in facts["status"].items())
    told = f"{facts['series']} series forecast ({counts}) after {facts['cutoff']}"
    if output == STDOUT:
        return (told,)
    further = f"evaluate {output} ACTUAL" if facts.get("classes") else f"plot {output}"
    return (f"{told}: {output}", *([f"next: lstmcast {further}"] if is_file(output) else []))
