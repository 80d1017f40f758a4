"""Any bytes in: a Reading or an error with a remedy, never a traceback, never a hang."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lstmcast.config import ReaderSettings
from lstmcast.data import roads
from lstmcast.data.reader import examine
from lstmcast.errors import UsageError

CELLS = st.one_of(
    st.integers(-5, 3000).map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.text(max_size=4),
    st.sampled_from(["", "NA", "-", "1,5", "1.234", "1.234,5", "45000", "1700000000", "01/02/2024", "13.02.2024"]),
    st.sampled_from(
        ["2024Q1", "True", "inf", "1e308", '"', "\0", "9999-12-31", "１２", "99999999999999999999", "1 234"]
    ),
)
STYLES = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%d %b %Y", "%Y%m%d")


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    width, rows = draw(st.integers(1, 4)), draw(st.integers(0, 8))
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    head = draw(st.sampled_from([["ds", "y", "unique_id", "x"], ["date", "sales", "store", "y"], ["", "a", "b", "c"]]))
    lines = [head[:width], *(draw(st.lists(CELLS, min_size=width, max_size=width)) for _ in range(rows))]
    return "\n".join(separator.join(line) for line in lines).encode("utf-8", "replace")


@st.composite
def series(draw: st.DrawFn) -> bytes:
    style, separator = draw(st.sampled_from(STYLES)), draw(st.sampled_from([",", ";"]))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 0, 2, 31, -1]), min_size=2, max_size=12))
    start, lines = datetime(2024, draw(st.integers(1, 12)), draw(st.integers(1, 28))), [["ds", "unique_id", "y", "x"]]
    for step in steps:
        start += timedelta(days=step)
        value = draw(st.sampled_from(["1", "2.5", "-3", "0", "", "NA"]))
        lines.append([start.strftime(style), draw(st.sampled_from("AAAB")), value, draw(st.sampled_from(["", "1"]))])
    return "\n".join(separator.join(line) for line in lines).encode()


FLAGS: dict[str, Any] = {
    "wide": st.booleans(),
    "tz": st.sampled_from(["Europe/Berlin", "+02:00"]),
    "freq": st.sampled_from(["D", "h", "1", "MS"]),
    "decimal": st.sampled_from([".", ","]),
    "duplicates": st.sampled_from(["sum", "mean", "first", "last"]),
    "gaps": st.sampled_from(["zero", "error"]),
    "future": st.just(("x",)),
    "epoch_unit": st.sampled_from(["s", "ns", "excel"]),
    "skip_rows": st.integers(0, 2),
    "max_gap": st.integers(0, 40),
    "resample": st.sampled_from(["D", "h", "5min", "2", "ME", "W"]),
    "agg": st.sampled_from(["mean", "sum", "first", "last"]),
    "drop_incomplete": st.booleans(),
    "since": st.sampled_from(["2024-01-02", "3"]),
    "units": st.just("refuse"),
    "past": st.just(("x",)),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "f.csv"


@st.composite
def reports(draw: st.DrawFn) -> bytes:
    """A table with lines around it, units around its numbers, words beside them and times that jitter."""
    dress = draw(st.sampled_from(["{}", "{} €", "$ {}", "{} %", "({})", "{}-"]))
    step = draw(st.sampled_from([60, 300, 3600, 86400]))
    jitter = draw(st.lists(st.integers(-20, 20), min_size=4, max_size=30))
    above = draw(st.lists(st.sampled_from(["Report", "# note", "", "a;b", "2024-01-01"]), max_size=3))
    below = draw(st.lists(st.sampled_from(["Total;5;", "3 rows", "# end", ";;", "Summe;1"]), max_size=2))
    units = draw(st.sampled_from([[], ["[time];[kWh];"], [";kWh;-"]]))
    start, lines = datetime(2024, 1, 1), []
    for n, off in enumerate(jitter):
        value = draw(st.sampled_from(["1", "2,5", "1.234,5", "-999", "0", "NA", "7"]))
        when = start + timedelta(seconds=step * n + (off if step > 60 else 0))
        lines.append(f"{when};{dress.format(value)};{draw(st.sampled_from(['yes', 'no', 'sun', '']))}")
    return "\n".join([*above, "ds;y;x", *units, *lines, *below]).encode()


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "250"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.one_of(st.binary(max_size=120), tables(), series(), series(), reports()),
    flags=st.one_of(st.just({}), st.fixed_dictionaries({}, optional=FLAGS)),
)
def test_any_bytes_give_a_reading_or_an_error_with_a_remedy(path: Path, data: bytes, flags: dict[str, Any]) -> None:
    path.write_bytes(data)
    try:
        reading = examine([str(path)], ReaderSettings.model_validate(flags))
    except UsageError:
        return
    if reading.panel is None:
        errors = [finding for finding in reading.findings if finding.severity == "error"]
        assert errors
        assert all(finding.fix for finding in errors)
        return
    panel, schema = reading.panel, reading.panel.schema
    assert len(reading.reading.panel_row) == reading.rows * (len(schema.targets) if schema.wide else 1)
    assert panel.observed[panel.offsets[:-1]].any(axis=1).all()
    assert panel.observed[panel.ends - 1].any(axis=1).all()
    assert np.isfinite(panel.values).all()
    texts = schema.clock.format(panel.times(np.arange(len(panel.values))))
    assert len(texts) == len(panel.values)
    again = examine([str(path)], ReaderSettings(), schema=schema)
    assert again.panel is not None
    assert (again.panel.values == panel.values).all()
    assert (again.reading.panel_row == reading.reading.panel_row).all()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.one_of(st.binary(max_size=120), tables(), series(), series(), reports()),
    flags=st.one_of(st.just({}), st.fixed_dictionaries({}, optional=FLAGS)),
)
@example(data=b",\n\x01,\n,0", flags={})
@example(data=b",,,\n,,0,\n,,NA,0", flags={"wide": True})
def test_read_in_blocks_or_as_a_whole_any_bytes_give_the_same(path: Path, data: bytes, flags: dict[str, Any]) -> None:
    path.write_bytes(data)
    assert_both_roads_agree(path, ReaderSettings.model_validate(flags))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.one_of(tables(), series(), reports()),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "cp1252", "shift_jis", "utf-7"]),
    comments=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["#", "# a, b", "#5,x", '# 5" pipe', "#2024,1,2"]))
    ),
    asked=st.booleans(),
)
def test_both_roads_agree_on_comments_and_encodings(
    path: Path, data: bytes, encoding: str, comments: list[tuple[int, str]], asked: bool
) -> None:
    lines = data.decode("utf-8", "ignore").split("\n")
    for place, comment in comments:
        lines.insert(place, comment)
    path.write_bytes("\n".join(lines).encode(encoding, "ignore"))
    assert_both_roads_agree(path, ReaderSettings(encoding=encoding if asked else None))


def assert_both_roads_agree(path: Path, asked: ReaderSettings) -> None:
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for large in (0, 10**9):
            patch.setattr(roads, "LARGE", large)
            try:
                found.append(examine([str(path)], asked))
            except UsageError as error:
                found.append(str(error))
    ours, theirs = found
    if isinstance(ours, str) or isinstance(theirs, str):
        assert ours == theirs
        return
    assert [finding.facts() for finding in ours.findings] == [finding.facts() for finding in theirs.findings]
    assert (ours.schema, ours.rows) == (theirs.schema, theirs.rows)
    if ours.panel is not None:
        np.testing.assert_array_equal(ours.panel.values, theirs.panel.values)
        np.testing.assert_array_equal(ours.panel.start, theirs.panel.start)
        np.testing.assert_array_equal(ours.panel.covariates, theirs.panel.covariates)
        np.testing.assert_array_equal(ours.reading.panel_row, theirs.reading.panel_row)
