"""Files read in blocks give what the same files read as a whole give: cells, findings, announcements, fingerprint."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from lstmcast.config import ReaderSettings
from lstmcast.data import blocks, columnar, roads, stream, table
from lstmcast.data.reader import Examination, examine
from lstmcast.data.schema import Schema
from lstmcast.errors import UsageError
from lstmcast.outcome import Notice, Report

ROWS = 2_000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roads, "LARGE", 0)
    monkeypatch.setattr(blocks, "SIZE", 2**14)
    monkeypatch.setattr(stream, "SIZE", 2**14)


def read_both_ways(
    paths: list[str], settings: ReaderSettings, monkeypatch: pytest.MonkeyPatch, *, schema: Schema | None = None
) -> tuple[Examination, bool]:
    """The examination in blocks, compared with that of the whole; and whether it was in blocks."""
    taken: list[bool] = []
    results = []
    in_blocks = roads.streamed

    def road(sources, journey):
        cells = in_blocks(sources, journey)
        taken.append(cells is not None)
        return cells

    for chosen in (road, lambda sources, journey: None):
        monkeypatch.setattr(table, "streamed", chosen)
        said: list[str] = []

        def listen(report: Report, said: list[str] = said) -> None:
            if isinstance(report, Notice):
                said.append(report.text)

        results.append((examine(paths, settings, schema=schema, on_progress=listen), said))
    (ours, told), (theirs, expected) = results
    assert told == expected
    assert [found.facts() for found in ours.findings] == [found.facts() for found in theirs.findings]
    assert (ours.fingerprint, ours.rows, ours.schema) == (theirs.fingerprint, theirs.rows, theirs.schema)
    assert (ours.reading is None) == (theirs.reading is None)
    if ours.reading is not None and theirs.reading is not None:
        for name in ("series", "offsets", "ends", "start", "values", "observed", "covariates", "shift"):
            np.testing.assert_array_equal(getattr(ours.reading.panel, name), getattr(theirs.reading.panel, name))
        for name in ("panel_row", "input_series", "input_time"):
            np.testing.assert_array_equal(getattr(ours.reading, name), getattr(theirs.reading, name))
        assert ours.reading.panel.ids == theirs.reading.panel.ids
    return ours, taken[0]


def lines(rows: int = ROWS) -> list[str]:
    days = np.datetime64("2020-01-01") + np.arange(rows // 4)
    return [f"{name},{day},{number}.5,{number % 7}" for name in "ABCD" for number, day in enumerate(days)]


def header(body: list[str]) -> str:
    return "\n".join(["store,ds,y,promo", *body]) + "\n"


def changed(place: int, text: str | Callable[[str], str]) -> str:
    body = lines()
    body[place] = text(body[place]) if callable(text) else text
    return header(body)


PLAIN = {
    "plain": header(lines()),
    "no line break at the end": header(lines()).rstrip("\n"),
    "carriage returns": header(lines()).replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + header(lines()),
    "another alphabet": header(lines()).replace("D,", "Zürich,"),
    "missing values": header([line.replace(",3.5,", ",NA,").replace(",88.5,", ",,") for line in lines()]),
    "whole numbers that get decimals": changed(1_500, "D,2020-01-01,7.5,1.5"),
    "a number in quotes": changed(1_500, 'C,2021-05-15,"7.5",1'),
    "a blank line": changed(1_499, lambda line: f"{line}\n"),
    "blank lines at the end": header(lines()) + "\n\n",
    "spaces after the comma": changed(1_500, lambda line: line.replace(",", ", ")),
    "a plus sign": changed(700, lambda line: line.replace(",700", ",+700")),
    "the last line cut short": header(lines()) + "D,2021-05-16",
    "a last line of empty cells": header(lines()) + ",,,\n",
    "day first": header([f"{a},{d[8:]}.{d[5:7]}.{d[:4]},{y},{p}" for a, d, y, p in (x.split(",") for x in lines())]),
    "names that come late": header([*lines(), *(f"late{n},2021-01-0{n},1,1" for n in range(1, 9))]),
    "unsorted": header(lines()[::-1]),
    "semicolons and decimal commas": header(lines()).replace(",", ";").replace(".5;", ",5;"),
    "instants": header([f"A,2020-01-01T{n // 60:02d}:{n % 60:02d}:00Z,{n}.25,1" for n in range(1_400)]),
    "words, some of them missing": header(
        [line[:-2] + (",NA" if n % 9 == 0 else ", -" if n == 1_700 else f",w{n % 4}") for n, line in enumerate(lines())]
    ),
    "a comment": changed(1_499, lambda line: f"# a note\n{line}"),
    "comments above and below": "# made by a logger\n#\n" + header(lines()) + "# 2 rows, the end\n#\n",
    "a header that begins like a comment": "#" + header(lines()),
    "a comment with quotes": changed(3, lambda line: f'# 5" pipe, "new"\n{line}'),
    "a row of units": header([",,kWh,", *lines()]),
    "lines above the header": "Export of 2024-01-01\n\n" + header(lines()),
    "fractions of seconds": header([f"A,2020-01-01 00:{n // 60:02d}:{n % 60:02d}.500,{n}.25,1" for n in range(1_800)]),
}
NOT_PLAIN = {
    "a footer": header(lines()) + "Total,,12345,\n",
    "a line with too many cells": changed(1_500, lambda line: f"{line},1"),
    "a word among the numbers": changed(1_500, "D,2020-01-01,closed,1"),
    "units": header([line.replace(".5,", ".5 €,") for line in lines()]),
    "a time that is missing": changed(1_500, "D,,1,1"),
    "a time of another form": changed(1_500, "D,2020-01-01 00:00,1,1"),
    "no time": changed(1_500, "D,2020-13-01,1,1"),
    "numbers that could be read two ways": header(
        [f"A;{line[2:12]};{1000 if n < 1_000 else '1.234'};1" for n, line in enumerate(lines())]
    ).replace(",", ";"),
    "thousands": header([line.replace(",0.5", ',"1,000.5"') for line in lines()]),
}


@pytest.mark.parametrize("name", [*PLAIN, *NOT_PLAIN])
def test_blocks_and_the_whole_give_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes((PLAIN | NOT_PLAIN)[name].encode())
    words = name.startswith("words")
    settings = ReaderSettings(id_col="store", target=("promo" if words else "y",))
    examined, in_blocks = read_both_ways([str(path)], settings, monkeypatch)
    assert in_blocks == (name in PLAIN)
    assert not words or "224 values are missing (223 'NA', 1 '-')" in [found.message for found in examined.findings]
    if examined.reading is not None:
        assert len(examined.reading.input_time) == examined.rows > 800
        read_both_ways([str(path)], ReaderSettings(), monkeypatch, schema=examined.reading.panel.schema)


@pytest.mark.parametrize(
    ("encoding", "asked"),
    [("utf-16", None), ("utf-8-sig", None), ("utf-32", None), ("cp1252", "cp1252"), ("utf-16-be", "utf-16-be")],
)
def test_files_of_other_encodings_are_read_in_blocks(
    encoding: str, asked: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(header(lines()).replace("D,", "Zürich,").replace("\n", "\r\n").encode(encoding))
    examined, in_blocks = read_both_ways([str(path)], ReaderSettings(encoding=asked), monkeypatch)
    assert in_blocks
    assert examined.reading is not None
    assert examined.reading.panel.ids == ("A", "B", "C", "Zürich")
    assert read_both_ways([str(path)], ReaderSettings(), monkeypatch, schema=examined.schema)[1]


@pytest.mark.parametrize(
    ("wrong", "asked", "message"),
    [
        (b"Z\xfcrich,1\n", None, r"line 2003 is not utf-8: .*ric"),
        (b"a\x81,1\n", "cp1252", "is not cp1252"),
        (b"", "no-such", "there is no text encoding called 'no-such'"),
        (b"", "hex", "there is no text encoding called 'hex'"),
    ],
)
def test_what_is_no_text_is_told_as_for_small_files(
    wrong: bytes, asked: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(header(lines()).encode() + b"A,2030-01-01,1,1\n" + wrong)
    settings = ReaderSettings(encoding=asked)
    if asked in {"no-such", "hex"}:
        with pytest.raises(UsageError, match=message):
            examine([str(path)], settings)
        return
    examined, in_blocks = read_both_ways([str(path)], settings, monkeypatch)
    assert not in_blocks
    assert re.search(message, examined.findings[0].message)


@pytest.mark.parametrize(
    ("name", "message", "fix"),
    [
        ("a line with too many cells", "line 1502 has 5 cells, not 4", "correct these lines"),
        ("a word among the numbers", r"after line \d{3,}, holds words in column 'y'.* takes about .* GB", "plain"),
        ("numbers that could be read two ways", "such as 1.234", "--decimal ."),
    ],
)
def test_what_memory_has_no_room_for_is_not_read_as_a_whole(
    name: str, message: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(NOT_PLAIN[name])
    monkeypatch.setattr(roads, "memory", lambda: 100_000)
    monkeypatch.setattr(table, "whole", None)
    examined = examine([str(path)], ReaderSettings(id_col="store", target=("y",)))
    assert re.search(message, examined.findings[0].message)
    assert fix in str(examined.findings[0].fix)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_packed_files_are_unpacked_on_the_way(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = len(PLAIN["plain"]) // 2
    packed = pack(PLAIN["plain"][:half].encode()) + pack(PLAIN["plain"][half:].encode())
    path = tmp_path / "file.csv.packed"
    path.write_bytes(packed)
    assert read_both_ways([str(path)], ReaderSettings(), monkeypatch)[1]
    path.write_bytes(packed[:-9])
    examined, in_blocks = read_both_ways([str(path)], ReaderSettings(), monkeypatch)
    assert not in_blocks
    assert "damaged" in examined.findings[0].message


def test_a_line_break_in_quotes_ends_no_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.csv"
    path.write_text(header([line.replace("B,", '"B\nand more",') for line in lines()]), encoding="utf-8")
    assert read_both_ways([str(path)], ReaderSettings(id_col="store", target=("y",)), monkeypatch)[1]


def test_many_files_are_read_in_blocks_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        rows = "".join(f"{day},{number}.{day}\n" for day in range(1, 60))
        (tmp_path / f"s{number:02d}.csv").write_text(f"ds,y\n{rows}".rstrip("\n" * (number % 2)), encoding="utf-8")
    monkeypatch.setattr(roads, "LARGE", 10**9)
    examined, in_blocks = read_both_ways([str(tmp_path / "*.csv")], ReaderSettings(), monkeypatch)
    assert in_blocks
    assert examined.rows == 40 * 59
    (tmp_path / "s17.csv").write_text("ds,y\n1,2\nTotal,2\n", encoding="utf-8")
    assert not read_both_ways([str(tmp_path / "*.csv")], ReaderSettings(), monkeypatch)[1]
    (tmp_path / "forecasts.csv").write_text("unique_id,ds,cutoff,step,y_hat\nA,2,1,1,5\n", encoding="utf-8")
    (tmp_path / "s17.csv").unlink()
    monkeypatch.setattr(table, "streamed", roads.streamed)
    monkeypatch.setattr(table, "whole", None)
    examined = examine([str(tmp_path / "s*.csv"), str(tmp_path / "forecasts.csv")], ReaderSettings())
    assert str(examined.findings[0].fix).startswith(f"{tmp_path}/forecasts.csv looks like a forecast of lstmcast")


def test_a_column_grows_beyond_its_room_and_goes_on_in_a_file(tmp_path: Path) -> None:
    column = columnar.Column(np.int64, room=2)
    column.append(np.arange(5))
    column.move_to(tmp_path / "column")
    column.append(np.arange(5, 9))
    assert column.nbytes == 0
    column.as_floats()
    column.append(np.array([9.5]))
    assert column.whole().tolist() == [*range(9), 9.5]


@pytest.mark.parametrize("cell", ["-999", "-999.00"])
def test_a_number_named_as_missing_is_missing_however_it_is_written(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.csv"
    path.write_text("ds,y\n" + "".join(f"{n},{cell if n in (7, 400) else n / 2}\n" for n in range(900)))
    examined, in_blocks = read_both_ways([str(path)], ReaderSettings(na_values=("-999",)), monkeypatch)
    assert in_blocks
    assert [found.message for found in examined.findings] == ["2 values are missing (2 '-999')"]
    assert examined.reading is not None
    assert np.flatnonzero(~examined.reading.panel.observed[:, 0]).tolist() == [7, 400]
