"""``lstmcast detect-anomalies``."""

from __future__ import annotations

from typing import Annotated

import typer

from lstmcast.cli.options import COMPUTE, DETECTION, NETWORK, READER, Form, MaybeData, MaybeModelFolder, Output, SafeCsv
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome


@verb(
    DETECTION,
    READER.without("reader.since"),
    NETWORK.only("network.horizon", "network.context"),
    COMPUTE,
    example="lstmcast detect-anomalies sensors.csv --budget 1/week",
)
def detect_anomalies(
    call: Call,
    data: MaybeData = None,
    model: MaybeModelFolder = None,
    output: Output = None,
    events: Annotated[str | None, typer.Option(help="Where to write the events, a row each.", metavar="FILE")] = None,
    form: Form = None,
    safe_csv: SafeCsv = False,
    since: Annotated[str | None, typer.Option(help="Report from this time on.", metavar="TIME")] = None,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit 10 if an anomaly was found.")
    ] = False,
) -> Outcome:
    """Score every row, flag those that are not as expected, and group them into events."""
    output, events = output or f"anomalies.{form or 'csv'}", events or f"events.{form or 'csv'}"
    call.keep_stdout_for_json(output, events)
    settings = call.settings()
    from lstmcast.recipes.detect import detect_anomalies as recipe

    return recipe(
        data or [],
        settings=settings,
        model=call.model_for(model, data),
        output=output,
        events=events,
        format=form,
        safe_csv=safe_csv,
        since=since,
        fail_on_anomaly=fail_on_anomaly,
        on_progress=call.on_progress,
    )
