"""The tree over the window: order, depth, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from lstmcast.errors import UsageError
from lstmcast.net.tree import WindowTree

F, C, B = 3, 4, 2


def tree_of():
    return WindowTree(inputs=F, hidden=C, generator=torch.Generator().manual_seed(0)).double()


def rows(patches):
    return torch.randn(B, patches, F, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("patches", "nodes"), [(1, 1), (2, 2), (3, 3), (5, 4), (8, 4), (9, 5)])
def test_the_right_spine_is_as_long_as_the_tree_is_deep(patches, nodes):
    tree = tree_of()
    outputs, state = tree(rows(patches), tree.initial_state(B))
    assert outputs.shape == (B, nodes, C)
    assert [part.shape for part in state] == [(B, C)] * 2


@pytest.mark.parametrize("patches", [1, 2, 5, 8])
def test_every_patch_reaches_the_read_out(patches):
    tree = tree_of()
    x = rows(patches).requires_grad_()
    outputs, _ = tree(x, tree.initial_state(B))
    (influence,) = torch.autograd.grad(tree.last(outputs).sum(), x)
    assert influence.abs().sum(-1).gt(0).all()


def test_the_order_of_patches_matters():
    tree = tree_of()
    forwards, _ = tree(rows(4), tree.initial_state(B))
    backwards, _ = tree(rows(4).flip(1), tree.initial_state(B))
    assert not torch.allclose(forwards[:, -1], backwards[:, -1])


def test_a_lane_does_not_depend_on_its_neighbours():
    tree = tree_of()
    together, _ = tree(rows(5), tree.initial_state(B))
    alone, _ = tree(rows(5)[:1], tree.initial_state(1))
    torch.testing.assert_close(together[:1], alone)


def test_the_gradient_of_a_tree_is_the_derivative():
    tree = tree_of()
    assert torch.autograd.gradcheck(lambda x: tree(x, tree.initial_state(B))[1], (rows(3).requires_grad_(),))


def test_one_state_can_meet_many_leaves():
    tree = tree_of()
    _, state = tree(rows(4), tree.initial_state(B))
    queries = rows(6)[0]
    h, _ = tree.step(queries, tuple(part.unsqueeze(1) for part in state))
    assert h.shape == (B, 6, C)
    torch.testing.assert_close(h[:, 2], tree.step(queries[2].expand(B, F), state)[0])


def test_a_tree_cannot_be_carried_from_row_to_row():
    tree = tree_of()
    with pytest.raises(UsageError, match="cannot be carried"):
        tree.trace(rows(3), tree.initial_state(B))


def test_the_tree_has_the_number_of_parameters_it_states():
    assert sum(p.numel() for p in tree_of().parameters()) == 3 * C * (F + 1) + 5 * C * (2 * C + 1) + C
