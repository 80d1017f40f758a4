"""Settings of every test run, a Panel made of arrays, and a PostgreSQL server of the run's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import settings

from lstmcast.data.calendar import Frequency
from lstmcast.data.clock import Clock
from lstmcast.data.dialect import Dialect
from lstmcast.data.panel import Panel, build
from lstmcast.data.schema import Schema

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: workers side by side must not wait for each other
os.environ["XDG_CONFIG_HOME"] = str(Path(__file__).with_name("no-settings-here"))  # whoever runs this may have some
for _name in [name for name in os.environ if name.startswith("LSTMCAST_")]:
    del os.environ[_name]
settings.register_profile("lstmcast", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("lstmcast")

MakePanel = Callable[..., Panel]


def watching(folder: Path, source: Path | str, *options: str) -> list[str]:
    """The command of a quick ``detect-anomalies`` of ``source``, whose outputs and state lie in ``folder``."""
    files = ["-o", str(folder / "rows.csv"), "--events", str(folder / "events.csv"), "--state", str(folder / "state")]
    quick = ["--set", "training.max_steps=30", "--set", "network.hidden=8", "--warmup", "150", "-q"]
    return ["detect-anomalies", str(source), *files, *quick, *options]


def panel_of(
    series: Sequence[Sequence[float]], *, covariates: Sequence[Sequence[float]] = (), max_gap: int = 10
) -> Panel:
    """Series s0, s1, ... on integer time from 1; NaN is a missing value. ``covariates``: one column for each series."""
    schema = Schema(
        time_col="ds",
        id_col="unique_id",
        targets=("y",),
        past=("x",) if len(covariates) else (),
        dialect=Dialect(),
        clock=Clock(kind="integer"),
        frequency=Frequency(kind="integer"),
        max_gap=max_gap,
    )
    lengths = [len(values) for values in series]
    column = np.concatenate([np.asarray(c, dtype=np.float32) for c in covariates])[:, None] if len(covariates) else None
    panel, _ = build(
        [f"s{n}" for n in range(len(series))],
        np.repeat(np.arange(len(series)), lengths),
        np.concatenate([np.arange(1, length + 1) for length in lengths]),
        targets=np.concatenate([np.asarray(values, dtype=np.float64) for values in series])[:, None],
        covariates=column if column is not None else np.empty((sum(lengths), 0), dtype=np.float32),
        schema=schema,
    )
    return panel


@pytest.fixture(scope="session")
def make_panel() -> MakePanel:
    return panel_of


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """The folder with the socket of a private server that lives as long as the run; skips where there is none."""
    binaries = {name: _postgres_binary(name) for name in ("initdb", "pg_ctl", "psql")}
    if absent := [name for name, path in binaries.items() if path is None]:
        pytest.skip(f"PostgreSQL is not installed: no {', '.join(absent)}")
    somebody = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="lstmcast-pg-"))  # short and outside tmp_path: sockets and rights want it so
    try:
        if somebody:
            os.chown(folder, somebody["user"], somebody["group"])
        data, log = folder / "data", folder / "log"

        def server(name: str, *arguments: str) -> None:
            command = [str(binaries[name]), *arguments]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, **somebody)
            if done.returncode:
                pytest.fail(f"{name}: {done.stderr}\n{log.read_text() if log.exists() else ''}")

        server("initdb", "-D", str(data), "-U", "lstmcast", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses='' -c fsync=off -c unix_socket_directories={folder}"
        server("pg_ctl", "-D", str(data), "-w", "-s", "-l", str(log), "-o", options, "start")
        try:
            yield folder
        finally:
            server("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "-s", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: Path) -> str:
    """The URL of an empty database on the private server; mark the tests that use it ``postgres``."""
    pytest.importorskip("psycopg", reason="the extra [postgres] brings the driver")
    name = f"t{uuid4().hex}"
    psql = [str(_postgres_binary("psql")), "-h", str(postgres_server), "-U", "lstmcast", "-d", "postgres", "-q"]
    subprocess.run([*psql, "-c", f"create database {name}"], check=True)
    return f"postgresql://lstmcast:very-secret@/{name}?host={postgres_server}"


def _postgres_binary(name: str) -> str | None:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(installed[-1]) if installed else None)


def _unprivileged() -> dict[str, Any]:
    """For ``subprocess.run``: somebody other than root, as whom the server refuses to start."""
    if os.name == "nt" or os.geteuid() != 0:
        return {}
    import pwd

    people = {entry.pw_name: entry for entry in pwd.getpwall()}
    found = people.get("postgres") or people.get("nobody")
    if found is None:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
