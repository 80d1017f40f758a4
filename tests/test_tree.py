"""The tree over the window: order, depth, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from lstmcast.errors import UsageError
from lstmcast.net.architecture import Architecture
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.refusals import architecture_faults
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


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"memory": 9}, "option of the cell 'projected'"),
        ({"heads": 2}, "option of the cell 'slstm'"),
        ({"cell": "slstm", "heads": 5}, "cannot be shared out among 5 heads"),
        ({"form": "additive"}, "option of the cell 'multiplicative'"),
        (
            {"cell": "multiplicative", "form": "additive", "bidirectional": True, "layers": 2},
            "needs as many inputs as hidden units",
        ),
        ({"cell": "rnn", "forget_bias": "chrono"}, "no gate"),
        ({"shared_layers": True}, "about the layers above the first"),
        ({"layer_drop": 0.1}, "about the layers above the first"),
        ({"shared_layers": True, "layers": 2, "bidirectional": True}, "leave out one of the two"),
        ({"zoneout": 1.0}, "zoneout is 1"),
        ({"encoder": "forest"}, "no encoder called 'forest'"),
        ({"encoder": "tree", "cell": "gru"}, "a cell of its own"),
        ({"encoder": "tree", "zoneout": 0.1}, "has no zoneout"),
        ({"encoder": "tree", "stateful": True}, "cannot be a tree"),
        ({"checkpointing": True, "stateful": True}, "needs all its states"),
    ],
)
def test_options_that_no_network_can_follow_are_refused_with_their_reason(options, reason):
    faults = architecture_faults(Architecture(context=8, horizon=2, hidden=16, **options))
    assert any(reason in fault for fault in faults), faults


@pytest.mark.parametrize("decoder", ["parallel", "direct", "recursive", "seq2seq"])
@pytest.mark.parametrize(
    "options",
    [
        {"encoder": "tree"},
        {"cell": "projected", "memory": 9},
        {"cell": "slstm", "heads": 2, "zoneout": 0.1},
        {"cell": "multiplicative", "form": "additive", "weight_drop": 0.2},
        {"layers": 2, "shared_layers": True, "layer_drop": 0.2, "variational": 0.1, "checkpointing": True},
        {"cell": "highway", "forget_bias": "chrono", "bidirectional": True},
    ],
    ids=str,
)
def test_every_option_forecasts_and_learns_with_every_decoder(decoder, options):
    if decoder == "recursive" and options.get("bidirectional"):
        options = {**options, "bidirectional": False}  # the two are refused together
    architecture = Architecture(context=8, horizon=3, hidden=8, patch=2, decoder=decoder, **options)
    forecaster = Forecaster(architecture, generator=torch.Generator().manual_seed(0))
    context = torch.randn(4, 8, 1, generator=torch.Generator().manual_seed(1))
    seen, nothing = torch.ones_like(context, dtype=torch.bool), torch.zeros(4, 8, 0)
    prediction = forecaster(context, seen, nothing, torch.zeros(4, 3, 0))
    forecaster.loss(prediction, torch.ones(4, 3, 1), torch.ones(4, 3, 1, dtype=torch.bool)).backward()
    encoder = [p.grad for p in forecaster.stack.parameters() if p.grad is not None]
    assert encoder
    assert all(gradient.isfinite().all() for gradient in encoder)
