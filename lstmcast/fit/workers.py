"""Workers: tasks in processes of their own, side by side, whose reports and results come back to one."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, TypeVar, cast

import numpy as np
import torch

from lstmcast.errors import LstmcastError, ResourceError, StoppedError
from lstmcast.fit.interrupt import polite_stop
from lstmcast.outcome import OnProgress, Report

T = TypeVar("T")
Tell = Callable[[int, Report], None]

_LARGE = 1 << 20  # bytes of an array that is shared rather than copied
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 2.0  # for a process that has said its last word


def run(task: Callable[[int, OnProgress], T], count: int, *, processes: int, tell: Tell) -> list[T]:
    """The results of ``task(0)`` .. ``task(count - 1)``, in order, done in up to ``processes`` processes.

    ``task`` and its results must be picklable; its large arrays lie in temporary files that all processes read in
    common, so that another process costs no other copy of the data. A signal to this process is passed on, so that each
    task can save where it stands. Raises what a task raises, and ``ResourceError`` when a process dies or the files
    cannot be written.
    """
    with TemporaryDirectory(prefix="lstmcast-", ignore_cleanup_errors=True) as folder:
        return _run(_pack(task, Path(folder)), count, processes, tell)


def _run(parcel: Path, count: int, processes: int, tell: Tell) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    shares = [list(range(k, count, processes)) for k in range(min(processes, count))]
    running: dict[Connection, BaseProcess] = {}
    workers: list[BaseProcess] = []
    with polite_stop() as stop:
        try:
            for share in shares:
                mine, theirs = context.Pipe()
                worker: BaseProcess = context.Process(
                    target=_work, args=(theirs, parcel, share, torch.get_num_threads()), daemon=True
                )
                with _without_ctrl_c():
                    worker.start()
                theirs.close()
                running[mine] = worker
                workers.append(worker)
            return _collect(running, count, tell, lambda: stop.requested)
        finally:
            for worker in workers:
                worker.join(_PATIENCE_SECONDS)
                worker.kill()


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started within never hear of Ctrl-C: it reaches this one, which passes it on as another signal."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Packer(pickle.Pickler):
    """Pickles into a file, and large arrays into files beside it."""

    def __init__(self, file: IO[bytes], folder: Path) -> None:
        super().__init__(file)
        self._folder = folder
        self._paths: dict[int, str] = {}
        self._kept: list[Any] = []

    def persistent_id(self, value: Any) -> str | None:
        """The path of an array that is left out of the pickle."""
        if type(value) is not np.ndarray or value.dtype.hasobject or value.nbytes < _LARGE:
            return None
        if id(value) not in self._paths:
            path = self._folder / f"{len(self._paths)}.npy"
            np.save(path, value)
            self._paths[id(value)] = str(path)
            self._kept.append(value)  # an array that is gone would leave its id to another
        return self._paths[id(value)]


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, path: str) -> Any:
        """The array at ``path``; what is written into it, if anything, is seen by this process alone."""
        return np.load(path, mmap_mode="c").view(np.ndarray)


def _pack(task: Callable[..., Any], folder: Path) -> Path:
    path = folder / "task"
    try:
        with path.open("wb") as file:
            _Packer(file, folder).dump(task)
    except OSError as error:
        raise ResourceError(
            f"the data cannot be shared with other processes: {folder}: {error.strerror or error}",
            remedy="free some space, name another place with TMPDIR, or train in one process with --threads 1",
        ) from error
    return path


def _unpack(parcel: Path) -> Callable[[int, OnProgress], Any]:
    with parcel.open("rb") as file:
        task: Callable[[int, OnProgress], Any] = _Unpacker(file).load()
    return task


def _collect(running: dict[Connection, BaseProcess], count: int, tell: Tell, requested: Callable[[], int]) -> list[Any]:
    results: list[Any] = [None] * count
    waiting, failure = set(running), None
    listening: dict[Connection, BaseProcess] = {}  # those that save before they stop
    while waiting:
        if requested() or failure is not None:
            _stop(listening)
        for connection in wait(list(waiting), timeout=_POLL_SECONDS):
            waiting_for = cast(Connection, connection)
            try:
                kind, number, content = pickle.loads(waiting_for.recv_bytes())  # noqa: S301  # our own process
            except EOFError:
                kind, number, content = "end", -1, StoppedError("stopped", remedy=_AGAIN) if requested() else _DIED
            if kind == "ready":
                listening[waiting_for] = running[waiting_for]
            elif kind == "report":
                tell(number, content)
            elif kind == "result":
                results[number] = content
            else:
                waiting.discard(waiting_for)
                failure = failure or content
    if failure is not None:
        if isinstance(failure, StoppedError) and requested():
            failure.signal_number = requested()
        raise failure
    return results


_AGAIN = "run the same command again"
_DIED = ResourceError(
    "a training process ended without a word, as one does that the system has killed",
    remedy="free some memory, or train with --members 1; --resume continues where it stood",
)


def _stop(listening: dict[Connection, BaseProcess]) -> None:
    """Ask every process to finish its step, save and stop; only once, for the second time would kill."""
    for worker in listening.values():
        if worker.is_alive():
            worker.terminate()
    listening.clear()


def _work(connection: Connection, parcel: Path, numbers: list[int], threads: int) -> None:
    """The life of a process: one task after the other, then a last word.

    The first SIGTERM stops it politely, further ones say nothing new: a service manager sends one to every process.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(threads)

    def send(kind: str, number: int, content: Any) -> None:
        connection.send_bytes(pickle.dumps((kind, number, content)))

    try:
        with polite_stop():
            send("ready", -1, None)
            task = _unpack(parcel)
            for number in numbers:
                send("result", number, task(number, partial(send, "report", number)))
        send("end", -1, None)
    except LstmcastError as error:
        send("end", -1, error)
