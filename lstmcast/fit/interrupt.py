"""A polite stop: the first SIGINT or SIGTERM lets the running step finish and its checkpoint be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """``requested`` is 0, or the number of the signal that asked to stop."""

    def __init__(self) -> None:
        self.requested = 0


@contextmanager
def polite_stop() -> Iterator[Stop]:
    """Within the block the first signal only sets ``requested``; the second one acts as it always does."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, _: FrameType | None) -> None:
        stop.requested = number
        for each, handler in before.items():
            signal.signal(each, handler)

    try:
        for number in before:
            signal.signal(number, remember)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
