"""Accuracy over time: error beside that of the baseline and how often intervals held, night by night."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

_COLOURS = {"forecast": "#0072b2", "seasonal naive": "#4d4d4d", "80": "#e69f00", "95": "#009e73"}
_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 720


def accuracy_chart(nights: pd.DataFrame, *, title: str) -> Any:
    """Three panels over the nights: mean absolute errors, the skill, and the share of actuals inside each interval.

    ``nights`` has a column ``cutoff`` (text, in order), ``mae``, ``baseline_mae``, ``skill`` and ``coverage-LEVEL``
    columns. Without a skill in any night, or without intervals, their panel is left out.
    """
    order = nights["cutoff"].tolist()
    levels = [name.removeprefix("coverage-") for name in nights.columns if name.startswith("coverage-")]
    errors = nights.rename(columns={"mae": "forecast", "baseline_mae": "seasonal naive"})
    panels = [_lines(errors, ["forecast", "seasonal naive"], order, "mean absolute error")]
    if nights["skill"].notna().any():
        skill = _lines(nights, ["skill"], order, "skill against seasonal naive")
        no_better = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(strokeDash=[4, 3]).encode(y="value:Q")
        panels.append(no_better + skill)
    if levels:
        held = nights.rename(columns={f"coverage-{level}": level for level in levels})
        panels.append(_lines(held, levels, order, "share of actuals inside"))
    page = alt.vconcat(*panels, title=alt.Title(title, anchor="start", fontSize=17), padding=14, background="white")
    return page.resolve_scale(color="independent").configure_axis(gridColor="#e8e8e8")


def spark(values: list[float | None]) -> str:
    """The values as a line of blocks, the smallest lowest; a space where there is none."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    steps = len(_BLOCKS) - 1
    scale = steps / (high - low) if high > low else 0.0
    return "".join(" " if value is None else _BLOCKS[round((value - low) * scale)] for value in values)


def _lines(nights: pd.DataFrame, names: list[str], order: list[str], title: str) -> Any:
    long = nights.melt("cutoff", value_vars=names, var_name="entry", value_name="value").dropna()
    colours = [_COLOURS.get(name, "#d55e00") for name in names]
    return (
        alt.Chart(long)
        .mark_line(point=True)
        .encode(
            x=alt.X("cutoff:N", sort=order, title="forecast made after", axis=alt.Axis(labelOverlap=True)),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color("entry:N", title=None, scale=alt.Scale(domain=names, range=colours)),
            tooltip=[alt.Tooltip("cutoff:N"), alt.Tooltip("entry:N"), alt.Tooltip("value:Q", format=".6~g")],
        )
        .properties(width=_WIDTH, height=200)
    )
