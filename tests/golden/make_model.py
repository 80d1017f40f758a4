"""Write the tiny model of the present format into tests/golden/models: ``python tests/golden/make_model.py``.

A folder of an older format stays as it is: it is there to be read by every later version.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcast.artifact import FORMAT_VERSION, MANIFEST, load, seal
from lstmcast.data.writer import write_json
from lstmcast.forecast.predict import forecast
from lstmcast.layers import resolve
from lstmcast.recipes.listing import choices
from lstmcast.recipes.model import _made_up
from lstmcast.recipes.train import train

SETTINGS = {
    "network": {"horizon": 12, "context": 48, "hidden": 4, "base": "seasonal"},
    "training": {"max_steps": 20, "members": 2},
}


def main() -> None:
    place = Path(__file__).parent / "models" / f"format-{FORMAT_VERSION}"
    hours = np.arange(24 * 14)
    value = 50 + 10 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(1).normal(size=len(hours))
    times = pd.date_range("2024-01-01", periods=len(hours), freq="h")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "wave.csv"
        pd.DataFrame({"unique_id": "wave", "ds": times, "y": value.round(2)}).to_csv(source, index=False)
        settings = resolve([("make_model.py", SETTINGS)], choices=choices())
        train([str(source)], settings=settings, model=place / "model")
    manifest = json.loads((place / "model" / MANIFEST).read_text())
    manifest = {name: value for name, value in manifest.items() if name != "seal"} | {"sources": ["wave.csv"]}
    write_json(manifest | {"seal": seal(manifest)}, place / "model" / MANIFEST)
    model = load(place / "model")
    quantiles = forecast(model.forecaster, _made_up(model)).quantiles
    (place / "forecast.json").write_text(json.dumps(quantiles.round(5).tolist()) + "\n")


if __name__ == "__main__":
    main()
