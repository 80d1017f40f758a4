"""From a panel to an ensemble: regimes, members, the budget, processes side by side, and trust."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import MakePanel

from lstmcast.config import ReaderSettings, Settings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.errors import ModelError, ResourceError, StoppedError, UsageError
from lstmcast.fit import budget, checkpoint, workers
from lstmcast.fit.ensemble import Stage, train
from lstmcast.fit.facts import measure
from lstmcast.fit.interrupt import polite_stop
from lstmcast.fit.learn import learn
from lstmcast.fit.loop import Fitted
from lstmcast.fit.objective import Pools
from lstmcast.fit.plan import make
from lstmcast.forecast import backtest
from lstmcast.forecast.backtest import scales
from lstmcast.forecast.classical import best_classical
from lstmcast.forecast.verdict import Encoder
from lstmcast.layers import resolve
from lstmcast.net.forecaster import Forecaster
from lstmcast.outcome import Notice, OnProgress, Progress, Report, silent


def settings(network: dict[str, Any] | None = None, **training: Any) -> Settings:
    small = {"horizon": 4, "hidden": 8} | (network or {})
    return resolve([("test", {"network": small, "training": training})], choices={})


def yearly(make_panel: MakePanel, *, series: int = 6, rows: int = 72, seasonal: Callable[[int], bool] = bool) -> Panel:
    noise, time = np.random.default_rng(2), np.arange(rows)
    wave = 6 * np.sin(2 * np.pi * time / 12)
    return make_panel([50 + noise.normal(size=rows).cumsum() + wave * seasonal(n) for n in range(series)])


def same(one: Fitted, other: Fitted) -> bool:
    ours, theirs = one.forecaster.state_dict(), other.forecaster.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_season_that_only_some_of_many_series_have_is_found(make_panel: MakePanel) -> None:
    panel = yearly(make_panel, series=40, rows=120, seasonal=lambda n: n % 3 == 0)
    assert measure(panel).seasons[:1] == (12,)


def test_a_seasonal_base_asked_for_where_no_season_is_found_is_refused(make_panel: MakePanel) -> None:
    noise = np.random.default_rng(4)
    panel = make_panel([100 + noise.normal(size=40) for _ in range(40)])
    with pytest.raises(UsageError, match="base 'seasonal' needs a season"):
        make(panel, settings({"base": "seasonal", "context": 12}))


def test_no_season_is_found_in_white_noise(make_panel: MakePanel) -> None:
    noise = np.random.default_rng(4)
    assert measure(make_panel([100 + noise.normal(size=120) for _ in range(40)])).seasons == ()


@pytest.mark.parametrize(
    ("rows", "training", "expected"),
    [(60, {}, "short"), (800, {}, "panel"), (5200, {}, "long"), (60, {"stateful": True}, "stateful")],
)
def test_the_length_of_the_series_chooses_the_way_of_forecasting(
    make_panel: MakePanel, rows: int, training: dict[str, Any], expected: str
) -> None:
    noise = np.random.default_rng(0)
    plan = make(make_panel([50 + noise.normal(size=rows).cumsum()]), settings(**training))
    assert plan.regime == expected
    assert plan.architecture.summarises == (expected == "short")
    assert plan.reasons[0].key == "regime"


def test_members_of_short_series_differ_in_structure_and_seed_but_not_in_what_was_given(
    make_panel: MakePanel,
) -> None:
    panel = yearly(make_panel)
    members = make(panel, settings(members=5)).members
    assert len({member.architecture for member in members}) >= 4
    assert len({member.training.seed for member in members}) == 5
    given = make(panel, settings({"spread": "change", "transform": "log"}, members=5)).members
    assert {(member.architecture.spread, member.architecture.transform) for member in given} == {("change", "log")}


def test_a_plan_that_is_too_slow_loses_members_and_then_steps_and_remembers_it(
    make_panel: MakePanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = yearly(make_panel, series=40)
    plan = make(panel, settings(members=3))
    assert plan.steps > 100
    told: list[Report] = []
    pools = Pools(panel, plan.split)
    fit_into = partial(
        budget.fit_into, panel, plan, plan, pools=pools, processes=1, checkpoints=tmp_path, on_progress=told.append
    )
    monkeypatch.setattr(budget, "_probe", lambda *_: 10.0)
    slow = fit_into(resume=False)
    assert (len(slow.final.members), slow.final.steps) == (1, 100)
    assert slow.final.alone(0).steps == 100
    assert any(isinstance(report, Notice) and "to end within 120 s" in report.text for report in told)
    monkeypatch.setattr(budget, "_probe", lambda *_: 0.0)
    again = fit_into(resume=True)
    assert (again.final.members, again.final.steps) == (slow.final.members, slow.final.steps)
    assert len(fit_into(resume=False).final.members) == 3
    (tmp_path / "budget.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be read") as refused:
        fit_into(resume=True)
    assert "--resume" in refused.value.remedy


def test_steps_the_user_has_set_are_left_alone(make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = yearly(make_panel)
    plan = make(panel, settings(members=2, max_steps=7))
    monkeypatch.setattr(budget, "_probe", lambda *_: 1e6)
    pools = Pools(panel, plan.split)
    allotted = budget.fit_into(
        panel, plan, plan, pools=pools, processes=1, checkpoints=None, resume=False, on_progress=silent
    )
    assert (len(allotted.final.members), allotted.final.steps) == (2, 7)


def test_the_scales_of_many_series_are_those_of_each(make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    series = [np.where(random.random(n) < 0.2, np.nan, random.normal(size=n)) for n in (9, 30, 4, 1, 25)]
    series[3][0] = 1.0
    panel = make_panel([one.tolist() for one in series], max_gap=1)
    for rows in (1_000_000, 30, 1):
        monkeypatch.setattr(backtest, "_ROWS", rows)
        absolute, square = scales(panel, panel.ends, season=1)
        for k, one in enumerate(series):
            change = np.diff(one)
            change = change[np.isfinite(change)]
            assert absolute[k, 0] == pytest.approx(np.abs(change).mean() if len(change) else np.nan, nan_ok=True)
            assert square[k, 0] == pytest.approx(np.sqrt((change**2).mean()) if len(change) else np.nan, nan_ok=True)


def told_by(panel: Panel, seed: int, **training: Any) -> tuple[float, list[str]]:
    """The trust in a small network, and what was told about it."""
    told: list[str] = []
    wish = settings({"horizon": 6, "hidden": 4}, max_steps=30, members=1, seed=seed, **training)
    learned = learn(panel, wish, on_progress=lambda report: told.append(str(getattr(report, "text", ""))))
    return float(learned.network.trust), told


def test_a_network_that_learned_a_random_walk_gives_way_to_the_last_value(make_panel: MakePanel) -> None:
    panel = make_panel([100 + np.random.default_rng(5).normal(size=600).cumsum()])
    trust, told = told_by(panel, 1)
    assert trust < 0.3
    assert any("towards the last value" in text for text in told)
    assert told_by(panel, 1, shrink=False)[0] == 1


def test_intervals_are_left_as_the_network_gives_them_where_that_is_asked_for(make_panel: MakePanel) -> None:
    panel = yearly(make_panel)
    found = [
        learn(panel, settings(max_steps=3, members=1, calibrate=wish), on_progress=silent).factors
        for wish in (True, False)
    ]
    assert (found[0] != 1).any()
    assert (found[1] == 1).all()


def test_learning_tries_judges_and_then_trains_on_all_rows(make_panel: MakePanel) -> None:
    panel = yearly(make_panel)
    learned = learn(panel, settings(max_steps=3, members=2), on_progress=silent)
    assert [row[:2] for row in learned.history] == [("trial", 0), ("trial", 1), ("final", 0), ("final", 1)]
    assert learned.steps == 12
    assert len(learned.network.architectures) == 2
    assert learned.held.shape[:3] == learned.actual.shape
    once = learn(panel, settings(max_steps=3, members=1, refit=False), on_progress=silent)
    assert {row[0] for row in once.history} == {"trial"}


def test_the_first_network_is_tried_without_its_encoder_where_there_is_time(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = yearly(make_panel)
    learned = learn(panel, settings(max_steps=3, members=2), ablates=True, on_progress=silent)
    assert learned.encoder is not None
    trial = [row for row in learned.history if row[:2] == ("trial", 0)]
    assert learned.encoder.whole == trial[-1][-1]
    bare = learn(panel, settings({"encoder": "none"}, max_steps=3, members=1), on_progress=silent)
    assert learned.encoder.bare == bare.history[0][-1]
    assert learn(panel, settings({"encoder": "none"}, max_steps=3), ablates=True, on_progress=silent).encoder is None
    monkeypatch.setattr(budget, "SECONDS", {"auto": 1e-9})
    assert learn(panel, settings(members=1), ablates=True, on_progress=silent).encoder is None


def test_what_the_encoder_is_worth_is_told_in_a_sentence() -> None:
    assert "trained without its recurrent encoder: 0.440 (10.0% worse)" in Encoder(0.4, 0.44).sentence()
    assert "(5.0% better)" in Encoder(0.4, 0.38).sentence()


def test_the_best_classical_method_is_found_and_compared_on_the_same_windows(make_panel: MakePanel) -> None:
    time = np.arange(60.0)
    panel = make_panel([3 * time + 5, 2 * time + 100])
    cutoffs = np.array([50, 54, 110, 114])
    actual = backtest.actuals(panel, cutoffs, horizon=4)
    unit, _ = scales(panel, panel.ends, season=1)
    rival = best_classical(panel, cutoffs, actual + 0.3 * unit[[0, 0, 1, 1]][:, None], actual, unit=unit, season=1)
    assert rival is not None
    assert rival.name == "the drift"
    assert rival.mase < 1e-4
    noisy = make_panel([line + np.random.default_rng(5).normal(size=60) for line in (3 * time + 5, 2 * time + 100)])
    actual, (unit, _) = backtest.actuals(noisy, cutoffs, horizon=4), scales(noisy, noisy.ends, season=1)
    rival = best_classical(noisy, cutoffs, actual + 0.1 * unit[[0, 0, 1, 1]][:, None], actual, unit=unit, season=1)
    assert rival is not None
    assert rival.name in {"the drift", "damped Holt"}
    assert rival.model == pytest.approx(0.1)
    assert (rival.windows, rival.tried) == (4, 5)
    assert rival.skill == pytest.approx(1 - 0.1 / rival.mase)


def test_resuming_where_nothing_was_begun_is_refused(make_panel: MakePanel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no checkpoint"):
        learn(yearly(make_panel), settings(max_steps=2), checkpoints=tmp_path, resume=True, on_progress=silent)


def square(number: int, on_progress: OnProgress) -> int:
    on_progress(Progress("squares", number, 3))
    return number**2


def fail(number: int, on_progress: OnProgress) -> int:
    raise ModelError(f"task {number} has failed", remedy="mend it")


def test_large_arrays_reach_a_process_as_files_that_it_cannot_alter(tmp_path: Path) -> None:
    large, small = np.arange(2**18, dtype=np.float64), np.arange(3)
    parcel = workers._pack(partial(max, large, large, small), tmp_path)
    one, again, other = cast("partial[Any]", workers._unpack(parcel)).args
    assert one is not large
    assert np.array_equal(one, large)
    assert np.array_equal(again, large)
    assert np.array_equal(other, small)
    assert parcel.stat().st_size < large.nbytes / 100
    assert len(list(tmp_path.iterdir())) == 2
    one[0] = 5.0
    torch.from_numpy(one)  # warns of an array that must not be written
    assert cast("partial[Any]", workers._unpack(parcel)).args[0][0] == 0.0


def test_no_room_for_the_files_of_a_process_is_a_lack_of_resources(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be shared") as lacking:
        workers._pack(square, tmp_path / "gone")
    assert "TMPDIR" in lacking.value.remedy


def test_pools_go_to_another_process_without_what_they_hold(make_panel: MakePanel) -> None:
    panel = yearly(make_panel)
    plan = make(panel, settings(members=1, max_steps=2))
    pools = Pools(panel, plan.split)
    network = Forecaster(plan.architecture, generator=torch.Generator().manual_seed(0))
    made = pools.of(network)
    assert pools.of(network) is made
    sent = pickle.loads(pickle.dumps(pools))
    assert len(pickle.dumps(pools)) == len(pickle.dumps(Pools(panel, plan.split)))
    assert torch.equal(sent.of(network).chances, made.chances)


def die(number: int, on_progress: OnProgress) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.slow
def test_results_of_processes_come_back_in_order_with_their_reports() -> None:
    told: list[int] = []
    assert workers.run(square, 3, processes=2, tell=lambda number, _: told.append(number)) == [0, 1, 4]
    assert sorted(told) == [0, 1, 2]


@pytest.mark.slow
def test_an_error_in_a_process_reaches_the_caller_with_its_remedy() -> None:
    with pytest.raises(ModelError, match="task 0 has failed") as failed:
        workers.run(fail, 1, processes=2, tell=lambda *_: None)
    assert failed.value.remedy == "mend it"


@pytest.mark.slow
def test_a_process_that_is_killed_is_a_lack_of_resources() -> None:
    with pytest.raises(ResourceError, match="ended without a word") as died:
        workers.run(die, 2, processes=2, tell=lambda *_: None)
    assert "--members 1" in died.value.remedy


def stage(panel: Panel, *, steps: int, folder: Path | None = None, resume: bool = False) -> Stage:
    plan = make(panel, settings(members=2, max_steps=steps, checkpoint_steps=10))
    return Stage("final", panel, plan, Pools(panel, plan.split), folder, resume, "a")


@pytest.mark.slow
def test_members_trained_side_by_side_are_those_trained_one_after_the_other(make_panel: MakePanel) -> None:
    task = stage(yearly(make_panel), steps=12)
    alone = train(task, on_progress=silent)
    beside = train(task, side_by_side=2, on_progress=silent)
    assert all(same(a, b) for a, b in zip(alone, beside, strict=True))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("budget.fit", "stopped at step 1 of 20"),
        ("budget._share", "stopped at step 1 of 20"),
        ("learn.draw", "stopped at step 1 of 20"),
        ("learn.width_factors", "after the last step"),
    ],
)
def test_a_signal_between_trainings_is_answered_with_a_checkpoint_and_resuming_ends_with_the_same_weights(
    make_panel: MakePanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, told: str
) -> None:
    panel, wish = yearly(make_panel), settings(members=2, max_steps=20, checkpoint_steps=10)
    whole = learn(panel, wish, on_progress=silent).network.state_dict()
    module, name = place.split(".")
    real = getattr(importlib.import_module(f"lstmcast.fit.{module}"), name)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(f"lstmcast.fit.{place}", interrupted)
        with pytest.raises(StoppedError, match=told) as stopped:
            learn(panel, wish, checkpoints=tmp_path, on_progress=silent)
    assert stopped.value.signal_number == signal.SIGTERM
    assert "--resume" in stopped.value.remedy
    resumed = learn(panel, wish, checkpoints=tmp_path, resume=True, on_progress=silent).network.state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_second_signal_is_not_polite_any_more() -> None:
    with pytest.raises(KeyboardInterrupt), polite_stop() as stop, polite_stop() as inner:  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert stop is inner
        assert inner.requested == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_a_signal_while_processes_start_waits_until_they_can_save(make_panel: MakePanel, tmp_path: Path) -> None:
    panel, steps = yearly(make_panel), 60
    whole = train(stage(panel, steps=steps), on_progress=silent)
    with polite_stop(), pytest.raises(StoppedError, match="stopped at step 1 of"):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        train(stage(panel, steps=steps, folder=tmp_path), side_by_side=2, on_progress=silent)
    assert all(checkpoint.exists(tmp_path / f"final-{k}") for k in (0, 1))
    resumed = train(stage(panel, steps=steps, folder=tmp_path, resume=True), side_by_side=2, on_progress=silent)
    assert all(same(a, b) for a, b in zip(whole, resumed, strict=True))


@pytest.mark.slow
def test_a_signal_stops_all_processes_and_resuming_ends_with_the_same_weights(
    make_panel: MakePanel, tmp_path: Path
) -> None:
    panel, steps = yearly(make_panel), 400
    whole = train(stage(panel, steps=steps), on_progress=silent)
    sent: list[int] = []

    def interrupt(report: Report) -> None:
        if isinstance(report, Progress) and report.done > 20 and not sent:
            sent.append(report.done)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match="the checkpoint is saved") as stopped:
        train(stage(panel, steps=steps, folder=tmp_path), side_by_side=2, on_progress=interrupt)
    assert stopped.value.signal_number == signal.SIGTERM
    assert any(checkpoint.exists(folder) for folder in tmp_path.iterdir())
    resumed = train(stage(panel, steps=steps, folder=tmp_path, resume=True), side_by_side=2, on_progress=silent)
    assert all(same(a, b) for a, b in zip(whole, resumed, strict=True))


def with_a_leader(folder: Path, *, leads: bool) -> Path:
    """Two series of 400 days; column ``sign`` is what they do a week later, or was so until it turned round."""
    random = np.random.default_rng(7)
    days = np.datetime64("2024-01-01") + np.arange(400)
    lines = ["shop,day,sales,sign"]
    for shop in "ab":
        noise = random.normal(size=407)
        sign = noise[7:] * np.where(leads or np.arange(400) < 300, 1, -1)
        sales = 50 + 10 * noise[:400] + random.normal(size=400)
        rows = zip(days, sales, sign, strict=True)
        lines += [f"{shop},{day},{sold:.4f},{seen:.4f}" for day, sold, seen in rows]
    path = folder / "sales.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("leads", [True, False])
def test_a_covariate_that_nobody_asked_for_is_read_where_it_helps(tmp_path: Path, *, leads: bool) -> None:
    wish = settings({"horizon": 7, "hidden": 16}, max_steps=100, members=2, refit=True)
    whole = read([str(with_a_leader(tmp_path, leads=leads))], ReaderSettings(target=("sales",))).panel
    assert whole.schema.past == ("sign",)
    told: list[Report] = []
    learned = learn(whole, wish, on_progress=told.append)
    assert learned.network.architecture.past == int(leads)
    assert learned.reads(whole).schema.past == (("sign",) if leads else ())
    assert learned.held.shape[0] == len(learned.plan.split.validation)
    (sentence,) = [told.text for told in told if isinstance(told, Notice) and "with sign" in told.text]
    assert ("left out (--past sign keeps it)" in sentence) is not leads
    assert {reason.key: reason.value for reason in learned.plan.reasons}["past"] == ("sign" if leads else "none")
    # the winner is a member of the trial: it is not trained once more
    assert {(stage, member) for stage, member, *_ in learned.history} == {
        ("trial", 0),
        ("trial", 1),
        ("final", 0),
        ("final", 1),
    }
    asked = wish.model_copy(update={"reader": ReaderSettings(past=("sign",))})
    assert learn(whole, asked, on_progress=silent).network.architecture.past == 1
