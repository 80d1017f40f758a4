"""Files and folders that are either the old ones or the new ones, never a part of either.

Written to a temporary sibling, fsynced, renamed. An interrupted or failed write leaves no litter behind.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lstmcast.errors import ResourceError

_LONG_DEAD = 2 * 86_400  # no write takes as long


@contextmanager
def replace_file(path: Path, *, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary sibling of ``path``; rename it into place when the block ends well.

    Text is UTF-8 with ``\\n`` line ends. Raises ``ResourceError`` when the disk is full or the place not writable.
    """
    with _resources(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path, seconds=_LONG_DEAD)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
            with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling folder; swap it in for ``path`` when the block ends well.

    A folder cannot be renamed over a non-empty one, so the old one first steps aside to ``.<name>.old``. If the process
    dies between the two renames, readers find it there (``whole_folder``) and the next writer puts it back. A symbolic
    link is followed: what it points to is replaced.
    """
    path = path.resolve()
    with _resources(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _recover(path)
        sweep(path, seconds=_LONG_DEAD)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        aside = _aside(path)
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    file.chmod(0o666 & ~_umask())
                    with file.open("rb") as opened:
                        os.fsync(opened.fileno())
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                path.rename(aside)
            temporary.rename(path)
            _sync_folder(path.parent)
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_together(staged: Mapping[Path, Path], *, journal: Path) -> None:
    """Put the file ``staged[path]`` in the place of every ``path``, in this order: all of them or none.

    Copies become temporary siblings first; then ``journal`` says what is about to be renamed, so that a run that dies
    between two renames is finished by ``finish_together``. Raises ``ResourceError``; nothing has changed then.
    """
    ready: dict[Path, Path] = {}
    try:
        for path, source in staged.items():
            ready[path] = _ready_sibling(path, source)
        with replace_file(journal) as file:
            json.dump([[str(temporary), str(path)] for path, temporary in ready.items()], file)
    except BaseException:
        for temporary in ready.values():
            temporary.unlink(missing_ok=True)
        raise
    finish_together(journal)


def finish_together(journal: Path) -> bool:
    """Carry out the renames ``journal`` tells of, if there is one; says whether there was."""
    if not journal.exists():
        return False
    with _resources(journal):
        pairs = [(Path(temporary), Path(path)) for temporary, path in json.loads(journal.read_text("utf-8"))]
        for temporary, path in pairs:
            if temporary.exists():
                temporary.replace(path)
        for folder in dict.fromkeys(path.parent for _, path in pairs):
            _sync_folder(folder)
        journal.unlink()
    return True


def sweep(path: Path, *, seconds: float = 0) -> int:
    """Remove what writers of ``path`` that were killed left beside it; the number of things removed.

    Only for the holder of a lock: a living writer would lose its work. Others sweep what is many ``seconds`` old.
    """
    return _removed(path.parent, re.escape(path.name), seconds)


def sweep_folder(folder: Path) -> int:
    """As ``sweep``, of whatever was being written in ``folder`` itself."""
    return _removed(folder, ".+", 0)


def _removed(folder: Path, name: str, seconds: float) -> int:
    newest = time.time() - seconds
    litter = re.compile(rf"\.{name}\.[A-Za-z0-9_]{{8}}\.tmp")
    found = [place for place in folder.iterdir() if litter.fullmatch(place.name)] if folder.is_dir() else []
    dead = [place for place in found if not seconds or place.stat().st_mtime < newest]
    for place in dead:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
    return len(dead)


def _ready_sibling(path: Path, source: Path) -> Path:
    """A synced copy of ``source`` beside ``path``, ready to be renamed."""
    with _resources(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file, source.open("rb") as content:
                shutil.copyfileobj(content, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return temporary


def whole_folder(path: Path) -> Path:
    """Where to read the folder ``path``: itself, or the old one aside if a swap died half-way. Changes nothing."""
    path = path.resolve()
    aside = _aside(path)
    return aside if aside.is_dir() and not path.exists() else path


def _recover(path: Path) -> None:
    """Undo a swap that died half-way: the old folder returns if the new one never arrived, else it is removed."""
    aside = _aside(path)
    if not aside.exists():
        return
    if path.exists():
        shutil.rmtree(aside)
    else:
        aside.rename(path)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@contextmanager
def _resources(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ResourceError(
                f"the disk is full: {path} could not be written; what was there before is intact",
                remedy="free some space, or write elsewhere with -o or -m",
            ) from error
        reason = error.strerror or str(error)
        raise ResourceError(f"{path} cannot be written: {reason}", remedy="write elsewhere with -o or -m") from error


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
