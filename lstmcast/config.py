"""Settings: frozen models, one line of meaning per field; ``None`` means "derived from the data by ``fit.plan``".

A settings file is YAML with the sections ``reader``, ``network``, ``training`` and ``detection``. The choices of the
families (cells, decoders, losses, ...) live in their own tables above this floor; whoever loads settings hands the
names in, so that an unknown one is refused at the door together with every other fault.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)


class Frozen(BaseModel):
    """A settings model: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _member(value: str, info: ValidationInfo) -> str:
    choices = (info.context or {}).get(info.field_name)
    if choices is not None and value not in choices:
        close = difflib.get_close_matches(value, list(choices), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(choices)}"
        raise ValueError(f"there is no {info.field_name} called {value!r}; {hint}")
    return value


FamilyName = Annotated[str, AfterValidator(_member)]
Levels = Annotated[tuple[Annotated[float, Field(gt=0, lt=100)], ...], Field(min_length=1)]


def _listed(value: Any) -> Any:
    """``auto`` and ``hour,weekday`` as lists; ``none`` as an empty one."""
    if isinstance(value, str):
        return [] if value == "none" else [part.strip() for part in value.split(",")]
    return value


Calendar = Annotated[tuple[Literal["auto", "hour", "weekday", "monthday", "month"], ...], BeforeValidator(_listed)]


def _as_written(value: Any) -> Any:
    """A time that YAML took for a date is the text again."""
    return str(value) if isinstance(value, dt.date) else value


class ReaderSettings(Frozen):
    """How the file is read. Whatever is None is inferred, announced and stored in the model's Schema."""

    time_col: str | None = Field(None, description="column that holds the time")
    id_col: str | None = Field(None, description="column that names the series")
    target: tuple[str, ...] = Field((), description="column(s) to forecast")
    classes: bool = Field(False, description="the target is a class, even where it looks like a number or yes and no")
    wide: bool = Field(False, description="every numeric column is a series of its own")
    freq: str | None = Field(None, description="pandas offset alias (h, D, MS, 15min), or an integer step")
    tz: str | None = Field(None, description="IANA zone of naive local times, such as Europe/Berlin")
    date_format: tuple[str, ...] = Field((), description="strptime format(s) of the time column")
    day_first: bool | None = Field(None, description="03/04 is 3 April (true) or March 4 (false)")
    epoch_unit: Literal["s", "ms", "us", "ns", "excel"] | None = Field(None, description="unit of numeric times")
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="field separator")
    decimal: Literal[".", ","] | None = Field(None, description="decimal mark")
    thousands: str | None = Field(None, max_length=1, description="thousands mark")
    encoding: str | None = Field(None, description="text encoding, such as cp1252")
    na_values: tuple[str, ...] = Field((), description="further spellings of a missing value")
    units: Literal["strip", "refuse"] = Field("strip", description="currency, per cent and brackets around numbers")
    skip_rows: int | None = Field(None, ge=0, description="lines to skip before the header")
    gaps: Literal["mask", "zero", "error"] = Field("mask", description="what absent rows mean")
    max_gap: int | None = Field(
        None, ge=0, description="longest run of absent rows bridged; beyond it the series splits"
    )
    duplicates: Literal["error", "sum", "mean", "first", "last"] = Field(
        "error", description="same time, several values"
    )
    resample: str | None = Field(None, description="gather rows into steps of this length")
    agg: Literal["mean", "sum", "last", "first"] = Field("mean", description="what a step of `resample` holds")
    drop_incomplete: bool = Field(True, description="leave out a last step of `resample` that is not over yet")
    since: Annotated[str | None, BeforeValidator(_as_written)] = Field(
        None, description="leave out rows before this time"
    )
    stale_after: int | None = Field(None, ge=1, description="rows after which a series that ended is stale")
    future_fill: Literal["none", "ffill"] = Field("none", description="future covariates that are missing")
    short: Literal["pad", "skip", "naive", "error"] = Field("pad", description="what to do with too short series")
    past: tuple[str, ...] | None = Field(None, description="covariates known only up to now (default: other columns)")
    future: tuple[str, ...] = Field((), description="covariates known ahead of time")
    static: tuple[str, ...] = Field(
        (), description="covariates that are the same in all rows of a series; the id column gives each a vector"
    )
    calendar: Calendar = Field(
        (),
        description="calendar covariates: hour, weekday, monthday, month; auto: those with two cycles in the data",
    )
    holidays: str | None = Field(
        None, description="country (DE) or part of one (DE-BY) whose public holidays are covariates"
    )
    parent: tuple[str, ...] = Field(
        (), description="column(s) that name what a series is part of: its parent, then the parent of that, and so on"
    )
    cache_above_mb: int = Field(
        1024, ge=0, description="megabytes of columns beyond which a plain file is kept in the cache; 0: never"
    )
    cache_gb: int = Field(20, ge=1, description="gigabytes that the cache of columns may take")
    query: str | None = Field(None, description="SQL that gives the rows, where the data are a database")
    query_param: Mapping[str, Annotated[str, BeforeValidator(str)]] = Field(
        {}, description="values of the :names in the query"
    )

    def asking_like(self, trained: ReaderSettings) -> ReaderSettings:
        """These settings with the query a model was trained on, unless they bring their own."""
        if self.query is not None or trained.query is None:
            return self
        return self.model_copy(update={"query": trained.query, "query_param": trained.query_param})


class NetworkSettings(Frozen):
    """The forecaster: what goes in, what comes out, and the network between them."""

    horizon: int | None = Field(None, ge=1, description="rows to forecast")
    context: int | None = Field(None, ge=1, description="rows the network looks back")
    cell: FamilyName = Field("lstm", description="recurrent cell; `lstmcast list cells`")
    hidden: int | None = Field(None, ge=1, le=4096, description="hidden units per layer")
    layers: int = Field(1, ge=1, le=16, description="stacked recurrent layers")
    bidirectional: bool = Field(False, description="read the context in both directions")
    residual: bool = Field(False, description="add each layer's input to its output")
    dropout: float | None = Field(None, ge=0, lt=1, description="dropout between layers and before the output")
    patch: int | None = Field(None, ge=1, description="rows per recurrent step; 1 is the textbook network")
    transform: FamilyName | None = Field(None, description="value transform; `lstmcast list transforms`")
    normaliser: FamilyName | None = Field(None, description="instance normalisation; `lstmcast list normalisers`")
    spread: Literal["deviation", "change", "history"] | None = Field(
        None, description="unit of a context: its deviation, twice its mean change, or the deviation of all rows so far"
    )
    base: FamilyName | None = Field(None, description="forecast the network corrects; `lstmcast list bases`")
    highway: bool | None = Field(None, description="linear path from the context to the horizon")
    history: int | None = Field(None, ge=0, description="rows before the context that only statistics read")
    deseasonalise: bool | None = Field(None, description="take the season out by indices of the history")
    correction: bool | None = Field(
        None, description="let the network do more than weigh the methods of a statistical base"
    )
    facts: bool | None = Field(None, description="tell every query about the history as a whole")
    error: Literal["normalised", "relative"] | None = Field(
        None, description="unit of the loss: the context's spread, or half sMAPE and half MASE"
    )
    blend: float | None = Field(None, ge=0, le=1, description="share of Theta and Holt in the forecast")
    decoder: FamilyName = Field("parallel", description="how the horizon is written; `lstmcast list decoders`")
    loss: FamilyName = Field("quantile", description="what is minimised; `lstmcast list losses`")
    encoder: Literal["stack", "tree", "hierarchy", "none"] = Field(
        "stack",
        description="recurrent layers, a binary tree over the window, recurrent layers joined along the hierarchy of "
        "series (see `parent`), or no encoder at all",
    )
    memory: int | None = Field(None, ge=1, le=8192, description="width of the cell `projected` (default 2·hidden)")
    heads: int | None = Field(None, ge=1, description="heads of the cell `slstm` (default 4 where they divide hidden)")
    form: Literal["product", "additive"] = Field("product", description="form of the cell `multiplicative`")
    forget_bias: Literal["one", "zero", "chrono"] = Field(
        "one", description="forget gates begin open, half open, or with memories of all lengths up to the context"
    )
    input_init: Literal["xavier", "uniform", "normal"] = Field(
        "xavier", description="first weights on inputs: Xavier, within ±1/√hidden, or normal with variance 1/hidden"
    )
    recurrent_init: Literal["orthogonal", "xavier", "uniform", "normal"] = Field(
        "orthogonal", description="first weights on h, gate by gate"
    )
    candidate_init: Literal["same", "normal"] = Field(
        "same", description="first weights of the candidate: as the others, or normal with variance 1/hidden"
    )
    depth_gate: bool = Field(False, description="the memory of each layer goes into that of the next through a gate")
    shared_layers: bool = Field(False, description="all layers have the same weights")
    checkpointing: bool = Field(False, description="less memory in training, some more time")
    variational: float = Field(0.0, ge=0, lt=1, description="dropout of inputs and h, one mask per sequence")
    weight_drop: float = Field(0.0, ge=0, lt=1, description="dropout of recurrent weights, one mask per batch")
    layer_drop: float = Field(0.0, ge=0, lt=1, description="share of steps that pass by a layer above the first")
    zoneout: float = Field(0.0, ge=0, lt=1, description="share of the state that stays as it was, step by step")
    attention: Literal["none", "additive", "dot"] = Field(
        "none", description="each step of the decoder looks back at all patches of the context"
    )
    levels: Levels = Field((80.0, 95.0), description="prediction intervals, in percent")
    minimum: float | None = Field(None, description="forecasts and intervals never go below")
    maximum: float | None = Field(None, description="forecasts and intervals never go above")
    integer: bool = Field(False, description="forecasts and intervals are whole numbers")
    coherent: Literal["mint", "bottom-up", "none"] | None = Field(
        None,
        description="how forecasts are made to add up along `parent`: by the accuracy of each series, from the leaves "
        "alone, or not (default mint where the history adds up)",
    )

    @model_validator(mode="after")
    def _bounds_in_order(self) -> NetworkSettings:
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is not below maximum {self.maximum:g}")
        low, high = self.minimum, self.maximum
        if self.integer and low is not None and high is not None and math.ceil(low) > math.floor(high):
            raise ValueError(
                f"there is no whole number between minimum {low:g} and maximum {high:g}; leave out integer"
            )
        return self


class TrainingSettings(Frozen):
    """The training loop."""

    stateful: bool = Field(False, description="carry the hidden state along each series instead of drawing windows")
    tbptt: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = Field(
        None, description="truncated BPTT (k1, k2): every k1 rows, gradients through the last k2 rows"
    )
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd"] = Field("adamw", description="update rule")
    learning_rate: float | None = Field(None, gt=0, le=1, description="peak learning rate")
    schedule: Literal["one-cycle", "cosine", "constant"] = Field("one-cycle", description="learning rate")
    weight_decay: float = Field(1e-4, ge=0, description="decoupled weight decay (adamw), L2 elsewhere")
    clip_norm: float | None = Field(1.0, gt=0, description="largest global gradient norm")
    clip_value: float | None = Field(None, gt=0, description="largest absolute gradient entry")
    teacher_forcing: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of its forecast that decoder recursive or seq2seq reads as it came true, at first",
    )
    teacher_decay: Literal["linear", "exponential", "sigmoid"] = Field(
        "linear", description="course in which teacher_forcing falls to nothing"
    )
    ema: float = Field(0.995, ge=0, lt=1, description="decay of the kept weight average; 0 keeps the last weights")
    batch: int | None = Field(None, ge=1, description="windows (or lanes) per step")
    epochs: float | None = Field(None, gt=0, description="passes over the training windows")
    max_steps: int | None = Field(None, ge=1, description="most optimiser steps")
    early_stop: int | None = Field(None, ge=1, description="evaluations without improvement before stopping")
    budget: Literal["fast", "auto", "best"] = Field(
        "auto", description="what training may take: 20 seconds, 2 minutes or 15 minutes"
    )
    members: int | None = Field(None, ge=1, le=20, description="networks whose forecasts are averaged")
    refit: bool = Field(True, description="train the final networks on the held-out rows too")
    shrink: bool | None = Field(
        None, description="draw the forecast towards the last value and the last season as held-out windows advise"
    )
    ablation: bool | None = Field(
        None,
        description="train the first network once without its recurrent encoder too, to tell what the encoder is worth "
        "(default: unless the budget is fast or has no time left)",
    )
    calibrate: bool = Field(True, description="correct the widths of intervals by held-out windows")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="seed of every random choice")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps")
    threads: int | None = Field(None, ge=1, description="CPU threads (default 1)")
    gate_steps: int | None = Field(
        None, ge=1, description="steps between two looks at the gates, kept in the model's gates.csv for `inspect`"
    )
    checkpoint_steps: int = Field(200, ge=1, description="steps between checkpoints and validations")


class DetectionSettings(Frozen):
    """When an error is an anomaly."""

    budget: str | None = Field(
        None,
        description="alarms a series may raise (default 1/month; 1/100rows if rarer, 1/1000rows if numbered)",
    )
    threshold: Annotated[float, Field(gt=0)] | Literal["fdr", "ndt", "labels"] | None = Field(
        None,
        description="fixed score threshold instead of the budget; fdr: by false discovery rate across series; ndt: "
        "dynamic threshold on errors; labels: best on the first half of --labels",
    )
    mode: Literal["offline", "online"] = Field(
        "offline", description="offline looks at the whole history, online shows only what was known at each row"
    )
    direction: Literal["both", "up", "down"] = Field("both", description="which side counts")
    min_deviation: float = Field(0.0, ge=0, description="smallest absolute error worth an alarm, in the target's units")
    min_duration: int = Field(1, ge=1, description="rows an event must last")
    merge_within: int | None = Field(None, ge=0, description="flags at most this many rows apart are one event")
    quiet_rows: int | None = Field(
        None, ge=1, description="rows in which what a new alarm must exceed halves (default half a day)"
    )
    warm_up: int | None = Field(
        None, ge=16, description="first rows, never flagged (default 15 %, at most 750; online two weeks, 150 to 750)"
    )
    fit: Literal["auto", "always", "never"] = Field(
        "auto", description="when the detector's own forecaster judges rows although there is a model"
    )


class Settings(Frozen):
    """Everything a settings file may say."""

    reader: ReaderSettings = ReaderSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    detection: DetectionSettings = DetectionSettings()
