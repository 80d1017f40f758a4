"""Database table: the rows of a result in a table of SQLite or PostgreSQL, whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd

from lstmcast.data.database import POSTGRESQL, address, connected
from lstmcast.errors import UsageError
from lstmcast.masking import masked

if TYPE_CHECKING:
    from sqlalchemy import BindParameter, Column, Connection, Table

SEPARATOR = "::"


def parts(output: str) -> tuple[str, str]:
    """``sqlite:///results.db::forecasts`` as URL and table. Raises ``UsageError`` where one of them is not there."""
    url, separator, table = output.rpartition(SEPARATOR)
    if not separator or not table or "/" in table:
        raise UsageError(
            f"{masked(output)} names a database, but no table",
            remedy=f"write the table after two colons: {masked(output)}{SEPARATOR}forecasts",
        )
    address(url)
    return url, table


def replace_rows(frames: Iterable[pd.DataFrame], output: str, *, keys: Sequence[str]) -> None:
    """Put ``frames`` into the table of ``output`` in the place of all rows with the same ``keys``, in one transaction.

    They are parts of one table, no two with the same keys. The table is made, and given the columns it lacks, where
    need be; rows with other keys stay as they are. Raises ``RefusedError`` for whatever the database refuses,
    ``UsageError`` for a table without the key columns.
    """
    url, name = parts(output)
    made = _made(frames)
    ready = [next(made)]  # nothing is locked while the parts are being made, which may take minutes
    with connected(url) as connection:
        table: Table | None = None
        for frame in chain(ready, made):
            kept = [key for key in keys if key in frame]
            if table is None:
                table = _table(connection, name, frame, kept, output)
                _lock(connection, table)
            _replace(connection, table, frame, kept)


def _made(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The same, all of them made before the first is given; they wait on disk, where there are several."""
    import pyarrow as pa

    coming = iter(frames)
    first = next(coming)
    with tempfile.TemporaryFile() as file:
        several = False
        for frame in coming:
            several = True
            table = pa.Table.from_pandas(frame, preserve_index=False)
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
        yield first
        if several:
            end = file.tell()
            file.seek(0)
            while file.tell() < end:
                with pa.ipc.open_stream(file) as stream:
                    yield stream.read_pandas()


def _lock(connection: Connection, table: Table) -> None:
    if connection.dialect.name == POSTGRESQL:
        quoted = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"lock table {quoted} in share row exclusive mode")


def _replace(connection: Connection, table: Table, frame: pd.DataFrame, keys: Sequence[str]) -> None:
    from sqlalchemy import bindparam, insert

    records: list[dict[Any, Any]] = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    if not records:
        return
    same = table.delete()
    for number, key in enumerate(keys):
        value: BindParameter[Any] = bindparam(f"key_{number}")
        column = table.c[key]
        # an index helps equality only, and most keys are never empty
        same = same.where(column.is_not_distinct_from(value) if frame[key].isna().any() else column == value)
    found = frame[list(keys)].drop_duplicates().astype(object)
    found = found.where(found.notna(), None)
    connection.execute(
        same, [{f"key_{number}": value for number, value in enumerate(row)} for row in found.to_numpy().tolist()]
    )
    connection.execute(insert(table), records)


def _table(connection: Connection, name: str, frame: pd.DataFrame, keys: Sequence[str], output: str) -> Table:
    from sqlalchemy import Index, MetaData, Table, inspect
    from sqlalchemy.schema import CreateColumn

    schema, _, bare = name.rpartition(".")
    wanted = Table(bare, MetaData(), *_columns(frame), schema=schema or None)
    inspector = inspect(connection)
    if not inspector.has_table(bare, schema=schema or None):
        Index(f"{bare}_keys", *(wanted.c[key] for key in keys))
        wanted.create(connection)
        return wanted
    there = {column["name"] for column in inspector.get_columns(bare, schema=schema or None)}
    if absent := [key for key in keys if key not in there]:
        raise UsageError(
            f"the table {bare} in {masked(output)} has no column {absent[0]!r}: it holds something else",
            remedy="name another table",
        )
    quoted = connection.dialect.identifier_preparer.format_table(wanted)
    for column in wanted.columns:
        if column.name not in there:
            added = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"alter table {quoted} add column {added}")
    return wanted


def _columns(frame: pd.DataFrame) -> list[Column[Any]]:
    from sqlalchemy import BigInteger, Column, Double, Text

    found: list[Column[Any]] = []
    for name, column in frame.items():
        whole = pd.api.types.is_integer_dtype(column) or pd.api.types.is_bool_dtype(column)
        figure = pd.api.types.is_float_dtype(column)
        found.append(Column(str(name), BigInteger if whole else Double if figure else Text))
    return found
