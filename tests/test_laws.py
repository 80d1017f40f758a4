"""Laws of the recipe that hold for every member of every family: what reaches a forecast, and what must not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakePanel

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Split
from lstmcast.fit.objective import Pools
from lstmcast.forecast.predict import quantiles_at
from lstmcast.net.architecture import Architecture
from lstmcast.net.bases import BASES
from lstmcast.net.cells import CELLS
from lstmcast.net.decoder import DECODERS
from lstmcast.net.ensemble import Ensemble
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.heads import CLASSES, LOSSES
from lstmcast.net.normalise import NORMALISERS
from lstmcast.net.transforms import TRANSFORMS

T, H, SEASON = 16, 5, 4
SHORT: dict[str, Any] = {
    "base": "statistical", "spread": "change", "error": "relative", "facts": True, "history": 12, "season": SEASON,
    "blend": 0.3,
}  # fmt: skip
FAMILIES = {
    "cell": CELLS, "transform": TRANSFORMS, "normaliser": NORMALISERS, "base": BASES, "decoder": DECODERS,
    "loss": LOSSES,
}  # fmt: skip
EVERY_MEMBER: list[dict[str, Any]] = [
    *({key: name} for key, family in FAMILIES.items() for name in family if name != CLASSES),
    *({"encoder": name} for name in ("tree", "none")),
    {"highway": True},
    {"spread": "history"},
    {"stateful": True, "normaliser": "causal"},
    SHORT,
    SHORT | {"correction": False},
    SHORT | {"normaliser": "level", "transform": "log", "highway": True},
]
every_member = pytest.mark.parametrize("fields", EVERY_MEMBER, ids=lambda fields: "-".join(map(str, fields.values())))


def network(fields: dict[str, Any]) -> Forecaster:
    """A network whose highway and gate speak, although they are silent before training."""
    levels = (0.1, 0.5, 0.9) if LOSSES.load(fields.get("loss", "quantile")).probabilistic else (0.5,)
    plain = {"context": T, "horizon": H, "hidden": 8, "dropout": 0.0, "seasons": (SEASON,), "patch": 4, "past": 1}
    patch = {"patch": 1} if fields.get("stateful") else {}
    shape = Architecture(**(plain | {"quantiles": levels} | patch | fields))
    made = Forecaster(shape, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return made


def waves(make_panel: MakePanel, *, seed: int = 0) -> Panel:
    noise = np.random.default_rng(seed)
    rows = [30 + 5 * np.sin(np.arange(60) * 2 * np.pi / SEASON + k) + noise.normal(size=60) for k in range(3)]
    return make_panel(rows, covariates=[noise.normal(size=60) for _ in range(3)])


@every_member
def test_every_step_of_the_horizon_has_a_gradient_to_the_last_value(
    make_panel: MakePanel, fields: dict[str, Any]
) -> None:
    panel, made = waves(make_panel), network(fields)
    reach = max(made.reach, T)
    context = torch.from_numpy(panel.values[60 - reach : 60]).unsqueeze(0).requires_grad_()
    observed = torch.ones_like(context, dtype=torch.bool)
    told = torch.tensor([[[30.0], [4.0]]]) if made.needs_spread else None
    prediction = made(context, observed, torch.zeros(1, reach, 1), torch.zeros(1, H, 0), spread=told)
    counts = fields.get("loss") == "negative_binomial"  # whose median is a whole number and has no slope
    felt = prediction.raw[..., 0] + prediction.location if counts else made.quantiles(prediction)[..., made.head.median]
    for step in range(H):
        (gradient,) = torch.autograd.grad(felt[0, step, 0], context, retain_graph=True)
        assert gradient[0, -1, 0].abs() > 1e-9, f"step {step + 1} does not feel the last value"


@every_member
def test_nothing_after_the_cutoff_changes_a_forecast(make_panel: MakePanel, fields: dict[str, Any]) -> None:
    panel, made = waves(make_panel), Ensemble([network(fields)])
    cutoffs = np.array([40, 45, 100, 160])
    later = waves(make_panel, seed=9)
    after = np.isin(np.arange(180), [*range(45, 60), *range(100, 120), *range(160, 180)])
    values, covariates = panel.values.copy(), panel.covariates.copy()
    values[after], covariates[after] = 1e6 * later.values[after], 1e6 * later.covariates[after]
    changed = replace(panel, values=values, covariates=covariates)
    before = quantiles_at(made, panel, cutoffs)
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(quantiles_at(made, changed, cutoffs), before)
    moved = quantiles_at(made, replace(panel, values=panel.values + 1), cutoffs)
    assert not np.allclose(moved, before)  # what came before does


@pytest.mark.parametrize("season", [1, SEASON])
def test_statistics_at_every_training_origin_know_the_rows_before_it_only(make_panel: MakePanel, season: int) -> None:
    panel, made = waves(make_panel), network(SHORT | {"season": season})
    ends = np.array([59, 119, 179])
    parts = Split(first=ends - 30, last=ends - H, limit=ends, validation=np.empty(0, np.int64))
    whole = Pools(panel, parts).of(made)
    for place in range(0, len(whole.cutoffs), 7):
        cutoff = int(whole.cutoffs[place])
        values = panel.values.copy()
        values[cutoff:] = -1e5
        known = Pools(replace(panel, values=values), parts).of(made)
        for all_rows, rows_before in zip(whole.summary, known.summary, strict=True):
            assert torch.equal(all_rows[place], rows_before[place])


@pytest.mark.parametrize(("name", "unit"), list(itertools.product(("huber", "smape_mase"), (0.5, 2.0))))
def test_point_losses_are_least_at_the_median_of_a_symmetric_truth(name: str, unit: float) -> None:
    head = LOSSES.load(name)((0.5,))
    target = 10 + unit * torch.randn(40_000, generator=torch.Generator().manual_seed(0))
    observed = torch.ones_like(target, dtype=torch.bool)

    def loss(guess: float) -> float:
        return float(head.loss(torch.zeros(len(target), head.width), torch.full_like(target, guess), target, observed))

    assert all(loss(10.0) < loss(10.0 + off) for off in (-0.4 * unit, -0.2 * unit, 0.2 * unit, 0.4 * unit))
