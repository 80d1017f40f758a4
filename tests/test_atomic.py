"""Outputs are the old ones or the new ones, whole: whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lstmcast.atomic import finish_together, replace_file, replace_folder, replace_together, sweep, whole_folder
from lstmcast.errors import ResourceError

WRITE_SLOWLY = """
import sys, time
from pathlib import Path
from lstmcast.atomic import {what}
with {what}(Path(sys.argv[1])) as place:
    {write}
    sys.stdout.write("half\\n")
    sys.stdout.flush()
    time.sleep(30)
"""


def test_a_failure_while_writing_keeps_the_old_file_and_leaves_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")

    def fail() -> None:
        with replace_file(target) as file:
            file.write("half of the new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_replaced_whole_with_ordinary_permissions(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.csv"
    with replace_file(target) as file:
        file.write("a\nb\n")
    assert target.read_bytes() == b"a\nb\n"
    (tmp_path / "usual").write_text("")
    assert target.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_failure_while_writing_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "a").write_text("old")

    def fail() -> None:
        with replace_folder(target) as folder:
            (folder / "a").write_text("new")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("old", "new"):
        with replace_folder(target) as folder:
            (folder / content).write_text(content)
    assert [file.name for file in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_after_a_swap_that_died_half_way_readers_find_the_old_folder_and_writers_tidy_up(tmp_path: Path) -> None:
    target, aside = tmp_path / "model", tmp_path / ".model.old"
    aside.mkdir()
    (aside / "a").write_text("old")
    assert (whole_folder(target) / "a").read_text() == "old"
    assert not target.exists()
    with replace_folder(target) as folder:
        assert (target / "a").read_text() == "old"
        (folder / "a").write_text("new")
    assert (whole_folder(target) / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_to_a_folder_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "v1", tmp_path / "current"
    real.mkdir()
    link.symlink_to(real)
    with replace_folder(link) as folder:
        (folder / "a").write_text("new")
    assert link.is_symlink()
    assert (real / "a").read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [link, real]


@pytest.mark.parametrize(
    ("what", "write"),
    [("replace_file", "place.write('half')"), ("replace_folder", "(place / 'a').write_text('half')")],
)
def test_a_killed_process_leaves_the_old_output(tmp_path: Path, what: str, write: str) -> None:
    target = tmp_path / "out"
    if what == "replace_folder":
        target.mkdir()
        (target / "a").write_text("old")
    else:
        target.write_text("old")
    script = WRITE_SLOWLY.format(what=what, write=write)
    with subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    kept = whole_folder(target)
    assert (kept / "a" if what == "replace_folder" else kept).read_text() == "old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_full_disk_or_a_missing_permission_is_a_resource_error(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)

    def write() -> None:
        with replace_file(target) as file:
            file.write("new")

    with pytest.raises(ResourceError, match="the disk is full" if number == errno.ENOSPC else "cannot be written"):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_writer_killed_days_ago_left_behind_is_removed_and_what_may_be_alive_is_not(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    dead, alive, other = (tmp_path / f".{name}.tmp" for name in ("out.csv.abcd1234", "out.csv.abcd5678", "x.abcd1234"))
    for place in (dead, alive, other):
        place.write_text("half")
    for place in (dead, other):
        os.utime(place, (0, 0))
    with replace_file(target) as file:
        file.write("new")
    assert sorted(tmp_path.iterdir()) == sorted([target, alive, other])
    assert sweep(target) == 1
    assert not alive.exists()


def test_several_files_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    staged, journal = tmp_path / "staged", tmp_path / ".journal"
    staged.write_text("new")
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("old")
    second.mkdir()
    with pytest.raises(ResourceError, match=r"b\.csv cannot be written"):
        replace_together({first: staged, second: staged}, journal=journal)
    assert first.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [first, second, staged]
    second.rmdir()
    replace_together({first: staged, second: staged}, journal=journal)
    assert (first.read_text(), second.read_text()) == ("new", "new")
    assert sorted(tmp_path.iterdir()) == [first, second, staged]


def test_renames_that_a_death_interrupted_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged, journal = tmp_path / "staged", tmp_path / ".journal"
    staged.write_text("new")
    places = [tmp_path / name for name in ("a.csv", "b.csv")]
    with monkeypatch.context() as patch:
        patch.setattr("lstmcast.atomic.finish_together", lambda _: False)
        replace_together(dict.fromkeys(places, staged), journal=journal)
    assert not any(place.exists() for place in places)
    assert finish_together(journal)
    assert [place.read_text() for place in places] == ["new", "new"]
    assert not finish_together(journal)
    assert sorted(tmp_path.iterdir()) == [*places, staged]
