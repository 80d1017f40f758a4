"""Networks that weigh classical methods, the relative loss, and ensembles that look like one network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lstmcast.forecast.baselines.seasonal_naive import SeasonalNaive
from lstmcast.net.architecture import Architecture
from lstmcast.net.ensemble import EARLIER, Ensemble
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.relative import relative_loss
from lstmcast.net.smoothing import ANCHORS

B, H = 4, 6
LEVELS = (0.1, 0.5, 0.9)
SHORT = Architecture(
    context=8, horizon=H, hidden=8, dropout=0.0, patch=4, quantiles=LEVELS, base="statistical", history=40, season=4,
    spread="change", error="relative", facts=True,
)  # fmt: skip
STATEFUL = Architecture(
    context=20, horizon=H, hidden=8, dropout=0.0, quantiles=LEVELS, stateful=True, normaliser="causal"
)


def network(shape=SHORT, *, seed=0):
    return Forecaster(shape, generator=torch.Generator().manual_seed(seed)).double().eval()


def inputs(rows=48, *, level=40.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    wave = 5 * torch.sin(torch.arange(rows) * torch.pi / 2)
    context = level + wave[:, None] + torch.randn(B, rows, 1, generator=generator, dtype=torch.float64).cumsum(1)
    return context, torch.ones(B, rows, 1, dtype=torch.bool), torch.zeros(B, rows, 0), torch.zeros(B, H, 0)


def quantiles_of(model, *arguments):
    with torch.no_grad():
        return model.quantiles(model(*arguments))


def in_users_units(forecaster, prediction, z):
    return forecaster.transform.inverse(prediction.scale * z + prediction.location) * prediction.factor + (
        prediction.offset
    )


def test_a_network_with_a_statistical_base_begins_at_the_mean_of_its_methods():
    forecaster = network()
    context, observed, *rest = inputs()
    prediction = forecaster(context, observed, *rest)
    frame = forecaster._framed(context, observed, None, None)
    mean = frame.classical.mean(-1)
    median = forecaster.head.quantiles(prediction.raw, prediction.base)[..., 1]
    torch.testing.assert_close(median, mean, rtol=0, atol=0.1)
    torch.testing.assert_close(prediction.anchor, frame.classical[..., ANCHORS].mean(-1))


def test_without_correction_the_forecast_lies_among_the_methods():
    forecaster = network(replace(SHORT, correction=False), seed=3)
    torch.nn.init.normal_(forecaster.decoder.write.weight, generator=torch.Generator().manual_seed(1))
    arguments = inputs()
    frame = forecaster._framed(*arguments[:2], None, None)
    prediction = forecaster(*arguments)
    median = forecaster.head.quantiles(prediction.raw, prediction.base)[..., 1]
    assert (median >= frame.classical.amin(-1) - 1e-9).all()
    assert (median <= frame.classical.amax(-1) + 1e-9).all()
    assert (median - frame.classical.mean(-1)).abs().max() > 0.01


def test_a_blend_of_one_is_the_mean_of_theta_and_holt():
    forecaster = network(replace(SHORT, blend=1.0))
    arguments = inputs()
    prediction = forecaster(*arguments)
    expected = in_users_units(forecaster, prediction, prediction.anchor)
    torch.testing.assert_close(quantiles_of(forecaster, *arguments)[..., 1], expected)


def test_a_summary_made_beforehand_changes_nothing():
    forecaster = network()
    context, observed, *rest = inputs()
    summary = forecaster.summarise(context, observed)
    with torch.no_grad():
        given = forecaster.quantiles(forecaster(context, observed, *rest, summary))
    assert torch.equal(given, quantiles_of(forecaster, context, observed, *rest))


@pytest.mark.parametrize("spread", ["change", "deviation"])
@pytest.mark.parametrize("transform", ["none", "log"])
def test_stretching_a_history_stretches_the_forecast(spread, transform):
    forecaster = network(replace(SHORT, spread=spread, transform=transform))
    context, *rest = inputs()
    plain, stretched = quantiles_of(forecaster, context, *rest), quantiles_of(forecaster, 50 * context, *rest)
    torch.testing.assert_close(stretched, 50 * plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, -40.0])
def test_zeros_and_negative_values_are_forecast(level):
    forecaster = network()
    context, *rest = inputs(level=level)
    context[0, ::3] = 0.0
    quantiles = quantiles_of(forecaster, context, *rest)
    assert quantiles.isfinite().all()
    assert quantiles.diff(dim=-1).ge(0).all()


def test_every_step_ahead_feels_the_last_value():
    forecaster = network()
    context, *rest = inputs()
    plain = quantiles_of(forecaster, context, *rest)
    context[:, -1] += 1.0
    assert (quantiles_of(forecaster, context, *rest) - plain).abs().amin(dim=(0, 2, 3)).gt(0).all()


def ruler():
    return torch.tensor([[[10.0], [2.0]]], dtype=torch.float64)


def test_the_relative_loss_is_least_at_the_true_median():
    target = torch.linspace(8.0, 12.0, 101, dtype=torch.float64).reshape(1, 101, 1)
    seen = torch.ones_like(target, dtype=torch.bool)
    guesses = torch.linspace(8.0, 12.0, 41, dtype=torch.float64)
    losses = [relative_loss(guess.expand(1, 101, 1, 1), (0.5,), target, seen, ruler()).item() for guess in guesses]
    assert guesses[losses.index(min(losses))].item() == pytest.approx(10.0, abs=0.31)


def test_the_relative_loss_ignores_what_was_not_observed_and_has_a_true_gradient():
    generator = torch.Generator().manual_seed(0)
    quantiles = (10 + torch.randn(1, H, 1, 3, generator=generator, dtype=torch.float64)).sort(-1).values
    target = 10 + torch.randn(1, H, 1, generator=generator, dtype=torch.float64)
    seen = (torch.arange(H) % 2 == 0).reshape(1, H, 1)
    losses = [
        relative_loss(quantiles, LEVELS, torch.where(seen, target, fill), seen, ruler()) for fill in (0.0, 1e9, -5.0)
    ]
    assert losses[0] == losses[1] == losses[2]
    assert losses[0] > 0


def test_the_gradient_of_the_relative_loss_is_that_of_its_numbers():
    target = torch.tensor([9.0, 11.0], dtype=torch.float64).reshape(1, 2, 1)
    seen = torch.ones_like(target, dtype=torch.bool)
    outer = torch.tensor([8.0, 9.5], dtype=torch.float64, requires_grad=True)

    def loss(ends):  # the median's own magnitude is held still on purpose: only the others have a plain gradient
        quantiles = torch.stack([ends[0], ends.new_tensor(8.7), ends[1]]).expand(1, 2, 1, 3)
        return relative_loss(quantiles, LEVELS, target, seen, ruler())

    assert torch.autograd.gradcheck(loss, (outer,))


def test_an_ensemble_of_one_is_its_member_and_of_two_their_mean():
    one, two = network(), network(replace(SHORT, spread="deviation", history=0, hidden=16), seed=1)
    arguments = inputs()
    context, observed, past, future = arguments
    alone = quantiles_of(two, context[:, -8:], observed[:, -8:], past[:, -8:], future)
    first = quantiles_of(one, *arguments)
    assert torch.equal(quantiles_of(Ensemble([one]), *arguments), first)
    together = Ensemble([one, two])
    assert together.reach == 48
    mean = quantiles_of(together, *arguments)
    torch.testing.assert_close(mean, (first + alone) / 2)
    assert mean.diff(dim=-1).ge(0).all()


def test_an_ensemble_without_trust_repeats_the_last_observed_value_and_keeps_its_width():
    arguments = inputs()
    context, observed, *_ = arguments
    observed[0, -1] = False
    full, none = (Ensemble([network()], trust=trust) for trust in (1.0, 0.0))
    quantiles = quantiles_of(none, *arguments)
    last = torch.where(observed[:, -1], context[:, -1], context[:, -2])
    torch.testing.assert_close(quantiles[..., 1], last[:, None].expand(B, H, 1))
    torch.testing.assert_close(quantiles.diff(dim=-1), quantiles_of(full, *arguments).diff(dim=-1))


def test_an_ensemble_can_repeat_the_last_season_as_the_baseline_does():
    context, observed, past, future = inputs()
    observed = torch.rand(observed.shape, generator=torch.Generator().manual_seed(3)) < 0.7
    for season in (1, 3, 5, context.shape[1]):
        ensemble = Ensemble([network()], trust=0.0, seasonal=1.0, season=season)
        found = quantiles_of(ensemble, context * observed, observed, past, future)[..., 1]
        values = torch.where(observed, context, torch.nan).double().numpy()
        for d in range(values.shape[2]):
            repeated = SeasonalNaive().forecast(values[..., d], horizon=H, season=season)
            assert found[..., d].numpy() == pytest.approx(repeated, rel=1e-5)


def test_shares_of_both_naive_forecasts_add_up_with_the_trust_in_the_network():
    arguments = inputs()
    parts = [Ensemble([network()], trust=t, seasonal=s, season=4) for t, s in ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0))]
    own, last, season = (quantiles_of(part, *arguments)[..., 1] for part in parts)
    mixed = quantiles_of(Ensemble([network()], trust=0.5, seasonal=0.3, season=4), *arguments)[..., 1]
    torch.testing.assert_close(mixed, 0.5 * own + 0.2 * last + 0.3 * season)


def test_weights_of_earlier_versions_lack_the_season_and_load_all_the_same():
    saved = {
        name: value for name, value in Ensemble([network()], trust=0.5).state_dict().items() if "season" not in name
    }
    fresh = Ensemble([network(seed=5)], seasonal=0.2, season=7)
    fresh.load_state_dict(EARLIER | saved)
    assert (fresh.trust.item(), fresh.seasonal.item()) == (0.5, 0.0)


def test_trust_travels_with_the_weights():
    saved = Ensemble([network()], trust=0.25).state_dict()
    fresh = Ensemble([network(seed=5)])
    fresh.load_state_dict(saved)
    assert fresh.trust.item() == 0.25


def test_the_state_of_an_ensemble_is_shared_out_to_its_members():
    members = [network(STATEFUL), network(replace(STATEFUL, hidden=16, cell="gru", layers=2), seed=1)]
    ensemble = Ensemble(members)
    arguments, starts = inputs(), torch.zeros(B, dtype=torch.bool)
    prediction, state = ensemble.stream(*arguments, ensemble.initial_state(B), starts)
    expected = []
    for member, part in zip(members, prediction.members, strict=True):
        own, after = member.stream(*arguments, member.initial_state(B), starts)
        expected += after
        assert torch.equal(member.quantiles(own), member.quantiles(part))
    assert all(torch.equal(a, b) for a, b in zip(state, expected, strict=True))
    carried = ensemble.carry(*arguments[:3], ensemble.initial_state(B), starts)
    for a, b in zip(carried, state, strict=True):
        torch.testing.assert_close(a, b)
