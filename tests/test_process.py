"""What a process is told before numpy and torch are imported."""

from __future__ import annotations

import os
import sys

import pytest

from lstmcast import process


def test_large_blocks_are_kept_where_the_c_library_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(process, "keep_large_blocks", lambda: told.append(True))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.delenv(process.SWITCH, raising=False)
    process.prepare()
    assert told == [True]


def test_the_switch_leaves_the_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(process, "keep_large_blocks", lambda: told.append(True))
    monkeypatch.setenv(process.SWITCH, "0")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    process.prepare()
    assert told == []
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_threads_chosen_by_the_user_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "keep_large_blocks", lambda: False)
    monkeypatch.delenv(process.SWITCH, raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    process.prepare()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert process.keep_large_blocks() is False
