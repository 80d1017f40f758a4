"""``evaluate``: what came true against what was forecast. Needs no model.

The forecast file says when each series was forecast from and what; the actuals are read like any input and met by
series and time. With the history before the forecast come MASE, OWA and the skill against the seasonal naive forecast.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.config import ReaderSettings
from lstmcast.data.findings import RefusedError
from lstmcast.data.panel import Panel
from lstmcast.data.reader import examine
from lstmcast.data.schema import Schema, require_numbers
from lstmcast.data.sources import is_there
from lstmcast.data.writer import write_table
from lstmcast.errors import DataError
from lstmcast.fit.facts import measure
from lstmcast.forecast import metrics
from lstmcast.forecast.actuals import histories, locate, meet, same_series, target_columns
from lstmcast.forecast.baselines import BASELINES
from lstmcast.forecast.classes import score_classes
from lstmcast.forecast.forecast_file import Sidecar, classes_in, read_forecasts, read_sidecar
from lstmcast.outcome import Notice, OnProgress, Outcome, Table, silent

AGAINST = ("seasonal-naive", "naive", "naive2")
SKILL_AGAINST = AGAINST[0]
WORST = 5  # series named
ABOUT_TRAINING = {"short-series", "constant", "intermittent"}  # findings that do not matter to a score


@dataclass(frozen=True, slots=True)
class Past:
    """The history the errors are scaled by, in words and as a Panel; ``series`` int64 (N,): its series of each id."""

    origin: str
    panel: Panel
    series: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scored:
    """One target: ``overall`` metrics by forecaster, the ``tidy`` ones of every series and step, and what counted."""

    target: str
    overall: pd.DataFrame
    tidy: pd.DataFrame
    counts: Mapping[str, int]

    @property
    def leading(self) -> str:
        """The metric series are ranked by: scaled where there is a scale."""
        if "log_loss" in self.overall.index:
            return "log_loss"
        scaled = self.overall[metrics.MODEL].get("mase", math.nan)
        return "mae" if math.isnan(scaled) else "mase"

    def worst(self) -> list[dict[str, Any]]:
        """The series (and cutoffs) forecast worst."""
        ranked = self.tidy[(self.tidy["metric"] == self.leading) & self.tidy["unique_id"].notna()]
        columns = ["unique_id", "cutoff", "value", "skill"]
        return [
            {
                "unique_id": name,
                "cutoff": cutoff,
                self.leading: _figure(value),
                "skill": _figure(skill),
            }
            for name, cutoff, value, skill in ranked.nlargest(WORST, "value")[columns].itertuples(index=False)
        ]

    def lines(self, prefix: str) -> Iterator[str]:
        """What a person should know, one sentence each."""
        counts = self.counts
        yield f"{prefix}{counts['scored']:,} forecasts of {counts['series']:,} series, {counts['steps']} steps ahead"
        value: dict[Any, float] = self.overall.loc[self.leading].to_dict()
        skill = value.get("skill", math.nan)
        if self.leading == "log_loss":
            hit = self.overall.loc["accuracy"]
            beside = f" (seasonal naive {hit[SKILL_AGAINST]:.1%})" if SKILL_AGAINST in hit else ""
            yield f"{prefix}accuracy {hit[metrics.MODEL]:.1%}{beside}; log loss {value[metrics.MODEL]:.4g}"
        if not math.isnan(skill):
            verdict = "better" if skill > 0 else "worse"
            yield (
                f"{prefix}{self.leading.upper()} {value[metrics.MODEL]:.4g}, {abs(skill):.1%} {verdict} than "
                f"repeating the last season ({value[SKILL_AGAINST]:.4g})"
            )
        for metric, held in self.overall[metrics.MODEL].items():
            if str(metric).startswith("coverage-"):
                yield f"{prefix}the {str(metric).removeprefix('coverage-')} % interval held {held:.1%} of the actuals"
        if counts["no_actual"] or counts["no_forecast"]:
            yield f"{prefix}left out: {counts['no_actual']:,} empty actuals, {counts['no_forecast']:,} empty forecasts"
        if counts["series_without_history"] == counts["series"]:
            yield f"{prefix}no series has history before its cutoff: there is no MASE, OWA or skill"
        elif counts["series_without_history"]:
            yield f"{prefix}{counts['series_without_history']:,} series have no history: the table leaves them out"


def evaluate(
    forecast: str,
    actual: str,
    *,
    history: str | None = None,
    season: int | None = None,
    output: str | None = None,
    reader: ReaderSettings = ReaderSettings(),  # noqa: B008  # frozen
    on_progress: OnProgress = silent,
) -> Outcome:
    """Score the forecast file ``forecast`` against the data file ``actual``.

    ``history`` is the data before the forecast and ``season`` its length in rows, both taken from the sidecar of the
    forecast where there is one; ``output`` receives the tidy metrics as CSV. Raises ``DataError`` when the forecast
    file is not one, forecasts something twice, or meets no row of the actuals.
    """
    sidecar = read_sidecar(forecast)
    frame = read_forecasts(forecast)
    panel = _read_actuals(actual, reader, sidecar.schema, on_progress)
    clock = (sidecar.schema or panel.schema).clock
    ids, frame = locate(frame, panel, clock=clock, forecast=forecast, actual=actual)
    met, counts = meet(frame, panel, ids, forecast=forecast, actual=actual)
    past = _find_past(history, sidecar, panel, met, ids, reader=reader, on_progress=on_progress)
    if past is not None:
        season = _choose_season(season, sidecar, past.panel)
        on_progress(Notice(f"history: {past.origin}; season: {season} rows"))
    if classes := classes_in(frame):
        scored = [_score_classes(met, past, classes, panel.schema, season=season or 1)]
    else:
        require_numbers(panel.schema, f"the forecast in {forecast}")
        scored = [_score(rows, past, season=season or 1) for _, rows in met.groupby("target", sort=False)]
    if output is not None:
        write_table(_tidy(scored), output)
    context = {"season": season if past else None, "history": past.origin if past else None}
    return _outcome(scored, facts=counts | context, title=f"{forecast} against {actual}")


def _read_actuals(path: str, settings: ReaderSettings, schema: Schema | None, on_progress: OnProgress) -> Panel:
    if schema is not None and settings != ReaderSettings():
        on_progress(Notice("reader settings are given: the actuals are read by them, not as the model read its data"))
        schema = None
    return _read_panel([path], settings, schema, on_progress)


def _read_panel(
    sources: Sequence[str], settings: ReaderSettings, schema: Schema | None, on_progress: OnProgress
) -> Panel:
    """Times and targets of the sources; covariates are not asked for."""
    bare = settings.model_copy(update={"past": (), "future": ()})
    if schema is not None:
        schema = schema.model_copy(update={"past": (), "future": ()})
    reading = examine(sources, bare, schema=schema, on_progress=on_progress)
    errors = [finding for finding in reading.findings if finding.severity == "error"]
    if errors or reading.panel is None:
        raise RefusedError(errors[0])
    for finding in reading.findings:
        if finding.code not in ABOUT_TRAINING:
            on_progress(Notice(finding.message, "warning" if finding.severity == "warning" else "info"))
    return reading.panel


def _find_past(
    history: str | None,
    sidecar: Sidecar,
    panel: Panel,
    met: pd.DataFrame,
    ids: tuple[str, ...],
    *,
    reader: ReaderSettings,
    on_progress: OnProgress,
) -> Past | None:
    """The history the user named, else what the model read, else the rows before the forecast among the actuals."""
    if history is not None:
        schema = sidecar.schema if reader == ReaderSettings() else None
        named = _read_panel([history], reader, schema, on_progress)
        return Past(history, named, same_series(named, ids))
    if sidecar.sources and all(is_there(source) for source in sidecar.sources):
        names = ", ".join(sidecar.sources)
        try:
            learned = _read_panel(sidecar.sources, ReaderSettings(), sidecar.schema, silent)
        except DataError as error:
            on_progress(
                Notice(f"{names}, which the model learned from, cannot be read now: {error.message}", "warning")
            )
        else:
            return Past(f"{names}, which the model learned from", learned, same_series(learned, ids))
    series = same_series(panel, ids)
    begins = panel.start[np.searchsorted(panel.series, series)]  # of ids that met an actual, and only those are asked
    if (begins[met["series"]] <= met["origin"]).any():
        return Past("the rows of the actuals up to each cutoff", panel, series)
    return None


def _choose_season(season: int | None, sidecar: Sidecar, past: Panel) -> int:
    if season is None:
        season = sidecar.season
    if season is None:
        season = next(iter(measure(past).seasons), 1)
    return season


def _add_baselines(rows: pd.DataFrame, past: Past, *, column: int, season: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The baselines' forecasts from each origin as columns of ``rows``, and the scales of its series.

    ``rows`` are those of one target, the ``column`` of the history.
    """
    origins = rows.groupby(["series", "origin"], sort=False)
    origin, step = origins.ngroup().to_numpy(), rows["step"].to_numpy() - 1
    firsts = origins.head(1)
    names = pd.MultiIndex.from_frame(firsts[["unique_id", "cutoff"]])
    series, cutoffs = past.series[firsts["series"].to_numpy()], firsts["origin"].to_numpy()
    horizon = int(step.max()) + 1
    forecasts = {name: np.full((len(firsts), horizon), np.nan) for name in AGAINST}
    scales = []
    for block, context in histories(past.panel, series, cutoffs, column=column):
        for name in AGAINST:
            forecasts[name][block] = BASELINES.load(name)().forecast(context, horizon=horizon, season=season)
        scales.append(metrics.in_sample_scales(context, season=season, index=names[block]))
    return rows.assign(**{name: made[origin, step] for name, made in forecasts.items()}), pd.concat(scales)


def _score(rows: pd.DataFrame, past: Past | None, *, season: int) -> Scored:
    target = str(rows["target"].iloc[0])
    models, scales = [metrics.MODEL], None
    if past is not None:
        column = target_columns(past.panel, rows)[target]
        rows, scales = _add_baselines(rows, past, column=column, season=season)
        models += AGAINST
    baseline = SKILL_AGAINST if past is not None else None
    each = metrics.score(rows, models=models, scales=scales)
    steps = metrics.score(rows, models=models, scales=scales, by=("step",))
    overall = metrics.overall(each, models=models)
    if baseline is not None:
        overall["skill"] = metrics.skill(overall.index.to_series(), overall[metrics.MODEL], overall[baseline])
    tables = (each, steps, overall.reset_index())
    tidy = pd.concat([metrics.tidy(table, baseline=baseline) for table in tables], ignore_index=True)
    counted = rows[rows["y"].notna() & rows[metrics.MODEL].notna()]
    no_history = 0 if baseline is None else int(counted.loc[counted[baseline].isna(), "unique_id"].nunique())
    counts = {
        "scored": len(counted),
        "series": int(counted["unique_id"].nunique()),
        "steps": int(counted["step"].max()),
        "series_without_history": no_history,
        **metrics.unscored(rows),
    }
    return Scored(target, overall, tidy, counts)


def _score_classes(
    rows: pd.DataFrame, past: Past | None, classes: tuple[str, ...], schema: Schema, *, season: int
) -> Scored:
    """As ``_score``, for forecasts of classes. Raises ``DataError`` for actuals that hold none of these classes."""
    if not set(schema.classes) & set(classes):
        raise DataError(
            f"the forecast is about the classes {', '.join(classes[:6])}, and the actuals hold none of them",
            remedy="name the column with --target; numbers that are names need --classes",
        )
    place = {number: classes.index(name) for number, name in enumerate(schema.classes) if name in classes}
    rows = rows.assign(y=rows["y"].map(place))
    if past is not None:
        rows, _ = _add_baselines(rows, past, column=0, season=season)
        rows[SKILL_AGAINST] = rows[SKILL_AGAINST].map(place)
    overall, tidy = score_classes(rows, classes)
    counted = rows[rows["y"].notna() & rows[metrics.MODEL].notna()]
    counts = {
        "scored": len(counted),
        "series": int(counted["unique_id"].nunique()),
        "steps": int(counted["step"].max()),
        "series_without_history": 0,
        **metrics.unscored(rows),
    }
    return Scored(str(rows["target"].iloc[0]), overall, tidy, counts)


def _tidy(scored: Sequence[Scored]) -> pd.DataFrame:
    if len(scored) == 1:
        return scored[0].tidy
    tables = []
    for one in scored:
        tables.append(one.tidy.copy())
        tables[-1].insert(1, "target", one.target)
    return pd.concat(tables, ignore_index=True)


def _outcome(scored: Sequence[Scored], *, facts: Mapping[str, Any], title: str) -> Outcome:
    """The overall metrics as a table, everything as facts, and what a person should know in sentences."""
    several = len(scored) > 1
    columns = tuple(scored[0].overall.columns)
    table = Table(
        title,
        (*(("target",) if several else ()), "metric", *columns),
        tuple(
            (*((one.target,) if several else ()), metric, *map(_figure, values))
            for one in scored
            for metric, *values in one.overall.itertuples()
        ),
    )
    details = {
        one.target: {
            **one.counts,
            "metrics": {
                metric: dict(zip(columns, map(_figure, values), strict=True))
                for metric, *values in one.overall.itertuples()
            },
            "worst": one.worst(),
        }
        for one in scored
    }
    lines = [line for one in scored for line in one.lines(f"{one.target}: " if several else "")]
    return Outcome(facts={**facts, "targets": details}, lines=(*lines, *_unmet(facts)), table=table)


def _unmet(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["forecasts_without_actual"]:
        yield f"{facts['forecasts_without_actual']:,} of {facts['forecasts']:,} forecasts have no actual yet"
    if facts["actuals_without_forecast"]:
        strangers = facts["series_without_forecast"]
        of_strangers = f", among them {strangers:,} whole series" if strangers else ""
        yield f"{facts['actuals_without_forecast']:,} actuals in the same time were not forecast{of_strangers}"
    if facts["history"] is None:
        yield "without history there is no MASE, OWA or skill: name the data before the forecast with --history"


def _figure(value: float) -> float | None:
    """Six significant digits; None, which JSON has, for NaN, which it has not."""
    return None if math.isnan(value) else float(f"{value:.6g}")
