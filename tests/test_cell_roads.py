"""The laws of the cells on the fast roads, for every cell and option: the readable road is tested elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lstmcast.net import draws
from lstmcast.net.cells import CELLS
from lstmcast.net.scan import Noise, numba_is_there, scan
from lstmcast.net.stack import Regularisation, Stack

B, T, F, C = 3, 6, 2, 4
OPTIONS = [
    *((name, {}) for name in CELLS),
    ("multiplicative", {"form": "additive"}),
    ("projected", {"memory": 3}),
    ("slstm", {"heads": 1}),
    ("slstm", {"heads": 2}),
    ("lstm", {"span": 9}),
]
KINDS = ("plain", "variational", "zoneout", "checkpoint")
every_option = pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
needs_numba = pytest.mark.skipif(not numba_is_there(), reason="numba is not installed")
fast_roads = pytest.mark.parametrize("road", ["aten", pytest.param("compiled", marks=needs_numba)])
PRECISION = {"aten": torch.float64, "compiled": torch.float32}
CLOSE = {"aten": {"rtol": 1e-9, "atol": 1e-11}, "compiled": {"rtol": 1e-4, "atol": 1e-5}}


def random(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def made(name, options, dtype=torch.float64):
    """The cell with none of its weights at 0 or 1, a sequence for it, and a state to start from."""
    inputs = C if options.get("form") == "additive" else F
    cell = CELLS.load(name)(inputs, C, generator=torch.Generator().manual_seed(0), **options).to(dtype)
    with torch.no_grad():
        for i, parameter in enumerate(cell.parameters()):
            parameter.add_(0.1 * random(*parameter.shape, seed=20 + i, dtype=dtype))
    first = cell.initial_state(B)
    start = tuple(part + 0.3 * random(*part.shape, seed=30 + i, dtype=dtype).abs() for i, part in enumerate(first))
    return cell, random(B, T, inputs, dtype=dtype), start


def noise_of(kind, start):
    generator = torch.Generator().manual_seed(5)
    if kind == "variational":
        return Noise(mask=(torch.rand(start[0].shape, generator=generator) > 0.3).to(start[0].dtype) / 0.7)
    if kind == "zoneout":
        keep = [(torch.rand(B, T, part.shape[1], generator=generator) > 0.6).to(part.dtype) for part in start]
        return Noise(keep=tuple(keep))
    return Noise()


@pytest.mark.parametrize("kind", KINDS)
@every_option
def test_the_written_gradient_is_the_derivative(name, options, kind):
    cell, x, start = made(name, options)
    names = [key for key, _ in cell.named_parameters()]
    noise = noise_of(kind, start)

    class Along(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell

        def forward(self, x, *state):
            h, final = scan(self.cell, x, state, noise=noise, checkpoint=kind == "checkpoint", road="aten")
            return h, *final

    along = Along()

    def go(x, *rest):
        weights = {f"cell.{key}": value for key, value in zip(names, rest[len(start) :], strict=True)}
        return torch.func.functional_call(along, weights, (x, *rest[: len(start)]))

    given = [tensor.detach().requires_grad_() for tensor in (x, *start, *cell.parameters())]
    assert torch.autograd.gradcheck(go, given, fast_mode=True)


@fast_roads
@every_option
def test_a_cut_sequence_goes_on_where_it_was_cut(name, options, road):
    cell, x, start = made(name, options, PRECISION[road])
    whole, end = scan(cell, x, start, road=road)
    first, middle = scan(cell, x[:, :2], start, road=road)
    second, last = scan(cell, x[:, 2:], middle, road=road)
    torch.testing.assert_close((torch.cat([first, second], 1), *last), (whole, *end), **CLOSE[road])


@fast_roads
@every_option
def test_a_lane_knows_nothing_of_its_neighbours(name, options, road):
    cell, x, start = made(name, options, PRECISION[road])
    together, _ = scan(cell, x, start, road=road)
    for lane in range(B):
        alone, _ = scan(cell, x[lane : lane + 1], tuple(part[lane : lane + 1] for part in start), road=road)
        torch.testing.assert_close(alone, together[lane : lane + 1], **CLOSE[road])


@fast_roads
@every_option
def test_a_lane_that_is_reset_begins_afresh_and_no_other_does(name, options, road):
    cell, x, carried = made(name, options, PRECISION[road])
    fresh, reset = cell.initial_state(B), torch.arange(B).eq(1)[:, None]
    mixed, _ = scan(cell, x, tuple(torch.where(reset, a, b) for a, b in zip(fresh, carried, strict=True)), road=road)
    continued, begun = scan(cell, x, carried, road=road)[0], scan(cell, x, fresh, road=road)[0]
    torch.testing.assert_close(mixed[1], begun[1], **CLOSE[road])
    torch.testing.assert_close(mixed[[0, 2]], continued[[0, 2]], **CLOSE[road])
    assert not torch.allclose(begun[1], continued[1], rtol=1e-3)


@fast_roads
@every_option
def test_nothing_is_known_of_later_steps(name, options, road):
    cell, x, start = made(name, options, PRECISION[road])
    x.requires_grad_()
    h, _ = scan(cell, x, start, road=road)
    for t in range(T):
        (influence,) = torch.autograd.grad(h[:, t].sum(), x, retain_graph=True)
        assert influence[:, t + 1 :].eq(0).all()
        assert influence[:, : t + 1].abs().sum(-1).gt(0).all()


@fast_roads
@every_option
def test_zoneout_of_everything_stands_still_and_of_nothing_is_no_zoneout(name, options, road):
    cell, x, start = made(name, options, PRECISION[road])
    still, moving = (scan(cell, x, start, noise=Noise(keep=(share,) * len(start)), road=road) for share in (1.0, 0.0))
    torch.testing.assert_close(still[1], start, **CLOSE[road])
    plain = scan(cell, x, start, road=road)
    torch.testing.assert_close((moving[0], *moving[1]), (plain[0], *plain[1]), **CLOSE[road])


@fast_roads
@every_option
def test_weights_loaded_again_give_the_same_numbers(name, options, road):
    cell, x, start = made(name, options, PRECISION[road])
    other, _, _ = made(name, options, PRECISION[road])
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(cell.state_dict())
    assert torch.equal(scan(cell, x, start, road=road)[0], scan(other, x, start, road=road)[0])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_mask_has_the_share_of_ones_it_was_asked_for(share):
    torch.manual_seed(3)
    mask = draws.ones((50, 77, 13), share, like=torch.zeros((), dtype=torch.float64))
    assert mask.dtype == torch.float64
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.mean().item() == pytest.approx(share, abs=0.01)
    halves = mask.reshape(-1)[:50_000].view(2, -1)
    assert (halves[0] * halves[1]).mean().item() == pytest.approx(share**2, abs=0.01)


def test_zoneout_in_training_is_drawn_from_the_global_generator():
    stack = Stack("lstm", inputs=F, hidden=C, regularisation=Regularisation(zoneout=0.5), generator=torch.Generator())
    x, outputs = random(B, T, F, dtype=torch.float32), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(stack(x, stack.initial_state(B))[0])
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
