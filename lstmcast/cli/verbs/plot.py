"""``lstmcast plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(example="lstmcast plot forecasts.csv --history sales.csv -o chart.png")
def plot(
    call: Call,
    file: Annotated[str, typer.Argument(help="A forecast or anomalies file.", metavar="FILE")],
    history: Annotated[
        str | None,
        typer.Option(
            help="The data before the forecast, and after it what came true; else those the model read.", metavar="DATA"
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Chart: .html, .png or .svg.", metavar="FILE")] = Path(
        "chart.html"
    ),
    series: Annotated[list[str] | None, typer.Option(help="Series to draw; repeatable.", metavar="ID")] = None,
) -> Outcome:
    """Draw a forecast with its history and intervals, or the anomalies found in a series."""
    from lstmcast.recipes.plot import plot as recipe

    return recipe(file, history=history, output=output, series=tuple(series or ()), on_progress=call.on_progress)
