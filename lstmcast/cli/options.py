"""Options: one row per flag, gathered in panels; the settings keys they fill are those of ``lstmcast.config``.

Nothing is converted here: a value travels as text to ``layers.resolve``, which checks all of them at once. ``None``
means that the flag was not given, so that the settings file and the defaults keep their say.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lstmcast import __version__

ReadValue = Callable[[str, Any], Mapping[str, Any]]


def _as_given(name: str, value: Any) -> Mapping[str, Any]:
    return {name: value}


def _comma_list(name: str, value: str) -> Mapping[str, Any]:
    return {name: [part.strip() for part in value.split(",")]}


def _k1_k2(name: str, value: str) -> Mapping[str, Any]:
    first, _, second = value.partition(",")
    return {name: [first.strip(), (second or first).strip()]}


def _clip(name: str, value: str) -> Mapping[str, Any]:
    kind, colon, limit = value.rpartition(":")
    if colon and kind == "value":
        return {"clip_norm": None, "clip_value": limit}
    return {name: None if value == "none" else value}


def _pairs(name: str, value: list[str]) -> Mapping[str, Any]:
    pairs = [part.partition("=") for part in value]
    return {name: {key.strip(): text for key, _, text in pairs} if all(equals for _, equals, _ in pairs) else value}


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag that fills the settings key ``section.name``; ``read`` turns its text into settings values."""

    key: str
    names: str
    help: str
    metavar: str | None = None
    kind: Any = str
    read: ReadValue = _as_given

    @property
    def parameter(self) -> str:
        return self.key.replace(".", "__")

    @property
    def spelling(self) -> str:
        """The name a message calls it by."""
        return self.names.partition("/")[0]

    def settings(self, value: Any) -> Mapping[str, Mapping[str, Any]]:
        """What the flag says, nested as in a settings file."""
        section, _, name = self.key.partition(".")
        return {section: self.read(name, value)}

    def declare(self, panel: str) -> inspect.Parameter:
        option = typer.Option(self.names, help=self.help, metavar=self.metavar, rich_help_panel=panel)
        return _parameter(self.parameter, self.kind | None, None, option)


@dataclass(frozen=True, slots=True)
class Panel:
    """Flags shown together in a verb's help."""

    title: str
    flags: tuple[Flag, ...]

    def without(self, *keys: str) -> Panel:
        return Panel(self.title, tuple(flag for flag in self.flags if flag.key not in keys))

    def only(self, *keys: str) -> Panel:
        return Panel(self.title, tuple(flag for flag in self.flags if flag.key in keys))


READER = Panel(
    "Reading the data (whatever is not given is inferred and announced)",
    (
        Flag("reader.time_col", "--time-col", "Column that holds the time.", "COLUMN"),
        Flag("reader.id_col", "--id-col", "Column that names the series.", "COLUMN"),
        Flag("reader.target", "--target", "Column to forecast; repeat it for several.", "COLUMN", list[str]),
        Flag(
            "reader.classes", "--classes/--no-classes", "The target is a class, even if written as a number.", kind=bool
        ),
        Flag("reader.wide", "--wide/--no-wide", "Every numeric column is a series of its own.", kind=bool),
        Flag("reader.freq", "--freq", "Step between rows: h, D, MS, 15min, or a whole number.", "STEP"),
        Flag("reader.tz", "--tz", "Zone of naive local times, such as Europe/Berlin.", "ZONE"),
        Flag(
            "reader.date_format",
            "--date-format",
            "strptime format of the time column; repeatable.",
            "FORMAT",
            list[str],
        ),
        Flag("reader.day_first", "--day-first/--no-day-first", "03/04 is 3 April, or March 4.", kind=bool),
        Flag("reader.epoch_unit", "--epoch-unit", "Unit of numeric times.", "s|ms|us|ns|excel"),
        Flag("reader.delimiter", "--delimiter", "Field separator.", "CHAR"),
        Flag("reader.decimal", "--decimal", "Decimal mark.", ".|,"),
        Flag("reader.thousands", "--thousands", "Thousands mark.", "CHAR"),
        Flag("reader.encoding", "--encoding", "Text encoding, such as cp1252.", "NAME"),
        Flag("reader.na_values", "--na-values", "One more spelling of a missing value; repeatable.", "TEXT", list[str]),
        Flag("reader.units", "--units", "Currency, per cent and brackets around numbers.", "strip|refuse"),
        Flag("reader.skip_rows", "--skip-rows", "Lines to skip before the header.", "N"),
        Flag("reader.gaps", "--gaps", "What absent rows mean.", "mask|zero|error"),
        Flag("reader.max_gap", "--max-gap", "Longest run of absent rows bridged; beyond it a series splits.", "ROWS"),
        Flag("reader.duplicates", "--duplicates", "Several values at one time.", "error|sum|mean|first|last"),
        Flag("reader.resample", "--resample", "Gather rows into steps of this length: 5min, h, D, W, MS.", "STEP"),
        Flag("reader.agg", "--agg", "What a step of --resample holds.", "mean|sum|last|first"),
        Flag(
            "reader.drop_incomplete",
            "--drop-incomplete/--no-drop-incomplete",
            "Leave out a last step of --resample that is not over yet.",
            kind=bool,
        ),
        Flag("reader.since", "--since", "Leave out rows before this time.", "TIME"),
        Flag("reader.stale_after", "--stale-after", "A series that ended this many rows ago is stale.", "ROWS"),
        Flag("reader.future_fill", "--future-fill", "Missing future covariates: carry the last ones on.", "none|ffill"),
        Flag("reader.short", "--short", "What to do with too short series.", "pad|skip|naive|error"),
        Flag("reader.past", "--past", "Covariate known only up to now; repeatable.", "COLUMN", list[str]),
        Flag("reader.future", "--future", "Covariate known ahead of time; repeatable.", "COLUMN", list[str]),
        Flag(
            "reader.static",
            "--static",
            "Covariate that is the same all along a series; repeatable.",
            "COLUMN",
            list[str],
        ),
        Flag(
            "reader.calendar",
            "--calendar",
            "Calendar covariates, or several with commas; auto: those that fit.",
            "auto|hour|weekday|monthday|month",
        ),
        Flag("reader.holidays", "--holidays", "Public holidays of this place: DE, US, DE-BY.", "COUNTRY"),
        Flag(
            "reader.parent",
            "--parent",
            "Column that names what a series is part of; repeat it for the levels above.",
            "COLUMN",
            list[str],
        ),
        Flag("reader.query", "--query", "SQL that gives the rows, if DATA is a database.", "SQL"),
        Flag(
            "reader.query_param",
            "--query-param",
            "Value of a :name in the query; repeatable.",
            "NAME=VALUE",
            list[str],
            read=_pairs,
        ),
    ),
)

NETWORK = Panel(
    "The network",
    (
        Flag("network.horizon", "--horizon", "Rows to forecast.", "ROWS"),
        Flag("network.context", "--context", "Rows the network looks back.", "ROWS"),
        Flag("network.cell", "--cell", "Recurrent cell; `lstmcast list cells`.", "NAME"),
        Flag("network.hidden", "--hidden", "Hidden units per layer.", "N"),
        Flag("network.layers", "--layers", "Stacked recurrent layers.", "N"),
        Flag("network.bidirectional", "--bidirectional/--no-bidirectional", "Read the context both ways.", kind=bool),
        Flag("network.residual", "--residual/--no-residual", "Add each layer's input to its output.", kind=bool),
        Flag("network.dropout", "--dropout", "Dropout between layers and before the output.", "FRACTION"),
        Flag("network.zoneout", "--zoneout", "Share of the state that stays as it was, step by step.", "FRACTION"),
        Flag("network.variational", "--variational", "Dropout with one mask per sequence.", "FRACTION"),
        Flag("network.weight_drop", "--weight-drop", "Dropout of recurrent weights.", "FRACTION"),
        Flag(
            "network.encoder",
            "--encoder",
            "Recurrent layers, a tree over the window or the series, or none.",
            "stack|tree|hierarchy|none",
        ),
        Flag("network.patch", "--patch", "Rows per recurrent step; 1 is the textbook network.", "ROWS"),
        Flag("network.transform", "--transform", "Value transform; `lstmcast list transforms`.", "NAME"),
        Flag("network.normaliser", "--normaliser", "Instance normalisation; `lstmcast list normalisers`.", "NAME"),
        Flag("network.base", "--base", "Forecast the network corrects; `lstmcast list bases`.", "NAME"),
        Flag("network.highway", "--highway/--no-highway", "Linear path from context to horizon.", kind=bool),
        Flag("network.decoder", "--decoder", "How the horizon is written; `lstmcast list decoders`.", "NAME"),
        Flag("network.attention", "--attention", "Let the decoder look back at the context.", "none|additive|dot"),
        Flag("network.loss", "--loss", "What is minimised; `lstmcast list losses`.", "NAME"),
        Flag("network.levels", "--levels", "Prediction intervals in percent.", "80,95", read=_comma_list),
        Flag("network.minimum", "--min", "Forecasts and intervals never go below.", "VALUE"),
        Flag("network.maximum", "--max", "Forecasts and intervals never go above.", "VALUE"),
        Flag("network.integer", "--integer/--no-integer", "Forecasts and intervals are whole numbers.", kind=bool),
        Flag("network.coherent", "--coherent", "How forecasts add up along --parent.", "mint|bottom-up|none"),
    ),
)

TRAINING = Panel(
    "Training",
    (
        Flag("training.stateful", "--stateful/--no-stateful", "Carry the state along each series.", kind=bool),
        Flag(
            "training.tbptt",
            "--tbptt",
            "Truncated BPTT: step every K1 rows, gradients through the last K2.",
            "K1[,K2]",
            read=_k1_k2,
        ),
        Flag("training.optimizer", "--optimizer", "Update rule.", "adamw|adam|rmsprop|sgd"),
        Flag("training.learning_rate", "--lr", "Peak learning rate.", "RATE"),
        Flag("training.schedule", "--schedule", "Course of the learning rate.", "one-cycle|cosine|constant"),
        Flag(
            "training.clip_norm",
            "--clip",
            "Largest gradient norm; value:0.5 clips entries instead, none does not clip.",
            "NORM",
            read=_clip,
        ),
        Flag("training.batch", "--batch", "Windows (or lanes) per step.", "N"),
        Flag("training.epochs", "--epochs", "Passes over the training windows.", "N"),
        Flag("training.max_steps", "--max-steps", "Most optimiser steps.", "N"),
        Flag("training.early_stop", "--early-stop", "Evaluations without improvement before stopping.", "N"),
        Flag("training.budget", "--budget", "Time training may take: 20 s, 2 or 15 minutes.", "fast|auto|best"),
        Flag("training.members", "--members", "Networks whose forecasts are averaged.", "N"),
    ),
)

DETECTION = Panel(
    "What counts as an anomaly",
    (
        Flag("detection.budget", "--budget", "Alarms a series may raise: 1/month, 3/week, 1/1000rows.", "COUNT/SPAN"),
        Flag(
            "detection.threshold",
            "--threshold",
            "Instead of the budget: a score, or fdr, ndt, labels (best on half of --labels).",
            "fdr|ndt|labels",
        ),
        Flag("detection.mode", "--mode", "Judge with hindsight, or as if live.", "offline|online"),
        Flag("detection.direction", "--direction", "Which side counts.", "both|up|down"),
        Flag("detection.min_deviation", "--min-deviation", "Smallest error worth an alarm, in units.", "VALUE"),
        Flag("detection.min_duration", "--min-duration", "Rows an event must last.", "ROWS"),
        Flag("detection.merge_within", "--merge-within", "Flags this close are one event.", "ROWS"),
        Flag("detection.quiet_rows", "--quiet-rows", "Rows in which the echo of an alarm halves.", "ROWS"),
        Flag("detection.warm_up", "--warmup", "First rows, learnt from and never flagged.", "ROWS"),
        Flag("detection.fit", "--fit", "With -m: when to use the detector's own forecaster.", "auto|always|never"),
    ),
)

COMPUTE = Panel(
    "The machine",
    (
        Flag("training.seed", "--seed", "Seed of every random choice.", "N"),
        Flag("training.device", "--device", "auto, cpu, cuda, cuda:1 or mps.", "NAME"),
        Flag("training.threads", "--threads", "CPU threads; 1 if not given.", "N"),
    ),
)

OPTIONAL_VALUES = {"--fail-on-anomaly": ("info", "warning", "critical")}
"""Options that may stand alone: they then mean the first of their values."""


def completed(arguments: list[str], taking: set[str]) -> list[str]:
    """``arguments`` with the value of each option that stands alone although it is one of those ``taking`` one."""
    whole: list[str] = []
    for place, word in enumerate(arguments):
        choices = OPTIONAL_VALUES.get(word) if word in taking else None
        alone = choices is not None and (place + 1 == len(arguments) or arguments[place + 1] not in choices)
        whole += [word, choices[0]] if choices is not None and alone else [word]
    return whole


_DATA = "CSV or Parquet files, folders of Parquet, globs, - for standard input, or a database URL with --query."
Data = Annotated[list[str], typer.Argument(help=_DATA, metavar="DATA")]
MaybeData = Annotated[
    list[str] | None, typer.Argument(help=f"{_DATA[:-1]}; none: what the model was trained on.", metavar="DATA")
]
Output = Annotated[
    str | None,
    typer.Option("-o", "--output", help="Where to write: a file, - for stdout, or URL::TABLE.", metavar="FILE"),
]
Form = Annotated[
    Literal["csv", "jsonl", "parquet"] | None,
    typer.Option("--format", help="Form of the output; else as its ending says, else CSV."),
]
SafeCsv = Annotated[
    bool, typer.Option("--safe-csv", help="A ' before texts that a spreadsheet would take for formulas.")
]
ModelFolder = Annotated[Path, typer.Option("-m", "--model", help="Model folder.", metavar="FOLDER")]
MaybeModelFolder = Annotated[
    Path | None, typer.Option("-m", "--model", help="Model folder; without DATA, lstmcast-model.", metavar="FOLDER")
]
MODEL_FOLDER = Path("lstmcast-model")


def _general(name: str, kind: Any, default: Any, *spellings: str, help: str, metavar: str | None = None) -> Any:  # noqa: A002
    option = typer.Option(*spellings, help=help, metavar=metavar, rich_help_panel="General")
    return _parameter(name, kind, default, option)


def _version(context: typer.Context, asked: bool) -> None:
    if asked:
        context.obj.text(f"lstmcast {__version__}")
        raise typer.Exit


ASSIGNMENTS = _parameter(
    "assignments",
    list[str] | None,
    None,
    typer.Option("--set", help="Any settings key: training.ema=0.99; repeatable.", metavar="SECTION.KEY=VALUE"),
)
CONFIG = _general(
    "config",
    Path | None,
    None,
    "--config",
    help="Settings file; else the nearest lstmcast.yaml up.",
    metavar="FILE",
)
GENERAL: tuple[inspect.Parameter, ...] = (
    _general("json", bool, False, "--json", help="One JSON document on stdout."),
    _general("quiet", bool, False, "-q", "--quiet", help="Only warnings and errors."),
    _general("verbose", bool, False, "-v", "--verbose", help="Also each stage as it ends."),
    _general("no_progress", bool, False, "--no-progress", help="No progress bar."),
    _general(
        "color",
        Literal["auto", "always", "never"] | None,
        None,
        "--color",
        help="auto: on a terminal without NO_COLOR.",
    ),
    _general("log_file", Path | None, None, "--log-file", help="Append all messages to this file.", metavar="FILE"),
    _general(
        "log_format",
        Literal["text", "jsonl"] | None,
        None,
        "--log-format",
        help="Form of the log file; of stderr without one.",
    ),
    _general("debug", bool, False, "--debug", help="Tracebacks of unexpected errors."),
    CONFIG,
)
VERSION = _parameter(
    "version", bool, False, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
)
