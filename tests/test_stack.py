"""Stacks of cells: depth, direction, residual paths, dropout, and where their state comes from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lstmcast.errors import UsageError
from lstmcast.net.cells import CELLS
from lstmcast.net.scan import scan
from lstmcast.net.stack import Regularisation, Stack

F, C, B, T = 3, 4, 2, 6
every_cell = pytest.mark.parametrize("cell", list(CELLS))


def stack_of(cell="lstm", **options):
    options = {"inputs": F, "hidden": C, "generator": torch.Generator().manual_seed(0), **options}
    return Stack(cell, **options).double()


def rows(seed=1):
    return torch.randn(B, T, F, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_equals_torchs_own_after_copying_its_weights(bidirectional):
    ours = stack_of(layers=2, bidirectional=bidirectional)
    theirs = nn.LSTM(F, C, num_layers=2, bidirectional=bidirectional, batch_first=True).double()
    suffixes = [f"_l{layer}{end}" for layer in range(2) for end in ["", "_reverse"][: 1 + bidirectional]]
    for cell, suffix in zip(ours.cells, suffixes, strict=True):
        cell.load_state_dict({key: getattr(theirs, key + suffix) for key in cell.state_dict()})
    expected, (h, c) = theirs(rows())
    outputs, state = ours(rows(), ours.initial_state(B))
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(torch.stack(state[0::2]), h)
    torch.testing.assert_close(torch.stack(state[1::2]), c)


@every_cell
def test_a_stack_may_be_cut_anywhere_and_continued_from_its_state(cell):
    stack = stack_of(cell, layers=3, residual=True)
    whole, end = stack(rows(), stack.initial_state(B))
    first, middle = stack(rows()[:, :2], stack.initial_state(B))
    second, last = stack(rows()[:, 2:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(last, end)


@every_cell
def test_stepping_and_tracing_give_what_reading_at_once_gives(cell):
    stack = stack_of(cell, layers=2, residual=True)
    outputs, end = stack(rows(), stack.initial_state(B))
    traced, states = stack.trace(rows(), stack.initial_state(B))
    torch.testing.assert_close(traced, outputs)
    torch.testing.assert_close(tuple(part[:, -1] for part in states), end)
    state = stack.initial_state(B)
    for t in range(T):
        h, state = stack.step(rows()[:, t], state)
        torch.testing.assert_close(h, outputs[:, t])
        torch.testing.assert_close(state, tuple(part[:, t] for part in states))


def test_a_residual_path_adds_what_a_layer_reads_to_what_it_writes():
    stack = stack_of(layers=2, residual=True)
    zero = stack.cells[0].initial_state(B)
    below, _ = scan(stack.cells[0], rows(), zero)
    above, _ = scan(stack.cells[1], below, zero)
    torch.testing.assert_close(stack(rows(), stack.initial_state(B))[0], below + above)


def test_dropout_falls_between_layers_and_in_training_only():
    stack = stack_of(layers=2, dropout=0.5)
    start = stack.initial_state(B)
    first, _ = scan(stack.cells[0], rows(), start[:2])
    torch.manual_seed(1)
    _, training = stack(rows(), start)
    torch.testing.assert_close(training[0], first[:, -1])  # below the first dropout nothing is lost
    _, evaluated = stack.eval()(rows(), start)
    _, again = stack(rows(), start)
    torch.testing.assert_close(evaluated, again)
    assert not torch.allclose(training[2], evaluated[2])


def test_both_directions_have_read_everything_where_the_last_output_is_taken():
    stack = stack_of(bidirectional=True)
    x = rows().requires_grad_()
    outputs, state = stack(x, stack.initial_state(B))
    last = stack.last(outputs)
    torch.testing.assert_close(last, torch.cat([state[0], state[2]], -1))
    for half in (last[:, :C], last[:, C:]):
        (influence,) = torch.autograd.grad(half.sum(), x, retain_graph=True)
        assert influence.abs().sum(-1).gt(0).all()


@pytest.mark.parametrize("road", ["step", "trace"])
def test_a_bidirectional_stack_refuses_to_continue_from_a_carried_state(road):
    stack = stack_of(bidirectional=True)
    with pytest.raises(UsageError, match="backward half reads from the end"):
        getattr(stack, road)(rows(), stack.initial_state(B))


@pytest.mark.parametrize(("bidirectional", "widths"), [(False, (C,) * 4), (True, (C,) * 8)])
def test_the_state_has_the_lane_axis_first_and_the_widths_it_states(bidirectional, widths):
    stack = stack_of(layers=2, bidirectional=bidirectional)
    assert stack.state_widths == widths
    assert [tuple(part.shape) for part in stack.initial_state(3)] == [(3, width) for width in widths]


@pytest.mark.parametrize("share", ["dropout", "variational", "weight_drop", "layer_drop"])
def test_what_regularises_acts_in_training_only(share):
    plain, noisy = stack_of(layers=2), stack_of(layers=2, regularisation=Regularisation(**{share: 0.7}))
    start = plain.initial_state(B)
    torch.manual_seed(0)
    draws = [noisy(rows(), start)[0] for _ in range(8)]
    assert any(not torch.allclose(draws[0], draw) for draw in draws[1:])
    torch.testing.assert_close(noisy.eval()(rows(), start)[0], plain(rows(), start)[0])


def test_weight_drop_lets_gradients_reach_the_recurrent_weights():
    stack = stack_of("coupled", regularisation=Regularisation(weight_drop=0.5))
    torch.manual_seed(0)
    stack(rows(), stack.initial_state(B))[0].sum().backward()
    gradient = stack.cells[0].weight_hh.grad
    assert gradient.eq(0).any()  # dropped
    assert gradient.ne(0).any()


@every_cell
def test_zoneout_keeps_its_expectation_when_stepping_as_when_reading(cell):
    stack = stack_of(cell, regularisation=Regularisation(zoneout=0.3)).eval()
    outputs, end = stack(rows(), stack.initial_state(B))
    state = stack.initial_state(B)
    for t in range(T):
        h, state = stack.step(rows()[:, t], state)
        torch.testing.assert_close(h, outputs[:, t])
    torch.testing.assert_close(state, end)


def test_shared_layers_have_the_weights_of_one_and_the_states_of_all():
    shared, own = stack_of(layers=3, shared=True, inputs=C), stack_of(layers=1, inputs=C)
    assert sum(p.numel() for p in shared.parameters()) == sum(p.numel() for p in own.parameters())
    assert len(shared.initial_state(B)) == 6


@every_cell
def test_checkpointing_changes_no_gradient(cell):
    gradients = []
    for checkpoint in (False, True):
        stack = stack_of(cell, layers=2, checkpoint=checkpoint)
        stack(rows(), stack.initial_state(B))[0].square().sum().backward()
        gradients.append(tuple(p.grad for p in stack.parameters()))
    torch.testing.assert_close(*gradients)
