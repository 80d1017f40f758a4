"""Rows laid on their grid, against the same thing written with plain loops."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcast.config import ReaderSettings
from lstmcast.data import counting
from lstmcast.data.calendar import Frequency
from lstmcast.data.clock import Clock
from lstmcast.data.dialect import Dialect
from lstmcast.data.id_column import separates
from lstmcast.data.panel import Panel, build
from lstmcast.data.reader import read
from lstmcast.data.schema import Schema

Row = tuple[int, int, float]
NAN = math.nan


def schema(**changes: object) -> Schema:
    plain = Schema(
        id_col="unique_id",
        targets=("y",),
        dialect=Dialect(),
        clock=Clock(kind="integer"),
        frequency=Frequency(kind="integer"),
        max_gap=2,
    )
    return plain.model_copy(update=changes)


def lay(rows: list[Row], *, known: list[float] | None = None, **changes: object) -> tuple[Panel, list[int]]:
    codes, times, values = (np.array(column) for column in zip(*rows, strict=True))
    names = [f"s{code}" for code in range(int(codes.max()) + 1)]
    covariates = np.zeros((len(rows), 0)) if known is None else np.array(known)[:, None]
    panel, place = build(
        names,
        codes,
        times,
        targets=values[:, None].astype(np.float64),
        covariates=covariates.astype(np.float32),
        schema=schema(**changes),
    )
    return panel, place.tolist()


def by_hand(rows: list[Row], max_gap: int) -> list[tuple[int, int, list[float]]]:
    """(series, start, values) of every segment."""
    segments: list[tuple[int, int, list[float]]] = []
    for code, time, value in rows:
        if math.isnan(value):
            continue
        if segments:
            last_code, start, values = segments[-1]
            gap = time - start - len(values)
            if last_code == code and gap <= max_gap:
                values += [NAN] * gap + [value]
                continue
        segments.append((code, time, [value]))
    return segments


@st.composite
def rows_of_series(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for code in range(draw(st.integers(1, 3))):
        times = sorted(draw(st.sets(st.integers(-3, 25), min_size=1, max_size=12)))
        values = draw(st.lists(st.sampled_from([1.0, 2.5, -3.0, NAN]), min_size=len(times), max_size=len(times)))
        values[draw(st.integers(0, len(times) - 1))] = 7.0
        rows += [(code, time, value) for time, value in zip(times, values, strict=True)]
    return rows


@given(rows_of_series(), st.integers(0, 6))
def test_a_panel_holds_what_loops_over_the_rows_would_give(rows: list[Row], max_gap: int) -> None:
    panel, place = lay(rows, max_gap=max_gap)
    expected = by_hand(rows, max_gap)
    assert [(int(s), int(t)) for s, t in zip(panel.series, panel.start, strict=True)] == [
        (s, t) for s, t, _ in expected
    ]
    flat = [value for _, _, values in expected for value in values]
    assert np.diff(panel.offsets).tolist() == [len(values) for _, _, values in expected]
    assert panel.ends.tolist() == panel.offsets[1:].tolist()
    assert panel.observed[:, 0].tolist() == [not math.isnan(value) for value in flat]
    assert panel.values[:, 0].tolist() == [0.0 if math.isnan(value) else value for value in flat]
    for (code, time, value), row in zip(rows, place, strict=True):
        if row >= 0:
            assert panel.times(np.array([row])).tolist() == [time]
            assert panel.ids[panel.series[np.searchsorted(panel.offsets, row, side="right") - 1]] == f"s{code}"
        else:
            assert math.isnan(value)


def test_the_last_segment_of_each_series_is_the_one_a_forecast_continues() -> None:
    panel, _ = lay([(0, 1, 1.0), (0, 9, 1.0), (1, 1, 1.0), (2, 1, 1.0), (2, 9, 1.0)])
    assert panel.series.tolist() == [0, 0, 1, 2, 2]
    assert panel.last_segment().tolist() == [1, 2, 4]


def test_the_future_block_reaches_to_the_last_covariate_known_ahead() -> None:
    rows = [(0, 1, 1.0), (0, 2, 2.0), (0, 3, NAN), (0, 5, NAN), (0, 6, NAN), (1, 1, 5.0), (1, 2, NAN)]
    panel, place = lay(rows, known=[0, 1, 2, 4, NAN, 5, 6], future=("x",))
    assert panel.offsets.tolist() == [0, 5, 7]
    assert panel.ends.tolist() == [2, 6]
    assert np.nan_to_num(panel.covariates[:, 0], nan=-1).tolist() == [0, 1, 2, -1, 4, 5, 6]
    assert place == [0, 1, 2, 4, -1, 5, 6]


def test_a_future_block_beyond_a_long_gap_is_left_out() -> None:
    panel, place = lay([(0, 1, 1.0), (0, 2, NAN), (0, 9, NAN), (0, 10, NAN)], known=[1, 2, 9, 10], future=("x",))
    assert (panel.ends.tolist(), panel.offsets.tolist()) == ([1], [0, 2])
    assert place == [0, 1, -1, -1]


def test_absent_rows_are_zero_on_request_but_missing_values_stay_missing() -> None:
    panel, _ = lay([(0, 1, 1.0), (0, 2, NAN), (0, 5, 9.0)], gaps="zero")
    assert panel.observed[:, 0].tolist() == [True, False, True, True, True]
    assert (panel.values + panel.shift)[panel.observed].tolist() == [1, 0, 0, 9]


@pytest.mark.parametrize("level", [0.0, 1e9, -1e12])
def test_a_level_that_dwarfs_the_spread_is_kept_apart(level: float) -> None:
    values = [level + step for step in (0.25, 0.5, 0.75, 1.0)]
    panel, _ = lay([(0, n, value) for n, value in enumerate(values)])
    back = panel.values[:, 0].astype(np.float64) + panel.shift[0, 0]
    assert back.tolist() == pytest.approx(values, abs=1e-3)
    assert (panel.shift[0, 0] == 0) == (level == 0)


def test_a_meter_that_counts_up_keeps_its_changes() -> None:
    values = [5e6 + 1.25 * step for step in range(20_000)]
    panel, _ = lay([(0, n, value) for n, value in enumerate(values)])
    back = panel.values[:, 0].astype(np.float64) + panel.shift[0, 0]
    assert np.abs(np.diff(back) - 1.25).max() < 0.01


def test_a_constant_series_is_exact() -> None:
    panel, _ = lay([(0, n, 123456789.123) for n in range(3)] + [(1, n, 0.5) for n in range(3)])
    assert (panel.values[:, 0].astype(np.float64) + panel.shift[[0, 0, 0, 1, 1, 1], 0]).tolist() == [
        *[123456789.123] * 3,
        *[0.5] * 3,
    ]
    assert panel.shift[1, 0] == 0


@pytest.mark.parametrize("gaps", ["mask", "zero"])
def test_rows_are_laid_alike_however_many_at_once(gaps: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    begin, lines = np.datetime64("2024-01-01"), ["shop,ds,y,promo"]
    for shop in range(30):
        steps = generator.choice([1, 1, 1, 2, 40], 60).cumsum() + shop
        lines += [
            f"s{shop},{begin + int(step)},{'' if step % 7 == 0 or number > 50 else step},{step % 3}"
            for number, step in enumerate(steps)
        ]
    path = tmp_path / "sparse.csv"
    path.write_text("\n".join(lines))
    settings = ReaderSettings(id_col="shop", target=("y",), future=("promo",), gaps=gaps)
    whole = read([str(path)], settings)
    monkeypatch.setattr(counting, "STRETCH", 11)
    parts = read([str(path)], settings)
    for name in ("series", "offsets", "ends", "start", "values", "observed", "covariates", "shift"):
        np.testing.assert_array_equal(getattr(parts.panel, name), getattr(whole.panel, name))
    np.testing.assert_array_equal(parts.panel_row, whole.panel_row)
    assert parts.findings == whole.findings
    assert len(whole.panel.series) > (30 if gaps == "mask" else 29)


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from([-(2**62), 0, 3, 6, 2**62]), st.integers(0, 1))),
    st.booleans(),
    st.booleans(),
)
def test_a_column_names_series_if_their_rows_have_times_of_their_own_but_for_repeated_rows(
    rows: list[tuple[str, int, int]], whole: bool, words: bool
) -> None:
    frame = pd.DataFrame(rows, columns=["shop", "ds", "y"]).astype({"ds": "int64"})
    frame["ds"] = frame["ds"] if whole else frame["ds"].astype(str)
    frame["shop"] = frame["shop"].astype("category" if words else object)
    apart = not frame.drop_duplicates().duplicated(["shop", "ds"]).any()
    assert separates(frame, "ds", "shop") == (apart and frame["shop"].nunique() < len(frame))
