"""The detector's lessons in numpy are those that torch would give."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from lstmcast.anomaly.lessons import RATE, rate
from lstmcast.anomaly.network import Asked
from lstmcast.anomaly.rhythm import Rhythm
from lstmcast.anomaly.schooling import Learner, drawn, loss_and_slopes, school
from lstmcast.anomaly.sequences import LEVELS, Sequences, measure_unit
from lstmcast.anomaly.teaching import network_of
from lstmcast.anomaly.telling import lstm_quantiles

HOURS = Rhythm(day=24, week=168, rows=24, step=1)


def sequences(rows: int = 400, *, far: float = 0.0) -> Sequences:
    rng = np.random.default_rng(0)
    y = 50 + 9 * np.sin(2 * np.pi * np.arange(rows) / 24) + rng.normal(size=rows)
    y[250:252] += far
    time = np.arange(rows, dtype=np.int64)
    return Sequences([time], [y], [measure_unit(time, y, HOURS)], HOURS)


@pytest.mark.parametrize("far", [0.0, 400.0])
def test_the_slopes_are_those_of_torch(far: float) -> None:
    there, weights = sequences(far=far), drawn(hidden=8, seed=2)
    network = network_of(cell="lstm", hidden=8, seed=0, weights=weights).eval()
    row = np.array([1, 5, 64, 200, 250, 251, 399])
    channel = np.zeros_like(row)
    counted = np.random.default_rng(1).random((len(row), 3)) < 0.8
    asked, answers = there.ask(channel, row), there.answers(channel, row)
    loss = network.loss(Asked(*map(torch.from_numpy, asked)), torch.from_numpy(answers), torch.from_numpy(counted))
    torch.autograd.backward(loss)
    found, slopes = loss_and_slopes(weights, asked, answers, counted)
    assert found == pytest.approx(loss.item(), rel=1e-5)
    assert {name for name, _ in network.named_parameters()} == set(slopes)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert np.abs(slopes[name]).max() > 0
        np.testing.assert_allclose(slopes[name], parameter.grad.numpy(), atol=2e-6, rtol=1e-3, err_msg=name)


def test_dropout_silences_what_is_written_from() -> None:
    there, weights = sequences(), drawn(hidden=8, seed=2)
    row = np.array([100, 300])
    asked, answers = there.ask(row * 0, row), there.answers(row * 0, row)
    counted = np.ones((2, 3), dtype=bool)
    kept = np.ones((2, 3, 8), dtype=np.float32)
    kept[..., 3] = 0
    _, slopes = loss_and_slopes(weights, asked, answers, counted, kept=kept)
    assert not slopes["write.weight"][:, 3].any()
    assert slopes["write.weight"][:, 4].any()


def test_the_steps_are_those_of_torch() -> None:
    weights = drawn(hidden=8, seed=2)
    learner = Learner(weights)
    parameters = {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in weights.items()}
    cell = [p for name, p in parameters.items() if "bias_" in name]
    others = [p for name, p in parameters.items() if "bias_" not in name]
    groups = [{"params": others}, {"params": cell, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.99), weight_decay=1e-3)
    rng = np.random.default_rng(0)
    for _ in range(5):
        slopes = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in weights.items()}
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(slopes[name].copy())
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)
        optimiser.step()
        learner.step(slopes, 3e-3, share=0.5)
    for name, parameter in parameters.items():
        np.testing.assert_allclose(learner.weights[name], parameter.detach().numpy(), atol=1e-6, err_msg=name)
        assert not np.array_equal(learner.averaged()[name], learner.weights[name])


def test_first_weights_have_the_laws_of_torchs() -> None:
    ours, theirs = drawn(hidden=32, seed=1), dict(network_of(cell="lstm", hidden=32, seed=1).named_parameters())
    assert {name: array.shape for name, array in ours.items()} == {n: tuple(p.shape) for n, p in theirs.items()}
    for name, parameter in theirs.items():
        assert ours[name].std() == pytest.approx(float(parameter.detach().std(correction=0)), rel=0.35, abs=1e-6), name
        assert np.abs(ours[name]).max() == pytest.approx(float(parameter.detach().abs().max()), rel=0.5, abs=1e-6), name
    block = ours["stack.cells.0.weight_hh"][:32]
    np.testing.assert_allclose(block @ block.T, np.eye(32), atol=1e-5)


def test_a_school_teaches_and_depends_on_its_seed_alone() -> None:
    there, first, stop = sequences(), np.array([0]), np.array([300])
    weights = drawn(hidden=16, seed=1)
    taught = school(weights, there, first, stop, steps=150, seed=5)
    again = school(weights, there, first, stop, steps=150, seed=5)
    other = school(weights, there, first, stop, steps=150, seed=6)
    assert all(np.array_equal(taught[name], again[name]) for name in taught)
    assert not np.array_equal(taught["write.weight"], other["write.weight"])
    row = np.arange(310, 376)
    asked = there.ask(row * 0, row)
    error = (there.answers(row * 0, row) - asked.level) / asked.scale
    median = LEVELS.index(0.5)
    before, after = (np.abs(error - lstm_quantiles(w)(asked)[..., median]).mean() for w in (weights, taught))
    assert after < 0.6 * before


def test_the_rate_rises_then_falls() -> None:
    rates = [rate(done, anew=True) / RATE for done in (0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.5, 1.02, 0.52, 0.02])
    again = [rate(done, anew=False) / RATE for done in (0.05, 0.1, 0.55, 1.0)]
    assert again == pytest.approx([0.25, 0.51, 0.26, 0.01])


def test_a_lesson_needs_no_torch() -> None:
    code = "import sys, lstmcast.anomaly.schooling; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
