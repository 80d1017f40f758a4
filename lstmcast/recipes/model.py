"""``model``: what a model folder holds, whether it is whole, and bringing an older format to the present one."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lstmcast.artifact import FORMAT_VERSION, GATES, HISTORY, MANIFEST, METRICS, Model, load, save
from lstmcast.atomic import whole_folder
from lstmcast.data.panel import Panel, build
from lstmcast.errors import ModelError
from lstmcast.forecast.memory import Memory
from lstmcast.forecast.predict import forecast
from lstmcast.outcome import Outcome, Table

_ROWS = 3  # times what the network reads, of made-up history a self-test forecasts from


def show(folder: Path) -> Outcome:
    """The card of the model: what it reads, what it is, how good it was. Raises ``ModelError``."""
    model, manifest = load(folder), _manifest(folder)
    memory = _memory(model)
    schema, shape, summary = model.schema, model.architecture, model.summary
    verdict = summary.get("verdict") or {}
    rows: list[tuple[str, Any]] = [
        ("model", str(folder)),
        ("id", model.identity),
        ("format", f"{manifest['format_version']} (lstmcast {manifest['lstmcast_version']})"),
        ("trained on", ", ".join(model.sources)),
        ("series", len(model.trained_until)),
        ("rows", summary.get("rows")),
        ("trained until", schema.clock.format(np.array([max(model.trained_until.values())]))[0]),
        ("state carried until", schema.clock.format(memory.newest.max(keepdims=True))[0] if memory else None),
        ("time column", schema.time_col),
        ("id column", schema.id_col),
        ("targets", ", ".join(schema.targets)),
        ("known only up to now", ", ".join(schema.past)),
        ("known ahead", ", ".join(schema.known_ahead)),
        ("frequency", schema.frequency.name),
        ("season", summary.get("season")),
        ("network", f"{shape.layers}x{shape.hidden} {shape.cell}, {manifest['parameters']:,} parameters"),
        ("members", len(model.forecaster.architectures)),
        ("context", shape.context),
        ("horizon", shape.horizon),
        ("loss", shape.loss),
        ("seed", model.settings.training.seed),
        ("skill", verdict.get("skill")),
        ("held-out windows", verdict.get("windows")),
    ]
    shown = tuple((name, value) for name, value in rows if value not in (None, ""))
    card = tuple((name, f"{value:.3g}" if isinstance(value, float) else value) for name, value in shown)
    return Outcome(facts=dict(shown), table=Table("", ("what", "value"), card))


def verify(folder: Path) -> Outcome:
    """Check every hash and let the model forecast a made-up history: twice, with equal and usable results.

    Raises ``ModelError`` if the folder is not the one that was saved or the model does not forecast.
    """
    model = load(folder)
    _memory(model)
    _self_test(model, folder)
    facts = {"model": str(folder), "model_id": model.identity, "verified": True}
    return Outcome(facts=facts, lines=(f"{folder} is whole, and its model forecasts",))


def upgrade(folder: Path) -> Outcome:
    """Write the model again in the present format; the old folder stays until the new one has loaded.

    A stateful model keeps the newest state it carries.

    Raises ``ModelError`` for a folder that cannot be read, ``ResourceError`` for one that cannot be written.
    """
    model, before = load(folder), int(_manifest(folder)["format_version"])
    facts = {"model": str(folder), "from": before, "to": FORMAT_VERSION}
    if before == FORMAT_VERSION:
        return Outcome(facts=facts | {"noop": True}, lines=(f"{folder} has format {before} already: nothing to do",))
    here = whole_folder(folder)
    saved = save(
        model,
        folder,
        metrics=pd.read_csv(here / METRICS, dtype=str, keep_default_na=False),
        history=pd.read_csv(here / HISTORY, dtype=str, keep_default_na=False),
        gates=pd.read_csv(here / GATES, dtype=str, keep_default_na=False) if (here / GATES).is_file() else None,
        verify=lambda copy: _same(copy, model, folder),
    )
    line = f"{folder}: format {before} became {FORMAT_VERSION}"
    return Outcome(facts=facts | {"noop": False, "model_id": saved.identity}, lines=(line,))


def _memory(model: Model) -> Memory | None:
    """What a stateful model carries. Raises ``ModelError`` if it is not of its network."""
    return None if model.state is None else Memory.of(model.state, model.forecaster.initial_state)


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((whole_folder(folder) / MANIFEST).read_bytes())
    return manifest


def _self_test(model: Model, folder: Path) -> None:
    panel = _made_up(model)
    first, second = forecast(model.forecaster, panel), forecast(model.forecaster, panel)
    made = first.quantiles
    ordered = np.isclose(made.sum(-1), 1) if model.architecture.classes else np.diff(made, axis=-1) >= 0
    sound = bool(np.isfinite(made).all()) and bool(ordered.all())
    if not sound or not np.array_equal(first.quantiles, second.quantiles):
        raise ModelError(
            f"the model in {folder} does not forecast: its results are not finite, in order and repeatable",
            remedy="train it again; `lstmcast doctor` tells whether this machine computes well",
        )


def _same(copy: Model, model: Model, folder: Path) -> None:
    panel = _made_up(model)
    if not np.array_equal(forecast(copy.forecaster, panel).quantiles, forecast(model.forecaster, panel).quantiles):
        raise ModelError(f"the upgraded copy of {folder} forecasts otherwise", remedy="keep the folder as it is")


def _made_up(model: Model) -> Panel:
    """A wave on the model's own grid, long enough to forecast from, with what it needs to know ahead."""
    schema, shape = model.schema, model.architecture
    rows = _ROWS * model.forecaster.reach
    ahead = shape.horizon if schema.known_ahead else 0
    row = np.arange(rows + ahead)
    wave = 100 + 10 * np.sin(row / 3)
    if shape.classes:
        wave = (row % shape.classes).astype(np.float64)
    targets = np.repeat(np.where(row < rows, wave, np.nan)[:, None], shape.targets, axis=1)
    covariates = np.ones((len(row), len(schema.past) + len(schema.known_ahead)), dtype=np.float32)
    start = np.array([_start(model)], dtype=np.int64)
    times = schema.frequency.advance(np.repeat(start, len(row)), row.astype(np.int64))
    codes = np.zeros(len(row), dtype=np.int64)
    panel, _ = build(["self-test"], codes, times, targets=targets, covariates=covariates, schema=schema)
    return replace(panel, static=np.full((1, len(schema.static)), np.nan, np.float32))


def _start(model: Model) -> int:
    """A time on the model's grid: where its training ended; a plain day where it knows none."""
    known = list(model.trained_until.values())
    return int(known[0]) if known else int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()) * 10**9
