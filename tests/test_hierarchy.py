"""Series that are part of each other: who is whose parent, sums, and forecasts that add up."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import panel_of

from lstmcast.artifact import CALIBRATION, MANIFEST, load, seal
from lstmcast.cli.app import run
from lstmcast.config import ReaderSettings
from lstmcast.data import roads
from lstmcast.data.findings import RefusedError
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading, read
from lstmcast.data.schema import Schema
from lstmcast.errors import ModelError, UsageError
from lstmcast.forecast.coherent import Forest
from lstmcast.forecast.reliability import Reliability

SHOPS = {"north": ["n1", "n2"], "south": ["s1", "s2", "s3"]}


def shops(rows: int = 60, *, seed: int = 0) -> pd.DataFrame:
    """One row per article and day, with shop and region; two articles in each of five shops."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2024-01-01", periods=rows).strftime("%Y-%m-%d")
    frames = [
        pd.DataFrame(
            {
                "article": f"{shop}-{article}",
                "shop": shop,
                "region": region,
                "ds": days,
                "y": (20 + 5 * np.sin(np.arange(rows) * 2 * np.pi / 7) + rng.normal(0, 2, rows)).round(1),
            }
        )
        for region, names in SHOPS.items()
        for shop in names
        for article in ("a", "b")
    ]
    return pd.concat(frames, ignore_index=True)


def read_frame(frame: pd.DataFrame, path: Path, *, schema: Schema | None = None, **settings: Any) -> Reading:
    file = path / "data.csv"
    frame.to_csv(file, index=False)
    wanted = {} if schema else {"id_col": "article", "parent": ("shop", "region")}
    return read([str(file)], ReaderSettings(**wanted | settings), schema=schema)


def values(panel: Panel, name: str) -> np.ndarray:
    """The rows of one series in the user's units, NaN where missing."""
    n = panel.ids.index(name)
    rows = np.flatnonzero(np.isin(panel.segment_of(np.arange(len(panel.values))), np.flatnonzero(panel.series == n)))
    return np.where(panel.observed[rows, 0], panel.values[rows, 0] + panel.shift[n, 0], np.nan)


# ---- reading


def test_parents_without_rows_are_the_sums_of_their_children(tmp_path: Path) -> None:
    frame = shops()
    reading = read_frame(frame, tmp_path)
    panel = reading.panel
    assert panel.schema.parents == {
        f"{shop}-{article}": shop for names in SHOPS.values() for shop in names for article in "ab"
    } | {shop: region for region, names in SHOPS.items() for shop in names}
    assert set(panel.ids) == {*panel.schema.parents, *SHOPS}
    wide = frame.pivot_table(index="ds", columns="region", values="y", aggfunc="sum")
    np.testing.assert_allclose(values(panel, "south"), wide["south"], rtol=1e-6)
    assert any(found.code == "sums" and found.count == 7 for found in reading.findings)
    assert len(reading.panel_row) == len(frame)


def test_a_file_read_in_blocks_has_the_same_parents_and_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = shops()
    frame.loc[frame.index % 7 > 0, "region"] = ""
    at_once = read_frame(frame, tmp_path)
    monkeypatch.setattr(roads, "LARGE", 0)
    in_blocks = read_frame(frame, tmp_path)
    assert in_blocks.panel.schema == at_once.panel.schema
    np.testing.assert_array_equal(in_blocks.panel.values, at_once.panel.values)
    np.testing.assert_array_equal(np.asarray(in_blocks.panel_row), np.asarray(at_once.panel_row))


def test_the_series_of_the_file_are_read_as_they_are_without_parents(tmp_path: Path) -> None:
    frame = shops()
    with_parents = read_frame(frame, tmp_path).panel
    without = read_frame(frame, tmp_path, parent=()).panel
    for name in without.ids:
        np.testing.assert_array_equal(values(with_parents, name), values(without, name))


def test_a_sum_is_missing_where_a_child_is(tmp_path: Path) -> None:
    frame = shops()
    frame.loc[(frame["article"] == "n1-a") & (frame["ds"] == "2024-01-20"), "y"] = np.nan
    panel = read_frame(frame, tmp_path).panel
    for name, gone in {"n1": True, "north": True, "n2": False, "south": False}.items():
        assert np.isnan(values(panel, name)[19]) == gone, name
        assert np.isfinite(np.delete(values(panel, name), 19)).all()


def test_a_child_counts_from_its_first_value_and_until_it_has_ended(tmp_path: Path) -> None:
    frame = shops()
    day = pd.to_datetime(frame["ds"])
    launched = (frame["article"] == "n1-a") & (day < "2024-01-11")
    ended = (frame["article"] == "n2-a") & (day > "2024-02-10")  # 19 rows before the newest
    late = (frame["article"] == "s1-a") & (day > "2024-02-27")  # two rows before it
    panel = read_frame(frame[~(launched | ended | late)], tmp_path).panel
    other = frame[frame["article"] == "n1-b"]["y"].to_numpy()
    np.testing.assert_allclose(values(panel, "n1")[:10], other[:10], rtol=1e-6)
    np.testing.assert_allclose(values(panel, "n2")[-5:], frame[frame["article"] == "n2-b"]["y"][-5:], rtol=1e-6)
    assert len(values(panel, "north")) == 60
    assert len(values(panel, "south")) == 58


def test_a_covariate_of_a_sum_is_the_mean_and_a_word_what_all_agree_on(tmp_path: Path) -> None:
    frame = shops()
    frame["price"] = np.where(frame["article"].str.endswith("a"), 1.0, 3.0)
    frame["weather"] = np.where(frame["shop"].isin(["n1", "s1"]), "rain", "sun")
    panel = read_frame(frame, tmp_path, past=("price", "weather")).panel
    first = {name: int(panel.offsets[panel.last_segment()[n]]) for n, name in enumerate(panel.ids)}
    assert panel.covariates[first["north"], 0] == 2.0
    assert panel.covariates[first["n1"], 1] == panel.covariates[first["n1-a"], 1]
    assert np.isnan(panel.covariates[first["north"], 1])


def test_a_parent_may_have_rows_of_its_own_and_they_are_kept(tmp_path: Path) -> None:
    frame = shops()
    total = frame.groupby(["ds", "region"], as_index=False)["y"].sum()
    total = total.assign(article=total["region"], shop="", region="")
    leaves = frame.assign(shop=frame["region"], region="")
    reading = read_frame(pd.concat([leaves, total]), tmp_path, parent=("shop",))
    assert set(reading.panel.ids) == {*frame["article"], "north", "south"}
    assert reading.panel.schema.additive
    assert not any(found.code == "not-additive" for found in reading.findings)


def test_a_parent_that_is_not_the_sum_of_its_children_is_told_of(tmp_path: Path) -> None:
    frame = shops()
    total = frame.groupby("ds", as_index=False)["y"].sum().assign(article="all", shop="")
    total["y"] *= 1.2
    reading = read_frame(pd.concat([frame.assign(shop="all"), total]), tmp_path, parent=("shop",))
    (found,) = [found for found in reading.findings if found.code == "not-additive"]
    assert found.message.startswith("series all is not the sum of its children in 60 rows, by 16.7% of its size")
    assert found.example_line == len(frame) + 2
    assert not reading.panel.schema.additive


def test_a_row_that_lacks_the_parent_takes_it_from_the_others(tmp_path: Path) -> None:
    frame = shops()
    frame.loc[frame.index % 7 > 0, ["shop", "region"]] = ""
    assert read_frame(frame, tmp_path).panel.schema.parents == read_frame(shops(), tmp_path).panel.schema.parents


def test_two_parents_of_a_series_are_refused_with_the_line(tmp_path: Path) -> None:
    frame = shops()
    frame.loc[3, "shop"] = "n2"
    with pytest.raises(RefusedError, match="series n1-a is part of n1 and, on line 5, of n2; it can have one parent"):
        read_frame(frame, tmp_path)


def test_two_parents_of_a_parent_are_refused_with_the_line(tmp_path: Path) -> None:
    frame = shops()
    frame.loc[frame["article"] == "n1-b", "region"] = "south"
    with pytest.raises(RefusedError, match="series n1 is part of north and, on line 62, of south"):
        read_frame(frame, tmp_path)


def test_a_circle_is_refused_with_a_line(tmp_path: Path) -> None:
    frame = shops(5)
    frame["shop"] = frame["article"].map({"n1-a": "n1-b", "n1-b": "n2-a", "n2-a": "n1-a"}).fillna("")
    with pytest.raises(
        RefusedError, match="n1-a is part of n1-b is part of n2-a is part of n1-a: a circle, which line"
    ):
        read_frame(frame, tmp_path, parent=("shop",))
    with pytest.raises(RefusedError, match="n1-a is part of n1-a, says line 2"):
        read_frame(frame.assign(shop=frame["article"]), tmp_path, parent=("shop",))


def test_a_column_that_names_no_parent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="column 'shop' names no parent"):
        read_frame(shops().assign(shop=""), tmp_path, parent=("shop",))


def test_children_on_other_grids_cannot_be_added(tmp_path: Path) -> None:
    frame = shops(40)
    odd = pd.to_datetime(frame["ds"]).dt.dayofyear % 2 == frame["article"].str.endswith("a")
    with pytest.raises(RefusedError, match="the children of n1 have rows at different times of a step"):
        read_frame(frame[odd], tmp_path, freq="2D")


def test_parents_need_a_column_of_series(tmp_path: Path) -> None:
    frame = shops()
    frame = frame[frame["article"] == "n1-a"].drop(columns="article")
    with pytest.raises(RefusedError, match="--parent shop says what each series is part of, and no column names"):
        read_frame(frame, tmp_path, id_col=None)
    with pytest.raises(UsageError, match="--wide makes each column a series, and --parent is a column"):
        read_frame(frame, tmp_path, id_col=None, wide=True)
    with pytest.raises(UsageError, match="column 'shop' is named by --past and --parent"):
        read_frame(shops(), tmp_path, past=("shop",))


def test_tomorrow_a_new_child_is_taken_in_and_one_that_has_moved_is_told_of(tmp_path: Path) -> None:
    schema = read_frame(shops(), tmp_path).panel.schema
    tomorrow = shops(65)
    new = tomorrow[tomorrow["article"] == "n1-a"].assign(article="n1-c")
    tomorrow.loc[tomorrow["article"] == "s3-b", "shop"] = "s2"
    reading = read_frame(pd.concat([tomorrow, new]), tmp_path, schema=schema)
    assert reading.panel.schema.parents["n1-c"] == "n1"
    (found,) = [found for found in reading.findings if found.code == "moved"]
    assert found.message == "series s3-b is part of s2 and was of s3 when the model was trained"
    with pytest.raises(UsageError, match=r"reader.parent is \('region',\), but the model was trained"):
        read_frame(shops(), tmp_path, schema=schema, parent=("region",))
    with pytest.raises(RefusedError, match="there is no column called 'region'"):
        read_frame(shops().drop(columns="region"), tmp_path, schema=schema)


# ---- forecasts that add up


def random_tree(seed: int) -> tuple[Forest, np.ndarray, np.ndarray]:
    """A forest of 12 in no order, quantiles (12, 3, 2, 5) and variances."""
    rng = np.random.default_rng(seed)
    parent = np.array([-1] + [int(rng.integers(max(0, k - 4), k)) for k in range(1, 12)])
    parent[7] = -1
    order = rng.permutation(12)
    shuffled = np.full(12, -1)
    shuffled[order] = np.where(parent >= 0, order[parent], -1)
    forest = Forest(shuffled, np.zeros(12, np.int64), np.ones(12, bool))
    size = np.where(np.isin(np.arange(12), shuffled), 0.0, 50.0)
    for level in reversed(forest.levels()[1:]):
        np.add.at(size, shuffled[level], size[level])
    quantiles = np.sort(rng.normal(size[:, None, None, None], 5, (12, 3, 2, 5)), axis=-1)
    return forest, quantiles, rng.uniform(0.5, 4, (12, 2))


def sums(forest: Forest, y: np.ndarray) -> np.ndarray:
    """For every parent, the sum of its children; itself for leaves."""
    out = y.copy()
    for above in np.unique(forest.parent[forest.parent >= 0]):
        out[above] = y[forest.parent == above].sum(axis=0)
    return out


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("how", ["mint", "bottom-up"])
def test_medians_add_up_and_intervals_move_with_them(seed: int, how: str) -> None:
    forest, quantiles, variance = random_tree(seed)
    got = forest.reconciled(quantiles, middle=2, variance=variance, how=how)
    median = got.quantiles[..., 2]
    np.testing.assert_allclose(median, sums(forest, median), rtol=1e-12)
    np.testing.assert_allclose(np.diff(got.quantiles), np.diff(quantiles), atol=1e-9)
    assert got.holds.all()
    again = forest.reconciled(got.quantiles, middle=2, variance=variance, how=how)
    np.testing.assert_allclose(again.quantiles, got.quantiles, rtol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_mint_is_the_generalised_least_squares_of_the_textbook(seed: int) -> None:
    forest, quantiles, variance = random_tree(seed)
    leaves = np.setdiff1d(np.arange(12), forest.parent)
    summing = np.zeros((12, len(leaves)))
    for column, leaf in enumerate(leaves):
        node = leaf
        while node >= 0:
            summing[node, column] = 1
            node = forest.parent[node]
    got = forest.reconciled(quantiles, middle=2, variance=variance, how="mint").quantiles[..., 2]
    for d in range(2):
        weight = np.diag(1 / variance[:, d])
        project = summing @ np.linalg.solve(summing.T @ weight @ summing, summing.T @ weight)
        for h in range(3):
            np.testing.assert_allclose(got[:, h, d], project @ quantiles[:, h, d, 2], rtol=1e-9)


def test_bottom_up_leaves_the_leaves_as_they_are() -> None:
    forest, quantiles, variance = random_tree(1)
    got = forest.reconciled(quantiles, middle=2, variance=variance, how="bottom-up").quantiles
    leaves = np.setdiff1d(np.arange(12), forest.parent)
    np.testing.assert_array_equal(got[leaves], quantiles[leaves])


def test_what_was_not_negative_stays_so() -> None:
    forest = Forest(np.array([-1, 0, 0]), np.zeros(3, np.int64), np.ones(3, bool))
    quantiles = np.array([2.0, 10.0, 1.0]).reshape(3, 1, 1, 1) + np.array([-1.0, 0, 1])
    got = forest.reconciled(quantiles, middle=1, variance=np.array([[0.1], [1.0], [1.0]]), how="mint").quantiles
    assert (got >= 0).all()
    np.testing.assert_allclose(got[0, ..., 1], got[1:, ..., 1].sum(axis=0))


def test_a_series_that_never_changes_is_not_moved_and_divides_nothing_by_zero() -> None:
    forest = Forest(np.array([-1, 0, 0]), np.zeros(3, np.int64), np.ones(3, bool))
    quantiles = np.array([9.0, 5.0, 2.0]).reshape(3, 1, 1, 1)
    got = forest.reconciled(quantiles, middle=0, variance=np.array([[1.0], [0.0], [1.0]]), how="mint").quantiles
    np.testing.assert_allclose(got.ravel(), [8, 5, 3], atol=1e-6)
    got = forest.reconciled(quantiles, middle=0, variance=np.zeros((3, 1)), how="mint").quantiles
    np.testing.assert_allclose(got[0], got[1:].sum(axis=0))


def related(lengths: list[int], parents: dict[str, str]) -> Panel:
    """A panel of series s0, s1, ... of these lengths that all begin at time 1."""
    panel = panel_of([np.arange(1.0, length + 1) for length in lengths])
    object.__setattr__(panel, "schema", panel.schema.model_copy(update={"parents": parents}))
    return panel


def newest(panel: Panel) -> np.ndarray:
    return panel.times(panel.ends[panel.last_segment()] - 1)


def test_series_that_end_at_other_times_add_up_where_their_forecasts_meet() -> None:
    panel = related([30, 30, 28], {"s1": "s0", "s2": "s0"})
    every = np.arange(3)
    forest = Forest.of(panel, every, newest(panel), np.zeros(3, np.int64))
    quantiles = np.arange(1.0, 19).reshape(3, 6, 1, 1)
    got = forest.reconciled(quantiles, middle=0, variance=np.ones((3, 1)), how="bottom-up")
    y = got.quantiles[..., 0, 0]
    np.testing.assert_allclose(y[0, :4], y[1, :4] + y[2, 2:])  # s2 has two steps before the others begin
    np.testing.assert_array_equal(y[:, 4:][0], quantiles[0, 4:, 0, 0])
    assert got.holds.tolist() == [[True] * 4 + [False] * 2] * 2 + [[False] * 2 + [True] * 4]


def test_a_series_that_ended_long_ago_is_left_out_and_the_others_add_up() -> None:
    panel = related([30, 30, 12, 30], {"s1": "s0", "s2": "s0", "s3": "s2"})
    forest = Forest.of(panel, np.arange(4), newest(panel), np.zeros(4, np.int64))
    assert forest.parent.tolist() == [-1, 0, -1, 0]
    assert forest.whole.tolist() == [True, True, False, True]


def test_a_tree_in_which_a_series_is_not_forecast_stays_as_it_is() -> None:
    panel = related([30, 30, 30], {"s1": "s0", "s2": "s0"})
    two = np.array([0, 1])
    quantiles = np.arange(1.0, 9).reshape(2, 4, 1, 1)
    forest = Forest.of(panel, two, newest(panel)[two], np.zeros(2, np.int64))
    got = forest.reconciled(quantiles, middle=0, variance=np.ones((2, 1)), how="mint")
    np.testing.assert_array_equal(got.quantiles, quantiles)
    assert not got.holds.any()


def test_rounds_do_not_mix() -> None:
    panel = related([30, 30, 30], {"s1": "s0", "s2": "s0"})
    series = np.array([0, 0, 1, 1, 2])
    cutoff = np.array([20, 24, 20, 24, 24])
    forest = Forest.of(panel, series, cutoff, np.array([0, 1, 0, 1, 1]))
    assert forest.parent.tolist() == [-1, -1, 0, 1, 1]
    assert forest.whole.tolist() == [False, True, False, True, True]


def test_what_one_origin_says_of_a_series_is_believed_by_half() -> None:
    panel = related([30, 30, 30], {"s1": "s0", "s2": "s0"})  # the seasonal change of every series is 1
    cutoffs = panel.offsets[:2] + 28
    errors = np.array([[[2.0], [2.0]], [[0.0], [0.0]]])
    told = Reliability.measured(panel, cutoffs, errors, np.zeros((2, 2, 1)), limit=panel.ends, season=1, origins=1)
    np.testing.assert_allclose(told.pooled, [2.0])
    np.testing.assert_allclose(told.of(panel, season=1), [[3.0], [1.0], [2.0]])


def test_a_stored_variance_does_not_change_with_the_rows_at_hand_and_a_new_series_has_the_usual_one() -> None:
    told = Reliability(np.array([2.0]), {"s0": np.array([4.0]), "s1": np.array([0.5])})
    back = Reliability.read(json.loads(json.dumps(told.facts())), targets=1)
    panel = related([30, 5, 30], {"s1": "s0", "s2": "s0"})
    np.testing.assert_allclose(back.of(panel, season=1), [[4.0], [0.5], [2.0]])
    np.testing.assert_allclose(Reliability.read({}, targets=1).of(panel, season=1), np.ones((3, 1)))


# ---- the command

QUICK = ["--horizon", "5", "--members", "1", "--max-steps", "4", "--set", "network.hidden=8", "--threads", "1", "-q"]
HOW = ["--id-col", "article", "--parent", "shop", "--parent", "region"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hierarchy")
    shops(80).to_csv(folder / "shops.csv", index=False)
    assert run(["train", str(folder / "shops.csv"), *HOW, *QUICK, "-m", str(folder / "model")]) == 0
    return folder


def assert_adds_up(frame: pd.DataFrame, columns: tuple[str, ...] = ("y_hat",)) -> None:
    """Every region is the sum of its articles and of its shops, at every cutoff and time."""
    parent = {f"{shop}-{a}": shop for names in SHOPS.values() for shop in names for a in "ab"}
    region = {shop: region for region, names in SHOPS.items() for shop in names}
    for column in columns:
        table = frame.pivot_table(index=["cutoff", "ds"], columns="unique_id", values=column)
        by_shop = table[list(parent)].T.groupby(parent).sum().T
        np.testing.assert_allclose(table[by_shop.columns], by_shop, rtol=1e-6)
        by_region = table[list(region)].T.groupby(region).sum().T
        np.testing.assert_allclose(table[by_region.columns], by_region, rtol=1e-6)


def forecast(folder: Path, *flags: str) -> pd.DataFrame:
    output = folder / "out.csv"
    assert (
        run(["predict", str(folder / "shops.csv"), "-m", str(folder / "model"), "-o", str(output), "-q", *flags]) == 0
    )
    return pd.read_csv(output)


@pytest.mark.parametrize("flags", [(), ("--coherent", "bottom-up"), ("--horizon", "2")])
def test_forecasts_of_the_command_add_up(trained: Path, flags: tuple[str, ...]) -> None:
    frame = forecast(trained, *flags)
    assert_adds_up(frame)
    assert set(frame["coherent"]) == {"bottom-up" if "bottom-up" in flags else "mint"}
    assert set(frame["status"]) == {"ok"}


def test_without_adding_up_each_forecast_is_that_of_its_series(trained: Path) -> None:
    apart, summed = forecast(trained, "--coherent", "none"), forecast(trained, "--coherent", "bottom-up")
    assert "coherent" not in apart
    leaves = apart["unique_id"].str.contains("-")
    pd.testing.assert_frame_equal(apart[leaves], summed[leaves].drop(columns="coherent"))
    assert not np.allclose(apart["y_hat"][~leaves], summed["y_hat"][~leaves], rtol=1e-6)


def test_whole_numbers_add_up_too(tmp_path: Path) -> None:
    frame = shops(60)
    frame["y"] = frame["y"].round()
    frame.to_csv(tmp_path / "shops.csv", index=False)
    assert run(["train", str(tmp_path / "shops.csv"), *HOW, *QUICK, "--integer", "-m", str(tmp_path / "model")]) == 0
    found = forecast(tmp_path)
    assert_adds_up(found)
    assert (found["y_hat"] == found["y_hat"].round()).all()


def test_backtests_add_up_at_every_cutoff(trained: Path, tmp_path: Path) -> None:
    output = [str(tmp_path / "backtest.csv"), "--metrics", str(tmp_path / "metrics.csv")]
    flags = [*HOW, *QUICK, "--windows", "3", "--stride", "4", "-o", *output]
    assert run(["backtest", str(trained / "shops.csv"), *flags]) == 0
    frame = pd.read_csv(tmp_path / "backtest.csv")
    assert frame["cutoff"].nunique() == 3
    assert_adds_up(frame)
    assert_adds_up(frame, ("y",))


def test_the_verdict_tells_what_adding_up_changes(
    trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    quick = [flag for flag in QUICK if flag != "-q"]
    assert run(["train", str(trained / "shops.csv"), *HOW, *quick, "-m", str(tmp_path / "m"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["coherent"] == "mint"
    assert facts["verdict_apart"]["skill"] != facts["verdict"]["skill"]


def test_a_series_that_ends_earlier_is_told_of(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = shops(80)
    frame = frame[~((frame["article"] == "n1-a") & (frame["ds"] > "2024-03-18"))]
    frame.to_csv(tmp_path / "late.csv", index=False)
    command = ["predict", str(tmp_path / "late.csv"), "-m", str(trained / "model"), "-o", str(tmp_path / "out.csv")]
    assert run(command) == 0
    assert "rows of the forecast do not add up: a series of their tree ends earlier" in capsys.readouterr().err
    found = pd.read_csv(tmp_path / "out.csv")
    whole = found[found["coherent"] == "mint"]
    assert set(whole["unique_id"]) == set(found["unique_id"])
    south = found[~found["unique_id"].str.startswith("n")]
    assert (south["coherent"] == "mint").all()


def test_coherent_without_parents_is_refused(trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = [str(trained / "shops.csv"), "--id-col", "article", *QUICK, "-m", str(tmp_path / "plain")]
    assert run(["train", *command, "--coherent", "mint"]) == 2
    assert "--coherent mint makes forecasts add up, and nothing says which series is part of" in capsys.readouterr().err
    assert run(["train", *command]) == 0
    assert run(["predict", "-m", str(tmp_path / "plain"), "-o", str(tmp_path / "f.csv"), "--coherent", "mint"]) == 2
    assert "the model does not know which series is part of which" in capsys.readouterr().err


def test_a_history_that_does_not_add_up_is_forecast_apart_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = shops(60)
    total = frame.groupby("ds", as_index=False)["y"].sum().assign(article="all", shop="")
    total["y"] *= 1.5
    pd.concat([frame.assign(shop="all"), total]).to_csv(tmp_path / "shops.csv", index=False)
    quick = [flag for flag in QUICK if flag != "-q"]
    command = [
        "train",
        str(tmp_path / "shops.csv"),
        "--id-col",
        "article",
        "--parent",
        "shop",
        *quick,
        "--explain-plan",
    ]
    assert run([*command, "-m", str(tmp_path / "model")]) == 0
    told = capsys.readouterr()
    assert "is not the sum of its children" in told.err
    assert "the history does not add up" in told.out
    assert "coherent" not in forecast(tmp_path)
    asked = forecast(tmp_path, "--coherent", "mint").pivot_table(index="ds", columns="unique_id", values="y_hat")
    np.testing.assert_allclose(asked["all"], asked.drop(columns="all").sum(axis=1), rtol=1e-6)


def test_detection_judges_sums_too(tmp_path: Path) -> None:
    frame = shops(120)
    frame = frame[frame["shop"] == "n1"]
    bad = frame["ds"].isin(["2024-04-10", "2024-04-11"])
    frame.loc[bad, "y"] += 60
    frame.to_csv(tmp_path / "shops.csv", index=False)
    output = ["-o", str(tmp_path / "rows.csv"), "--events", str(tmp_path / "events.csv")]
    flags = ["--id-col", "article", "--parent", "shop", "-q", "--threads", "1"]
    assert run(["detect-anomalies", str(tmp_path / "shops.csv"), *flags, *output]) == 0
    assert "n1" in set(pd.read_csv(tmp_path / "events.csv")["unique_id"])
    assert len(pd.read_csv(tmp_path / "rows.csv")) == len(frame)  # one for each row of the file


def test_the_settings_file_of_init_says_the_parents(trained: Path, tmp_path: Path) -> None:
    assert run(["init", str(trained / "shops.csv"), *HOW, "-o", str(tmp_path / "l.yaml"), "-q"]) == 0
    assert "\n  parent: [shop, region]\n" in (tmp_path / "l.yaml").read_text("utf-8")


def test_covariates_known_ahead_are_asked_for_the_series_of_the_file_only(tmp_path: Path) -> None:
    frame = shops(60).assign(price=1.5)
    frame.to_csv(tmp_path / "shops.csv", index=False)
    model = ["-m", str(tmp_path / "model")]
    assert run(["train", str(tmp_path / "shops.csv"), *HOW, *QUICK, *model, "--target", "y", "--future", "price"]) == 0
    place = tmp_path / "future.csv"
    assert run(["future-frame", str(tmp_path / "shops.csv"), *model, "-o", str(place), "-q"]) == 0
    rows = pd.read_csv(place)
    assert set(rows["article"]) == set(frame["article"])
    assert len(rows) == 5 * frame["article"].nunique()
    rows.assign(price=2.0).to_csv(place, index=False)
    output = ["-o", str(tmp_path / "out.csv"), "-q"]
    assert run(["predict", str(tmp_path / "shops.csv"), *model, "--future", str(place), *output]) == 0
    found = pd.read_csv(tmp_path / "out.csv")
    assert set(found["status"]) == {"ok"}
    assert_adds_up(found)


def test_damaged_errors_in_the_calibration_are_refused(trained: Path, tmp_path: Path) -> None:
    for told in ({"pooled": [1.0], "variance": {"n1": [-1.0]}}, {"pooled": [1.0, 2.0], "variance": {}}, {}):
        copy = tmp_path / "model"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(trained / "model", copy)
        calibration = json.loads((copy / CALIBRATION).read_text("utf-8"))
        (copy / CALIBRATION).write_text(json.dumps(calibration | {"errors": told}), encoding="utf-8")
        manifest = json.loads((copy / MANIFEST).read_text("utf-8"))
        manifest.pop("seal")
        manifest["sha256"][CALIBRATION] = hashlib.sha256((copy / CALIBRATION).read_bytes()).hexdigest()
        (copy / MANIFEST).write_text(json.dumps(manifest | {"seal": seal(manifest)}), encoding="utf-8")
        with pytest.raises(ModelError, match="is inconsistent"):
            load(copy)
