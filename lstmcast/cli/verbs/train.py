"""``lstmcast train``."""

from __future__ import annotations

from typing import Annotated

import typer

from lstmcast.cli.options import COMPUTE, MODEL_FOLDER, NETWORK, READER, TRAINING, Data, ModelFolder
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(READER, NETWORK, TRAINING, COMPUTE, example="lstmcast train sales.csv --horizon 28")
def train(
    call: Call,
    data: Data,
    model: ModelFolder = MODEL_FOLDER,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and plan, train nothing.")] = False,
    explain_plan: Annotated[bool, typer.Option("--explain-plan", help="Say why each value was chosen.")] = False,
    min_skill: Annotated[
        float | None, typer.Option(help="Exit 1 if the skill against the naive forecast is lower.", metavar="SKILL")
    ] = None,
) -> Outcome:
    """Read the data, plan the network, fit it, test it on the last windows, and save it.

    Every guess about the file is announced and stored in the model, so that tomorrow's file is read the same way.
    """
    settings = call.settings()
    from lstmcast.recipes.train import train as recipe

    return recipe(
        data,
        settings=settings,
        model=model,
        resume=resume,
        dry_run=dry_run,
        explain_plan=explain_plan,
        min_skill=min_skill,
        on_progress=call.on_progress,
    )
