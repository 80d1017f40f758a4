"""Sources: from what a person named to named bytes or typed tables.

Files and globs, ``-`` for standard input, packed with gzip or zstandard or not; Parquet files and folders of them; and
databases. What a file is shows in its first bytes, not in its name.
"""

from __future__ import annotations

import difflib
import glob
import gzip
import hashlib
import sys
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcast.data import database, parquet
from lstmcast.data.database import is_url
from lstmcast.data.findings import RefusedError, refuse

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Source", "expand", "is_there", "is_url", "lasting", "open_sources", "stems"]

GZIP_MAGIC = b"\x1f\x8b"
ZSTANDARD_MAGIC = b"\x28\xb5\x2f\xfd"
STDIN = "-"
_PACKED = (".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Source:
    """One input: the ``label`` messages use, the ``stem`` a series without an id is named after, and what it holds.

    ``data`` are the bytes of a text; where cells have types of their own, they are in ``table`` and ``data`` is empty.
    """

    label: str
    stem: str
    data: bytes
    table: pa.Table | None = None


def open_sources(
    sources: Sequence[str], *, query: str | None = None, parameters: Mapping[str, str] | None = None
) -> tuple[list[Source], str]:
    """What every source holds, and the sha256 of what was read (before decompression).

    ``query`` and its ``parameters`` are put to the databases among them. Raises ``RefusedError`` for a missing,
    unreadable, empty or damaged source, ``UsageError`` for a query that cannot be put.
    """
    digest = hashlib.sha256()
    opened = []
    for source in expand(sources):
        if is_url(source):
            asked = database.asked(source, query=query, parameters=parameters)
            table = database.fetch(asked)
            parquet.fingerprint(table, digest)
            opened.append(Source(label=asked.label, stem=asked.stem, data=b"", table=table))
        elif source != STDIN and (files := parquet.files_below(source)):
            for file in files:
                digest.update(_bytes(str(file)))
            table = parquet.read_folder(source, files)
            opened.append(Source(label=source, stem=Path(source).resolve().name, data=b"", table=table))
        else:
            raw = _bytes(source)
            digest.update(raw)
            opened.append(_opened(source, raw))
    return _distinct(opened), digest.hexdigest()


def lasting(source: str, *, query: str | None = None, parameters: Mapping[str, str] | None = None) -> str:
    """How a model remembers a source, so that it can be read again from anywhere; without its password."""
    if source == STDIN:
        return source
    if is_url(source):
        return database.asked(source, query=query, parameters=parameters).lasting()
    return str(Path(source).absolute())


def is_there(source: str) -> bool:
    """Whether a remembered source can probably be read again; a server is not asked."""
    if source == STDIN:
        return False
    if is_url(source):
        url = database.address(database.asked(source).url)
        return url.drivername != database.SQLITE or Path(url.database or "").is_file()
    return Path(source).exists() or (glob.has_magic(source) and bool(glob.glob(source, recursive=True)))  # noqa: PTH207


def _opened(source: str, raw: bytes) -> Source:
    label = "standard input" if source == STDIN else source
    data = _unpacked(raw, label)
    if data.startswith(parquet.MAGIC):
        return Source(label=label, stem=_stem(source), data=b"", table=parquet.read(data, label=label))
    return Source(label=label, stem=_stem(source), data=data)


def expand(sources: Sequence[str]) -> list[str]:
    """What the patterns among them stand for, each only once."""
    if not sources:
        raise refuse("no-data", "no data file was named", fix="name a CSV file, a glob, or - for standard input")
    paths: list[str] = []
    for source in sources:
        if source == STDIN or is_url(source) or not glob.has_magic(source) or Path(source).exists():
            paths.append(source)
            continue
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not found:
            raise refuse("no-such-file", f"no file matches {source!r}", fix="check the pattern and its quotes")
        paths += found
    return list(dict.fromkeys(paths))


def _bytes(path: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None
    except IsADirectoryError:
        raise refuse("is-a-folder", f"{path} is a folder", fix=f"name its files: '{path.rstrip('/')}/*.csv'") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise refuse("unreadable", f"{path} cannot be read: {reason}", fix="check the path and its rights") from error


def _missing(path: str) -> RefusedError:
    folder = Path(path).parent
    siblings = [entry.name for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else []
    close = difflib.get_close_matches(Path(path).name, siblings, n=1)
    fix = f"did you mean {folder / close[0]}?" if close else "check the path"
    return refuse("no-such-file", f"there is no file {path}", fix=fix)


def _unpacked(raw: bytes, path: str) -> bytes:
    if raw.startswith(ZSTANDARD_MAGIC):
        return _unpacked_zstandard(raw, path)
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise refuse("damaged-gzip", f"{path} is a damaged gzip file: {error}", fix="fetch the file again") from error


def _unpacked_zstandard(raw: bytes, path: str) -> bytes:
    import zstandard

    parts, rest = [], raw
    while rest:
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            parts.append(frame.decompress(rest))
        except zstandard.ZstdError as error:
            raise refuse(
                "damaged-zstandard", f"{path} is a damaged zstandard file: {error}", fix="fetch the file again"
            ) from error
        if not frame.eof:
            raise refuse(
                "damaged-zstandard", f"{path} is a damaged zstandard file: it ends early", fix="fetch the file again"
            )
        rest = frame.unused_data
    return b"".join(parts)


def _stem(path: str) -> str:
    if path == STDIN:
        return "stdin"
    name = Path(path).name
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return Path(name).stem or name


def _distinct(opened: list[Source]) -> list[Source]:
    names = _alone([source.label for source in opened], [source.stem for source in opened])
    return [replace(source, stem=name) for source, name in zip(opened, names, strict=True)]


def stems(paths: Sequence[str]) -> tuple[str, ...]:
    """What the series of these files are called where no column names them."""
    return _alone(paths, [_stem(path) for path in paths])


def _alone(labels: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Files of one name in several folders keep their folder in the name of their series."""
    seen = Counter(names)
    return tuple(label if seen[name] > 1 else name for label, name in zip(labels, names, strict=True))
