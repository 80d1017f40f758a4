"""``lstmcast detect-anomalies``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lstmcast.cli.options import COMPUTE, DETECTION, NETWORK, READER, Form, MaybeData, MaybeModelFolder, Output, SafeCsv
from lstmcast.cli.verb import Call, verb
from lstmcast.outcome import Outcome

Severity = Literal["info", "warning", "critical"]
_WHEN = "Which rows and events are told"
_MORE = "What is known besides"
_ENDS = "Exit codes"


@verb(
    DETECTION,
    READER.without("reader.since"),
    NETWORK.only("network.cell", "network.hidden"),
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
    plot: Annotated[Path | None, typer.Option(help="Picture of the events (.png, .svg).", metavar="FILE")] = None,
    html: Annotated[Path | None, typer.Option(help="Page of the events (.html).", metavar="FILE")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on.", metavar="TIME", rich_help_panel=_WHEN)] = None,
    last: Annotated[
        str | None, typer.Option(help="The newest 36h, 7d, ...", metavar="SPAN", rich_help_panel=_WHEN)
    ] = None,
    new_only: Annotated[
        bool, typer.Option("--new-only", help="What no earlier run with --state told.", rich_help_panel=_WHEN)
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option(help="Why this event, or the row at this time.", metavar="EVENT_ID|TIME", rich_help_panel=_WHEN),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Continue from, and remember in, this folder.", metavar="FOLDER", rich_help_panel=_MORE),
    ] = None,
    ignore: Annotated[
        Path | None,
        typer.Option(help="start,end[,unique_id]: no alarms then.", metavar="CSV", rich_help_panel=_MORE),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="start,end[,unique_id] of incidents to score by.", metavar="CSV", rich_help_panel=_MORE),
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(help="Events with a column feedback, true or false.", metavar="EVENTS.csv", rich_help_panel=_MORE),
    ] = None,
    fail_on_anomaly: Annotated[
        Severity | None,
        typer.Option(
            "--fail-on-anomaly",
            help="Exit 10 if there is one of this level.",
            metavar="[info|warning|critical]",
            rich_help_panel=_ENDS,
        ),
    ] = None,
    fail_on_stale: Annotated[
        str | None,
        typer.Option(help="Exit 11 if the newest row is older than 2h, ...", metavar="SPAN", rich_help_panel=_ENDS),
    ] = None,
    exit_codes: Annotated[
        Literal["plain", "nagios"], typer.Option(help="As told by lstmcast --help, or 0 to 3.", rich_help_panel=_ENDS)
    ] = "plain",
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
        last=last,
        new_only=new_only,
        state=state,
        ignore=ignore,
        labels=labels,
        feedback=feedback,
        fail_on_anomaly=fail_on_anomaly,
        fail_on_stale=fail_on_stale,
        exit_codes=exit_codes,
        explain=explain,
        plot=plot,
        html=html,
        on_progress=call.on_progress,
    )
