"""Listen: one delivery of rows from reading to verdicts, with or without a state to continue from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.carried import Carried
from lstmcast.anomaly.history import Delivery, Merged, by_series, delivery, merge
from lstmcast.anomaly.lessons import FIRST_STEPS
from lstmcast.anomaly.remembering import most_rows
from lstmcast.anomaly.rhythm import Rhythm, rhythm
from lstmcast.anomaly.sequences import BACKS, LEVELS
from lstmcast.anomaly.state import State
from lstmcast.anomaly.tail import warm_up_rows
from lstmcast.anomaly.watch import UNTAUGHT, Channel, Memory, Plan, watch
from lstmcast.config import Settings
from lstmcast.data.excerpt import excerpt
from lstmcast.data.panel import Panel
from lstmcast.errors import TooShortError, UsageError
from lstmcast.fit.facts import measure
from lstmcast.outcome import Notice, OnProgress

if TYPE_CHECKING:
    from lstmcast.artifact import Model

_STREAM_WEEKS = 2
_STREAM_ROWS = (150, 750)
_STREAM_NUMBERED = 300
_HIDDEN = 32


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known after a delivery: ``channels`` of each of its series, all of them, and what is remembered.

    ``carried`` by a stateful model.
    """

    series: list[list[Channel]]
    names: tuple[str, ...]
    channels: list[Channel]
    rhythm: Rhythm
    plan: Plan
    memory: Memory
    carried: Carried | None = None


def listen(
    panel: Panel,
    settings: Settings,
    *,
    trained: Model | None,
    kept: State | None,
    tail: bool = False,
    carry: bool = False,
    on_progress: OnProgress,
) -> Heard:
    """Continue the histories that are known by the rows of ``panel``, and forecast each new row before looking at it.

    Rows later than the training of ``trained`` are forecast by it, unless ``detection.fit`` says always. ``tail`` tells
    that the panel is but the end of what was delivered, ``carry`` that there will be more of it. Raises ``UsageError``
    for fit never without a model, ``TooShortError`` when nothing can be judged.
    """
    fitting = settings.detection.fit
    if fitting == "never" and trained is None:
        raise UsageError("--fit never needs a model to judge with", remedy="name one with -m, or use --fit auto")
    came = _renamed(delivery(panel), kept)
    plan = kept.plan if kept else _plan(panel, came, settings)
    beat = kept.rhythm if kept else _rhythm(panel, plan.warm_up)
    memory = kept.memory if kept else UNTAUGHT
    merged = merge(kept.channels if kept else {}, came, open_from=_open_from(kept, beat))
    _tell_oddities(replace(merged, forgotten=0) if tail else merged, on_progress)
    fresh_to_model, alone = None, False
    carried = kept.carried if kept else None
    if trained is not None and fitting != "always":
        from lstmcast.anomaly.model_forecasts import unseen  # with torch
        from lstmcast.artifact import seen_until

        fresh_to_model = unseen(panel, trained)
        alone = fitting == "never" or not (memory.lessons or _any_seen(merged, seen_until(trained, panel), panel))
    if alone:
        silent_plan = Plan(warm_up=np.iinfo(np.int32).max)
        channels, _ = watch(merged.known, merged.fresh, beat, silent_plan, on_progress=on_progress)
    else:
        channels, memory = watch(
            merged.known, merged.fresh, beat, plan, memory, threads=settings.training.threads, on_progress=on_progress
        )
    if trained is not None and fresh_to_model is not None:
        channels, carried = _by_model(
            trained, panel, channels, merged, fresh_to_model, kept, settings, carry=carry, on_progress=on_progress
        )
    longest = max(len(channel.time) for channel in channels)
    judged = any(np.isfinite(channel.error).any() for channel in channels)
    if settings.detection.mode == "offline" and (not judged or (fresh_to_model is None and longest <= plan.warm_up)):
        raise TooShortError(
            f"the longest series has {longest} rows; more than the {plan.warm_up} of the warm-up are needed",
            remedy="give more history, or judge by a model trained on more of it: -m MODEL",
        )
    return Heard(by_series(came, channels), came.names, channels, beat, plan, memory, carried)


def _by_model(
    trained: Model,
    panel: Panel,
    channels: Sequence[Channel],
    merged: Merged,
    unseen: NDArray[np.bool_],
    kept: State | None,
    settings: Settings,
    *,
    carry: bool,
    on_progress: OnProgress,
) -> tuple[list[Channel], Carried | None]:
    """``channels`` judged by ``trained`` where it can, and what it carries to the next delivery, if it is stateful."""
    from lstmcast.anomaly.model_forecasts import forecast_by, judged_by
    from lstmcast.anomaly.streamed_forecasts import forecast_stream
    from lstmcast.artifact import seen_until
    from lstmcast.fit import device

    network = trained.forecaster.to(device.choose(settings.training.device))
    carried = None
    if trained.architecture.stateful:
        new, shared = _new(panel, merged, kept)
        told, carried = forecast_stream(
            network,
            panel,
            model=trained,
            unseen=unseen,
            new=new & unseen,
            shared=shared,
            carried=kept.carried if kept else None,
            carry=carry,
            on_progress=on_progress,
        )
    else:
        told = forecast_by(network, panel, unseen, on_progress=on_progress)
    by_model = _by_channel(told, panel, channels, merged)
    if kept is not None and not trained.architecture.stateful:
        _tell_unknown(by_model, merged, seen_until(trained, panel), panel, network.reach, on_progress)
    return judged_by(channels, by_model), carried


def stream_warm_up(rows_per_week: float | None) -> int:
    """Rows of the warm-up where the number of rows to come is not known: two weeks, within bounds."""
    if rows_per_week is None:
        return _STREAM_NUMBERED
    return int(np.clip(math.ceil(_STREAM_WEEKS * rows_per_week), *_STREAM_ROWS))


def _plan(panel: Panel, came: Delivery, settings: Settings) -> Plan:
    warm_up = settings.detection.warm_up
    if warm_up is None and settings.detection.mode == "online":
        warm_up = stream_warm_up(panel.schema.frequency.rows_per_week())
    if warm_up is None:
        warm_up = max(warm_up_rows(len(time)) for time, _ in came.rows)
    return Plan(
        warm_up=warm_up,
        cell=settings.network.cell,
        hidden=settings.network.hidden or _HIDDEN,
        steps=min(FIRST_STEPS, settings.training.max_steps or FIRST_STEPS),
        seed=settings.training.seed,
        most=most_rows(warm_up) if settings.detection.mode == "online" else None,
    )


def _rhythm(panel: Panel, warm_up: int) -> Rhythm:
    """The rhythm of the calendar; where it has none, the one found in the warm-up."""
    frequency = panel.schema.frequency
    if frequency.seasons():
        return rhythm(frequency)
    first = panel.offsets[:-1]
    return rhythm(frequency, found=measure(excerpt(panel, first, first + warm_up)).seasons)


def _open_from(kept: State | None, beat: Rhythm) -> Mapping[str, int]:
    """By channel, the time from which late and corrected rows are judged again: a day, within the newest lesson and
    within what is remembered whole."""
    if kept is None:
        return {}
    taught = kept.memory.ended + 1 if kept.memory.lessons else np.iinfo(np.int64).min
    return {
        name: max(
            taught,
            channel.forgotten.open_from,
            int(channel.time[-1]) - beat.day if len(channel.time) and kept.memory.lessons else taught,
        )
        for name, channel in kept.channels.items()
    }


def _renamed(came: Delivery, kept: State | None) -> Delivery:
    """A lone series without an id goes by its file's name, which may change: it is the same series."""
    if kept is None or kept.schema.id_col is not None or kept.schema.wide or len(came.names) != 1:
        return came
    alone = len(came.channels) == 1
    known = {name if alone else name.rpartition("/")[0] for name in kept.channels}
    if len(known) != 1:
        return came
    return Delivery((known.pop(),), came.channels, came.rows)


def _tell_oddities(merged: Merged, on_progress: OnProgress) -> None:
    told = []
    if merged.late:
        told.append(f"{merged.late} rows came late")
    if merged.corrected:
        told.append(f"{merged.corrected} rows were corrected")
    if told:
        left = f"; {merged.ignored} are too old to be judged again" if merged.ignored else ""
        on_progress(Notice(f"{' and '.join(told)}{left}", "warning"))
    if merged.truncated:
        on_progress(Notice("the data end before rows that were seen earlier: the file was truncated", "warning"))
    elif merged.forgotten:
        on_progress(Notice(f"the data begin later than before: {merged.forgotten} earlier rows are remembered"))


def _any_seen(merged: Merged, until: NDArray[np.int64], panel: Panel) -> bool:
    """Whether a row of these histories, known or new, is not later than the model's training: ``until`` (N,) times.

    It is asked of the histories, not of the delivery: rows that come in parts must find the same judges.
    """
    width = panel.values.shape[1]
    return any(
        bool((time <= until[number // width]).any())
        for number, (channel, (came, _)) in enumerate(zip(merged.known, merged.fresh, strict=True))
        if number < len(until) * width
        for time in (channel.time, came)
    )


def _tell_unknown(
    told: Sequence[NDArray[np.float64]],
    merged: Merged,
    until: NDArray[np.int64],
    panel: Panel,
    reach: int,
    on_progress: OnProgress,
) -> None:
    """New rows that the model has not seen and yet says nothing of, for want of rows before them in the delivery."""
    width = panel.values.shape[1]
    silent = 0
    for number, (came, _) in enumerate(merged.fresh[: len(until) * width]):
        said = told[number][len(merged.known[number].time) :, 0, 0]
        silent += int((np.isnan(said) & (came > until[number // width])).sum())
    if silent:
        on_progress(
            Notice(
                f"of {silent:,} new rows the model says nothing; it looks back on {reach} rows before them", "warning"
            )
        )


def _new(panel: Panel, merged: Merged, kept: State | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """bool (R,) the rows of the panel that are to be judged, and bool (N,) its series of which none is judged again."""
    width = panel.values.shape[1]
    count = len(panel.ids)
    first = [int(time[0]) if len(time) else np.iinfo(np.int64).max for time, _ in merged.fresh[: count * width]]
    before = kept.channels if kept else {}
    again = [
        name in before and len(before[name].time) > len(rest.time) for rest in merged.known for name in [rest.name]
    ]
    since = np.array(first, dtype=np.int64).reshape(count, width).min(axis=1)
    odd = np.array(again[: count * width], dtype=np.bool_).reshape(count, width).any(axis=1)
    times = panel.times(np.arange(len(panel.values)))
    return times >= np.repeat(since[panel.series], np.diff(panel.offsets)), np.logical_not(odd)


def _by_channel(
    told: NDArray[np.float64], panel: Panel, channels: Sequence[Channel], merged: Merged
) -> list[NDArray[np.float64]]:
    """The model's forecasts at the new rows of each channel, NaN elsewhere."""
    laid = []
    bounds = np.searchsorted(np.repeat(panel.series, np.diff(panel.offsets)), np.arange(len(panel.ids) + 1))
    width = panel.values.shape[1]
    for number, channel in enumerate(channels):
        table = np.full((len(channel.time), len(BACKS), len(LEVELS)), np.nan)
        n, d = divmod(number, width)
        if n < len(panel.ids):
            rows = bounds[n] + np.flatnonzero(panel.observed[bounds[n] : bounds[n + 1], d])
            new = np.arange(len(merged.known[number].time), len(channel.time))
            at = np.searchsorted(panel.times(rows), channel.time[new])
            table[new] = told[rows[np.minimum(at, len(rows) - 1)], :, d]
        laid.append(table)
    return laid
