"""What a process is told before numpy and torch are imported. ``LSTMCAST_TUNING=0`` leaves all of it alone.

With glibc's defaults each training step asks the kernel for its large buffers again and waits while they are zeroed,
page by page. And OpenBLAS, which multiplies for numpy, would take a thread per core, where one thread is the rule.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

SWITCH = "LSTMCAST_TUNING"

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MAPPED, _LARGEST_KEPT = 1 << 30, (1 << 31) - 1


def prepare() -> None:
    """Tune memory and threads for training. What the user set in the environment stays."""
    if os.environ.get(SWITCH) == "0":
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    if sys.platform.startswith("linux"):
        keep_large_blocks()


def cores() -> int:
    """Processor cores this process may use."""
    with contextlib.suppress(AttributeError):  # not every system tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_large_blocks() -> bool:
    """Tell glibc to keep blocks up to 1 GiB instead of handing them back. Whether it was told."""
    import ctypes

    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_MAPPED)) and bool(mallopt(_M_TRIM_THRESHOLD, _LARGEST_KEPT))


def peak_mb() -> int:
    """The most memory this process has held so far, in megabytes."""
    import resource

    status = Path("/proc/self/status")  # what a parent held before it became this process counts elsewhere
    told = status.read_text(encoding="ascii", errors="replace").split() if status.is_file() else []
    if "VmHWM:" in told:
        return int(told[told.index("VmHWM:") + 1]) // 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
