"""A full disk, a place that may not be written, no memory, a training that diverges: a code, and all as it was."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from lstmcast.artifact import load
from lstmcast.cli.app import run as command
from lstmcast.errors import DivergedError, ResourceError
from lstmcast.net.forecaster import Forecaster
from lstmcast.outcome import Progress, Report
from lstmcast.recipes.run import run
from tests.faults.dying import TAKING_ROOM, changes_of, child, ended, failing_at
from tests.faults.scenes import TIMED
from tests.test_run import DAY, FIRST, deliver, outputs, write_job

pytestmark = [pytest.mark.fault, pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of POSIX")]


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after a first night, with the rows of a second delivered and a training due."""
    folder = tmp_path_factory.mktemp("resources")
    deliver(folder, FIRST)
    run(write_job(folder))
    write_job(folder, retrain="always", training={"max_steps": 13})
    deliver(folder, FIRST + DAY)
    return folder


@pytest.fixture
def folder(first_night: Path, tmp_path: Path) -> Path:
    return shutil.copytree(first_night, tmp_path / "job")


def night(folder: Path) -> Callable[[], object]:
    def act() -> None:
        os._exit(command(["run", str(folder / "sales.yaml"), "-q"]))

    return act


def litter(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.tmp")]


def require_one_set(folder: Path, before: dict[str, bytes]) -> None:
    """The outputs are the old ones, or those the new status vouches for; the model is whole."""
    now = outputs(folder)
    if now != before:
        told = json.loads(now["status.json"])["sha256"]
        assert {Path(path).name: hashlib.sha256(now[Path(path).name]).hexdigest() for path in told} == {
            Path(path).name: digest for path, digest in told.items()
        }
    load(folder / "models" / "sales")


def model_of(folder: Path) -> bytes:
    return (folder / "models" / "sales" / "manifest.json").read_bytes()


@pytest.mark.parametrize("every", [31, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_a_disk_that_is_full_or_may_not_be_written_from_any_write_on_ends_with_7(
    folder: Path, tmp_path: Path, every: int, record_property: Callable[[str, object], None]
) -> None:
    before, pristine = outputs(folder), shutil.copytree(folder, tmp_path / "pristine")
    total = changes_of(lambda: run(folder / "sales.yaml"), tmp_path / "count", names=TAKING_ROOM)
    codes = []
    for change in range(1, total + 1, every):
        shutil.rmtree(folder)
        shutil.copytree(pristine, folder)
        number = (errno.ENOSPC, errno.EROFS, errno.EACCES)[change % 3]  # what is done about each is the same
        codes.append(failing_at(change, number, night(folder)))
        assert codes[-1] in {0, 7}, f"change {change} of {total} ended with {codes[-1]}"
        if codes[-1]:
            assert litter(folder) == []
            require_one_set(folder, before)
    assert codes.count(7) > len(codes) // 2
    record_property("writes", len(codes))


@pytest.mark.parametrize("every", [40, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_renames_that_are_not_permitted_end_with_7_and_the_next_run_does_them(
    folder: Path, tmp_path: Path, every: int, record_property: Callable[[str, object], None]
) -> None:
    before, pristine = outputs(folder), shutil.copytree(folder, tmp_path / "pristine")
    names = ("replace", "rename")
    total = changes_of(lambda: run(folder / "sales.yaml"), tmp_path / "count", names=names)
    new = outputs(folder)
    for change in range(1, total + 1, every):
        shutil.rmtree(folder)
        shutil.copytree(pristine, folder)
        code = failing_at(change, errno.EACCES, night(folder), names=names)
        assert code == 7, f"rename {change} of {total} ended with {code}"
        for name, data in outputs(folder).items():  # hidden ones wait for the next run to rename them
            assert name.startswith(".") or name.endswith(TIMED) or data in (before.get(name), new[name]), name
        load(folder / "models" / "sales")
        assert ended(child(night(folder))) == 0
        assert outputs(folder)["forecasts.csv"] == new["forecasts.csv"]
        assert litter(folder) == []
    record_property("renames", total)


@pytest.mark.parametrize("limit", [1_000, 20_000, 60_000])
def test_a_file_that_may_not_grow_ends_with_7_and_one_whole_set_of_outputs(folder: Path, limit: int) -> None:
    before = outputs(folder)

    def act() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        night(folder)()

    assert ended(child(act)) == 7
    assert litter(folder) == []
    require_one_set(folder, before)


def test_a_place_that_may_not_be_written_is_a_resource_error(folder: Path) -> None:
    (folder / "file").write_text("")
    job = write_job(folder, predict={"horizon": 12, "output": "file/forecasts.csv"}, status="out/other.json")
    with pytest.raises(ResourceError, match="cannot be written"):
        run(job)


def test_memory_that_does_not_suffice_halves_the_batch(folder: Path) -> None:
    log = folder / "log"
    write_job(
        folder,
        retrain="always",
        network={"hidden": 48, "context": 96, "patch": 1, "base": "seasonal"},
        training={"max_steps": 2, "batch": 4096},
    )

    def act() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        room = pages * 4096 + 384 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        os._exit(command(["run", str(folder / "sales.yaml"), "-q", "--log-file", str(log)]))

    assert ended(child(act)) == 0, log.read_text()
    assert "out of memory: training again with 2048 windows a step instead of 4096" in log.read_text()


def test_a_training_that_diverges_keeps_the_old_model_and_the_old_outputs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = write_job(folder, retrain="always", training={"max_steps": 13, "checkpoint_steps": 4})
    before, model = outputs(folder), model_of(folder)
    healthy, said, steps = Forecaster.loss, list[Report](), list[int]()

    def listen(report: Report) -> None:
        said.append(report)
        if isinstance(report, Progress) and report.stage == "training":
            steps.append(report.done)

    def poisoned(network: Forecaster, *arguments: Tensor) -> Tensor:
        return healthy(network, *arguments) * (float("nan") if 6 in steps else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(Forecaster, "loss", poisoned)
        with pytest.raises(DivergedError, match=r"diverged twice.* in series south, column y, at 2024-03-") as error:
            run(job, on_progress=listen)
        assert command(["run", str(job), "-q"]) == 5
    assert error.value.exit_code == 5
    assert any("going back to step 4, with half the learning rate" in str(report) for report in said)
    assert (outputs(folder), model_of(folder)) == (before, model)
    with sqlite3.connect(folder / "lstmcast.db") as database:
        codes = database.execute("SELECT exit_code FROM runs ORDER BY rowid").fetchall()
    assert codes[-2:] == [(5,), (5,)]
    assert run(job).code == 0
    assert model_of(folder) != model


@pytest.mark.parametrize("damage", ["header", "bytes", "gone", "empty"])
def test_input_that_was_destroyed_ends_with_3_and_everything_as_it_was(folder: Path, damage: str) -> None:
    before, source = outputs(folder), folder / "sales.csv"
    if damage == "gone":
        source.unlink()
    else:
        text = source.read_bytes()
        source.write_bytes({"header": text[30:], "bytes": b"\x00\xff" * 500 + text[1000:], "empty": b""}[damage])
    assert command(["run", str(folder / "sales.yaml"), "-q"]) == 3
    assert outputs(folder) == before


def test_the_same_night_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    for place in (folder, other):
        run(place / "sales.yaml")
    name = "forecasts.csv"
    assert outputs(folder)[name] == outputs(other)[name]
    weights = "models/sales/weights.safetensors"
    assert (folder / weights).read_bytes() == (other / weights).read_bytes()
