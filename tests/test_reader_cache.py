"""Columns of large files are kept by the hash of the file; what does not fit into memory lies in files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from lstmcast.config import ReaderSettings
from lstmcast.data import blocks, roads, room, stream
from lstmcast.data.reader import Reading, read
from lstmcast.data.shelf import Shelf
from lstmcast.errors import ResourceError

ROWS = 200_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, and files that count as large."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(roads, "LARGE", 0)
    return tmp_path / "cache" / "lstmcast" / "columns"


def write(path: Path, *, last: str = "7.25") -> Path:
    days = [str(day) for day in np.datetime64("2000-01-01") + np.arange(2_000)]
    lines = [f"s{n // 2_000},{days[n % 2_000]},{n % 97}.5" for n in range(ROWS)]
    path.write_text("\n".join(["unique_id,ds,y", *lines[:-1], f"s99,{days[-1]},{last}"]) + "\n", encoding="utf-8")
    return path


def kept(path: Path, **settings: int) -> Reading:
    return read([str(path)], ReaderSettings(cache_above_mb=1, **settings))


def test_the_second_reading_takes_the_columns_of_the_first(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "large.csv")
    plain = read([str(path)], ReaderSettings(cache_above_mb=0))
    assert not cache.exists()
    first = kept(path)
    (entry,) = cache.iterdir()
    monkeypatch.setattr(stream.plain, "parsed", lambda text, plan: pytest.fail("the file was parsed again"))
    monkeypatch.setattr(blocks, "SIZE", 2**14)
    monkeypatch.setattr(stream.Stream, "_add", lambda self, text, first_line, last: None)
    again = kept(path)
    for reading in (first, again):
        assert reading.fingerprint == plain.fingerprint
        assert reading.panel.ids == plain.panel.ids
        assert reading.findings == plain.findings
        np.testing.assert_array_equal(reading.panel.values, plain.panel.values)
        np.testing.assert_array_equal(reading.input_time, plain.input_time)
    assert list(cache.iterdir()) == [entry]


def test_a_file_that_has_changed_is_read_anew_though_its_size_is_the_same(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "large.csv")
    before = path.stat()
    assert kept(path).panel.values[-1, 0] == 7.25
    write(path, last="8.25")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert kept(path).panel.values[-1, 0] == 8.25
    assert len(list(cache.iterdir())) == 2


def test_the_cache_may_be_emptied_or_damaged_at_any_time(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "large.csv")
    values = kept(path).panel.values
    shutil.rmtree(cache)
    np.testing.assert_array_equal(kept(path).panel.values, values)
    (entry,) = cache.iterdir()
    for harm in (Path.unlink, lambda column: os.truncate(column, 800)):
        harm(entry / "2")
        np.testing.assert_array_equal(kept(path).panel.values, values)
        assert (entry / "2").stat().st_size == 8 * ROWS


def test_the_oldest_entries_make_room_for_new_ones(cache: Path) -> None:
    shelf = Shelf({"way": "one"}, limit=2_500)
    for age, name in enumerate(("a", "b", "c")):
        draft = shelf.draft()
        (draft / "0").write_bytes(bytes(1_000))
        shelf.keep(draft, name, {"size": 1})
        for folder in cache.glob(f"*-{name}"):
            os.utime(folder, (age, age))
    assert sorted(folder.name[-1] for folder in cache.iterdir()) == ["b", "c"]
    draft = shelf.draft()
    (draft / "0").write_bytes(bytes(3_000))
    shelf.keep(draft, "d", {"size": 1})
    assert sorted(folder.name[-1] for folder in cache.iterdir()) == ["b", "c"]


def test_a_cache_folder_that_cannot_be_written_is_told_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "large.csv")
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="cannot be kept in the cache folder") as caught:
        kept(path)
    assert "cache_above_mb=0" in caught.value.remedy


def test_arrays_beyond_what_memory_has_room_for_are_mapped_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "large.csv")
    plain = read([str(path)], ReaderSettings(cache_above_mb=0)).panel
    monkeypatch.setattr(room, "memory", lambda: 10**6)
    mapped = kept(path).panel
    assert isinstance(mapped.values, np.memmap)
    assert not isinstance(plain.values, np.memmap)
    np.testing.assert_array_equal(mapped.values, plain.values)
    np.testing.assert_array_equal(mapped.observed, plain.observed)


def test_memory_is_the_least_of_what_machine_container_and_process_allow() -> None:
    assert 2**26 < room.memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
