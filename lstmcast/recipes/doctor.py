"""The journey of ``lstmcast doctor``: what is installed, what it runs on, and whether a network learns here."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

from lstmcast import __version__
from lstmcast.config import NetworkSettings, Settings, TrainingSettings
from lstmcast.data.calendar import Frequency
from lstmcast.data.clock import Clock
from lstmcast.data.dialect import Dialect
from lstmcast.data.panel import Panel
from lstmcast.data.schema import Schema
from lstmcast.errors import LstmcastError
from lstmcast.fit.loop import fit
from lstmcast.fit.plan import make
from lstmcast.outcome import Outcome, Table, silent

PACKAGES = (
    "torch",
    "numpy",
    "pandas",
    "pydantic",
    "typer",
    "scikit-learn",
    "safetensors",
    "altair",
    "vl-convert-python",
)
EXTRAS = ("statsforecast",)
STEPS, SEASON, ROWS = 30, 12, 240


def doctor() -> Outcome:
    """Versions, devices, threads, and a self-test on each device. Exit code 7 if a device does not learn."""
    rows = [("lstmcast", __version__), ("python", platform.python_version()), ("platform", platform.platform())]
    rows += [(name, _version(name) or "missing") for name in PACKAGES]
    rows += [(f"{name} (extra)", _version(name) or "not installed") for name in EXTRAS]
    rows += [("cores", str(os.cpu_count())), ("threads", str(torch.get_num_threads()))]
    failed = []
    for name in _devices():
        well, said = _self_test(name)
        rows.append((_describe(name), said))
        if not well:
            failed.append(name)
    lines = tuple(f"the self-test failed on {name}: choose another with --device" for name in failed)
    facts = {**dict(rows), "healthy": not failed}
    return Outcome(
        code=7 if failed else 0,
        facts=facts,
        lines=lines or ("all is well",),
        table=Table("", ("what", "found"), tuple(rows)),
    )


def _devices() -> list[str]:
    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def _describe(name: str) -> str:
    return f"{name} ({torch.cuda.get_device_name(name)})" if name.startswith("cuda") else name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _self_test(device: str) -> tuple[bool, str]:
    """Train a tiny forecaster on a sine wave. Whether its loss fell, and that in words."""
    try:
        first, last = _learn(device)
    except (RuntimeError, LstmcastError) as error:  # a driver, a kernel or memory that is not there; divergence
        return False, f"failed: {str(error).splitlines()[0]}"
    fell = last < first
    return fell, f"{'learns' if fell else 'does not learn'}: loss {first:.3f} to {last:.3f} in {STEPS} steps"


def _learn(device: str) -> tuple[float, float]:
    """Training loss at the first and at the last step, through the same plan and loop as any training."""
    network = NetworkSettings(horizon=SEASON // 2, context=2 * SEASON, hidden=8, dropout=0.0, base="none")
    training = TrainingSettings(
        max_steps=STEPS, checkpoint_steps=1, batch=16, device=device, learning_rate=1e-2, schedule="constant", ema=0.0
    )
    panel = _wave()
    fitted = fit(panel, make(panel, Settings(network=network, training=training)), on_progress=silent)
    return fitted.history[0][1], fitted.history[-1][1]


def _wave() -> Panel:
    """One series: a sine of period ``SEASON``."""
    schema = Schema(
        id_col=None,
        targets=("y",),
        dialect=Dialect(),
        clock=Clock(kind="row"),
        frequency=Frequency(kind="integer"),
        max_gap=0,
    )
    values = np.sin(np.arange(ROWS, dtype=np.float32)[:, None] * (2 * np.pi / SEASON))
    return Panel(
        ids=("wave",),
        series=np.zeros(1, np.int64),
        offsets=np.array([0, ROWS]),
        ends=np.array([ROWS]),
        start=np.ones(1, np.int64),
        values=values.astype(np.float32),
        observed=np.ones((ROWS, 1), bool),
        covariates=np.zeros((ROWS, 0), np.float32),
        static=np.zeros((1, 0), np.float32),
        shift=np.zeros((1, 1)),
        schema=schema,
    )
