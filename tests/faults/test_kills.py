"""Killed at any moment, a command leaves its old outputs or its new ones, whole; the next run tidies up."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lstmcast.artifact import load
from lstmcast.atomic import whole_folder
from lstmcast.cli.app import run as command
from lstmcast.fit import learn
from lstmcast.outcome import Progress, Report
from lstmcast.recipes.run import run
from tests.faults.dying import changes_of, child, dying_at, ended, killed_after
from tests.test_run import DAY, FIRST, deliver, write_job

pytestmark = [pytest.mark.fault, pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of POSIX")]

TIMED = ("status.json", "forecasts.csv.meta.json")  # hold the time of day
TRAIN = [
    "--horizon",
    "12",
    "--context",
    "48",
    "--hidden",
    "4",
    "--max-steps",
    "12",
    "--members",
    "1",
    "--set",
    "training.checkpoint_steps=2",
]


@dataclass(frozen=True)
class Scene:
    """A folder as it is before ``act``, and what its outputs are before and after it."""

    pristine: Path
    place: Path
    act: Callable[[], object]
    old: dict[str, str]
    new: dict[str, str]
    swept: bool

    def reset(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.pristine, self.place)

    def require_whole(self) -> None:
        """Every output is the old one or the new one, and the model loads."""
        now = outputs(self.place)
        for name in self.old.keys() | now.keys():  # no file is missing, none is half
            told = {self.old.get(name), self.new.get(name)}
            if name.endswith(TIMED):
                json.loads((self.place / name).read_text())
            else:
                assert now.get(name) in told, f"{name} is neither the old nor the new one"
        load(self.place / "models" / "sales")

    def require_recovery(self) -> None:
        """Run again, the command does all it would have done; a job leaves no litter either."""
        assert ended(child(self.act)) == 0
        now = outputs(self.place)
        assert {n: d for n, d in now.items() if not n.endswith(TIMED)} == {
            n: d for n, d in self.new.items() if not n.endswith(TIMED)
        }
        if self.swept:
            hidden = [path.name for path in self.place.rglob(".*") if path.name != ".sales.lock"]
            assert not hidden


def outputs(place: Path) -> dict[str, str]:
    """sha256 of every output and of every file of the model, wherever readers would find it."""
    folders = {"out": place / "out", "models/sales": whole_folder(place / "models" / "sales")}
    return {
        f"{name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for name, folder in folders.items()
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.is_file() and not path.name.startswith(".")
    }


def night(place: Path) -> Callable[[], object]:
    def act() -> None:
        assert command(["run", str(place / "sales.yaml"), "-q"]) == 0

    return act


def retraining(place: Path) -> Callable[[], object]:
    job = write_job(place, retrain="always", keep=0, training={"max_steps": 5, "checkpoint_steps": 2})
    assert job.exists()
    return night(place)


def training(place: Path) -> Callable[[], object]:
    model = ["-m", str(place / "models" / "sales")]

    def act() -> None:
        assert command(["train", str(place / "sales.csv"), *model, *TRAIN, "-q"]) == 0

    return act


def predicting(place: Path) -> Callable[[], object]:
    output = ["-m", str(place / "models" / "sales"), "-o", str(place / "out" / "forecasts.csv")]

    def act() -> None:
        assert command(["predict", str(place / "sales.csv"), *output, "-q"]) == 0

    return act


ACTS = {"run": night, "run with training": retraining, "train": training, "predict": predicting}


SCENES = ["run", "run with training", pytest.param("train", marks=pytest.mark.slow), "predict"]


@pytest.fixture(scope="module", params=SCENES)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A folder after a first night, with the rows of a second delivered."""
    base = tmp_path_factory.mktemp("scene")
    place, pristine = base / "place", base / "pristine"
    place.mkdir()
    deliver(place, FIRST)
    write_job(place)
    assert ended(child(night(place))) == 0
    deliver(place, FIRST + 5 * DAY)
    act = ACTS[request.param](place)
    shutil.copytree(place, pristine)
    old = outputs(place)
    assert ended(child(act)) == 0
    scene = Scene(pristine, place, act, old, outputs(place), swept=request.param.startswith("run"))
    assert scene.new != old
    return scene


def die_at(scene: Scene, changes: list[int], *, recover_every: int = 1) -> None:
    for change in changes:
        scene.reset()
        assert dying_at(change, scene.act) == -signal.SIGKILL
        scene.require_whole()
        if change % recover_every == 0:
            scene.require_recovery()


def test_a_kill_at_some_changes_to_the_disk_leaves_whole_outputs(scene: Scene, tmp_path: Path) -> None:
    scene.reset()
    total = changes_of(scene.act, tmp_path / "count")
    assert total > 5
    die_at(scene, sorted(random.Random(total).sample(range(1, total + 1), 3)))


@pytest.mark.exhaustive
def test_a_kill_at_every_change_to_the_disk_leaves_whole_outputs(scene: Scene, tmp_path: Path) -> None:
    scene.reset()
    total = changes_of(scene.act, tmp_path / "count")
    die_at(scene, list(range(1, total + 1)), recover_every=4)


@pytest.mark.parametrize("times", [2, pytest.param(60, marks=pytest.mark.exhaustive)])
def test_a_kill_at_random_moments_leaves_whole_outputs(scene: Scene, times: int) -> None:
    scene.reset()
    began = time.monotonic()
    ended(child(scene.act))
    length, moments = time.monotonic() - began, random.Random(times)
    for _ in range(times):
        scene.reset()
        assert killed_after(moments.uniform(0, length), scene.act) in {0, -signal.SIGKILL}
        scene.require_whole()
        scene.require_recovery()


def test_after_kills_the_store_holds_each_forecast_once(tmp_path: Path) -> None:
    deliver(tmp_path, FIRST)
    write_job(tmp_path)
    act, moments = night(tmp_path), random.Random(1)
    for number in range(6):
        deliver(tmp_path, FIRST + number * DAY)
        killed_after(moments.uniform(0.02, 0.15), act)
        assert ended(child(act)) == 0
    with sqlite3.connect(tmp_path / "lstmcast.db") as database:
        rows = database.execute("SELECT unique_id, cutoff, count(*) FROM forecasts GROUP BY 1, 2").fetchall()
        codes = {code for (code,) in database.execute("SELECT exit_code FROM runs")}
    assert sorted({count for *_, count in rows}) == [12]
    assert codes <= {0, -1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("members", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_night_stopped_by_a_signal_ends_with_its_code_and_says_how_it_goes_on(
    tmp_path: Path, members: int, number: int
) -> None:
    deliver(tmp_path, FIRST)
    # without a refit both members are trained at once, side by side where there are two cores
    training = {"max_steps": 20_000, "checkpoint_steps": 5, "members": members, "refit": False}
    job = write_job(tmp_path, training=training)
    log = tmp_path / "log.jsonl"
    arguments = ["run", str(job), "--log-format", "jsonl", "--log-file", str(log), "-q"]

    def act() -> None:
        os._exit(command(arguments))

    pid = child(act)
    checkpoints = tmp_path / "models" / ".sales.candidate" / "checkpoints"
    deadline = time.monotonic() + 60
    while not (checkpoints / f"trial-{members - 1}" / "latest.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(pid, number)
    assert ended(pid) == 128 + number
    told = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert told[-1] == f"go on with: lstmcast run {job}"
    assert not list((tmp_path / "out").iterdir())
    write_job(tmp_path, training={"max_steps": 10, "checkpoint_steps": 5})  # another training: not to be gone on with
    said: list[Report] = []
    assert run(job, on_progress=said.append).code == 0
    assert any("an interrupted training cannot go on" in str(report) for report in said)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="tells processes by /proc")
def test_a_night_that_is_killed_takes_its_side_by_side_training_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn, "cores", lambda: 2)
    deliver(tmp_path, FIRST)
    training = {"epochs": 50_000, "checkpoint_steps": 5, "members": 2, "refit": False}  # long enough to share out
    job = write_job(tmp_path, training=training)
    pid = child(night(tmp_path))
    checkpoints = tmp_path / "models" / ".sales.candidate" / "checkpoints"
    deadline = time.monotonic() + 60
    while not all((checkpoints / f"trial-{k}" / "latest.safetensors").exists() for k in (0, 1)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    trainers = descendants(pid)
    assert len(trainers) >= 2
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while any(alive(trainer) for trainer in trainers):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    write_job(tmp_path, training={"max_steps": 10, "checkpoint_steps": 5})
    assert run(job).code == 0


def descendants(pid: int) -> list[int]:
    """Processes started by ``pid``, and by those."""
    own = [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]
    return own + [deeper for one in own for deeper in descendants(one)]


def alive(pid: int) -> bool:
    """Whether the process runs: not gone, and no zombie either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_night_whose_training_was_killed_ends_with_the_very_model_of_one_that_was_not(tmp_path: Path) -> None:
    for name in ("calm", "killed"):
        (tmp_path / name).mkdir()
        deliver(tmp_path / name, FIRST)
        write_job(tmp_path / name, training={"max_steps": 150, "checkpoint_steps": 10})
    assert ended(child(night(tmp_path / "calm"))) == 0
    checkpoint = tmp_path / "killed" / "models" / ".sales.candidate" / "checkpoints" / "trial-0" / "latest.safetensors"
    pid = child(night(tmp_path / "killed"))
    deadline = time.monotonic() + 60
    while not checkpoint.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL
    said: list[Report] = []
    assert run(tmp_path / "killed" / "sales.yaml", on_progress=said.append).code == 0
    assert not any("cannot go on" in str(report) for report in said)
    steps = [report.done for report in said if isinstance(report, Progress) and report.stage == "training"]
    assert steps[0] > 10
    weights = [tmp_path / name / "models" / "sales" / "weights.safetensors" for name in ("calm", "killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    forecasts = [tmp_path / name / "out" / "forecasts.csv" for name in ("calm", "killed")]
    assert forecasts[0].read_bytes() == forecasts[1].read_bytes()
