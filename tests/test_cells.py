"""The laws of every recurrent cell, and what is special about each."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from lstmcast.errors import UsageError
from lstmcast.net.cells import CELLS, NativeCell
from lstmcast.net.scan import Noise, numba_is_there, scan, trace

F, C, B, T = 3, 5, 4, 7
NATIVE = [name for name in CELLS if isinstance(CELLS.load(name)(1, 1, generator=torch.Generator()), NativeCell)]
TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
PARAMETERS = {
    "lstm": 4 * C * (C + F + 1) + 4 * C,
    "gru": 3 * C * (C + F + 1) + 3 * C,
    "rnn": C * (C + F + 1) + C,
    "peephole": 4 * C * (C + F + 1) + 3 * C,
    "coupled": 3 * C * (C + F + 1),
    "projected": 4 * (2 * C) * (C + F + 1) + C * 2 * C + 4 * (2 * C),
    "layernorm": 4 * C * (C + F + 1) + 10 * C,
    "multiplicative": 4 * C * (C + F + 1) + C * (C + F),
    "highway": 5 * C * (C + F + 1),
    "slstm": 4 * C * (C + F + 1),
}

every_cell = pytest.mark.parametrize("name", list(CELLS))
every_native_cell = pytest.mark.parametrize("name", NATIVE)


def cell_of(name, *, inputs=F, hidden=C, seed=0, dtype=torch.float64):
    return CELLS.load(name)(inputs, hidden, generator=torch.Generator().manual_seed(seed)).to(dtype)


def noise(*shape, seed=1, dtype=torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def state_of(cell, lanes, seed=2):
    return tuple(0.5 * noise(*part.shape, seed=seed + i) for i, part in enumerate(cell.initial_state(lanes)))


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@every_cell
def test_the_gradient_of_a_step_is_the_derivative(name):
    cell = cell_of(name)
    x, state = noise(2, F).requires_grad_(), tuple(part.requires_grad_() for part in state_of(cell, 2))
    names = [key for key, _ in cell.named_parameters()]

    def step(x, *rest):
        state, parameters = rest[: len(rest) - len(names)], rest[len(rest) - len(names) :]
        outer = _Step(cell)
        weights = {f"cell.{key}": value for key, value in zip(names, parameters, strict=True)}
        h, after = torch.func.functional_call(outer, weights, (x, state))
        return h, *after

    assert torch.autograd.gradcheck(step, (x, *state, *cell.parameters()))


class _Step(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, state):
        return self.cell.step(x, state)


@every_cell
@pytest.mark.parametrize("road", ["readable", None])
def test_a_sequence_may_be_cut_anywhere_and_continued_from_its_state(name, road):
    cell = cell_of(name)
    x, start = noise(B, T, F), state_of(cell, B)
    whole, end = scan(cell, x, start, road=road)
    for cut in range(1, T):
        first, middle = scan(cell, x[:, :cut], start, road=road)
        second, last = scan(cell, x[:, cut:], middle, road=road)
        close(torch.cat([first, second], 1), whole)
        close(last, end)


@every_cell
@pytest.mark.parametrize("road", ["readable", None])
def test_a_sequence_alone_gives_what_it_gives_in_a_batch(name, road):
    cell = cell_of(name)
    x, start = noise(B, T, F), state_of(cell, B)
    together, _ = scan(cell, x, start, road=road)
    for lane in range(B):
        alone, _ = scan(cell, x[lane : lane + 1], tuple(p[lane : lane + 1] for p in start), road=road)
        close(alone, together[lane : lane + 1])


@every_cell
def test_resetting_one_lane_starts_that_lane_afresh_and_no_other(name):
    cell = cell_of(name)
    x, carried, fresh = noise(B, T, F), state_of(cell, B), cell.initial_state(B)
    reset = torch.arange(B).eq(2)[:, None]
    mixed, _ = scan(cell, x, tuple(torch.where(reset, new, old) for new, old in zip(fresh, carried, strict=True)))
    continued, begun = scan(cell, x, carried)[0], scan(cell, x, fresh)[0]
    close(mixed[2], begun[2])
    close(mixed[[0, 1, 3]], continued[[0, 1, 3]])
    assert not torch.allclose(begun[2], continued[2])


@every_cell
@pytest.mark.parametrize("road", ["readable", None])
def test_no_output_depends_on_a_later_input(name, road):
    cell = cell_of(name)
    x = noise(1, T, F).requires_grad_()
    h, _ = scan(cell, x, cell.initial_state(1), road=road)
    for t in range(T):
        (influence,) = torch.autograd.grad(h[0, t].sum(), x, retain_graph=True)
        assert influence[0, t + 1 :].eq(0).all()
        assert influence[0, : t + 1].abs().sum(-1).gt(0).all()


@every_native_cell
def test_the_native_road_agrees_with_the_readable_one_in_values_and_gradients(name):
    cell = cell_of(name)

    def travel(road):
        x, start = noise(B, T, F).requires_grad_(), [part.requires_grad_() for part in state_of(cell, B)]
        h, end = scan(cell, x, tuple(start), road=road)
        weight = noise(B, T, C, seed=9)
        loss = (h * weight).sum() + sum((part * part).sum() for part in end)
        return [h, *end], torch.autograd.grad(loss, [x, *start, *cell.parameters()])

    for native, readable in zip(travel(road="native"), travel(road="readable"), strict=True):
        close(tuple(native), tuple(readable))


@every_native_cell
def test_the_native_road_gives_gradients_in_evaluation_mode_too(name):
    cell = cell_of(name, dtype=torch.float32).eval()
    x = noise(B, T, F, dtype=torch.float32).requires_grad_()
    scan(cell, x, cell.initial_state(B))[0].sum().backward()
    assert x.grad is not None
    assert x.grad[:, 0].abs().sum() > 0


@pytest.mark.parametrize("name", list(TORCH))
def test_weights_can_be_copied_from_torch_and_back(name):
    cell, theirs = cell_of(name), TORCH[name](F, C, batch_first=True).double()
    with torch.no_grad():
        for key, parameter in cell.named_parameters():
            parameter.copy_(getattr(theirs, f"{key}_l0"))
    x = noise(B, T, F)
    expected, _ = theirs(x)
    close(scan(cell, x, cell.initial_state(B), road="readable")[0], expected)

    back = TORCH[name](F, C, batch_first=True).double()
    back.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    close(back(x)[0], expected)


@every_cell
def test_one_state_can_meet_many_inputs(name):
    cell = cell_of(name)
    queries, state = noise(6, F), state_of(cell, B)
    h, _ = cell.step(queries, tuple(part.unsqueeze(1) for part in state))
    assert h.shape == (B, 6, C)
    for j in range(6):
        close(h[:, j], cell.step(queries[j].expand(B, F), state)[0])


@every_cell
@pytest.mark.parametrize("road", ["readable", None])
def test_a_trace_holds_the_state_after_every_step_and_the_output_first(name, road):
    cell = cell_of(name)
    x, start = noise(B, T, F), state_of(cell, B)
    states = trace(cell, x, start, road=road)
    close(states[0], scan(cell, x, start)[0])
    for t in range(T):
        close(tuple(part[:, t] for part in states), scan(cell, x[:, : t + 1], start)[1])


@every_cell
def test_both_ways_to_trace_have_the_same_gradients(name):
    cell = cell_of(name)

    def gradients(road):
        x, start = noise(B, T, F).requires_grad_(), [part.requires_grad_() for part in state_of(cell, B)]
        states = trace(cell, x, tuple(start), road=road)
        loss = sum((part * noise(*part.shape, seed=8 + i)).sum() for i, part in enumerate(states))
        return torch.autograd.grad(loss, [x, *start, *cell.parameters()])

    close(gradients(None), gradients("readable"))


@every_cell
@pytest.mark.parametrize("road", ["readable", None])
def test_huge_inputs_give_no_nan(name, road):
    cell = cell_of(name, dtype=torch.float32)
    x = 1e4 * noise(B, T, F, dtype=torch.float32).sign()
    x.requires_grad_()
    h, _ = scan(cell, x, cell.initial_state(B), road=road)
    h.sum().backward()
    assert h.isfinite().all()
    assert x.grad.isfinite().all()


@every_cell
def test_weights_survive_safetensors(name):
    cell, other = cell_of(name), cell_of(name, seed=5)
    x = noise(B, T, F)
    other.load_state_dict(load(save(cell.state_dict())))
    assert torch.equal(scan(other, x, other.initial_state(B))[0], scan(cell, x, cell.initial_state(B))[0])


@every_cell
def test_every_cell_has_the_number_of_parameters_it_states(name):
    assert sum(p.numel() for p in cell_of(name).parameters()) == PARAMETERS[name]


@every_cell
def test_the_first_weights_come_from_the_generator_alone(name):
    before = torch.get_rng_state()
    first, again, other = (cell_of(name, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["weight_hh"], other["weight_hh"])
    assert torch.equal(torch.get_rng_state(), before)


@every_cell
def test_each_gate_starts_with_an_orthogonal_recurrence(name):
    weight = cell_of(name).weight_hh.flatten(0, -2)
    for block in weight.split(2 * C if name == "projected" else C):
        torch.testing.assert_close(block.T @ block, torch.eye(C, dtype=block.dtype), rtol=0, atol=1e-5)


def test_the_forget_gate_starts_with_a_total_bias_of_one():
    cell = cell_of("lstm")
    total = (cell.bias_ih + cell.bias_hh).reshape(4, C)
    assert total[1].eq(1).all()
    assert total[[0, 2, 3]].eq(0).all()


TOLERANCE = {"aten": {"rtol": 1e-10, "atol": 1e-11}, "compiled": {"rtol": 2e-3, "atol": 2e-4}}
PRECISION = {"aten": torch.float64, "compiled": torch.float32}
fast_roads = pytest.mark.parametrize(
    "road",
    ["aten", pytest.param("compiled", marks=pytest.mark.skipif(not numba_is_there(), reason="numba is not installed"))],
)
CELL_OPTIONS = [*((name, {}) for name in CELLS), ("multiplicative", {"form": "additive"})]


def noisy(kind, state, dtype):
    """The noise called ``kind``; it is drawn the same way each time."""
    generator = torch.Generator().manual_seed(11)
    mask = (torch.rand(state[0].shape, generator=generator) > 0.3).to(dtype) / 0.7 if kind == "variational" else None
    drawn = tuple((torch.rand(B, T, p.shape[1], generator=generator) > 0.6).to(dtype) for p in state)
    keep = {"zoneout": drawn, "expected zoneout": (0.3,) * len(state)}.get(kind, ())
    return Noise(mask, keep)


@fast_roads
@pytest.mark.parametrize("kind", ["plain", "variational", "zoneout", "expected zoneout", "checkpoint"])
@pytest.mark.parametrize(("name", "options"), CELL_OPTIONS, ids=lambda value: str(value))
def test_the_fast_roads_agree_with_the_readable_one_in_values_and_gradients(name, options, kind, road):
    dtype, inputs = PRECISION[road], C if options else F
    cell = CELLS.load(name)(inputs, C, generator=torch.Generator().manual_seed(0), **options).to(dtype)
    with torch.no_grad():
        for i, parameter in enumerate(cell.parameters()):  # zeros and ones hide faults
            parameter.add_(0.1 * noise(*parameter.shape, seed=20 + i, dtype=dtype))

    def travel(along, walk):
        x = noise(B, T, inputs, dtype=dtype).requires_grad_()
        start = [part.detach().to(dtype).requires_grad_() for part in state_of(cell, B)]
        states = walk(cell, x, tuple(start), noise=noisy(kind, start, dtype), road=along)
        parts = [states[0], *states[1]] if isinstance(states[1], tuple) else list(states)
        loss = sum((part * noise(*part.shape, seed=40 + i, dtype=dtype)).sum() for i, part in enumerate(parts))
        return parts, torch.autograd.grad(loss, [x, *start, *cell.parameters()])

    def scanned(*given, road, **options):
        return scan(*given, road=road, checkpoint=kind == "checkpoint", **options)

    def traced(*given, **options):
        states = trace(*given, **options)
        return states if len(states) > 1 else (states[0], ())

    for walk in (scanned, traced):
        for fast, readable in zip(travel(road, walk), travel("readable", walk), strict=True):
            torch.testing.assert_close(tuple(fast), tuple(readable), **TOLERANCE[road])


@fast_roads
@every_cell
def test_the_fast_roads_pass_on_what_is_not_a_number(name, road):
    cell = cell_of(name, dtype=torch.float32)
    x = noise(B, T, F, dtype=torch.float32)
    x[1, 3] = torch.nan
    h, _ = scan(cell, x, cell.initial_state(B), road=road)
    assert h[1, 3:].isnan().all()
    assert h[[0, 2, 3]].isfinite().all()


@fast_roads
@every_cell
def test_huge_inputs_give_no_nan_on_the_fast_roads(name, road):
    cell = cell_of(name, dtype=torch.float32)
    x = (1e4 * noise(B, T, F, dtype=torch.float32).sign()).requires_grad_()
    h, _ = scan(cell, x, cell.initial_state(B), road=road)
    h.sum().backward()
    assert h.isfinite().all()
    assert x.grad.isfinite().all()


@every_cell
@pytest.mark.parametrize("road", ["readable", "aten"])
def test_zoneout_of_everything_keeps_the_state_and_of_nothing_changes_nothing(name, road):
    cell = cell_of(name)
    x, start = noise(B, T, F), state_of(cell, B)
    for share in (torch.ones, torch.zeros):
        keep = tuple(share(B, T, part.shape[1], dtype=part.dtype) for part in start)
        h, end = scan(cell, x, start, noise=Noise(keep=keep), road=road)
        if share is torch.ones:
            close(end, start)
            close(h, start[0].unsqueeze(1).expand_as(h))
        else:
            close((h, *end), (lambda out: (out[0], *out[1]))(scan(cell, x, start, road=road)))


@every_cell
def test_bfloat16_autocast_stays_close_to_single_precision(name):
    cell = cell_of(name, dtype=torch.float32)
    x = noise(B, T, F, dtype=torch.float32)
    exact, _ = scan(cell, x, cell.initial_state(B))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = scan(cell, x, cell.initial_state(B))
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.05)


def test_the_fast_road_refuses_second_derivatives_instead_of_giving_wrong_ones():
    cell = cell_of("coupled")
    x = noise(B, T, F).requires_grad_()
    h, _ = scan(cell, x, cell.initial_state(B), road="aten")
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(h.sum(), x, create_graph=True)


def test_projected_weights_can_be_copied_from_torch_and_back():
    cell = CELLS.load("projected")(F, C, memory=2 * C, generator=torch.Generator().manual_seed(0)).double()
    theirs = nn.LSTM(F, 2 * C, proj_size=C, batch_first=True).double()
    theirs.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    x = noise(B, T, F)
    close(scan(cell, x, cell.initial_state(B))[0], theirs(x)[0])
    cell.load_state_dict({key.removesuffix("_l0"): 0.5 * value for key, value in theirs.state_dict().items()})
    theirs.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    close(scan(cell, x, cell.initial_state(B), road="readable")[0], theirs(x)[0])


@every_cell
def test_chrono_biases_remember_for_up_to_the_span(name):
    if name == "rnn":
        with pytest.raises(TypeError):
            CELLS.load(name)(F, C, span=50, generator=torch.Generator())
        return
    cell = CELLS.load(name)(F, C, span=50, generator=torch.Generator().manual_seed(0))
    bias = cell.bias if hasattr(cell, "bias") else cell.bias_ih
    lengths = bias.detach().exp()
    assert lengths.gt(1).sum() >= C
    assert lengths.max() <= 49 + 1e-3


def test_stepping_on_gives_the_slstm_a_normaliser_of_at_least_one():
    cell = cell_of("slstm")
    _, (_, _, n, _) = scan(cell, 30 * noise(B, 40, F), cell.initial_state(B))
    assert n.min() >= 1


def test_the_additive_form_wants_as_many_inputs_as_hidden_units():
    with pytest.raises(UsageError, match="as many of both"):
        CELLS.load("multiplicative")(F, C, form="additive", generator=torch.Generator())


def test_heads_that_do_not_divide_the_hidden_units_are_refused():
    with pytest.raises(UsageError, match="cannot be shared out among 3 heads"):
        CELLS.load("slstm")(F, C, heads=3, generator=torch.Generator())


def test_under_constant_input_the_coupled_cell_settles_on_its_candidate():
    cell = cell_of("coupled", inputs=1, hidden=1)
    with torch.no_grad():
        cell.weight_hh.zero_()
        cell.weight_ih.fill_(1.0)
    x = torch.full((1, 400, 1), 0.5).double()
    _, (_, c) = scan(cell, x, cell.initial_state(1))
    assert c.item() == pytest.approx(math.tanh(0.5), rel=1e-9)  # i⊙g/(1−f) with i = 1−f


def one_unit_lstm(bias):
    cell = cell_of("lstm", inputs=1, hidden=1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(1.0)
        cell.bias_ih.fill_(bias)
        cell.bias_hh.zero_()
    return cell


def test_the_worked_example_of_one_lstm_step_comes_out():
    # x = 0.5, h = 0.1, c = 0.2, all weights and the bias 1: every gate sees 1.6.
    x, h, c = (torch.tensor([[value]], dtype=torch.float64) for value in (0.5, 0.1, 0.2))
    h, (_, c) = one_unit_lstm(1.0).step(x, (h, c))
    gate, candidate = 1 / (1 + math.exp(-1.6)), math.tanh(1.6)
    assert (gate, candidate) == pytest.approx((0.8320184, 0.9216686), abs=5e-8)
    assert c.item() == pytest.approx(gate * 0.2 + gate * candidate, abs=1e-12)
    assert (c.item(), h.item()) == pytest.approx((0.9332489, 0.6091248), abs=2e-7)
    assert (c.item(), h.item()) == pytest.approx((0.932, 0.608), abs=0.002)  # as printed, rounded at every step


def test_under_constant_input_the_lstm_cell_settles_where_gain_and_loss_balance():
    cell = one_unit_lstm(0.0)
    with torch.no_grad():
        cell.weight_hh.zero_()
    x = torch.full((1, 200, 1), 0.5).double()
    _, (_, c) = scan(cell, x, cell.initial_state(1), road="readable")
    gate, candidate = 1 / (1 + math.exp(-0.5)), math.tanh(0.5)
    assert c.item() == pytest.approx(gate * candidate / (1 - gate), rel=1e-9)


def test_along_the_linear_path_the_lstm_cell_forgets_by_the_product_of_its_forget_gates():
    cell = one_unit_lstm(0.0)
    with torch.no_grad():
        cell.weight_hh.zero_()  # nothing else carries the past
    x, c = noise(1, T, 1), torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    _, (_, end) = scan(cell, x, (torch.zeros_like(c), c), road="readable")
    (slope,) = torch.autograd.grad(end, c)
    assert slope.item() == pytest.approx(torch.sigmoid(x).prod().item(), rel=1e-12)


def test_a_misspelt_cell_is_answered_with_the_nearest_one():
    with pytest.raises(UsageError, match=r"(?s)no cell called 'lsmt'.*did you mean 'lstm'"):
        CELLS.load("lsmt")
