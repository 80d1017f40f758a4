"""docs/data.md: a row for each way a file can be, and no flag that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_every_flag_the_page_names_exists() -> None:
    flags = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert len(flags) > 30
    assert not {flag for flag in flags if not re.search(rf"{flag}(?![\w-])", REFERENCE)}


def test_the_page_has_each_of_the_46_rows_once() -> None:
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(range(1, 47))
