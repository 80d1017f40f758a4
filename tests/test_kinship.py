"""The hierarchy of series as an encoder: the Child-Sum tree, whose relatives are read together, and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import panel_of
from test_hierarchy import QUICK, related, shops

from lstmcast.cli.app import run
from lstmcast.config import NetworkSettings, Settings, TrainingSettings
from lstmcast.data.relatives import Relatives
from lstmcast.errors import UsageError
from lstmcast.fit import plan as planning
from lstmcast.fit.objective import RelativeObjective
from lstmcast.fit.plan import make
from lstmcast.forecast.predict import quantiles_at
from lstmcast.net.architecture import Architecture
from lstmcast.net.decoder import DECODERS
from lstmcast.net.forecaster import Forecaster, architecture_faults
from lstmcast.net.kinship import Kinship
from lstmcast.study.anatomy import anatomy

PARENTS = torch.tensor([-1, 0, 0, 1, 1, 1, -1, 6, 3])


def kinship(*, dtype: torch.dtype = torch.float64, told: bool = True) -> Kinship:
    generator = torch.Generator().manual_seed(4)
    made = Kinship(inputs=5, hidden=4, state_widths=(4, 4), generator=generator).to(dtype)
    if told:
        torch.nn.init.normal_(made.tell.weight, generator=generator)
    return made


def inputs(lanes: int = 9) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(5)
    draw = lambda width: torch.randn(lanes, width, dtype=torch.float64, generator=generator)  # noqa: E731
    return draw(5), (draw(4), draw(4))


def levels_of(parents: torch.Tensor) -> list[torch.Tensor]:
    depth = []
    for lane in range(len(parents)):
        steps, above = 0, int(parents[lane])
        while above >= 0:
            steps, above = steps + 1, int(parents[above])
        depth.append(steps)
    return [torch.tensor([k for k, d in enumerate(depth) if d == level]) for level in range(max(depth) + 1)]


def test_all_nodes_at_once_are_the_nodes_of_the_paper_one_by_one() -> None:
    tree, (x, _) = kinship(), inputs()
    h, c = tree.upward(x, PARENTS, levels_of(PARENTS))

    def node(lane: int) -> tuple[torch.Tensor, torch.Tensor]:
        below = [node(k) for k in range(len(PARENTS)) if PARENTS[k] == lane]
        hs = torch.stack([one for one, _ in below]) if below else x.new_zeros(0, 4)
        cs = torch.stack([one for _, one in below]) if below else x.new_zeros(0, 4)
        return tree.node(x[lane], hs, cs)

    for lane in range(len(PARENTS)):
        expected_h, expected_c = node(lane)
        torch.testing.assert_close(h[lane], expected_h)
        torch.testing.assert_close(c[lane], expected_c)


def test_a_lone_node_is_an_lstm_that_begins() -> None:
    tree, (x, _) = kinship(), inputs(1)
    h, c = tree.upward(x, torch.tensor([-1]), [torch.tensor([0])])
    i, _, u, o = (tree.up @ x[0] + tree.up_bias).chunk(4)
    torch.testing.assert_close(c[0], torch.sigmoid(i) * torch.tanh(u))  # h̃ = 0 and no child to keep
    torch.testing.assert_close(h[0], torch.sigmoid(o) * torch.tanh(c[0]))


def test_without_parents_every_series_is_alone() -> None:
    tree, (x, state) = kinship(), inputs()
    alone = tree(x, state, torch.full((9,), -1))
    torch.testing.assert_close(tree(x, state, None), alone)
    one = tree(x[4:5], tuple(part[4:5] for part in state), None)
    torch.testing.assert_close(one[0], alone[0][4:5])


def test_the_order_of_series_and_of_children_changes_nothing() -> None:
    tree, (x, state) = kinship(), inputs()
    out, told = tree(x, state, PARENTS)
    order = torch.tensor([5, 8, 0, 3, 7, 1, 6, 4, 2])
    place = order.argsort()
    moved = torch.where(PARENTS[order] < 0, -1, place[PARENTS[order].clamp(min=0)])
    again, retold = tree(x[order], tuple(part[order] for part in state), moved)
    torch.testing.assert_close(again, out[order])
    torch.testing.assert_close(retold, tuple(part[order] for part in told))


def test_gradients_of_the_tree_are_those_of_finite_differences() -> None:
    tree, (x, state) = kinship(), inputs()
    names, parameters = zip(*tree.named_parameters(), strict=True)
    free = [parameter.detach().clone().requires_grad_() for parameter in parameters]

    def run_with(x: torch.Tensor, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out, told = torch.func.functional_call(tree, dict(zip(names, values, strict=True)), (x, state, PARENTS))
        return (out, *told)

    assert torch.autograd.gradcheck(run_with, (x.requires_grad_(), *free))


def test_every_relative_is_heard_and_nobody_else() -> None:
    tree, (x, state) = kinship(), inputs()
    before, _ = tree(x, state, PARENTS)
    x = x.clone()
    x[4] += 1
    after, _ = tree(x, state, PARENTS)
    changed = (after != before).any(dim=1).tolist()
    assert changed == [True] * 6 + [False, False, True]


def test_at_the_start_every_series_stands_for_itself() -> None:
    tree, (x, state) = kinship(told=False), inputs()
    out, told = tree(x, state, PARENTS)
    torch.testing.assert_close((out, told), (x, state))


def test_the_parameters_are_as_many_as_the_formula_says() -> None:
    tree = kinship()
    c, f, w = 4, 5, 5 + 4 + 4
    expected = 4 * c * (f + c + 1) + 4 * c * (2 * c + 1) + w * (2 * c + 1)
    assert sum(p.numel() for p in tree.parameters()) == expected


# ---- in the forecaster


def network(**changes: Any) -> Forecaster:
    shape = Architecture(**{"context": 12, "horizon": 4, "patch": 2, "hidden": 8, "encoder": "hierarchy"} | changes)
    return Forecaster(shape, generator=torch.Generator().manual_seed(1)).eval()


def windows(lanes: int = 9) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    context = torch.randn(lanes, 12, 1, generator=generator).cumsum(1)
    return context, torch.ones_like(context, dtype=torch.bool), torch.zeros(lanes, 12, 0), torch.zeros(lanes, 4, 0)


def test_an_untrained_hierarchy_forecasts_as_its_stack_does() -> None:
    joined, plain = network(), network(encoder="stack")
    plain.load_state_dict({k: v for k, v in joined.state_dict().items() if not k.startswith("kinship")})
    given = windows()
    torch.testing.assert_close(
        joined.quantiles(joined(*given, parents=PARENTS)), plain.quantiles(plain(*given)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("decoder", list(DECODERS))
@pytest.mark.parametrize("changes", [{}, {"cell": "gru"}, {"layers": 2, "bidirectional": True}], ids=str)
def test_relatives_reach_the_forecast_through_every_decoder(decoder: str, changes: dict[str, Any]) -> None:
    if decoder == "recursive" and changes.get("bidirectional"):
        return  # no network is recursive and bidirectional
    made = network(decoder=decoder, **changes)
    torch.nn.init.normal_(made.kinship.tell.weight, std=0.3, generator=torch.Generator().manual_seed(3))
    given = windows()
    before = made.quantiles(made(*given, parents=PARENTS))
    given[0][4, -3:] += 2.0
    after = made.quantiles(made(*given, parents=PARENTS))
    changed = (after != before).flatten(1).any(1).tolist()
    assert changed == [True] * 6 + [False, False, True]


def test_a_stateful_hierarchy_is_refused_with_the_reason() -> None:
    shape = Architecture(context=12, horizon=4, normaliser="causal", stateful=True, encoder="hierarchy")
    (fault,) = architecture_faults(shape)
    assert fault.startswith("a stateful network reads each series by itself, row by row, and a hierarchy joins all")
    with pytest.raises(UsageError, match="use encoder 'stack', or leave out stateful"):
        Forecaster(shape, generator=torch.Generator())


def test_inspect_counts_the_part_that_joins_relatives() -> None:
    (part,) = [part for part in anatomy(network(layers=2)) if part.name == "relatives"]
    assert part.parameters == part.expected


# ---- reading relatives together


def test_the_windows_of_a_tree_at_one_time_are_read_together() -> None:
    panel = related([30, 20, 30, 30, 28], {"s1": "s0", "s2": "s1", "s3": "gone", "gone": "s0", "s4": "s3"})
    relatives = Relatives(panel)
    assert relatives.largest == 5
    begin = panel.offsets[:-1]
    ((places, read),) = relatives.together(begin[[2, 3]] + np.array([16, 16]), most=None)
    assert places.tolist() == [0, 1]
    assert read.cutoffs.tolist() == (begin + 16).tolist()
    assert read.parents.tolist() == [-1, 0, 1, 0, 3]
    assert read.asked.tolist() == [2, 3]


def test_a_relative_that_ended_is_read_to_its_end_for_a_while_and_then_passed_over() -> None:
    panel = related([40, 20, 40, 38], {"s1": "s0", "s2": "s1", "s3": "s1"})  # max_gap 10
    begin = panel.offsets[:-1]
    ((_, late),) = Relatives(panel).together(begin[[2]] + 30, most=None)
    assert late.cutoffs.tolist() == [begin[0] + 30, begin[1] + 20, begin[2] + 30, begin[3] + 30]
    ((_, over),) = Relatives(panel).together(begin[[2]] + 40, most=None)
    assert over.cutoffs.tolist() == [begin[0] + 40, begin[2] + 40, begin[3] + 38]
    assert over.parents.tolist() == [-1, 0, 0]


def test_trees_are_read_in_groups_and_every_window_is_found_again() -> None:
    panel = related([30, 30, 30, 30, 30], {"s1": "s0", "s3": "s2"})
    cutoffs = np.concatenate([panel.offsets[:-1] + k for k in (12, 20)])[::-1].copy()
    for most in (1, 3, None):
        groups = Relatives(panel).together(cutoffs, most=most)
        found = np.full(len(cutoffs), -1)
        for places, read in groups:
            found[places] = read.cutoffs[read.asked]
            assert most is None or len(read.cutoffs) <= max(most, 2)
        np.testing.assert_array_equal(found, cutoffs)


def test_what_else_is_asked_for_does_not_change_a_forecast() -> None:
    rng = np.random.default_rng(0)
    panel = panel_of([rng.normal(size=40).cumsum() for _ in range(6)])
    object.__setattr__(
        panel, "schema", panel.schema.model_copy(update={"parents": {"s1": "s0", "s2": "s0", "s4": "s3", "s5": "s4"}})
    )
    made = network()
    torch.nn.init.normal_(made.kinship.tell.weight, std=0.3, generator=torch.Generator().manual_seed(3))
    cutoffs = np.concatenate([panel.offsets[:-1] + k for k in (15, 30, 40)])
    every = quantiles_at(made, panel, cutoffs)
    for k in (0, 7, 17):
        np.testing.assert_allclose(quantiles_at(made, panel, cutoffs[[k]])[0], every[k], rtol=1e-5, atol=1e-6)


def test_held_out_rows_of_relatives_are_not_learned_from() -> None:
    rng = np.random.default_rng(0)
    panel = panel_of([rng.normal(size=60).cumsum() for _ in range(3)])
    object.__setattr__(panel, "schema", panel.schema.model_copy(update={"parents": {"s1": "s0", "s2": "s0"}}))
    settings = Settings(
        network=NetworkSettings(horizon=4, hidden=8, encoder="hierarchy"),
        training=TrainingSettings(members=1, max_steps=1, batch=6),
    )
    plan = make(panel, settings)
    made = Forecaster(plan.architecture, generator=torch.Generator().manual_seed(1)).eval()

    def losses() -> list[float]:
        objective = RelativeObjective(panel, plan.split, made, batch=6, seed=1)
        found = [objective.next_loss(made) for _ in range(20)]
        assert all(len(loss.batch.cutoff) % 3 == 0 for loss in found)
        return [float(loss.value.detach()) for loss in found]

    before = losses()
    for segment, limit in enumerate(plan.split.limit):
        panel.values[limit : panel.offsets[segment + 1]] += 100
    assert losses() == before


def test_a_resumed_training_reads_the_same_trees() -> None:
    rng = np.random.default_rng(0)
    panel = panel_of([rng.normal(size=60).cumsum() for _ in range(4)])
    object.__setattr__(panel, "schema", panel.schema.model_copy(update={"parents": {"s1": "s0", "s3": "s2"}}))
    settings = Settings(
        network=NetworkSettings(horizon=4, hidden=8, encoder="hierarchy"), training=TrainingSettings(members=1, batch=6)
    )
    plan = make(panel, settings)
    made = Forecaster(plan.architecture, generator=torch.Generator().manual_seed(1)).eval()
    objective = RelativeObjective(panel, plan.split, made, batch=6, seed=1)
    objective.next_loss(made)
    state = objective.state()
    onward = [objective.next_loss(made).batch.cutoff.tolist() for _ in range(3)]
    again = RelativeObjective(panel, plan.split, made, batch=6, seed=9)
    again.restore(state)
    assert [again.next_loss(made).batch.cutoff.tolist() for _ in range(3)] == onward


# ---- the command

HOW = ["--id-col", "article", "--parent", "shop", "--parent", "region", "--encoder", "hierarchy"]


def test_the_command_trains_and_forecasts_with_relatives(tmp_path: Path) -> None:
    shops(60).to_csv(tmp_path / "shops.csv", index=False)
    model = ["-m", str(tmp_path / "model")]
    assert run(["train", str(tmp_path / "shops.csv"), *HOW, *QUICK, *model]) == 0
    assert run(["predict", *model, "-o", str(tmp_path / "a.csv"), "-q"]) == 0
    assert run(["predict", *model, "-o", str(tmp_path / "b.csv"), "-q"]) == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (
        run(["inspect", str(tmp_path / "model"), str(tmp_path / "shops.csv"), "-q", "-o", str(tmp_path / "i.csv")]) == 0
    )


def test_the_command_refuses_what_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shops(60).to_csv(tmp_path / "shops.csv", index=False)
    command = ["train", str(tmp_path / "shops.csv"), *QUICK, "-m", str(tmp_path / "model")]
    assert run([*command, *HOW, "--stateful"]) == 2
    assert "a stateful network reads each series by itself, row by row" in capsys.readouterr().err
    assert run([*command, "--id-col", "article", "--encoder", "hierarchy"]) == 2
    assert "name the column of parents with --parent" in capsys.readouterr().err
    monkeypatch.setattr(planning, "_RELATIVES", 8)
    assert run([*command, *HOW]) == 2
    assert "reads a tree of series at once, and the largest has 10, more than 8" in capsys.readouterr().err
