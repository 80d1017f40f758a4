"""Classical statistics of many histories at once: equal to plain loops, and blind to padding and to the future."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from lstmcast.net.smoothing import _ALPHAS, _HOLT, METHODS, summarise

H = 6
PATTERN = torch.tensor([0.7, 1.2, 1.5, 0.6], dtype=torch.float64)


def series(rows=40, *, seed=0):
    """A positive walk with a drift, float64 (rows,)."""
    generator = torch.Generator().manual_seed(seed)
    return 30 + (0.2 + torch.randn(rows, generator=generator, dtype=torch.float64)).cumsum(0)


def seasonal(rows=48, *, seed=0):
    noise = torch.randn(rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (50 + 0.3 * torch.arange(rows) + 0.3 * noise) * PATTERN[torch.arange(rows) % 4]


def summary_of(y, *, season=1, observed=None):
    """The summary of one history (T,)."""
    observed = torch.ones_like(y, dtype=torch.bool) if observed is None else observed
    return summarise(y.reshape(1, -1, 1), observed.reshape(1, -1, 1), horizon=H, season=season)


def forecast_of(y, method, **options):
    return summary_of(y, **options).forecasts[0, :, 0, METHODS.index(method)]


def likelihoods(errors, rows):
    """exp(-n/2 log SSE), normalised."""
    logs = [-(rows - 1) / 2 * math.log(error) for error in errors]
    shares = [math.exp(value - max(logs)) for value in logs]
    return [share / sum(shares) for share in shares]


def loop_ses(y):
    """Level and alpha, each weighed by likelihood over the grid."""
    levels, errors = [], []
    for alpha in _ALPHAS:
        level, squares = y[0], 0.0
        for value in y[1:]:
            squares += (value - level) ** 2
            level += alpha * (value - level)
        levels.append(level)
        errors.append(squares)
    shares = likelihoods(errors, len(y))
    mix = [sum(s * part for s, part in zip(shares, parts, strict=True)) for parts in (levels, _ALPHAS)]
    return mix[0], mix[1]


def loop_holt(y, horizon):
    """Damped trend, begun at the first value and the mean of the first four changes."""
    trend = sum(b - a for a, b in pairwise(y[:5])) / 4
    forecasts, errors = [], []
    for alpha, beta, phi in _HOLT:
        level, slope, squares = y[0], trend, 0.0
        for value in y[1:]:
            error = value - level - phi * slope
            squares += error**2
            level, slope = level + phi * slope + alpha * error, phi * slope + alpha * beta * error
        forecasts.append([level + slope * sum(phi**i for i in range(1, h + 1)) for h in range(1, horizon + 1)])
        errors.append(squares)
    shares = likelihoods(errors, len(y))
    return [sum(s * path[h] for s, path in zip(shares, forecasts, strict=True)) for h in range(horizon)]


def loop_slope(y):
    middle, mean = (len(y) - 1) / 2, sum(y) / len(y)
    return sum((t - middle) * (v - mean) for t, v in enumerate(y)) / sum((t - middle) ** 2 for t in range(len(y)))


def loop_indices(y, season):
    """Mean ratio to the centred moving average of each phase of ``y``, mean 1; an even season."""
    half = season // 2
    ratios = [[] for _ in range(season)]
    for t in range(half, len(y) - half):
        average = (sum(y[t - half + 1 : t + half]) + (y[t - half] + y[t + half]) / 2) / season
        ratios[t % season].append(y[t] / average)
    means = [sum(r) / len(r) for r in ratios]
    return [m * season / sum(means) for m in means]


every_seed = pytest.mark.parametrize("seed", range(4))


def close(got, expected):
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=got.dtype).expand_as(got), rtol=1e-7, atol=1e-7)


@every_seed
def test_simple_exponential_smoothing_is_what_a_plain_loop_gives(seed):
    y = series(seed=seed)
    level, _ = loop_ses(y.tolist())
    close(forecast_of(y, "ses"), level)
    close(summary_of(y).level, level)


@every_seed
def test_theta_adds_half_the_slope_of_the_history(seed):
    y = series(seed=seed)
    level, alpha = loop_ses(y.tolist())
    half = loop_slope(y.tolist()) / 2
    expected = [level + half * (h + (1 - (1 - alpha) ** len(y)) / alpha) for h in range(H)]
    close(forecast_of(y, "theta"), expected)


@every_seed
def test_damped_holt_is_what_a_plain_loop_gives(seed):
    y = series(seed=seed)
    close(forecast_of(y, "holt"), loop_holt(y.tolist(), H))


def test_naive_repeats_the_last_value_and_drift_goes_on_as_from_the_first_to_the_last():
    y = series()
    close(forecast_of(y, "naive"), y[-1])
    step = (y[-1] - y[0]) / (len(y) - 1)
    close(forecast_of(y, "drift"), y[-1] + step * torch.arange(1, H + 1))


def test_changes_are_mean_absolute_differences():
    y = series()
    close(summary_of(y).change, (y[1:] - y[:-1]).abs().mean())
    close(summary_of(seasonal(), season=4).seasonal_change, (seasonal()[4:] - seasonal()[:-4]).abs().mean())


def test_seasonal_indices_are_mean_ratios_to_the_moving_average_and_find_the_pattern():
    y = seasonal(rows=50)
    summary = summary_of(y, season=4)
    assert summary.seasonal.item() == 1
    expected = loop_indices(y.tolist(), 4)
    close(summary.factor[0, :, 0], [expected[t % 4] for t in range(50 + H)])
    torch.testing.assert_close(summary.factor[0, :4, 0], PATTERN, rtol=0.02, atol=0)


def test_white_noise_has_no_season_taken_out():
    noise = 20 + torch.randn(64, 60, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    summary = summarise(noise, torch.ones_like(noise, dtype=torch.bool), horizon=H, season=4)
    assert summary.seasonal.mean() < 0.25  # the 90 % test, two-sided, lets a tenth pass
    assert summary.factor[summary.seasonal[:, 0, 0] == 0].eq(1).all()


@pytest.mark.parametrize("season", [1, 4])
def test_stretching_a_history_stretches_all_its_statistics(season):
    y = seasonal()
    one, other = summary_of(y, season=season), summary_of(1000 * y, season=season)
    for name in ("forecasts", "level", "change", "seasonal_change"):
        torch.testing.assert_close(getattr(other, name), 1000 * getattr(one, name))
    torch.testing.assert_close(other.factor, one.factor)


@pytest.mark.parametrize("season", [1, 4])
def test_negative_histories_are_stretched_and_moved_like_any_other(season):
    y = seasonal() - 60
    one, other = summary_of(y, season=season), summary_of(3 * y - 200, season=season)
    torch.testing.assert_close(other.forecasts, 3 * one.forecasts - 200)
    torch.testing.assert_close(other.offset, 3 * one.offset)
    assert one.factor.eq(1).all()
    assert one.offset.ne(0).any() == (season > 1)


@pytest.mark.parametrize("season", [1, 4])
def test_histories_of_different_length_in_one_batch_equal_each_alone(season):
    lengths, longest = (5, 13, 30, 48), 48
    rows = [seasonal(length, seed=length) for length in lengths]
    y = torch.stack([torch.cat([torch.full((longest - len(row),), 1e9, dtype=row.dtype), row]) for row in rows])
    inside = torch.stack([torch.arange(longest) >= longest - length for length in lengths])
    together = summarise(y[..., None], inside[..., None], horizon=H, season=season)
    for lane, row in enumerate(rows):
        alone = summary_of(row, season=season)
        for name, part in alone._asdict().items():
            padded = getattr(together, name)[lane : lane + 1]
            torch.testing.assert_close(padded[:, -part.shape[1] :], part, msg=lambda text, name=name: f"{name}: {text}")


def test_a_missing_value_repeats_the_one_before_it():
    y = series()
    observed = torch.arange(len(y)) % 7 != 3
    filled = y.clone()
    filled[~observed] = y[torch.arange(len(y))[~observed] - 1]
    hidden = torch.where(observed, y, 1e9)
    for got, expected in zip(summary_of(hidden, observed=observed), summary_of(filled), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("rows", [[0.0] * 20, [7.0] * 20, [-3.0] * 20, [5.0], [0.0, 0.0, 4.0, 0.0] * 8, [-1.0, 2.0]])
@pytest.mark.parametrize("season", [1, 4])
def test_odd_histories_have_finite_statistics(rows, season):
    for part in summary_of(torch.tensor(rows), season=season):
        assert part.isfinite().all()


def test_a_constant_history_is_continued():
    forecasts = summary_of(torch.full((30,), 7.0), season=4).forecasts
    torch.testing.assert_close(forecasts, torch.full_like(forecasts, 7.0))


def test_a_history_without_a_single_value_is_finite():
    y = torch.zeros(1, 20, 1)
    for part in summarise(y, y.bool(), horizon=H, season=4):
        assert part.isfinite().all()
