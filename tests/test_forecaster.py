"""The laws of the whole network."""

from __future__ import annotations

import copy
import itertools
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load, save

from lstmcast.errors import UsageError
from lstmcast.net.architecture import Architecture
from lstmcast.net.bases import BASES
from lstmcast.net.cells import CELLS
from lstmcast.net.decoder import DECODERS
from lstmcast.net.forecaster import Forecaster, architecture_faults
from lstmcast.net.heads import CLASSES, LOSSES
from lstmcast.net.normalise import NORMALISERS
from lstmcast.net.transforms import TRANSFORMS

B, T, H = 4, 20, 6
LEVELS = (0.1, 0.5, 0.9)
FULL = {"base": "seasonal", "seasons": (4, 7), "highway": True, "patch": 3, "past": 1, "future": 2, "targets": 2}
STATEFUL = {"stateful": True, "normaliser": "causal"}
FAMILIES = {
    "cell": CELLS,
    "transform": TRANSFORMS,
    "normaliser": NORMALISERS,
    "base": BASES,
    "decoder": DECODERS,
    "loss": LOSSES,
}
EVERY_MEMBER = [
    *((field, name) for field, family in FAMILIES.items() for name in family if name != CLASSES),
    *(("encoder", name) for name in ("tree", "none")),
]
every_member = pytest.mark.parametrize(("field", "name"), EVERY_MEMBER)


def architecture_of(**fields):
    fields = {"context": T, "horizon": H, "hidden": 8, "dropout": 0.0, "quantiles": LEVELS, **fields}
    if fields.get("loss", "quantile") != "quantile":
        fields["quantiles"] = (0.5,)
    return Architecture(**fields)


def forecaster_of(*, seed=0, **fields):
    """A network whose highway speaks, although it is silent before training."""
    forecaster = Forecaster(architecture_of(**fields), generator=torch.Generator().manual_seed(seed)).eval()
    if forecaster.highway is not None:
        torch.nn.init.normal_(forecaster.highway.weight, std=0.1, generator=torch.Generator().manual_seed(7))
    return forecaster


def inputs(forecaster, *, rows=T, lanes=B, seed=0):
    a, generator = forecaster.architecture, torch.Generator().manual_seed(seed)
    context = 20 + torch.randn(lanes, rows, a.targets, generator=generator).cumsum(1)
    observed = torch.rand(lanes, rows, a.targets, generator=generator) > 0.1
    observed[:, -1] = True
    covariates = torch.randn(lanes, rows + H, a.past + a.future, generator=generator)
    return context, observed, covariates[:, :rows], covariates[:, rows:, a.past :]


def quantiles_of(forecaster, *arguments):
    with torch.no_grad():
        return forecaster.quantiles(forecaster(*arguments))


@every_member
def test_every_member_of_every_family_forecasts_in_the_users_units(field, name):
    forecaster = forecaster_of(**{**FULL, field: name})
    quantiles = quantiles_of(forecaster, *inputs(forecaster))
    assert quantiles.shape == (B, H, 2, len(forecaster.architecture.quantiles))
    assert quantiles.isfinite().all()
    assert quantiles.diff(dim=-1).ge(0).all()


@every_member
def test_a_forecast_does_not_depend_on_its_neighbours_in_the_batch(field, name):
    forecaster = forecaster_of(**{**FULL, field: name})
    arguments = inputs(forecaster)
    together = quantiles_of(forecaster, *arguments)
    alone = quantiles_of(forecaster, *(part[2:3] for part in arguments))
    torch.testing.assert_close(alone, together[2:3])


@every_member
def test_what_was_not_observed_changes_nothing(field, name):
    forecaster = forecaster_of(**{**FULL, field: name})
    context, observed, past, future = inputs(forecaster)
    target, target_observed = torch.full((B, H, 2), 20.0), torch.arange(H)[:, None].expand(B, H, 2) % 2 == 0
    seen = []
    for fill in (0.0, 1e9, -5.0, float("nan")):
        forecaster.zero_grad()
        prediction = forecaster(torch.where(observed, context, fill), observed, past, future)
        loss = forecaster.loss(prediction, torch.where(target_observed, target, fill), target_observed)
        loss.backward()
        gradients = [p.grad.clone() for p in forecaster.parameters()]
        seen.append([forecaster.quantiles(prediction).detach(), loss.detach(), *gradients])
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


@pytest.mark.parametrize(("decoder", "cell"), list(itertools.product(DECODERS, CELLS)))
@pytest.mark.parametrize("normaliser", list(NORMALISERS))
def test_moving_and_stretching_a_series_moves_and_stretches_its_forecast(decoder, cell, normaliser):
    forecaster = forecaster_of(**FULL, decoder=decoder, cell=cell, normaliser=normaliser).double()
    context, observed, past, future = (part.double() if part.is_floating_point() else part
                                       for part in inputs(forecaster))  # fmt: skip
    plain = quantiles_of(forecaster, context, observed, past, future)
    moved = quantiles_of(forecaster, 3 * context - 7, observed, past, future)
    torch.testing.assert_close(moved, 3 * plain - 7)


def test_float32_keeps_the_affine_law_to_its_own_precision():
    forecaster = forecaster_of(**FULL)
    context, *rest = inputs(forecaster)
    plain, moved = quantiles_of(forecaster, context, *rest), quantiles_of(forecaster, 3 * context - 7, *rest)
    torch.testing.assert_close(moved, 3 * plain - 7, rtol=0, atol=1e-3)


@pytest.mark.parametrize("transform", list(TRANSFORMS))
@pytest.mark.parametrize("normaliser", list(NORMALISERS))
def test_a_constant_context_forecasts_about_the_constant(transform, normaliser):
    if normaliser == "series" and transform != "none":
        with pytest.raises(UsageError, match="measures values as they are"):
            forecaster_of(**FULL, transform=transform, normaliser=normaliser)
        return
    forecaster = forecaster_of(**FULL, transform=transform, normaliser=normaliser)
    context, observed, past, future = inputs(forecaster)
    quantiles = quantiles_of(forecaster, torch.full_like(context, 40.0), observed, past, future)
    torch.testing.assert_close(quantiles, torch.full_like(quantiles, 40.0), rtol=0.1, atol=0)


def test_a_context_of_zeros_forecasts_zero_and_has_no_say_in_the_loss():
    forecaster = forecaster_of(base="seasonal", seasons=(4,), highway=True)
    context, observed, past, future = inputs(forecaster)
    context[1] = 0.0
    prediction = forecaster(context, observed, past, future)
    assert forecaster.quantiles(prediction)[1].abs().max() < 1e-9
    target, seen = torch.full((B, H, 1), 20.0), torch.ones(B, H, 1, dtype=torch.bool)
    without = seen.clone()
    without[1] = False
    assert torch.equal(forecaster.loss(prediction, target, seen), forecaster.loss(prediction, target, without))


def test_one_absurd_value_is_cut_off_at_twenty_deviations():
    forecaster = forecaster_of(context=600)
    context, observed, past, future = inputs(forecaster, rows=600)
    context[0, 300], observed[0, 300] = 1e7, True
    read = []
    forecaster.embed.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0]))
    assert quantiles_of(forecaster, context, observed, past, future).isfinite().all()
    assert read[0][0].max() == 20


def test_a_context_without_any_observation_still_gives_a_finite_forecast_and_gradient():
    forecaster = forecaster_of(**FULL)
    context, observed, past, future = inputs(forecaster)
    prediction = forecaster(context, torch.zeros_like(observed), past, future)
    forecaster.loss(prediction, torch.ones(B, H, 2), torch.ones(B, H, 2, dtype=torch.bool)).backward()
    assert forecaster.quantiles(prediction).isfinite().all()
    assert all(p.grad.isfinite().all() for p in forecaster.parameters())


def test_a_missing_covariate_counts_as_its_mean():
    forecaster = forecaster_of(**FULL)
    mean = torch.tensor([3.0, -1.0, 0.5])
    forecaster.set_covariate_scale(mean, torch.tensor([2.0, 0.0, 1.0]))
    context, observed, past, future = inputs(forecaster)
    past[:, 5], future[:, 2] = mean, mean[1:]
    expected = quantiles_of(forecaster, context, observed, past, future)
    past[:, 5], future[:, 2] = torch.nan, torch.nan
    torch.testing.assert_close(quantiles_of(forecaster, context, observed, past, future), expected)


STATIC = {**FULL, "static": (3, 0)}  # a covariate of three words, and a number
TOLD = torch.tensor([[0.0, 5.0], [1.0, 7.0], [2.0, float("nan")], [float("nan"), 5.0]])


def test_static_covariates_reach_every_step_and_cost_only_their_own_weights():
    forecaster, plain = forecaster_of(**STATIC), forecaster_of(**FULL)
    arguments = inputs(forecaster)
    one = forecaster(*arguments, static=TOLD).raw
    other = forecaster(*arguments, static=TOLD + torch.tensor([0.0, 1.0])).raw
    assert ((one - other).abs().amax((2, 3))[[0, 1, 3]] > 0).all()
    assert torch.equal(one[2], other[2])  # what is missing is the mean, wherever that lies
    count = sum(p.numel() for p in forecaster.parameters()) - sum(p.numel() for p in plain.parameters())
    assert count == 3 * 3 + 2 * 8 * 3 * (3 + 1)  # three vectors, and their place in every patch and query
    with pytest.raises(UsageError, match="trained with static covariates"):
        forecaster(*arguments)


def test_a_word_never_seen_is_the_mean_of_all_words_and_numbers_are_standardised():
    standing = forecaster_of(**STATIC).standing
    standing.set_scale(torch.tensor([0.0, 5.0]), torch.tensor([1.0, 2.0]))
    vectors = standing(TOLD)
    torch.testing.assert_close(vectors[3, :3], standing.tables[0].mean(0))
    assert torch.equal(standing(torch.tensor([[9.0, 5.0]]))[0], vectors[3])
    assert vectors[:, 3].tolist() == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_a_stream_hears_static_covariates_as_a_window_does(decoder):
    forecaster = forecaster_of(**STATEFUL, decoder=decoder, static=(3, 0))
    context, observed, past, future = inputs(forecaster)
    window = forecaster.quantiles(forecaster(context, observed, past, future, static=TOLD))
    start = torch.ones(B, dtype=torch.bool)
    streamed, _ = forecaster.stream(context, observed, past, future, forecaster.initial_state(B), start, static=TOLD)
    torch.testing.assert_close(forecaster.quantiles(streamed)[:, -1], window, rtol=1e-4, atol=1e-4)


def test_covariates_are_standardised():
    forecaster = forecaster_of(**FULL)
    context, observed, past, future = inputs(forecaster)
    expected = quantiles_of(forecaster, context, observed, past, future)
    mean, scale = torch.tensor([3.0, -1.0, 100.0]), torch.tensor([2.0, 5.0, 0.1])
    forecaster.set_covariate_scale(mean, scale)
    scaled = past * scale + mean, future * scale[1:] + mean[1:]
    torch.testing.assert_close(quantiles_of(forecaster, context, observed, *scaled), expected, rtol=0, atol=2e-4)


def test_a_value_without_an_image_counts_as_not_observed():
    forecaster = forecaster_of(transform="log")
    context, observed, past, future = inputs(forecaster)
    context[:, 4] = 0.0
    missing = observed.clone()
    missing[:, 4] = False
    assert torch.equal(
        quantiles_of(forecaster, context, observed, past, future),
        quantiles_of(forecaster, context, missing, past, future),
    )


def test_the_forecast_is_base_highway_and_residual_in_the_units_of_the_context():
    forecaster = forecaster_of(base="seasonal", seasons=(4,), highway=True, loss="mae", transform="asinh")
    context, observed, past, future = inputs(forecaster)
    observed[:] = True
    prediction = forecaster(context, observed, past, future)
    y = context.asinh()
    location, scale = y[:, -1:], y.std(1, keepdim=True, correction=0)
    z = (y - location) / scale
    base = z[:, -4:][:, torch.arange(H) % 4]
    centre = base + forecaster.highway(z[..., 0])[..., None]
    expected = (location + scale * (centre + prediction.raw[..., 0])).sinh()
    torch.testing.assert_close(forecaster.quantiles(prediction)[..., 0], expected, rtol=1e-4, atol=1e-4)


def test_a_perfect_forecast_has_no_loss_and_the_loss_is_in_normalised_units():
    forecaster = forecaster_of(loss="mae", transform="log")
    prediction = forecaster(*inputs(forecaster))
    truth, observed = forecaster.quantiles(prediction)[..., 0].detach(), torch.ones(B, H, 1, dtype=torch.bool)
    assert forecaster.loss(prediction, truth, observed).item() == pytest.approx(0, abs=1e-4)
    off = truth * prediction.scale.exp()  # one scale up in log space
    assert forecaster.loss(prediction, off, observed).item() == pytest.approx(1, abs=1e-4)


def test_a_switched_off_ingredient_is_truly_absent():
    def count(**fields):
        return sum(p.numel() for p in forecaster_of(**fields).parameters())

    assert count(highway=True) - count() == T * H + H
    assert count(base="seasonal", seasons=(4,)) == count()
    assert count(past=1) - count() == 8
    assert count(future=1) - count() == 8 + (8 + 8)  # one column of the embedding, and the query's own layer
    assert count(loss="mae") - count() == -2 * (8 + 1)
    decoder = H * 8 + (8 + 1) * len(LEVELS)  # a query for each step, and what is written from it
    assert count(encoder="none") == decoder
    assert count(encoder="none", highway=True) == decoder + T * H + H


def test_an_untrained_highway_is_silent():
    forecaster = Forecaster(architecture_of(highway=True), generator=torch.Generator().manual_seed(0)).eval()
    without = forecaster_of()
    without.load_state_dict({k: v for k, v in forecaster.state_dict().items() if not k.startswith("highway")})
    arguments = inputs(without)
    torch.testing.assert_close(quantiles_of(forecaster, *arguments), quantiles_of(without, *arguments))


def test_without_an_encoder_nothing_but_base_highway_and_level_hears_the_context():
    forecaster = forecaster_of(encoder="none", normaliser="last")
    context, observed, past, future = inputs(forecaster)
    raw = forecaster(context, observed, past, future).raw
    assert torch.equal(raw, forecaster(5 - 2 * context, observed, past, future).raw)
    with pytest.raises(UsageError, match="without an encoder carries no state"):
        forecaster.stack.trace(context, ())


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_the_same_generator_builds_the_same_network_and_leaves_torchs_own_alone(decoder):
    before = torch.get_rng_state()
    first, again, other = (forecaster_of(**FULL, decoder=decoder, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_a_network_survives_safetensors_and_copying(decoder):
    forecaster = forecaster_of(**FULL, decoder=decoder)
    forecaster.set_covariate_scale(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0]))
    other = forecaster_of(**FULL, decoder=decoder, seed=9)
    other.load_state_dict(load(save(forecaster.state_dict())))
    arguments = inputs(forecaster)
    expected = quantiles_of(forecaster, *arguments)
    assert torch.equal(quantiles_of(other, *arguments), expected)
    assert torch.equal(quantiles_of(copy.deepcopy(forecaster), *arguments), expected)


def test_training_runs_under_deterministic_algorithms():
    forecaster = forecaster_of(**FULL, dropout=0.2, layers=2).train()
    torch.use_deterministic_algorithms(True)
    try:
        prediction = forecaster(*inputs(forecaster))
        forecaster.loss(prediction, torch.ones(B, H, 2), torch.ones(B, H, 2, dtype=torch.bool)).backward()
    finally:
        torch.use_deterministic_algorithms(False)


# Streams


def stream(forecaster, arguments, state, *, starts=False):
    lanes = len(arguments[0])
    return forecaster.stream(*arguments, state, torch.full((lanes,), starts))


def is_neutral(field):
    """Whether a field of a prediction says the same of every lane and row, as where no history is summarised."""
    return field.shape == (1, 1, 1)


def ahead_of(forecaster, past, future, stop):
    """The covariates known ahead of the H rows after row ``stop``."""
    return torch.cat([past[..., forecaster.architecture.past :], future], 1)[:, stop : stop + H]


stateful_networks = pytest.mark.parametrize(("decoder", "cell"), list(itertools.product(DECODERS, CELLS)))


@stateful_networks
def test_a_stream_does_not_care_where_chunks_are_cut(decoder, cell):
    forecaster = forecaster_of(**STATEFUL, decoder=decoder, cell=cell, past=1, future=2, targets=2, layers=2)
    context, observed, past, future = inputs(forecaster)
    begun = forecaster.initial_state(B)
    whole, end = stream(forecaster, (context, observed, past, future), begun)
    cut = 8
    ahead = ahead_of(forecaster, past, future, cut)
    first, middle = stream(forecaster, (context[:, :cut], observed[:, :cut], past[:, :cut], ahead), begun)
    second, last = stream(forecaster, (context[:, cut:], observed[:, cut:], past[:, cut:], future), middle)
    for a, b, together in zip(first, second, whole, strict=True):
        torch.testing.assert_close(a if is_neutral(a) else torch.cat([a, b], 1), together)
    torch.testing.assert_close(last, end)


@stateful_networks
def test_every_row_of_a_stream_forecasts_what_a_window_ending_there_forecasts(decoder, cell):
    forecaster = forecaster_of(**STATEFUL, decoder=decoder, cell=cell, past=1, future=2, targets=2)
    context, observed, past, future = inputs(forecaster)
    prediction, _ = stream(forecaster, (context, observed, past, future), forecaster.initial_state(B))
    assert prediction.raw.shape == (B, T, H, 2, 3)
    for stop in (1, 9, T):
        ahead = ahead_of(forecaster, past, future, stop)
        window = forecaster(context[:, :stop], observed[:, :stop], past[:, :stop], ahead)
        for field, expected in zip(prediction, window, strict=True):
            assert is_neutral(field) == is_neutral(expected)
            if not is_neutral(field):
                torch.testing.assert_close(field[:, stop - 1], expected)


@stateful_networks
def test_rows_can_be_read_without_forecasting_from_them(decoder, cell):
    forecaster = forecaster_of(**STATEFUL, decoder=decoder, cell=cell, past=1, future=2, targets=2)
    arguments = inputs(forecaster)
    _, begun = stream(forecaster, inputs(forecaster, seed=1), forecaster.initial_state(B))
    starts = torch.arange(B) == 1
    _, expected = forecaster.stream(*arguments, begun, starts)
    torch.testing.assert_close(forecaster.carry(*arguments[:3], begun, starts), expected)


PATCHED = {**STATEFUL, "patch": 3, "past": 1, "future": 2, "targets": 2}
patched_networks = pytest.mark.parametrize(
    ("decoder", "cell"), [*((name, "lstm") for name in DECODERS), *(("direct", name) for name in CELLS)]
)


@patched_networks
def test_patches_are_cut_from_the_start_of_a_stream_wherever_its_chunks_are_cut(decoder, cell):
    forecaster = forecaster_of(**PATCHED, decoder=decoder, cell=cell, layers=2)
    context, observed, past, future = inputs(forecaster)
    begun = forecaster.initial_state(B)
    whole, end = stream(forecaster, (context, observed, past, future), begun)
    for cut in range(1, 8):  # every phase, and chunks shorter than a patch
        ahead = ahead_of(forecaster, past, future, cut)
        first, middle = stream(forecaster, (context[:, :cut], observed[:, :cut], past[:, :cut], ahead), begun)
        second, last = stream(forecaster, (context[:, cut:], observed[:, cut:], past[:, cut:], future), middle)
        for a, b, together in zip(first, second, whole, strict=True):
            torch.testing.assert_close(a if is_neutral(a) else torch.cat([a, b], 1), together)
        torch.testing.assert_close(last, end)
        carried = forecaster.carry(context[:, cut:], observed[:, cut:], past[:, cut:], middle, torch.zeros(B).bool())
        torch.testing.assert_close(carried, end)


@patched_networks
def test_lanes_of_a_stream_may_stand_at_different_places_of_their_patches(decoder, cell):
    forecaster = forecaster_of(**PATCHED, decoder=decoder, cell=cell)
    context, observed, past, future = inputs(forecaster)
    lone = []
    for lane in range(B):
        own = (context[[lane], lane:], observed[[lane], lane:], past[[lane], lane:], future[[lane]])
        lone.append(stream(forecaster, own, forecaster.initial_state(1)))
    states = []
    for lane in range(B):
        read = slice(lane, 9)
        state = forecaster.initial_state(1)
        states.append(
            forecaster.carry(
                context[[lane], read], observed[[lane], read], past[[lane], read], state, torch.ones(1) > 0
            )
        )
    middle = tuple(torch.cat(parts) for parts in zip(*states, strict=True))
    rest, end = stream(forecaster, (context[:, 9:], observed[:, 9:], past[:, 9:], future), middle)
    for lane, (alone, final) in enumerate(lone):
        torch.testing.assert_close(rest.raw[lane], alone.raw[0, 9 - lane :])
        torch.testing.assert_close(tuple(part[lane] for part in end), tuple(part[0] for part in final))


def test_a_forecast_within_a_patch_starts_from_the_rows_of_it_that_are_there():
    """By the equations: the whole patches one after the other, then one step over what is left, padded on the left."""
    forecaster = forecaster_of(**PATCHED, decoder="direct")
    context, observed, past, future = inputs(forecaster)
    prediction, _ = stream(forecaster, (context, observed, past, future), forecaster.initial_state(B))
    y = torch.where(observed, context, 0.0)
    z = torch.where(observed, (y - prediction.location[:, :, 0]) / prediction.scale[:, :, 0], 0.0).clamp(-20, 20)
    z = torch.where(prediction.scale[:, :, 0] > 1e-12, z, 0.0)
    for rows in range(1, T + 1):
        state = forecaster.stack.initial_state(B)
        for begin in range(0, rows, 3):
            part = slice(begin, min(begin + 3, rows))
            x = forecaster.embed(z[:, part], observed[:, part], past[:, part])
            h, state = forecaster.stack.step(x[:, 0], state)
        raw = torch.unflatten(forecaster.decoder.write(h), -1, (-1, 2, 3))[:, :H]
        ahead = ahead_of(forecaster, past, future, rows).reshape(B, -1, 6)
        by_covariates = torch.unflatten(forecaster.decoder.future(ahead), -1, (3, 2, 3)).flatten(1, 2)
        torch.testing.assert_close(prediction.raw[:, rows - 1], raw + by_covariates)


def test_rows_of_another_series_never_wait_for_a_lane_that_starts():
    forecaster = forecaster_of(**PATCHED)
    arguments = inputs(forecaster)
    _, carried = forecaster.stream(*inputs(forecaster, seed=1), forecaster.initial_state(B), torch.ones(B) > 0)
    fresh, end = forecaster.stream(*arguments, carried, torch.arange(B) == 1)
    alone, expected = stream(forecaster, arguments, forecaster.initial_state(B))
    torch.testing.assert_close(fresh.raw[1], alone.raw[1])
    torch.testing.assert_close(tuple(part[1] for part in end), tuple(part[1] for part in expected))
    assert not torch.allclose(fresh.raw[0], alone.raw[0])


def test_a_stream_has_a_loss_and_quantiles_at_every_row():
    forecaster = forecaster_of(**STATEFUL)
    arguments = inputs(forecaster)
    prediction, _ = stream(forecaster, arguments, forecaster.initial_state(B))
    target, observed = torch.full((B, T, H, 1), 20.0), torch.rand(B, T, H, 1) > 0.5
    quantiles = forecaster.quantiles(prediction)
    assert quantiles.shape == (B, T, H, 1, 3)
    assert quantiles.diff(dim=-1).ge(0).all()
    plain = forecaster.loss(prediction, target, observed)
    assert torch.equal(plain, forecaster.loss(prediction, torch.where(observed, target, 1e9), observed))


def test_a_lane_that_starts_forgets_and_the_others_remember():
    forecaster = forecaster_of(**STATEFUL)
    arguments = inputs(forecaster)
    _, carried = stream(forecaster, inputs(forecaster, seed=1), forecaster.initial_state(B))
    starts = torch.arange(B) == 1
    mixed, state = forecaster.stream(*arguments, carried, starts)
    fresh, fresh_state = stream(forecaster, arguments, forecaster.initial_state(B))
    continued, continued_state = stream(forecaster, arguments, carried)
    for a, b, c in zip((*mixed, *state), (*fresh, *fresh_state), (*continued, *continued_state), strict=True):
        if is_neutral(a):
            continue
        torch.testing.assert_close(a[1], b[1])
        torch.testing.assert_close(a[[0, 2, 3]], c[[0, 2, 3]])


def test_a_row_of_a_stream_moves_the_forecasts_from_it_on_and_none_before():
    forecaster = forecaster_of(**STATEFUL)
    context, observed, *rest = inputs(forecaster)
    arguments = (context.requires_grad_(), torch.ones_like(observed), *rest)
    prediction, _ = stream(forecaster, arguments, forecaster.initial_state(B))
    (influence,) = torch.autograd.grad(forecaster.quantiles(prediction)[:, 10].sum(), context)
    assert influence[:, :11].abs().gt(0).all()
    assert influence[:, 11:].eq(0).all()


def test_every_tensor_of_the_state_has_the_lane_axis_first():
    forecaster = forecaster_of(**STATEFUL, layers=2, targets=2)
    assert all(part.shape[0] == 5 and part.dim() == 2 for part in forecaster.initial_state(5))


def test_a_network_of_windows_refuses_to_stream():
    forecaster = forecaster_of()
    with pytest.raises(UsageError, match=r"(?s)built to read windows.*--stateful"):
        forecaster.initial_state(1)


# What every network can learn


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_a_sine_on_a_ramp_is_learned_to_a_twentieth_of_its_amplitude(decoder):
    forecaster = Forecaster(architecture_of(decoder=decoder, hidden=32), generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)

    def windows(count):
        t = torch.randint(0, 500, (count, 1), generator=generator) + torch.arange(T + H)
        y = (3 * torch.sin(2 * torch.pi * t / 12) + 0.1 * t)[..., None]
        return y[:, :T], y[:, T:]

    def losses():
        while True:
            context, target = windows(64)
            none = context.new_zeros(64, T, 0), context.new_zeros(64, H, 0)
            prediction = forecaster(context, torch.ones_like(context, dtype=torch.bool), *none)
            yield forecaster.loss(prediction, target, torch.ones_like(target, dtype=torch.bool))

    trained(forecaster, losses(), steps=200, peak=5e-3)
    context, target = windows(64)
    none = context.new_zeros(64, T, 0), context.new_zeros(64, H, 0)
    median = quantiles_of(forecaster, context, torch.ones_like(context, dtype=torch.bool), *none)[..., 1]
    assert (median - target).abs().mean() < 0.15


# What only a carried state can learn: the next value is the covariate 2·context rows ago


CONTEXT, LAG = 6, 12


def echo(*, lanes, rows, seed):
    """Noise as a covariate, and as the target the same noise LAG rows later."""
    x = torch.randn(lanes, rows, 1, generator=torch.Generator().manual_seed(seed))
    y = torch.cat([torch.zeros(lanes, LAG, 1), x[:, :-LAG]], 1)
    return y, (torch.arange(rows) >= LAG)[:, None].expand(lanes, rows, 1), x


def echo_network(**fields):
    architecture = Architecture(
        context=CONTEXT, horizon=1, past=1, hidden=32, dropout=0.0, decoder="direct", loss="mse", quantiles=(0.5,),
        **fields,
    )  # fmt: skip
    return Forecaster(architecture, generator=torch.Generator().manual_seed(0))


def trained(forecaster, losses, *, steps=300, peak=2e-2):
    optimiser = torch.optim.AdamW(forecaster.parameters(), betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=steps, pct_start=0.2)
    for loss, _ in zip(losses, range(steps), strict=False):
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(forecaster.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return forecaster.eval()


def truncated_losses(forecaster, rows=2000, k1=24, k2=48):
    """Every k1 rows, the loss of the newest of them with gradients through the last k2."""
    lanes = 16
    y, observed, x = echo(lanes=lanes, rows=rows, seed=1)
    ahead, never = torch.zeros(lanes, 1, 0), torch.zeros(lanes, dtype=torch.bool)

    def read(state, start, stop):
        now, after = slice(start, stop), slice(start + 1, stop + 1)
        prediction, state = forecaster.stream(y[:, now], observed[:, now], x[:, now], ahead, state, never)
        return forecaster.loss(prediction, y[:, after, None], observed[:, after, None]), state

    while True:
        state = forecaster.initial_state(lanes)
        for start in range(0, rows - k2, k1):
            _, middle = read(state, start, start + k2 - k1)
            loss, _ = read(middle, start + k2 - k1, start + k2)
            yield loss
            state = tuple(part.detach() for part in middle)


def window_losses(forecaster, rows=2000):
    y, observed, x = echo(lanes=16, rows=rows, seed=1)
    generator = torch.Generator().manual_seed(2)
    lane = torch.arange(16).repeat_interleave(24)[:, None]
    while True:
        first = torch.randint(2 * LAG, rows - CONTEXT - 1, (len(lane), 1), generator=generator)
        window, after = first + torch.arange(CONTEXT), first + CONTEXT
        prediction = forecaster(y[lane, window], observed[lane, window], x[lane, window], x.new_zeros(len(lane), 1, 0))
        yield forecaster.loss(prediction, y[lane, after], observed[lane, after])


def test_an_echo_from_beyond_the_context_is_learned_by_a_carried_state_and_not_by_windows():
    y, observed, x = echo(lanes=8, rows=400, seed=3)

    stateful = trained(network := echo_network(**STATEFUL), truncated_losses(network))
    prediction, _ = stream(stateful, (y, observed, x, torch.zeros(8, 1, 0)), stateful.initial_state(8))
    error = stateful.quantiles(prediction)[:, 100:-1, 0, :, 0] - y[:, 101:]
    assert error.square().mean() < 0.4

    windowed = trained(network := echo_network(), window_losses(network))
    windows = y.unfold(1, CONTEXT, 1)[:, 100:-1].flatten(0, 1).transpose(1, 2)
    causes = x.unfold(1, CONTEXT, 1)[:, 100:-1].flatten(0, 1).transpose(1, 2)
    prediction = windowed(windows, torch.ones_like(windows, dtype=torch.bool), causes, x.new_zeros(len(windows), 1, 0))
    error = windowed.quantiles(prediction)[:, 0, :, 0] - y[:, 100 + CONTEXT :].flatten(0, 1)
    assert error.square().mean() > 0.9


# Refusals


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"cell": "lsmt"}, "no cell called 'lsmt'; did you mean 'lstm'"),
        ({"loss": "rmse"}, "no loss called 'rmse'"),
        ({"context": 0}, "context is 0; it must be at least 1"),
        ({"future": -1}, "future counts -1 covariates"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"residual": True}, "between layers and there is only one"),
        ({"base": "seasonal"}, "base 'seasonal' needs a season"),
        ({"normaliser": "season-mean"}, "normaliser 'season-mean' needs a season"),
        ({"seasons": (0,)}, "season 0 is not a number of rows above 0"),
        ({"base": "seasonal", "seasons": (4, 20)}, "season 20 does not fit into a context of 20 rows"),
        ({"quantiles": (0.1, 0.9)}, "include 0.5"),
        ({"quantiles": (0.5, 0.1)}, "must ascend"),
        ({"quantiles": (0.0, 0.5)}, "between 0 and 1"),
        ({"bidirectional": True, "decoder": "recursive"}, "would need the end of the forecast to begin it"),
        ({**STATEFUL, "bidirectional": True}, "backward half would have to read rows that have not arrived yet"),
        ({**STATEFUL, "highway": True}, "no window that a highway could start from"),
        ({**STATEFUL, "base": "seasonal", "seasons": (4,)}, "no window that base 'seasonal' could be taken from"),
        ({"stateful": True}, "normaliser 'last' measures a window"),
        ({"encoder": "none", "layers": 2}, "encoder 'none' is no encoder and has no layers"),
        ({"encoder": "none", "decoder": "seq2seq"}, "decoder 'seq2seq' goes on from an encoder"),
        ({**STATEFUL, "encoder": "none"}, "carries the state of its encoder, and there is none"),
        ({"loss": "mse", "transform": "log"}, "forecasts a mean, and the mean of log values"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(fields, sentence):
    with pytest.raises(UsageError, match=sentence):
        forecaster_of(**fields)


def test_a_point_loss_refuses_quantiles():
    with pytest.raises(UsageError, match=r"loss 'mae' forecasts one number"):
        Forecaster(Architecture(context=T, horizon=H, loss="mae"), generator=torch.Generator())


def test_all_faults_are_named_at_once():
    faults = architecture_faults(architecture_of(stateful=True, bidirectional=True, highway=True, dropout=2.0))
    assert len(faults) == 4
    assert architecture_faults(architecture_of()) == []


def test_faults_and_tables_are_known_without_torch():
    code = "import sys, lstmcast.net.refusals; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
