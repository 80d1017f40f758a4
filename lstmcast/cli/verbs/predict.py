"""``lstmcast predict``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lstmcast.cli.options import COMPUTE, MODEL_FOLDER, NETWORK, READER, Form, MaybeData, ModelFolder, Output, SafeCsv
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(
    READER.without("reader.future"),
    NETWORK.only("network.horizon", "network.levels", "network.coherent"),
    COMPUTE.without("training.seed"),
    example="lstmcast predict sales.csv --horizon 14",
)
def predict(
    call: Call,
    data: MaybeData = None,
    model: ModelFolder = MODEL_FOLDER,
    output: Output = None,
    form: Form = None,
    safe_csv: SafeCsv = False,
    samples: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Paths to add, one column each: steps depend on each other.", metavar="N"),
    ] = 0,
    as_of: Annotated[str | None, typer.Option(help="Forecast as if the data ended here.", metavar="TIME")] = None,
    future: Annotated[
        str | None, typer.Option(help="Rows of the covariates known ahead of time.", metavar="FILE")
    ] = None,
    advance: Annotated[
        bool, typer.Option("--advance", help="Keep the state after the newest rows for the next time (stateful).")
    ] = False,
    on_error: Annotated[
        Literal["skip", "naive", "fail"], typer.Option(help="What to do with a series that cannot be forecast.")
    ] = "naive",
) -> Outcome:
    """Forecast what comes after the last row of each series.

    The data are read the way the model learned to read them; a flag that contradicts the model is refused.
    """
    output = output or f"forecasts.{form or 'csv'}"
    call.keep_stdout_for_json(output)
    flags, training = call.flags(), call.settings().training
    from lstmcast.recipes.predict import predict as recipe

    return recipe(
        data or [],
        model=model,
        output=output,
        horizon=flags.network.horizon,
        levels=call.chosen(flags.network, "levels"),
        samples=samples,
        as_of=as_of,
        future=future,
        advance_state=advance,
        coherent=call.chosen(flags.network, "coherent"),
        format=form,
        safe_csv=safe_csv,
        on_error=on_error,
        reader=flags.reader,
        device=training.device,
        threads=training.threads,
        on_progress=call.on_progress,
    )
