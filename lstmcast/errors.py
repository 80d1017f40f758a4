"""Every error a user can cause, and the exit code it leaves behind.

    LstmcastError
    ├── UsageError       2   command line or configuration
    ├── DataError        3   the input cannot be used as it is
    ├── ModelError       4   model missing, corrupt, too new, or not made for this data
    ├── DivergedError    5   training diverged after its retry; the old model is kept
    ├── ResourceError    7   memory, device, disk, permissions
    ├── TooShortError   12   too little history in every series
    ├── BusyError       75   try later: the lock is held, or the input is still being written
    └── StoppedError   130   SIGINT (143: SIGTERM) after the checkpoint was saved

A message is a sentence: what, where (file, line, series, column) and why. ``remedy`` is the flag or command that
mends it; it is printed as the last line.
"""

from __future__ import annotations

from typing import ClassVar

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class LstmcastError(Exception):
    """Base of all errors with a remedy. ``remedy`` may be empty only where nothing can be done."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UsageError(LstmcastError):
    exit_code = 2


class DataError(LstmcastError):
    exit_code = 3


class ModelError(LstmcastError):
    exit_code = 4


class DivergedError(LstmcastError):
    exit_code = 5


class ResourceError(LstmcastError):
    exit_code = 7


class TooShortError(LstmcastError):
    exit_code = 12


class BusyError(LstmcastError):
    exit_code = 75


class StoppedError(LstmcastError):
    """Training stopped by a signal after its checkpoint was saved; ``signal_number`` decides 130 or 143."""

    exit_code = 130

    def __init__(self, message: str, *, remedy: str = "", signal_number: int = 2) -> None:
        super().__init__(message, remedy=remedy)
        self.signal_number = signal_number


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is how Python, torch or CUDA say that the memory is full."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _NO_MEMORY)
