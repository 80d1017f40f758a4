"""``history``: how good a job's forecasts turned out, night by night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lstmcast.errors import UsageError
from lstmcast.layers import Choices
from lstmcast.ops import store
from lstmcast.ops.job import read_job
from lstmcast.ops.scoring import coverage, skill_of
from lstmcast.outcome import Outcome, Table
from lstmcast.report.accuracy import accuracy_chart, spark
from lstmcast.report.charts import check_suffix, save_chart


def history(
    path: Path,
    *,
    choices: Choices,
    output: Path | None = None,
    nights: int | None = None,
    series: tuple[str, ...] = (),
) -> Outcome:
    """The accuracy of the job in ``path`` over its last ``nights``, from its store; ``output`` receives a chart.

    ``choices`` are the family names a job file may use. A night is one cutoff: errors are the means over its forecast
    rows whose actuals have arrived. Raises ``UsageError`` for a series the store does not know, and what opening the
    store raises.
    """
    if output is not None:
        check_suffix(output)
    job = read_job(path, choices=choices)
    with store.opened(job.store) as opened:
        runs = opened.list_runs(job.name)
        scored = opened.scored(job.name)
    if series:
        unknown = sorted(set(series) - set(scored["unique_id"]))
        if unknown:
            raise UsageError(f"no forecast of a series {unknown[0]!r} has been scored", remedy="leave out --series")
        scored = scored[scored["unique_id"].isin(series)]
    table = by_night(scored)
    if nights is not None:
        table = table.tail(nights)
    facts: dict[str, Any] = {
        "job": job.name,
        "runs": len(runs),
        "trainings": sum(run["trained_at"] is not None for run in runs),
        "exit_codes": [run["exit_code"] for run in runs],
        "nights": table.astype(object).where(table.notna(), None).to_dict("records"),
    }
    lines = [_told(job.name, facts)]
    if len(table):
        lines.append(f"skill    {spark(_known(table['skill']))}")
        lines.append(f"error    {spark(_known(table['mae']))}")
    if output is not None and len(table):
        save_chart(accuracy_chart(table, title=f"Accuracy of {job.name}"), output)
        lines.append(f"chart written to {output}")
    rows = tuple(tuple(_rounded(value) for value in row) for row in table.itertuples(index=False))
    return Outcome(facts=facts, lines=tuple(lines), table=Table("accuracy", tuple(table.columns), rows))


def by_night(scored: pd.DataFrame) -> pd.DataFrame:
    """One row a cutoff, in order: cutoff, scored, mae, baseline_mae, skill and the coverage of each level."""
    rows = []
    for _, night in scored.groupby("cutoff", sort=True):
        row: dict[str, Any] = {
            "cutoff": night["cutoff_text"].iloc[0],
            "scored": len(night),
            "mae": float(night["error"].abs().mean()),
            "baseline_mae": float(night["baseline_error"].abs().mean()),
            "skill": skill_of(night),
        }
        rows.append(row | {f"coverage-{level}": share for level, share in coverage(night).items()})
    return pd.DataFrame(rows, columns=None if rows else ["cutoff", "scored", "mae", "baseline_mae", "skill"])


def _told(name: str, facts: dict[str, Any]) -> str:
    nights = facts["nights"]
    if not nights:
        return f"{name}: {_many(facts['runs'], 'run')}, and no forecast has met its actuals yet"
    rows = sum(night["scored"] for night in nights)
    runs, trainings = _many(facts["runs"], "run"), _many(facts["trainings"], "training")
    return f"{name}: {runs}, {trainings}; {rows:,} forecast rows scored"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _known(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else float(value) for value in values]


def _rounded(value: Any) -> Any:
    if isinstance(value, str | int):
        return value
    return None if value is None or pd.isna(value) else float(f"{value:.5g}")
