"""Room: where large things lie. Arrays beyond what memory has room for are files that are mapped into it."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARE = 8
"""An array that takes more than one in this many parts of memory lies in a file."""

_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def zeros(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """An array of zeros; one that is too large for memory lies in a file that goes when the array does."""
    if int(np.prod(shape)) * np.dtype(dtype).itemsize <= memory() // SHARE:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=cache_folder(os.environ)) as file:
        return np.memmap(file, dtype, mode="w+", shape=shape)


@cache
def memory() -> int:
    """Bytes of memory this process may use: of the machine, the container, or its own limit, whichever is least."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = _CONTAINER.read_text(encoding="ascii").strip() if _CONTAINER.is_file() else ""
    own, _ = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [int(told)] if told.isdigit() else []
    return min([machine, *limits, *([] if own == resource.RLIM_INFINITY else [own])])


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The folder for files that can be made again, by the XDG rules; it is there when this returns."""
    home = environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home and Path(home).is_absolute() else Path.home() / ".cache") / "lstmcast"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
