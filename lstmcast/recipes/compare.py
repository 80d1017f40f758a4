"""``compare``: several cells trained on equal footing, and what each of them costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lstmcast.config import Settings
from lstmcast.data.reader import read
from lstmcast.data.schema import require_numbers
from lstmcast.data.writer import write_table
from lstmcast.errors import StoppedError, UsageError
from lstmcast.fit import device
from lstmcast.fit.interrupt import polite_stop
from lstmcast.fit.plan import make
from lstmcast.net.cells import CELLS
from lstmcast.outcome import Notice, OnProgress, Outcome, Progress, Table, silent
from lstmcast.report.charts import check_suffix, save_chart
from lstmcast.report.comparison import comparison_chart
from lstmcast.study import COMPARATORS
from lstmcast.study.race import Candidate, Lap, candidates, configured, run

_COLUMNS = ("candidate", "MASE", "skill", "ms per step", "parameters", "MB kept per step", "loss", "note")
_MOST_STEPS = 300  # unless more are asked for: a dozen networks are to be done within minutes
_TAIL = 20  # steps whose mean is the final loss


def compare(
    sources: list[str],
    *,
    settings: Settings,
    cells: tuple[str, ...] = (),
    configs: Mapping[str, Settings] | None = None,
    seeds: int = 1,
    steps: int | None = None,
    output: str = "compare.csv",
    curves: str | None = None,
    chart: Path | None = None,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Train each of ``cells`` on the same windows for the same number of steps, and with them the settings ``configs``
    by name. Without either all cells and comparators take part.

    ``steps`` is as many as the plan has, but no more than would keep all of them waiting.
    Writes one row per candidate and seed to ``output``, the loss of every step to ``curves``, a ``chart``. A candidate
    the settings do not allow is listed with its reason. After a signal what was finished is written, then
    ``StoppedError`` raised. Raises ``UsageError`` when no candidate can take part.
    """
    if chart is not None:
        check_suffix(chart)
    device.use_threads(settings.training.threads)
    panel = read(sources, settings.reader, on_progress=on_progress).panel
    require_numbers(panel.schema, "compare")
    plan = make(panel, settings)
    everyone = () if configs else (*CELLS, *COMPARATORS)
    field = candidates(plan, tuple(dict.fromkeys(cells)) or everyone) + configured(plan, panel, configs or {})
    able = [candidate for candidate in field if not candidate.refusal]
    if not able:
        raise UsageError(
            "no candidate can take part: " + "; ".join(c.refusal for c in field), remedy="change --cells or --configs"
        )
    steps = steps or min(plan.steps, _MOST_STEPS)
    training, shape = plan.settings.training, plan.architecture
    on_progress(
        Notice(
            f"equal footing: horizon {shape.horizon}, context {shape.context}, patch {shape.patch}, {shape.layers}x"
            f"{shape.hidden}, {steps} steps of {training.batch}, {len(plan.split.validation)} held-out windows"
        )
    )
    laps: list[Lap] = []
    total = len(able) * seeds * steps
    with polite_stop() as stop:
        for candidate in able:
            for seed in range(training.seed, training.seed + seeds):
                before, label = len(laps) * steps, f"{candidate.name}, seed {seed}"

                def told(done: int, loss: float, before: int = before, label: str = label) -> None:
                    on_progress(Progress("comparing", before + done, total, f"{label}: loss {loss:.4f}"))

                if not stop.requested:
                    laps.append(run(candidate, panel, seed=seed, steps=steps, stop=stop, on_step=told))
    rows = _rows(field, laps)
    write_table(rows, output)
    if curves is not None:
        write_table(_curves(laps), curves)
    if chart is not None:
        save_chart(comparison_chart(rows, _curves(laps), naive=_naive(laps)), chart)
    if stop.requested:
        done = sum(not lap.stopped for lap in laps)
        raise StoppedError(
            f"stopped: {done} of {len(able) * seeds} runs are complete and written to {output}",
            remedy="run the command again, or with fewer --steps or --cells",
            signal_number=stop.requested,
        )
    table = _table(rows)
    facts = {"steps": steps, "seeds": seeds, "output": output, "seasonal_naive_mase": _naive(laps)}
    listed = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return Outcome(facts=facts | {"candidates": listed}, lines=_lines(laps, output, curves, chart), table=table)


def _rows(field: tuple[Candidate, ...], laps: list[Lap]) -> pd.DataFrame:
    """One row per candidate and seed; one per candidate that was refused."""
    records: list[dict[str, Any]] = []
    for candidate in field:
        if candidate.refusal:
            records.append({"candidate": candidate.name, "status": "refused", "note": candidate.refusal})
        records += [_record(lap) for lap in laps if lap.name == candidate.name]
    columns = ["candidate", "seed", "status", "mase", "skill", "seconds_per_step", "parameters", "bytes_kept",
               "steps", "loss", "note"]  # fmt: skip
    return pd.DataFrame(records).reindex(columns=columns).astype({"seed": "Int64", "parameters": "Int64",
                                                                  "bytes_kept": "Int64", "steps": "Int64"})  # fmt: skip


def _record(lap: Lap) -> dict[str, Any]:
    status = "diverged" if lap.diverged else "stopped" if lap.stopped else "ok"
    return {
        "candidate": lap.name,
        "seed": lap.seed,
        "status": status,
        "mase": lap.mase,
        "skill": 1 - lap.mase / lap.naive,
        "seconds_per_step": lap.seconds,
        "parameters": lap.parameters,
        "bytes_kept": lap.kept,
        "steps": len(lap.losses),
        "loss": float(np.mean(lap.losses[-_TAIL:])),
        "note": "" if status == "ok" else f"{status} at step {len(lap.losses)}",
    }


def _curves(laps: list[Lap]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"candidate": lap.name, "seed": lap.seed, "step": range(1, len(lap.losses) + 1)}).assign(
            loss=lap.losses
        )
        for lap in laps
    ]
    return pd.concat(parts, ignore_index=True)


def _naive(laps: list[Lap]) -> float:
    return next((lap.naive for lap in laps if np.isfinite(lap.naive)), float("nan"))


def _table(rows: pd.DataFrame) -> Table:
    """One line per candidate, seeds averaged, best first; those without a score at the end."""
    lines: list[tuple[float, tuple[Any, ...]]] = []
    for name, part in rows.groupby("candidate", sort=False):
        mean = part[["mase", "skill", "seconds_per_step", "parameters", "bytes_kept", "loss"]].astype(float).mean()
        note = "; ".join(dict.fromkeys(str(text) for text in part["note"] if text))
        known = int(mean["parameters"]) if np.isfinite(mean["parameters"]) else None
        figures = (mean["mase"], mean["skill"], 1e3 * mean["seconds_per_step"])
        shown = [_rounded(value) for value in figures]
        line = (name, *shown, known, _rounded(mean["bytes_kept"] / 1e6), _rounded(mean["loss"]), note)
        lines.append((float(mean["mase"]) if np.isfinite(mean["mase"]) else np.inf, line))
    lines.sort(key=lambda pair: pair[0])
    return Table("comparison", _COLUMNS, tuple(line for _, line in lines))


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _lines(laps: list[Lap], output: str, curves: str | None, chart: Path | None) -> tuple[str, ...]:
    told = [f"seasonal naive: MASE {_naive(laps):.3f}"] if np.isfinite(_naive(laps)) else ["nothing could be held out"]
    written = {"rows": output, "loss curves": curves, "chart": chart}
    told.append(", ".join(f"{kind}: {place}" for kind, place in written.items() if place is not None))
    return tuple(told)
