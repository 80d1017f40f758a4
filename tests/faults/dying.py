"""Children that die, or whose disk fails: at the n-th change they make to it, or at a moment somebody else chooses.

A change is counted before each call by which a process creates, renames, removes, syncs or copies a file, before each
write of bytes to one, and in the middle of each such write. Only what libraries do in C, SQLite above all, is not seen.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

TAKING_ROOM = ("open", "write", "fsync", "mkdir", "sendfile")
CHANGES = (*TAKING_ROOM, "replace", "rename", "unlink", "rmdir", "chmod")

Act = Callable[[int], object]


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
    """Run ``action`` and kill it at its ``change``-th change to the disk; how it ended."""

    def armed() -> None:
        _on_change(lambda count: os.kill(os.getpid(), signal.SIGKILL) if count == change else None)
        action()

    return ended(child(armed))


def looked_at(action: Callable[[], object], look: Act) -> int:
    """Run ``action``, which waits at each of its changes until ``look`` has been called with 1, 2, …; their number.

    What is on the disk then is what a kill at this change would leave: a process that is killed does nothing more.
    """
    changing, go_on = os.pipe(), os.pipe()

    def wait(_: int) -> None:
        os.write(changing[1], b".")
        os.read(go_on[0], 1)

    def armed() -> None:
        os.close(changing[0])
        os.close(go_on[1])
        _on_change(wait)
        action()

    pid, count = child(armed), 0
    os.close(changing[1])
    os.close(go_on[0])
    try:
        while os.read(changing[0], 1):
            count += 1
            look(count)
            os.write(go_on[1], b".")
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(changing[0])
        os.close(go_on[1])
        code = ended(pid)
    if code:
        raise AssertionError(f"the undisturbed run ended with {code}")
    return count


def failing_at(change: int, number: int, action: Callable[[], object], *, names: tuple[str, ...] = TAKING_ROOM) -> int:
    """Run ``action``, whose ``change``-th change by the calls ``names`` and all later ones fail with an errno."""

    def refuse(count: int) -> None:
        if count >= change:
            raise OSError(number, os.strerror(number))

    def armed() -> None:
        _on_change(refuse, names=names)
        action()

    return ended(child(armed))


def killed_after(seconds: float, action: Callable[[], object]) -> int:
    """Run ``action`` and kill it after a while; how it ended."""
    pid = child(action)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)  # a child that has ended is a zombie until it is waited for: no other process is hit
    return ended(pid)


def changes_of(action: Callable[[], object], note: Path, *, names: tuple[str, ...] = CHANGES) -> int:
    """How many changes to the disk ``action`` makes by the calls ``names``; ``note`` is a file to tell it in."""
    seen = 0

    def counting() -> None:
        def count(number: int) -> None:
            nonlocal seen
            seen = number

        _on_change(count, names=names)
        action()
        told = seen
        note.write_text(str(told))

    code = ended(child(counting))
    if code:
        raise AssertionError(f"the undisturbed run ended with {code}")
    return int(note.read_text())


def _on_change(act: Act, names: tuple[str, ...] = CHANGES) -> None:
    """Call ``act`` with 1, 2, … at every change this process makes by the calls ``names``."""
    count = 0

    def changed() -> None:
        nonlocal count
        count += 1
        act(count)

    def hooked(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def hook(*arguments: Any, **options: Any) -> Any:
            if name != "open" or (len(arguments) > 1 and arguments[1] & os.O_CREAT):
                changed()
            return real(*arguments, **options)

        return hook

    for name in names:
        if name != "write":
            setattr(os, name, hooked(getattr(os, name), name))
    opening = _opening(
        before_open=changed if "open" in names else lambda: None,
        before_write=changed if "write" in names else lambda: None,
    )
    builtins.open = io.open = opening


def _opening(*, before_open: Callable[[], None], before_write: Callable[[], None]) -> Any:
    """``open``, whose files call ``before_write`` before each write of theirs and half way through it."""
    real = io.open

    class Watched(io.FileIO):
        def write(self, data: Any) -> int:
            whole = memoryview(data).cast("B")
            before_write()
            if len(whole) < 2:
                return super().write(whole)
            done = super().write(whole[: len(whole) // 2])
            before_write()
            return done + super().write(whole[done:])

    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+"):
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(file, int):
            before_open()
        raw = Watched(file, mode.replace("b", "").replace("t", ""), closefd=closefd, opener=opener)
        if buffering == 0:
            return raw
        buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding or "utf-8", errors, newline)

    return opened
