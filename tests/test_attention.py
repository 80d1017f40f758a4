"""Attention over the encoder's outputs, and a teacher who tells some of what came true."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import MakePanel
from torch import Tensor

from lstmcast.config import Settings, TrainingSettings
from lstmcast.errors import UsageError
from lstmcast.fit import optimiser
from lstmcast.fit.loop import fit
from lstmcast.fit.plan import make
from lstmcast.net.architecture import Architecture
from lstmcast.net.attention import Attention
from lstmcast.net.cells import CELLS
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.refusals import architecture_faults
from lstmcast.net.teacher import Teacher, draw
from lstmcast.outcome import silent

B, T, H, P, C, W = 3, 12, 7, 4, 5, 6
KINDS = ("additive", "dot")
DECODERS = ("parallel", "recursive", "seq2seq")
every_kind = pytest.mark.parametrize("kind", KINDS)
every_decoder = pytest.mark.parametrize("decoder", DECODERS)


def attention_of(kind: Any) -> Attention:
    return Attention(kind, hidden=C, width=W, generator=torch.Generator().manual_seed(1)).double()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network_of(**fields: Any) -> Forecaster:
    fields = {"context": T, "horizon": H, "hidden": C, "dropout": 0.0, "quantiles": (0.1, 0.5, 0.9), **fields}
    return Forecaster(Architecture(**fields), generator=torch.Generator().manual_seed(0)).eval()


def inputs(*, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    context = 20 + torch.randn(B, T, 1, generator=torch.Generator().manual_seed(seed)).cumsum(1)
    return context, torch.ones(B, T, 1, dtype=torch.bool), torch.zeros(B, T, 0), torch.zeros(B, H, 0)


def by_the_equations(made: Attention, kind: str, outputs: Tensor, known: Tensor, h: Tensor) -> Tensor:
    """One lane, one step after the other, as the papers write it."""
    rows = []
    for s, seen, asked in zip(outputs, known, h, strict=True):
        steps = []
        for one in asked:
            query, keys = made.ask(one), made.offer(s[seen])
            if kind == "dot":
                scores = torch.stack([query @ key for key in keys]) / C**0.5
            else:
                assert made.weigh is not None
                scores = torch.stack([made.weigh(torch.tanh(query + key))[0] for key in keys])
            share = scores.exp() / scores.exp().sum()
            steps.append(one + made.tell((share[:, None] * s[seen]).sum(0)))
        rows.append(torch.stack(steps))
    return torch.stack(rows)


@every_kind
def test_attention_is_what_the_papers_write(kind: str) -> None:
    made, outputs, h = attention_of(kind), drawn(B, P, W), drawn(B, 2, C, seed=1)
    known = torch.tensor([[True] * P, [False, True, True, True], [False, False, False, True]])
    look = made.over(outputs, known)
    torch.testing.assert_close(look(h), by_the_equations(made, kind, outputs, known, h))
    torch.testing.assert_close(look(h[:, 0]), look(h)[:, 0])


@every_kind
def test_the_gradients_of_attention_are_those_of_its_values(kind: str) -> None:
    made, known = attention_of(kind), torch.tensor([[False, True, True, True]] * 2)
    values = (drawn(2, P, W).requires_grad_(), drawn(2, 3, C, seed=1).requires_grad_(), *made.parameters())
    assert torch.autograd.gradcheck(lambda outputs, h, *_: made.over(outputs, known)(h), values)


@every_kind
def test_patches_without_a_row_have_no_weight_and_lanes_do_not_meet(kind: str) -> None:
    made, outputs, h = attention_of(kind), drawn(2, P, W).requires_grad_(), drawn(2, 1, C, seed=1)
    known = torch.tensor([[False, True, False, True], [True] * P])
    (slope,) = torch.autograd.grad(made.over(outputs, known)(h)[0].sum(), outputs)
    assert slope[0].abs().sum(-1).gt(0).tolist() == [False, True, False, True]
    assert slope[1].eq(0).all()
    nothing = made.over(outputs, torch.zeros(2, P, dtype=torch.bool))(h)
    torch.testing.assert_close(nothing, h + made.tell(outputs[:, -1:]))


@every_kind
@every_decoder
@pytest.mark.parametrize("patch", [1, 5])
def test_a_decoder_looks_back_at_every_patch_and_at_nothing_of_other_lanes(kind: str, decoder: str, patch: int) -> None:
    network = network_of(decoder=decoder, attention=kind, patch=patch)
    seen: list[Tensor] = []
    over = network.attention.over

    def watched(outputs: Tensor, known: Tensor) -> Any:
        outputs.retain_grad()
        seen.append(outputs)
        return over(outputs, known)

    network.attention.over = watched
    context, *rest = inputs()
    raw = network(context.requires_grad_(), *rest).raw
    raw[0].sum().backward()
    assert seen[0].grad[0].abs().sum(-1).gt(0).all()
    assert seen[0].grad[1:].eq(0).all()
    assert context.grad[1:].eq(0).all()
    alone = network(*(part[:1] for part in inputs())).raw
    torch.testing.assert_close(alone[0], raw[0])


@pytest.mark.parametrize("cell", list(CELLS))
def test_attention_goes_with_every_cell_in_layers_and_both_directions(cell: str) -> None:
    network = network_of(cell=cell, attention="dot", layers=2, residual=True, bidirectional=True, patch=3)
    plain = network_of(cell=cell, layers=2, residual=True, bidirectional=True, patch=3)
    assert network(*inputs()).raw.isfinite().all()
    added = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in plain.parameters())
    assert added == (C + 1) * C + 2 * (2 * C + 1) * C


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"decoder": "direct"}, "decoder 'direct' takes none"),
        ({"encoder": "tree"}, "encoder 'tree' keeps no such sequence"),
        ({"encoder": "none"}, "encoder 'none' keeps no such sequence"),
        ({"stateful": True, "normaliser": "causal"}, "looks back at the patches of a window"),
        ({"attention": "hard"}, "no attention called 'hard'; choose one of: none, additive, dot"),
    ],
)
def test_attention_that_cannot_be_is_refused_with_the_reason(fields: dict[str, Any], sentence: str) -> None:
    assert sentence in "\n".join(
        architecture_faults(Architecture(**{"context": T, "horizon": H, "attention": "dot"} | fields))
    )


@pytest.mark.parametrize("decoder", ["recursive", "seq2seq"])
@pytest.mark.parametrize("patch", [1, 3])
def test_a_decoder_that_is_told_a_patch_writes_the_next_as_if_it_had_written_the_truth(
    decoder: str, patch: int
) -> None:
    network, target = network_of(decoder=decoder, patch=patch), 22 + torch.rand(B, H, 1)
    seen, patches = torch.ones(B, H, 1, dtype=torch.bool), -(-H // patch)
    written = network(*inputs())
    told = torch.zeros(B, patches, dtype=torch.bool)
    told[:, 1] = True
    taught = network(*inputs(), teacher=Teacher(target, seen, told))
    torch.testing.assert_close(taught.raw[:, : 2 * patch], written.raw[:, : 2 * patch])
    assert not torch.allclose(taught.raw[:, 2 * patch], written.raw[:, 2 * patch])
    median = network.quantiles(written)[..., 1]
    same = network(*inputs(), teacher=Teacher(median, seen, torch.ones_like(told)))
    torch.testing.assert_close(same.raw, written.raw, rtol=1e-3, atol=1e-4)
    unseen = network(*inputs(), teacher=Teacher(target, ~seen, torch.ones_like(told)))
    torch.testing.assert_close(unseen.raw, written.raw)


def test_what_is_told_is_drawn_from_the_generator_with_the_share_asked_for() -> None:
    target, seen = torch.zeros(40_000, 12, 1), torch.ones(40_000, 12, 1, dtype=torch.bool)
    made = [draw(target, seen, patch=3, share=0.3, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert made[0] is not None
    assert made[1] is not None
    assert torch.equal(made[0].patches, made[1].patches)
    assert made[0].patches.shape == (40_000, 4)
    assert made[0].patches.float().mean() == pytest.approx(0.3, abs=0.005)
    assert draw(target, seen, patch=3, share=0.0, generator=torch.Generator()) is None


@pytest.mark.parametrize("decay", ["linear", "exponential", "sigmoid"])
def test_the_share_told_falls_from_what_was_asked_to_next_to_nothing(decay: Any) -> None:
    settings = TrainingSettings(teacher_forcing=0.8, teacher_decay=decay)
    shares = [optimiser.told(settings, step, steps=100) for step in range(101)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(0.8, abs=0.01)
    assert shares[-1] < 0.01


def settings_of(network: dict[str, Any], **training: Any) -> Settings:
    network = {"horizon": 6, "context": 12, "hidden": 6, "patch": 3, "base": "none"} | network
    training = {"max_steps": 6, "batch": 8, "members": 1, "early_stop": None} | training
    return Settings.model_validate({"network": network, "training": training})


@pytest.mark.parametrize("stateful", [False, True])
def test_training_with_a_teacher_differs_and_repeats_to_the_bit(make_panel: MakePanel, stateful: bool) -> None:
    panel = make_panel([[float(10 + t % 7 + k) for t in range(120)] for k in range(2)])
    weights = []
    for share in (0.0, 0.9, 0.9):
        plan = make(
            panel, settings_of({"decoder": "recursive", "base": None}, stateful=stateful, teacher_forcing=share)
        )
        weights.append(fit(panel, plan, on_progress=silent).forecaster.state_dict())
    assert all(torch.equal(weights[1][name], weights[2][name]) for name in weights[1])
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_a_teacher_of_a_decoder_that_reads_nothing_is_refused(make_panel: MakePanel) -> None:
    panel = make_panel([[float(t % 7) for t in range(120)]])
    with pytest.raises(UsageError, match="reads nothing of its own; use decoder 'recursive' or 'seq2seq'"):
        make(panel, settings_of({}, teacher_forcing=0.5))
