"""``lstmcast check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcast.cli.options import READER, Data
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(READER, example="lstmcast check sales.csv --fix repaired.csv")
def check(
    call: Call,
    data: Data,
    report: Annotated[Path | None, typer.Option(help="Write the findings to this JSON file.", metavar="FILE")] = None,
    fix: Annotated[Path | None, typer.Option(help="Write the repaired data to this CSV.", metavar="FILE")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
) -> Outcome:
    """Read the data, say what was inferred and what is wrong; train nothing.

    Exit code 1 if there is a finding of severity error.
    """
    settings = call.settings()
    from lstmcast.recipes.check import check as recipe

    return recipe(data, settings=settings.reader, report=report, fix=fix, strict=strict, on_progress=call.on_progress)
