"""What a training step costs beside the network, in one JSON line.

    python benchmarks/step.py [--steps 400]

The plain LSTM is trained as ``lstmcast train`` trains it, on series made up here, at the size S1 of
``benchmarks/cells.py``: 32 windows of 48 rows, 64 units, one thread. ``network`` is the share of the time that goes
into forward pass, loss and gradients; ``rest`` what goes into drawing windows, clipping, optimiser, averages, learning
rate, progress and checkpoints in memory. Seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

SERIES, ROWS = 40, 500


def made_up(folder: Path) -> Path:
    """A CSV of hourly series with a daily wave."""
    import numpy as np
    import pandas as pd

    hours, noise = np.arange(ROWS), np.random.default_rng(1)
    times = pd.date_range("2024-01-01", periods=ROWS, freq="h")
    frames = [
        pd.DataFrame(
            {"unique_id": f"s{n}", "ds": times, "y": 50 + 9 * np.sin(hours / 3.8 + n) + noise.normal(size=ROWS)}
        )
        for n in range(SERIES)
    ]
    pd.concat(frames).to_csv(folder / "series.csv", index=False)
    return folder / "series.csv"


def timed(function, spent: dict):
    """``function`` that adds its seconds to ``spent``."""

    def run(*arguments, **options):
        start = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            spent["network"] = spent.get("network", 0.0) + time.process_time() - start

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--data", help="not read; the series are made up")
    options = parser.parse_args()
    from lstmcast.process import prepare

    prepare()
    import torch

    from lstmcast.data import reader
    from lstmcast.fit import plan
    from lstmcast.fit.loop import fit
    from lstmcast.layers import resolve
    from lstmcast.net.forecaster import Forecaster
    from lstmcast.outcome import silent

    torch.set_num_threads(1)
    network = {"horizon": 12, "hidden": 64, "context": 48, "patch": 1, "layers": 1, "base": "none"}
    with tempfile.TemporaryDirectory() as folder:
        training = {"batch": 32, "max_steps": options.steps}
        settings = resolve([("benchmark", {"network": network, "training": training})], choices={})
        panel = reader.read([str(made_up(Path(folder)))], settings.reader).panel
    spent: dict = {}
    Forecaster.forward = timed(Forecaster.forward, spent)
    Forecaster.loss = timed(Forecaster.loss, spent)
    torch.autograd.backward = timed(torch.autograd.backward, spent)
    fit(panel, plan.make(panel, settings), on_progress=silent)
    spent.clear()
    started, taken = [], []

    def note(report) -> None:
        if getattr(report, "stage", "") == "training":
            taken.append(time.process_time())
            started.append(spent["network"])

    fit(panel, plan.make(panel, settings), on_progress=note)
    steps = len(taken) - 1
    whole, inside = (taken[-1] - taken[0]) / steps, (started[-1] - started[0]) / steps
    told = {"steps": steps, "milliseconds": 1e3 * whole, "network": 1e3 * inside, "rest": 1 - inside / whole}
    print(json.dumps({name: round(value, 3) for name, value in told.items()}))


if __name__ == "__main__":
    main()
