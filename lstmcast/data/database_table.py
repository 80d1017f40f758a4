"""Database table: the rows of a result in a table of SQLite or PostgreSQL, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
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


def replace_rows(frame: pd.DataFrame, output: str, *, keys: Sequence[str]) -> None:
    """Put ``frame`` into the table of ``output`` in the place of all rows with the same ``keys``, in one transaction.

    The table is made, and given the columns it lacks, where need be; rows with other keys stay as they are. Raises
    ``RefusedError`` for whatever the database refuses, ``UsageError`` for a table without the key columns.
    """
    from sqlalchemy import bindparam, insert

    url, name = parts(output)
    kept = [key for key in keys if key in frame]
    records: list[dict[Any, Any]] = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    with connected(url) as connection:
        table = _table(connection, name, frame, kept, output)
        if connection.dialect.name == POSTGRESQL:
            quoted = connection.dialect.identifier_preparer.format_table(table)
            connection.exec_driver_sql(f"lock table {quoted} in share row exclusive mode")
        if not records:
            return
        same = table.delete()
        for number, key in enumerate(kept):
            value: BindParameter[Any] = bindparam(f"key_{number}")
            column = table.c[key]
            # an index helps equality only, and most keys are never empty
            same = same.where(column.is_not_distinct_from(value) if frame[key].isna().any() else column == value)
        found = frame[kept].drop_duplicates().astype(object)
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
