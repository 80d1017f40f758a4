"""Blocks: files in pieces of whole lines, unpacked and hashed on the way, so that no file is ever held as a whole."""

from __future__ import annotations

import codecs
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from lstmcast.data.decoding import marked
from lstmcast.data.sources import GZIP_MAGIC, ZSTANDARD_MAGIC

SIZE = 4 * 2**20
"""Bytes of a block, unpacked."""

_PACKED_AT_ONCE = 2**16
_COMMENT = re.compile(rb"(?m)^#.*")
_LONGEST_LINE = 16 * SIZE


class Digest(Protocol):
    """A hash that takes in bytes."""

    def update(self, data: bytes, /) -> None: ...


class NotPlainError(Exception):
    """The files are not of the kind that is read in blocks: ``why``, as the end of a sentence, and what mends it."""

    def __init__(
        self, why: str = "is not written plainly", *, fix: str = "split it, or export it as plain UTF-8"
    ) -> None:
        super().__init__(why)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of the file number ``origin``, from the 1-based ``first_line`` on; ``last``: nothing follows them.

    ``text`` is UTF-8, whatever the ``encoding`` of the file.
    """

    text: bytes
    origin: int
    first_line: int
    last: bool
    encoding: str


def blocks(paths: Sequence[str], digest: Digest, *, encoding: str | None = None) -> Iterator[Block]:
    """The lines of all files in order, with ``\\n`` line ends; ``digest`` takes in the bytes as they lie on the disk.

    ``encoding`` is that of files without a byte order mark. No line break within quotes ends a block. Raises
    ``NotPlainError`` for what is no text, or damaged.
    """
    for origin, path in enumerate(paths):
        line, rest = 1, b""
        raw = _pieces(path, digest)
        start = next(raw, b"")
        found = marked(start) or encoding or "utf-8"
        pieces = _recoded(chain([start], raw), found)
        piece: bytes | None = next(pieces, b"").removeprefix(codecs.BOM_UTF8)
        while piece is not None:
            following = next(pieces, None)
            text = rest + piece if rest else piece
            cut = len(text) if following is None else _end_of_line(text)
            rest, piece = text[cut:], following
            if len(rest) > _LONGEST_LINE:
                raise NotPlainError
            if cut:
                text = _plain(text[:cut] if rest else text)
                yield Block(text, origin, line, last=following is None, encoding=found)
                line += text.count(b"\n")


def _pieces(path: str, digest: Digest) -> Iterator[bytes]:
    """The unpacked bytes of a file, at least ``SIZE`` of them at a time but for the last."""
    with Path(path).open("rb") as file:
        magic = file.read(len(ZSTANDARD_MAGIC))
        file.seek(0)
        if magic.startswith(GZIP_MAGIC) or magic == ZSTANDARD_MAGIC:
            raw = iter(lambda: _hashed(file.read(_PACKED_AT_ONCE), digest), b"")
            yield from _gathered(_gunzipped(raw) if magic.startswith(GZIP_MAGIC) else _unpacked_zstandard(raw))
            return
        while data := file.read(SIZE):
            yield _hashed(data, digest)


def _recoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The pieces in UTF-8."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)  # takes none of the codecs that are not for texts
        if codecs.lookup(encoding).name == "utf-8":
            yield from pieces
            return
        decoder = codecs.getincrementaldecoder(encoding)()
        yield from _gathered(decoder.decode(piece, final=not piece).encode() for piece in chain(pieces, [b""]))
    except (LookupError, UnicodeError) as error:
        raise NotPlainError(f"is not {encoding}", fix="name what it is with --encoding") from error


def _hashed(data: bytes, digest: Digest) -> bytes:
    digest.update(data)
    return data


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    kept, size = [], 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        if size >= SIZE:
            yield b"".join(kept)
            kept, size = [], 0
    if kept:
        yield b"".join(kept)


def _gunzipped(raw: Iterator[bytes]) -> Iterator[bytes]:
    unpacker, begun = zlib.decompressobj(31), False
    try:
        for data in raw:
            while data:
                if unpacker.eof:
                    data = data.lstrip(b"\0")
                    unpacker, begun = zlib.decompressobj(31), False
                    continue
                yield unpacker.decompress(data, SIZE)
                begun = True
                data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        if begun:
            yield unpacker.flush()
    except zlib.error as error:
        raise NotPlainError from error
    if begun and not unpacker.eof:
        raise NotPlainError


def _unpacked_zstandard(raw: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    unpacker, begun = zstandard.ZstdDecompressor().decompressobj(), False
    try:
        for data in raw:
            while data:
                if unpacker.eof:
                    unpacker = zstandard.ZstdDecompressor().decompressobj()
                yield unpacker.decompress(data)
                begun = True
                data = unpacker.unused_data
    except zstandard.ZstdError as error:
        raise NotPlainError from error
    if not begun or not unpacker.eof:
        raise NotPlainError


def _end_of_line(text: bytes) -> int:
    """Where the last line ends whose quotes are closed; 0 if none does."""
    cut = text.rfind(b"\n") + 1
    if b'"' in text and b"#" in text:  # quotes in comments open nothing
        text = _COMMENT.sub(lambda found: b"#" * len(found[0]), text)
    if b'"' in text and text.count(b'"', 0, cut) % 2:
        cut = text.rfind(b"\n", 0, text.rfind(b'"', 0, cut)) + 1
    return cut


def _plain(text: bytes) -> bytes:
    """The text with ``\\n`` line ends."""
    if b"\0" in text:
        raise NotPlainError("holds NUL bytes")
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
        if b"\r" in text:
            raise NotPlainError("has line ends of several kinds")
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise NotPlainError("is not UTF-8", fix="--encoding cp1252") from error
    return text
