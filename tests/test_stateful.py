"""Carried state across runs: only new rows are read, and the forecast is that of reading everything."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import MakePanel, panel_of
from safetensors.numpy import save as packed

from lstmcast import artifact
from lstmcast.artifact import ADVANCED, STATE, load
from lstmcast.cli.app import run
from lstmcast.data.excerpt import excerpt, until
from lstmcast.data.panel import Panel
from lstmcast.errors import ModelError
from lstmcast.forecast.memory import Memory, take_up
from lstmcast.forecast.predict import Forecast, forecast, quantiles_at
from lstmcast.forecast.resume import resumed
from lstmcast.net.architecture import Architecture
from lstmcast.net.ensemble import Ensemble
from lstmcast.net.forecaster import Forecaster
from lstmcast.recipes import model as recipe

H = 3


def network_of(**changes: Any) -> Ensemble:
    """Two small stateful networks with drawn weights."""
    shape = Architecture(
        **(
            {"context": 8, "horizon": H, "hidden": 6, "stateful": True, "normaliser": "causal", "dropout": 0.0}
            | changes
        )
    )
    members = [Forecaster(shape, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    return Ensemble(members).eval()


def series_of(rows: int, *, seed: int = 0, level: float = 20.0) -> list[float]:
    noise = np.random.default_rng(seed)
    return [float(value) for value in (level + noise.normal(size=rows).cumsum()).round(3)]


def memory_of(network: Ensemble, panel: Panel) -> Memory:
    memory = forecast(network, panel).memory
    assert memory is not None
    return Memory.of(memory.arrays(), network.initial_state)


def after(panel: Panel, time: int) -> Panel:
    """A file that holds only the rows after ``time``."""
    first = panel.offsets[:-1] + np.maximum(time + 1 - panel.start, 0)
    return excerpt(panel, first, panel.ends)


def assert_same(one: Forecast, other: Forecast) -> None:
    np.testing.assert_allclose(one.quantiles, other.quantiles, rtol=1e-6, atol=1e-6)
    assert one.status == other.status
    np.testing.assert_array_equal(one.times, other.times)


@pytest.mark.parametrize("decoder", ["parallel", "direct", "recursive", "seq2seq"])
@pytest.mark.parametrize("cell", ["lstm", "slstm", "projected"])
def test_reading_on_from_the_stored_state_is_reading_everything(make_panel: MakePanel, cell: str, decoder: str) -> None:
    whole = make_panel([series_of(rows, seed=rows) for rows in (70, 41, 300)])
    network = network_of(cell=cell, decoder=decoder)
    earlier = until(whole, 40)
    continued = forecast(network, whole, memory=memory_of(network, earlier))
    assert_same(continued, forecast(network, whole))
    assert continued.anew == {}
    assert continued.rows_read == 31 + 2 + 261  # the newest row remembered and those after it


@pytest.mark.parametrize("decoder", ["parallel", "direct", "recursive", "seq2seq"])
@pytest.mark.parametrize("stored", [33, 34, 35, 36])
def test_the_stored_state_keeps_the_rows_of_an_unfinished_patch(
    make_panel: MakePanel, decoder: str, stored: int
) -> None:
    whole = make_panel([series_of(rows, seed=rows) for rows in (70, 41, 302)])
    network = network_of(decoder=decoder, patch=4)
    continued = forecast(network, whole, memory=memory_of(network, until(whole, stored)))
    assert_same(continued, forecast(network, whole))
    assert continued.anew == {}
    np.testing.assert_allclose(continued.quantiles, quantiles_at(network, whole, whole.ends), rtol=1e-6, atol=1e-6)


def test_the_state_may_be_advanced_as_often_as_one_likes(make_panel: MakePanel) -> None:
    whole = make_panel(
        [series_of(90), series_of(60, seed=4)], covariates=[series_of(90, seed=1), series_of(60, seed=2)]
    )
    network = network_of(past=1)
    memory = None
    for time in (20, 21, 22, 40, 59, 90):
        now = until(whole, time)
        made = forecast(network, now, memory=memory)
        assert_same(made, forecast(network, now))
        assert made.anew == {}
        memory = made.memory
    assert memory is not None
    assert memory.rows.tolist() == [90, 60]


def test_with_no_new_row_the_forecast_is_the_same_and_one_row_is_read(make_panel: MakePanel) -> None:
    panel, network = make_panel([series_of(50)]), network_of()
    again = forecast(network, panel, memory=memory_of(network, panel))
    np.testing.assert_array_equal(again.quantiles, forecast(network, panel).quantiles)
    assert again.rows_read == 1


def test_the_forecast_is_that_of_a_backtest_at_the_same_row(make_panel: MakePanel) -> None:
    panel, network = make_panel([series_of(300), series_of(77, seed=1)]), network_of()
    np.testing.assert_allclose(
        forecast(network, panel).quantiles, quantiles_at(network, panel, panel.ends), rtol=1e-6, atol=1e-6
    )


def test_decoding_some_rows_of_a_stream_is_choosing_among_all() -> None:
    network, rows = network_of(), torch.arange(36.0).view(3, 12, 1).sin()
    arguments = (rows, rows > -0.9, torch.zeros(3, 12, 0), torch.zeros(3, H, 0), network.initial_state(3))
    starts, origins = torch.zeros(3, dtype=torch.bool), torch.tensor([0, 11, 13, 35])
    with torch.inference_mode():
        every, after_all = network.stream(*arguments, starts)
        some, after_some = network.stream(*arguments, starts, origins=origins)
        torch.testing.assert_close(network.quantiles(some), network.quantiles(every).flatten(0, 1)[origins])
    for one, two in zip(after_all, after_some, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("missing", [0, 1, 10])
def test_a_file_with_new_rows_only_continues_the_series(make_panel: MakePanel, missing: int) -> None:
    values = series_of(60)
    values[40 : 40 + missing] = [np.nan] * missing
    whole, network = make_panel([values]), network_of()
    rest = after(whole, 40 + missing)
    continued = forecast(network, rest, memory=memory_of(network, until(whole, 40)))
    assert_same(continued, forecast(network, whole))
    assert continued.anew == {}
    assert continued.memory is not None
    assert forecast(network, whole, memory=continued.memory).anew == {}  # its checksum is that of all rows


def test_a_single_new_row_is_enough_to_go_on(make_panel: MakePanel) -> None:
    whole, network = make_panel([series_of(41)]), network_of()
    continued = forecast(network, after(whole, 40), memory=memory_of(network, until(whole, 40)))
    assert_same(continued, forecast(network, whole))
    assert continued.status == ("ok",)


def test_a_gap_longer_than_max_gap_begins_anew(make_panel: MakePanel) -> None:
    values = series_of(80)
    values[40:51] = [np.nan] * 11
    whole, network = make_panel([values]), network_of()
    memory = memory_of(network, until(whole, 40))
    alone = forecast(network, after(whole, 51))
    for panel in (whole, after(whole, 51)):
        made = forecast(network, panel, memory=memory)
        np.testing.assert_allclose(made.quantiles, alone.quantiles, rtol=1e-6)
        assert made.anew == {"s0": "gap"}


def other(values: Sequence[float], row: int, by: float) -> list[float]:
    return [value + by if n == row else value for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (other(series_of(60), 0, 0.001), "restated"),
        (other(series_of(60), 39, -0.001), "restated"),
        (other(series_of(60), 20, np.nan), "restated"),
        ([*series_of(60)[1:2], *series_of(60)[:1], *series_of(60)[2:]], "restated"),
        (series_of(60)[:39], "earlier"),
    ],
)
def test_history_that_has_changed_is_noticed_and_read_again(
    make_panel: MakePanel, changed: list[float], why: str
) -> None:
    network, steady = network_of(), series_of(60, seed=9)
    memory = memory_of(network, make_panel([series_of(60)[:40], steady[:40]]))
    panel = make_panel([changed, steady])
    made = forecast(network, panel, memory=memory)
    assert made.anew == {"s0": why}
    assert made.rows_read == len(changed) + 21
    assert_same(made, forecast(network, panel))


def test_a_restated_covariate_is_noticed(make_panel: MakePanel) -> None:
    y, x = series_of(50), series_of(50, seed=1)
    network = network_of(past=1)
    memory = memory_of(network, make_panel([y[:40]], covariates=[x[:40]]))
    assert forecast(network, make_panel([y], covariates=[x]), memory=memory).anew == {}
    changed = make_panel([y], covariates=[other(x, 7, 0.01)])
    assert forecast(network, changed, memory=memory).anew == {"s0": "restated"}


def test_a_later_row_leaves_what_was_stored_before_it_unchanged(make_panel: MakePanel) -> None:
    """The newest rows may be restated freely as long as they have not been read."""
    network, values = network_of(), series_of(60)
    memory = memory_of(network, make_panel([values[:40]]))
    assert forecast(network, make_panel([other(values, 40, 5.0)]), memory=memory).anew == {}


def test_a_file_without_its_first_rows_is_read_from_where_it_begins(make_panel: MakePanel) -> None:
    whole, network = make_panel([series_of(60)]), network_of()
    late = after(whole, 10)
    made = forecast(network, late, memory=memory_of(network, until(whole, 40)))
    assert made.anew == {"s0": "shorter"}
    assert_same(made, forecast(network, late))


def test_a_time_before_the_stored_one_is_read_from_the_start_and_forgets_nothing(make_panel: MakePanel) -> None:
    whole, network = make_panel([series_of(60)]), network_of()
    memory = memory_of(network, whole)
    made = forecast(network, until(whole, 30), memory=memory)
    assert made.anew == {"s0": "earlier"}
    assert_same(made, forecast(network, until(whole, 30)))
    assert made.memory is not None
    assert made.memory.newest.tolist() == [60]


def test_a_new_series_is_read_whole_and_an_absent_one_is_kept(make_panel: MakePanel) -> None:
    network = network_of()
    one, two = make_panel([series_of(40)]), make_panel([series_of(45, seed=2)])
    made = forecast(network, replace(two, ids=("b",)), memory=memory_of(network, replace(one, ids=("a",))))
    assert made.anew == {"b": "new"}
    assert made.memory is not None
    assert sorted(made.memory.ids) == ["a", "b"]


def test_a_level_that_dwarfs_the_spread_keeps_its_digits_and_its_checksum() -> None:
    values = series_of(120, level=4e7)
    whole, network = panel_of([values]), network_of()
    assert whole.shift.any()
    memory = memory_of(network, until(panel_of([values[:80]]), 80))
    made = forecast(network, whole, memory=memory)
    assert made.anew == {}
    spread = np.std(values)
    np.testing.assert_allclose(made.quantiles, forecast(network, whole).quantiles, rtol=0, atol=1e-3 * spread)
    assert forecast(network, panel_of([other(values, 30, 0.1)]), memory=memory).anew == {"s0": "restated"}


def test_zeros_filled_into_gaps_are_read_between_two_files() -> None:
    values = series_of(60)
    values[40:43] = [np.nan] * 3
    schema = panel_of([values]).schema.model_copy(update={"gaps": "zero"})
    zeroed = [0.0 if np.isnan(value) else value for value in values]
    whole, network = replace(panel_of([zeroed]), schema=schema), network_of()
    made = forecast(network, after(whole, 43), memory=memory_of(network, until(whole, 40)))
    assert_same(made, forecast(network, whole))


def test_each_lane_is_read_as_if_it_were_alone(make_panel: MakePanel) -> None:
    many = [series_of(20 + 7 * n, seed=n) for n in range(70)]
    network = network_of()
    together = forecast(network, make_panel(many)).quantiles
    for n in (0, 33, 69):
        np.testing.assert_allclose(together[[n]], forecast(network, make_panel([many[n]])).quantiles, rtol=1e-5)


def test_a_windowed_network_remembers_nothing(make_panel: MakePanel) -> None:
    network = network_of(stateful=False, normaliser="last")
    assert forecast(network, make_panel([series_of(30)])).memory is None


def test_arrays_of_unequal_length_are_no_memory(make_panel: MakePanel) -> None:
    network = network_of()
    arrays = memory_of(network, make_panel([series_of(30)])).arrays()
    with pytest.raises(ModelError, match="same number of series"):
        Memory.of(arrays | {"rows": np.array([1, 2])}, network.initial_state)


def test_the_memory_of_another_network_is_refused(make_panel: MakePanel) -> None:
    arrays = memory_of(network_of(), make_panel([series_of(30)])).arrays()
    with pytest.raises(ModelError, match="not of this network"):
        Memory.of(arrays, network_of(hidden=7).initial_state)


def test_taking_up_without_memory_reads_the_last_segment(make_panel: MakePanel) -> None:
    values = series_of(60)
    values[20:40] = [np.nan] * 20
    begun = take_up(make_panel([values]), None, initial_state=network_of().initial_state)
    assert begun.panel.start.tolist() == [41]
    assert begun.before.tolist() == [0]


# through the command


QUICK = ["--max-steps", "6", "--hidden", "6", "--seed", "1", "--horizon", "4", "--decoder", "direct", "-q"]


def table(rows: int) -> pd.DataFrame:
    days = pd.date_range("2023-01-01", periods=rows, freq="D")
    shops = [pd.DataFrame({"shop": shop, "day": days, "y": series_of(rows, seed=n)}) for n, shop in enumerate("ab")]
    return pd.concat(shops)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stateful")
    table(120).to_csv(folder / "data.csv", index=False)
    assert run(["train", str(folder / "data.csv"), "-m", str(folder / "model"), "--stateful", *QUICK]) == 0
    return folder


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "own")
    return tmp_path / "own"


def predicted(folder: Path, data: pd.DataFrame, *flags: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    data.to_csv(folder / "now.csv", index=False)
    output = folder / "f.csv"
    assert run(["predict", str(folder / "now.csv"), "-m", str(folder / "model"), "-o", str(output), "-q", *flags]) == 0
    return pd.read_csv(output), json.loads(Path(f"{output}.meta.json").read_text())


def test_predict_reads_new_rows_only_and_advances_when_asked(own: Path) -> None:
    fresh = own / "fresh"
    shutil.copytree(own / "model", fresh / "model")
    identity = load(own / "model").identity
    for rows, read in ((121, 4), (125, 10), (125, 2)):
        _, facts = predicted(own, table(rows), "--advance")
        assert facts["rows_read"] == read  # of both series; the newest row is read again
        assert facts["model_id"] == identity
    forecasts, _ = predicted(own, table(130), "--advance")
    at_once, facts = predicted(fresh, table(130))
    assert facts["rows_read"] == 22
    assert not (fresh / "model" / ADVANCED).exists()
    pd.testing.assert_frame_equal(forecasts, at_once, rtol=1e-5)
    assert load(own / "model").identity == identity


def test_a_file_of_new_rows_only_is_enough_for_the_command(own: Path) -> None:
    expected, _ = predicted(own, table(123))
    forecasts, facts = predicted(own, table(123).groupby("shop").tail(3))
    pd.testing.assert_frame_equal(forecasts, expected, rtol=1e-5)
    assert facts["rows_read"] == 8


def test_a_single_new_row_is_enough_for_the_command(own: Path) -> None:
    expected, _ = predicted(own, table(121))
    forecasts, facts = predicted(own, table(121).groupby("shop").tail(1))
    pd.testing.assert_frame_equal(forecasts, expected, rtol=1e-5)
    assert facts["rows_read"] == 4


def test_predict_says_which_series_it_read_again(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = table(125).reset_index(drop=True)
    data.loc[3, "y"] += 1
    data.to_csv(own / "now.csv", index=False)
    assert run(["predict", str(own / "now.csv"), "-m", str(own / "model"), "-o", str(own / "f.csv")]) == 0
    assert "earlier rows have changed" in " ".join(capsys.readouterr().err.split())


def test_an_as_of_before_the_stored_time_is_forecast_from_the_start(own: Path) -> None:
    forecasts, facts = predicted(own, table(125), "--as-of", "2023-03-01")
    assert facts["begun_anew"] == 2
    assert set(forecasts["cutoff"]) == {"2023-03-01"}


@pytest.mark.parametrize("name", [STATE, ADVANCED])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_state_is_refused(own: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    predicted(own, table(121), "--advance")
    file = own / "model" / name
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    code = run(["predict", str(own / "now.csv"), "-m", str(own / "model"), "-o", str(own / "g.csv")])
    assert code == 4
    assert name in " ".join(capsys.readouterr().err.split()).replace(" ", "")
    assert not (own / "g.csv").exists()


def test_a_missing_state_file_is_refused(own: Path) -> None:
    (own / "model" / STATE).unlink()
    with pytest.raises(ModelError, match=r"state\.safetensors is missing"):
        load(own / "model")


def test_the_state_of_another_model_is_passed_by(own: Path) -> None:
    predicted(own, table(125), "--advance")
    data, model = str(own / "data.csv"), str(own / "other")
    assert run(["train", data, "-m", model, "--stateful", *QUICK[:-1], "--max-steps", "7", "-q"]) == 0
    shutil.copy(own / "model" / ADVANCED, own / "other" / ADVANCED)
    shutil.rmtree(own / "model")
    (own / "other").rename(own / "model")
    _, facts = predicted(own, table(125))
    assert facts["rows_read"] == 12


def test_training_again_forgets_the_advanced_state(own: Path) -> None:
    predicted(own, table(125), "--advance")
    assert (own / "model" / ADVANCED).exists()
    assert run(["train", str(own / "now.csv"), "-m", str(own / "model"), "--stateful", *QUICK]) == 0
    assert not (own / "model" / ADVANCED).exists()


def test_a_windowed_model_has_no_state_and_cannot_advance(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = str(trained / "data.csv"), str(tmp_path / "model")
    assert run(["train", data, "-m", model, *QUICK]) == 0
    assert not (tmp_path / "model" / STATE).exists()
    assert run(["predict", data, "-m", model, "-o", str(tmp_path / "f.csv"), "--advance"]) == 2
    assert "reads windows and has none" in " ".join(capsys.readouterr().err.split())


def test_advancing_and_as_of_contradict_each_other(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--advance", "--as-of", "2023-03-01"]
    assert run(["predict", str(own / "data.csv"), "-m", str(own / "model"), *flags]) == 2
    assert "leave out one of the two" in " ".join(capsys.readouterr().err.split())


def test_the_same_rows_give_the_same_state_file(own: Path) -> None:
    digests = set()
    for _ in range(2):
        (own / "model" / ADVANCED).unlink(missing_ok=True)
        predicted(own, table(125), "--advance")
        digests.add(hashlib.sha256((own / "model" / ADVANCED).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_card_tells_how_far_the_state_reaches_and_verify_looks_at_it(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted(own, table(125), "--advance")
    capsys.readouterr()
    assert run(["model", "verify", str(own / "model")]) == 0
    assert run(["model", "show", str(own / "model")]) == 0
    shown = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert shown["state carried until"] > shown["trained until"]


def test_an_upgraded_model_keeps_the_newest_state(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predicted(own, table(125), "--advance")
    before = load(own / "model").state
    later = artifact.FORMAT_VERSION + 1
    monkeypatch.setattr(artifact, "FORMAT_VERSION", later)
    monkeypatch.setattr(recipe, "FORMAT_VERSION", later)
    assert recipe.upgrade(own / "model").facts["noop"] is False
    after = load(own / "model").state
    assert before is not None
    assert after is not None
    assert {name: values.tobytes() for name, values in after.items()} == {
        name: values.tobytes() for name, values in before.items()
    }
    assert not (own / "model" / ADVANCED).exists()


def test_the_seal_covers_the_state_file(own: Path) -> None:
    """Its entry cannot be taken out or altered; a sealed state of another shape is refused by its network."""
    file = own / "model" / "manifest.json"
    manifest = json.loads(file.read_bytes())
    listed = manifest["sha256"]
    without = {name: value for name, value in listed.items() if name != STATE}
    for changed in (without, listed | {STATE: "0" * 64}):
        file.write_text(json.dumps(manifest | {"sha256": changed}))
        with pytest.raises(ModelError, match="seal"):
            load(own / "model")
    state = {"ids": np.frombuffer(b"[]", np.uint8)}
    (own / "model" / STATE).write_bytes(packed(state))
    own_hash = hashlib.sha256((own / "model" / STATE).read_bytes()).hexdigest()
    bare = {name: value for name, value in manifest.items() if name != "seal"} | {"sha256": listed | {STATE: own_hash}}
    file.write_text(json.dumps(bare | {"seal": artifact.seal(bare)}))
    with pytest.raises(ModelError, match="stored state"):
        recipe.verify(own / "model")


def test_samples_and_threads_change_nothing_in_what_is_carried(own: Path) -> None:
    plain, facts = predicted(own, table(125), "--advance")
    (own / "model" / ADVANCED).unlink()
    sampled, again = predicted(own, table(125), "--advance", "--samples", "3", "--threads", "1")
    assert {"sample-1", "sample-3"} <= set(sampled.columns)
    pd.testing.assert_frame_equal(sampled[plain.columns], plain)
    assert again["rows_read"] == facts["rows_read"]


def test_a_stale_series_keeps_what_is_remembered_of_it(own: Path) -> None:
    def newest() -> dict[str, int]:
        model = load(own / "model")
        assert model.state is not None
        memory = Memory.of(model.state, model.forecaster.initial_state)
        return dict(zip(memory.ids, memory.newest.tolist(), strict=True))

    before, data = newest(), table(140)
    gone = data["shop"].iloc[0]
    ended = data[(data["shop"] != gone) | (data.groupby("shop").cumcount() < 120)]
    forecasts, facts = predicted(own, ended, "--advance", "--stale-after", "5")
    assert facts["stale"] == [gone]
    assert gone not in set(forecasts["unique_id"])
    after = newest()
    assert after[gone] == before[gone]
    assert all(after[name] > before[name] for name in before if name != gone)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the chunks that networks read from now on."""
    read: list[int] = []
    for name in ("stream", "carry"):
        own = getattr(Ensemble, name)

        def count(self: Ensemble, x: torch.Tensor, *rest: Any, own: Any = own, **named: Any) -> Any:
            read.append(x.shape[1])
            return own(self, x, *rest, **named)

        monkeypatch.setattr(Ensemble, name, count)
    return read


@pytest.mark.parametrize("patch", [1, 4])
def test_past_rows_are_forecast_from_what_is_remembered_as_from_the_start(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch, patch: int
) -> None:
    whole = make_panel([series_of(rows, seed=rows) for rows in (70, 41, 302)])
    network = network_of(patch=patch)
    early, late = memory_of(network, until(whole, 33)), memory_of(network, until(whole, 60))
    cutoffs = np.concatenate([end - np.arange(7) for end in whole.ends])
    expected = quantiles_at(network, whole, cutoffs)
    read = counted(monkeypatch)
    for memories, chunks in (([], [256, 256]), ([early], [256, 256]), ([late, early], [243])):
        read.clear()
        made = np.full_like(expected, np.nan)
        segment = whole.segment_of(cutoffs - 1)
        for places, values in resumed(network, whole, segment, cutoffs - whole.offsets[segment], memories):
            made[places] = values
        np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)
        assert read[: len(chunks)] == chunks


def judged(folder: Path, rows: int) -> pd.DataFrame:
    table(rows).to_csv(folder / "now.csv", index=False)
    flags = ["-m", str(folder / "model"), "-o", str(folder / "a.csv"), "--events", str(folder / "e.csv"), "-q"]
    assert run(["detect-anomalies", str(folder / "now.csv"), "--fit", "never", *flags]) == 0
    return pd.read_csv(folder / "a.csv")


def test_detection_goes_on_from_the_stored_state_and_an_advanced_one_changes_nothing(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as watched:
        read = counted(watched)
        once = judged(own, 150)
    assert read == [30]  # the newest row of the training and those after it, but for the last
    predicted(own, table(140), "--advance")
    again = judged(own, 150)
    assert once["y_hat"].notna().sum() == 60
    pd.testing.assert_frame_equal(again, once, rtol=1e-4)
