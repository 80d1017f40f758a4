"""``lstmcast compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcast.cli.options import COMPUTE, NETWORK, READER, TRAINING, Data, Output
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome

_TRAINING = TRAINING.without("training.epochs", "training.max_steps", "training.early_stop")


@verb(
    READER, NETWORK.without("network.cell"), _TRAINING, COMPUTE,
    example="lstmcast compare sales.csv --cells lstm,gru,linear --seeds 3 --plot compare.html",
)  # fmt: skip
def compare(
    call: Call,
    data: Data,
    cells: Annotated[
        str, typer.Option(help="Cells and comparators; all if not given. `lstmcast list`.", metavar="A,B")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each, from --seed upwards.", metavar="N")] = 1,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps of each; as planned if not given.", metavar="N")
    ] = None,
    output: Output = None,
    curves: Annotated[str | None, typer.Option(help="Also write the loss of every step.", metavar="FILE")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw a chart: .html, .png or .svg.", metavar="FILE")] = None,
) -> Outcome:
    """Train several cells on the same windows for the same number of steps, and weigh accuracy against cost."""
    output = output or "compare.csv"
    call.keep_stdout_for_json(output, curves or "")
    settings = call.settings()
    from lstmcast.recipes.compare import compare as recipe

    return recipe(
        data,
        settings=settings,
        cells=tuple(name.strip() for name in cells.split(",") if name.strip()),
        seeds=seeds,
        steps=steps,
        output=output,
        curves=curves,
        chart=plot,
        on_progress=call.on_progress,
    )
