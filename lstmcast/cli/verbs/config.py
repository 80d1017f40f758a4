"""``lstmcast config``."""

from __future__ import annotations

from typing import Annotated, Literal

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
    example="lstmcast config show --horizon 24",
)
def config(
    call: Call,
    action: Annotated[
        Literal["show", "schema"], typer.Argument(help="What to do: show or schema.", metavar="show|schema")
    ],
) -> Outcome:
    """Show every setting with its value and where it comes from, or print the JSON Schema of settings files.

    Flags win over environment variables such as LSTMCAST_TRAINING__SEED, these over the file of --config (else
    LSTMCAST_CONFIG, else the nearest lstmcast.yaml upward), that over the user's own file, that over the defaults.
    """
    from lstmcast.recipes.config_show import schema, show
    from lstmcast.recipes.listing import choices

    if action == "schema":
        return schema(choices(), print_it=not call.wants_json)
    return show(call.layers(), choices())
