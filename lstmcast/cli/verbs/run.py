"""``lstmcast run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(example="lstmcast run sales.yaml --log-format jsonl")
def run(
    call: Call,
    job: Annotated[Path, typer.Argument(help="The job file.", metavar="JOB.yaml")],
    lock_timeout: Annotated[
        float, typer.Option(min=0, help="Wait so long for another run of the job.", metavar="SECONDS")
    ] = 0,
    accept_older: Annotated[
        bool, typer.Option("--accept-older", help="Take input that ends before the last run's.")
    ] = False,
    fail_on_anomaly: Annotated[bool, typer.Option("--fail-on-anomaly", help="Exit 10 on a new event.")] = False,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit 1 if the skill has dropped.")] = False,
    print_schedule: Annotated[
        bool, typer.Option("--print-schedule", help="Print the crontab line and the systemd units; run nothing.")
    ] = False,
) -> Outcome:
    """Carry out a job once, as cron does: score the past, train where it is due, forecast, look for anomalies, publish.

    Everything is published together or nothing is. Input that has not changed is nothing to do.
    """
    from lstmcast.recipes.run import run as recipe

    return recipe(
        job,
        lock_timeout=lock_timeout,
        accept_older=accept_older,
        fail_on_anomaly=fail_on_anomaly,
        fail_on_drift=fail_on_drift,
        print_schedule=print_schedule,
        on_progress=call.on_progress,
    )
