"""The training loop: it learns, resumes to the very bit, stops politely, names the culprit, and carries state."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakePanel

from lstmcast.config import Settings
from lstmcast.data.panel import Panel
from lstmcast.data.windows import Batch, Lanes, Split
from lstmcast.errors import DivergedError, ModelError, ResourceError, StoppedError, TooShortError, UsageError
from lstmcast.fit import checkpoint, device, loop, optimiser, rows
from lstmcast.fit.loop import fit
from lstmcast.fit.plan import Plan, make
from lstmcast.fit.tbptt import StreamObjective
from lstmcast.forecast import predict
from lstmcast.forecast.predict import quantiles_at
from lstmcast.layers import resolve
from lstmcast.net.forecaster import Forecaster
from lstmcast.outcome import Progress, Report, silent


def settings(network: dict[str, Any] | None = None, **training: Any) -> Settings:
    small = {"horizon": 4, "hidden": 8, "context": 16, "patch": 4}
    return resolve([("test", {"network": small | (network or {}), "training": training})], choices={})


def waves(make_panel: MakePanel, *, series: int = 3, rows: int = 160) -> Panel:
    time, noise = np.arange(rows), np.random.default_rng(0)
    return make_panel([20 + n + 5 * np.sin(2 * np.pi * time / 8 + n) + noise.normal(size=rows) for n in range(series)])


def weights(panel: Panel, plan: Plan, **options: Any) -> dict[str, torch.Tensor]:
    return dict(fit(panel, plan, on_progress=silent, **options).forecaster.state_dict())


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_every_optimiser_and_schedule_lowers_the_loss(make_panel: MakePanel, optimizer: str, schedule: str) -> None:
    panel = waves(make_panel)
    rate = 0.2 if optimizer == "sgd" else 0.005
    alone = {"base": "none", "transform": "none"}  # a statistical base begins too well for 60 steps to tell
    wish = settings(alone, optimizer=optimizer, schedule=schedule, learning_rate=rate, max_steps=60, checkpoint_steps=5)
    history = fit(panel, make(panel, wish), on_progress=silent).history
    assert np.mean([row[1] for row in history[-3:]]) < 0.9 * history[0][1]


def test_same_seed_same_weights_and_another_seed_others(make_panel: MakePanel) -> None:
    panel = waves(make_panel)
    first = weights(panel, make(panel, settings(max_steps=12, seed=3)))
    assert same(first, weights(panel, make(panel, settings(max_steps=12, seed=3))))
    assert not same(first, weights(panel, make(panel, settings(max_steps=12, seed=4))))


def test_training_leaves_the_global_generator_as_it_was(make_panel: MakePanel) -> None:
    panel = waves(make_panel)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    weights(panel, make(panel, settings(max_steps=3)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("stateful", "patch"), [(False, None), (True, 1), (True, 4)])
def test_a_run_stopped_by_a_signal_resumes_to_the_very_bit(
    make_panel: MakePanel, tmp_path: Path, stateful: bool, patch: int | None
) -> None:
    panel = waves(make_panel)
    wish = settings({"patch": patch}, max_steps=20, checkpoint_steps=7, stateful=stateful)
    plan = make(panel, wish)
    whole = weights(panel, plan)

    def interrupt(report: Report) -> None:
        if isinstance(report, Progress) and report.done == 11:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StoppedError, match="stopped at step 11 of 20; the checkpoint is saved") as stopped:
        fit(panel, plan, checkpoints=tmp_path, identity="a", on_progress=interrupt)
    assert stopped.value.signal_number == signal.SIGINT
    assert "--resume" in stopped.value.remedy
    assert same(whole, weights(panel, plan, checkpoints=tmp_path, identity="a", resume=True))


def test_a_checkpoint_of_other_data_is_refused(make_panel: MakePanel, tmp_path: Path) -> None:
    panel = waves(make_panel)
    plan = make(panel, settings(max_steps=4))
    weights(panel, plan, checkpoints=tmp_path, identity="a")
    with pytest.raises(ModelError, match="other data or other settings"):
        weights(panel, plan, checkpoints=tmp_path, identity="b", resume=True)


def test_resuming_without_a_checkpoint_is_refused(make_panel: MakePanel, tmp_path: Path) -> None:
    panel = waves(make_panel)
    with pytest.raises(ModelError, match="there is no checkpoint"):
        weights(panel, make(panel, settings(max_steps=4)), checkpoints=tmp_path, resume=True)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint.write({"step": 1, "weights": [torch.ones(3)]}, tmp_path)
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint.read(tmp_path)


def test_a_checkpoint_gives_back_what_was_put_in(tmp_path: Path) -> None:
    state = {"a": torch.arange(3), "b": [1, 2.5, None, (torch.ones(2), "x")], "c": {"d": True}, "e": float("inf")}
    checkpoint.write(state, tmp_path)
    back = checkpoint.read(tmp_path)
    assert torch.equal(back["a"], state["a"])
    assert back["b"][:3] == [1, 2.5, None]
    assert isinstance(back["b"][3], tuple)
    assert back["c"] == {"d": True}
    assert back["e"] == float("inf")


def test_a_loss_that_is_not_finite_is_tried_again_and_then_names_the_culprit(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [float(v) for v in range(60)]
    values[40] = 1e6
    panel = make_panel([range(60), values])
    wish = settings(max_steps=30, checkpoint_steps=5, learning_rate=0.004, schedule="constant")
    reports: list[Report] = []
    healthy, calls = Forecaster.loss, iter(range(100))

    def poisoned(network: Forecaster, *arguments: torch.Tensor) -> torch.Tensor:
        return healthy(network, *arguments) * (float("nan") if next(calls) >= 8 else 1.0)

    monkeypatch.setattr(Forecaster, "loss", poisoned)
    with pytest.raises(DivergedError, match=r"series s1, column y, at 41") as error:
        fit(panel, make(panel, wish), on_progress=reports.append)
    assert "--lr" in error.value.remedy
    assert any("going back to step 5, with half the learning rate" in str(report) for report in reports)
    assert "learning rate 0.002" in str(error.value)


def test_after_one_loss_that_is_not_finite_training_goes_on_at_half_the_rate(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = waves(make_panel)
    healthy, calls = Forecaster.loss, iter(range(100))

    def poisoned_once(network: Forecaster, *arguments: torch.Tensor) -> torch.Tensor:
        return healthy(network, *arguments) * (float("nan") if next(calls) == 8 else 1.0)

    monkeypatch.setattr(Forecaster, "loss", poisoned_once)
    wish = settings(max_steps=20, checkpoint_steps=5, learning_rate=0.004, schedule="constant")
    fitted = fit(panel, make(panel, wish), on_progress=silent)
    assert fitted.steps == 20
    assert [row[2] for row in fitted.history] == pytest.approx([0.004, 0.002, 0.002, 0.002])


def test_early_stopping_keeps_the_best_weights_and_stops(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = waves(make_panel)
    plan = make(panel, settings(max_steps=60, checkpoint_steps=5, early_stop=2))
    looks: list[dict[str, torch.Tensor]] = []

    def look(network: Forecaster) -> float:
        looks.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return [3.0, 1.0, 2.0, 2.0][len(looks) - 1]

    monkeypatch.setattr(loop, "scaled_error", lambda network, *_: look(network))
    fitted = fit(panel, plan, on_progress=silent)
    assert fitted.steps == 20
    assert same(fitted.forecaster.state_dict(), looks[1])
    assert not same(looks[1], looks[3])


def test_clipping_bounds_the_gradient_by_norm_and_by_value() -> None:
    network = torch.nn.Linear(3, 2)
    for wish, bound in (({"clip_norm": 0.5}, "norm"), ({"clip_norm": None, "clip_value": 0.1}, "value")):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, 7.0)
        norm = optimiser.clip(list(network.parameters()), settings(**wish).training)
        assert float(norm) == pytest.approx((7 if bound == "norm" else 0.1) * 8**0.5)
        gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        assert (gradient.norm() if bound == "norm" else gradient.abs().max()) <= (0.5001 if bound == "norm" else 0.1)


def test_a_weight_average_without_decay_is_the_latest_weights() -> None:
    network = torch.nn.Linear(2, 2)
    average = optimiser.WeightAverage(network, 0.0)
    with torch.no_grad():
        network.weight.fill_(5.0)
    average.update(0)
    assert torch.equal(average.weights["weight"], network.weight)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ResourceError, match="there is no device 'cuda:77' here"):
        device.choose("cuda:77")


def stream(panel: Panel, plan: Plan, *, k1: int, k2: int) -> tuple[Any, StreamObjective]:
    network = fit(panel, plan, on_progress=silent).forecaster
    return network, StreamObjective(panel, plan.split, network, lanes=1, k1=k1, k2=k2, seed=1)


def test_truncation_changes_no_forward_value_and_long_truncation_gives_the_full_gradient(make_panel: MakePanel) -> None:
    panel = waves(make_panel, series=1, rows=80)
    plan = make(panel, settings({"patch": 1, "dropout": 0.0}, stateful=True, max_steps=1))
    results = {}
    for k2 in (2, 4, 8, 12, 40):
        network, objective = stream(panel, plan, k1=4, k2=k2)
        for _ in range(3):
            network.zero_grad()
            loss = objective.next_loss(network).value
        loss.backward()
        results[k2] = (loss.item(), torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert results[4][0] == pytest.approx(results[12][0], rel=1e-5)
    assert results[8][0] == pytest.approx(results[12][0], rel=1e-5)
    torch.testing.assert_close(results[12][1], results[40][1])
    assert not torch.allclose(results[4][1], results[12][1])


@pytest.mark.parametrize(("k1", "k2"), [(4, 2), (4, 4), (4, 6), (4, 10), (1, 5)])
def test_no_gradient_reaches_further_back_than_k2_rows(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch, k1: int, k2: int
) -> None:
    panel = waves(make_panel, series=1, rows=60)
    plan = make(panel, settings({"patch": 1, "dropout": 0.0}, stateful=True, max_steps=1))
    network, objective = stream(panel, plan, k1=k1, k2=k2)
    inputs: dict[int, torch.Tensor] = {}
    chunk = Lanes.chunk

    def watched(lanes: Lanes, index: int) -> Batch:
        batch = chunk(lanes, index)
        inputs[index] = batch.context.requires_grad_()
        return replace(batch, context=inputs[index])

    monkeypatch.setattr(Lanes, "chunk", watched)
    for _ in range(6):
        inputs.clear()
        loss = objective.next_loss(network).value
    torch.autograd.backward(loss)
    reached = torch.cat(
        [torch.zeros(k1) if x.grad is None else x.grad[0, :, 0] for _, x in sorted(inputs.items())]
    ).abs()
    assert (reached[:-k2] == 0).all()
    assert reached[-k2] > 0


def test_stateful_training_combines_only_with_what_a_carried_state_allows(make_panel: MakePanel) -> None:
    panel = waves(make_panel)
    with pytest.raises(UsageError, match="cannot be bidirectional") as error:
        make(panel, settings({"highway": True, "bidirectional": True}, stateful=True))
    assert "highway" in str(error.value)


def test_a_chunk_of_a_stream_ends_with_a_whole_patch(make_panel: MakePanel) -> None:
    panel = waves(make_panel)
    with pytest.raises(
        UsageError, match="10 rows ends in the middle of a patch of 4; use --tbptt with a multiple of 4"
    ):
        make(panel, settings({"patch": 4}, stateful=True, tbptt=(10, 20)))
    assert make(panel, settings({"patch": 5, "context": None}, stateful=True)).settings.training.tbptt == (80, 80)


@pytest.mark.parametrize(("decoder", "horizon", "apart"), [("direct", 24, 1), ("parallel", 8, 1), ("parallel", 24, 3)])
def test_a_decoder_of_many_steps_teaches_at_some_rows_drawn_anew(
    make_panel: MakePanel, decoder: str, horizon: int, apart: int
) -> None:
    panel = waves(make_panel, series=1, rows=200)
    wish = {"patch": 1, "dropout": 0.0, "decoder": decoder, "horizon": horizon}
    plan = make(panel, settings(wish, stateful=True, tbptt=(10, 10), max_steps=1))
    network, objective = stream(panel, plan, k1=10, k2=10)
    asked: list[torch.Tensor] = []
    read = network.stream
    network.stream = lambda *given, **named: asked.append(named["origins"]) or read(*given, **named)
    for _ in range(6):
        objective.next_loss(network)
    if apart == 1:
        every = list(range(asked[0].numel()))
        assert len(every) % 10 == 0
        assert [origins.tolist() for origins in asked] == [every] * 6
        return
    for origins in asked:
        assert sorted({row // apart for row in origins.tolist()})[:3] == [0, 1, 2]
        assert len(origins) <= 4
    assert {row for origins in asked for row in origins.tolist()} > set(range(5))


def test_every_patch_of_a_stream_teaches_at_its_end_and_at_one_row_within(make_panel: MakePanel) -> None:
    panel = waves(make_panel, series=1, rows=80)
    plan = make(panel, settings({"patch": 4, "dropout": 0.0}, stateful=True, tbptt=(12, 12), max_steps=1))
    network, objective = stream(panel, plan, k1=12, k2=9)
    asked: list[torch.Tensor] = []
    read = network.stream
    network.stream = lambda *given, **named: asked.append(named["origins"]) or read(*given, **named)
    for _ in range(4):
        objective.next_loss(network)
    for origins in asked:  # of the nine rows that gradients reach, in a chunk of twelve
        assert origins[:3].tolist() == [8, 4, 0]
        assert [row // 4 for row in (origins[3:] - 1).tolist()] == [1, 0]
    assert len({tuple(origins.tolist()) for origins in asked}) > 1


def test_too_little_history_is_refused_with_the_arithmetic(make_panel: MakePanel) -> None:
    panel = make_panel([range(6), range(7)])
    with pytest.raises(TooShortError, match=r"history 2 \+ horizon 6 = 8 rows are needed; the longest, s1, has 7"):
        make(panel, settings({"horizon": 6}))


def lagged(make_panel: MakePanel, *, lag: int, rows: int = 8000) -> Panel:
    noise = np.random.default_rng(5).normal(size=rows)
    return make_panel([np.concatenate([np.zeros(lag), noise[:-lag]])], covariates=[noise])


def held_out_error(panel: Panel, plan: Plan) -> float:
    """Mean squared error of one-step medians on the held-out rows, in units of the target's variance."""
    network = fit(panel, plan, on_progress=silent).forecaster
    cutoffs = np.arange(int(plan.split.limit[0]), len(panel.values))
    median = quantiles_at(network, panel, cutoffs)[:, 0, 0, network.architecture.quantiles.index(0.5)]
    return float(np.mean((median - panel.values[cutoffs, 0]) ** 2))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_only_a_carried_state_learns_to_copy_from_beyond_the_context(make_panel: MakePanel, seed: int) -> None:
    context = 6
    panel = lagged(make_panel, lag=2 * context)
    network = {"horizon": 1, "context": context, "patch": 1, "hidden": 32, "dropout": 0.0, "highway": False}
    network |= {"decoder": "direct", "loss": "mse"}
    common = {"seed": seed, "learning_rate": 0.02, "batch": 16, "max_steps": 1300}
    windowed = make(panel, settings(network | {"base": "none"}, **common))
    carried = make(panel, settings(network, stateful=True, tbptt=(context, 4 * context), epochs=15, **common))
    assert held_out_error(panel, windowed) > 0.8
    assert held_out_error(panel, carried) < 0.35


def test_facts_find_the_seasons_of_numbered_rows(make_panel: MakePanel) -> None:
    time, noise = np.arange(900), np.random.default_rng(1)
    weekly = np.where((time // 24) % 7 < 5, 10.0, 0.0)
    daily = make_panel([np.sin(2 * np.pi * time / 24) * 5 + weekly + noise.normal(size=900) for _ in range(4)])
    assert make(daily, settings({"context": None, "patch": None})).architecture.seasons == (24, 168)
    walk = make_panel([np.cumsum(noise.normal(size=900)) for _ in range(4)])
    assert make(walk, settings({"context": None})).season == 1


def test_the_plan_says_why_and_what_was_given(make_panel: MakePanel) -> None:
    reasons = {reason.key: reason for reason in make(waves(make_panel), settings({"hidden": 24})).reasons}
    assert reasons["hidden"].value == "24"
    assert reasons["hidden"].why == "given"
    assert "season" in reasons["normaliser"].why or "level" in reasons["normaliser"].why


def test_the_resolved_settings_make_the_same_plan_again(make_panel: MakePanel) -> None:
    panel = waves(make_panel)
    plan = make(panel, settings(epochs=2))
    again = make(panel, plan.settings)
    assert again.architecture == plan.architecture
    assert again.steps == plan.steps


def test_very_many_held_out_windows_are_judged_by_a_sample(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = waves(make_panel, series=20)
    whole = make(panel, settings(max_steps=1)).split
    monkeypatch.setattr(rows, "_JUDGED", 7)
    monkeypatch.setattr(rows, "_FEWEST_JUDGED", 5)
    sample, again, other = (make(panel, settings(max_steps=1, seed=seed)).split for seed in (1, 1, 2))
    assert len(sample.validation) == 7
    assert set(sample.validation) < set(whole.validation)
    assert (np.diff(sample.validation) > 0).all()
    assert np.array_equal(sample.validation, again.validation)
    assert not np.array_equal(sample.validation, other.validation)
    assert np.array_equal(sample.limit, whole.limit)


def test_covariates_of_very_many_rows_are_scaled_by_a_sample(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = np.random.default_rng(1).normal(5, 3, (3, 400))
    panel = make_panel(columns.tolist(), covariates=columns.tolist())
    plan = make(panel, settings(max_steps=1))
    rows = np.concatenate([panel.covariates[a:b] for a, b in zip(panel.offsets[:-1], plan.split.limit, strict=True)])
    mean, deviation = loop.covariate_scale(panel, plan)
    assert mean.numpy() == pytest.approx(rows.mean(axis=0))
    assert deviation.numpy() == pytest.approx(rows.std(axis=0))
    monkeypatch.setattr(loop, "_MEASURED", 300)
    mean, deviation = loop.covariate_scale(panel, plan)
    assert mean.numpy() == pytest.approx(rows.mean(axis=0), abs=0.6)
    assert mean.numpy() != pytest.approx(rows.mean(axis=0))


def test_forecasts_are_the_same_bits_in_any_number_of_threads(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = waves(make_panel)
    network = fit(panel, make(panel, settings(max_steps=2)), on_progress=silent).forecaster
    monkeypatch.setattr(predict, "_WINDOWS", 3)
    monkeypatch.setattr(predict, "_WORTH_THREADS", 2)
    monkeypatch.setattr(predict, "_AHEAD", 2)
    cutoffs = np.arange(60, 120)
    alone = quantiles_at(network, panel, cutoffs)
    assert np.array_equal(quantiles_at(network, panel, cutoffs, threads=3), alone)


def test_split_is_stored_with_the_plan(make_panel: MakePanel) -> None:
    plan = make(waves(make_panel), settings())
    assert isinstance(plan.split, Split)
    assert plan.split.windows > 0
