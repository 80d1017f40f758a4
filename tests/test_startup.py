"""Start-up: what a command does not need is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "pandas", "numpy", "altair", "sklearn", "rich", "yaml")
PROGRAM = """
import sys
from lstmcast.cli.app import run
code = run(sys.argv[1:])
sys.stderr.write("\\n" + " ".join([str(code), *sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def modules_after(*arguments: str, cwd: Path) -> tuple[int, set[str]]:
    """Exit code of a command line and the top-level modules it imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = done.stderr.splitlines()[-1].split()
    return int(code), set(modules)


@pytest.mark.parametrize("line", ["--help", "--version", "train --help", "predict -h", "trian", "train --horizn 3"])
def test_help_version_and_misspelt_commands_import_nothing_heavy(line: str, tmp_path: Path) -> None:
    _, modules = modules_after(*line.split(), cwd=tmp_path)
    assert not modules & set(HEAVY)


def test_list_imports_no_member_and_no_torch(tmp_path: Path) -> None:
    code, modules = modules_after("list", "cells", cwd=tmp_path)
    assert code == 0
    assert not modules & set(HEAVY)


def test_a_fault_in_the_settings_is_told_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    code, modules = modules_after("train", "a.csv", "--horizon", "two", cwd=tmp_path)
    assert code == 2
    assert not modules & set(HEAVY)


def test_check_never_imports_torch(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{day:02d},{day % 7}\n" for day in range(1, 31))
    (tmp_path / "sales.csv").write_text(f"ds,y\n{rows}", encoding="utf-8")
    code, modules = modules_after("check", "sales.csv", cwd=tmp_path)
    assert code == 0
    assert not modules & {"torch", "sqlalchemy", "psycopg"}
