"""How a run ends: every exit code the command can give, and what it leaves on the terminal."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lstmcast import errors
from lstmcast.cli.app import run
from lstmcast.cli.failures import Terminated

ROOT = Path(__file__).parents[1]
RAISE_IN_TRAIN = """
import sys, time
from types import ModuleType
recipe = ModuleType("lstmcast.recipes.train")
def train(*_, **__):
    sys.stderr.write("ready\\n")
    sys.stderr.flush()
    time.sleep(30)
recipe.train = train
sys.modules[recipe.__name__] = recipe
from lstmcast.cli.app import main
sys.argv = ["lstmcast", "train", "a.csv", *sys.argv[1:]]
main()
"""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[BaseException], None]:
    """Let ``lstmcast train`` raise; crash reports go to the test's own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def replace(error: BaseException) -> None:
        def train(*_: Any, **__: Any) -> None:
            raise error

        stand_in = ModuleType("lstmcast.recipes.train")
        stand_in.train = train  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)

    return replace


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError, 2),
        (errors.DataError, 3),
        (errors.ModelError, 4),
        (errors.DivergedError, 5),
        (errors.ResourceError, 7),
        (errors.TooShortError, 12),
        (errors.StoppedError, 130),
    ],
)
def test_every_error_of_the_package_keeps_its_exit_code_and_ends_with_its_remedy(
    error: type[errors.LstmcastError],
    code: int,
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(error("series A has 3 rows", remedy="use --short pad"))
    assert run(["train", "a.csv"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == ["error: series A has 3 rows", "use --short pad"]
    assert run(["train", "a.csv", "--json", "-q"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told == {"error": "series A has 3 rows", "remedy": "use --short pad", "exit_code": code}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StoppedError("stopped", signal_number=signal.SIGTERM), 143),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (MemoryError(), 7),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), 7),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"), 7),
        (OSError(errno.ENOSPC, "No space left on device"), 7),
        (BrokenPipeError(), 0),
        (RuntimeError("shapes do not match"), 70),
        (OSError(errno.EIO, "Input/output error"), 70),
    ],
)
def test_other_endings_have_their_exit_code(
    error: BaseException,
    code: int,
    failing: Callable[[BaseException], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lstmcast.cli.app._let_go_of_stdout", lambda: None)
    failing(error)
    assert run(["train", "a.csv"]) == code


def test_a_bug_leaves_a_crash_report_and_names_it_last(
    failing: Callable[[BaseException], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(KeyError("lanes"))
    assert run(["train", "a.csv"]) == 70
    told = capsys.readouterr().err
    (report,) = tmp_path.glob("lstmcast-crash-*.txt")
    assert str(report) in told.splitlines()[-1]
    assert "Traceback" not in told
    assert "KeyError: 'lanes'" in report.read_text(encoding="utf-8")
    assert run(["train", "a.csv", "--json"]) == 70
    assert Path(json.loads(capsys.readouterr().out)["crash_report"]).exists()


def test_debug_shows_the_traceback(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(KeyError("lanes"))
    assert run(["train", "a.csv", "--debug"]) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_bug_is_told_even_where_no_report_can_be_written(
    failing: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    failing(KeyError("lanes"))
    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert run(["train", "a.csv"]) == 70
    assert capsys.readouterr().err.splitlines()[-1] == "run it again with --debug and report what it prints"


def test_a_log_file_that_cannot_be_opened_exits_7(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(AssertionError("the recipe must not run"))
    assert run(["train", "a.csv", "--log-file", "no/such/folder/log"]) == 7
    assert "--log-file" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])  # as shells start what they put behind them
def test_a_signal_ends_the_process_with_its_code_and_a_sentence(
    number: int, code: int, before: signal.Handlers, tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", RAISE_IN_TRAIN],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, before),
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(number)
        told = process.stderr.read().splitlines()
    assert process.returncode == code
    assert told[0].startswith("error: ")
    assert told[-1] == "run the same command again"


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_leaves_ends_the_process_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "lstmcast", "list"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
    assert (process.returncode, told) == (0, "")


@pytest.mark.parametrize("verb", ["config", "model"])
@pytest.mark.parametrize(
    ("action", "remedy"), [("shw", "did you mean 'show'?"), ("xyz", "`lstmcast {} --help` shows the options")]
)
def test_an_action_that_is_not_there_is_refused_with_the_nearest_one(
    verb: str, action: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([verb, action]) == 2
    said = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"error: invalid value for 'show\|[a-z|]+': '{action}' is not one of 'show', .+", said[0])
    assert said[1] == remedy.format(verb)
