"""Killed at any moment, a command leaves its old outputs or its new ones, whole; the next run tidies up."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.dying import changes_of, child, dying_at, ended, killed_after, looked_at
from tests.faults.scenes import ACTS, Scene, made, night
from tests.test_run import DAY, FIRST, deliver, write_job

pytestmark = [pytest.mark.fault, pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of POSIX")]

SLOW = ("train", "detect")  # in their fast sample
_EVERY = 16  # at each of so many changes the process is really killed, and the command run again
SCENES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ACTS]


@pytest.fixture(scope="module", params=SCENES)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return made(request.param, tmp_path_factory.mktemp("scene"))


def die_at(scene: Scene, changes: list[int]) -> None:
    for change in changes:
        scene.reset()
        assert dying_at(change, scene.act) == -signal.SIGKILL
        scene.require_whole()
        scene.require_recovery()


def test_a_kill_at_some_changes_to_the_disk_leaves_whole_outputs(scene: Scene, tmp_path: Path) -> None:
    scene.reset()
    total = changes_of(scene.act, tmp_path / "count")
    assert total > 10  # two files, each made, written, synced and renamed
    die_at(scene, sorted(random.Random(total).sample(range(1, total + 1), 3)))


@pytest.mark.exhaustive
def test_what_a_kill_at_every_change_to_the_disk_would_leave_is_whole(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    last_seen: dict[str, int] = {}  # by kind of unfinished thing, the change before which it was there

    def look(change: int) -> None:
        scene.require_whole()
        for path in scene.place.rglob(".*"):
            last_seen[re.sub(r"\d|\.\w{8}\.tmp", "", str(path))] = change

    scene.reset()
    total = looked_at(scene.act, look)
    record_property("changes", total)
    every = range(1 + random.Random(total).randrange(_EVERY), total + 1, _EVERY)
    chosen = sorted({*every, *last_seen.values()})
    die_at(scene, chosen)
    record_property("kills", len(chosen))


@pytest.mark.parametrize("times", [2, pytest.param(50, marks=pytest.mark.exhaustive)])
def test_a_kill_at_random_moments_leaves_whole_outputs(
    scene: Scene, times: int, record_property: Callable[[str, object], None]
) -> None:
    scene.reset()
    began = time.monotonic()
    ended(child(scene.act))
    length, moments, kills = time.monotonic() - began, random.Random(times), 0
    while kills < times:
        scene.reset()
        code = killed_after(moments.uniform(0, length), scene.act)
        assert code in {0, -signal.SIGKILL}
        kills += code != 0
        scene.require_whole()
        if kills % 5 == 1:
            scene.require_recovery()
    record_property("kills", kills)


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
