"""``lstmcast history``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcast.cli.verb import verb
from lstmcast.outcome import Outcome


@verb(example="lstmcast history sales.yaml -o accuracy.html")
def history(
    job: Annotated[Path, typer.Argument(help="The job file.", metavar="JOB.yaml")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Chart: .html, .png or .svg.", metavar="FILE")
    ] = None,
    nights: Annotated[int | None, typer.Option(min=1, help="Only the last so many.", metavar="N")] = None,
    series: Annotated[list[str] | None, typer.Option(help="Series to judge; repeatable.", metavar="ID")] = None,
) -> Outcome:
    """How good the forecasts of a job turned out: error, skill and coverage of every night."""
    from lstmcast.recipes.history import history as recipe
    from lstmcast.recipes.listing import choices

    return recipe(job, choices=choices(), output=output, nights=nights, series=tuple(series or ()))
