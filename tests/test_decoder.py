"""The laws of the decoders, through the network they write for."""

from __future__ import annotations

import itertools

import pytest
import torch

from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import CELLS
from lstmcast.net.decoder import DECODERS
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.heads import CLASSES, LOSSES

T, H, B = 12, 7, 3
every_decoder = pytest.mark.parametrize("decoder", list(DECODERS))
LOSSES_OF_NUMBERS = [name for name in LOSSES if name != CLASSES]
COMBINATIONS = list(itertools.product(DECODERS, CELLS, LOSSES_OF_NUMBERS, (1, 3)))


def forecaster_of(**fields):
    fields = {"context": T, "horizon": H, "hidden": 6, "dropout": 0.0, "quantiles": (0.1, 0.5, 0.9), **fields}
    if fields.get("loss", "quantile") != "quantile":
        fields["quantiles"] = (0.5,)
    return Forecaster(Architecture(**fields), generator=torch.Generator().manual_seed(0)).eval()


def inputs(*, past=0, future=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    context = torch.randn(B, T, 1, generator=generator)
    covariates = torch.randn(B, T + H, past + future, generator=generator)
    return context, torch.ones(B, T, 1, dtype=torch.bool), covariates[:, :T], covariates[:, T:, past:]


@pytest.mark.parametrize(("decoder", "cell", "loss", "patch"), COMBINATIONS)
def test_every_step_of_the_horizon_feels_the_newest_value(decoder, cell, loss, patch):
    forecaster = forecaster_of(decoder=decoder, cell=cell, loss=loss, patch=patch)
    context, *rest = inputs()
    raw = forecaster(context.requires_grad_(), *rest).raw
    for h in range(H):
        (influence,) = torch.autograd.grad(raw[:, h].sum(), context, retain_graph=True)
        assert influence[:, -1].abs().gt(0).all()


@every_decoder
@pytest.mark.parametrize("patch", [1, 3])
def test_the_future_of_a_covariate_reaches_every_step_of_its_patch(decoder, patch):
    forecaster = forecaster_of(decoder=decoder, patch=patch, past=1, future=2)
    context, observed, past, future = inputs(past=1, future=2)
    raw = forecaster(context, observed, past, future.requires_grad_()).raw
    for h in range(H):
        (influence,) = torch.autograd.grad(raw[:, h].sum(), future, retain_graph=True)
        assert influence[:, h].abs().gt(0).all()
        following = influence[:, (h // patch + 1) * patch :]
        assert following.eq(0).all()


@every_decoder
def test_a_horizon_that_the_patch_does_not_divide_is_cropped(decoder):
    prediction = forecaster_of(decoder=decoder, patch=5)(*inputs())
    assert prediction.raw.shape == (B, H, 1, 3)


@pytest.mark.parametrize("decoder", [name for name in DECODERS if name != "recursive"])
@pytest.mark.parametrize("cell", list(CELLS))
def test_a_bidirectional_encoder_can_be_decoded(decoder, cell):
    forecaster = forecaster_of(decoder=decoder, cell=cell, bidirectional=True, layers=2)
    context, *rest = inputs()
    raw = forecaster(context.requires_grad_(), *rest).raw
    (influence,) = torch.autograd.grad(raw[:, -1].sum(), context)
    assert influence[:, [0, -1]].abs().gt(0).all()


@every_decoder
def test_a_decoder_owns_no_weights_of_the_encoder(decoder):
    names = [name for name, _ in forecaster_of(decoder=decoder).named_parameters(remove_duplicate=False)]
    parameters = list(forecaster_of(decoder=decoder).parameters())
    assert len(names) == len(parameters)


def test_parallel_writes_each_patch_by_one_step_of_the_encoder_on_its_query():
    forecaster = forecaster_of(decoder="parallel")
    decoder, stack = forecaster.decoder, forecaster.stack
    seen = {}
    decoder.register_forward_pre_hook(lambda _, arguments: seen.update(encoding=arguments[0]))
    raw = forecaster(*inputs()).raw
    for j in range(H):
        h, _ = stack.cells[0].step(decoder.position[j].expand(B, -1), seen["encoding"].state)
        torch.testing.assert_close(decoder.write(h), raw[:, j, 0])


def test_recursive_goes_on_as_if_its_own_median_had_been_observed():
    """The second step of the horizon equals the first step of a context that has grown by the forecast."""
    forecaster = forecaster_of(decoder="recursive", normaliser="causal", stateful=True)
    context, observed, past, future = inputs()
    state = forecaster.initial_state(B)
    starts = torch.ones(B, dtype=torch.bool)
    prediction, state = forecaster.stream(context, observed, past, future, state, starts)
    one = forecaster.head.quantiles(prediction.raw[:, -1, 0], prediction.base[:, -1, 0])[..., 1]

    recurrent = state[-2:]
    embedded = forecaster.embed(one[:, None], observed[:, :1], past[:, :1])
    h, _ = forecaster.stack(embedded, recurrent)
    torch.testing.assert_close(forecaster.decoder.write(h[:, -1]), prediction.raw[:, -1, 1, 0])


def test_the_textbook_network_is_a_recurrence_and_one_linear_layer():
    forecaster = forecaster_of(decoder="direct", loss="mse")
    a = forecaster.architecture
    expected = 4 * a.hidden * (2 * a.hidden + 2) + (a.hidden * H + H) + (2 * a.hidden + a.hidden)
    assert sum(p.numel() for p in forecaster.parameters()) == expected
