"""Members: in what the networks of an ensemble differ. Structure beats seeds."""

from __future__ import annotations

from typing import Any

from lstmcast.config import Settings
from lstmcast.fit.rules import Regime

_SHORT: tuple[dict[str, Any], ...] = (
    {},
    {"transform": "none", "normaliser": "level"},
    {"correction": False},
    {"spread": "deviation", "error": "normalised", "highway": True},
    {"normaliser": "level", "hidden": 64, "highway": True},
)
_PANEL: tuple[dict[str, Any], ...] = ({}, {}, {})
_LONG: tuple[dict[str, Any], ...] = ({}, {}, {"highway": False})

_WAYS: dict[Regime, tuple[dict[str, Any], ...]] = {"short": _SHORT, "panel": _PANEL, "long": _LONG, "stateful": ({},)}


def usual(chosen: Regime, budget: str) -> int:
    """How many members a regime has unless told otherwise; a fast budget has one, the best twice as many."""
    return {"fast": 1, "auto": 1, "best": 2}[budget] * (1 if budget == "fast" else len(_WAYS[chosen]))


def differences(chosen: Regime, settings: Settings, number: int) -> list[dict[str, Any]]:
    """What each of ``number`` members changes in the network settings; what the user has set stays as it is."""
    given = settings.network.model_fields_set
    ways = _WAYS[chosen]
    return [{key: value for key, value in ways[k % len(ways)].items() if key not in given} for k in range(number)]
