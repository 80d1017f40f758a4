"""``lstmcast compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcast.cli.options import COMPUTE, NETWORK, READER, TRAINING, Output
from lstmcast.cli.verb import Call, verb
from lstmcast.errors import UsageError
from lstmcast.outcome import Outcome

_TRAINING = TRAINING.without("training.epochs", "training.max_steps", "training.early_stop")


@verb(
    READER, NETWORK.without("network.cell"), _TRAINING, COMPUTE,
    example="lstmcast compare sales.csv --cells lstm,gru,linear --seeds 3 --plot compare.html",
)  # fmt: skip
def compare(
    call: Call,
    data: Annotated[
        list[str] | None, typer.Argument(help="CSV files, globs, or -; --scaling needs none.", metavar="DATA")
    ] = None,
    cells: Annotated[
        str, typer.Option(help="Cells and comparators; all if not given. `lstmcast list`.", metavar="A,B")
    ] = "",
    configs: Annotated[
        str, typer.Option(help="Settings files that take part, by the names of the files.", metavar="A.yaml,B.yaml")
    ] = "",
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Instead time each cell at several sizes, without data.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each, from --seed upwards.", metavar="N")] = 1,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Optimiser steps of each; as planned, at most 300.", metavar="N"),
    ] = None,
    output: Output = None,
    curves: Annotated[str | None, typer.Option(help="Also write the loss of every step.", metavar="FILE")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw a chart: .html, .png or .svg.", metavar="FILE")] = None,
) -> Outcome:
    """Train several cells, or several settings, on the same windows for the same number of steps, and weigh accuracy
    against cost."""
    output = output or ("scaling.csv" if scaling else "compare.csv")
    call.keep_stdout_for_json(output, curves or "")
    settings = call.settings()
    names = tuple(name.strip() for name in cells.split(",") if name.strip())
    if scaling:
        from lstmcast.recipes.scaling import scaling as timed

        return timed(cells=names, output=output, threads=settings.training.threads, on_progress=call.on_progress)
    if not data:
        raise UsageError("there is nothing to compare on", remedy="name the data: lstmcast compare DATA")
    files = [Path(name.strip()) for name in configs.split(",") if name.strip()]
    from lstmcast.recipes.compare import compare as recipe

    return recipe(
        data,
        settings=settings,
        cells=names,
        configs={file.stem: call.settings_of(file) for file in files},
        seeds=seeds,
        steps=steps,
        output=output,
        curves=curves,
        chart=plot,
        on_progress=call.on_progress,
    )
