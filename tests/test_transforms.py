"""Transforms: increasing, invertible, finite however far a forecast extrapolates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lstmcast.net.transforms import TRANSFORMS
from lstmcast.net.transforms.boxcox import guerrero

MADE = [(name, 0.0) for name in TRANSFORMS] + [("boxcox", power) for power in (0.1, 0.5, 1.0)]
every_transform = pytest.mark.parametrize(("name", "parameter"), MADE)


@every_transform
def test_the_inverse_undoes_the_transform(name, parameter):
    transform = TRANSFORMS.load(name)(parameter)
    x = torch.logspace(-3, 6, 200)
    torch.testing.assert_close(transform.inverse(transform.forward(x)), x, rtol=1e-4, atol=1e-6)


@every_transform
def test_the_transform_and_its_inverse_increase(name, parameter):
    transform = TRANSFORMS.load(name)(parameter)
    assert transform.forward(torch.logspace(-2, 5, 100)).diff().gt(0).all()
    assert transform.inverse(torch.linspace(-1e3, 1e3, 500)).diff().ge(0).all()


@every_transform
def test_the_inverse_is_finite_everywhere(name, parameter):
    transform = TRANSFORMS.load(name)(parameter)
    assert transform.inverse(torch.tensor([-1e30, -1e4, -1.0, 0.0, 1.0, 1e4, 1e30])).isfinite().all()


def test_boxcox_lies_between_logarithm_and_identity():
    x = torch.tensor([0.5, 1.0, 2.0, 10.0])
    torch.testing.assert_close(TRANSFORMS.load("boxcox")(0.0).forward(x), x.log())
    torch.testing.assert_close(TRANSFORMS.load("boxcox")(1.0).forward(x), x - 1)


@pytest.mark.parametrize(("power", "lost"), [(0.0, 2), (0.5, 1)])
def test_what_has_no_power_has_no_image(power, lost):
    image = TRANSFORMS.load("boxcox")(power).forward(torch.tensor([-1.0, 0.0, 1.0]))
    assert image.isnan().sum() == lost


@pytest.mark.parametrize("power", [0.02, 0.5, 0.98])
def test_guerrero_finds_the_power_that_makes_the_swing_even(power):
    row = np.arange(240)
    even = 20 + row / 10 + 0.1 * np.sin(row * np.pi / 6)
    series = (power * even + 1) ** (1 / power)
    assert guerrero([series], season=12) == pytest.approx(power, abs=0.05)


def test_series_too_short_to_tell_keep_their_values():
    assert guerrero([np.ones(50), np.arange(5.0)], season=12) == 1.0
