"""``inspect``: the parts of a saved model and their cost; with data, what its gates do and what it listens to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lstmcast.artifact import GATES, Model, load
from lstmcast.atomic import whole_folder
from lstmcast.config import ReaderSettings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.data.relatives import Relatives
from lstmcast.data.schema import require_numbers
from lstmcast.data.windows import Batch, Split, Windows, split
from lstmcast.data.writer import write_table
from lstmcast.errors import TooShortError, UsageError
from lstmcast.fit import device as devices
from lstmcast.forecast.backtest import scales, target_names
from lstmcast.forecast.standing import least_rows
from lstmcast.net.architecture import Architecture
from lstmcast.outcome import Notice, OnProgress, Outcome, Progress, Table, silent
from lstmcast.report.charts import check_suffix, save_chart
from lstmcast.report.inspection import anatomy_chart, inspection_chart
from lstmcast.study.anatomy import Part, anatomy
from lstmcast.study.figure import Figure, tidy
from lstmcast.study.gates import members, memory, observe, persistence, statistics
from lstmcast.study.influence import gradients, importance

_FOLDS = 4  # horizons at the end of each series that are looked at
_WINDOWS, _FEW = 256, 32  # windows that are looked at; those that are differentiated


def inspect(
    model: Path,
    sources: list[str],
    *,
    output: str | None = None,
    chart: Path | None = None,
    reader: ReaderSettings = ReaderSettings(),  # noqa: B008  # frozen
    device: str = "auto",
    threads: int | None = None,
    seed: int = 1,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Tell the parts of the model in the folder ``model``; with ``sources``, look into it on the last windows of these.

    Writes every figure to ``output`` and a ``chart`` where asked to. Raises ``ModelError``, ``DataError``,
    ``UsageError`` where ``model`` is a file, and ``TooShortError`` if no series has a window whose end is known.
    """
    if chart is not None:
        check_suffix(chart)
    if model.is_file():
        raise UsageError(
            f"{model} is a file, not a model folder", remedy=f"name the model first: lstmcast inspect MODEL {model}"
        )
    devices.use_threads(threads)
    trained = load(model)
    parts = [anatomy(network) for network in members(trained.forecaster)]
    figures = [figure for number, of in enumerate(parts, start=1) for figure in _anatomy_figures(number, of)]
    figures += _course(whole_folder(model) / GATES)
    facts: dict[str, Any] = {"members": [_anatomy_facts(of) for of in parts]}
    lines = [_size(parts)]
    table = _anatomy_table(parts)
    if sources:
        network_place = devices.choose(device)
        found, windows = _looked_into(trained, sources, reader, network_place, seed, on_progress)
        figures += found
        facts |= {"windows": windows, "figures": _plain(found)}
        lines += _findings(found, windows)
        table = _figures_table(found)
    frame = tidy(figures)
    if output is not None:
        write_table(frame, output)
    if chart is not None:
        save_chart(inspection_chart(frame) if sources else anatomy_chart(frame), chart)
    written = {"figures": output, "chart": chart}
    if told := ", ".join(f"{kind}: {place}" for kind, place in written.items() if place is not None):
        lines.append(told)
    if not sources:
        lines.append(f"with data it looks at gates and dependence: lstmcast inspect {model} DATA")
    return Outcome(facts=facts, lines=tuple(lines), table=table)


def _looked_into(
    trained: Model,
    sources: list[str],
    reader: ReaderSettings,
    place: torch.device,
    seed: int,
    on_progress: OnProgress,
) -> tuple[list[Figure], int]:
    """The figures on the data, and the number of windows they rest on."""
    require_numbers(trained.schema, "looking into forecasts with inspect")
    panel = read(sources, reader, schema=trained.schema, on_progress=on_progress).panel
    network = trained.forecaster.to(place)
    horizon = trained.architecture.horizon
    parts = _held_out(trained, panel)
    cutoffs = _spread(parts.validation, _WINDOWS)
    windows = Windows(panel, context=network.reach, horizon=horizon, spread=network.needs_spread)
    batch = _batch(windows, panel, cutoffs, trained.architecture).to(place)
    few = _batch(windows, panel, _spread(cutoffs, _FEW), trained.architecture).to(place)

    figures: list[Figure] = []
    for number, readings in enumerate(observe(network, batch), start=1):
        if not readings:
            on_progress(Notice(f"member {number} is no stack of cells: it has no gates along time to show"))
        patch = network.architectures[number - 1].patch
        figures += statistics(readings, member=number, patch=patch)
        figures += memory(readings, member=number, patch=patch, seed=seed)
        figures += persistence(readings, member=number, patch=patch, seed=seed)
    names = target_names(panel)
    figures += gradients(network, few, targets=names)
    unit, _ = scales(panel, parts.limit, season=int(trained.summary["season"]))
    covariates = (*panel.schema.past, *panel.schema.future)
    figures += importance(
        network,
        batch,
        unit,
        targets=names,
        covariates=covariates,
        seed=seed,
        on_done=lambda done, total: on_progress(Progress("shuffling", done, total)),
    )
    return figures, len(cutoffs)


def _course(recorded: Path) -> list[Figure]:
    """How the gates of the final networks moved in training, as far as ``recorded``."""
    if not recorded.is_file():
        return []
    rows = pd.read_csv(recorded)
    rows = rows[rows["stage"] == rows["stage"].iloc[-1]]
    return [
        Figure(int(row.member) + 1, str(row.part), str(row.gate), f"{measure} in training", value, step=int(row.step))
        for row in rows.itertuples()
        for measure, value in (("mean", float(row.mean)), ("spread", float(row.spread)))
    ]


def _batch(windows: Windows, panel: Panel, cutoffs: NDArray[np.int64], shape: Architecture) -> Batch:
    """The windows at ``cutoffs``, for a network that reads hierarchies together with those of all relatives."""
    if shape.encoder != "hierarchy":
        return windows.gather(torch.from_numpy(cutoffs))
    ((_, read),) = Relatives(panel).together(cutoffs, most=None)
    return windows.gather(torch.from_numpy(read.cutoffs), torch.from_numpy(read.parents))


def _held_out(trained: Model, panel: Panel) -> Split:
    """The last windows of each series, and the rows before them."""
    shape = trained.architecture
    minimum = least_rows(trained.forecaster, panel.schema.short)
    parts = split(panel, context=minimum, horizon=shape.horizon, folds=_FOLDS, minimum=minimum)
    if not len(parts.validation):
        longest = int((panel.ends - panel.offsets[:-1]).max())
        raise TooShortError(
            f"a window of {minimum} rows, one of {shape.horizon} to forecast and one to measure by do not fit into any "
            f"series: the longest stretch has {longest}",
            remedy="give more data, or leave the data out to see the parts of the model alone",
        )
    return parts


def _spread(cutoffs: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of them, evenly."""
    places = np.unique(np.linspace(0, len(cutoffs) - 1, min(most, len(cutoffs))).astype(int))
    return np.take(cutoffs, places)


def _anatomy_figures(member: int, parts: tuple[Part, ...]) -> list[Figure]:
    figures = []
    for part in parts:
        told = {
            "parameters": part.parameters,
            "parameters by formula": part.expected,
            "multiply-adds per step": part.multiply_adds,
            "steps": part.steps,
            "bytes of state": part.state_bytes,
        }
        figures += [
            Figure(member, part.name, part.kind, measure, float(value))
            for measure, value in told.items()
            if value is not None
        ]
    return figures


def _anatomy_facts(parts: tuple[Part, ...]) -> dict[str, Any]:
    named = ("name", "kind", "parameters", "formula", "expected", "multiply_adds", "steps", "state_bytes")
    return {
        "parameters": sum(part.parameters for part in parts),
        "multiply_adds_per_forecast": sum(part.multiply_adds * part.steps for part in parts),
        "state_bytes": sum(part.state_bytes for part in parts),
        "parts": [{name: getattr(part, name) for name in named} for part in parts],
    }


def _anatomy_table(members: list[tuple[Part, ...]]) -> Table:
    columns = ("member", "part", "kind", "parameters", "formula", "gives", "multiply-adds per step", "steps",
               "bytes of state")  # fmt: skip
    rows = tuple(
        (number, part.name, part.kind, part.parameters, part.formula, part.expected, part.multiply_adds, part.steps,
         part.state_bytes or None)
        for number, parts in enumerate(members, start=1)
        for part in parts
    )  # fmt: skip
    return Table("parts", columns, rows)


def _size(members: list[tuple[Part, ...]]) -> str:
    parameters = sum(part.parameters for parts in members for part in parts)
    adds = sum(part.multiply_adds * part.steps for parts in members for part in parts)
    many = f"{len(members)} members, " if len(members) > 1 else ""
    return f"{many}{parameters:,} parameters, {adds:,} multiply-adds for one forecast"


_SHOWN_LAGS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def _figures_table(figures: list[Figure]) -> Table:
    """What a person reads: gradients as their mean over the horizon, at lags that double."""
    frame = tidy(figures)
    felt = frame[frame["measure"] == "gradient"]
    mean = felt.groupby(["part", "subject", "measure", "lag"], sort=False)["value"].mean().reset_index()
    shown = pd.concat([frame[frame["measure"] != "gradient"], mean])
    first = shown.groupby(["member", "part", "subject", "measure"], dropna=False)["lag"].transform("min")
    kept = shown[shown["lag"].isna() | (shown["lag"] / first).isin(_SHOWN_LAGS)]
    columns = ("member", "part", "subject", "measure", "lag", "value")
    rows = [[_cell(value) for value in row] for row in kept[list(columns)].itertuples(index=False)]
    return Table("inspection", columns, tuple(map(tuple, rows)))


def _cell(value: Any) -> Any:
    if value is pd.NA or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _plain(figures: list[Figure]) -> list[dict[str, Any]]:
    names = ("member", "part", "subject", "measure", "lag", "step", "value")
    return [{name: _cell(getattr(figure, name)) for name in names} for figure in figures]


def _findings(figures: list[Figure], windows: int) -> list[str]:
    """What is worth a sentence."""
    frame = tidy(figures)
    told = [f"looked at {windows} windows, the last of each series"]
    newest = frame[(frame["measure"] == "gradient") & (frame["lag"] == 1)]
    deaf = sorted(set(newest.loc[~(newest["value"] > 0), "step"]))
    if deaf:
        told.append(f"these steps of the horizon do not depend on the last value: {', '.join(map(str, deaf))}")
    else:
        told.append("every step of the horizon depends on the last value")
    rise = frame[frame["measure"] == "importance"].nlargest(1, "value")
    plain = frame.loc[frame["measure"] == "MASE", "value"].iloc[0]
    for _, row in rise.iterrows():
        told.append(
            f"MASE {plain:.3f}; most is lost by shuffling {row['subject']} ({row['part']}): {row['value']:+.3f}"
        )
    return told
