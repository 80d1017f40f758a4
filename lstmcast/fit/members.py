"""Members: in what the networks of an ensemble differ. Structure beats seeds."""

from __future__ import annotations

from typing import Any

from lstmcast.config import Settings
from lstmcast.fit.facts import Facts
from lstmcast.fit.rules import FAR, Regime, affordable_context
from lstmcast.net.architecture import Architecture

Difference = dict[str, Any]

_SHORT: tuple[Difference, ...] = (
    {},
    {"transform": "none", "normaliser": "level"},
    {"correction": False},
    {"spread": "deviation", "error": "normalised", "highway": True},
    {"normaliser": "level", "hidden": 64, "highway": True},
)


def differences(chosen: Regime, settings: Settings, facts: Facts, first: Architecture) -> list[Difference]:
    """What each member changes in the network settings of the ``first``, whose entry is empty.

    What the user has set stays as it is. As many as were asked for, else as many as the budget allows.
    """
    ways = _ways(chosen, facts, first)
    number = (
        settings.training.members or {"fast": 1, "auto": len(ways), "best": 2 * len(ways)}[settings.training.budget]
    )
    given = settings.network.model_fields_set
    return [{key: value for key, value in ways[k % len(ways)].items() if key not in given} for k in range(number)]


def _ways(chosen: Regime, facts: Facts, first: Architecture) -> tuple[Difference, ...]:
    if chosen == "short":
        return _SHORT
    if chosen == "classes":
        return ({}, {}, {})
    if chosen == "stateful":
        return ({},)
    if chosen == "long":
        unit = {"spread": "history"} if first.transform == "none" else {}
        far = FAR // first.patch * first.patch
        return ({}, {"context": far, "highway": False, **unit}, {"context": far, **unit})
    if first.base == "seasonal" and first.seasons:
        nearer = 2 * max(first.seasons)
        return ({}, {"normaliser": "last"}, {"base": "none"}, {"context": min(nearer, first.context)})
    most = affordable_context(facts, first.horizon, first.patch)
    far, farther, near = (min(patches * first.patch, most) for patches in (8, 12, 4))
    return ({}, {"context": far}, {"context": farther}, {"context": near, "normaliser": "revin"})
