"""Bases: simple forecasts of the context, which the network corrects."""

from __future__ import annotations

import pytest
import torch

from lstmcast.net.bases import BASES
from lstmcast.net.smoothing import METHODS

H = 10
every_base = pytest.mark.parametrize("name", list(BASES))


def forecast_of(name, z, observed, seasons=(3, 7)):
    """The mean (B, H, D) of a base's methods; what a summary would hand it are multiples of the newest row."""
    base = BASES.load(name)(horizon=H, seasons=seasons)
    ways = torch.arange(1.0, len(METHODS) + 1)
    classical = (z[:, -1:].unsqueeze(-1) * ways).expand(-1, H, -1, -1)
    forecast = base.forecast(z, observed, classical)
    assert forecast.shape == (len(z), H, z.shape[2], base.methods)
    return forecast.mean(-1)


def context(seed=0, rows=21):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, rows, 2, generator=generator)
    observed = torch.rand(2, rows, 2, generator=generator) > 0.2
    return torch.where(observed, z, 0.0), observed


def repeating(season, rows=21):
    z = torch.randn(season, generator=torch.Generator().manual_seed(season))[torch.arange(rows + H) % season]
    return z[:rows].reshape(1, rows, 1), z[rows:].reshape(1, H, 1)


@every_base
def test_a_base_is_in_the_units_of_its_context(name):
    z, observed = context()
    forecast = forecast_of(name, z, observed)
    assert forecast.shape == (2, H, 2)
    torch.testing.assert_close(forecast_of(name, -z, observed), -forecast)


@every_base
def test_targets_and_samples_do_not_mix(name):
    z, observed = context()
    forecast = forecast_of(name, z, observed)
    alone = forecast_of(name, z[1:, :, :1], observed[1:, :, :1])
    torch.testing.assert_close(alone, forecast[1:, :, :1])


@pytest.mark.parametrize("season", [3, 7])
def test_the_season_that_fits_is_the_one_repeated(season):
    z, future = repeating(season)
    forecast = forecast_of("seasonal", z, torch.ones_like(z, dtype=torch.bool))
    torch.testing.assert_close(forecast, future, atol=1e-6, rtol=0)


def test_seasons_that_fit_equally_badly_are_mixed():
    z = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).reshape(1, 6, 1)
    forecast = forecast_of("seasonal", z, torch.ones_like(z, dtype=torch.bool), (1, 2))
    # Season 1 errs by 1 and says 5; season 2 errs by 2, weighs 1/8 as much, and says 4, 5, 4, ...
    torch.testing.assert_close(forecast[0, :2, 0], torch.tensor([(8 * 5 + 4) / 9, 5.0]), atol=1e-3, rtol=0)


def test_a_missing_row_of_the_last_season_takes_the_newest_value():
    z, _ = repeating(7)
    observed = torch.ones_like(z, dtype=torch.bool)
    observed[0, -3] = False
    z[0, -3] = 0
    forecast = forecast_of("seasonal", z, observed, (7,))
    assert forecast[0, 4].item() == z[0, -1].item()
    torch.testing.assert_close(forecast[0, :4], z[0, -7:-3])


def test_without_a_single_pair_the_newest_value_is_repeated():
    z, _ = repeating(7)
    observed = torch.zeros_like(z, dtype=torch.bool)
    observed[0, -2:] = True
    z = torch.where(observed, z, 0.0)
    torch.testing.assert_close(forecast_of("seasonal", z, observed), z[:, -1:].expand(1, H, 1))


def test_without_any_observation_the_base_is_zero():
    z = torch.zeros(1, 21, 1)
    assert forecast_of("seasonal", z, z.bool()).eq(0).all()


def test_the_base_called_none_says_nothing():
    z, observed = context()
    assert forecast_of("none", z, observed, ()).eq(0).all()


def test_a_statistical_base_without_a_summary_is_refused():
    z, observed = context()
    base = BASES.load("statistical")(horizon=H, seasons=())
    with pytest.raises(ValueError, match="needs the forecasts of a summary"):
        base.forecast(z, observed, None)
