"""Plain: a block of plain lines into arrays at once. What is not plain about it is left to ``frame.load``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from lstmcast.data.blocks import NotPlainError
from lstmcast.data.columnar import Texts
from lstmcast.data.dialect import Dialect

Kind = Literal["name", "text", "number", "whole", "stamp"]
"""``name`` texts as they are; ``text`` some of which mean missing; ``whole`` numbers; ``stamp`` times in ISO style."""

TYPES: dict[Kind, type[np.generic]] = {
    "name": np.int32,
    "text": np.int32,
    "number": np.float64,
    "whole": np.int64,
    "stamp": np.int64,
}

ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.(?:\d{3}|\d{6}))?)?Z?)?")
_WHOLE = re.compile(r"-?\d{1,18}")


@dataclass(slots=True)
class Plan:
    """How each column is read: its ``kinds``, the ``texts`` seen so far, and the ``stamp`` all times look like.

    ``spelled`` counts for each column how often each spelling of a missing number came.
    """

    dialect: Dialect
    kinds: dict[str, Kind]
    stamp: str = ""
    texts: dict[str, Texts] = field(default_factory=dict)
    spelled: dict[str, Counter[str]] = field(default_factory=dict)


def kind_of(cells: Sequence[str], look: str, tokens: frozenset[str]) -> Kind:
    """How a column is read that looks so, by its first cells."""
    if look not in {"number", "empty"}:
        return "text"
    given = [cell for cell in cells if cell not in tokens]
    return "whole" if given and len(given) == len(cells) and all(map(_WHOLE.fullmatch, cells)) else "number"


def parsed(text: bytes, plan: Plan) -> dict[str, NDArray[Any]] | None:
    """An array for each column of whole lines, or None where a line is not plain.

    Numbers are float64 or int64, texts int32 places in ``plan.texts`` (-1: missing), times int64 nanoseconds.
    """
    mark = plan.dialect.delimiter.encode()
    # one character is found many times as fast as two
    if b'"' in text or (b" " in text and (mark + b" " in text or b"\n " in text or text[:1] == b" ")):
        return None
    whole = [name for name, kind in plan.kinds.items() if kind == "whole"]
    if whole and (b"x" in text or b"X" in text) and re.search(rb"[\W_]0[xX]|^0[xX]", text):
        return None
    try:
        table = _read(text, plan, whole)
    except pa.ArrowInvalid:
        try:
            table = _read(text, plan, [name for name in whole if _fits(text, plan, name)])
        except pa.ArrowInvalid:
            return None
    arrays = {name: _array(table.column(name), name, plan) for name in plan.kinds}
    first = next(iter(plan.kinds))
    if any(array is None for array in arrays.values()) or _may_be_empty(arrays[first], first, plan):
        return None
    gone = {name: column for name in plan.kinds if (column := table.column(name)).null_count}
    if gone:  # only now: lines that are not plain are counted by those who read them
        _count_spellings(text, plan, gone)
    for name in [name for name, kind in plan.kinds.items() if kind == "text" and _is_gone(arrays[name])]:
        _count_words(table.column(name), name, plan)
    return {name: array for name, array in arrays.items() if array is not None}


def numbered(column: Sequence[Any] | NDArray[Any], name: str, plan: Plan) -> NDArray[Any]:
    """The array of a column of texts, some of them missing (NaN).

    Raises ``NotPlainError`` for a time that is not written like the others.
    """
    if plan.kinds[name] == "stamp":
        return _stamps(pa.chunked_array([pa.array(column, pa.string(), from_pandas=True)]), plan.stamp)
    codes, distinct = pd.factorize(np.asarray(column, dtype=object))
    return np.append(plan.texts[name].numbers(map(str, distinct)), np.int32(-1))[codes]


def _options(plan: Plan, types: Mapping[str, pa.DataType], only: list[str] | None = None) -> dict[str, Any]:
    from pyarrow import csv  # only for large files: it takes a while to import

    dialect = plan.dialect
    return {
        "parse_options": csv.ParseOptions(delimiter=dialect.delimiter, quote_char=False, ignore_empty_lines=False),
        "convert_options": csv.ConvertOptions(
            column_types=types,
            include_columns=only,
            null_values=sorted(dialect.tokens()),
            strings_can_be_null=False,
            decimal_point=dialect.decimal,
            check_utf8=False,
        ),
    }


def _read(text: bytes, plan: Plan, whole: Sequence[str], *, only: list[str] | None = None) -> pa.Table:
    from pyarrow import csv  # only for large files: it takes a while to import

    types = {
        "name": pa.dictionary(pa.int32(), pa.string()),
        "text": pa.dictionary(pa.int32(), pa.string()),
        "number": pa.float64(),
        "whole": pa.float64(),
        "stamp": pa.string(),
    }
    asked = {name: pa.int64() if name in whole else types[kind] for name, kind in plan.kinds.items()}
    reading = csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=list(plan.kinds))
    return csv.read_csv(pa.BufferReader(text), read_options=reading, **_options(plan, asked, only))


def _fits(text: bytes, plan: Plan, name: str) -> bool:
    """Whether the column holds whole numbers in these lines too."""
    try:
        _read(text, plan, [name], only=[name])
    except pa.ArrowInvalid:
        return False
    return True


def _array(column: pa.ChunkedArray, name: str, plan: Plan) -> NDArray[Any] | None:
    kind = plan.kinds[name]
    if kind == "stamp":
        try:
            return _stamps(column, plan.stamp)
        except NotPlainError:
            return None
    if kind in {"number", "whole"}:
        if pa.types.is_integer(column.type) and not column.null_count:
            return np.asarray(column.to_numpy())
        values = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
        return values if int(np.isnan(values).sum()) == column.null_count else None
    parts = []
    tokens = plan.dialect.tokens() if kind == "text" else frozenset[str]()
    for chunk in column.chunks:
        seen = chunk.dictionary.to_pylist()
        numbers = plan.texts[name].numbers([text for text in seen if text not in tokens])
        places = np.full(len(seen), -1, np.int32)
        places[[text not in tokens for text in seen]] = numbers
        parts.append(places[chunk.indices.to_numpy()])
    return np.concatenate(parts) if parts else np.empty(0, np.int32)


def _stamps(column: pa.ChunkedArray, like: str) -> NDArray[np.int64]:
    """The times of texts in ISO style that are all as long as ``like`` and have its signs between the numbers."""
    parts = []
    for chunk in column.chunks:
        if chunk.null_count:
            raise NotPlainError
        _, places, letters = chunk.buffers()
        bounds = np.frombuffer(places, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        if not (np.diff(bounds) == len(like)).all():
            raise NotPlainError
        signs = np.frombuffer(letters, np.uint8)[bounds[0] : bounds[-1]].reshape(-1, len(like))
        if any((signs[:, place] != ord(sign)).any() for place, sign in enumerate(like) if not sign.isdigit()):
            raise NotPlainError
        try:
            parts.append(
                compute.cast(chunk, pa.timestamp("ns", "UTC" if like.endswith("Z") else None)).cast(pa.int64())
            )
        except pa.ArrowInvalid as error:
            raise NotPlainError from error
    return np.asarray(pa.chunked_array(parts, pa.int64()).to_numpy())


def _is_gone(places: NDArray[Any] | None) -> bool:
    """Whether a text is missing."""
    return places is not None and bool((places < 0).any())


def _count_words(column: pa.ChunkedArray, name: str, plan: Plan) -> None:
    tokens, counts = plan.dialect.tokens(), plan.spelled.setdefault(name, Counter())
    for chunk in column.chunks:
        times = np.bincount(chunk.indices.to_numpy(), minlength=len(chunk.dictionary))
        for text, count in zip(chunk.dictionary.to_pylist(), times.tolist(), strict=True):
            if text in tokens:
                counts[text.strip()] += count


def _count_spellings(text: bytes, plan: Plan, gone: Mapping[str, pa.ChunkedArray]) -> None:
    from pyarrow import csv  # only for large files: it takes a while to import

    strings = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=list(plan.kinds)),
        **_options(plan, dict.fromkeys(gone, pa.string()), list(gone)),
    )
    for name, column in gone.items():
        for entry in compute.value_counts(strings.column(name).filter(compute.is_null(column))).to_pylist():
            plan.spelled.setdefault(name, Counter())[entry["values"].strip()] += entry["counts"]


def _may_be_empty(array: NDArray[Any] | None, name: str, plan: Plan) -> bool:
    """Whether some line may hold nothing at all, by its first cell."""
    if array is None or plan.kinds[name] == "stamp":
        return False
    if plan.kinds[name] in {"number", "whole"}:
        return bool(np.isnan(array).any())
    empty = plan.texts[name].place("")
    return bool((array < 0).any() or (empty is not None and (array == empty).any()))
