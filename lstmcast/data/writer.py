"""Writer: result tables to files, standard output and databases, whole or not at all, in the file's own time style."""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    shown = neutralised(frame) if safe else frame
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


def _write(frame: pd.DataFrame, file: IO[bytes], form: Format) -> None:
    if form == "parquet":
        _write_parquet(frame, file)
        return
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    if form == "csv":
        frame.to_csv(text, index=False, lineterminator="\n")
    else:
        for record in frame.astype(object).where(frame.notna(), None).to_dict(orient="records"):
            text.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    text.flush()
    text.detach()


def _write_parquet(frame: pd.DataFrame, file: IO[bytes]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None), file)


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
