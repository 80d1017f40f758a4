"""Wishes: what is asked of a run besides the settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lstmcast.anomaly.events import Severity
from lstmcast.config import DetectionSettings, Settings
from lstmcast.data.moments import Moments
from lstmcast.data.writer import STDOUT, Format
from lstmcast.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked of a run besides the settings; each is an option of the verb, but ``earlier``: what is known of
    rows before the data, where these are but the tail of a history."""

    model: Path | None = None
    output: str = "anomalies.csv"
    events: str = "events.csv"
    format: Format | None = None
    safe_csv: bool = False
    since: str | None = None
    last: str | None = None
    new_only: bool = False
    state: Path | None = None
    ignore: Path | None = None
    labels: Path | None = None
    feedback: Path | None = None
    fail_on_anomaly: Severity | None = None
    fail_on_stale: str | None = None
    exit_codes: Literal["plain", "nagios"] = "plain"
    explain: str | None = None
    plot: Path | None = None
    html: Path | None = None
    earlier: Moments | None = None


def refuse(detection: DetectionSettings, wishes: Wishes) -> None:
    """Raise ``UsageError`` for wishes that do not go together."""
    if detection.threshold == "labels" and wishes.labels is None:
        raise UsageError("--threshold labels needs incidents to learn from", remedy="name them: --labels INCIDENTS.csv")
    if wishes.new_only and wishes.state is None:
        raise UsageError("--new-only needs to know what was seen before", remedy="name a folder: --state FOLDER")
    if detection.threshold == "ndt" and (wishes.state is not None or detection.mode == "online"):
        raise UsageError("--threshold ndt looks at the whole history at once", remedy="leave it out for streams")
    if sum([wishes.since is not None, wishes.last is not None, wishes.new_only]) > 1:
        raise UsageError("--since, --last and --new-only exclude each other", remedy="choose one")


def digest(settings: Settings, wishes: Wishes) -> str:
    """What the outputs depend on besides the data, as a digest."""
    said = {
        "settings": settings.model_dump(mode="json"),
        "wishes": {key: str(value) for key, value in asdict(wishes).items() if key != "explain"},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def written(wishes: Wishes) -> bool:
    """Whether the files of the last run can stand."""
    if wishes.explain is not None or STDOUT in (wishes.output, wishes.events):
        return False
    files = [Path(wishes.output), Path(wishes.events), wishes.plot, wishes.html]
    return all(file is None or file.exists() for file in files)
