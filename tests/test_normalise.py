"""The laws of the normalisers and transforms."""

from __future__ import annotations

import pytest
import torch

from lstmcast.net.normalise import NORMALISERS, StreamingNormaliser
from lstmcast.net.transforms import TRANSFORMS

B, T, D = 3, 30, 2
every_normaliser = pytest.mark.parametrize("name", list(NORMALISERS))
every_transform = pytest.mark.parametrize("name", list(TRANSFORMS))


def locate(name, y, observed, level=None):
    return normaliser_of(name).locate(y, observed, level)


def normaliser_of(name):
    return NORMALISERS.load(name)(context=T, seasons=(4, 7))


def context(seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(B, T, D, generator=generator, dtype=torch.float64).cumsum(1)
    observed = torch.rand(B, T, D, generator=generator) > 0.2
    return torch.where(observed, y, 0.0), observed


@every_normaliser
def test_moving_and_stretching_a_context_moves_and_stretches_its_location_and_scale(name):
    y, observed = context()
    location, scale = locate(name, y, observed)
    moved = torch.where(observed, 3 * y + 10, 0.0)
    assert location.shape == scale.shape == (B, 1, D)
    torch.testing.assert_close(locate(name, moved, observed), (3 * location + 10, 3 * scale))


@every_normaliser
def test_a_constant_context_is_located_at_the_constant_with_a_small_scale(name):
    y = torch.full((1, T, 1), 5.0)
    location, scale = locate(name, y, torch.ones_like(y, dtype=torch.bool))
    torch.testing.assert_close(location, torch.full((1, 1, 1), 5.0))
    torch.testing.assert_close(scale, torch.full((1, 1, 1), 0.005))


@every_normaliser
@pytest.mark.parametrize("observed", [True, False])
def test_a_context_of_zeros_or_of_nothing_has_a_positive_scale(name, observed):
    y = torch.zeros(1, T, 1)
    location, scale = locate(name, y, torch.full_like(y, observed, dtype=torch.bool))
    assert location.item() == 0
    assert 0 < scale.item() < 1e-6


@every_normaliser
def test_padding_on_the_left_changes_neither_location_nor_scale(name):
    y, observed = context()
    longer = torch.cat([torch.zeros(B, 5, D), y], 1), torch.cat([torch.zeros(B, 5, D).bool(), observed], 1)
    torch.testing.assert_close(locate(name, *longer), locate(name, y, observed))


@every_normaliser
def test_the_gradient_of_a_constant_context_is_finite(name):
    y = torch.full((1, T, 1), 5.0, requires_grad=True)
    location, scale = locate(name, y, torch.ones_like(y, dtype=torch.bool))
    (location + scale).sum().backward()
    assert y.grad.isfinite().all()


def test_last_is_the_newest_value_that_was_observed():
    y = torch.tensor([1.0, 2.0, 3.0, 0.0]).reshape(1, 4, 1)
    location, scale = locate("last", y, torch.tensor([1, 1, 1, 0]).bool().reshape(1, 4, 1))
    assert location.item() == 3
    assert scale.item() == pytest.approx((2 / 3) ** 0.5)


def test_level_is_the_level_of_the_history_or_without_one_the_newest_value():
    y, observed = context()
    level = torch.randn(B, 1, D, dtype=y.dtype)
    assert torch.equal(locate("level", y, observed, level)[0], level)
    torch.testing.assert_close(locate("level", y, observed), locate("last", y, observed))


def test_season_mean_averages_the_longest_season_over_what_was_observed():
    y, observed = context()
    location, _ = locate("season-mean", y, observed)
    recent, seen = y[1, -7:, 0], observed[1, -7:, 0]
    assert location[1, 0, 0].item() == pytest.approx(recent[seen].mean().item())


def test_season_mean_falls_back_to_the_newest_value_when_the_last_season_is_missing():
    y, observed = context()
    observed = observed & (torch.arange(T) < T - 7)[:, None]
    y = torch.where(observed, y, 0.0)
    expected, _ = locate("last", y, observed)
    torch.testing.assert_close(locate("season-mean", y, observed)[0], expected)


def test_revin_is_mean_and_deviation():
    y, _ = context()
    location, scale = locate("revin", y, torch.ones_like(y, dtype=torch.bool))
    torch.testing.assert_close(location, y.mean(1, keepdim=True))
    torch.testing.assert_close(scale, y.std(1, keepdim=True, correction=0))


streaming = pytest.mark.parametrize(
    "name", [name for name in NORMALISERS if isinstance(normaliser_of(name), StreamingNormaliser)]
)


@streaming
def test_a_streaming_normaliser_does_not_care_where_chunks_are_cut(name):
    normaliser, (y, observed) = normaliser_of(name), context()
    *whole, end = normaliser.stream(y, observed, normaliser.initial_state(B, y))
    for cut in (1, 11, T - 1):
        *first, middle = normaliser.stream(y[:, :cut], observed[:, :cut], normaliser.initial_state(B, y))
        *second, last = normaliser.stream(y[:, cut:], observed[:, cut:], middle)
        for parts, expected in zip(zip(first, second, strict=True), whole, strict=True):
            torch.testing.assert_close(torch.cat(parts, 1), expected)
        torch.testing.assert_close(last, end)


@streaming
def test_a_streaming_normaliser_looks_backwards_only(name):
    normaliser, (y, observed) = normaliser_of(name), context()
    location, scale, _ = normaliser.stream(y, observed, normaliser.initial_state(B, y))
    for t in (0, 10, T - 1):
        expected = normaliser.locate(y[:, : t + 1], observed[:, : t + 1], None)
        torch.testing.assert_close((location[:, t : t + 1], scale[:, t : t + 1]), expected)


@streaming
def test_rows_that_are_not_observed_do_not_move_the_level(name):
    normaliser, (y, observed) = normaliser_of(name), context()
    *_, before = normaliser.stream(y, observed, normaliser.initial_state(B, y))
    gap = torch.zeros(B, 9, D, dtype=y.dtype)
    location, scale, after = normaliser.stream(gap, gap.bool(), before)
    torch.testing.assert_close(after, before)
    assert location.eq(location[:, :1]).all()
    assert scale.eq(scale[:, :1]).all()


def test_causal_starts_as_the_plain_mean_and_deviation():
    y, _ = context()
    location, scale = locate("causal", y, torch.ones_like(y, dtype=torch.bool))
    torch.testing.assert_close(location, y.mean(1, keepdim=True))
    torch.testing.assert_close(scale, y.std(1, keepdim=True, correction=0))


def test_causal_forgets_a_level_that_is_long_gone():
    y = torch.cat([torch.full((1, 600, 1), 100.0), torch.zeros(1, 4000, 1)], 1)
    location, scale = locate("causal", y, torch.ones_like(y, dtype=torch.bool))
    assert location.item() < 0.1
    assert scale.item() < 3


@every_transform
def test_a_transform_is_undone_by_its_inverse(name):
    transform = TRANSFORMS.load(name)()
    x = torch.tensor([1e-3, 0.5, 1.0, 20.0, 1e6])
    torch.testing.assert_close(transform.inverse(transform.forward(x)), x, rtol=1e-5, atol=1e-6)


@every_transform
def test_a_transform_keeps_the_order(name):
    transform = TRANSFORMS.load(name)()
    assert transform.forward(torch.linspace(0.01, 50, 200)).diff().gt(0).all()
    assert transform.inverse(torch.linspace(-200, 200, 400)).diff().ge(0).all()


@every_transform
def test_a_forecast_that_runs_away_stays_finite_and_so_does_its_gradient(name):
    y = torch.tensor([-1e4, 1e4], requires_grad=True)
    x = TRANSFORMS.load(name)().inverse(y)
    x.sum().backward()
    assert x.isfinite().all()
    assert y.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "outside", "inside"), [("log", [0.0, -1.0], [1e-20]), ("log1p", [-1.0, -3.0], [0.0, -0.5])]
)
def test_values_without_an_image_become_nan_and_others_do_not(name, outside, inside):
    transform = TRANSFORMS.load(name)()
    assert transform.forward(torch.tensor(outside)).isnan().all()
    assert transform.forward(torch.tensor(inside)).isfinite().all()
