"""``predict``: a saved model over today's file, a forecast after the last row of each series."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast import __version__
from lstmcast.artifact import Model, advance, load
from lstmcast.config import NetworkSettings, ReaderSettings
from lstmcast.data.ahead import ahead as rows_ahead
from lstmcast.data.ahead import as_text, carried_on, of_file, stale, to_fill, without
from lstmcast.data.calendar_features import extended
from lstmcast.data.excerpt import until
from lstmcast.data.moments import Moments
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading, read
from lstmcast.data.sources import lasting
from lstmcast.data.writer import STDOUT, Format, check_output, is_file, write_json, write_table, write_text
from lstmcast.errors import DataError, TooShortError, UsageError
from lstmcast.fit import device as devices
from lstmcast.forecast.backtest import interval_columns, target_names
from lstmcast.forecast.classes import class_columns
from lstmcast.forecast.coherent import Coherent, Forest
from lstmcast.forecast.conformal import corrected
from lstmcast.forecast.intervals import bounded, significant
from lstmcast.forecast.memory import WHY, Memory
from lstmcast.forecast.paths import sample_paths
from lstmcast.forecast.predict import Forecast, forecast, least_rows
from lstmcast.forecast.reliability import Reliability
from lstmcast.masking import masked
from lstmcast.net.heads import is_probabilistic
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
    on_progress: OnProgress = silent,
) -> Outcome:
    """Forecast with the model in the folder ``model``; without ``sources``, from the files it was trained on.

    ``samples`` paths are added as columns: what may come, with the dependence between the steps kept. A stateful model
    goes on from its stored state; with ``advance_state`` the state after the newest rows is kept for the next time.
    ``earlier`` tells of rows before those in ``sources``, where these are but the tail of a history.

    Where the model knows which series are part of which, forecasts add up as ``coherent`` says, else as in training.

    Exit code 6 if some series could not be forecast by the network. Raises ``ModelError``, ``DataError``,
    ``UsageError`` for a horizon or levels the model was not trained for, ``TooShortError`` if no series, or with
    ``on_error="fail"`` any series, is too short.
    """
    devices.use_threads(threads)
    check_output(output)
    trained = load(model)
    wish = _wish(trained, horizon, levels, samples, coherent)
    memory = None if trained.state is None else Memory.of(trained.state, trained.forecaster.initial_state)
    _refuse_advance(trained, advance_state, as_of)
    read_from = sources or list(trained.sources)
    reader = reader.asking_like(trained.settings.reader) if sources else reader
    if not sources and STDOUT in trained.sources:
        raise UsageError("the model was trained from standard input", remedy="name the data: lstmcast predict DATA")
    reading = read(read_from, reader, schema=trained.schema, future=future, on_progress=on_progress)
    reading = replace(reading, panel=replace(reading.panel, earlier=earlier))
    panel = reading.panel if as_of is None else until(reading.panel, _cutoff(reading.panel, as_of))
    panel = extended(panel, trained.architecture.horizon)
    panel, excluded = _ready(panel, reader, wish.horizon or 1, on_progress)
    lacking = _lacks_future(panel, wish.horizon or 1, output)
    network = trained.forecaster.to(devices.choose(device))
    side_by_side = 1 if threads else cores()
    kept = on_error == "naive"
    ahead = forecast(network, panel, fallback=kept, excluded=lacking, memory=memory, threads=side_by_side)
    for notice in _begun_anew(ahead):
        on_progress(notice)
    failed = [name for name, status in zip(panel.ids, ahead.status, strict=True) if status in _NOT_FORECAST]
    strict = on_error == "fail" or panel.schema.short == "error"
    if failed and (strict or ahead.status.count("skipped") == len(panel.ids)):
        raise _too_short(trained, panel, failed)
    table = _table(panel, ahead, wish, trained, samples)
    write_table(table, output, format=format, keys=("unique_id", "target", "cutoff", "ds"), safe=safe_csv)
    facts = _facts(trained, reading, panel, ahead, output) | {"horizon": wish.horizon, "stale": excluded}
    if is_file(output):
        remembered = [lasting(source, query=reader.query, parameters=reader.query_param) for source in read_from]
        write_json(_sidecar(trained, reading, remembered, facts), Path(f"{output}.meta.json"))
    if advance_state and ahead.memory is not None:
        advance(model, trained, ahead.memory.arrays())
    if apart := int((table["coherent"] == "no").sum()) if "coherent" in table else 0:
        on_progress(Notice(f"{apart} rows of the forecast do not add up: {_APART}", "warning"))
    if failed:
        cause = "too short, or without covariates for the whole horizon" if lacking.any() else "too short"
        on_progress(Notice(f"{_some(failed)} {cause}: {_fate(on_error)}", "warning"))
    return Outcome(code=6 if failed else 0, facts=facts, lines=_lines(facts, output))


def _wish(
    trained: Model,
    horizon: int | None,
    levels: tuple[float, ...] | None,
    samples: int,
    coherent: Literal["mint", "bottom-up", "none"] | None,
) -> NetworkSettings:
    settings = trained.settings.network
    most = trained.architecture.horizon
    if horizon is not None and horizon > most:
        raise UsageError(
            f"the model was trained to forecast {most} rows, not {horizon}",
            remedy=f"use --horizon {most} or less, or train again with --horizon {horizon}",
        )
    if levels is not None and not is_probabilistic(trained.architecture.loss):
        raise UsageError(
            f"a model trained with loss {trained.architecture.loss!r} knows no intervals",
            remedy="train with --loss quantile, or leave out --levels",
        )
    if samples and not is_probabilistic(trained.architecture.loss):
        raise UsageError(
            f"a model trained with loss {trained.architecture.loss!r} knows no distribution to draw samples from",
            remedy="train with --loss quantile, or leave out --samples",
        )
    if coherent not in {None, "none"} and not trained.schema.parent:
        raise UsageError(
            f"--coherent {coherent} makes forecasts add up, and the model does not know which series is part of which",
            remedy="train with --parent, which names the column that says it",
        )
    return settings.model_copy(
        update={
            "horizon": horizon or most,
            "levels": levels or settings.levels,
            "coherent": coherent or settings.coherent or "none",
        }
    )


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


def _begun_anew(ahead: Forecast) -> Iterator[Notice]:
    """Which series could not be continued from the stored state, and why."""
    for reason, why in WHY.items():
        if names := [name for name, told in ahead.anew.items() if told == reason]:
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


def _lacks_future(panel: Panel, horizon: int, output: str) -> NDArray[np.bool_]:
    """bool (N,) series whose known-ahead covariates do not cover the horizon. Raises ``DataError`` if none does.

    The missing rows are then written to ``missing_future.csv`` beside ``output``.
    """
    known = rows_ahead(panel, horizon)
    lacking = np.asarray(known.missing.any(axis=(1, 2)), dtype=np.bool_)
    if lacking.all():
        panel = of_file(panel)
        known = rows_ahead(panel, horizon)
        place = (Path(output).parent if is_file(output) else Path()) / "missing_future.csv"
        write_text(as_text(to_fill(panel, known), panel.schema.dialect), str(place))
        series, step = np.argwhere(known.missing.any(axis=2))[0]
        raise DataError(
            f"{int(known.missing.any(axis=2).sum())} rows of future-known covariates "
            f"({', '.join(panel.schema.future)}) are missing, first for series {panel.ids[series]} at "
            f"{panel.schema.clock.format(known.times[series, [step]])[0]}; all are listed in {place}",
            remedy=f"fill them in and give them with --future {place}, or carry on the last ones: --future-fill ffill",
        )
    return lacking


def _table(panel: Panel, ahead: Forecast, wish: NetworkSettings, trained: Model, samples: int) -> pd.DataFrame:
    horizon = wish.horizon or 1
    kept = np.array([status != "skipped" for status in ahead.status])
    if panel.schema.classes:
        columns, coherent = class_columns(ahead.quantiles[kept, :horizon], panel.schema.classes), None
    else:
        columns, coherent = _numbers(panel, ahead, kept, wish, trained, samples)
    names, clock = target_names(panel), panel.schema.clock
    ids, cutoff = np.array(panel.ids, dtype=object)[kept], np.array(clock.format(ahead.cutoff[kept]), dtype=object)
    times = np.array(clock.format(ahead.times[kept, :horizon].reshape(-1)), dtype=object).reshape(-1, horizon)
    each = horizon * len(names)
    keys: dict[str, Any] = {
        "unique_id": np.repeat(ids, each),
        "target": np.tile(np.repeat(np.array(names, dtype=object), horizon), len(ids)),
        "ds": np.repeat(times[:, None], len(names), axis=1).reshape(-1),
        "cutoff": np.repeat(cutoff, each),
        "step": np.tile(np.arange(1, horizon + 1), len(ids) * len(names)),
    }
    if len(names) == 1:
        del keys["target"]
    flat = {name: array.transpose(0, 2, 1).reshape(-1) for name, array in columns.items()}
    last: dict[str, Any] = {"status": np.repeat(np.array(ahead.status, dtype=object)[kept], each)}
    if coherent is not None:
        last["coherent"] = np.where(np.repeat(coherent.holds, len(names), axis=0).reshape(-1), str(wish.coherent), "no")
    return pd.DataFrame(keys | flat | last)


def _numbers(
    panel: Panel, ahead: Forecast, kept: NDArray[np.bool_], wish: NetworkSettings, trained: Model, samples: int
) -> tuple[dict[str, NDArray[Any]], Coherent | None]:
    """Point forecast, intervals and paths, each (N', H, D), of the series ``kept`` (N,), and what made them add up."""
    raw = ahead.quantiles[kept, : wish.horizon]
    vouched = corrected(raw, ahead.levels, np.array(trained.calibration["width_factors"]))
    coherent = _coherent(panel, ahead, kept, vouched, wish, trained)
    vouched = vouched if coherent is None else coherent.quantiles
    columns = interval_columns(bounded(vouched, wish), ahead.levels, wish)
    whole = list(columns)
    if samples:
        columns |= _sampled(vouched, ahead.levels, wish, trained, samples)
    columns = {name: significant(values, panel.shift[kept, None]) for name, values in columns.items()}
    if coherent is not None:
        columns |= coherent.settled({name: columns[name] for name in whole})
    return dict(columns), coherent


def _coherent(
    panel: Panel,
    ahead: Forecast,
    kept: NDArray[np.bool_],
    quantiles: NDArray[np.float64],
    wish: NetworkSettings,
    trained: Model,
) -> Coherent | None:
    """The ``quantiles`` (N', H, D, Q) of the series ``kept`` (N,), made to add up if that is wished."""
    if wish.coherent in {None, "none"}:
        return None
    series = np.flatnonzero(kept)
    reliability = Reliability.read(trained.calibration.get("errors", {}), targets=quantiles.shape[2])
    variance = reliability.of(panel, season=int(trained.summary["season"]))
    forest = Forest.of(panel, series, ahead.cutoff[series], np.zeros_like(series))
    return forest.reconciled(
        quantiles, middle=ahead.levels.index(0.5), variance=variance[series], how=str(wish.coherent)
    )


def _sampled(
    quantiles: NDArray[np.float64], levels: tuple[float, ...], wish: NetworkSettings, trained: Model, samples: int
) -> dict[str, NDArray[np.float64]]:
    """One column (N, H, D) per path."""
    joined = np.array(trained.calibration["dependence"])
    paths = sample_paths(quantiles, levels, joined, number=samples, seed=trained.settings.training.seed)
    return {f"sample-{k + 1}": bounded(paths[:, k], wish) for k in range(samples)}


def _facts(trained: Model, reading: Reading, panel: Panel, ahead: Forecast, output: str) -> dict[str, Any]:
    counts = {status: ahead.status.count(status) for status in sorted(set(ahead.status))}
    return {
        "output": masked(output),
        "series": len(panel.ids),
        "status": counts,
        "cutoff": panel.schema.clock.format(ahead.cutoff[[int(ahead.cutoff.argmax())]])[0],
        "model_id": trained.identity,
        "fingerprint": reading.fingerprint,
        **({"classes": list(panel.schema.classes)} if panel.schema.classes else {}),
    } | ({} if ahead.memory is None else {"rows_read": ahead.rows_read, "begun_anew": len(ahead.anew)})


def _sidecar(trained: Model, reading: Reading, sources: list[str], facts: dict[str, Any]) -> dict[str, Any]:
    return facts | {
        "lstmcast_version": __version__,
        "schema": reading.panel.schema.model_dump(mode="json"),
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
