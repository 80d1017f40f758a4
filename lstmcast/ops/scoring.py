"""Scoring the past: forecasts in the store meet what came true, and intervals learn from how often they held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.forecast.backtest import baseline_forecasts, target_names
from lstmcast.forecast.intervals import significant
from lstmcast.forecast.verdict import AGAINST

KEYS = ("unique_id", "target", "ds")
_PACE = 0.05  # of Gibbs & Candès: how far one night moves a level
_SIDES = ("lo", "hi")


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows for the tables ``actuals`` and ``scores``; ``restated`` counts actuals that are not what they were."""

    actuals: list[dict[str, Any]]
    scores: list[dict[str, Any]]
    restated: int


def score(waiting: pd.DataFrame, panel: Panel, *, job: str, run: int) -> Scored:
    """Score the stored forecasts ``waiting`` (see ``Store.to_score``) whose actuals are in ``panel``."""
    if waiting.empty:
        return Scored([], [], 0)
    truth = observed(panel, first=int(waiting["ds"].min()), last=int(waiting["ds"].max()))
    met = waiting.rename(columns={"y": "noted"}).merge(truth, on=list(KEYS), how="inner")
    noted = met["noted"].astype(float)
    changed = noted.notna() & ~np.isclose(noted, met["y"], rtol=1e-6, atol=0)
    fresh = met[noted.isna() | changed].reset_index(drop=True)
    restated = int(met.loc[changed, list(KEYS)].drop_duplicates().shape[0])
    common = {"job": job, "run": run}
    keys = ["unique_id", "target", "ds", "ds_text", "y"]
    facts = [row | common for row in fresh[keys].drop_duplicates(list(KEYS)).to_dict("records")]
    scores = []
    # where the actual was known already, the forecast of another cutoff for the same time still wants its score
    for row in met[met["scored"].isna() | changed].to_dict("records"):
        held = {
            level: int(ends[0] <= row["y"] <= ends[1])
            for level, ends in _intervals(row["quantiles"]).items()
            if ends[0] is not None
        }
        scores.append(
            {key: row[key] for key in ("unique_id", "target", "cutoff", "ds", "step")}
            | common
            | {
                "error": _difference(row["y_hat"], row["y"]),
                "baseline_error": _difference(row["baseline"], row["y"]),
                "covered": held,
            }
        )
    return Scored([{str(k): v for k, v in row.items()} for row in facts], scores, restated)


def observed(panel: Panel, *, first: int, last: int) -> pd.DataFrame:
    """``unique_id, target, ds, y`` of what was observed between two times, both counted."""
    rows = np.arange(len(panel.values), dtype=np.int64)
    times = panel.times(rows)
    inside = (times >= first) & (times <= last)
    rows, times = rows[inside], times[inside]
    series = panel.series[panel.segment_of(rows)]
    ids = np.array(panel.ids, dtype=object)[series]
    parts = []
    for column, name in enumerate(target_names(panel)):
        seen = panel.observed[rows, column]
        level = panel.shift[series, column]
        y = significant(panel.values[rows, column].astype(np.float64) + level, level)
        parts.append(pd.DataFrame({"unique_id": ids, "target": name, "ds": times, "y": y})[seen])
    together: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return together


def baseline(panel: Panel, series: NDArray[np.int64], *, horizon: int, season: int) -> NDArray[np.float64]:
    """Seasonal naive forecasts float64 (n, H, D) after the last observed row of each of ``series`` (n,)."""
    return baseline_forecasts(AGAINST, panel, panel.ends[panel.last_segment()][series], horizon=horizon, season=season)


def forecast_rows(
    frame: pd.DataFrame,
    panel: Panel,
    *,
    series: NDArray[np.int64],
    target: NDArray[np.int64],
    naive: NDArray[np.float64],
    job: str,
    run: int,
) -> list[dict[str, Any]]:
    """Rows for the table ``forecasts`` from what ``predict`` wrote and the panel it was made from.

    Of each row of ``frame`` (r,) the ``series`` and ``target`` in the panel, and what seasonal ``naive`` says.
    """
    last = panel.last_segment()
    cutoff, rows = panel.times(panel.ends[last] - 1), panel.ends[last] - panel.offsets[last]
    names = target_names(panel)
    step = frame["step"].to_numpy(dtype=np.int64)
    ds = panel.schema.frequency.advance(panel.start[last][series], rows[series] + step - 1)
    bounds = [name for name in frame.columns if name.startswith("y_hat-")]
    quantiles = frame[bounds].rename(columns=lambda name: name.removeprefix("y_hat-"))
    kept = quantiles.astype(object).where(quantiles.notna(), None).to_dict("records")
    records = zip(
        frame["unique_id"], target, cutoff[series].tolist(), ds.tolist(), frame["cutoff"], frame["ds"], step.tolist(),
        frame["y_hat"].astype(float), kept, naive.tolist(), frame["status"], strict=True,
    )  # fmt: skip
    return [
        {
            "job": job,
            "run": run,
            "unique_id": unique_id,
            "target": names[place],
            "cutoff": origin,
            "ds": time,
            "cutoff_text": str(origin_text),
            "ds_text": str(text),
            "step": number,
            "y_hat": None if np.isnan(value) else value,
            "quantiles": ends,
            "baseline": None if np.isnan(naive_value) else naive_value,
            "status": status,
        }
        for unique_id, place, origin, time, origin_text, text, number, value, ends, naive_value, status in records
    ]


def skill_of(scored: pd.DataFrame) -> float | None:
    """1 − error / error of seasonal naive; every series and target counts alike, whatever its units. None: unknown."""
    both = scored[scored["error"].notna() & scored["baseline_error"].notna()]
    sizes = both.assign(error=both["error"].abs(), baseline_error=both["baseline_error"].abs())
    means = sizes.groupby(["unique_id", "target"])[["error", "baseline_error"]].mean()
    means = means[means["baseline_error"] > 0]
    return 1 - float((means["error"] / means["baseline_error"]).mean()) if len(means) else None


def coverage(scored: pd.DataFrame) -> dict[str, float]:
    """Share of actuals inside each interval, by level."""
    held = pd.DataFrame(scored["covered"].tolist(), dtype=float) if len(scored) else pd.DataFrame()
    return {str(level): float(share) for level, share in held.mean().items()}


def adapted(levels: tuple[float, ...], scored: pd.DataFrame) -> dict[float, float]:
    """The level at which to ask a model for an interval that is to hold as often as each of ``levels`` says.

    Adaptive conformal inference (Gibbs & Candès 2021): every night whose actuals have arrived moves the miss rate
    asked for by a small step against the miss rate seen, over all series together. It stays between a tenth and twice
    the nominal rate, so that no streak of luck or trouble runs away with it.
    """
    asked = {level: 1 - level / 100 for level in levels}
    for _, night in scored.groupby("cutoff", sort=True):
        held = pd.DataFrame(night["covered"].tolist(), dtype=float).mean()
        for level in levels:
            nominal = 1 - level / 100
            share = held.get(f"{level:g}", np.nan)
            if np.isfinite(share):
                moved = asked[level] + _PACE * (nominal - (1 - share))
                asked[level] = float(np.clip(moved, nominal / 10, min(2 * nominal, 0.9)))
    wanted = {level: round(100 * (1 - rate), 2) for level, rate in asked.items()}
    for inner, outer in zip(sorted(levels), sorted(levels)[1:], strict=False):  # an inner interval stays inside
        wanted[outer] = max(wanted[outer], round(wanted[inner] + 0.01, 2))
    return wanted


def _intervals(quantiles: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    levels = dict.fromkeys(name.split("-", 1)[1] for name in quantiles)
    return {level: (quantiles[f"lo-{level}"], quantiles[f"hi-{level}"]) for level in levels}


def _difference(forecast: Any, actual: float) -> float | None:
    return None if forecast is None or pd.isna(forecast) else float(forecast) - actual
