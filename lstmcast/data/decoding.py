"""Decoding: the bytes of a source to text. Byte order marks, encoding, line ends."""

from __future__ import annotations

import codecs

from lstmcast.data.findings import refuse
from lstmcast.data.sources import Source
from lstmcast.errors import UsageError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNDEFINED_IN_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")


def decode(source: Source, encoding: str | None) -> tuple[str, str]:
    """The text of a source with ``\\n`` line ends and no byte order mark, and the encoding it was read with.

    Raises ``RefusedError`` naming the line and the bytes that do not fit, ``UsageError`` for an unknown encoding.
    """
    if (found := marked(source.data)) is not None:
        return _decoded(source, "utf-8-sig" if found == "utf-8" else found), found
    return _decoded(source, encoding or "utf-8"), encoding or "utf-8"


def marked(data: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning names."""
    return next((found for bom, found in _BOMS if data.startswith(bom)), None)


def _decoded(source: Source, encoding: str) -> str:
    try:
        text = source.data.decode(encoding)
    except LookupError:
        raise UsageError(f"there is no text encoding called {encoding!r}", remedy="try --encoding cp1252") from None
    except UnicodeDecodeError as error:
        raise _undecodable(source, encoding, error) from error
    except UnicodeError as error:
        raise refuse("encoding", f"{source.label} is not {encoding}: {error}", fix="--encoding cp1252") from error
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        halves = source.data[:200].count(0) * 3 >= len(source.data[:200])
        order = "be" if source.data[:1] == b"\0" else "le"
        fix = f"--encoding utf-16-{order}" if halves else "export the file again as text"
        raise refuse("nul-bytes", f"{source.label} line {line} holds a NUL byte; it is no CSV text", fix=fix, line=line)
    if not text.strip():
        raise refuse("empty-file", f"{source.label} is empty", fix="name a CSV file with a header and rows")
    return text


def _undecodable(source: Source, encoding: str, error: UnicodeDecodeError) -> Exception:
    line = source.data.count(b"\n", 0, error.start) + 1
    shown = source.data[max(error.start - 8, 0) : error.start + 4]
    if b"\0" in source.data[:1000]:
        return refuse("binary", f"{source.label} is not a text file (line {line})", fix="name a CSV file", line=line)
    other = "cp1252" if not _UNDEFINED_IN_CP1252 & set(source.data) else _japanese(source.data) or "latin-1"
    return refuse(
        "encoding",
        f"{source.label} line {line} is not {encoding}: {shown!r}",
        fix=f"--encoding {other}",
        line=line,
    )


def _japanese(data: bytes) -> str | None:
    """The encoding of a text with hiragana or katakana, or Chinese characters, as Japanese programs write it."""
    try:
        text = data.decode("cp932")
    except UnicodeDecodeError:
        return None
    foreign = [sign for sign in text if not sign.isascii()]
    return "cp932" if all("\u3000" <= sign <= "\u9fff" or "\uff00" <= sign <= "\uffef" for sign in foreign) else None
