"""Roads: which sources are read in blocks and which as a whole, and what is too large for either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lstmcast.data.blocks import SIZE, NotPlainError, blocks
from lstmcast.data.cells import Cells
from lstmcast.data.findings import RefusedError, refuse
from lstmcast.data.journey import Journey
from lstmcast.data.room import memory
from lstmcast.data.sources import STDIN, expand, is_url
from lstmcast.data.stream import Stream

LARGE = 2 * SIZE
"""Bytes on the disk from which on files are read in blocks."""

MANY = 20
"""Files from which on they are read in blocks, however small."""

_PACKED_LIKE = 20
"""Times as long as on the disk that a packed file may become without its columns being moved."""

_HELD = 8
"""Times its size that a file takes in memory when it is read as a whole."""


def streamed(sources: Sequence[str], journey: Journey) -> Cells | None:
    """The cells of files that are large or many, and plain; None for all others."""
    paths = _files(sources)
    if journey.future or paths is None:
        return None
    size = sum(Path(path).stat().st_size for path in paths)
    if size < LARGE and len(paths) < MANY:
        return None
    room = size * (_PACKED_LIKE if any(path.endswith((".gz", ".zst")) for path in paths) else 1)
    stream = Stream(paths, journey, room=room)
    asked = journey.settings.encoding or (journey.stored.dialect.encoding if journey.stored else None)
    begun = 1
    try:
        for block in blocks(paths, stream.digest, encoding=asked):
            begun = block.first_line
            stream.take(block)
            if stream.remembered():
                break
        return stream.cells()
    except NotPlainError as error:
        _refuse_large(stream.label, size, error, line=begun)
        return None
    finally:
        stream.tidy()


def _refuse_large(label: str, size: int, error: NotPlainError, *, line: int) -> None:
    """Raise ``RefusedError`` where there is no memory for reading as a whole what cannot be read in blocks."""
    needed = _HELD * size
    if needed <= memory():
        return
    if isinstance(error.__cause__, RefusedError):
        raise error.__cause__
    room = f"about {needed / 1e9:.1f} GB of memory, of {memory() / 1e9:.1f}"
    raise refuse(
        "too-large", f"{label}, after line {line}, {error}; reading it so takes {room}", fix=error.fix, line=line
    )


def _files(sources: Sequence[str]) -> list[str] | None:
    """The paths, if all of them are files that can be read again."""
    if any(source == STDIN or is_url(source) for source in sources):
        return None
    try:
        paths = expand(sources)
    except RefusedError:
        return None
    return paths if all(Path(path).is_file() for path in paths) else None
