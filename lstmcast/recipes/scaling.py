"""``compare --scaling``: what each cell costs on this machine, and how the cost grows. Reads no data."""

from __future__ import annotations

import pandas as pd

from lstmcast.data.writer import write_table
from lstmcast.errors import UsageError
from lstmcast.family import nearest
from lstmcast.fit import device
from lstmcast.net.cells import CELLS
from lstmcast.outcome import OnProgress, Outcome, Progress, Table, silent
from lstmcast.study.scaling import INPUTS, Law, Timing, fitted, measure, sizes


def scaling(
    *,
    cells: tuple[str, ...] = (),
    output: str = "scaling.csv",
    threads: int | None = None,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Time training steps of ``cells`` (default: all) at several sizes and fit seconds = k·T·B·(C²+CF) to them.

    Writes every timing beside the fitted one to ``output``. Raises ``UsageError`` for an unknown cell.
    """
    for name in cells:
        if name not in CELLS:
            raise UsageError(f"there is no cell called {name!r}", remedy=nearest(name, CELLS))
    device.use_threads(threads)
    names = tuple(dict.fromkeys(cells)) or tuple(CELLS)
    timings: list[Timing] = []
    laws: list[Law] = []
    done = 0
    for name in names:

        def one_more(name: str = name) -> None:
            nonlocal done
            done += 1
            on_progress(Progress("timing", done, len(names) * len(sizes()), name))

        own = measure(name, on_done=one_more)
        timings += own
        laws.append(fitted(own))
    write_table(_rows(timings, {law.cell: law for law in laws}), output)
    columns = ("cell", "k in ps", "deviation", "grows with T^", "C^", "B^")
    rows = tuple(
        (law.cell, _rounded(1e12 * law.k), _rounded(law.deviation), *(_rounded(p) for p in law.growth.values()))
        for law in sorted(laws, key=lambda law: law.k)
    )
    facts = [{"cell": law.cell, "k": law.k, "deviation": law.deviation, "growth": law.growth} for law in laws]
    lines = (f"seconds of a training step = k·T·B·(C²+CF), F = {INPUTS}", f"timings: {output}")
    return Outcome(facts={"inputs": INPUTS, "output": output, "cells": facts}, lines=lines,
                   table=Table("scaling", columns, rows))  # fmt: skip


def _rows(timings: list[Timing], laws: dict[str, Law]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"cell": t.cell, "T": t.T, "C": t.C, "B": t.B, "F": INPUTS, "seconds": t.seconds,
             "fitted": laws[t.cell].k * t.work, "deviation": t.seconds / (laws[t.cell].k * t.work) - 1}
            for t in timings
        ]
    )  # fmt: skip


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
