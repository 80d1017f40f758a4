"""Settings of every test run, and the one thing most tests of the hall need: a Panel made of arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import settings

from lstmcast.data.calendar import Frequency
from lstmcast.data.clock import Clock
from lstmcast.data.dialect import Dialect
from lstmcast.data.panel import Panel, build
from lstmcast.data.schema import Schema

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: workers side by side must not wait for each other
settings.register_profile("lstmcast", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("lstmcast")

MakePanel = Callable[..., Panel]


def panel_of(
    series: Sequence[Sequence[float]], *, covariates: Sequence[Sequence[float]] = (), max_gap: int = 10
) -> Panel:
    """Series s0, s1, ... on integer time from 1; NaN is a missing value. ``covariates``: one column for each series."""
    schema = Schema(
        time_col="ds",
        id_col="unique_id",
        targets=("y",),
        past=("x",) if len(covariates) else (),
        dialect=Dialect(),
        clock=Clock(kind="integer"),
        frequency=Frequency(kind="integer"),
        max_gap=max_gap,
    )
    lengths = [len(values) for values in series]
    column = np.concatenate([np.asarray(c, dtype=np.float32) for c in covariates])[:, None] if len(covariates) else None
    panel, _ = build(
        [f"s{n}" for n in range(len(series))],
        np.repeat(np.arange(len(series)), lengths),
        np.concatenate([np.arange(1, length + 1) for length in lengths]),
        targets=np.concatenate([np.asarray(values, dtype=np.float64) for values in series])[:, None],
        covariates=column if column is not None else np.empty((sum(lengths), 0), dtype=np.float32),
        schema=schema,
    )
    return panel


@pytest.fixture(scope="session")
def make_panel() -> MakePanel:
    return panel_of
