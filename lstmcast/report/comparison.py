"""The chart of a comparison: accuracy, time and size side by side, and the course of every loss."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from lstmcast.report.charts import thin

_BAR, _SEED, _RULE, _OTHERS = "#0072b2", "#222222", "#d55e00", "#c8c8c8"
_COLUMNS, _WIDTH = 4, 205
_POINTS = 250  # of each loss curve
_SMOOTH = 0.04  # share of the steps a shown loss is averaged over


def comparison_chart(rows: pd.DataFrame, curves: pd.DataFrame, *, naive: float) -> Any:
    """``rows`` as ``compare`` writes them, ``curves`` candidate, seed, step, loss; ``naive`` the MASE to beat."""
    shown = rows[rows["status"] == "ok"].astype({"parameters": float, "bytes_kept": float})
    shown = shown.assign(
        milliseconds=1e3 * shown["seconds_per_step"], megabytes=shown["bytes_kept"] / 1e6, size=shown["parameters"]
    )
    order = shown.groupby("candidate")["mase"].mean().sort_values().index.tolist()
    bars = [
        _accuracy(shown, order, naive),
        _bars(shown, order, "milliseconds", "ms per training step", ".3~g"),
        _bars(shown, order, "size", "parameters", ".3~s"),
        _bars(shown, order, "megabytes", "MB kept for the backward pass", ".3~g"),
    ]
    top = alt.hconcat(*bars, spacing=14)
    page = alt.vconcat(top, _loss_panels(curves, order), spacing=26, padding=14, background="white").properties(
        title=alt.Title(
            "Comparison on equal footing",
            subtitle=f"same windows, batches, steps and seeds (small dots); seasonal naive has MASE {naive:.3g}",
            anchor="start",
            fontSize=17,
            offset=12,
        )
    )
    return (
        page.configure_axis(gridColor="#e8e8e8")
        .configure_view(stroke="#bbbbbb")
        .configure_title(subtitleColor="#555555")
    )


def _accuracy(rows: pd.DataFrame, order: list[str], naive: float) -> Any:
    """Dots on a scale as wide as the candidates differ: bars from zero would all look alike."""
    means = rows.groupby("candidate")["mase"].mean().reset_index()
    low, high = float(rows["mase"].min()), float(rows["mase"].max())
    room = max(high - low, 0.02 * high)
    scale = alt.Scale(domain=[low - 0.1 * room, high + 0.5 * room], nice=False, zero=False)
    x = alt.X("mase:Q", title="MASE on held-out windows", scale=scale, axis=alt.Axis(tickCount=4, format="~f"))
    y = alt.Y("candidate:N", sort=order, title=None, axis=alt.Axis(ticks=False, labelLimit=160, grid=True))
    dot = alt.Chart(means).mark_point(color=_BAR, size=70, filled=True, opacity=1).encode(x=x, y=y)
    label = alt.Chart(means).mark_text(align="right", dx=-4, fontSize=10)
    layers = [dot, label.encode(x=alt.value(_WIDTH), y=y, text=alt.Text("mase:Q", format=".3f"))]
    if rows.groupby("candidate").size().max() > 1:
        layers.append(alt.Chart(rows).mark_point(color=_SEED, size=14, filled=True).encode(x=x, y=y))
    if low <= naive <= high + 0.3 * room:
        line = alt.Chart(pd.DataFrame({"mase": [naive]})).mark_rule(color=_RULE, strokeDash=[5, 3], strokeWidth=2)
        layers.append(line.encode(x=x))
    return alt.layer(*layers).properties(width=_WIDTH, height={"step": 20})


def _bars(rows: pd.DataFrame, order: list[str], name: str, title: str, form: str) -> Any:
    means = rows.groupby("candidate")[name].mean().reset_index()
    y = alt.Y("candidate:N", sort=order, title=None, axis=alt.Axis(labels=False, ticks=False))
    x = alt.X(
        f"{name}:Q",
        title=title,
        scale=alt.Scale(domain=[0, 1.25 * float(means[name].max())], nice=False),
        axis=alt.Axis(tickCount=4, format="~s" if name == "size" else "~f"),
    )
    bar = alt.Chart(means).mark_bar(color=_BAR, height={"band": 0.68}).encode(x=x, y=y)
    # Beyond every bar and dot, so that nothing is written over.
    label = alt.Chart(means).mark_text(align="right", dx=-4, fontSize=10)
    label = label.encode(x=alt.value(_WIDTH), y=y, text=alt.Text(f"{name}:Q", format=form))
    layers = [bar, label]
    if rows.groupby("candidate").size().max() > 1 and name == "milliseconds":
        layers.append(alt.Chart(rows).mark_point(color=_SEED, size=14, filled=True).encode(x=f"{name}:Q", y=y))
    return alt.layer(*layers).properties(width=_WIDTH, height={"step": 20})


def _loss_panels(curves: pd.DataFrame, order: list[str]) -> Any:
    smooth = _smoothed(curves[curves["candidate"].isin(order)])
    panels = []
    for name in order:
        x = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=4))
        y = alt.Y("loss:Q", title="training loss", scale=alt.Scale(type="log", nice=False, zero=False))
        others = alt.Chart(smooth[smooth["candidate"] != name]).mark_line(color=_OTHERS, strokeWidth=1)
        own = alt.Chart(smooth[smooth["candidate"] == name]).mark_line(color=_BAR, strokeWidth=2)
        layers = [part.encode(x=x, y=y, detail="candidate:N") for part in (others, own)]
        panels.append(alt.layer(*layers).properties(width=190, height=110, title=alt.Title(name, anchor="start")))
    return alt.concat(*panels, columns=_COLUMNS)


def _smoothed(curves: pd.DataFrame) -> pd.DataFrame:
    """The mean over seeds of a running mean over steps; the first few are left out, where it is still uneven."""
    parts = []
    for name, part in curves.groupby("candidate", sort=False):
        mean = part.groupby("step")["loss"].mean()
        window = max(1, int(_SMOOTH * len(mean)))
        even = mean.rolling(window).mean().dropna().rename("loss").reset_index()
        parts.append(thin(even.assign(candidate=name), columns=["loss"], most=_POINTS))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["candidate", "step", "loss"])
