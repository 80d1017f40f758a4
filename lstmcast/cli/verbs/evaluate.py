"""``lstmcast evaluate``."""

from __future__ import annotations

from typing import Annotated

import typer

from lstmcast.cli.options import READER
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(READER, example="lstmcast evaluate forecasts.csv sales.csv")
def evaluate(
    call: Call,
    forecast: Annotated[str, typer.Argument(help="A forecast file.", metavar="FORECAST")],
    actual: Annotated[str, typer.Argument(help="What came true, in the form of the input.", metavar="ACTUAL")],
    history: Annotated[
        str | None, typer.Option(help="The data before the forecast, for scaled errors.", metavar="DATA")
    ] = None,
    season: Annotated[int | None, typer.Option(min=1, help="Rows of one season.", metavar="ROWS")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Write the scores to this CSV.", metavar="FILE")
    ] = None,
) -> Outcome:
    """Score an old forecast against what came true; needs no model."""
    reader = call.settings().reader
    from lstmcast.recipes.evaluate import evaluate as recipe

    return recipe(
        forecast,
        actual,
        history=history,
        season=season,
        output=output,
        reader=reader,
        on_progress=call.on_progress,
    )
