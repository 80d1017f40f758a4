"""Inspection: what is said about a network is what it does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import MakePanel
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lstmcast.cli.app import run
from lstmcast.data.windows import Batch, Windows
from lstmcast.errors import TooShortError, UsageError
from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import CELLS
from lstmcast.net.decoder import DECODERS
from lstmcast.net.ensemble import Ensemble
from lstmcast.net.forecaster import Forecaster
from lstmcast.recipes.inspect import inspect
from lstmcast.study.anatomy import Part, anatomy, formula
from lstmcast.study.figure import Figure
from lstmcast.study.gates import memory, observe, persistence, statistics
from lstmcast.study.influence import gradients, importance

Capture = pytest.CaptureFixture[str]
SHAPE = Architecture(context=12, horizon=4, hidden=8, patch=2)
GATES = {"gru": {"r", "z"}, "rnn": set(), "coupled": {"f", "o"}, "highway": {"i", "f", "o", "T"}}
every_cell = pytest.mark.parametrize("name", list(CELLS))


def cell_of(name: str, *, inputs: int = 3, hidden: int = 5, seed: int = 0, **options: Any) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return CELLS.load(name)(inputs, hidden, generator=generator, **options).double()


def network_of(shape: Architecture = SHAPE, *, seed: int = 0) -> Forecaster:
    return Forecaster(shape, generator=torch.Generator().manual_seed(seed)).eval()


def batch_of(make_panel: MakePanel, *, count: int = 6, rows: int = 12, covariate: bool = False) -> Batch:
    noise = np.random.default_rng(0)
    columns = [noise.normal(size=60)] if covariate else []
    panel = make_panel([20 + np.cumsum(noise.normal(size=60))], covariates=columns)
    return Windows(panel, context=rows, horizon=4).gather(torch.arange(20, 20 + 5 * count, 5))


def stepped(name: str) -> tuple[Any, torch.Tensor, tuple[torch.Tensor, ...]]:
    cell, noise = cell_of(name), torch.Generator().manual_seed(1)
    x = torch.randn(4, 3, generator=noise, dtype=torch.float64)
    state = tuple(0.5 * torch.randn(part.shape, generator=noise).double() for part in cell.initial_state(4))
    return cell, x, state


@every_cell
def test_a_gate_lies_between_shut_and_open_and_a_candidate_between_its_bounds(name: str) -> None:
    cell, x, state = stepped(name)
    acts = cell.gates(x, state)
    gates = set(acts) - {cell.candidate}
    assert gates == GATES.get(name, {"i", "f", "o"})
    for gate in gates:
        assert bool(((acts[gate] > 0) & (acts[gate] <= 1)).all())
        if name != "slstm":  # whose i and f are exponentials and reach 1
            assert bool((acts[gate] < 1).all())
    if acts:
        assert bool((acts[cell.candidate].abs() < 1).all())


RECOMBINED = {
    "gru": lambda a, s, c: (1 - a["z"]) * a["n"] + a["z"] * s[0],
    "coupled": lambda a, s, c: a["o"] * torch.tanh(a["f"] * s[1] + (1 - a["f"]) * a["g"]),
    "projected": lambda a, s, c: F.linear(a["o"] * torch.tanh(a["f"] * s[1] + a["i"] * a["g"]), c.weight_hr),
    "highway": lambda a, s, c: a["T"] * a["o"] * torch.tanh(a["f"] * s[1] + a["i"] * a["g"]) + (1 - a["T"]) * s[0],
    "layernorm": lambda a, s, c: (
        a["o"] * torch.tanh(F.layer_norm(a["f"] * s[1] + a["i"] * a["g"], (c.hidden,), c.gain_c, c.bias_c))
    ),
    "slstm": lambda a, s, c: a["o"] * (a["f"] * s[1] + a["i"] * a["z"]) / (a["f"] * s[2] + a["i"]).clamp(min=1),
}


@pytest.mark.parametrize("name", [name for name in CELLS if name != "rnn"])
def test_the_gates_of_a_step_recombined_give_the_step(name: str) -> None:
    cell, x, state = stepped(name)
    plain = lambda a, s, c: a["o"] * torch.tanh(a["f"] * s[1] + a["i"] * a["g"])  # noqa: E731
    h = RECOMBINED.get(name, plain)(cell.gates(x, state), state, cell)
    torch.testing.assert_close(h, cell.step(x, state)[0], rtol=1e-9, atol=1e-11)


@every_cell
def test_the_formula_of_a_cell_counts_its_parameters(name: str) -> None:
    cell = cell_of(name, inputs=6, hidden=8)
    assert formula(cell)[1] == sum(parameter.numel() for parameter in cell.parameters())


def test_the_formulas_know_the_options_of_cells() -> None:
    for cell in (
        cell_of("projected", memory=11),
        cell_of("multiplicative", inputs=5, form="additive"),
        cell_of("slstm", hidden=6, heads=3),
    ):
        assert formula(cell)[1] == sum(parameter.numel() for parameter in cell.parameters())


VARIANTS = {
    **{name: replace(SHAPE, decoder=name, highway=True) for name in DECODERS},
    "two layers, both ways": replace(SHAPE, layers=2, bidirectional=True),
    "shared layers": replace(SHAPE, layers=3, shared_layers=True),
    "tree": replace(SHAPE, encoder="tree", decoder="direct"),
    "gate": replace(SHAPE, base="statistical", normaliser="level", history=20, facts=True),
    "covariates": replace(SHAPE, past=2, future=1),
    "static covariates": replace(SHAPE, static=(0, 5)),
    "attention": replace(SHAPE, attention="additive", decoder="seq2seq"),
    "depth gates": replace(SHAPE, layers=3, depth_gate=True),
}


@pytest.mark.parametrize("shape", VARIANTS.values(), ids=VARIANTS)
def test_the_parts_hold_every_parameter_once(shape: Architecture) -> None:
    network = network_of(shape)
    parts = anatomy(network)
    assert sum(part.parameters for part in parts) == sum(p.numel() for p in network.parameters())
    assert all(part.expected in {None, part.parameters} for part in parts)


def part(shape: Architecture, name: str) -> Part:
    return next(part for part in anatomy(network_of(shape)) if part.name == name)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "coupled", "projected", "highway", "multiplicative"])
def test_multiply_adds_are_those_of_the_matrix_products(name: str) -> None:
    cell = cell_of(name, inputs=8, hidden=8).float()
    with FlopCounterMode(display=False) as counter:
        cell.step(torch.zeros(1, 8), cell.initial_state(1))
    assert part(replace(SHAPE, cell=name), "layer 1").multiply_adds == counter.get_total_flops() // 2


def test_cost_follows_context_patch_and_state() -> None:
    assert part(replace(SHAPE, context=13), "layer 1").steps == 7
    assert part(SHAPE, "layer 1").state_bytes == 2 * 8 * 4
    assert part(replace(SHAPE, cell="slstm"), "layer 1").state_bytes == 4 * 8 * 4
    assert part(replace(SHAPE, decoder="direct"), "decoder").steps == 1


@pytest.mark.parametrize("name", ["lstm", "gru", "slstm", "projected"])
def test_what_is_read_off_a_stack_is_what_it_does(name: str) -> None:
    stack = network_of(replace(SHAPE, cell=name, layers=2, bidirectional=True, zoneout=0.2)).stack
    x = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1))
    start = tuple(0.3 * torch.ones_like(part) for part in stack.initial_state(3))
    outputs, final = stack(x, start)
    readings = stack.readings(x, start)
    assert [(r.layer, r.backward) for r in readings] == [(0, False), (0, True), (1, False), (1, True)]
    top = torch.cat([readings[2].after[0], readings[3].after[0].flip(1)], -1)
    torch.testing.assert_close(top, outputs)
    ends = [part[:, -1] for reading in readings for part in reading.after]
    torch.testing.assert_close(tuple(ends), final)
    torch.testing.assert_close(readings[1].before[0][:, 0], start[0])


def figures_of(network: Forecaster, batch: Batch) -> list[Figure]:
    (readings,) = observe(Ensemble([network]), batch)
    found = list(statistics(readings, member=1, patch=network.architecture.patch))
    return found + list(memory(readings, member=1, patch=network.architecture.patch, seed=1))


def value(figures: list[Figure], subject: str, measure: str, lag: int | None = None) -> float:
    return next(f.value for f in figures if (f.subject, f.measure, f.lag) == (subject, measure, lag))


def test_a_cell_whose_forget_gate_is_held_open_keeps_everything(make_panel: MakePanel) -> None:
    network = network_of()
    cell: Any = network.stack.cells[0]
    with torch.no_grad():
        for weight in (cell.weight_ih, cell.weight_hh):
            weight[8:16] = 0.0
        cell.bias_ih[8:16] = 40.0
    figures = figures_of(network, batch_of(make_panel))
    assert value(figures, "f", "mean") == pytest.approx(1.0)
    assert value(figures, "f", "entropy") == pytest.approx(0.0, abs=1e-6)
    assert value(figures, "f", "kept", lag=12) == pytest.approx(1.0)


def test_a_gate_at_one_half_is_undecided_and_halves_a_memory_with_each_step(make_panel: MakePanel) -> None:
    network = network_of(replace(SHAPE, cell="coupled"))
    cell: Any = network.stack.cells[0]
    with torch.no_grad():
        for weight in (cell.weight_ih, cell.weight_hh, cell.bias):
            weight[:8] = 0.0
    figures = figures_of(network, batch_of(make_panel))
    assert value(figures, "f", "entropy") == pytest.approx(1.0)
    assert value(figures, "f", "kept", lag=2) == pytest.approx(0.5)
    assert value(figures, "f", "kept", lag=6) == pytest.approx(0.125)
    assert np.isnan(value(figures, "1−f,g", "correlation"))  # it never moves


def test_the_memory_knows_more_of_what_was_last_than_of_what_was_long_ago(make_panel: MakePanel) -> None:
    figures = figures_of(network_of(), batch_of(make_panel, count=8))
    assert value(figures, "c", "mutual information", lag=2) > value(figures, "c", "mutual information", lag=8)


def test_what_persists_is_halved_by_every_step_of_a_gate_at_one_half(make_panel: MakePanel) -> None:
    network = network_of(replace(SHAPE, cell="coupled"))
    cell: Any = network.stack.cells[0]
    with torch.no_grad():
        cell.weight_hh.zero_()
        for weight in (cell.weight_ih, cell.bias):
            weight[:8] = 0.0
    (readings,) = observe(Ensemble([network]), batch_of(make_panel))
    found = list(persistence(readings, member=1, patch=2, seed=1))
    one, two, four = (value(found, "c", "persistence", lag) for lag in (2, 4, 8))
    assert [two / one, four / one] == pytest.approx([0.5, 0.125], rel=1e-4)
    assert value(found, "h", "persistence", 2) == 0.0


@every_cell
def test_every_cell_is_looked_into(make_panel: MakePanel, name: str) -> None:
    network = network_of(replace(SHAPE, cell=name, layers=2))
    figures = figures_of(network, batch_of(make_panel))
    (readings,) = observe(Ensemble([network]), batch_of(make_panel))
    figures += list(persistence(readings, member=1, patch=2, seed=1))
    assert {figure.part for figure in figures} == {"layer 1", "layer 2"}
    # The exponential input gate of slstm may stand at 1 throughout, and then correlates with nothing.
    assert all(np.isfinite(figure.value) for figure in figures if figure.measure != "correlation")


def test_a_tree_has_parts_but_no_gates_along_time(make_panel: MakePanel) -> None:
    network = network_of(replace(SHAPE, encoder="tree", decoder="direct"))
    assert observe(Ensemble([network]), batch_of(make_panel)) == [()]


def test_the_gradient_by_lag_is_the_derivative(make_panel: MakePanel) -> None:
    network = Ensemble([network_of(replace(SHAPE, highway=True))])
    batch = batch_of(make_panel, count=1)
    found = {(f.step, f.lag): f.value for f in gradients(network, batch, targets=("y",))}
    assert set(found) == {(h, k) for h in range(1, 5) for k in range(1, 13)}
    moved = batch.context.clone()
    moved[:, -3] += 0.05
    middle = network.architecture.quantiles.index(0.5)
    there, here = (
        network.quantiles(network(context, batch.observed, batch.past, batch.future))[0, :, 0, middle]
        for context in (moved, batch.context)
    )
    slope = ((there - here) / 0.05).abs().detach()
    assert [found[h, 3] for h in range(1, 5)] == pytest.approx(slope.tolist(), rel=0.1, abs=1e-3)


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_every_step_of_the_horizon_feels_the_last_value(make_panel: MakePanel, decoder: str) -> None:
    network = Ensemble([network_of(replace(SHAPE, decoder=decoder))])
    found = gradients(network, batch_of(make_panel), targets=("y",))
    assert all(figure.value > 0 for figure in found if figure.lag == 1)


def rises(network: Ensemble, batch: Batch) -> dict[tuple[str, str], float]:
    found = importance(
        network, batch, np.ones((1, 1)), targets=("y",), covariates=("x",), seed=1, on_done=lambda *_: None
    )
    return {(f.part, f.subject): f.value for f in found}


def test_a_covariate_the_network_does_not_read_has_no_importance_and_one_it_reads_has(make_panel: MakePanel) -> None:
    batch = batch_of(make_panel, count=8, covariate=True)
    network = network_of(replace(SHAPE, past=1))
    heard = rises(Ensemble([network]), batch)["covariate", "x"]
    with torch.no_grad():
        network.embed.linear.weight.view(8, 2, 3)[..., 2] = 0.0
    assert rises(Ensemble([network]), batch)["covariate", "x"] == 0.0
    assert heard != 0.0


def test_a_network_that_repeats_the_last_value_needs_the_newest_rows_alone(make_panel: MakePanel) -> None:
    network = network_of(replace(SHAPE, past=1))
    with torch.no_grad():
        for weight in network.decoder.write.parameters():
            weight.zero_()
    found = rises(Ensemble([network]), batch_of(make_panel, count=8, covariate=True))
    assert found["rows 1–3 back", "y"] > 0
    assert found["rows 4–6 back", "y"] == pytest.approx(0.0, abs=1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inspect")
    time, noise = np.arange(200), np.random.default_rng(0)
    frame = pd.DataFrame({"ds": time + 1, "y": 20 + 5 * np.sin(2 * np.pi * time / 8) + noise.normal(size=200)})
    frame.assign(hot=noise.normal(size=200)).to_csv(folder / "waves.csv", index=False)
    line = ["train", str(folder / "waves.csv"), "-m", str(folder / "m"), "--horizon", "4", "--context", "16", "-q"]
    assert run([*line, "--hidden", "8", "--patch", "4", "--max-steps", "4", "--target", "y"]) == 0
    return folder / "m", folder / "waves.csv"


def test_without_data_the_command_tells_the_parts_and_reads_nothing(
    trained: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    data = trained[1].rename(tmp_path / "moved.csv")
    try:
        assert run(["inspect", str(trained[0]), "--json", "-o", str(tmp_path / "parts.csv")]) == 0
    finally:
        data.rename(trained[1])
    facts = json.loads(capsys.readouterr().out)
    layer = next(part for part in facts["members"][0]["parts"] if part["name"] == "layer 1")
    assert layer["parameters"] == layer["expected"] == 4 * 8 * (8 + 8 + 1) + 4 * 8
    rows = pd.read_csv(tmp_path / "parts.csv")
    counted = rows.loc[rows["measure"] == "parameters", "value"].sum()
    assert counted == sum(member["parameters"] for member in facts["members"])


def test_with_data_the_command_writes_figures_and_a_chart(
    trained: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    out, chart = tmp_path / "figures.csv", tmp_path / "chart.html"
    assert run(["inspect", *map(str, trained), "-o", str(out), "--plot", str(chart)]) == 0
    told = capsys.readouterr()
    assert "every step of the horizon depends on the last value" in told.err
    assert told.out.splitlines()[0] == "member\tpart\tsubject\tmeasure\tlag\tvalue"
    rows = pd.read_csv(out)
    assert {"parameters", "mean", "kept", "mutual information", "gradient", "importance"} <= set(rows["measure"])
    assert set(rows.loc[rows["part"] == "covariate", "subject"]) == {"hot"}
    assert "How far back a forecast listens" in chart.read_text("utf-8")


def test_a_file_where_the_model_should_stand_is_told_apart(trained: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="is a file, not a model folder") as told:
        inspect(trained[1], [])
    assert "lstmcast inspect MODEL" in told.value.remedy


def test_data_too_short_to_look_at_are_refused(trained: tuple[Path, Path], tmp_path: Path) -> None:
    short = tmp_path / "short.csv"
    short.write_text("".join(trained[1].read_text().splitlines(keepends=True)[:7]))
    with pytest.raises(TooShortError, match="the longest stretch has 6"):
        inspect(trained[0], [str(short)])


def test_gates_are_looked_at_while_a_network_learns_and_drawn(
    trained: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    plain, data = trained
    flags = ["--horizon", "4", "--context", "16", "--hidden", "8", "--patch", "4", "--target", "y", "--max-steps", "6"]
    flags += ["--layers", "2", "--seed", "1", "--set", "training.members=1", "-q"]
    watched, quiet = tmp_path / "watched", tmp_path / "quiet"
    assert run(["train", str(data), "-m", str(watched), "--set", "training.gate_steps=4", *flags]) == 0
    assert run(["train", str(data), "-m", str(quiet), *flags]) == 0
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (watched, quiet)]
    assert weights[0] == weights[1]  # looking changes nothing
    seen = pd.read_csv(watched / "gates.csv")
    assert (
        seen.groupby("stage", sort=False)["step"].unique().map(list).tolist() == [[0, 4, 6]] * seen["stage"].nunique()
    )
    assert seen["part"].unique().tolist() == ["layer 1", "layer 2"]
    assert seen["gate"].unique().tolist() == ["i", "f", "g", "o"]
    first = seen[seen["step"] == 0].set_index("gate")["mean"]
    assert first["f"].min() > first["i"].max()  # the forget gate begins open
    assert not (quiet / "gates.csv").exists()
    chart, table = tmp_path / "gates.html", tmp_path / "figures.csv"
    assert run(["inspect", str(watched), "--plot", str(chart), "-o", str(table), "-q"]) == 0
    assert "Gates while learning, layer 2" in chart.read_text()
    figures = pd.read_csv(table)
    told = figures[figures["measure"] == "mean in training"]
    assert told["step"].unique().tolist() == [0, 4, 6]
    assert run(["inspect", str(plain), "--plot", str(chart), "-q"]) == 0
    assert "Gates while learning" not in chart.read_text()
    (watched / "gates.csv").write_text("stage\n")
    assert run(["inspect", str(watched)]) == 4
    capsys.readouterr()
