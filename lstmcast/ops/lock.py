"""Lock: one run of a job at a time. The lock of a process that died is free again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock, SoftFileLock, Timeout

from lstmcast.errors import BusyError, ResourceError


@contextmanager
def held(path: Path, *, kind: Literal["system", "marker"] = "system", timeout: float = 0) -> Iterator[None]:
    """Hold the lock file ``path``, waiting up to ``timeout`` seconds for it.

    ``system`` is a lock of the operating system on the open file, which ends with its process. ``marker`` is a file
    that says who holds it, for network file systems without locks; one of a dead process of this host is taken over.
    Raises ``BusyError`` while somebody else holds it, ``ResourceError`` where no lock can be made.
    """
    lock = (SoftFileLock if kind == "marker" else FileLock)(path, timeout=timeout)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(
            f"another run of this job is at work: it holds {path}",
            remedy="try again later, or wait for it with --lock-timeout SECONDS",
        ) from error
    except OSError as error:
        raise ResourceError(
            f"the lock {path} cannot be made: {error.strerror or error}",
            remedy="keep the job file in a folder that may be written",
        ) from error
    try:
        yield
    finally:
        lock.release()
