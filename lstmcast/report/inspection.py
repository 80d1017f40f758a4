"""Charts of what was found inside a network."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from lstmcast.report.charts import thin

_BLUE, _BAND, _ORANGE = "#0072b2", "#cfe3f2", "#d55e00"
_LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d"]
_WIDTH, _HEIGHT, _COLUMNS = 330, 190, 2
_POINTS = 400  # of each curve


def anatomy_chart(figures: pd.DataFrame) -> Any:
    """Parameters and multiply-adds of each part, from the tidy figures of ``inspect``."""
    rows = figures.assign(name=_owners(figures))
    rows, learned = rows[rows["step"].isna()], _learning(rows)
    wide = rows.pivot_table(index="name", columns="measure", values="value", sort=False).reset_index()
    wide["work"] = wide["multiply-adds per step"] * wide["steps"]
    order = wide["name"].tolist()
    panels = [
        _bars(wide, order, "parameters", "parameters"),
        _bars(wide, order, "work", "multiply-adds for one forecast"),
        *learned,
    ]
    return _page(panels, "Parts of the model")


def inspection_chart(figures: pd.DataFrame) -> Any:
    """Dependence on the past, gates, memory and importance, from the tidy figures of ``inspect``."""
    rows = figures.assign(owner=_owners(figures))
    panels = [_gradient(rows[rows["measure"] == "gradient"])]
    gates = rows[rows["measure"].isin(["mean", "spread"])]
    if len(gates):
        panels.append(_gates(gates))
    for measure, title, below in (
        ("kept", "What is left of a memory", "product of the keeping gate over so many rows"),
        ("persistence", "What reaches the last output", "derivative of h at the end by the memory so many rows before"),
        ("mutual information", "What the memory knows of its past", "mutual information with itself, nats"),
    ):
        part = rows[rows["measure"] == measure]
        part = part[part["subject"] == part["subject"].max()] if measure == "persistence" else part
        if len(part):
            panels.append(_curves(part, title, below))
    panels += _learning(rows.assign(name=rows["owner"]))
    rise = rows[rows["measure"] == "importance"]
    panels.append(_importance(rise.assign(name=rise["subject"] + ", " + rise["part"])))
    return _page(panels, "Inside the model")


def _owners(figures: pd.DataFrame) -> pd.Series:
    """Part, with its member where there are several."""
    several = figures["member"].nunique() > 1
    member = figures["member"].astype("string")
    return figures["part"] + (", member " + member).fillna("") if several else figures["part"]


def _gradient(rows: pd.DataFrame) -> Any:
    by_lag = rows.groupby("lag")["value"].agg(["mean", "min", "max"]).reset_index().astype(float)
    shown = thin(by_lag[by_lag["mean"] > 0], columns=["mean"], most=_POINTS)
    least = float(shown["mean"].min()) / 10 if len(shown) else 0.0  # what is zero has no place on this scale
    base = alt.Chart(shown.assign(low=shown["min"].clip(lower=least)))
    x = alt.X("lag:Q", title="rows back", scale=alt.Scale(nice=False))
    scale = alt.Scale(type="log", nice=False)
    sparse = alt.Axis(tickCount=4, format="~g")
    band = base.mark_area(color=_BAND).encode(x=x, y=alt.Y("low:Q", scale=scale, title=None, axis=sparse), y2="max")
    line = base.mark_line(color=_BLUE).encode(x=x, y=alt.Y("mean:Q", scale=scale, title="|∂ŷ/∂x|", axis=sparse))
    return _titled(
        alt.layer(band, line),
        "How far back a forecast listens",
        "mean over the horizon; band: its least and most",
    )


def _gates(rows: pd.DataFrame) -> Any:
    keys = ["owner", "subject"]
    wide = rows.pivot_table(index=keys, columns="measure", values="value", sort=False).reset_index()
    wide["name"] = wide["owner"] + ": " + wide["subject"]
    wide = wide.assign(low=wide["mean"] - wide["spread"], high=wide["mean"] + wide["spread"])
    y = alt.Y("name:N", sort=wide["name"].tolist(), title=None, axis=alt.Axis(labelLimit=160))
    base = alt.Chart(wide)
    spread = base.mark_bar(color=_BAND, height={"band": 0.6}).encode(
        x=alt.X("low:Q", title="activation"), x2="high", y=y
    )
    mean = base.mark_tick(color=_BLUE, thickness=3).encode(x="mean:Q", y=y)
    chart = alt.layer(spread, mean).properties(height=alt.Step(16))
    return _titled(chart, "Gates", "mean, and one standard deviation to both sides", height=None)


def _learning(rows: pd.DataFrame) -> list[Any]:
    """A panel for each layer whose gates were looked at while it learned."""
    keys = ["name", "subject", "step"]
    seen = rows[rows["measure"].isin(["mean in training", "spread in training"])]
    wide = seen.pivot_table(index=keys, columns="measure", values="value", sort=False).reset_index()
    panels = []
    for name, own in wide.groupby("name", sort=False):
        mean, spread = own["mean in training"], own["spread in training"]
        shown = own[["subject", "step"]].assign(mean=mean, low=mean - spread, high=mean + spread)
        shown["step"] = shown["step"].astype(float)
        order = shown["subject"].unique().tolist()
        scale = alt.Scale(domain=order, range=_LINES[: len(order)])
        legend = alt.Legend(title=None, orient="bottom")
        colour, quiet = (alt.Color("subject:N", sort=order, scale=scale, legend=told) for told in (legend, None))
        base = alt.Chart(shown).encode(x=alt.X("step:Q", title="step of the training", scale=alt.Scale(nice=False)))
        band = base.mark_area(opacity=0.12).encode(y=alt.Y("low:Q", title="activation"), y2="high", color=quiet)
        line = base.mark_line().encode(y="mean:Q", color=colour)
        title = f"Gates while learning, {name}"
        panels.append(_titled(alt.layer(band, line), title, "mean, and one standard deviation to both sides"))
    return panels


def _curves(rows: pd.DataFrame, title: str, below: str) -> Any:
    shown = rows.assign(lag=rows["lag"].astype(float))
    colour = alt.Color(
        "owner:N",
        sort=shown["owner"].unique().tolist(),
        scale=alt.Scale(range=_LINES),
        legend=alt.Legend(title=None, orient="bottom", columns=3) if shown["owner"].nunique() > 1 else None,
    )
    line = alt.Chart(shown).mark_line(point=alt.OverlayMarkDef(size=18))
    x = alt.X("lag:Q", title="rows back", scale=alt.Scale(nice=False))
    return _titled(line.encode(x=x, y=alt.Y("value:Q", title=None), color=colour), title, below)


def _importance(rows: pd.DataFrame) -> Any:
    chart = alt.Chart(rows[["name", "value"]]).mark_bar(color=_ORANGE, height={"band": 0.68})
    y = alt.Y("name:N", sort="-x", title=None, axis=alt.Axis(labelLimit=220))
    chart = chart.encode(x=alt.X("value:Q", title="rise of MASE"), y=y).properties(height=alt.Step(18))
    return _titled(chart, "What it depends on", "shuffled: a covariate between windows, a target in time", height=None)


def _bars(rows: pd.DataFrame, order: list[str], name: str, title: str) -> Any:
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=220))
    room = alt.Scale(domain=[0, 1.2 * float(rows[name].max())], nice=False)  # for the figure beside the longest bar
    x = alt.X(f"{name}:Q", title=None, scale=room, axis=alt.Axis(tickCount=4, format="~s"))
    bar = alt.Chart(rows[["name", name]]).mark_bar(color=_BLUE, height={"band": 0.68}).encode(x=x, y=y)
    label = bar.mark_text(align="left", dx=4, fontSize=10).encode(text=alt.Text(f"{name}:Q", format=".3~s"))
    return _titled(alt.layer(bar, label).properties(height=alt.Step(20)), title, "", height=None)


def _titled(chart: Any, title: str, below: str, *, height: int | None = _HEIGHT) -> Any:
    sized = chart.properties(width=_WIDTH) if height is None else chart.properties(width=_WIDTH, height=height)
    return sized.properties(title=alt.Title(title, subtitle=below, anchor="start"))


def _page(panels: list[Any], title: str) -> Any:
    heading = alt.Title(title, anchor="start", fontSize=17, offset=12)
    page = alt.concat(*panels, columns=_COLUMNS, title=heading, padding=14, background="white", spacing=28)
    page = page.resolve_scale(color="independent").resolve_legend(color="independent")
    page = page.configure_axis(gridColor="#e8e8e8").configure_view(stroke="#bbbbbb")
    return page.configure_title(subtitleColor="#555555")
