"""``check``: what was inferred from the data and what is wrong with them; on request a repaired copy of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.atomic import replace_file
from lstmcast.config import ReaderSettings
from lstmcast.data import styles, tabular
from lstmcast.data.calendar import DAY, to_wall
from lstmcast.data.clock import Clock
from lstmcast.data.decoding import decode
from lstmcast.data.dialect import Dialect
from lstmcast.data.findings import Finding, worst_first
from lstmcast.data.frame import load, split_header
from lstmcast.data.numbers import plain
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Examination, examine
from lstmcast.data.schema import Schema
from lstmcast.data.sources import Source, open_sources
from lstmcast.data.surroundings import footer, without_comments
from lstmcast.data.tabular import Typed
from lstmcast.data.writer import write_json
from lstmcast.errors import UsageError
from lstmcast.outcome import OnProgress, Outcome, Table, silent

SERIES_SHOWN = 8
SKETCH = 40
BARS = "▁▂▃▄▅▆▇█"


def check(
    sources: Sequence[str],
    *,
    settings: ReaderSettings,
    report: Path | None = None,
    fix: Path | None = None,
    strict: bool = False,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Read and judge ``sources``: exit code 1 if anything is wrong (with ``strict``: or worth a warning).

    ``report`` receives the facts as JSON, ``fix`` the data with UTF-8, commas, decimal points, ISO times, rows in order
    and repeated rows left out; no value is invented. Raises ``UsageError`` if ``fix`` would overwrite a source.
    """
    if fix is not None:
        _refuse_overwriting(sources, fix)
    reading = examine(sources, settings, on_progress=on_progress)
    findings = worst_first(reading.findings)
    wrong = {"error", "warning"} if strict else {"error"}
    ok = not any(finding.severity in wrong for finding in findings)
    lines = [] if reading.panel is None else _summary(reading.panel)
    lines.append(_verdict(findings))
    facts = _facts(reading, findings, ok=ok)
    if fix is not None:
        changes = _repair(sources, settings, reading.schema, fix)
        lines += changes
        facts["changes"] = changes
    if report is not None:
        write_json(facts, report)
    rows = tuple((finding.severity, finding.example_line, finding.message, finding.fix or "") for finding in findings)
    table = Table("findings", ("severity", "line", "finding", "what to do"), rows) if rows else None
    return Outcome(code=0 if ok else 1, facts=facts, lines=tuple(lines), table=table)


def _facts(reading: Examination, findings: Sequence[Finding], *, ok: bool) -> dict[str, Any]:
    panel, schema = reading.panel, reading.schema
    return {
        "ok": ok,
        "findings": [finding.facts() for finding in findings],
        "rows": reading.rows,
        "series": None if panel is None else len(panel.ids),
        "segments": None if panel is None else len(panel.series),
        "frequency": None if schema is None else schema.frequency.name,
        "schema": None if schema is None else schema.model_dump(mode="json"),
        "fingerprint": reading.fingerprint,
    }


def _verdict(findings: Sequence[Finding]) -> str:
    counts = Counter[str](finding.severity for finding in findings)
    named = {"error": "error", "warning": "warning", "info": "remark"}
    parts = [f"{counts[key]} {word}{'s' if counts[key] > 1 else ''}" for key, word in named.items() if counts[key]]
    return ", ".join(parts) if parts else "nothing to remark"


def _summary(panel: Panel) -> list[str]:
    """A line per series where there are few, else one for all."""
    clock = panel.schema.clock
    rows = np.add.reduceat(panel.ends - panel.offsets[:-1], np.searchsorted(panel.series, np.arange(len(panel.ids))))
    if len(panel.ids) > SERIES_SHOWN:
        return [
            f"{len(panel.ids)} series of {int(rows.min())} to {int(rows.max())} rows, {panel.schema.frequency.name}"
        ]
    begins = clock.format(panel.start[np.searchsorted(panel.series, np.arange(len(panel.ids)))])
    ends = clock.format(panel.times(panel.ends[panel.last_segment()] - 1))
    missing = np.add.reduceat(~panel.observed.any(axis=1), panel.offsets[:-1])
    gone = np.bincount(panel.series, missing - (np.diff(panel.offsets) - (panel.ends - panel.offsets[:-1])))
    segments = np.bincount(panel.series)
    return [
        f"{name}: {count} rows, {begin} to {end}"
        + (f", {int(lost)} missing" if lost else "")
        + (f", in {pieces} pieces" if pieces > 1 else "")
        + f"  {_sketch(panel, series)}"
        for series, (name, count, begin, end, lost, pieces) in enumerate(
            zip(panel.ids, rows.tolist(), begins, ends, gone, segments.tolist(), strict=True)
        )
    ]


def _sketch(panel: Panel, series: int) -> str:
    """A series in a few characters: its level over time, and a dot where nothing was observed."""
    segments = np.flatnonzero(panel.series == series)
    rows = np.concatenate([np.arange(panel.offsets[segment], panel.ends[segment]) for segment in segments])
    steps = panel.schema.frequency.locate(panel.start[segments[:1]], panel.times(rows))[0]
    width = int(min(SKETCH, steps[-1] + 1))
    seen = panel.observed[rows, 0]
    bucket = (steps * width // (steps[-1] + 1))[seen]
    count = np.bincount(bucket, minlength=width)
    level = np.bincount(bucket, panel.values[rows, 0][seen], minlength=width) / np.maximum(count, 1)
    low, high = level[count > 0].min(), level[count > 0].max()
    marks = ((level - low) / (high - low or 1) * (len(BARS) - 1)).round().clip(0, len(BARS) - 1).astype(int)
    return "".join(BARS[mark] if filled else "·" for mark, filled in zip(marks, count, strict=True))


def _refuse_overwriting(sources: Sequence[str], fix: Path) -> None:
    if "-" in sources:
        raise UsageError(
            "standard input can be read only once, so --fix needs a file", remedy="name the data by a path"
        )
    if any(Path(source).resolve() == fix.resolve() for source in sources):
        raise UsageError(f"--fix {fix} would overwrite the data", remedy="give the repaired copy another name")


def _repair(sources: Sequence[str], settings: ReaderSettings, schema: Schema | None, fix: Path) -> list[str]:
    """Write the repaired copy; what was changed, a sentence each."""
    if schema is None:
        return [f"{fix} was not written: the data cannot be read as far as that yet"]
    frame, lines, changes = _texts(sources, settings, schema)
    dialect, clock = schema.dialect, schema.clock
    repeated = frame.duplicated().to_numpy()
    frame, lines = frame[~repeated].reset_index(drop=True), lines[~repeated]
    changes += _count(repeated.sum(), "repeated row", "left out")
    for name in {*schema.targets, *schema.past, *schema.future, *schema.static} - set(schema.categories):
        given = frame[name].dropna().astype(str).str.strip()
        mended = plain(given, dialect).map(_divided)
        how = "as a share of 1" if name in dialect.percent else "with a decimal point only"
        changes += _count((mended != given).sum(), "number", f"of {name} written {how}")
        gone = mended.map(lambda cell: dialect.missing_as(cell) is not None).astype(bool)
        changes += _count(gone.sum(), "number", f"of {name} left empty (--na-values)")
        frame[name] = frame[name].astype(object)
        frame.loc[mended.index, name] = mended.mask(gone, np.nan)
    codes = pd.factorize(frame[schema.id_col])[0] if schema.id_col else np.zeros(len(frame), np.int64)
    if schema.time_col is not None:
        times = clock.parse(frame[schema.time_col].to_numpy(object), groups=codes, lines=lines, column=schema.time_col)
        if (style := _iso(times, clock)) is not None:
            changes.append(f"times are written like {style[0]}, not like {clock.format(times[:1])[0]}")
            frame[schema.time_col] = style
        order = np.lexsort((times, codes))
        moved = int((order != np.arange(len(order))).sum())
        changes += _count(moved, "row", "put in the order of series and time")
        frame = frame.iloc[order]
    with replace_file(fix) as file:
        frame.to_csv(file, index=False, lineterminator="\n")
    return [*(changes or ["nothing needed repair"]), f"wrote {fix}"]


def _texts(
    sources: Sequence[str], settings: ReaderSettings, schema: Schema
) -> tuple[pd.DataFrame, NDArray[np.int64], list[str]]:
    """All sources as text, the line of each row, and what the new file says by being written at all."""
    dialect = schema.dialect
    frames, lines, changes = [], [], _rewritten(dialect)
    numeric = {*schema.targets, *schema.past, *schema.future, *schema.static, schema.time_col}
    opened, _ = open_sources(sources, query=settings.query, parameters=settings.query_param)
    emptied: Counter[str] = Counter()
    for source in opened:
        frame, numbers, found, comments = _source_texts(source, schema, numeric, emptied)
        changes += _count(comments, "comment line", "left out")
        frames.append(
            frame if schema.id_col or len(opened) == 1 or schema.wide else frame.assign(unique_id=source.stem)
        )
        lines.append(numbers)
        changes += [finding.message for finding in found]
    listed = ", ".join(f"{count} {token!r}" for token, count in emptied.most_common(5))
    changes += _count(
        emptied.total(), "cell", f"that mean{'' if emptied.total() > 1 else 's'} missing left empty ({listed})"
    )
    return pd.concat(frames, ignore_index=True), np.concatenate(lines), changes


def _divided(number: str) -> str:
    """A number of per cent (``12e-2``) as a share of 1."""
    return format(Decimal(number), "f") if number.endswith("e-2") else number


def _source_texts(
    source: Source, schema: Schema, numeric: Collection[str | None], emptied: Counter[str]
) -> tuple[pd.DataFrame, NDArray[np.int64], list[Finding], int]:
    """The rows of a source as text without what stands below them, their lines, and how many lines were comments.

    ``emptied`` counts the spellings of missing values that are left out.
    """
    found: list[Finding] = []
    comments: list[int] = []
    if source.table is not None:
        frame = tabular.texts(Typed(source.table, schema.clock))
        lines = np.arange(1, len(frame) + 1)
    else:
        text, comments = without_comments(decode(source, schema.dialect.encoding)[0])
        body = split_header(text, schema.dialect, label=source.label)
        frame, lines, found = load(body, schema.dialect, label=source.label, as_text=(), whole_text=body.names)
        tokens = schema.dialect.tokens()
        for name in [name for name in body.names if name in numeric and name in frame]:
            bare = frame[name].str.strip()
            gone = bare.isin(tokens)
            emptied.update(bare[gone & (bare != "")])
            frame[name] = frame[name].mask(gone)
    below, told = footer(frame, lines, time=schema.time_col, label=source.label)
    rows = len(frame) - below
    return frame.iloc[:rows], lines[:rows], [*found, *told], len(comments)


def _rewritten(dialect: Dialect) -> list[str]:
    changes = []
    if dialect.encoding not in {"utf-8", "utf-8-sig"}:
        changes.append(f"UTF-8 instead of {dialect.encoding}")
    if dialect.delimiter != ",":
        changes.append(f"commas between cells instead of {dialect.delimiter!r}")
    if dialect.units_row:
        changes.append("the row of units left out" if dialect.units_row == 1 else "the rows of units left out")
    if dialect.skip_rows:
        changes.append(f"{dialect.skip_rows} lines above the header left out")
    if not dialect.header:
        changes.append(f"a header: {', '.join(dialect.names)}")
    return changes


def _iso(times: NDArray[np.int64], clock: Clock) -> list[str] | None:
    """The times in ISO style, or None where they are so already or count something."""
    if clock.kind != "datetime" or (clock.formats and clock.formats[0].startswith(("%Y-", "%G", "%YQ", "%Y Q"))):
        return None
    if clock.formats == ("%Y",):
        return None
    wall = to_wall(times, clock.tz)
    whole_days = clock.tz is None and not (wall % DAY).any()
    fraction = 9 if (wall % 1_000).any() else 6 if (wall % 1_000_000_000).any() else 0
    seconds = "%H:%M:%S" + (".%f" if fraction else "")
    style = "%Y-%m-%d" if whole_days else f"%Y-%m-%d {seconds}{'%:z' if clock.tz else ''}"
    return styles.write(wall, style, offsets=(wall - times) // 60_000_000_000, bare="", fraction=fraction)


def _count(number: int, thing: str, done: str) -> list[str]:
    return [f"{number} {thing}{'s' if number > 1 else ''} {done}"] if number else []
