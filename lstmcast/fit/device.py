"""Where to compute, and with how many threads."""

from __future__ import annotations

import torch

from lstmcast.errors import ResourceError


def choose(name: str) -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    ``auto`` prefers cuda, then mps, then cpu. Raises ``ResourceError`` if the device named is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    there = {
        "cpu": not index,
        "cuda": torch.cuda.is_available() and (index or "0").isdigit() and int(index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available() and not index,
    }
    if not there.get(kind, False):
        found = ", ".join(device for device, usable in there.items() if usable and device != "cuda")
        raise ResourceError(f"there is no device {name!r} here", remedy=f"use --device auto; found: {found}")
    return torch.device(name)


def use_threads(threads: int | None) -> int:
    """Set the number of CPU threads, 1 by default, and return it.

    Networks of this size gain little from a second thread, and on a machine that is busy otherwise the threads wait
    for each other at every small operation: training becomes many times slower.
    """
    torch.set_num_threads(threads or 1)
    return torch.get_num_threads()
