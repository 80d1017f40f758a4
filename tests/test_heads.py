"""Heads: losses over observed entries, and quantiles that cannot cross."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import stats

from lstmcast.net.heads import CLASSES, LOSSES, UnitHead, Units
from lstmcast.net.transforms.log1p import Log1p

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
PROBABILISTIC = [name for name in LOSSES if LOSSES.load(name).probabilistic]
NUMBERS = [name for name in LOSSES if name != CLASSES]  # the laws of classes are in test_classes
every_head = pytest.mark.parametrize("name", NUMBERS)
every_distribution = pytest.mark.parametrize("name", PROBABILISTIC)


def head_of(name):
    return LOSSES.load(name)(LEVELS if name in PROBABILISTIC else (0.5,))


def draw(head, *shape, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    raw = spread * torch.randn(*shape, head.width, generator=generator)
    return raw, torch.randn(*shape, generator=generator), torch.randn(*shape, generator=generator)


@every_head
def test_what_was_not_observed_changes_no_loss_and_no_gradient(name):
    head = head_of(name)
    raw, centre, target = draw(head, 4, 6)
    observed = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) > 0.4
    seen = []
    for fill in (0.0, 1e9, -1e30):
        raw.grad = None
        loss = head.loss(raw.requires_grad_(), centre, torch.where(observed, target, fill), observed)
        loss.backward()
        seen.append((loss.detach(), raw.grad.clone()))
    assert all(torch.equal(loss, seen[0][0]) and torch.equal(grad, seen[0][1]) for loss, grad in seen)
    assert seen[0][1][~observed].eq(0).all()


@every_head
def test_the_loss_is_the_mean_over_observed_entries(name):
    head = head_of(name)
    raw, centre, target = draw(head, 2, 3)
    observed = torch.tensor([[1, 1, 0], [0, 1, 0]]).bool()
    each = [head.loss(raw[i, j], centre[i, j], target[i, j], observed[i, j]) for i, j in [(0, 0), (0, 1), (1, 1)]]
    torch.testing.assert_close(head.loss(raw, centre, target, observed), torch.stack(each).mean())


@every_head
def test_nothing_observed_is_no_loss(name):
    head = head_of(name)
    raw, centre, target = draw(head, 2, 3)
    assert head.loss(raw, centre, target, torch.zeros(2, 3, dtype=torch.bool)) == 0


@every_head
def test_one_absurd_target_counts_for_no_more_than_the_largest_error(name):
    head = head_of(name)
    raw, centre, _ = draw(head, 3)
    observed = torch.ones(3, dtype=torch.bool)
    far, absurd = (head.loss(raw, centre, torch.tensor([0.0, 0.0, t]), observed) for t in (1e4, 1e12))
    assert far == absurd
    assert far <= 2 * 50**2


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "negative_binomial"])
def test_the_base_is_added_to_every_quantile(name):
    head = head_of(name)
    raw, centre, _ = draw(head, 4, 6)
    shifted, still = head.quantiles(raw, centre), head.quantiles(raw, torch.zeros_like(centre))
    torch.testing.assert_close(shifted - still, centre.unsqueeze(-1).expand_as(still), atol=1e-5, rtol=0)


@every_distribution
@pytest.mark.parametrize("spread", [0.1, 10.0, 1e4])
def test_quantiles_do_not_cross(name, spread):
    head = head_of(name)
    raw, centre, _ = draw(head, 1000, spread=spread)
    quantiles = head.quantiles(raw, centre)
    assert quantiles.isfinite().all()
    assert quantiles.diff(dim=-1).ge(0).all()


@every_head
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_loss_and_gradient_are_finite_however_absurd_the_network_is(name, spread):
    head = head_of(name)
    raw, centre, target = draw(head, 100, spread=spread)
    loss = head.loss(raw.requires_grad_(), centre * spread, target, torch.ones(100, dtype=torch.bool))
    loss.backward()
    assert loss.isfinite()
    assert raw.grad.isfinite().all()


@every_head
def test_gradients_are_those_of_the_loss(name):
    head = head_of(name)
    raw, centre, target = (part.double() for part in draw(head, 5))
    observed = torch.tensor([True, True, False, True, True])
    target = target.abs() * 3
    loss = lambda r, c: head.loss(r, c, target, observed)  # noqa: E731
    # counts are measured from where the centre stands, so its gradient is checked by the others
    centre.requires_grad_(name != "negative_binomial")
    assert torch.autograd.gradcheck(loss, (raw.requires_grad_(), centre), atol=1e-4)


def test_the_median_is_the_middle_number_plus_the_base():
    head = head_of("quantile")
    raw, centre, _ = draw(head, 5)
    torch.testing.assert_close(head.quantiles(raw, centre)[:, head.median], raw[:, 2] + centre)


def fitted(head, sample, *, start, rate=0.05):
    """The quantiles that minimise the loss over a sample, the same for every entry."""
    raw = torch.full((head.width,), start, requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 300)
    for _ in range(300):
        optimiser.zero_grad()
        centre = torch.zeros_like(sample)
        head.loss(raw.expand(len(sample), -1), centre, sample, torch.ones_like(sample, dtype=torch.bool)).backward()
        optimiser.step()
        schedule.step()
    return head.quantiles(raw.detach(), torch.zeros(()))


def test_the_quantile_loss_is_least_at_the_quantiles_of_the_truth():
    truth = NormalDist(1.0, 2.0)
    sample = torch.tensor([truth.inv_cdf((i + 0.5) / 4000) for i in range(4000)])
    expected = torch.tensor([truth.inv_cdf(level) for level in LEVELS])
    torch.testing.assert_close(fitted(head_of("quantile"), sample, start=0.0), expected, atol=0.03, rtol=0)


def test_the_normal_likelihood_is_least_at_the_truth():
    sample = torch.from_numpy(stats.norm(1, 2).ppf((np.arange(2000) + 0.5) / 2000)).float()
    expected = torch.from_numpy(stats.norm(1, 2).ppf(LEVELS)).float()
    torch.testing.assert_close(fitted(head_of("gaussian"), sample, start=0.0, rate=0.2), expected, atol=0.05, rtol=0)


def test_the_heavy_tailed_likelihood_is_least_at_the_truth():
    truth = stats.t(4, loc=1, scale=2)
    sample = torch.from_numpy(truth.ppf((np.arange(2000) + 0.5) / 2000)).float()
    expected = torch.from_numpy(truth.ppf(LEVELS)).float()
    torch.testing.assert_close(fitted(head_of("student_t"), sample, start=0.0, rate=0.2), expected, atol=0.06, rtol=0)


def test_the_histogram_finds_both_humps():
    sample = torch.from_numpy(np.r_[stats.norm(-3, 0.5).ppf((np.arange(600) + 0.5) / 600), np.full(400, 4.0)]).float()
    low, quarter, _, third, high = fitted(head_of("binned"), sample, start=0.0, rate=0.2).tolist()
    assert low == pytest.approx(stats.norm(-3, 0.5).ppf(0.1 / 0.6), abs=0.2)
    assert quarter == pytest.approx(stats.norm(-3, 0.5).ppf(0.25 / 0.6), abs=0.2)
    assert (third, high) == pytest.approx((4.0, 4.0), abs=0.3)


@pytest.mark.parametrize(("mean", "dispersion"), [(0.3, 1.0), (6.0, 0.5), (200.0, 0.1)])
def test_the_likelihood_of_counts_is_least_at_the_truth_and_its_quantiles_are_counts(mean, dispersion):
    truth = stats.nbinom(1 / dispersion, 1 / (1 + mean * dispersion))
    sample = torch.from_numpy(truth.ppf((np.arange(4000) + 0.5) / 4000)).float()
    head = head_of("negative_binomial").in_units(Units(location=mean, scale=max(mean, 1.0)))
    found = fitted(head, (sample - mean) / max(mean, 1.0), start=0.0, rate=0.2) * max(mean, 1.0) + mean
    torch.testing.assert_close(found, found.round(), atol=1e-3, rtol=0)
    np.testing.assert_allclose(found, truth.ppf(LEVELS), atol=0.01, rtol=0.02)


def test_counts_are_read_through_the_transform():
    units = Units(location=1.5, scale=0.5, transform=Log1p())
    head = head_of("negative_binomial")
    raw = torch.tensor([[0.2, 0.3], [-1.0, 2.0]])
    z = torch.tensor([0.4, -0.1])
    plain, level = head.quantiles(raw, units.values(z)), head.in_units(units).quantiles(raw, z)
    torch.testing.assert_close(units.values(level), plain, atol=1e-3, rtol=1e-4)


def test_half_smape_half_mase_in_the_units_of_the_user():
    head = head_of("smape_mase").in_units(Units(location=100.0, scale=10.0))
    observed = torch.ones(1, dtype=torch.bool)
    loss = head.loss(torch.tensor([[1.0]]), torch.tensor([1.0]), torch.tensor([0.0]), observed)  # 120 for 100
    assert loss.item() == pytest.approx((2 * 20 / 220 + 20 / 10) / 2)


@every_head
def test_the_units_change_only_the_heads_that_ask_for_them(name):
    head = head_of(name)
    assert isinstance(head, UnitHead) == (name in {"negative_binomial", "smape_mase"})


@pytest.mark.parametrize(("name", "expected"), [("mae", 1.0), ("mse", 2.0)])
def test_absolute_error_finds_the_median_and_squared_error_the_mean(name, expected):
    sample = torch.tensor([0.0, 0.5, 1.0, 2.0, 6.5])
    assert fitted(head_of(name), sample, start=0.0).item() == pytest.approx(expected, abs=0.03)


def test_huber_is_squared_for_small_errors_and_absolute_for_large_ones():
    def loss(error):
        one = torch.tensor([error])
        return head_of("huber").loss(torch.zeros(1, 1), torch.zeros(1), one, torch.ones(1, dtype=torch.bool)).item()

    assert loss(0.2) / loss(0.1) == pytest.approx(4)
    assert loss(12.0) - loss(11.0) == pytest.approx(1)
