"""What only a carried state can learn: to repeat a value from beyond the context.

    python benchmarks/copy_lag.py [SEED ...]

The target is a covariate of noise, two contexts late. One JSON line for each seed and mode, with the squared error of
the next row on held-out rows as a share of the target's variance: 1 is knowing nothing, 0 is knowing the value.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from lstmcast.config import NetworkSettings, Settings, TrainingSettings
from lstmcast.data.calendar import Frequency
from lstmcast.data.clock import Clock
from lstmcast.data.dialect import Dialect
from lstmcast.data.panel import Panel, build
from lstmcast.data.schema import Schema
from lstmcast.fit.loop import fit
from lstmcast.fit.plan import make
from lstmcast.forecast.predict import quantiles_at
from lstmcast.outcome import silent

CONTEXT, ROWS = 6, 8000
SHAPE = {"horizon": 1, "context": CONTEXT, "patch": 1, "hidden": 32, "dropout": 0.0, "highway": False}
SHAPE |= {"decoder": "direct", "loss": "mse"}
COMMON = {"learning_rate": 0.02, "batch": 16, "max_steps": 1300, "threads": 1}
CARRIED = {"stateful": True, "tbptt": (CONTEXT, 4 * CONTEXT), "epochs": 15}


def lagged(lag: int) -> Panel:
    """Noise as covariate, the same ``lag`` rows late as target."""
    noise = np.random.default_rng(5).normal(size=ROWS)
    schema = Schema(
        time_col="ds", id_col="unique_id", targets=("y",), past=("x",), dialect=Dialect(),
        clock=Clock(kind="integer"), frequency=Frequency(kind="integer"), max_gap=10,
    )  # fmt: skip
    target = np.concatenate([np.zeros(lag), noise[:-lag]])[:, None]
    times = np.arange(1, ROWS + 1)
    covariates = noise[:, None].astype(np.float32)
    return build(["s"], np.zeros(ROWS, np.int64), times, targets=target, covariates=covariates, schema=schema)[0]


def error(panel: Panel, settings: Settings) -> float:
    """Mean squared error of the next row, in units of the target's variance."""
    plan = make(panel, settings)
    network = fit(panel, plan, on_progress=silent).forecaster
    cutoffs = np.arange(int(plan.split.limit[0]), len(panel.values))
    median = quantiles_at(network, panel, cutoffs)[:, 0, 0, network.architecture.quantiles.index(0.5)]
    return float(np.mean((median - panel.values[cutoffs, 0]) ** 2))


def main() -> None:
    panel = lagged(2 * CONTEXT)
    for seed in [int(text) for text in sys.argv[1:]] or [1, 2, 3]:
        for mode, own, shape in (("windows", {}, SHAPE | {"base": "none"}), ("stateful", CARRIED, SHAPE)):
            began = time.process_time()
            wish = Settings(
                network=NetworkSettings.model_validate(shape),
                training=TrainingSettings.model_validate(COMMON | own | {"seed": seed}),
            )
            share = round(error(panel, wish), 3)
            told = {"mode": mode, "seed": seed, "error": share, "cpu_seconds": round(time.process_time() - began, 1)}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
