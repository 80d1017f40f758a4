"""Scenes: folders in which a command is about to act, and what it would leave there undisturbed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lstmcast.artifact import CHECKPOINTS, load
from lstmcast.atomic import whole_folder
from lstmcast.cli.app import run as command
from lstmcast.fit import checkpoint
from tests.faults.dying import child, ended
from tests.test_run import DAY, FIRST, deliver, write_job

TIMED = ("status.json", ".meta.json")  # hold the time of day
DETECT = {"detect": {"budget": "1/week", "output": "out/anomalies.csv", "events": "out/events.csv"}}
TRAIN = ["--horizon", "12", "--context", "48", "--hidden", "4", "--max-steps", "12", "--members", "1"]
SOON = ["--set", "training.checkpoint_steps=4"]


@dataclass(frozen=True)
class Scene:
    """A folder as it is before ``act``, and what its outputs are before and after it.

    ``again`` is what a person does after a death; ``swept`` tells that it removes what the dead one left.
    """

    pristine: Path
    place: Path
    act: Callable[[], object]
    again: Callable[[], object]
    old: dict[str, str]
    new: dict[str, str]
    swept: bool

    def reset(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.pristine, self.place)

    def require_whole(self) -> None:
        """Every output is the old one or the new one, and the model loads and verifies."""
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
        assert ended(child(self.again)) == 0
        now = outputs(self.place)
        assert {n: d for n, d in now.items() if not n.endswith(TIMED)} == {
            n: d for n, d in self.new.items() if not n.endswith(TIMED)
        }
        if self.swept:
            hidden = [path.name for path in self.place.rglob(".*") if path.name != ".sales.lock"]
            assert hidden == []


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
    """``run``, which predicts and detects."""
    return said(["run", str(place / "sales.yaml"), "-q"])


def retraining(place: Path) -> Callable[[], object]:
    """``run``, which trains as well."""
    write_job(place, retrain="always", keep=1, training={"max_steps": 5, "checkpoint_steps": 2}, **DETECT)
    return night(place)


def training(place: Path) -> Callable[[], object]:
    return said(["train", str(place / "sales.csv"), "-m", str(place / "models" / "sales"), *TRAIN, *SOON, "-q"])


def resuming(place: Path) -> Callable[[], object]:
    """``train`` with ``--resume`` where the dead one left a checkpoint."""

    def act() -> None:
        folder = place / "models" / "sales" / CHECKPOINTS
        going = folder.is_dir() and any(checkpoint.exists(part) for part in folder.iterdir() if part.is_dir())
        arguments = ["train", str(place / "sales.csv"), "-m", str(place / "models" / "sales"), *TRAIN, *SOON, "-q"]
        said([*arguments, *(["--resume"] if going else [])])()

    return act


def predicting(place: Path) -> Callable[[], object]:
    output = ["-m", str(place / "models" / "sales"), "-o", str(place / "out" / "forecasts.csv")]
    return said(["predict", str(place / "sales.csv"), *output, "-q"])


def detecting(place: Path) -> Callable[[], object]:
    output = ["-o", str(place / "out" / "anomalies.csv"), "--events", str(place / "out" / "events.csv")]
    few = ["--set", "training.max_steps=4"]
    return said(["detect-anomalies", str(place / "sales.csv"), *output, *few, "-q"])


def said(arguments: list[str]) -> Callable[[], object]:
    """The command line ``arguments``, which must end with 0."""

    def act() -> None:
        assert command(arguments) == 0

    return act


ACTS = {
    "run": (night, night),
    "run with training": (retraining, night),
    "train": (training, resuming),
    "predict": (predicting, predicting),
    "detect": (detecting, detecting),
}


def made(name: str, base: Path) -> Scene:
    """The scene ``name``: after a first night, with the rows of a second delivered.

    Everything is done once in this process, so that children find all modules loaded.
    """
    place, pristine = base / "place", base / "pristine"
    place.mkdir()
    deliver(place, FIRST)
    write_job(place, **DETECT)
    night(place)()
    deliver(place, FIRST + 5 * DAY)
    act, again = (make(place) for make in ACTS[name])
    shutil.copytree(place, pristine)
    old = outputs(place)
    act()
    scene = Scene(pristine, place, act, again, old, outputs(place), swept=name.startswith("run"))
    assert scene.new != old
    return scene
