"""Shelf: columns of large files, kept in the cache folder by the hash of the file and the way it is read.

Nothing here is needed: what is gone is read from the file again. An entry is written beside its place and renamed; it
belongs to one content, so that a file that has changed never finds it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lstmcast.data.room import cache_folder

FORMAT = 2
_FACTS = "facts.json"
_LONG_DEAD = 2 * 86_400


class Shelf:
    """The entries of one way of reading, ``plan``; all entries together take ``limit`` bytes at most."""

    def __init__(self, plan: Mapping[str, Any], *, limit: int) -> None:
        text = json.dumps({**plan, "format": FORMAT}, sort_keys=True, default=str)
        self._plan, self._limit = hashlib.sha256(text.encode()).hexdigest()[:16], limit
        self._folder = cache_folder(os.environ) / "columns"

    def find(self, paths: Sequence[str]) -> tuple[str, Path, dict[str, Any]] | None:
        """The sha256 of the files, their entry and its facts, if there is one."""
        size = sum(Path(path).stat().st_size for path in paths)
        if not any(facts.get("size") == size for _, facts in self._entries(f"{self._plan}-*")):
            return None
        digest = hashlib.sha256()
        for path in paths:
            with Path(path).open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        fingerprint = digest.hexdigest()
        for folder, facts in self._entries(f"{self._plan}-{fingerprint}"):
            os.utime(folder)
            return fingerprint, folder, facts
        return None

    def draft(self) -> Path:
        """A new folder for columns that are being read."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(".draft-*"):
            if time.time() - left.stat().st_mtime > _LONG_DEAD:
                shutil.rmtree(left, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=".draft-", dir=self._folder))

    def keep(self, draft: Path, fingerprint: str, facts: Mapping[str, Any]) -> None:
        """The columns in ``draft`` become the entry of ``fingerprint``; the oldest entries make room for it."""
        (draft / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
        for file in draft.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        place = self._folder / f"{self._plan}-{fingerprint}"
        if _size(draft) > self._limit or place.exists():
            shutil.rmtree(draft, ignore_errors=True)
            return
        draft.replace(place)
        entries = sorted((folder for folder, _ in self._entries("*-*")), key=lambda folder: folder.stat().st_mtime)
        held = sum(map(_size, entries))
        for folder in entries:
            if held > self._limit and folder != place:
                held -= _size(folder)
                shutil.rmtree(folder, ignore_errors=True)

    def _entries(self, pattern: str) -> list[tuple[Path, dict[str, Any]]]:
        found = []
        for folder in self._folder.glob(pattern):
            try:
                found.append((folder, json.loads((folder / _FACTS).read_text(encoding="utf-8"))))
            except (OSError, ValueError):
                continue  # taken away meanwhile, or no entry of ours
        return found


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir()) if folder.exists() else 0
