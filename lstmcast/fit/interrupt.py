"""A polite stop: the first SIGINT or SIGTERM lets the running step finish and its checkpoint be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lstmcast.errors import StoppedError


class Stop:
    """``requested`` is 0, or the number of the signal that asked to stop."""

    def __init__(self) -> None:
        self.requested = 0


@contextmanager
def polite_stop() -> Iterator[Stop]:
    """Within the block the first signal only sets ``requested``; the second one acts as it always does.

    A block inside another shares its ``Stop``: what was asked for between two steps is seen by the next one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Stop()  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    outer = next((handler for handler in before.values() if isinstance(handler, _Remember)), None)
    if outer is not None:
        yield outer.stop
        return
    remember = _Remember(before)
    try:
        for number in before:
            signal.signal(number, remember)
        yield remember.stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def answering_signals() -> Iterator[None]:
    """Within the block signals are left to its trainings; raises ``StoppedError`` for one that came after them."""
    with polite_stop() as stop:
        yield
    if stop.requested:
        raise StoppedError(
            "stopped after the last step; the checkpoints are saved",
            remedy="continue with the same command and --resume",
            signal_number=stop.requested,
        )


class _Remember:
    """A handler that notes the first signal, and leaves the second to the handlers that were there ``before``."""

    def __init__(self, before: Mapping[signal.Signals, Any]) -> None:
        self.stop, self._before = Stop(), before

    def __call__(self, number: int, _: FrameType | None) -> None:
        if not self.stop.requested:
            self.stop.requested = number
            return
        for each, handler in self._before.items():
            signal.signal(each, handler)
        signal.raise_signal(number)
