"""``lstmcast doctor``."""

from __future__ import annotations

from lstmcast.cli.verb import verb
from lstmcast.outcome import Outcome


@verb(example="lstmcast doctor")
def doctor() -> Outcome:
    """Show versions, devices and threads, and train a tiny network for a second to see that all is well."""
    from lstmcast.recipes.doctor import doctor as recipe

    return recipe()
