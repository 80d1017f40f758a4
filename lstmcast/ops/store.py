"""Store: every run, what it forecast, what came true and how far apart they were. SQLite, or PostgreSQL by URL.

Forecasts are keyed by (job, unique_id, target, cutoff, ds): writing them twice is writing them once. Times are the
int64 of the panel, with the text of the file beside them for people who read the tables with SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from lstmcast.errors import ModelError, ResourceError, UsageError

VERSION = 1
# What brings a store of version n to n + 1, by n: statements that run in one transaction.
MIGRATIONS: dict[int, tuple[str, ...]] = {}
_CHUNK = 500  # rows a statement: databases bound the parameters of one

Row = Mapping[str, Any]

_tables = sa.MetaData()
_version = sa.Table("schema_version", _tables, sa.Column("version", sa.Integer, primary_key=True))
runs = sa.Table(
    "runs",
    _tables,
    sa.Column("run", sa.Integer, primary_key=True),
    sa.Column("job", sa.Text, nullable=False, index=True),
    sa.Column("started_at", sa.Text, nullable=False),
    sa.Column("ended_at", sa.Text, nullable=False),
    sa.Column("exit_code", sa.Integer, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("trained_at", sa.Text),
    sa.Column("training", sa.JSON),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("cursor", sa.JSON),
)


def _keyed(name: str, keys: Sequence[str], *columns: sa.Column[Any]) -> sa.Table:
    kinds = {"cutoff": sa.BigInteger, "ds": sa.BigInteger}
    key_columns = [sa.Column(key, kinds.get(key, sa.Text), primary_key=True) for key in ("job", *keys)]
    return sa.Table(name, _tables, *key_columns, *columns)


forecasts = _keyed(
    "forecasts",
    ("unique_id", "target", "cutoff", "ds"),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("cutoff_text", sa.Text, nullable=False),
    sa.Column("ds_text", sa.Text, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("y_hat", sa.Float),
    sa.Column("quantiles", sa.JSON, nullable=False),
    sa.Column("baseline", sa.Float),
    sa.Column("status", sa.Text, nullable=False),
)
actuals = _keyed(
    "actuals",
    ("unique_id", "target", "ds"),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("ds_text", sa.Text, nullable=False),
    sa.Column("y", sa.Float, nullable=False),
)
scores = _keyed(
    "scores",
    ("unique_id", "target", "cutoff", "ds"),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("error", sa.Float),
    sa.Column("baseline_error", sa.Float),
    sa.Column("covered", sa.JSON, nullable=False),
)
events = _keyed(
    "events",
    ("event_id",),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("unique_id", sa.Text, nullable=False),
    sa.Column("start", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("event", sa.JSON, nullable=False),
)


class Store:
    """One database of runs. Opened by ``opened``, which also closes it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @contextmanager
    def transaction(self) -> Iterator[Writing]:
        """All that is written inside becomes visible together, or not at all."""
        with _sentences(self._engine.url), self._engine.begin() as connection:
            yield Writing(connection)

    def last_run(self, job: str, *, trained: bool = False) -> dict[str, Any] | None:
        """The last run of ``job`` that published; with ``trained`` the last one that trained, whatever came after."""
        kept = runs.c.trained_at.is_not(None) if trained else runs.c.fingerprint != ""
        wanted = sa.select(runs).where(runs.c.job == job, kept).order_by(runs.c.run.desc()).limit(1)
        found = self._rows(wanted)
        return found[0] if found else None

    def list_runs(self, job: str) -> list[dict[str, Any]]:
        """Every run of ``job``, oldest first."""
        return self._rows(sa.select(runs).where(runs.c.job == job).order_by(runs.c.run))

    def to_score(self, job: str, *, first: int, last: int, again: bool) -> pd.DataFrame:
        """Forecasts for times ``first`` .. ``last`` that have no score; with ``again`` also those that have.

        The columns of ``forecasts``, ``y`` where an actual was noted before, and ``scored``, null without a score.
        """
        f, a, s = forecasts.c, actuals.c, scores.c
        true = [f[key] == a[key] for key in ("job", "unique_id", "target", "ds")]
        mine = [f[key] == s[key] for key in ("job", "unique_id", "target", "cutoff", "ds")]
        both = forecasts.outerjoin(actuals, sa.and_(*true)).outerjoin(scores, sa.and_(*mine))
        wanted = sa.select(forecasts, a.y, s.step.label("scored")).select_from(both)
        wanted = wanted.where(f.job == job, f.ds >= first, f.ds <= last)
        if not again:
            wanted = wanted.where(s.step.is_(None))
        return pd.DataFrame(self._rows(wanted), columns=[column.name for column in wanted.selected_columns])

    def scored(self, job: str, *, cutoffs: int | None = None) -> pd.DataFrame:
        """The scores of ``job`` with ``y``, ``y_hat`` and the texts of their times, in order of cutoff and step.

        With ``cutoffs`` only those of so many last ones: what a night costs must not grow with the years.
        """
        f, s, a = forecasts.c, scores.c, actuals.c
        same = [f[key] == s[key] for key in ("job", "unique_id", "target", "cutoff", "ds")]
        true = [a[key] == s[key] for key in ("job", "unique_id", "target", "ds")]
        lately = sa.select(s.cutoff).where(s.job == job).distinct().order_by(s.cutoff.desc()).limit(cutoffs).subquery()
        late = [] if cutoffs is None else [s.cutoff >= sa.select(sa.func.min(lately.c.cutoff)).scalar_subquery()]
        joined = scores.join(forecasts, sa.and_(*same)).join(actuals, sa.and_(*true))
        wanted = (
            sa.select(scores, f.cutoff_text, f.ds_text, f.y_hat, f.quantiles, f.status, a.y)
            .select_from(joined)
            .where(s.job == job, *late)
            .order_by(s.cutoff, s.unique_id, s.target, s.step)
        )
        return pd.DataFrame(self._rows(wanted), columns=[column.name for column in wanted.selected_columns])

    def known_events(self, job: str) -> set[str]:
        """The ids of the events noted for ``job``."""
        return {row["event_id"] for row in self._rows(sa.select(events.c.event_id).where(events.c.job == job))}

    def _rows(self, wanted: sa.Select[Any]) -> list[dict[str, Any]]:
        with _sentences(self._engine.url), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(wanted).mappings()]


class Writing:
    """A transaction under way."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def run(self, row: Row) -> int:
        """Note a run; its number."""
        return int(self._connection.execute(sa.insert(runs).returning(runs.c.run), [dict(row)]).scalar_one())

    def amend(self, run: int, row: Row) -> None:
        """Change what was noted of a run."""
        self._connection.execute(sa.update(runs).where(runs.c.run == run).values(**row))

    def withdraw(self, run: int) -> None:
        """Take a run out that has written nothing."""
        self._connection.execute(sa.delete(runs).where(runs.c.run == run))

    def upsert(self, table: sa.Table, rows: Sequence[Row]) -> None:
        """Write rows; one of the same key is replaced."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        keys = [column.name for column in table.primary_key]
        for start in range(0, len(rows), _CHUNK):
            added = dialect.insert(table).values([dict(row) for row in rows[start : start + _CHUNK]])
            rest = {column.name: added.excluded[column.name] for column in table.c if column.name not in keys}
            self._connection.execute(added.on_conflict_do_update(index_elements=keys, set_=rest))


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """The store at ``url``, made where there is none and brought to the present version.

    Raises ``UsageError`` for a URL that is none or needs a driver, ``ResourceError`` where the database cannot be
    reached or written, ``ModelError`` for a store of a later version. A password is never shown.
    """
    try:
        engine = sa.create_engine(address(url))
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise UsageError(
            f"the store is not a database URL that can be used here: {type(error).__name__}",
            remedy="write sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/NAME with the extra [postgres]",
        ) from error
    if engine.dialect.name not in {"sqlite", "postgresql"}:
        raise UsageError(
            f"a store in {engine.dialect.name} is not supported", remedy="use sqlite:///FILE or postgresql://…"
        )
    try:
        with _sentences(engine.url), engine.begin() as connection:
            _bring_up_to_date(connection)
        yield Store(engine)
    finally:
        engine.dispose()


def address(url: str) -> sa.URL:
    """``url`` with the driver named where it leaves the choice open. Raises ``ArgumentError`` if it is none."""
    parsed = sa.make_url(url)
    plain = parsed.drivername in {"postgres", "postgresql"}
    return parsed.set(drivername="postgresql+psycopg") if plain else parsed


def _bring_up_to_date(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":  # two jobs may open an empty database at the same time
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7083201)"))
    _tables.create_all(connection)
    version = connection.execute(sa.select(_version.c.version)).scalar()
    if version is None:
        connection.execute(sa.insert(_version).values(version=VERSION))
        return
    if version > VERSION:
        raise ModelError(
            f"the store has version {version}; this lstmcast writes version {VERSION}",
            remedy="upgrade lstmcast, or name another store",
        )
    for step in range(version, VERSION):
        for statement in MIGRATIONS[step]:
            connection.execute(sa.text(statement))
    if version < VERSION:
        connection.execute(sa.update(_version).values(version=VERSION))


@contextmanager
def _sentences(url: sa.URL) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
        if url.password:
            cause = cause.replace(str(url.password), "***")
        raise ResourceError(
            f"the store {url.render_as_string(hide_password=True)} cannot be used: {cause}",
            remedy="check `store` in the job file, the rights and the room there",
        ) from error
