"""Writer: result tables to CSV or JSON Lines, whole or not at all, in the file's own time style."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal

import pandas as pd

from lstmcast.atomic import replace_file

Format = Literal["csv", "jsonl"]
STDOUT = "-"


def write_table(frame: pd.DataFrame, output: str, *, format: Format = "csv") -> None:  # noqa: A002  # the flag's name
    """Write ``frame`` to the file ``output``, or to stdout for ``-``, every number with all its digits.

    Raises ``ResourceError`` if it cannot be written.
    """
    if output == STDOUT:
        _write(frame, sys.stdout, format)
        return
    with replace_file(Path(output)) as file:
        _write(frame, file, format)


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write a JSON document with sorted keys, so that equal values give equal bytes; NaN becomes null."""
    with replace_file(path) as file:
        json.dump(_finite(value), file, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def _write(frame: pd.DataFrame, file: IO[Any], format: Format) -> None:  # noqa: A002
    if format == "csv":
        frame.to_csv(file, index=False, lineterminator="\n")
        return
    for record in frame.astype(object).where(frame.notna(), None).to_dict(orient="records"):
        file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """JSON has no NaN: a figure that is not known is null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
