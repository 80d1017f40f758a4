"""Ledger: what a model's data looked like, small enough to be kept, so that tomorrow's file is compared with it."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.calendar import Times
from lstmcast.data.counting import stretches
from lstmcast.data.findings import Finding
from lstmcast.data.rows import Rows
from lstmcast.data.schema import Ledger, Schema

MOST_BLOCKS = 4096
"""Checksums kept at most; with more rows, one of them covers several rows of a series."""

SCALED = 50.0
"""Times a column's usual size must have grown or shrunk to be told about."""


def ledger(rows: Rows, schema: Schema) -> Ledger:
    """The ledger of ``rows``: sorted, distinct, on their grid, every series with a value."""
    watched = min(len(rows.ids), MOST_BLOCKS)
    first = rows.first
    seen = rows.seen & (rows.codes < watched)
    size = max(1, -(-int(seen.sum()) // max(1, MOST_BLOCKS - watched)))
    start = rows.times[first[:watched]]
    keys, sums, counts = _blocks(rows, np.arange(len(rows.ids)), start, seen, schema, size)
    return Ledger(
        ids=rows.ids[:watched],
        start=tuple(start.tolist()),
        size=size,
        keys=_packed(keys.astype(np.int64)),
        sums=_packed(sums),
        counts=_packed(counts.astype(np.int64)),
        # the columns of a wide file are series of one target, as in the panel
        columns=(*(("y",) if schema.wide else schema.targets), *schema.past, *schema.future),
        sizes=tuple(_sizes(rows)),
    )


def compared(rows: Rows, schema: Schema) -> list[Finding]:
    """Past values that changed since training, and columns whose unit seems to have changed."""
    kept = schema.ledger
    return [] if kept is None else [*_restated(rows, schema, kept), *_rescaled(rows, kept)]


def _restated(rows: Rows, schema: Schema, kept: Ledger) -> list[Finding]:
    place = {name: index for index, name in enumerate(kept.ids)}
    known = np.array([place.get(name, -1) for name in rows.ids])
    if not (known >= 0).any():
        return []
    start = np.array(kept.start, np.int64)
    seen = rows.seen & (known[rows.codes] >= 0)
    keys, sums, counts = _blocks(rows, known, start, seen, schema, kept.size)
    before = dict(zip(_unpacked(kept.keys).tolist(), range(len(_unpacked(kept.keys))), strict=True))
    at = np.array([before.get(key, -1) for key in keys.tolist()], np.int64)
    common = np.flatnonzero(at >= 0)
    whole = _unpacked(kept.counts)[at[common]] == counts[common]
    # a block with more or fewer rows than before is one that has grown, or was cut off at the front
    differs = common[(_unpacked(kept.sums)[at[common]] != sums[common]) & whole]
    if not differs.size:
        return []
    series, block = np.divmod(keys[differs], np.int64(2**32))
    moment = schema.frequency.advance(start[series], block * kept.size)
    name, when = kept.ids[series[0]], schema.clock.format(moment)
    total = len(differs)
    what = f"past value{'s' if total > 1 else ''}" if kept.size == 1 else f"stretches of {kept.size} past values"
    return [
        Finding(
            "restated",
            "warning",
            f"{total} {what} changed since training (the first of series {name} at {when[0]})",
            unique_id=name,
            first_ds=when[0],
            last_ds=schema.clock.format(moment.max(keepdims=True))[0],
            count=total,
            fix="train again, if the new values are the right ones",
        )
    ]


def _rescaled(rows: Rows, kept: Ledger) -> list[Finding]:
    found = []
    for name, then, now in zip(kept.columns, kept.sizes, _sizes(rows), strict=False):
        if then > 0 and now > 0 and not 1 / SCALED < now / then < SCALED:
            factor = f"{now / then:.3g} times" if now > then else f"a {then / now:.3g}th of"
            found.append(
                Finding(
                    "scale-shift",
                    "warning",
                    f"column {name} is now {factor} what it was in training ({now:.3g}, was {then:.3g}); has its unit "
                    "changed?",
                    column=name,
                    fix="write the column in its old unit, or train again",
                )
            )
    return found


def _sizes(rows: Rows) -> list[float]:
    """The median size of each target and covariate where it is not zero; 0 where there is none."""
    sizes = []
    for column in (*rows.targets.T, *rows.covariates.T):
        parts = [column[part] for part in stretches(len(column))]
        total = sum(int((np.isfinite(part) & (part != 0)).sum()) for part in parts)
        every, skipped, chosen = max(1, total // 100_000), 0, []
        for part in parts:
            known = np.abs(part[np.isfinite(part) & (part != 0)])
            chosen.append(known[-skipped % every :: every])
            skipped += len(known)
        sizes.append(float(np.median(np.concatenate(chosen))) if total else 0.0)
    return sizes


def _blocks(
    rows: Rows, series: NDArray[np.int64], start: Times, seen: NDArray[np.bool_], schema: Schema, size: int
) -> tuple[Times, Times, Times]:
    """Of each block of ``size`` steps with a value: its key (series · 2^32 + block), checksum and number of values."""
    parts = []
    for part in stretches(len(seen)):
        at = np.flatnonzero(seen[part]) + part.start
        code = series[rows.codes[at]]
        step = schema.frequency.locate(start[code], rows.times[at])[0]
        late = step >= 0
        at, code, step = at[late], code[late], step[late]
        keys = code * np.int64(2**32) + step // size
        bits = np.where(np.isfinite(rows.targets[at]), rows.targets[at], -1.5e300) + 0.0
        mixed = (bits.view(np.int64) * np.int64(0x9E3779B97F4A7C1) ^ (bits.view(np.int64) >> 29)).sum(axis=1)
        parts.append(_summed(keys, mixed * (step % size * 2 + 1), np.ones(len(keys), np.int64)))
    return _summed(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _summed(keys: Times, sums: Times, counts: Times) -> tuple[Times, Times, Times]:
    """One entry for each run of equal ``keys``."""
    fresh = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if keys.size else np.zeros(0, np.int64)
    if not fresh.size:
        return fresh, fresh, fresh
    return keys[fresh], np.add.reduceat(sums, fresh), np.add.reduceat(counts, fresh)


def _packed(numbers: Times) -> str:
    return base64.b64encode(numbers.astype("<i8").tobytes()).decode()


def _unpacked(text: str) -> Times:
    return np.frombuffer(base64.b64decode(text), "<i8").astype(np.int64)
