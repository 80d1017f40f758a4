"""The journey of ``lstmcast list``: the family tables, without importing their members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from lstmcast.errors import UsageError
from lstmcast.family import Family, nearest
from lstmcast.outcome import Outcome, Table


class _Tables(Mapping[str, Family]):
    """Family tables by name, each imported when it is asked for: that of the baselines brings numpy."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, kind: str) -> Family:
        module, _, attribute = self._places[kind].partition(":")
        table: Family = getattr(import_module(module), attribute)
        return table

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


FAMILIES: Mapping[str, Family] = _Tables(
    {
        "cells": "lstmcast.net.cells:CELLS",
        "decoders": "lstmcast.net.decoder:DECODERS",
        "losses": "lstmcast.net.heads:LOSSES",
        "transforms": "lstmcast.net.transforms:TRANSFORMS",
        "normalisers": "lstmcast.net.normalise:NORMALISERS",
        "bases": "lstmcast.net.bases:BASES",
        "comparators": "lstmcast.study:COMPARATORS",
        "baselines": "lstmcast.forecast.baselines:BASELINES",
    }
)
SETTINGS = {
    "cell": "cells",
    "decoder": "decoders",
    "loss": "losses",
    "transform": "transforms",
    "normaliser": "normalisers",
    "base": "bases",
}
"""The settings fields that name a member, and of which family."""


def choices() -> Mapping[str, Family]:
    """The table behind each settings field that names a member of a family."""
    return {name: FAMILIES[kind] for name, kind in SETTINGS.items()}


def list_members(family: str | None) -> Outcome:
    """Name and summary of every member of ``family``, or of all families. Raises ``UsageError``."""
    if family is not None and family not in FAMILIES:
        raise UsageError(f"there is no family called {family!r}", remedy=nearest(family, list(FAMILIES)))
    shown = {kind: FAMILIES[kind] for kind in ([family] if family else FAMILIES)}
    rows = tuple((kind, name, member.summary) for kind, table in shown.items() for name, member in table.items())
    facts = {kind: {name: member.summary for name, member in table.items()} for kind, table in shown.items()}
    return Outcome(facts=facts, table=Table("", ("family", "name", "summary"), rows))
