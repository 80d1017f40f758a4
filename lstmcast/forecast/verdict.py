"""Verdict: how good a network was where it could not have seen the answer, told as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.forecast import metrics
from lstmcast.forecast.backtest import scales, target_names

AGAINST = "seasonal-naive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``overall`` index metric, one column per forecaster; ``tidy`` the same per series and cutoff.

    ``skill`` = 1 − MASE / MASE of seasonal naive, NaN where there was nothing to compare. ``windows`` were judged.
    """

    overall: pd.DataFrame
    tidy: pd.DataFrame
    skill: float
    windows: int

    def sentence(self) -> str:
        """The verdict in one line."""
        if not np.isfinite(self.skill):
            return "no verdict: no series is long enough to hold anything out"
        word = "better" if self.skill >= 0 else "WORSE"
        mase = float(self.overall[metrics.MODEL]["mase"])
        held = f"{self.windows} held-out window{'s' if self.windows > 1 else ''}"
        return f"MASE {mase:.3f} on {held}: {abs(self.skill):.1%} {word} than seasonal naive"

    def coverage(self) -> dict[str, float]:
        """Share of actuals inside each interval, by metric name (``coverage-80``)."""
        found = self.overall[metrics.MODEL]
        return {name: float(found[name]) for name in found.index if str(name).startswith("coverage")}

    def facts(self) -> dict[str, object]:
        """Plain JSON values of the overall table."""
        values = self.overall.astype(object).where(self.overall.notna(), None)
        skill = self.skill if np.isfinite(self.skill) else None
        return {"windows": self.windows, "skill": skill, "metrics": values.to_dict(orient="index")}


def judge(
    frame: pd.DataFrame, panel: Panel, *, limit: NDArray[np.int64], season: int, baselines: Sequence[str]
) -> Verdict:
    """Score a frame of ``backtest_frame``. MASE divides by the seasonal change of the rows before ``limit`` (S,)."""
    models = (metrics.MODEL, *baselines)
    times = panel.schema.clock
    parts = []
    for d, name in enumerate(target_names(panel)):
        rows = frame[frame["target"] == name]
        unit = scales(panel, limit, season=season, target=d)
        parts.append(metrics.score(rows, models=models, scales=unit).assign(target=name))
    scores = pd.concat(parts, ignore_index=True)
    overall = metrics.overall(scores, models=models)
    baseline = AGAINST if AGAINST in baselines else None
    tidy = metrics.tidy(scores, baseline=baseline)
    tidy["cutoff"] = times.format(tidy["cutoff"].to_numpy(dtype=np.int64))
    skill = float("nan")
    if baseline and "mase" in overall.index:
        skill = 1 - float(overall[metrics.MODEL]["mase"]) / float(overall[baseline]["mase"])
    windows = len(frame[["unique_id", "cutoff"]].drop_duplicates())
    return Verdict(overall=overall, tidy=tidy, skill=skill, windows=windows)
