"""Job: what one scheduled batch reads, keeps and writes, from a YAML file; every fault of it is told at once."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from lstmcast.config import Frozen, Levels, Settings
from lstmcast.data.writer import Format
from lstmcast.errors import UsageError
from lstmcast.family import nearest
from lstmcast.layers import Choices, read_settings_file, resolve

_SPANS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)")
_SECTIONS = tuple(Settings.model_fields)


def _span(value: Any) -> Any:
    match = _SPAN.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("write a number and a unit, such as 90min, 36h, 7d or 2w")
    return dt.timedelta(seconds=float(match[1]) * _SPANS[match[2]])


def _share(value: Any) -> Any:
    text = str(value).strip()
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise ValueError("write a share such as 5% or 0.05") from error


def _limits(value: Any) -> Any:
    return {"when": value} if isinstance(value, str) else value


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Span = Annotated[dt.timedelta, BeforeValidator(_span)]
Share = Annotated[float, BeforeValidator(_share), Field(ge=0)]


class RetrainPolicy(Frozen):
    """When the model is trained again: never, always, or (auto) at these limits."""

    when: Literal["never", "always", "auto"] = "auto"
    max_age: Span = Field(dt.timedelta(days=7), description="auto: due when the last training is older")
    min_new_rows: Share = Field(0.05, description="auto: but only with this share of new rows since then")
    max_skill_drop: Share = Field(0.1, description="auto: also due when the skill fell by more than this")


class PredictPart(Frozen):
    """The forecasts of a job."""

    horizon: int | None = Field(None, ge=1, description="rows to forecast")
    levels: Levels | None = Field(None, description="prediction intervals, in percent")
    output: Path = Field(Path("forecasts.csv"), description="file of forecasts")
    format: Format = Field("csv", description="form of that file")


class DetectPart(Frozen):
    """The anomalies of a job."""

    budget: str | None = Field(None, description="alarms a series may raise, such as 1/week")
    output: Path = Field(Path("anomalies.csv"), description="file of scored rows")
    events: Path = Field(Path("events.csv"), description="file of events")


class JobFile(Frozen):
    """The keys of a job file beside the sections of the settings."""

    input: Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
    query: str | None = Field(None, description="SQL of a database input")
    model: Path = Field(Path("lstmcast-model"), description="model folder; trained when absent")
    retrain: Annotated[RetrainPolicy, BeforeValidator(_limits)] = RetrainPolicy()
    predict: PredictPart = PredictPart()
    detect: DetectPart | None = Field(None, description="left out: no anomalies are looked for")
    report: Path | None = Field(None, description="chart of the forecasts: .html, .png or .svg")
    store: str = Field("sqlite:///lstmcast.db", description="database of runs and forecasts")
    keep: int = Field(5, ge=0, description="old models kept")
    stale_after: Span | None = Field(None, description="exit 11 when the newest row is older")
    settle: Span = Field(dt.timedelta(seconds=2), description="time without a write after which an input is whole")
    status: Path | None = Field(None, description="status file; else status.json beside the forecasts")
    lock: Literal["system", "marker"] = Field("system", description="marker: for network file systems")


@dataclass(frozen=True, slots=True)
class Job:
    """A job file read: its ``name`` (the file's, without suffix), absolute paths, resolved settings.

    ``identity`` is a hash of everything that shapes the outputs: a changed job is not a no-op.
    """

    path: Path
    name: str
    file: JobFile
    settings: Settings
    given: Mapping[str, Any]
    identity: str

    def place(self, path: Path) -> Path:
        """A path of the job file: relative ones stand beside it, whatever folder cron starts in."""
        return (self.path.parent / path.expanduser()).absolute()

    @property
    def sources(self) -> list[str]:
        return [self._beside(s) if "://" in s else str(self.place(Path(s))) for s in self.file.input]

    @property
    def model(self) -> Path:
        return self.place(self.file.model)

    @property
    def candidate(self) -> Path:
        """Where a new model is trained, until it has proved itself."""
        return self.model.with_name(f".{self.model.name}.candidate")

    @property
    def old_models(self) -> Path:
        return self.model.with_name(f"{self.model.name}.old-models")

    @property
    def forecasts(self) -> Path:
        return self.place(self.file.predict.output)

    @property
    def missing_future(self) -> Path:
        """Where rows of the future are listed that the input lacks."""
        return self.forecasts.with_name(f"{self.name}.missing_future.csv")

    @property
    def status(self) -> Path:
        return self.place(self.file.status) if self.file.status else self.forecasts.with_name("status.json")

    @property
    def lock(self) -> Path:
        return self.path.with_name(f".{self.path.stem}.lock")

    @property
    def store(self) -> str:
        """The database URL."""
        return self._beside(self.file.store)

    def _beside(self, url: str) -> str:
        """A database URL; a relative SQLite file stands beside the job file."""
        name = url.removeprefix("sqlite:///")
        return f"sqlite:///{self.place(Path(name))}" if name != url and name else url

    def outputs(self) -> dict[str, Path]:
        """Every file the job publishes, by what it is; the status file comes last."""
        paths = {"forecasts": self.forecasts, "sidecar": Path(f"{self.forecasts}.meta.json")}
        if self.file.detect is not None:
            paths["anomalies"] = self.place(self.file.detect.output)
            paths["events"] = self.place(self.file.detect.events)
        if self.file.report is not None:
            paths["report"] = self.place(self.file.report)
        paths["series"] = self.status.with_suffix(".csv")
        return paths | {"status": self.status}


def read_job(path: Path, *, choices: Choices) -> Job:
    """The job in the YAML file ``path``. ``$NAME`` in ``input`` and ``store`` is taken from the environment.

    Raises ``UsageError`` that lists every fault.
    """
    written = dict(read_settings_file(path, what="job file", where="its name, and the folder you are in"))
    sections = {name: written.pop(name) for name in _SECTIONS if name in written}
    for key in ("input", "store"):
        written[key] = _from_environment(written[key]) if key in written else None
    faults: list[str] = []
    file = None
    try:
        file = JobFile.model_validate({key: value for key, value in written.items() if value is not None})
    except ValidationError as error:
        faults += [_sentence(fault, path) for fault in error.errors()]
    settings = Settings()
    try:
        settings = resolve([(path.name, sections), (path.name, _parts(file))], choices=choices)
    except UsageError as error:
        faults += error.message.splitlines()
    if file is not None:
        faults += _clashes(file, path)
    if faults or file is None:
        raise UsageError("\n".join(faults), remedy=f"correct {path}; docs/scheduling.md explains every key")
    digest = hashlib.sha256(f"{file.model_dump_json()} {settings.model_dump_json()}".encode()).hexdigest()
    path = path.absolute()
    return Job(path=path, name=path.stem, file=file, settings=settings, given=sections, identity=digest)


def _parts(file: JobFile | None) -> dict[str, dict[str, Any]]:
    """What the job's own keys say in the words of the settings."""
    if file is None:
        return {}
    said: dict[str, dict[str, Any]] = {
        "reader": {"query": file.query},
        "network": {"horizon": file.predict.horizon, "levels": file.predict.levels},
        "detection": {"budget": file.detect.budget if file.detect else None},
    }
    return {name: {k: v for k, v in values.items() if v is not None} for name, values in said.items()}


def _from_environment(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_environment(item) for item in value]
    return os.path.expandvars(value) if isinstance(value, str) else value


def _clashes(file: JobFile, path: Path) -> list[str]:
    job = Job(path=path.absolute(), name=path.stem, file=file, settings=Settings(), given={}, identity="")
    outputs, faults = list(job.outputs().values()), []
    for output in dict.fromkeys(outputs):
        if outputs.count(output) > 1:
            faults.append(f"{path.name}: two outputs would be written to {output}")
        if str(output) in job.sources:
            faults.append(f"{path.name}: {output} is an input and an output")
    if "-" in file.input:
        faults.append(f"{path.name}: input: a job cannot read standard input")
    return faults


def _sentence(fault: Any, path: Path) -> str:
    place = [str(part) for part in fault["loc"]]
    key = ".".join(place)
    if fault["type"] == "extra_forbidden":
        parts: dict[str, type[Frozen]] = {"retrain": RetrainPolicy, "predict": PredictPart, "detect": DetectPart}
        known = list(parts[place[0]].model_fields) if len(place) > 1 else [*JobFile.model_fields, *_SECTIONS]
        return f"{path.name}: unknown key {key!r}; {nearest(place[-1], known)}"
    if fault["type"] == "missing":
        return f"{path.name}: {key}: is missing"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{path.name}: {key}: {message[:1].lower()}{message[1:]} (got {fault['input']!r})"
