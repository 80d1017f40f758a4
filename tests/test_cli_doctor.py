"""The doctor: what it reports, and that a machine on which nothing learns is told so."""

from __future__ import annotations

import math

import pytest

from lstmcast.recipes import doctor as recipe


def test_a_healthy_machine_is_reported_with_versions_and_devices() -> None:
    outcome = recipe.doctor()
    assert outcome.code == 0
    assert outcome.facts["healthy"] is True
    assert outcome.facts["cpu"].startswith("learns: loss ")
    assert {"lstmcast", "python", "torch", "threads"} <= set(outcome.facts)
    assert outcome.table is not None
    assert {row[0] for row in outcome.table.rows} == set(outcome.facts) - {"healthy"}


@pytest.mark.parametrize("losses", [(1.0, 1.0), (1.0, math.nan)])
def test_a_device_that_does_not_learn_exits_7(monkeypatch: pytest.MonkeyPatch, losses: tuple[float, float]) -> None:
    monkeypatch.setattr(recipe, "_learn", lambda device: losses)
    outcome = recipe.doctor()
    assert outcome.code == 7
    assert outcome.facts["cpu"].startswith("does not learn")
    assert "choose another with --device" in outcome.lines[0]


def test_a_device_that_fails_exits_7_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: str) -> tuple[float, float]:
        raise RuntimeError("no kernel image is available\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(recipe, "_learn", broken)
    outcome = recipe.doctor()
    assert outcome.code == 7
    assert outcome.facts["cpu"] == "failed: no kernel image is available"
