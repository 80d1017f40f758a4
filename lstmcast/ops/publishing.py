"""Publishing: every output of a night in its place, together, with a status that vouches for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from lstmcast import __version__
from lstmcast.artifact import CHECKPOINTS
from lstmcast.atomic import finish_together, replace_together, sweep, sweep_folder, whole_folder
from lstmcast.data.writer import write_frames, write_json, write_table
from lstmcast.errors import ResourceError, UsageError
from lstmcast.ops.job import Job

FORECASTS, ANOMALIES, EVENTS = "forecasts.csv", "anomalies.csv", "events.csv"  # in the night's own folder


def report_name(job: Job) -> str:
    """What the chart is called in the night's own folder."""
    return f"report{job.file.report.suffix}" if job.file.report else ""


def workplace(job: Job) -> Path:
    """The name the night's own folder is made from, beside the forecasts."""
    return job.forecasts.with_name(f"{job.name}.night")


def working_folder(job: Job) -> TemporaryDirectory[str]:
    """A folder for the night's own files, gone with the night. Raises ``ResourceError`` where it cannot be made."""
    place = workplace(job)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix=f".{place.name}.", suffix=".tmp", dir=place.parent)
    except OSError as error:
        raise ResourceError(
            f"{place.parent} cannot be written: {error.strerror}", remedy="name another place: predict.output"
        ) from error


def journal(job: Job) -> Path:
    """The list of renames a night is about to do."""
    return job.status.with_name(f".{job.name}.publishing")


def tidy(job: Job) -> bool:
    """Remove what a run that was killed left behind; finish its publishing, and say whether there was any to finish."""
    finished = finish_together(journal(job))
    for path in (*job.outputs().values(), journal(job), workplace(job), job.model, job.candidate):
        sweep(path)
    checkpoints = job.candidate / CHECKPOINTS
    for folder in (job.old_models, whole_folder(job.model), checkpoints, *checkpoints.glob("*/")):
        sweep_folder(folder)
    return finished


def refuse_a_foreign_status(job: Job) -> None:
    """Raises ``UsageError`` if the status file of the job is that of another, or no status file."""
    try:
        owner = json.loads(job.status.read_text("utf-8")).get("job") if job.status.exists() else job.name
    except (ValueError, AttributeError):
        owner = None
    if owner != job.name:
        raise UsageError(
            f"{job.status} belongs to {f'the job {owner!r}' if owner else 'something else'}",
            remedy="give this job a status file of its own: `status: FILE`",
        )


def publish(
    job: Job,
    work: Path,
    *,
    forecasts: Iterable[pd.DataFrame],
    series: pd.DataFrame,
    status: Mapping[str, Any],
    fingerprint: str,
) -> None:
    """Put what lies in ``work`` in its places, all of it or nothing; the status last, with the hash of each file.

    ``forecasts`` come in parts; ``series`` is the table of how each fared. Raises ``ResourceError``.
    """
    sidecar = json.loads((work / f"{FORECASTS}.meta.json").read_text("utf-8"))
    sidecar |= {"output": str(job.forecasts), "sources": job.sources, "fingerprint": fingerprint}
    write_json(sidecar, work / "sidecar.json")
    write_frames(forecasts, str(work / "published"), format=job.file.predict.format)
    write_table(series, str(work / "series.csv"))
    names = {
        "forecasts": "published",
        "sidecar": "sidecar.json",
        "anomalies": ANOMALIES,
        "events": EVENTS,
        "report": report_name(job),
        "series": "series.csv",
    }
    places = job.outputs()
    made = {places[key]: work / name for key, name in names.items() if key in places and (work / name).is_file()}
    digests = {str(path): _sha256(source) for path, source in made.items()}
    write_json({**status, "lstmcast_version": __version__, "sha256": digests}, work / "status.json")
    replace_together(made | {job.status: work / "status.json"}, journal=journal(job))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
