"""Policy: when a model is trained again, and whether the new one may take the old one's place."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lstmcast.artifact import MANIFEST, METRICS, Model, load, seen_until
from lstmcast.atomic import replace_folder, whole_folder
from lstmcast.data.panel import Panel
from lstmcast.forecast.backtest import actuals
from lstmcast.forecast.predict import quantiles_at
from lstmcast.ops.job import RetrainPolicy
from lstmcast.ops.scoring import coverage, skill_of

LATELY = 60  # cutoffs whose scores say how good the forecasts were lately
_ENOUGH = 10  # scores without which they say nothing
_STAMP = "%Y-%m-%dT%H-%M-%SZ"


@dataclass(frozen=True, slots=True)
class Health:
    """How a model does since it was trained. Skills are 1 − error / error of seasonal naive; None is not known.

    ``drop`` is the skill at training minus the skill lately; ``scores`` is how many forecast rows the latter rests on.
    """

    skill_at_training: float | None
    skill_lately: float | None
    coverage_lately: Mapping[str, float]
    scores: int

    @property
    def drop(self) -> float | None:
        if self.skill_at_training is None or self.skill_lately is None:
            return None
        return self.skill_at_training - self.skill_lately

    def facts(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "skill_at_training": self.skill_at_training,
            "skill_lately": self.skill_lately,
            "skill_drop": self.drop,
            "coverage_lately": dict(self.coverage_lately),
            "scores": self.scores,
        }


def health(model: Model, scored: pd.DataFrame, *, since: int | None) -> Health:
    """The health of ``model`` from the scores of its job; only cutoffs at or after ``since`` are its own."""
    mine = scored if since is None else scored[scored["cutoff"] >= since]
    mine = mine[mine["error"].notna() & mine["baseline_error"].notna()]
    skill = model.summary.get("verdict", {}).get("skill")
    if len(mine) < _ENOUGH:
        return Health(skill, None, {}, len(mine))
    return Health(skill, skill_of(mine), coverage(mine), len(mine))


def due(
    policy: RetrainPolicy, state: Health, *, age: dt.timedelta, new_rows: int, trained_rows: int
) -> tuple[bool, str]:
    """Whether to train again, and the reason either way. ``age`` and ``new_rows`` count from the last training."""
    if policy.when != "auto":
        return policy.when == "always", f"retrain: {policy.when}"
    share = new_rows / max(trained_rows, 1)
    old = age > policy.max_age
    worse = state.drop is not None and state.drop > policy.max_skill_drop
    told = f"trained {age.days} days ago on {trained_rows:,} rows; {new_rows:,} new ones ({share:.1%})"
    if worse:
        told += f"; the skill fell by {state.drop:.1%}"
    if not (old or worse):
        return False, told
    if share < policy.min_new_rows:
        return False, f"{told}: fewer new rows than {policy.min_new_rows:.1%}, so nothing to learn from yet"
    return True, told


def not_worse(current: Model, folder: Path, panel: Panel) -> tuple[bool, str]:
    """Whether the model in ``folder`` is at least as good as ``current`` on the windows held out from it.

    Windows that ``current`` has not seen either decide, where there are any. Errors are scaled per series as the new
    model's own metrics are.
    """
    metrics = pd.read_csv(folder / METRICS, dtype={"unique_id": str, "cutoff": str, "target": str})
    wide = metrics[metrics["metric"].isin(["mae", "mase"])]
    keys = ["unique_id", *(["target"] if "target" in wide else []), "cutoff"]
    ours = wide.pivot_table(index=keys, columns="metric", values="value").reset_index()
    if not {"mae", "mase"} <= set(ours.columns) or ours.empty:
        return True, "no windows were held out to compare on"
    places = _places(panel, ours)
    known = places >= 0
    ours, cutoffs = ours[known].reset_index(drop=True), places[known]
    horizon = load(folder).architecture.horizon
    if horizon != current.architecture.horizon or ours.empty:
        return True, "the two models cannot be compared"
    unique, back = np.unique(cutoffs, return_inverse=True)
    theirs = _errors(current, panel, unique)
    names = list(panel.schema.targets)
    column = np.array([names.index(name) for name in ours["target"]]) if "target" in ours else np.zeros(len(ours), int)
    scale = (ours["mase"] / ours["mae"].where(ours["mae"] > 0)).to_numpy()
    old, new = theirs[back, column] * scale, ours["mase"].to_numpy()
    segment = panel.segment_of(cutoffs - 1)
    unseen = panel.times(cutoffs - 1) >= seen_until(current, panel)[panel.series[segment]]
    usable = np.isfinite(old) & np.isfinite(new)
    judged = usable & unseen if (usable & unseen).any() else usable
    if not judged.any():
        return True, "no window could be compared"
    before, after = float(old[judged].mean()), float(new[judged].mean())
    told = f"MASE {after:.3f} against {before:.3f} of the current model on {int(judged.sum())} windows"
    return after <= before * (1 + 1e-9), told


def _errors(model: Model, panel: Panel, cutoffs: Any) -> Any:
    """Mean absolute error (V, D) of the medians of ``model`` at ``cutoffs`` (V,)."""
    levels = model.architecture.quantiles
    median = quantiles_at(model.forecaster, panel, cutoffs)[..., levels.index(0.5)]
    error = np.abs(median - actuals(panel, cutoffs, horizon=median.shape[1]))
    seen = np.isfinite(error)
    total = np.where(seen, error, 0).sum(axis=1)
    return np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan)


def _places(panel: Panel, windows: pd.DataFrame) -> Any:
    """int64 (V,) the flat row after the cutoff of each window; −1 where the panel has it not."""
    cutoff = panel.schema.clock.parse(windows["cutoff"].tolist(), groups=np.arange(len(windows), dtype=np.int64))
    series = pd.Index(panel.ids).get_indexer(pd.Index(windows["unique_id"]))
    rows = np.arange(len(panel.values), dtype=np.int64)
    index = pd.MultiIndex.from_arrays([panel.series[panel.segment_of(rows)], panel.times(rows)])
    found = index.get_indexer(pd.MultiIndex.from_arrays([series, cutoff]))
    inside = (found >= 0) & (found + 1 < len(rows))
    return np.where(inside, found + 1, -1)


def promote(candidate: Path, model: Path, *, old_models: Path, keep: int, now: dt.datetime) -> None:
    """Put the folder ``candidate`` in the place of ``model``, whose copy goes to ``old_models``; ``keep`` of them stay.

    At every moment one whole model is found under ``model``. Raises ``ResourceError``.
    """
    if model.exists() and keep:
        with replace_folder(old_models / now.astimezone(dt.UTC).strftime(_STAMP)) as folder:
            shutil.copytree(model, folder, dirs_exist_ok=True)
    with replace_folder(model) as folder:
        shutil.copytree(candidate, folder, dirs_exist_ok=True)
    shutil.rmtree(candidate)
    if old_models.is_dir():
        for old in sorted(place for place in old_models.iterdir() if place.is_dir())[: -keep or None]:
            shutil.rmtree(old)


def trained_until(model: Model) -> int | None:
    """The newest time the training of ``model`` saw; None where it saw none."""
    return max((int(time) for time in model.trained_until.values()), default=None)


def trained_at(folder: Path) -> str:
    """When the model in ``folder`` was written, as far as the file system knows: ISO 8601, in UTC."""
    stamp = (whole_folder(folder) / MANIFEST).stat().st_mtime
    return dt.datetime.fromtimestamp(stamp, tz=dt.UTC).isoformat()
