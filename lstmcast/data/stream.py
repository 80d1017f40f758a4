"""Stream: large or many plain files into columns, block by block, so that no text is held as a whole.

What is not plain (units around numbers, ragged lines) raises ``NotPlainError``, and is read by ``whole``, which knows
what to say about it; both give the same cells.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data import plain
from lstmcast.data.blocks import SIZE, Block, NotPlainError
from lstmcast.data.cells import Cells
from lstmcast.data.column_names import refuse_others
from lstmcast.data.columnar import Column, Texts
from lstmcast.data.counting import Counting, Places
from lstmcast.data.dialect import Dialect
from lstmcast.data.findings import Finding, RefusedError
from lstmcast.data.frame import NAMELESS, Body, load, spellings, split_header
from lstmcast.data.journey import Journey
from lstmcast.data.marks import is_doubtful_anywhere
from lstmcast.data.opening import Opening, opened
from lstmcast.data.plain import Plan
from lstmcast.data.shelf import Shelf
from lstmcast.data.sources import stems
from lstmcast.data.surroundings import comments_left_out, is_footer_text, without_comments
from lstmcast.data.whole import trimmed
from lstmcast.errors import ResourceError

_MOST_ROOM = 2**27
"""Rows for which room is reserved at first."""


@dataclass(slots=True)
class _Stretch:
    """Consecutive ``lines`` of one source."""

    origin: int
    lines: Places


@dataclass(slots=True)
class Stream:
    """What was read so far: its ``opening`` once the first block was seen, growing ``columns``, lines not yet read.

    ``comments`` are for each source the number of them and the line of the first; ``top`` is its first block.
    """

    paths: list[str]
    journey: Journey
    room: int
    digest: Any = field(default_factory=hashlib.sha256)
    opening: Opening | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    top: bytes = b""
    comments: dict[int, list[int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    stretches: list[_Stretch] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    gathered: int = 0
    unasked: bool = True
    fingerprint: str = ""
    draft: Path | None = None

    @property
    def label(self) -> str:
        return self.paths[0] if len(self.paths) == 1 else f"{len(self.paths)} files"

    def take(self, block: Block) -> None:
        """The rows of a block."""
        rows, first_line = self._without_comments(block), block.first_line
        if first_line == 1:
            text = rows.decode()
            if self.opening is None:
                self._begin(text, encoding=block.encoding, whole=block.last)
            body = split_header(text, self._dialect, label=self.paths[block.origin])
            if body.names != tuple(self._plan.kinds):
                refuse_others(self.paths[block.origin], body.names, self.paths[0], list(self._plan.kinds))
                raise NotPlainError("has its columns in another order than the other files")
            rows, first_line = body.text.encode(), body.first_line
        if self._opening.watched and is_doubtful_anywhere(rows.decode("utf-8")):
            raise NotPlainError("holds a number such as 1.234 that can be read two ways", fix="--decimal .  # or ,")
        if len(self.paths) > 1:
            self._join(block.origin, rows, first_line, last=block.last)
        elif rows:
            self._add(rows, first_line, last=block.last)

    def _without_comments(self, block: Block) -> bytes:
        if block.first_line == 1:
            self.top = block.text
        if b"#" not in block.text or not (block.text[:1] == b"#" or b"\n#" in block.text):
            return block.text
        text, lines = without_comments(block.text.decode(), top=self.top.decode())
        if lines:
            self.comments.setdefault(block.origin, [0, block.first_line + lines[0] - 1])[0] += len(lines)
        return text.encode()

    def remembered(self) -> bool:
        """Whether these very files were read before, and their columns kept."""
        if not self.unasked or self.opening is None:
            return False
        self.unasked = False
        found = self._shelf().find(self.paths)
        if found is None:
            return False
        self.fingerprint, folder, facts = found
        rows = sum(size for _, _, size in facts["stretches"])
        try:
            kept = {name: Column.kept(folder / str(k), facts["types"][k]) for k, name in enumerate(self.columns)}
        except (OSError, ValueError):  # the cache may be emptied, or damaged, at any time
            kept = {}
        if not kept or any(column.size != rows for column in kept.values()):
            shutil.rmtree(folder, ignore_errors=True)
            return False
        self.columns, self.waiting = kept, []
        self.comments = {int(origin): told for origin, told in facts["comments"].items()}
        self._plan.texts = {name: Texts(texts) for name, texts in facts["texts"].items()}
        self._plan.spelled = {name: Counter(counts) for name, counts in facts["spelled"].items()}
        self.stretches = [_Stretch(origin, Counting(size, first=first)) for origin, first, size in facts["stretches"]]
        return True

    def tidy(self) -> None:
        """Leave no draft behind; what is mapped from it stays readable."""
        for column in self.columns.values():
            column.close()
        if self.draft is not None:
            shutil.rmtree(self.draft, ignore_errors=True)

    def _shelf(self) -> Shelf:
        plan = self._plan
        way = {
            "dialect": plan.dialect.model_dump(),
            "kinds": plan.kinds,
            "stamp": plan.stamp,
            "watched": self._opening.watched,
        }
        return Shelf(way, limit=self.journey.settings.cache_gb * 10**9)

    def _move(self) -> None:
        """Columns that have become large go on in files of the cache."""
        above = self.journey.settings.cache_above_mb * 10**6
        if self.draft is not None or not above or sum(column.nbytes for column in self.columns.values()) < above:
            return
        try:
            self.draft = self._shelf().draft()
            for place, column in enumerate(self.columns.values()):
                column.move_to(self.draft / str(place))
        except OSError as error:
            raise ResourceError(
                f"the columns of {self.label} cannot be kept in the cache folder: {error.strerror or error}",
                remedy="make room there, name another folder by XDG_CACHE_HOME, or --set reader.cache_above_mb=0",
            ) from error

    def _keep(self) -> None:
        """The columns stay for the next run where nothing but them is needed to read the files again."""
        plain_lines = [part.lines for part in self.stretches if isinstance(part.lines, Counting)]
        if self.draft is None or self.findings or len(plain_lines) < len(self.stretches):
            return
        facts = {
            "size": sum(Path(path).stat().st_size for path in self.paths),
            "types": [column.dtype.name for column in self.columns.values()],
            "texts": {name: texts.all() for name, texts in self._plan.texts.items()},
            "spelled": self._plan.spelled,
            "comments": self.comments,
            "stretches": [
                (part.origin, lines.first, lines.size) for part, lines in zip(self.stretches, plain_lines, strict=True)
            ],
        }
        self._shelf().keep(self.draft, self.fingerprint, facts)

    def cells(self) -> Cells:
        """Everything that was read."""
        self._read_waiting()
        if self.opening is None or not self.stretches or not sum(len(part.lines) for part in self.stretches):
            raise NotPlainError
        self.fingerprint = self.fingerprint or self.digest.hexdigest()
        frame, lines = self._frame(), self._lines()
        self._keep()
        if len(self.paths) == 1:
            ((frame, lines, found),) = trimmed([self.label], [(frame, lines, [])], self.opening.time)
            self.findings += found
        self.journey.say(*self.opening.said)
        self.journey.findings += [
            *(comments_left_out(self.paths[origin], count, first) for origin, (count, first) in self.comments.items()),
            *self.findings,
        ]
        self.journey.fingerprint = self.fingerprint
        spelled = self._plan.spelled
        return Cells(
            frame=frame,
            lines=lines,
            origin=self._origin(len(frame)),
            stems=stems(self.paths),
            dialect=self._dialect,
            names=tuple(self._plan.kinds),
            looks=self.opening.looks,
            time=self.opening.time,
            spelled=lambda names: sum((spelled.get(name, Counter()) for name in names), Counter()),
            stamped=self.opening.stamped,
        )

    @property
    def _opening(self) -> Opening:
        if self.opening is None:
            raise NotPlainError
        return self.opening

    def _begin(self, text: str, *, encoding: str, whole: bool) -> None:
        self.opening = opened(text, self.journey, label=self.paths[0], encoding=encoding, whole=whole)
        names = self.opening.plan.kinds
        most = self.journey.settings.cache_above_mb * 10**6 // 8 or _MOST_ROOM
        # a row has a delimiter or a line break for each of its cells
        room = min(self.room // len(names) + 1, most)
        self.columns = {name: Column(plain.TYPES[kind], room=room) for name, kind in names.items()}

    @property
    def _plan(self) -> Plan:
        return self._opening.plan

    @property
    def _dialect(self) -> Dialect:
        return self._plan.dialect

    def _join(self, origin: int, text: bytes, first_line: int, *, last: bool) -> None:
        """Small files wait until there are enough of them for a block."""
        if last and not text.endswith(b"\n"):
            text += b"\n"
        if last and is_footer_text(text[text.rfind(b"\n", 0, -1) + 1 :].decode().strip()):
            raise NotPlainError
        if not text.strip() or b"\n\n" in text:
            raise NotPlainError
        self.waiting.append(text)
        lines = Counting(text.count(b"\n"), first=first_line)
        self.stretches.append(_Stretch(origin, lines))
        self.gathered += len(text)
        if self.gathered >= SIZE:
            self._read_waiting()

    def _read_waiting(self) -> None:
        if self.waiting:
            arrays = plain.parsed(b"".join(self.waiting), self._plan)
            if arrays is None:
                raise NotPlainError
            self._append(arrays)
            self.waiting, self.gathered = [], 0

    def _add(self, text: bytes, first_line: int, *, last: bool) -> None:
        """The rows of lines of the only file."""
        arrays = plain.parsed(text, self._plan)
        if arrays is None:
            arrays, lines = self._loaded(Body(tuple(self._plan.kinds), text.decode(), first_line), last=last)
        else:
            lines = Counting(len(next(iter(arrays.values()))), first=first_line)
        self._append(arrays)
        self.stretches.append(_Stretch(0, lines))

    def _loaded(self, body: Body, *, last: bool) -> tuple[dict[str, NDArray[Any]], Places]:
        """Lines that are not plain, read as ``whole`` would; those that are no rows of the table are left out."""
        texts, ids = self._opening.as_text
        try:
            frame, lines, found = load(body, self._dialect, label=self.label, as_text=texts, whole_text=ids)
        except RefusedError as error:
            raise NotPlainError from error
        if (found and not last) or not set(frame.columns) <= set(body.names):
            raise NotPlainError
        self.findings += found
        arrays = {}
        counted = [name for name, kind in self._plan.kinds.items() if kind in {"number", "whole", "text"}]
        for name in [name for name in counted if name in frame and frame[name].isna().any()]:
            counts = spellings(body, self._dialect, label=self.label, names=[name], lines=lines)
            self._plan.spelled.setdefault(name, Counter()).update(counts)
        for name, kind in self._plan.kinds.items():
            column = frame[name] if name in frame else pd.Series(np.full(len(frame), np.nan))
            if kind in {"number", "whole"}:
                if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
                    raise NotPlainError(f"holds words in column {name!r}, which are no numbers")
                arrays[name] = column.to_numpy()
            else:
                arrays[name] = plain.numbered(column.to_numpy(object), name, self._plan)
        return arrays, lines

    def _append(self, arrays: dict[str, NDArray[Any]]) -> None:
        for name, array in arrays.items():
            column = self.columns[name]
            if column.dtype == np.int64 and array.dtype == np.float64:
                column.as_floats()
            column.append(array)
        self._move()

    def _frame(self) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        for name, column in self.columns.items():
            array = column.whole()
            if self._plan.kinds[name] in {"name", "text"}:
                index = pd.Index(np.array(self._plan.texts[name].all(), dtype=object), dtype=object)
                columns[name] = pd.Categorical.from_codes(array, index, validate=False)
            elif not (name.startswith(NAMELESS) and array.dtype == np.float64 and np.isnan(array).all()):
                columns[name] = array
        return pd.DataFrame(columns, copy=False)

    def _origin(self, total: int) -> Places:
        if len(self.paths) == 1:
            return np.broadcast_to(np.int64(0), (total,))
        return np.repeat([part.origin for part in self.stretches], [len(part.lines) for part in self.stretches])

    def _lines(self) -> Places:
        first = self.stretches[0].lines
        total = sum(len(part.lines) for part in self.stretches)
        if len(self.paths) == 1 and all(isinstance(part.lines, Counting) for part in self.stretches):
            return Counting(total, first=first.first) if isinstance(first, Counting) else first
        return np.concatenate([np.asarray(part.lines) for part in self.stretches])
