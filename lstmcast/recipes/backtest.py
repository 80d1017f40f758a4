"""``backtest``: forecasts from past origins, beside the baselines and beside what came true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.artifact import Model, load, seen_until
from lstmcast.config import NetworkSettings, Settings
from lstmcast.data.excerpt import excerpt
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.data.writer import Format, check_output, write_table
from lstmcast.errors import TooShortError, UsageError
from lstmcast.fit import device
from lstmcast.fit.learn import learn
from lstmcast.fit.plan import main_season
from lstmcast.forecast.backtest import backtest_frame
from lstmcast.forecast.classes import SCORES, ClassVerdict, class_frame, judge_classes
from lstmcast.forecast.coherent import Forest
from lstmcast.forecast.conformal import corrected
from lstmcast.forecast.predict import quantiles_at
from lstmcast.forecast.reliability import Reliability
from lstmcast.forecast.verdict import AGAINST, Verdict, judge
from lstmcast.masking import masked
from lstmcast.net.ensemble import Ensemble
from lstmcast.outcome import Notice, OnProgress, Outcome, Table, silent

KEYS = ("unique_id", "target", "cutoff", "ds")


def backtest(
    sources: list[str],
    *,
    settings: Settings,
    model: Path | None = None,
    windows: int = 4,
    stride: int | None = None,
    refit: bool = False,
    baselines: tuple[str, ...] = (),
    output: str = "backtest.csv",
    metrics: str = "metrics.csv",
    format: Format | None = None,  # noqa: A002  # the flag's name
    safe_csv: bool = False,
    fail_below_skill: float | None = None,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Forecast from ``windows`` past origins, ``stride`` rows apart (default: the horizon).

    Trains once on the rows before the first origin, with ``refit`` anew before every origin; a saved ``model`` is used
    as it is and must not have seen the rows it is judged on. Exit code 1 if the skill against seasonal naive is below
    ``fail_below_skill``. Raises ``TooShortError`` when no series has room for the origins.
    """
    device.use_threads(settings.training.threads)
    for place in (output, metrics):
        check_output(place)
    trained = load(model) if model is not None else None
    reader = settings.reader.asking_like(trained.settings.reader) if trained else settings.reader
    panel = read(sources, reader, schema=trained.schema if trained else None, on_progress=on_progress).panel
    horizon = _horizon(settings, trained, panel)
    origins = _origins(panel, horizon=horizon, windows=windows, stride=stride or horizon)
    if len(origins) < len(panel.ids):
        on_progress(Notice(f"{len(panel.ids) - len(origins)} series have no room for the origins: left out", "warning"))
    wish = settings.model_copy(update={"network": settings.network.model_copy(update={"horizon": horizon})})
    against = tuple(dict.fromkeys((AGAINST, *baselines)))
    if panel.schema.classes and set(against) - {AGAINST}:
        raise UsageError(
            f"the baseline {against[1]} forecasts numbers, and the target holds classes",
            remedy="leave out --baselines: seasonal naive and the shares of the classes are always there",
        )
    if trained is not None:
        _require_unseen(trained, panel, origins)
        season = int(trained.summary["season"])
        network = trained.forecaster.to(device.choose(settings.training.device))
        judge_of = _Judge(
            network,
            np.array(trained.calibration["width_factors"]),
            trained.settings.network.model_copy(update=_chosen(settings.network)),
            Reliability.read(trained.calibration.get("errors", {}), targets=trained.architecture.targets),
        )
        frame = judge_of.frame(panel, origins, season, against)
    else:
        season = main_season(panel)
        frame = _trained_frame(panel, origins, wish, season, against, refit=refit, on_progress=on_progress)
    limit = panel.ends.copy()
    limit[panel.segment_of(origins[:, 0])] = origins[:, 0]
    verdict: Verdict | ClassVerdict
    if panel.schema.classes:
        verdict = judge_classes(frame, panel)
    else:
        verdict = judge(frame, panel, limit=limit, season=season, baselines=against)
    write_table(_shown(frame, panel), output, format=format, keys=KEYS, safe=safe_csv)
    write_table(verdict.tidy, metrics, format=format, keys=(*KEYS, "step", "metric"), safe=safe_csv)
    failed = fail_below_skill is not None and not verdict.skill >= fail_below_skill
    return Outcome(
        code=1 if failed else 0,
        facts=verdict.facts()
        | {"origins": windows, "stride": stride or horizon, "refit": refit, "output": masked(output)},
        lines=_lines(verdict, output, metrics, fail_below_skill if failed else None),
        table=_table(verdict),
    )


def _horizon(settings: Settings, trained: Model | None, panel: Panel) -> int:
    wanted = settings.network.horizon
    if trained is None:
        return wanted or panel.schema.frequency.default_horizon()
    if wanted not in {None, trained.architecture.horizon}:
        raise UsageError(
            f"the model forecasts {trained.architecture.horizon} rows, not {wanted}",
            remedy="leave out --horizon, or leave out -m to train for the backtest",
        )
    return trained.architecture.horizon


def _origins(panel: Panel, *, horizon: int, windows: int, stride: int) -> NDArray[np.int64]:
    """Cutoffs int64 (N', windows), earliest first, of every series with at least as much history before the first."""
    last = panel.last_segment()
    begin, end = panel.offsets[last], panel.ends[last]
    reach = horizon + (windows - 1) * stride
    first = end - reach
    roomy = first - begin >= reach
    if not roomy.any():
        longest = int(np.argmax(end - begin))
        raise TooShortError(
            f"{windows} origins {stride} rows apart with horizon {horizon} need {2 * reach} rows; the longest series, "
            f"{panel.ids[longest]}, has {int((end - begin)[longest])}",
            remedy="use fewer --windows, a smaller --stride or a shorter --horizon",
        )
    return first[roomy, None] + stride * np.arange(windows)


def _require_unseen(trained: Model, panel: Panel, origins: NDArray[np.int64]) -> None:
    segments = panel.segment_of(origins[:, 0])
    last_seen = panel.times(origins[:, 0] - 1)
    seen = seen_until(trained, panel)[panel.series[segments]]
    if (seen > last_seen).any():
        name = panel.ids[panel.series[segments[np.argmax(seen > last_seen)]]]
        raise UsageError(
            f"the model has seen rows of series {name} after the first origin: judging it there proves nothing",
            remedy="leave out -m to train for the backtest, or use fewer --windows",
        )


def _trained_frame(
    panel: Panel,
    origins: NDArray[np.int64],
    wish: Settings,
    season: int,
    against: tuple[str, ...],
    *,
    refit: bool,
    on_progress: OnProgress,
) -> pd.DataFrame:
    """Train before the first origin, or anew before each, and forecast."""
    rounds = [origins[:, [k]] for k in range(origins.shape[1])] if refit else [origins]
    frames = []
    for number, chosen in enumerate(rounds, start=1):
        stop = panel.ends.copy()
        stop[panel.segment_of(chosen[:, 0])] = chosen[:, 0]
        past = excerpt(panel, panel.offsets[:-1], stop)
        on_progress(Notice(f"training {number} of {len(rounds)}"))
        learned = learn(past, wish, on_progress=on_progress)
        settings = learned.plan.settings.network
        judge_of = _Judge(learned.network, learned.factors, settings, learned.reliability(learned.reads(past)))
        frames.append(judge_of.frame(learned.reads(panel), chosen, season, against))
    return pd.concat(frames, ignore_index=True)


def _chosen(wish: NetworkSettings) -> dict[str, str]:
    """What of the wish a saved model can still be asked for."""
    return {} if wish.coherent is None else {"coherent": wish.coherent}


@dataclass(frozen=True, slots=True)
class _Judge:
    """A network with the interval widths that ``factors`` vouch for and what is known of its errors."""

    network: Ensemble
    factors: NDArray[np.float64]
    settings: NetworkSettings
    reliability: Reliability

    def frame(self, panel: Panel, origins: NDArray[np.int64], season: int, against: tuple[str, ...]) -> pd.DataFrame:
        """Forecasts at ``origins`` (N', windows), made to add up as the settings say."""
        trained, cutoffs = self.network.architecture.quantiles, origins.reshape(-1)
        if panel.schema.classes:
            limit = panel.ends.copy()
            limit[panel.segment_of(origins[:, 0] - 1)] = origins[:, 0]
            made = quantiles_at(self.network, panel, cutoffs)
            return class_frame(panel, cutoffs, made, season=season, limit=limit)
        quantiles = corrected(quantiles_at(self.network, panel, cutoffs), trained, self.factors)
        coherent = None
        if panel.schema.parents and self.settings.coherent not in {None, "none"}:
            segment = panel.segment_of(cutoffs - 1)
            variance = self.reliability.of(panel, season=season)[panel.series[segment]]
            rounds = np.tile(np.arange(origins.shape[1]), len(origins))
            forest = Forest.of(panel, panel.series[segment], panel.times(cutoffs - 1), rounds)
            coherent = forest.reconciled(
                quantiles, middle=trained.index(0.5), variance=variance, how=str(self.settings.coherent)
            )
            quantiles = coherent.quantiles
        return backtest_frame(
            panel,
            cutoffs,
            quantiles,
            trained=trained,
            settings=self.settings,
            season=season,
            baselines=against,
            coherent=coherent,
        )


def _shown(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    clock = panel.schema.clock
    shown = frame[[name for name in frame.columns if not str(name).endswith(SCORES)]]
    shown = shown.drop(columns="target") if frame["target"].nunique() == 1 else shown
    texts = {name: clock.format(shown[name].to_numpy(dtype=np.int64)) for name in ("cutoff", "ds")}
    return shown.assign(**texts)


def _table(verdict: Verdict | ClassVerdict) -> Table:
    columns = ("metric", "lstmcast", *map(str, verdict.overall.columns[1:]))
    rows = tuple((metric, *map(_rounded, values)) for metric, *values in verdict.overall.itertuples())
    return Table("backtest", columns, rows)


def _rounded(value: float) -> Any:
    return float(f"{value:.5g}") if np.isfinite(value) else None


def _lines(verdict: Verdict | ClassVerdict, output: str, metrics: str, fail_below: float | None) -> tuple[str, ...]:
    told = [f"verdict: {verdict.sentence()}"]
    if fail_below is not None:
        told.append(f"the skill {verdict.skill:.3f} is below --fail-below-skill {fail_below:g}")
    told.append(f"forecasts: {output}, metrics: {metrics}")
    return tuple(told)
