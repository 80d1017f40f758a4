"""Classes: how good forecast probabilities are, and the frames in which they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.forecast.backtest import actuals, baseline_forecasts, keys
from lstmcast.forecast.forecast_file import CLASS
from lstmcast.forecast.metrics import TIDY
from lstmcast.forecast.verdict import Encoder

Floats = NDArray[np.float64]

AGAINST = "seasonal-naive"
SHARES = "class-shares"
"""A forecast that knows nothing but how often each class came up before."""

SCORES = (":accuracy", ":log_loss")
"""How the columns of a class frame end that hold what each forecast scored."""

_LEAST = 1e-6  # a probability below it counts as this much: a forecast of 0 that comes true would cost without end


@dataclass(frozen=True, slots=True)
class ClassVerdict:
    """``overall`` index metric (accuracy, log_loss), one column per forecaster; ``tidy`` per series and cutoff.

    ``skill`` = 1 − share of errors / share of errors of seasonal naive, NaN where that makes none.
    """

    overall: pd.DataFrame
    tidy: pd.DataFrame
    skill: float
    windows: int
    encoder: Encoder | None = None

    def sentence(self) -> str:
        """The verdict in one line."""
        if not self.windows:
            return "no verdict: no series is long enough to hold anything out"
        of = {str(name): column for name, column in self.overall.items()}
        hit = {name: float(column["accuracy"]) for name, column in of.items()}
        loss = {name: float(column["log_loss"]) for name, column in of.items()}
        others = [f"seasonal naive {hit[AGAINST]:.1%}"] if AGAINST in hit else []
        others += [f"the usual class {hit[SHARES]:.1%}"] if SHARES in hit else []
        beside = f" ({', '.join(others)})" if others else ""
        usual = f" (class shares {loss[SHARES]:.3f})" if SHARES in loss else ""
        many = f"{self.windows} held-out window{'s' if self.windows > 1 else ''}"
        return f"accuracy {hit['y_hat']:.1%} on {many}{beside}; log loss {loss['y_hat']:.3f}{usual}"

    def coverage(self) -> dict[str, float]:
        """Classes have no intervals."""
        return {}

    def facts(self) -> dict[str, object]:
        """Plain JSON values of the overall table."""
        values = self.overall.astype(object).where(self.overall.notna(), None)
        told: dict[str, object] = {
            "windows": self.windows,
            "skill": self.skill if np.isfinite(self.skill) else None,
            "metrics": values.to_dict(orient="index"),
        }
        if self.encoder is not None:
            told["encoder"] = {"log_loss": self.encoder.whole, "log_loss_without": self.encoder.bare}
        return told


def log_loss(probabilities: Floats, actual: Floats) -> Floats:
    """−log of the probability (..., K) of the class (...) that came true; NaN where none was observed."""
    known = np.isfinite(actual)
    code = np.where(known, actual, 0).astype(np.int64)
    given = np.take_along_axis(probabilities, code[..., None], -1)[..., 0]
    return np.where(known, -np.log(np.maximum(given, _LEAST)), np.nan)


def certain(codes: Floats, classes: int) -> Floats:
    """Probabilities (..., K) of forecasts (...) that name one class; NaN where they name none."""
    known = np.isfinite(codes)
    sure = np.eye(classes)[np.where(known, codes, 0).astype(np.int64)]
    return np.where(known[..., None], sure, np.nan)


def class_columns(probabilities: Floats, classes: Sequence[str]) -> dict[str, NDArray[Any]]:
    """``y_hat``, the likeliest class, and a column ``p-<class>`` for each, of probabilities (..., K)."""
    known = np.isfinite(probabilities).all(axis=-1)
    words = np.array([*classes, None], dtype=object)
    likeliest = np.where(known, np.nan_to_num(probabilities).argmax(axis=-1), len(classes))
    shown = probabilities.round(6)
    return {"y_hat": words[likeliest]} | {f"{CLASS}{name}": shown[..., k] for k, name in enumerate(classes)}


def class_frame(
    panel: Panel, cutoffs: NDArray[np.int64], probabilities: Floats, *, season: int, limit: NDArray[np.int64]
) -> pd.DataFrame:
    """One row per cutoff (V) and step (H): what came true, what was forecast, and the two simple forecasts beside it.

    Columns: unique_id, target, cutoff and ds (clock units), step, y and y_hat (words), p-<class>, seasonal-naive (a
    word), and for the scores code, hit and loss of each. Class shares are those of the rows before ``limit`` (S,).
    """
    classes = panel.schema.classes
    horizon = probabilities.shape[1]
    code = actuals(panel, cutoffs, horizon=horizon)
    repeated = baseline_forecasts(AGAINST, panel, cutoffs, horizon=horizon, season=season)
    shares = _shares(panel, limit, len(classes))[panel.series[panel.segment_of(cutoffs - 1)]]
    usual = np.broadcast_to(shares[:, None, None], probabilities.shape)
    words = np.array([*classes, None], dtype=object)
    told = {
        "y": words[np.where(np.isfinite(code), code, len(classes)).astype(np.int64)],
        **class_columns(probabilities, classes),
        AGAINST: words[np.where(np.isfinite(repeated), repeated, len(classes)).astype(np.int64)],
    }
    for name, made in (("y_hat", probabilities), (AGAINST, certain(repeated, len(classes))), (SHARES, usual)):
        likeliest = np.where(np.isfinite(made).all(-1), np.nan_to_num(made).argmax(-1), -1)
        told[f"{name}:accuracy"] = np.where(np.isfinite(code), likeliest == code, np.nan)
        told[f"{name}:log_loss"] = log_loss(made, code)
    flat = {name: values.transpose(0, 2, 1).reshape(-1) for name, values in told.items()}
    return pd.DataFrame(keys(panel, cutoffs, horizon) | flat)


def judge_classes(frame: pd.DataFrame, panel: Panel) -> ClassVerdict:
    """Score a frame of ``class_frame``: means over series, each over its rows."""
    models, metrics = ("y_hat", AGAINST, SHARES), ("accuracy", "log_loss")
    columns = [f"{model}:{metric}" for model in models for metric in metrics]
    seen = frame[frame["y"].notna()]
    each = seen.groupby(["unique_id", "cutoff"], sort=False)[columns].mean()
    overall = each.groupby("unique_id").mean().mean()
    table = pd.DataFrame({m: [overall[f"{m}:{metric}"] for metric in metrics] for m in models}, index=metrics)
    hit = {name: float(overall[f"{name}:accuracy"]) for name in models}
    missed, theirs = 1 - hit["y_hat"], 1 - hit[AGAINST]
    return ClassVerdict(
        overall=table,
        tidy=_tidy(each, panel, models, metrics),
        skill=1 - missed / theirs if theirs > 0 else float("nan"),
        windows=len(each),
    )


def score_classes(rows: pd.DataFrame, classes: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Overall and tidy metrics of forecasts that met their actuals.

    ``rows``: unique_id, cutoff, ``y`` and ``y_hat`` (numbers of ``classes``) and a column p-<class> for each; where
    there is one, seasonal-naive (such a number) is judged beside it. The tidy metrics are those of series and cutoffs.
    """
    seen = rows[rows["y"].notna() & rows["y_hat"].notna()]
    given = seen[[f"{CLASS}{name}" for name in classes]].to_numpy(np.float64)
    scored = seen[["unique_id", "cutoff"]].assign(
        **{"y_hat:accuracy": (seen["y"] == seen["y_hat"]).astype(float)},
        **{"y_hat:log_loss": log_loss(given, seen["y"].to_numpy(np.float64))},
    )
    models, metrics = ["y_hat"], ("accuracy", "log_loss")
    if AGAINST in rows:
        models.append(AGAINST)
        scored[f"{AGAINST}:accuracy"] = (seen["y"] == seen[AGAINST]).where(seen[AGAINST].notna()).astype(float)
    for model in models:
        scored[f"{model}:log_loss"] = scored.get(f"{model}:log_loss", np.nan)
    each = scored.groupby(["unique_id", "cutoff"], sort=False).mean()
    overall = each.groupby("unique_id").mean().mean()
    table = pd.DataFrame({m: [overall[f"{m}:{metric}"] for metric in metrics] for m in models}, index=metrics)
    parts = [
        each[f"y_hat:{metric}"].rename("value").reset_index().assign(step=np.nan, metric=metric, baseline=np.nan)
        for metric in metrics
    ]
    return table, pd.concat(parts, ignore_index=True).assign(skill=np.nan)[list(TIDY)]


def _tidy(each: pd.DataFrame, panel: Panel, models: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """unique_id, cutoff, step, metric, value, baseline and skill, as the metrics of numbers have them."""
    parts = []
    for metric in metrics:
        value, theirs = each[f"{models[0]}:{metric}"], each[f"{AGAINST}:{metric}"]
        part = value.rename("value").reset_index()
        part["cutoff"] = panel.schema.clock.format(part["cutoff"].to_numpy(dtype=np.int64))
        skill = np.full(len(part), np.nan)
        if metric == "accuracy":
            wrong = 1 - theirs.to_numpy()
            np.divide(value.to_numpy() - theirs.to_numpy(), wrong, out=skill, where=wrong > 0)
        parts.append(part.assign(step=np.nan, metric=metric, baseline=theirs.to_numpy(), skill=skill))
    return pd.concat(parts, ignore_index=True)[list(TIDY)]


def _shares(panel: Panel, limit: NDArray[np.int64], classes: int) -> Floats:
    """(N, K) how often each class came up before ``limit`` in each series, as if each had once more."""
    count = np.ones((len(panel.ids), classes))
    row = np.arange(len(panel.values))
    segment = panel.segment_of(row)
    trains = panel.observed[:, 0] & (row < limit[segment])
    np.add.at(count, (panel.series[segment[trains]], panel.values[trains, 0].astype(np.int64)), 1)
    return np.asarray(count / count.sum(axis=1, keepdims=True), dtype=np.float64)
