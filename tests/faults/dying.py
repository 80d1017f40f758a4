"""Children that die: at the n-th change they make to the file system, or at a moment somebody else chooses."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("fsync", "replace", "rename", "open", "mkdir", "unlink", "rmdir", "chmod")


def child(action: Callable[[], object]) -> int:
    """Start ``action`` in a copy of this process; its pid. The copy ends with 0, or 1 if something was raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons dislike forks; this process has one thread
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        action()
        code = 0
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a child: its exit code, or minus the signal it died of."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dying_at(change: int, action: Callable[[], object]) -> int:
    """Run ``action`` and kill it just before its ``change``-th change to the file system; how it ended."""

    def armed() -> None:
        _on_change(lambda count: os.kill(os.getpid(), signal.SIGKILL) if count == change else None)
        action()

    return ended(child(armed))


def failing_at(change: int, number: int, action: Callable[[], object]) -> int:
    """Run ``action``, whose ``change``-th change and all later ones that take room fail with the errno ``number``."""

    def refuse(count: int) -> None:
        if count >= change:
            raise OSError(number, os.strerror(number))

    def armed() -> None:
        _on_change(refuse, names=("fsync", "mkdir", "open"))
        action()

    return ended(child(armed))


def killed_after(seconds: float, action: Callable[[], object]) -> int:
    """Run ``action`` and kill it after a while; how it ended."""
    pid = child(action)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)  # a child that has ended is a zombie until it is waited for: no other process is hit
    return ended(pid)


def changes_of(action: Callable[[], object], note: Path) -> int:
    """How many changes to the file system ``action`` makes; ``note`` is a file to tell it in."""
    seen = 0

    def counting() -> None:
        def count(number: int) -> None:
            nonlocal seen
            seen = number

        _on_change(count)
        action()
        note.write_text(str(seen))

    code = ended(child(counting))
    if code:
        raise AssertionError(f"the undisturbed run ended with {code}")
    return int(note.read_text())


def _on_change(act: Callable[[int], object], names: tuple[str, ...] = CHANGES) -> None:
    """Call ``act`` with 1, 2, … before every change to the file system this process makes through ``os``."""
    count = 0

    def hooked(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def hook(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            creates = name != "open" or (len(arguments) > 1 and arguments[1] & os.O_CREAT)
            if creates:
                count += 1
                act(count)
            return real(*arguments, **options)

        return hook

    for name in names:
        setattr(os, name, hooked(getattr(os, name), name))
