"""State: what a watch remembers between two deliveries, so that parts give what the whole would have given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lstmcast.anomaly.carried import Carried
from lstmcast.anomaly.events import Event
from lstmcast.anomaly.remembering import Forgotten, most_rows
from lstmcast.anomaly.rhythm import Rhythm
from lstmcast.anomaly.sequences import Unit
from lstmcast.anomaly.watch import Channel, Memory, Plan
from lstmcast.atomic import replace_folder, whole_folder
from lstmcast.data.schema import Schema
from lstmcast.data.writer import write_json
from lstmcast.errors import ModelError, UsageError

FORMAT_VERSION = 2  # 1 remembered every row
FACTS, ARRAYS = "state.json", "state.safetensors"
_COLUMNS = ("time", "y", "expected", "lower", "upper", "error", "z")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the next delivery builds on.

    ``fingerprint`` sha256 of the bytes of the last delivery and ``asked`` what was asked of it: with both the same
    there is nothing to do. ``told`` ids of the events reported so far, ``open_events`` those that could still grow.
    ``channels`` by name. ``noted`` as JSON values, what makes it possible to read the tail of a grown file alone.
    ``carried`` what a stateful model goes on from.
    """

    schema: Schema
    plan: Plan
    rhythm: Rhythm
    memory: Memory
    channels: Mapping[str, Channel]
    fingerprint: str
    asked: str
    told: tuple[str, ...]
    open_events: tuple[Event, ...] = ()
    noted: Mapping[str, Any] | None = None
    carried: Carried | None = None


def load_state(folder: Path) -> State | None:
    """The state kept in ``folder``; None if there is none yet.

    Raises ``UsageError`` for a folder of something else, ``ModelError`` if the state is damaged or of a newer format.
    """
    folder = whole_folder(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / FACTS).is_file():
        raise UsageError(f"{folder} holds no detector state", remedy="name a folder of its own: --state FOLDER")
    remedy = f"remove {folder} to begin anew; the history is then judged again"
    try:
        facts = json.loads((folder / FACTS).read_bytes())
        if facts["format_version"] > FORMAT_VERSION:
            raise ModelError(f"the state in {folder} was written by a newer version", remedy=remedy)
        return _state(facts, load_file(folder / ARRAYS))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the state in {folder} is damaged: {reason}", remedy=remedy) from error


def save_state(state: State, folder: Path) -> None:
    """Replace the state in ``folder``, whole or not at all. Equal states give equal bytes."""
    arrays: dict[str, Any] = {}
    for number, channel in enumerate(state.channels.values()):
        arrays |= {f"channel.{number}.{name}": np.ascontiguousarray(getattr(channel, name)) for name in _COLUMNS}
    weights = state.memory.weights or {}
    arrays |= {f"weights.{name}": array for name, array in weights.items()}
    if state.carried is not None:
        named = state.carried.arrays().items()
        arrays |= {f"carried.{name}": np.ascontiguousarray(array) for name, array in named}
    facts = {
        "format_version": FORMAT_VERSION,
        "schema": state.schema.model_dump(mode="json"),
        "plan": asdict(state.plan),
        "rhythm": asdict(state.rhythm),
        "lessons": state.memory.lessons,
        "ended": state.memory.ended,
        "channels": [
            {
                "name": channel.name,
                "unit": None if channel.unit is None else asdict(channel.unit),
                "forgotten": asdict(channel.forgotten),
            }
            for channel in state.channels.values()
        ],
        "fingerprint": state.fingerprint,
        "asked": state.asked,
        "told": list(state.told),
        "open_events": [asdict(event) for event in state.open_events],
        "noted": state.noted,
        "carried": None if state.carried is None else state.carried.model,
    }
    with replace_folder(folder) as place:
        save_file(arrays, place / ARRAYS)
        write_json(facts, place / FACTS)


def _state(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> State:
    channels = {}
    for number, said in enumerate(facts["channels"]):
        columns = {name: arrays[f"channel.{number}.{name}"] for name in _COLUMNS}
        unit = None if said["unit"] is None else Unit(**said["unit"])
        forgotten = Forgotten(**said.get("forgotten", {}))
        channels[said["name"]] = Channel(name=said["name"], unit=unit, forgotten=forgotten, **columns)
    weights = {name.removeprefix("weights."): array for name, array in arrays.items() if name.startswith("weights.")}
    taken = {name.removeprefix("carried."): part for name, part in arrays.items() if name.startswith("carried.")}
    return State(
        schema=Schema.model_validate(facts["schema"]),
        plan=Plan(**{"most": most_rows(facts["plan"]["warm_up"])} | facts["plan"]),
        rhythm=Rhythm(**facts["rhythm"]),
        memory=Memory(facts["lessons"], facts["ended"], weights or None),
        channels=channels,
        fingerprint=facts["fingerprint"],
        asked=facts["asked"],
        told=tuple(facts["told"]),
        open_events=tuple(Event(**said) for said in facts["open_events"]),
        noted=facts.get("noted"),
        carried=Carried.of(facts["carried"], taken) if facts.get("carried") else None,
    )
