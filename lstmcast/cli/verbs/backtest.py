"""``lstmcast backtest``."""

from __future__ import annotations

from typing import Annotated

import typer

from lstmcast.cli.options import COMPUTE, NETWORK, READER, TRAINING, Data, Form, MaybeModelFolder, Output, SafeCsv
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(READER, NETWORK, TRAINING, COMPUTE, example="lstmcast backtest sales.csv --windows 8")
def backtest(
    call: Call,
    data: Data,
    model: MaybeModelFolder = None,
    windows: Annotated[int, typer.Option(min=1, help="Forecast origins.", metavar="N")] = 4,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Rows between origins; the horizon if not given.", metavar="ROWS")
    ] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Train anew at every origin.")] = False,
    baselines: Annotated[
        str, typer.Option(help="Baselines to stand beside; `lstmcast list baselines`.", metavar="A,B")
    ] = "",
    output: Output = None,
    metrics: Annotated[str | None, typer.Option(help="Where to write the scores.", metavar="FILE")] = None,
    form: Form = None,
    safe_csv: SafeCsv = False,
    fail_below_skill: Annotated[
        float | None, typer.Option(help="Exit 1 if the skill against the naive forecast is lower.", metavar="SKILL")
    ] = None,
) -> Outcome:
    """Forecast the known past from several origins and score it beside simple baselines."""
    output, metrics = output or f"backtest.{form or 'csv'}", metrics or f"metrics.{form or 'csv'}"
    call.keep_stdout_for_json(output, metrics)
    settings = call.settings()
    from lstmcast.recipes.backtest import backtest as recipe

    return recipe(
        data,
        settings=settings,
        model=model,
        windows=windows,
        stride=stride,
        refit=refit,
        baselines=tuple(name.strip() for name in baselines.split(",") if name.strip()),
        output=output,
        metrics=metrics,
        format=form,
        safe_csv=safe_csv,
        fail_below_skill=fail_below_skill,
        on_progress=call.on_progress,
    )
