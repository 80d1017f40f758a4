"""``lstmcast inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcast.cli.options import COMPUTE, MODEL_FOLDER, READER
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(READER, COMPUTE, example="lstmcast inspect lstmcast-model sales.csv --plot inspect.html")
def inspect(
    call: Call,
    model: Annotated[Path, typer.Argument(help="Model folder.", metavar="MODEL")] = MODEL_FOLDER,
    data: Annotated[
        list[str] | None, typer.Argument(help="CSV files to look into it with; none: its parts alone.", metavar="DATA")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Also write every figure; - is stdout.", metavar="FILE")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw a chart: .html, .png or .svg.", metavar="FILE")] = None,
) -> Outcome:
    """Show the parts of a model, what they hold and what they cost; with data, what its gates do, how far back it
    listens, and which inputs its forecasts depend on."""
    call.keep_stdout_for_json(output or "")
    flags, training = call.flags(), call.settings().training
    from lstmcast.recipes.inspect import inspect as recipe

    return recipe(
        model,
        data or [],
        output=output,
        chart=plot,
        reader=flags.reader,
        device=training.device,
        threads=training.threads,
        seed=training.seed,
        on_progress=call.on_progress,
    )
