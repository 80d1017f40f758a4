"""Parquet: typed tables from files and from folders partitioned like ``store=A/month=2024-01/part.parquet``.

pyarrow comes with the first such source.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcast.data.findings import RefusedError, refuse

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"PAR1"
ENDINGS = (".parquet", ".pq")


def read(data: bytes, *, label: str) -> pa.Table:
    """The table in the bytes of a Parquet file. Raises ``RefusedError`` if it is damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(label, error) from error


def files_below(path: str) -> list[Path]:
    """The Parquet files of a folder, sorted; hidden ones are left out. Empty for anything but such a folder."""
    folder = Path(path)
    if not folder.is_dir():
        return []
    below = (file for file in folder.rglob("*") if file.suffix in ENDINGS and file.is_file())
    return sorted(file for file in below if not any(part[0] in "._" for part in file.relative_to(folder).parts))


def read_folder(path: str, files: list[Path]) -> pa.Table:
    """All ``files`` below the folder ``path`` as one table; parts of their paths like ``store=A`` are text columns.

    Raises ``RefusedError`` if one is damaged or has other columns.
    """
    import pyarrow as pa
    from pyarrow import dataset

    folders = [part for part in files[0].relative_to(path).parts[:-1] if "=" in part]
    # as text: otherwise the shop 007 would be 7
    keys = pa.schema([(part.partition("=")[0], pa.string()) for part in folders])
    try:
        found = dataset.dataset(
            [str(file) for file in files],
            format="parquet",
            partitioning=dataset.partitioning(keys, flavor="hive") if folders else None,
            partition_base_dir=str(path),
        )
        return found.to_table()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def fingerprint(table: pa.Table, digest: Any) -> None:
    """Feed the columns of ``table`` to ``digest``: names, types and cells."""
    whole = table.combine_chunks()
    digest.update(whole.schema.serialize())
    for batch in whole.to_batches(max_chunksize=2**16):
        digest.update(batch.serialize())


def _damaged(label: str, error: Exception) -> RefusedError:
    reason = str(error).strip().splitlines()[0]
    return refuse("damaged-parquet", f"{label} cannot be read as Parquet: {reason}", fix="write the file again")
