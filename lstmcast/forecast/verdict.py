"""Verdict: how good a network was where it could not have seen the answer, told as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.forecast import metrics
from lstmcast.forecast.backtest import scales, target_names
from lstmcast.forecast.classical import Rival

AGAINST = "seasonal-naive"
_IN_UNITS = r"mae$|rmse$|bias$|winkler|quantile_loss"


class Encoder(NamedTuple):
    """Scaled error of the first network on held-out windows, and of the same one trained without its encoder."""

    whole: float
    bare: float
    measure: str = "MASE"

    def sentence(self) -> str:
        """What the recurrent encoder is worth, in one line."""
        change = self.bare / self.whole - 1
        word = "worse" if change >= 0 else "better"
        return (
            f"the first network alone: {self.measure} {self.whole:.3f}; trained without its recurrent encoder: "
            f"{self.bare:.3f} ({abs(change):.1%} {word})"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """``overall`` index metric, one column per forecaster; ``tidy`` the same per series and cutoff.

    ``skill`` = 1 − MASE / MASE of seasonal naive, NaN where there was nothing to compare. ``windows`` were judged.
    ``rival`` is the best classical method on the same windows, ``encoder`` what the recurrence is worth; None where
    that was not looked into.
    """

    overall: pd.DataFrame
    tidy: pd.DataFrame
    skill: float
    windows: int
    rival: Rival | None = None
    encoder: Encoder | None = None

    def sentence(self) -> str:
        """The verdict in one line."""
        if not self.windows:
            return "no verdict: no series is long enough to hold anything out"
        held = f"{self.windows} held-out window{'s' if self.windows > 1 else ''}"
        if not np.isfinite(self.skill):
            return f"no verdict on {held}: the values there, or a season before, never change"
        word = "better" if self.skill >= 0 else "WORSE"
        mase = float(self.overall[metrics.MODEL]["mase"])
        told = f"MASE {mase:.3f} on {held}: {abs(self.skill):.1%} {word} than seasonal naive"
        if self.rival is None:
            return told
        best = f"{self.rival.name} (the best of {self.rival.tried} classical methods)"
        if self.rival.skill < -1:
            return f"{told}, {self.rival.model / self.rival.mase:.3g} TIMES the error of {best}"
        word = "better" if self.rival.skill >= 0 else "WORSE"
        return f"{told}, {abs(self.rival.skill):.1%} {word} than {best}"

    def coverage(self) -> dict[str, float]:
        """Share of actuals inside each interval, by metric name (``coverage-80``)."""
        found = self.overall[metrics.MODEL]
        return {name: float(found[name]) for name in found.index if str(name).startswith("coverage")}

    def facts(self) -> dict[str, object]:
        """Plain JSON values of the overall table."""
        values = self.overall.astype(object).where(self.overall.notna(), None)
        skill = self.skill if np.isfinite(self.skill) else None
        told: dict[str, object] = {"windows": self.windows, "skill": skill, "metrics": values.to_dict(orient="index")}
        if self.rival is not None:
            told["best_classical"] = asdict(self.rival) | {"skill": self.rival.skill}
        if self.encoder is not None:
            told["encoder"] = {"mase": self.encoder.whole, "mase_without": self.encoder.bare}
        return told


def judge(
    frame: pd.DataFrame, panel: Panel, *, limit: NDArray[np.int64], season: int, baselines: Sequence[str]
) -> Verdict:
    """Score a frame of ``backtest_frame`` whose ``baselines`` include seasonal naive.

    MASE divides by the seasonal change of the rows before ``limit`` (S,) of each segment.
    """
    models = (metrics.MODEL, *baselines)
    names = target_names(panel)
    units = scales(panel, limit, season=season)
    parts = []
    for d, name in enumerate(names):
        rows = frame[frame["target"] == name]
        unit = pd.DataFrame({"mase": units[0][:, d], "rmsse": units[1][:, d]}, index=pd.Index(panel.ids))
        parts.append(metrics.score(rows, models=models, scales=unit).assign(target=name))
    scores = pd.concat(parts, ignore_index=True)
    tidy = metrics.tidy(scores, baseline=AGAINST)
    tidy["cutoff"] = panel.schema.clock.format(tidy["cutoff"].to_numpy(dtype=np.int64))
    if len(names) > 1:
        tidy.insert(1, "target", scores["target"])
        scores = scores[~scores["metric"].str.match(_IN_UNITS)]  # what has units is not averaged over targets
    overall = metrics.overall(scores, models=models)
    skill = float("nan")
    if "mase" in overall.index:
        mase = overall.loc[["mase"]]
        skill = float(metrics.skill(pd.Series(["mase"], index=mase.index), mase[metrics.MODEL], mase[AGAINST]).iloc[0])
    windows = len(frame[["unique_id", "cutoff"]].drop_duplicates())
    return Verdict(overall=overall, tidy=tidy, skill=skill, windows=windows)
