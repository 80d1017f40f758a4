"""``lstmcast list``."""

from __future__ import annotations

from typing import Annotated

import typer

from lstmcast.cli.verb import verb
from lstmcast.outcome import Outcome


@verb(example="lstmcast list cells")
def list_members(
    family: Annotated[
        str | None, typer.Argument(help="cells, decoders, losses, ...; all if not given.", metavar="FAMILY")
    ] = None,
) -> Outcome:
    """List the cells, decoders, losses and every other choice by name, with one line on each."""
    from lstmcast.recipes.listing import list_members as recipe

    return recipe(family)
