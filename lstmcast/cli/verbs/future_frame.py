"""``lstmcast future-frame``."""

from __future__ import annotations

from typing import Annotated

import typer

from lstmcast.cli.options import MODEL_FOLDER, NETWORK, READER, MaybeData, ModelFolder
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(
    READER.without("reader.future"),
    NETWORK.only("network.horizon"),
    example="lstmcast future-frame sales.csv -o future.csv",
)
def future_frame(
    call: Call,
    data: MaybeData = None,
    model: ModelFolder = MODEL_FOLDER,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Where to write the rows; future.csv if not given.", metavar="FILE"),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(help="List what this file lacks, write it to missing_future.csv, exit 1.", metavar="FILE"),
    ] = None,
) -> Outcome:
    """Write the rows in which the covariates known ahead of time have to be filled in before a forecast.

    They are written as the data are: the same columns, separator and style of time. With --check, FILE may be those
    rows filled in, or the data themselves where they hold future rows.
    """
    call.keep_stdout_for_json(output or "")
    flags = call.flags()
    from lstmcast.recipes.future_frame import future_frame as recipe

    return recipe(
        data or [],
        model=model,
        output=output,
        check=check,
        horizon=flags.network.horizon,
        reader=flags.reader,
        on_progress=call.on_progress,
    )
