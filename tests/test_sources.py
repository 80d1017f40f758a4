"""Where data come from: files, globs, packed files, Parquet, databases; and what a model remembers of it."""

from __future__ import annotations

import gzip
import io
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy
import zstandard
from pyarrow import parquet

from lstmcast.cli.app import run
from lstmcast.config import ReaderSettings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.data.sources import is_there, lasting, open_sources
from lstmcast.errors import DataError, UsageError
from lstmcast.masking import masked
from lstmcast.recipes.check import check

DAYS = [datetime(2024, 1, 1) + timedelta(days=day) for day in range(30)]
CSV = "ds,y\n" + "".join(f"{day:%Y-%m-%d},{number % 7}\n" for number, day in enumerate(DAYS))
ROWS = [(shop, day, number % 7 + 0.5) for shop in ("007", "B") for number, day in enumerate(DAYS)]


def sales(**columns: object) -> pa.Table:
    shops, days, values = zip(*ROWS, strict=True)
    return pa.table({"shop": shops, "day": days, "sold": values} | columns)


def asking(query: str, **parameters: str) -> ReaderSettings:
    return ReaderSettings(query=query, query_param=parameters)


def panel_of(*sources: str, settings: ReaderSettings = ReaderSettings()) -> Panel:  # noqa: B008  # frozen
    return read(list(sources), settings).panel


def times(panel: Panel) -> list[str]:
    return panel.schema.clock.format(panel.times(np.arange(len(panel.values))))


@pytest.fixture
def shop_file(tmp_path: Path) -> str:
    """The URL of a SQLite file with one table."""
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table sales (shop text, day text, sold real, pieces integer)")
        rows = [(shop, f"{day:%Y-%m-%d}", sold, int(sold)) for shop, day, sold in ROWS]
        connection.executemany("insert into sales values (?, ?, ?, ?)", rows)
    connection.close()
    return f"sqlite:///{tmp_path / 'shop.db'}"


def test_files_of_a_glob_are_series_named_after_them(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(CSV, encoding="utf-8")
    assert panel_of(str(tmp_path / "*.csv")).ids == ("a", "b")


def test_packed_files_are_read_as_if_they_were_not(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text(CSV, encoding="utf-8")
    (tmp_path / "gzipped.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    half = len(CSV) // 2
    frames = [zstandard.compress(part) for part in (CSV[:half].encode(), CSV[half:].encode())]
    (tmp_path / "zstandard.csv.zst").write_bytes(b"".join(frames))
    expected = panel_of(str(tmp_path / "plain.csv"))
    for name in ("gzipped.csv.gz", "zstandard.csv.zst"):
        panel = panel_of(str(tmp_path / name))
        assert panel.ids == (name.partition(".")[0],)
        np.testing.assert_array_equal(panel.values, expected.values)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: raw[:20] + b"\0" * 9 + raw[29:]])
def test_a_damaged_zstandard_file_is_refused(damage: object, tmp_path: Path) -> None:
    (tmp_path / "a.csv.zst").write_bytes(damage(zstandard.compress(CSV.encode())))  # type: ignore[operator]
    with pytest.raises(DataError, match=r"a\.csv\.zst is a damaged zstandard file"):
        panel_of(str(tmp_path / "a.csv.zst"))


def test_a_parquet_file_gives_the_panel_its_csv_gives(tmp_path: Path) -> None:
    parquet.write_table(sales(), tmp_path / "typed.parquet")
    sales().to_pandas().to_csv(tmp_path / "text.csv", index=False, date_format="%Y-%m-%d")
    typed, text = panel_of(str(tmp_path / "typed.parquet")), panel_of(str(tmp_path / "text.csv"))
    assert typed.ids == text.ids == ("007", "B")
    assert times(typed) == times(text)
    assert typed.schema == text.schema
    np.testing.assert_array_equal(typed.values, text.values)


def test_parquet_from_standard_input_is_known_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.BytesIO()
    parquet.write_table(sales(), sink)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(sink.getvalue())))
    assert panel_of("-").ids == ("007", "B")


def test_a_partitioned_folder_is_one_table_and_its_keys_stay_texts(tmp_path: Path) -> None:
    parquet.write_to_dataset(sales(), tmp_path / "sales", partition_cols=["shop"])
    (tmp_path / "sales" / "_SUCCESS").touch()
    panel = panel_of(str(tmp_path / "sales"), settings=ReaderSettings(id_col="shop"))
    assert panel.ids == ("007", "B")
    assert len(panel.values) == len(ROWS)


def test_a_folder_without_parquet_files_is_refused_with_a_glob(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder\n.*\*\.csv"):
        panel_of(str(tmp_path))


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        panel_of(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(range(60), pa.int32()), 59.0),
        (pa.array([None, *range(1, 60)], pa.uint16()), 59.0),
        (pa.array([n / 4 for n in range(60)]).cast(pa.decimal128(9, 2)), 14.75),
        (pa.array([True, False] * 30), 0.0),
        (pa.array([None, *["1", "2"] * 29, "7"]).dictionary_encode(), 7.0),
    ],
)
def test_numbers_of_every_type_are_numbers(column: pa.Array, expected: float, tmp_path: Path) -> None:
    parquet.write_table(sales(price=column), tmp_path / "a.parquet")
    panel = panel_of(str(tmp_path / "a.parquet"), settings=ReaderSettings(target=("sold",), past=("price",)))
    assert panel.covariates[-1, 0] == expected


def test_ids_of_a_numeric_type_and_missing_values_are_as_in_a_csv(tmp_path: Path) -> None:
    table = sales(shop=[7] * 30 + [8] * 30, sold=[None, *range(59)])
    parquet.write_table(table, tmp_path / "a.parquet")
    reading = read([str(tmp_path / "a.parquet")], ReaderSettings(id_col="shop", target=("sold",)))
    assert reading.panel.ids == ("7", "8")
    assert next(f for f in reading.findings if f.code == "missing-values").message == "1 value is missing (1 empty)"


def test_instants_are_read_in_the_zone_of_their_type(tmp_path: Path) -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = datetime(2024, 3, 30, 22, tzinfo=ZoneInfo("UTC"))
    hours = [(first + timedelta(hours=n)).astimezone(zone) for n in range(48)]
    table = pa.table({"ds": pa.array(hours, pa.timestamp("us", "Europe/Berlin")), "y": range(48)})
    parquet.write_table(table, tmp_path / "a.parquet")
    panel = panel_of(str(tmp_path / "a.parquet"))
    assert len(panel.values) == 48
    assert panel.start[0] == first.timestamp() * 1e9
    assert panel.schema.frequency.name == "h"


def test_a_model_trained_on_text_reads_typed_times_in_its_own_style(tmp_path: Path) -> None:
    rows = "".join(f"{day:%d.%m.%Y};{number}\n" for number, day in enumerate(DAYS))
    (tmp_path / "a.csv").write_text(f"day;sold\n{rows}", encoding="utf-8")
    schema = panel_of(str(tmp_path / "a.csv")).schema
    parquet.write_table(pa.table({"day": DAYS, "sold": range(30)}), tmp_path / "b.parquet")
    assert times(read([str(tmp_path / "b.parquet")], ReaderSettings(), schema=schema).panel)[0] == "01.01.2024"
    late = [day + timedelta(hours=7) for day in DAYS]
    parquet.write_table(pa.table({"day": late, "sold": range(30)}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"'2024-01-01 07:00:00' is not a time written like %d\.%m\.%Y"):
        read([str(tmp_path / "c.parquet")], ReaderSettings(), schema=schema)


def test_check_repairs_a_parquet_file_into_a_csv(tmp_path: Path) -> None:
    parquet.write_table(sales().slice(0, 60).take(pa.array([1, 0, *range(2, 60)])), tmp_path / "a.parquet")
    assert check([str(tmp_path / "a.parquet")], settings=ReaderSettings(), fix=tmp_path / "a.csv").code == 0
    assert (tmp_path / "a.csv").read_text("utf-8").splitlines()[:2] == ["shop,day,sold", "007,2024-01-01,0.5"]


def test_the_rows_of_a_query_are_read_with_its_parameters_bound(shop_file: str) -> None:
    panel = panel_of(shop_file, settings=asking("select day, sold from sales where shop = :shop", shop="007"))
    assert panel.ids == ("shop",)
    assert len(panel.values) == 30
    hostile = asking("select day, sold from sales where shop = :shop", shop="007' or '1'='1")
    with pytest.raises(DataError, match="has no rows"):
        panel_of(shop_file, settings=hostile)
    few = panel_of(shop_file, settings=asking("select day, sold from sales where shop = 'B' limit :n", n="3"))
    assert len(few.values) == 3


def test_a_query_cannot_change_the_database(shop_file: str) -> None:
    with pytest.raises(DataError, match="readonly database"):
        panel_of(shop_file, settings=asking("delete from sales returning day, sold"))
    assert len(panel_of(shop_file, settings=asking("select day, sold from sales where shop = 'B'")).values) == 30


@pytest.mark.parametrize(
    ("query", "parameters", "match"),
    [
        (None, {}, "which rows.*sales.*\n--query 'select \\* from sales'"),
        ("select * from sales where shop = :shop", {}, "lacks a value for :shop\ngive --query-param shop=VALUE"),
        ("select * from sales", {"shop": "B"}, "has no parameter :shop"),
    ],
)
def test_a_query_that_cannot_be_put_is_a_usage_error(
    query: str | None, parameters: dict[str, str], match: str, shop_file: str
) -> None:
    with pytest.raises(UsageError, match=match):
        panel_of(shop_file, settings=ReaderSettings(query=query, query_param=parameters))


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("select * from sale", "no such table: sale"),
        ("select day, sold, sold from sales", "two columns called 'sold'"),
        ("select day, sold from sales where shop = 'none'", "has no rows"),
    ],
)
def test_what_a_database_refuses_is_told(query: str, match: str, shop_file: str) -> None:
    with pytest.raises(DataError, match=match):
        panel_of(shop_file, settings=asking(query))


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("mysql://me:secret@host/db", r"mysql://me:\*\*\*@host/db: mysql is no kind of database"),
        ("sqlite://", "names no file"),
        ("postgresql://me:secret@host:port/db", "is no database URL"),
    ],
)
def test_an_address_of_another_kind_is_a_usage_error(url: str, match: str) -> None:
    with pytest.raises(UsageError, match=match) as told:
        open_sources([url], query="select 1")
    assert "secret" not in str(told.value)


def test_a_missing_database_file_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*gone\.db"):
        open_sources([f"sqlite:///{tmp_path / 'gone.db'}"], query="select 1")
    assert not list(tmp_path.iterdir())


def test_cells_of_mixed_types_are_read_as_texts(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("create table t (ds, y)")
        connection.executemany("insert into t values (?, ?)", [(n, n / 2 if n % 2 else f"{n}") for n in range(1, 30)])
    connection.close()
    panel = panel_of(f"sqlite:///{tmp_path / 'a.db'}", settings=asking("select * from t"))
    assert panel.values[:3, 0].tolist() == [0.5, 2, 1.5]


def test_the_fingerprint_follows_the_rows_of_a_query(shop_file: str) -> None:
    fingerprints = [open_sources([shop_file], query=f"select * from sales limit {n}")[1] for n in (5, 5, 6)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_remembered_source_is_read_again_from_anywhere(
    shop_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    query = "select day, sold from sales where shop = :shop and sold <> ';#&='"
    remembered = lasting("sqlite:///shop.db", query=query, parameters={"shop": "007"})
    monkeypatch.chdir(tmp_path.parent)
    assert len(panel_of(remembered).values) == 30
    assert lasting(remembered) == remembered
    assert is_there(remembered)
    assert not is_there(remembered.replace("shop.db", "gone.db"))
    assert lasting("-") == "-"
    assert lasting("*.csv") == str(tmp_path.parent / "*.csv")
    (tmp_path / "a.csv").touch()
    assert is_there(str(tmp_path / "*.csv"))


def test_a_password_is_neither_remembered_nor_told() -> None:
    url = "postgresql://me:very-secret@host/db?sslpassword=very-secret&application_name=x"
    remembered = lasting(url, query="select 1")
    assert remembered == "postgresql://me@host/db?application_name=x#query=select+1"
    assert masked(f"cannot reach {url}") == (
        "cannot reach postgresql://me:***@host/db?sslpassword=***&application_name=x"
    )


@pytest.mark.postgres
def test_a_query_to_postgresql_is_read_with_its_types(postgres_url: str) -> None:
    shops, days, values = zip(*ROWS, strict=True)
    engine = sqlalchemy.create_engine(postgres_url, poolclass=sqlalchemy.NullPool)
    frame = pd.DataFrame({"shop": shops, "day": days, "sold": values, "open": [True, False] * 30})
    frame.to_sql("sales", engine, index=False)
    query = "select shop, day, sold::numeric(8, 2), open from sales where sold > :least order by day desc"
    settings = ReaderSettings(query=query, query_param={"least": "-1"}, past=("open",))
    panel = panel_of(postgres_url, settings=settings)
    assert set(panel.ids) == {"007", "B"}
    assert sorted(set(times(panel)))[0] == "2024-01-01"
    assert panel.values[:2, 0].tolist() == [0.5, 1.5]
    with pytest.raises(DataError, match=r"syntax error|read-only"):
        panel_of(postgres_url, settings=asking("delete from sales returning day, sold"))


@pytest.mark.postgres
def test_what_postgresql_refuses_is_told_without_the_password(postgres_url: str) -> None:
    for url in (postgres_url, postgres_url.replace("@/t", "@/absent")):
        with pytest.raises(DataError, match="does not exist") as told:
            panel_of(url, settings=asking("select * from absent"))
        assert "very-secret" not in str(told.value)


def test_a_model_trained_on_a_query_forecasts_and_judges_from_the_same_query(
    shop_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    query = ["--query", "select day, sold from sales where shop = :shop", "--query-param", "shop=B"]
    small = ["--max-steps", "2", "--hidden", "4", "--context", "7", "--horizon", "3", "--set", "training.batch=2"]
    assert run(["train", "sqlite:///shop.db", *query, *small, "-q"]) == 0
    assert run(["predict", "-o", "-", "-q"]) == 0
    remembered = capfd.readouterr().out
    assert remembered.splitlines()[1].startswith("shop,2024-01-31,2024-01-30,1,")
    assert run(["predict", shop_file, "-o", "-", "-q"]) == 0
    assert capfd.readouterr().out == remembered
    assert run(["predict", shop_file, "-o", "-", "-q", *query[:3], "shop=007"]) == 0
    assert run(["predict", "-q"]) == 0
    assert run(["plot", "forecasts.csv", "-o", "chart.html"]) == 0
    assert "history: sqlite:///" in capfd.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--json"], ["--debug"]])
def test_no_form_of_output_shows_a_password(
    flags: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    url = "postgresql://me:very-secret@127.0.0.1:1/db?connect_timeout=1"
    assert run(["check", url, "--query", "select 1", "--log-file", str(log), *flags]) in {1, 3}
    shown = capfd.readouterr()
    assert "127.0.0.1" in shown.out + shown.err
    assert "very-secret" not in shown.out + shown.err + log.read_text("utf-8")
