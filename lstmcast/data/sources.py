"""Sources: from the paths a person typed to named bytes. Files, globs, ``.gz`` and ``-`` for standard input."""

from __future__ import annotations

import difflib
import glob
import gzip
import hashlib
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lstmcast.data.findings import RefusedError, refuse

GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Source:
    """One input: the ``label`` messages use, the ``stem`` a series without an id is named after, its bytes."""

    label: str
    stem: str
    data: bytes


def open_sources(sources: Sequence[str]) -> tuple[list[Source], str]:
    """The bytes of every source, and the sha256 of what was read (before decompression).

    Raises ``RefusedError`` for a missing, unreadable, empty or damaged file.
    """
    digest = hashlib.sha256()
    opened = []
    for path in _expand(sources):
        raw = _bytes(path)
        digest.update(raw)
        opened.append(Source(label=path, stem=_stem(path), data=_unpacked(raw, path)))
    return _distinct(opened), digest.hexdigest()


def _expand(sources: Sequence[str]) -> list[str]:
    if not sources:
        raise refuse("no-data", "no data file was named", fix="name a CSV file, a glob, or - for standard input")
    paths: list[str] = []
    for source in sources:
        if source == "-" or not glob.has_magic(source) or Path(source).exists():
            paths.append(source)
            continue
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not found:
            raise refuse("no-such-file", f"no file matches {source!r}", fix="check the pattern and its quotes")
        paths += found
    return list(dict.fromkeys(paths))


def _bytes(path: str) -> bytes:
    if path == "-":
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
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise refuse("damaged-gzip", f"{path} is a damaged gzip file: {error}", fix="fetch the file again") from error


def _stem(path: str) -> str:
    if path == "-":
        return "stdin"
    name = Path(path).name.removesuffix(".gz")
    return Path(name).stem or name


def _distinct(opened: list[Source]) -> list[Source]:
    """Files of one name in several folders keep their folder in the name of their series."""
    seen = Counter(source.stem for source in opened)
    return [Source(source.label, source.label, source.data) if seen[source.stem] > 1 else source for source in opened]
