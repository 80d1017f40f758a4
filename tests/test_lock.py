"""One run of a job at a time, and the lock of the dead is free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest

from lstmcast.errors import BusyError, ResourceError
from lstmcast.ops.lock import held

HOLD = """
import sys, time
from pathlib import Path
from lstmcast.ops.lock import held
with held(Path(sys.argv[1]), kind=sys.argv[2]):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    time.sleep(float(sys.argv[3]))
"""
Kind = Literal["system", "marker"]


def holder(path: Path, kind: str, seconds: float) -> subprocess.Popen[str]:
    """A process that has the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), kind, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("kind", ["system", "marker"])
def test_a_second_process_is_told_to_try_later_and_the_lock_of_a_dead_one_is_taken_over(
    tmp_path: Path, kind: Kind
) -> None:
    path = tmp_path / ".job.lock"
    with holder(path, kind, 30) as process:
        with pytest.raises(BusyError, match="another run of this job is at work") as told, held(path, kind=kind):
            pass
        assert "--lock-timeout" in told.value.remedy
        process.send_signal(signal.SIGKILL)
    with held(path, kind=kind, timeout=5):
        pass


@pytest.mark.parametrize("kind", ["system", "marker"])
def test_a_lock_is_waited_for_as_long_as_asked(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / ".job.lock"
    with holder(path, kind, 0.3):
        began = time.monotonic()
        with held(path, kind=kind, timeout=10):
            assert time.monotonic() - began < 8


def test_a_lock_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with held(tmp_path / ".job.lock"):
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    with held(tmp_path / ".job.lock"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="folders of POSIX")
def test_a_place_where_no_lock_can_be_made_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be made"), held(tmp_path / "file" / ".job.lock"):
        pass
