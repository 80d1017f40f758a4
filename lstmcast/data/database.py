"""Database: the rows a query gives, from SQLite files and PostgreSQL servers. SQLAlchemy comes with the first URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from lstmcast.data.findings import refuse
from lstmcast.errors import UsageError
from lstmcast.masking import masked

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import URL, Connection, Engine

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_SPELLINGS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "postgres": POSTGRESQL, "postgresql+psycopg": POSTGRESQL}
_ROWS_AT_ONCE = 50_000
_PATIENCE_SECONDS = 60
_PARAMETER = "param."


@dataclass(frozen=True, slots=True)
class Query:
    """A database and what to ask it: ``url`` as the user wrote it, ``text`` with ``:name`` for each parameter."""

    url: str
    text: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What messages call it."""
        return masked(self.url)

    @property
    def stem(self) -> str:
        """What a series without an id is named after."""
        return Path(address(self.url).database or "query").stem

    def lasting(self) -> str:
        """One text that says all of it but the password, for a model to remember; read back by ``asked``."""
        from sqlalchemy import URL

        url = address(self.url)
        place = str(_file(url)) if url.drivername == SQLITE else url.database
        bare = URL.create(url.drivername, url.username, None, url.host, url.port, place, url.query)
        bare = bare.difference_update_query(["password", "sslpassword"])
        named = [("query", self.text or ""), *((f"{_PARAMETER}{k}", v) for k, v in self.parameters.items())]
        return f"{bare.render_as_string()}#{urlencode(named)}" if self.text else bare.render_as_string()


def is_url(source: str) -> bool:
    """Whether a source is a database rather than a path."""
    return "://" in source


def asked(source: str, *, query: str | None = None, parameters: Mapping[str, str] | None = None) -> Query:
    """The query a source stands for: its own (see ``Query.lasting``), else the one given."""
    url, _, own = source.partition("#")
    if not own:
        return Query(url, query, parameters or {})
    named = dict(parse_qsl(own))
    text = named.pop("query", None)
    found = Query(url, text, {name.removeprefix(_PARAMETER): value for name, value in named.items()})
    return found if query is None else replace(found, text=query, parameters=parameters or {})


def address(url: str) -> URL:
    """The parsed URL, under the name of the driver used. Raises ``UsageError`` for another kind of database."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    scheme = url.partition("://")[0].lower()
    if scheme not in _SPELLINGS:
        raise UsageError(
            f"{masked(url)}: {scheme} is no kind of database that can be read or written",
            remedy="use sqlite:///file.db or postgresql://user@host/database, or a file",
        )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its message may hold the password
        raise UsageError(
            f"{masked(url)} is no database URL", remedy="write it like postgresql://user@host:5432/database"
        ) from None
    return parsed.set(drivername=_SPELLINGS[scheme])


def fetch(query: Query) -> pa.Table:
    """The rows of ``query`` with their types; nothing in the database can be changed by it.

    Raises ``RefusedError`` where the database cannot be reached or does not understand the query, ``UsageError`` for
    a missing query or parameters that do not match it.
    """
    from sqlalchemy import text

    if not query.text:
        raise _no_query(query)
    statement = text(query.text)
    wanted, given = set(statement.compile().params), set(query.parameters)
    if wanted != given:
        absent, extra = sorted(wanted - given), sorted(given - wanted)
        told = f"lacks a value for :{absent[0]}" if absent else f"has no parameter :{extra[0]}"
        raise UsageError(
            f"--query {told}",
            remedy=f"give --query-param {absent[0]}=VALUE" if absent else f"leave out --query-param {extra[0]}",
        )
    with connected(query.url, read_only=True) as connection:
        whole = connection.dialect.name == SQLITE
        values = {name: _bound(value, whole=whole) for name, value in query.parameters.items()}
        result = connection.execution_options(stream_results=True).execute(statement, values)
        if not result.returns_rows:
            raise UsageError("--query gives no rows", remedy="write a query that begins with select")
        names = [str(name) for name in result.keys()]  # noqa: SIM118  # no mapping
        return _table(names, result.partitions(_ROWS_AT_ONCE), label=query.label)


@contextmanager
def connected(url: str, *, read_only: bool = False) -> Iterator[Connection]:
    """One connection and one transaction. Raises ``RefusedError`` for whatever the database refuses."""
    from sqlalchemy.exc import SQLAlchemyError

    engine = _engine(url, read_only=read_only)
    try:
        with engine.connect() as connection:
            if read_only and engine.dialect.name == POSTGRESQL:
                connection = connection.execution_options(postgresql_readonly=True)
            with connection.begin():
                if engine.dialect.name == SQLITE and not read_only:
                    connection.exec_driver_sql("begin immediate")  # the driver would leave out the making of tables
                yield connection
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise refuse(
            "database",
            f"{masked(url)}: {masked(reason)}",
            fix="check the address, the rights and the query; passwords may come from PGPASSWORD or ~/.pgpass",
        ) from None  # the error below holds the URL


def _engine(url: str, *, read_only: bool) -> Engine:
    from sqlalchemy import NullPool, create_engine

    parsed = address(url)
    if parsed.drivername == POSTGRESQL:
        try:
            return create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool, hide_parameters=True)
        except ModuleNotFoundError as error:
            raise UsageError(
                "PostgreSQL needs the package psycopg", remedy="pip install 'lstmcast[postgres]'"
            ) from error
    file = _file(parsed)
    if read_only and not file.is_file():
        raise refuse(
            "no-such-file", f"there is no file {file}", fix="check the path: sqlite:///relative or sqlite:////absolute"
        )

    def open_file() -> sqlite3.Connection:
        mode = "ro" if read_only else "rwc"
        place = f"file:{quote(str(file))}?mode={mode}"
        return sqlite3.connect(place, uri=True, timeout=_PATIENCE_SECONDS, isolation_level=None)

    return create_engine("sqlite://", creator=open_file, poolclass=NullPool, hide_parameters=True)


def _file(url: URL) -> Path:
    if not url.database or url.host:
        raise UsageError(
            f"{masked(url.render_as_string())} names no file",
            remedy="write sqlite:///relative/file.db or sqlite:////absolute/file.db",
        )
    return Path(url.database).absolute()


def _bound(value: str, *, whole: bool) -> str | int:
    """SQLite compares by the type given where a column does not say its own; PostgreSQL by what it finds there."""
    return int(value) if whole and value.removeprefix("-").isdecimal() and str(int(value)) == value else value


def _no_query(query: Query) -> UsageError:
    from sqlalchemy import inspect

    with connected(query.url, read_only=True) as connection:
        found = inspect(connection)
        names = sorted([*found.get_table_names(), *found.get_view_names()])
    first = names[0] if names else "TABLE"
    known = f" (it holds {', '.join(names[:8])}{', ...' if len(names) > 8 else ''})" if names else " (it holds none)"
    example = f"--query 'select * from {first}'"  # noqa: S608  # shown, not run
    return UsageError(f"{query.label} is a database: which rows?{known}", remedy=example)


def _table(names: list[str], batches: Iterator[Any], *, label: str) -> pa.Table:
    import pyarrow as pa

    doubled = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if doubled is not None:
        raise refuse(
            "doubled-name", f"{label}: the query gives two columns called {doubled!r}", fix="rename one: as ..."
        )
    parts: list[list[pa.Array]] = [[] for _ in names]
    for rows in batches:
        for part, cells in zip(parts, zip(*rows, strict=True), strict=True):
            part.append(_array(cells))
    return pa.table({name: _joined(part) for name, part in zip(names, parts, strict=True)})


def _array(cells: tuple[Any, ...]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):  # SQLite: any cell may be of any type
        return pa.array([None if cell is None else str(cell) for cell in cells])


def _joined(parts: list[pa.Array]) -> pa.ChunkedArray:
    import pyarrow as pa

    kinds = {part.type for part in parts if not pa.types.is_null(part.type)}
    if len(kinds) > 1:
        numeric = all(pa.types.is_integer(k) or pa.types.is_floating(k) or pa.types.is_decimal(k) for k in kinds)
        kinds = {pa.float64() if numeric else pa.string()}
    kind = next(iter(kinds), pa.null())
    return pa.chunked_array([part.cast(kind) for part in parts], type=kind)
