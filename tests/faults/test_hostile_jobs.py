"""Whatever a job file holds, it is a job or it is refused with a sentence: no traceback, no hang, nothing executed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lstmcast.cli.app import run as command
from lstmcast.errors import UsageError
from lstmcast.ops.job import Job, JobFile, read_job
from lstmcast.recipes.listing import choices
from tests.test_run import JOB

pytestmark = pytest.mark.fault

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
FUZZED = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALID = yaml.safe_dump(JOB | {"retrain": {"max_age": "7d"}, "detect": {"budget": "1/week"}, "stale_after": "36h"})
BOMB = "a: &a0 [x, x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)) + "\ninput: *a59"
MERGED = "a: &a0 {x: 1}\n" + "\n".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 60))
SECTIONS = ("reader", "network", "training", "detection")

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(), st.binary(max_size=8),
    st.sampled_from(["5%", "36h", "1/week", "sqlite:///x.db", "$HOME", "../..", "-", "never", "nan", "1e999", "0" * 9]),
)  # fmt: skip
keys = st.one_of(st.sampled_from([*JobFile.model_fields, *SECTIONS]), st.text(max_size=10), st.integers(), st.none())
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


def read(folder: Path, data: bytes) -> Job | None:
    """The job in ``data``, None where it is refused as it ought to be."""
    path = folder / "job.yaml"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        return read_job(path, choices=choices())
    return None


@FUZZED
@given(st.dictionaries(keys, trees, max_size=8))
def test_any_tree_is_a_job_or_refused(tmp_path: Path, tree: dict[Any, Any]) -> None:
    read(tmp_path, yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))


@FUZZED
@given(st.binary(max_size=300))
@example(b"\xff\xfe\x00")
@example(b"input: x\x00y")
@example(b"[" * 5000)
@example(b"- " * 5000)
@example(b"{a: " * 3000)
@example(b"input: x.csv\nkeep: " + b"9" * 5000)
@example(b"input: 2024-02-30")
@example(b"input: x\n" * 3)
@example(BOMB.encode())
@example(MERGED.encode())
@example(b"input: &a [*a]")
@example(b"input: &a {b: *a}\nmodel: *unknown")
@example(b"input: !!python/object/apply:os.system ['touch executed']")
@example(b"!!python/object/new:os.system ['touch executed']")
def test_any_bytes_are_a_job_or_refused(tmp_path: Path, data: bytes) -> None:
    read(tmp_path, data)
    assert not (tmp_path / "executed").exists()
    assert not Path("executed").exists()


@FUZZED
@given(st.integers(0, len(VALID)), st.integers(0, 12), st.text(max_size=6))
def test_any_damage_to_a_good_job_leaves_a_job_or_is_refused(tmp_path: Path, at: int, gone: int, put: str) -> None:
    text = VALID[:at] + put + VALID[at + gone :]
    read(tmp_path, text.encode("utf-8", "surrogatepass"))


@FUZZED
@given(st.sampled_from([*JobFile.model_fields, *(f"{s}.x" for s in SECTIONS)]), trees)
def test_any_value_of_a_key_is_taken_or_refused_by_its_name(tmp_path: Path, key: str, value: Any) -> None:
    section, _, inner = key.partition(".")
    path = tmp_path / "job.yaml"
    job = JOB | {section: {inner: value} if inner else value}
    path.write_text(yaml.safe_dump(job, allow_unicode=True), "utf-8", "surrogatepass")
    try:
        read_job(path, choices=choices())
    except UsageError as error:
        assert section in error.message  # noqa: PT017  # or the job is good


@pytest.mark.parametrize("data", [b"[" * 5000, BOMB.encode(), MERGED.encode(), b"\xff\xfe\x00", b"input: [1, {2: 3}]"])
def test_a_hostile_job_ends_the_command_with_2_and_a_sentence(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(data)
    assert command(["run", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "Traceback" not in told
