"""Where results go: the form of a file, packed or not, standard output, and tables of a database."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy
import zstandard
from pyarrow import parquet

from lstmcast.cli.app import run
from lstmcast.data import writer
from lstmcast.data.writer import check_output, neutralised, write_frames, write_json, write_table
from lstmcast.errors import DataError, UsageError

KEYS = ("unique_id", "ds")
FRAME = pd.DataFrame(
    {"unique_id": ["A", "A", "B"], "ds": ["1", "2", "1"], "y_hat": [0.1, np.nan, 3.0], "step": [1, 2, 1]}
)
SMALL = ["--max-steps", "2", "--hidden", "4", "--context", "6", "--horizon", "2", "--set", "training.batch=2", "-q"]


def rows_of(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.zst", "a.txt"])
def test_the_ending_of_a_file_says_its_form(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_table(FRAME, str(path))
    data = path.read_bytes()
    data = gzip.decompress(data) if name.endswith(".gz") else data
    data = zstandard.ZstdDecompressor().decompressobj().decompress(data) if name.endswith(".zst") else data
    if ".parquet" in name:
        read = parquet.read_table(path).to_pandas()
    elif ".jsonl" in name:
        read = pd.DataFrame([json.loads(line) for line in data.splitlines()])
    else:
        assert data.startswith(b"unique_id,ds,y_hat,step\nA,1,0.1,1\nA,2,,2\n")
        return
    pd.testing.assert_frame_equal(read, FRAME)


def test_the_format_asked_for_wins_over_the_ending(tmp_path: Path) -> None:
    write_table(FRAME, str(tmp_path / "a.csv"), format="jsonl")
    assert (tmp_path / "a.csv").read_text("utf-8").startswith('{"unique_id": "A"')


def test_equal_tables_give_equal_packed_bytes(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        write_table(FRAME, str(tmp_path / name))
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_parquet_may_go_through_a_pipe(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_table(FRAME, "-", format="parquet")
    assert capfdbinary.readouterr().out.startswith(b"PAR1")


def test_a_json_document_may_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"b": float("nan"), "a": 1}, "-")
    assert json.loads(capsys.readouterr().out) == {"a": 1, "b": None}


def test_texts_that_a_spreadsheet_would_calculate_are_neutralised_and_figures_are_not() -> None:
    frame = pd.DataFrame(
        {"unique_id": ["=cmd()", "+x", "-y", "@z", "\tq", "-5", "A"], "ds": ["-5", "+3.5", "1", "2", "3", "4", "5"]}
    )
    safe = neutralised(frame.assign(y=-1.5))
    assert safe["unique_id"].tolist() == ["'=cmd()", "'+x", "'-y", "'@z", "'\tq", "-5", "A"]
    assert safe["ds"].tolist() == frame["ds"].tolist()
    assert (safe["y"] == -1.5).all()


PARTS = [slice(0, 4), slice(4, 5), slice(5, 11), slice(11, 12)]


def many(rows: int = 12) -> pd.DataFrame:
    figure = np.random.default_rng(3).normal(size=rows)
    names = [f'={k // 2},"' for k in range(rows)]
    return pd.DataFrame(
        {"unique_id": names, "ds": [str(k % 2) for k in range(rows)], "y_hat": figure, "step": range(rows)}
    ).assign(**{"y_hat-lo-80": np.where(np.arange(rows) < 5, np.nan, figure)})


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.zst", "a.csv.zst"])
def test_parts_are_written_to_the_bytes_of_the_whole(
    name: str, safe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_ROW_GROUP", 5)
    whole, parts = tmp_path / f"whole-{name}", tmp_path / f"parts-{name}"
    write_table(many(), str(whole), safe=safe)
    write_frames((many()[part] for part in PARTS), str(parts), safe=safe)
    assert parts.read_bytes() == whole.read_bytes()


def test_a_parquet_file_has_row_groups_of_a_fixed_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_ROW_GROUP", 5)
    write_frames((many()[part] for part in PARTS), str(tmp_path / "a.parquet"))
    kept = parquet.ParquetFile(tmp_path / "a.parquet").metadata
    assert [kept.row_group(k).num_rows for k in range(kept.num_row_groups)] == [5, 5, 2]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), many(), check_dtype=False)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_part_that_cannot_be_made_leaves_the_old_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_table(FRAME, str(path))
    before = path.read_bytes()

    def parts() -> Iterator[pd.DataFrame]:
        yield many()
        raise DataError("no more", remedy="none")

    with pytest.raises(DataError, match="no more"):
        write_frames(parts(), str(path))
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [name]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'out.db'}"
    return str(request.getfixturevalue("postgres_url"))


def table(url: str, name: str, *, order: str) -> pd.DataFrame:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    return pd.read_sql_query(sqlalchemy.text(f"select * from {name} order by {order}"), engine)


def test_rows_with_the_same_keys_are_replaced_and_others_stay(database: str) -> None:
    write_table(FRAME, f"{database}::results", keys=KEYS)
    write_table(FRAME, f"{database}::results", keys=KEYS)
    changed = FRAME.iloc[[1]].assign(y_hat=7.5)
    write_table(changed, f"{database}::results", keys=KEYS)
    read = table(database, "results", order="unique_id, ds")
    pd.testing.assert_frame_equal(read, FRAME.assign(y_hat=[0.1, 7.5, 3.0]))


def test_a_table_gains_the_columns_it_lacks_and_forgets_what_was_replaced(database: str) -> None:
    write_table(FRAME, f"{database}::results", keys=KEYS)
    wider = FRAME.iloc[[0]].drop(columns="y_hat").assign(**{"y_hat-lo-80": -1.0})
    write_table(wider, f"{database}::results", keys=KEYS)
    read = table(database, "results", order="unique_id, ds")
    assert read["y_hat-lo-80"].tolist()[0] == -1
    assert np.isnan(read["y_hat"].tolist()[0])
    assert read["y_hat"].tolist()[2] == 3


def test_parts_make_the_table_of_the_whole_and_lock_nothing_while_they_are_made(database: str) -> None:
    write_table(many(), f"{database}::whole", keys=KEYS)

    def parts() -> Iterator[pd.DataFrame]:
        for part in PARTS:
            write_table(FRAME, f"{database}::other", keys=KEYS)  # somebody else writes meanwhile
            yield many()[part]

    for _ in range(2):
        write_frames(parts(), f"{database}::parts", keys=KEYS)
    read = table(database, "parts", order="step")
    pd.testing.assert_frame_equal(read, table(database, "whole", order="step"))


def test_keys_may_be_empty(database: str) -> None:
    frame = FRAME.assign(ds=[None, "2", None])
    for _ in range(2):
        write_table(frame, f"{database}::results", keys=KEYS)
    assert len(table(database, "results", order="unique_id")) == 3


def test_a_write_that_fails_leaves_the_table_as_it_was(database: str) -> None:
    write_table(FRAME, f"{database}::results", keys=KEYS)
    bad = FRAME.assign(y_hat=9.0, unique_id=["A", "A", "B\udcff"])  # no database can hold this
    with pytest.raises((DataError, UnicodeEncodeError)):
        write_table(bad, f"{database}::results", keys=KEYS)
    pd.testing.assert_frame_equal(table(database, "results", order="unique_id, ds"), FRAME)


def test_a_table_that_holds_something_else_is_refused(database: str) -> None:
    write_table(pd.DataFrame({"name": ["x"]}), f"{database}::people")
    with pytest.raises(UsageError, match=r"the table people in .* has no column 'unique_id'"):
        write_table(FRAME, f"{database}::people", keys=KEYS)


@pytest.mark.parametrize(
    ("output", "match"),
    [
        ("sqlite:///out.db", r"names a database, but no table\n.*sqlite:///out\.db::forecasts"),
        ("postgresql://me:very-secret@host/db", r"postgresql://me:\*\*\*@host/db names a database"),
        ("oracle://host/db::t", "oracle is no kind of database"),
        ("out.xlsx", "files of that kind are not written"),
    ],
)
def test_an_output_that_cannot_be_meant_is_refused_before_any_work(output: str, match: str) -> None:
    with pytest.raises(UsageError, match=match) as told:
        check_output(output)
    assert "very-secret" not in str(told.value)


def test_every_verb_with_results_writes_every_form_and_into_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{name},{n},{n % 5 + 0.25}\n" for name in ("=A", "B") for n in range(1, 60))
    Path("a.csv").write_text(f"unique_id,ds,y\n{rows}", encoding="utf-8")
    assert run(["train", "a.csv", *SMALL]) == 0
    assert run(["predict", "--format", "parquet", "-q"]) == 0
    assert parquet.read_table("forecasts.parquet").num_rows == 4
    assert Path("forecasts.parquet.meta.json").is_file()
    assert run(["plot", "forecasts.parquet", "-o", "chart.html", "-q"]) == 0
    assert run(["evaluate", "forecasts.parquet", "a.csv", "-q"]) == 3  # none of it has come true yet
    assert run(["predict", "--safe-csv", "-q"]) == 0
    assert Path("forecasts.csv").read_text("utf-8").splitlines()[1].startswith("'=A,60,59,1,")
    for _ in range(2):
        assert run(["predict", "-o", "sqlite:///out.db::forecasts", "-q"]) == 0
    assert rows_of(tmp_path / "out.db", "select unique_id, ds, step from forecasts") == [
        ("=A", "60", 1),
        ("=A", "61", 2),
        ("B", "60", 1),
        ("B", "61", 2),
    ]
    assert not list(tmp_path.glob("sqlite*"))
    line = ["--windows", "2", *SMALL, "-o", "sqlite:///out.db::back", "--metrics", "sqlite:///out.db::scores"]
    for _ in range(2):
        assert run(["backtest", "a.csv", *line]) == 0
    assert rows_of(tmp_path / "out.db", "select count(*) from back") == [(8,)]
    assert rows_of(tmp_path / "out.db", "select count(*), count(distinct metric) > 2 from scores")[0][1] == 1
    rows = "".join(f"{t},{10 + t % 7}\n" for t in range(300))
    Path("long.csv").write_text("ds,y\n" + rows, "utf-8")
    quick = ["--set", "training.max_steps=5", "-q"]
    assert run(["detect-anomalies", "long.csv", "--format", "jsonl", *quick]) == 0
    assert len(Path("anomalies.jsonl").read_text("utf-8").splitlines()) == 300
    assert Path("events.jsonl").exists()
    assert run(["detect-anomalies", "long.csv", "--format", "parquet", *quick]) == 0
    assert run(["plot", "anomalies.parquet", "-o", "chart.html", "-q"]) == 0
    assert "Traceback" not in capfd.readouterr().err
