"""``lstmcast model``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lstmcast.cli.options import MODEL_FOLDER
from lstmcast.cli.verb import verb
from lstmcast.outcome import Outcome


@verb(example="lstmcast model verify lstmcast-model")
def model(
    action: Annotated[
        Literal["show", "verify", "upgrade"], typer.Argument(help="What to do.", metavar="show|verify|upgrade")
    ],
    folder: Annotated[Path, typer.Argument(help="Model folder.", metavar="FOLDER")] = MODEL_FOLDER,
) -> Outcome:
    """show what a model is, verify its files and let it forecast, or upgrade it to the present format."""
    from lstmcast.recipes import model as recipe

    return {"show": recipe.show, "verify": recipe.verify, "upgrade": recipe.upgrade}[action](folder)
