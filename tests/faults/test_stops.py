"""Stopped by a signal or killed, a night in training ends with its code, takes its processes along, and goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from lstmcast.cli.app import run as command
from lstmcast.fit import checkpoint, learn
from lstmcast.outcome import Progress, Report
from lstmcast.recipes.run import run
from tests.faults.dying import child, ended
from tests.faults.scenes import night, said
from tests.test_run import FIRST, deliver, write_job

pytestmark = [pytest.mark.fault, pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of POSIX")]
STEPS = 400  # of two members side by side: the second has begun long before the first ends


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
    kill_amid_training(pid, [checkpoints / f"trial-{k}" for k in (0, 1)])
    write_job(tmp_path, training={"max_steps": 10, "checkpoint_steps": 5})
    assert run(job).code == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="tells processes by /proc")
def test_members_killed_side_by_side_resume_to_the_very_weights_of_those_that_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn, "cores", lambda: 2)
    monkeypatch.setattr(learn, "_WORTH_A_PROCESS_SECONDS", 0.0)
    deliver(tmp_path, FIRST)
    arguments = ["train", str(tmp_path / "sales.csv"), "--horizon", "12", "--context", "48", "--hidden", "4"]
    arguments += ["--base", "seasonal", "--members", "2", "--max-steps", str(STEPS), "--epochs", "50000", "-q"]
    arguments += ["--set", "training.refit=false", "--set", "training.checkpoint_steps=10"]
    calm, killed = (tmp_path / name for name in ("calm", "killed"))
    assert command([*arguments, "-m", str(calm)]) == 0
    pid = child(said([*arguments, "-m", str(killed)]))
    kept = [killed / "checkpoints" / f"trial-{k}" for k in (0, 1)]
    kill_amid_training(pid, kept)
    assert all(0 < checkpoint.read(folder)["step"] < STEPS for folder in kept)
    assert not (killed / "weights.safetensors").exists()
    assert command([*arguments, "-m", str(killed), "--resume"]) == 0
    assert (killed / "weights.safetensors").read_bytes() == (calm / "weights.safetensors").read_bytes()


def kill_amid_training(pid: int, checkpoints: list[Path]) -> None:
    """Kill ``pid`` once each of its members has a checkpoint; the processes that train them end with it."""
    deadline = time.monotonic() + 60
    while not all((folder / "latest.safetensors").exists() for folder in checkpoints):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    trainers = descendants(pid)
    assert len(trainers) >= len(checkpoints)
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while any(alive(trainer) for trainer in trainers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
