"""Writer: result tables to files, standard output and databases, whole or not at all, in the file's own time style."""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, Literal, cast

import pandas as pd

from lstmcast.atomic import replace_file
from lstmcast.data.database import is_url
from lstmcast.data.database_table import parts, replace_rows
from lstmcast.errors import UsageError

Format = Literal["csv", "jsonl", "parquet"]
STDOUT: Literal["-"] = "-"

_ENDINGS: Mapping[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PACKED = (".gz", ".zst")
_FORMULA = re.compile(r"[=+\-@\t\r]")
_ROW_GROUP = 2**20  # rows of a Parquet file that are packed together, held until there are as many
_FIGURE = re.compile(r"[+-]?[\d.,]+([eE][+-]?\d+)?")


def write_table(
    frame: pd.DataFrame,
    output: str,
    *,
    format: Format | None = None,  # noqa: A002  # the flag's name
    keys: Sequence[str] = (),
    safe: bool = False,
) -> None:
    """Write ``frame`` to the file ``output``, to stdout for ``-``, or to a table for ``URL::TABLE``.

    The form is ``format``, else that of the file's ending, else CSV; files that end in .gz or .zst are packed. Numbers
    keep all their digits. In a table, rows with the same ``keys`` are replaced. ``safe``: see ``neutralised``. Raises
    ``ResourceError`` if it cannot be written, ``RefusedError`` if the database refuses.
    """
    write_frames([frame], output, format=format, keys=keys, safe=safe)


def write_frames(
    frames: Iterable[pd.DataFrame],
    output: str,
    *,
    format: Format | None = None,  # noqa: A002  # the flag's name
    keys: Sequence[str] = (),
    safe: bool = False,
) -> None:
    """As ``write_table``, of a table that comes in parts, none of them empty unless it is the only one.

    Each part is written before the next is asked for, to the same bytes as all of them at once; no two hold the same
    ``keys``. What making a part raises leaves a file or a table as it was.
    """
    shown = (neutralised(frame) for frame in frames) if safe else iter(frames)
    if is_url(output):
        replace_rows(shown, output, keys=keys)
        return
    form = format or form_of(output)
    if output == STDOUT:
        sys.stdout.flush()
        _write(shown, sys.stdout.buffer, form)
        sys.stdout.buffer.flush()
        return
    with replace_file(Path(output), mode="wb") as file, _packing(file, output) as packed:
        _write(shown, packed, form)


def write_json(value: Mapping[str, Any], path: Path | Literal["-"]) -> None:
    """Write a JSON document with sorted keys, so that equal values give equal bytes; NaN becomes null."""
    text = json.dumps(_finite(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(text, str(path))


def write_text(text: str, output: str) -> None:
    """Write ``text`` to the file ``output``, or to stdout for ``-``."""
    if output == STDOUT:
        sys.stdout.write(text)
        return
    with replace_file(Path(output)) as file:
        file.write(text)


def check_output(output: str) -> None:
    """Raise ``UsageError`` for an output that cannot be meant, before any work is done for it."""
    if is_url(output):
        parts(output)
    elif Path(output).suffix.lower() in {".xlsx", ".xls", ".db", ".sqlite"}:
        raise UsageError(
            f"{output}: files of that kind are not written",
            remedy=f"end it in {', '.join(sorted(_ENDINGS))}, or write sqlite:///{output}::TABLE",
        )


def is_file(output: str) -> bool:
    """Whether ``output`` is a file, which others may stand beside and a chart may be drawn from."""
    return output != STDOUT and not is_url(output)


def form_of(output: str) -> Format:
    """The form that the ending of a file says; CSV for all others."""
    name = output.lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return _ENDINGS.get(Path(name).suffix, "csv")


def neutralised(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with a ' before every text that a spreadsheet would take for a formula: those that begin with = + - @.

    Numbers and times written as text stay as they are.
    """
    mended = {}
    for name in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[name]):
            continue
        risky = frame[name].map(lambda cell: isinstance(cell, str) and bool(_FORMULA.match(cell)))
        risky &= ~frame[name].map(lambda cell: isinstance(cell, str) and bool(_FIGURE.fullmatch(cell)))
        mended[str(name)] = frame[name].where(~risky.astype(bool), "'" + frame[name].astype(str))
    return frame.assign(**mended)


def _write(frames: Iterable[pd.DataFrame], file: IO[bytes], form: Format) -> None:
    if form == "parquet":
        _write_parquet(frames, file)
        return
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    for number, frame in enumerate(frames):
        if form == "csv":
            frame.to_csv(text, index=False, header=number == 0, lineterminator="\n")
            continue
        for record in frame.astype(object).where(frame.notna(), None).to_dict(orient="records"):
            text.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    text.flush()
    text.detach()


def _write_parquet(frames: Iterable[pd.DataFrame], file: IO[bytes]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    tables = (pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None) for frame in frames)
    first = next(tables)
    held = first.slice(0, 0)
    with parquet.ParquetWriter(file, first.schema) as writer:
        for table in chain([first], tables):
            held = pa.concat_tables([held, table.cast(first.schema)])
            while held.num_rows > _ROW_GROUP:
                writer.write_table(held.slice(0, _ROW_GROUP).combine_chunks())
                held = held.slice(_ROW_GROUP).combine_chunks()
        writer.write_table(held.combine_chunks())


@contextmanager
def _packing(file: IO[bytes], output: str) -> Iterator[IO[bytes]]:
    if output.lower().endswith(".gz"):
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:  # equal tables, equal bytes
            yield cast("IO[bytes]", packed)
    elif output.lower().endswith(".zst"):
        import zstandard

        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packing:
            yield cast("IO[bytes]", packing)
    else:
        yield file


def _finite(value: Any) -> Any:
    """JSON has no NaN: a figure that is not known is null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
