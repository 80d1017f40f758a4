"""``lstmcast init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcast.cli.options import COMPUTE, DETECTION, NETWORK, READER, TRAINING
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(
    READER,
    NETWORK,
    TRAINING,
    DETECTION.without("detection.budget"),
    COMPUTE,
    example="lstmcast init sales.csv --horizon 28",
)
def init(
    call: Call,
    data: Annotated[
        list[str] | None, typer.Argument(help="Data to look at; none: all keys commented out.", metavar="DATA")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the settings.", metavar="FILE")] = Path(
        "lstmcast.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> Outcome:
    """Write a commented lstmcast.yaml that holds what was inferred from the data and what the flags say.

    Training with it is the same as training with these flags.
    """
    flags = call.flags()
    from lstmcast.recipes.init import init as recipe
    from lstmcast.recipes.listing import choices

    return recipe(
        data or [], settings=flags, families=choices(), output=output, force=force, on_progress=call.on_progress
    )
