"""Windows, lanes and splits: what the network may see, and in which order."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MakePanel, panel_of
from hypothesis import given
from hypothesis import strategies as st

from lstmcast.data.excerpt import excerpt, until
from lstmcast.data.moments import Moments, measure
from lstmcast.data.windows import Lanes, Sampler, Windows, deal, split, whole

NAN = float("nan")


def test_a_window_holds_the_rows_before_its_cutoff_and_the_targets_from_it(make_panel: MakePanel) -> None:
    panel = make_panel([range(10, 30)])
    batch = Windows(panel, context=4, horizon=3).gather(torch.tensor([7]))
    assert batch.context[0, :, 0].tolist() == [13, 14, 15, 16]
    assert batch.target[0, :, 0].tolist() == [17, 18, 19]
    assert batch.observed.all()
    assert batch.target_observed.all()


def test_what_lies_before_a_series_is_padding_and_never_its_neighbour(make_panel: MakePanel) -> None:
    panel = make_panel([[1.0] * 20, range(100, 120)])
    batch = Windows(panel, context=6, horizon=2).gather(torch.tensor([22]))
    assert batch.observed[0, :, 0].tolist() == [False, False, False, False, True, True]
    assert batch.context[0, :, 0].tolist() == [0, 0, 0, 0, 100, 101]
    assert batch.series.tolist() == [1]


def test_targets_after_the_end_of_a_series_are_not_those_of_the_next(make_panel: MakePanel) -> None:
    panel = make_panel([range(10), range(100, 110)])
    batch = Windows(panel, context=2, horizon=4).gather(torch.tensor([8]))
    assert batch.target_observed[0, :, 0].tolist() == [True, True, False, False]


def test_missing_values_are_masked_and_zero(make_panel: MakePanel) -> None:
    panel = make_panel([[1, NAN, 3, 4, 5, 6]])
    batch = Windows(panel, context=3, horizon=1).gather(torch.tensor([3]))
    assert batch.context[0, :, 0].tolist() == [1, 0, 3]
    assert batch.observed[0, :, 0].tolist() == [True, False, True]


def test_no_training_target_lies_at_or_after_a_validation_cutoff(make_panel: MakePanel) -> None:
    panel = make_panel([range(200), range(90), range(12)])
    parts = split(panel, context=24, horizon=5, folds=3, minimum=4)
    windows = Windows(panel, context=24, horizon=5)
    drawn = Sampler(panel, parts).draw(2000, torch.Generator().manual_seed(0))
    last_target = drawn + 4
    series = windows.gather(drawn).series
    for n in range(3):
        held = parts.validation[(parts.validation > panel.offsets[n]) & (parts.validation < panel.offsets[n + 1])]
        ends = held.min() if len(held) else panel.ends[n]
        assert int(last_target[series == n].max()) < ends


def test_held_out_targets_do_not_overlap_and_end_with_the_series(make_panel: MakePanel) -> None:
    panel = make_panel([range(100)])
    parts = split(panel, context=10, horizon=7, folds=3, minimum=2)
    assert parts.validation.tolist() == [79, 86, 93]
    assert parts.limit.tolist() == [79]


def test_a_series_too_short_to_hold_anything_out_trains_with_all_its_rows(make_panel: MakePanel) -> None:
    panel = make_panel([range(10)])
    parts = split(panel, context=10, horizon=4, folds=2, minimum=3)
    assert len(parts.validation) == 0
    assert parts.windows == 10 - 3 - 4 + 1  # the first third, 3 rows, is history


def test_the_sampler_gives_every_series_the_same_chance_whatever_its_length(make_panel: MakePanel) -> None:
    panel = make_panel([range(2000), range(60)])
    parts = split(panel, context=8, horizon=2, folds=1, minimum=2)
    drawn = Sampler(panel, parts).draw(4000, torch.Generator().manual_seed(1))
    share = float((drawn >= 2000).float().mean())
    assert 0.45 < share < 0.55


def test_every_training_window_can_be_drawn(make_panel: MakePanel) -> None:
    panel = make_panel([range(30), range(25)])
    parts = split(panel, context=8, horizon=2, folds=1, minimum=2)
    drawn = Sampler(panel, parts).draw(5000, torch.Generator().manual_seed(2))
    expected = [c for first, last in zip(parts.first, parts.last, strict=True) for c in range(first, last + 1)]
    assert sorted(set(drawn.tolist())) == expected


def test_a_long_gap_splits_a_series_and_no_window_crosses_it(make_panel: MakePanel) -> None:
    values = [*range(30), *[NAN] * 11, *range(50, 80)]
    panel = make_panel([values], max_gap=10)
    assert panel.series.tolist() == [0, 0]
    parts = split(panel, context=10, horizon=2, folds=1, minimum=2)
    drawn = Sampler(panel, parts).draw(1000, torch.Generator().manual_seed(3))
    batch = Windows(panel, context=10, horizon=2).gather(drawn)
    low, high = (
        torch.where(batch.observed, batch.context, 1e9).amin(1),
        torch.where(batch.observed, batch.context, 0).amax(1),
    )
    assert not ((low < 30) & (high >= 50)).any()


def test_lanes_visit_every_row_once_in_order_and_say_where_a_series_starts(make_panel: MakePanel) -> None:
    panel = make_panel([range(1, 30), range(101, 118), range(201, 206)])
    lanes = Lanes(panel, deal(panel, panel.ends, lanes=2, rows=6), rows=6, horizon=2)
    seen: list[list[float]] = [[], []]
    starts = [[], []]
    for index in range(lanes.chunks):
        chunk = lanes.chunk(index)
        for lane in range(2):
            rows = chunk.context[lane, chunk.observed[lane, :, 0], 0].tolist()
            if rows and bool(chunk.starts[lane]):
                starts[lane].append(rows[0])
            seen[lane] += rows
    assert sorted(seen[0] + seen[1]) == [*range(1, 30), *range(101, 118), *range(201, 206)]
    assert all(lane == sorted(lane) for lane in seen)
    assert sorted(starts[0] + starts[1]) == [1, 101, 201]


def test_one_long_series_is_cut_into_contiguous_shards(make_panel: MakePanel) -> None:
    panel = make_panel([range(1, 101)])
    lanes = Lanes(panel, deal(panel, panel.ends, lanes=4, rows=5), rows=5, horizon=1)
    assert (lanes.lanes, lanes.chunks) == (4, 5)
    assert lanes.chunk(0).context[:, 0, 0].tolist() == [1, 26, 51, 76]
    assert not lanes.chunk(1).starts.any()


def test_lane_targets_are_the_rows_after_each_row_and_cross_chunks(make_panel: MakePanel) -> None:
    panel = make_panel([range(1, 21)])
    lanes = Lanes(panel, whole(panel, np.array([0])), rows=5, horizon=2)
    chunk = lanes.chunk(0)
    assert chunk.target[0, -1, :, 0].tolist() == [6, 7]
    last = lanes.chunk(3)
    assert last.target_observed[0, :, :, 0].tolist() == [[True, True]] * 3 + [[True, False], [False, False]]


def test_training_lanes_never_show_a_target_from_after_the_limit(make_panel: MakePanel) -> None:
    panel = make_panel([range(1, 21)])
    lanes = Lanes(panel, deal(panel, np.array([12]), lanes=1, rows=5), rows=5, horizon=3)
    targets = [lanes.chunk(k) for k in range(lanes.chunks)]
    assert max(float((c.target * c.target_observed).max()) for c in targets) == 12


def test_the_panel_as_it_was_at_a_time_has_no_later_row(make_panel: MakePanel) -> None:
    panel = make_panel([range(1, 31), range(101, 111)])
    then = until(panel, 12)
    assert then.ends.tolist() == [12, 22]
    assert then.values[:, 0].tolist() == [*range(1, 13), *range(101, 111)]


def test_an_excerpt_leaves_out_series_without_rows_and_keeps_times(make_panel: MakePanel) -> None:
    panel = make_panel([range(1, 31), range(101, 111)])
    part = excerpt(panel, np.array([0, 34]), np.array([0, 40]))
    assert part.ids == ("s1",)
    assert part.start.tolist() == [5]
    assert part.values[:, 0].tolist() == [105, 106, 107, 108, 109, 110]


@given(st.integers(0, 60), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_a_tail_that_is_told_what_came_before_knows_the_scale_of_the_whole(
    cut: int, level: float, size: float, seed: int
) -> None:
    values = level + size * np.random.default_rng(seed).normal(size=90)
    values[5] = NAN
    two = [values, values[::-1] * 2]
    whole_panel = panel_of(two)
    rows = [np.asarray(each)[:cut, None] for each in two]
    stacked = np.concatenate(rows)
    known = measure(["s0", "s1"], np.repeat([0, 1], cut), np.nan_to_num(stacked), np.isfinite(stacked)) if cut else None
    panel = replace(panel_of([each[cut:] for each in two]), earlier=known)
    ends = [torch.tensor([p.ends[1], p.ends[0]]) for p in (whole_panel, panel)]
    far, near = (
        Windows(p, context=4, horizon=1, spread=True).gather(end).spread
        for p, end in zip((whole_panel, panel), ends, strict=True)
    )
    assert near is not None
    assert far is not None
    torch.testing.assert_close(near[:, 1], far[:, 1], rtol=1e-4, atol=1e-6 * size)
    means = [told[:, 0].numpy() + p.shift[[1, 0]] for told, p in ((near, panel), (far, whole_panel))]
    np.testing.assert_allclose(*means, rtol=1e-6, atol=1e-6 * size)


def test_moments_survive_json_and_know_nothing_of_other_series() -> None:
    known = measure(["a", "b"], np.array([0, 0, 1]), np.array([[0.1], [0.7], [1e9]]), np.ones((3, 1), bool))
    again = Moments.read(json.loads(json.dumps(known.plain()))).of(["b", "new", "a"])
    assert again.count.ravel().tolist() == [1, 0, 2]
    assert again.mean.ravel().tolist() == [1e9, 0, known.mean[0, 0]]
    assert again.squares.ravel().tolist() == [0, 0, pytest.approx(0.18)]


def test_the_spread_of_a_small_series_is_not_lost_beside_a_large_one() -> None:
    noise = np.random.default_rng(3).normal(size=(2, 200))
    panel = panel_of([1e7 * (20 + noise[0]), 3 + noise[1]])
    cutoffs = torch.tensor([200, 250, 400])
    told = Windows(panel, context=4, horizon=1, spread=True).gather(cutoffs).spread
    assert told is not None
    for at, rows in zip(told, (1e7 * (20 + noise[0]), 3 + noise[1, :50], 3 + noise[1]), strict=True):
        level = panel.shift[0, 0] if rows.max() > 1e6 else 0.0
        assert at[0, 0].item() == pytest.approx(rows.mean() - level, rel=1e-5)
        assert at[1, 0].item() == pytest.approx(rows.std(), rel=1e-4)
