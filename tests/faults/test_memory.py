"""Memory: no more with every night."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from lstmcast.recipes.run import run
from tests.test_run import FIRST, deliver, write_job

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory as Linux tells it"),
]


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("nights", [30, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_the_memory_of_a_process_does_not_grow_with_the_nights(tmp_path: Path, nights: int) -> None:
    deliver(tmp_path, FIRST)
    job = write_job(tmp_path)
    run(job)

    def night() -> None:
        (tmp_path / "out" / "status.csv").unlink()
        assert run(job).facts["noop"] is False

    for _ in range(max(5, nights // 4)):  # the allocator's own pools fill in the first dozens of nights
        night()
    gc.collect()
    before = resident()
    for _ in range(nights):
        night()
    gc.collect()
    assert resident() - before < 12 * 2**20
