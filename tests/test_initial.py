"""First weights of one's own choice, and layers whose memories are joined by a depth gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import CELLS
from lstmcast.net.depth import DepthGated
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.initial import Initial, redraw
from lstmcast.net.refusals import architecture_faults
from lstmcast.net.stack import Regularisation, Stack
from lstmcast.study import COMPARATORS
from lstmcast.study.anatomy import anatomy

B, T, F, C = 3, 6, 5, 64
every_cell = pytest.mark.parametrize("name", list(CELLS))
GATED = [name for name in CELLS if name != "rnn"]
every_gated_cell = pytest.mark.parametrize("name", GATED)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cell_of(name: str, **initial: Any) -> Any:
    cell = CELLS.load(name)(F, C, generator=seeded())
    redraw(cell, Initial(**initial), generator=seeded(1))
    return cell


def gates_of(cell: Any, weight: Tensor) -> dict[str, Tensor]:
    names = list(cell.gates(cell.weight_ih.new_zeros(1, F), cell.initial_state(1))) or [""]
    return dict(zip(names, torch.unflatten(weight.detach(), 0, (len(names), -1)), strict=True))


@every_cell
def test_without_a_choice_a_cell_keeps_the_weights_it_drew(name: str) -> None:
    own = CELLS.load(name)(F, C, generator=seeded()).state_dict()
    assert all(torch.equal(own[key], value) for key, value in cell_of(name).state_dict().items())


@every_cell
@pytest.mark.parametrize("draw", ["xavier", "uniform", "normal"])
def test_recurrent_weights_are_drawn_as_asked_gate_by_gate(name: str, draw: str) -> None:
    cell = cell_of(name, recurrent=draw)
    for gate in gates_of(cell, cell.weight_hh).values():
        matrix = gate.reshape(-1, gate.shape[-1])
        rows, columns = gate.shape[-2:]
        bound = {"xavier": (6 / (rows + columns)) ** 0.5, "uniform": C**-0.5, "normal": torch.inf}[draw]
        assert matrix.abs().max() <= bound
        spread = C**-0.5 if draw == "normal" else bound / 3**0.5
        assert matrix.std() == pytest.approx(spread, rel=0.15)
    untouched = CELLS.load(name)(F, C, generator=seeded()).weight_ih
    assert torch.equal(cell.weight_ih, untouched)


@every_cell
@pytest.mark.parametrize(("draw", "spread"), [("uniform", (3 * C) ** -0.5), ("normal", C**-0.5)])
def test_input_weights_are_drawn_as_asked(name: str, draw: str, spread: float) -> None:
    assert cell_of(name, inputs=draw).weight_ih.detach().std() == pytest.approx(spread, rel=0.2)


@every_gated_cell
def test_the_candidate_alone_can_be_drawn_with_variance_one_over_c(name: str) -> None:
    cell, own = cell_of(name, candidate="normal"), CELLS.load(name)(F, C, generator=seeded())
    for key in ("weight_ih", "weight_hh"):
        now, before = gates_of(cell, getattr(cell, key)), gates_of(own, getattr(own, key))
        changed = [gate for gate in now if not torch.equal(now[gate], before[gate])]
        assert changed == [cell.candidate]
        assert now[cell.candidate].std() == pytest.approx(C**-0.5, rel=0.15)


@every_gated_cell
def test_the_rows_of_a_gate_are_those_that_move_it(name: str) -> None:
    """What is drawn by the name of a gate is what its equation reads."""
    cell = CELLS.load(name)(F, C, generator=seeded()).double()
    x, state = torch.rand(2, F, generator=seeded(2)).double(), cell.initial_state(2)
    before = cell.gates(x, state)
    with torch.no_grad():
        gates_of(cell, cell.weight_ih)[cell.candidate].add_(0.1)
    after = cell.gates(x, state)
    assert [gate for gate in before if not torch.equal(before[gate], after[gate])] == [cell.candidate]


@every_gated_cell
def test_a_forget_gate_can_begin_half_open(name: str) -> None:
    for forget, first in (("zero", 0), ("one", 1)):
        cell = cell_of(name, forget=forget)
        gates = gates_of(cell, cell.bias if hasattr(cell, "bias") else cell.bias_ih)
        assert gates["f" if "f" in gates else "z"].eq(first).all()


def stack_of(*, hidden: int = 4, layers: int = 3, **options: Any) -> Stack:
    return Stack(
        "lstm", inputs=F, hidden=hidden, layers=layers, depth_gate=True, generator=seeded(), **options
    ).double()


def sequence(*, lanes: int = B, seed: int = 3) -> Tensor:
    return torch.randn(lanes, T, F, dtype=torch.float64, generator=seeded(seed))


def test_a_depth_gate_lets_in_the_memory_of_the_layer_below_at_the_same_step() -> None:
    """By the equations, layer by layer, one step after the other."""
    stack, x = stack_of(layers=2), sequence()
    torch.nn.init.normal_(stack.cells[1].look_d, generator=seeded(5))
    h = [torch.zeros(B, 4, dtype=torch.float64) for _ in range(2)]
    c = [torch.zeros(B, 4, dtype=torch.float64) for _ in range(2)]
    expected = []
    for t in range(T):
        _, (h[0], c[0]) = stack.cells[0].step(x[:, t], (h[0], c[0]))
        cell: Any = stack.cells[1]
        i, f, g, o = (h[0] @ cell.weight_ih.T + cell.bias_ih + h[1] @ cell.weight_hh.T + cell.bias_hh).chunk(4, -1)
        d = torch.sigmoid(h[0] @ cell.weight_d.T + cell.look_d[0] * c[1] + cell.look_d[1] * c[0] + cell.bias_d)
        c[1] = d * c[0] + f.sigmoid() * c[1] + i.sigmoid() * g.tanh()
        h[1] = o.sigmoid() * c[1].tanh()
        expected.append(h[1])
    outputs, final = stack(x, stack.initial_state(B))
    torch.testing.assert_close(outputs, torch.stack(expected, 1))
    torch.testing.assert_close(final, (h[0], c[0], h[1], c[1]))


def test_a_stack_with_depth_gates_keeps_the_laws_of_a_stack() -> None:
    stack, x = stack_of(residual=True), sequence()
    begun = stack.initial_state(B)
    whole, end = stack(x, begun)
    first, middle = stack(x[:, :4], begun)
    second, last = stack(x[:, 4:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)  # carry
    torch.testing.assert_close(last, end)
    alone, _ = stack(x[:1], stack.initial_state(1))
    torch.testing.assert_close(alone[0], whole[0])  # lanes do not meet
    traced, states = stack.trace(x, begun)
    torch.testing.assert_close(traced, whole)
    torch.testing.assert_close(tuple(part[:, -1] for part in states), end)
    stepped, state = [], begun
    for t in range(T):
        h, state = stack.step(x[:, t], state)
        stepped.append(h)
    torch.testing.assert_close(torch.stack(stepped, 1), whole)
    read = stack.readings(x, begun)
    torch.testing.assert_close(read[-1].after, tuple(states[-2:]))
    early = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(stack(early, begun)[0][:, 2].sum(), early)
    assert slope[:, 3:].eq(0).all()  # causal
    assert slope[:, :3].abs().sum(-1).gt(0).all()


def test_the_gradients_of_depth_gates_are_those_of_their_values() -> None:
    stack = stack_of(hidden=2, layers=2)
    torch.nn.init.normal_(stack.cells[1].look_d, generator=seeded(5))
    values = (sequence(lanes=2).requires_grad_(), *stack.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: stack(x, stack.initial_state(2))[0], values)


def test_depth_gates_go_with_every_regularisation() -> None:
    noise = Regularisation(dropout=0.2, variational=0.2, weight_drop=0.2, layer_drop=0.2, zoneout=0.2)
    stack = stack_of(regularisation=noise)
    outputs, _ = stack.train()(sequence(), stack.initial_state(B))
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert all(p.grad is not None for p in stack.cells[0].parameters())


@pytest.mark.parametrize("decoder", ["parallel", "direct", "recursive", "seq2seq"])
@pytest.mark.parametrize("stateful", [False, True])
def test_a_forecaster_with_depth_gates_counts_its_parameters(decoder: str, stateful: bool) -> None:
    shape = Architecture(
        context=12, horizon=4, hidden=6, layers=3, depth_gate=True, decoder=decoder, stateful=stateful,
        normaliser="causal" if stateful else "last",
    )  # fmt: skip
    network = Forecaster(shape, generator=seeded())
    layers = [part for part in anatomy(network) if part.name.startswith("layer")]
    assert [part.parameters for part in layers] == [part.expected for part in layers]
    assert [part.formula for part in layers[1:]] == ["4C(C+F+1) + 4C + C(F+3)"] * 2
    assert isinstance(network.stack.cells[1], DepthGated)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"layers": 1}, "depth_gate is about the layers above the first"),
        ({"cell": "gru"}, "depth_gate is written for cell 'lstm'"),
        ({"bidirectional": True}, "both directions of bidirectional do not keep step"),
        ({"shared_layers": True}, "shared_layers makes all alike"),
        ({"checkpointing": True}, "checkpointing saves nothing"),
        (
            {"cell": "rnn", "candidate_init": "normal", "depth_gate": False},
            "has no candidate that could be drawn apart",
        ),
        ({"cell": "rnn", "forget_bias": "zero", "depth_gate": False}, "no gate that a bias 'zero' could be given to"),
        ({"encoder": "tree", "layers": 1, "input_init": "normal"}, "has no choice of first weights"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(fields: dict[str, Any], sentence: str) -> None:
    shape = Architecture(**{"context": 12, "horizon": 4, "layers": 2, "depth_gate": True} | fields)
    assert sentence in "\n".join(architecture_faults(shape))


@pytest.mark.parametrize("name", list(COMPARATORS))
def test_a_comparator_passes_by_what_only_cells_understand(name: str) -> None:
    asked: dict[str, Any] = {"layers": 2, "depth_gate": True, "attention": "dot", "layer_drop": 0.1}
    build: Callable[[], Any] = COMPARATORS.load(name)
    shape = build().architecture(Architecture(context=12, horizon=4, candidate_init="normal", **asked))
    assert architecture_faults(shape) == []
