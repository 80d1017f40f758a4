"""``config``: every setting with its value and its origin, and the JSON Schema of settings files."""

from __future__ import annotations

from typing import Any

from lstmcast.config import Settings
from lstmcast.data.writer import STDOUT, write_json
from lstmcast.layers import Choices, resolve, section_fields
from lstmcast.origins import DEFAULT, Layer, key_origins
from lstmcast.outcome import Outcome, Table
from lstmcast.yaml_text import dump_yaml

DERIVED = "derived, or off"


def show(layers: list[Layer], families: Choices) -> Outcome:
    """Every key with the value it has after ``layers`` are merged, and who gave it. Raises ``UsageError``."""
    origins = key_origins(layers)
    values = resolve(layers, choices=families).model_dump(mode="json")
    facts = {
        f"{section}.{key}": {"value": values[section][key], "from": origins.get(f"{section}.{key}", DEFAULT)}
        for section in values
        for key in values[section]
    }
    rows = tuple((key, _shown(fact["value"], fact["from"]), fact["from"]) for key, fact in facts.items())
    return Outcome(facts=facts, table=Table("settings", ("key", "value", "from"), rows))


def schema(families: Choices, *, print_it: bool) -> Outcome:
    """The JSON Schema of settings files; ``families`` are the names each key that takes a member may hold."""
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of lstmcast",
    }
    document |= {key: value for key, value in Settings.model_json_schema().items() if key != "title"}
    for section in Settings.model_fields:
        model = Settings.model_fields[section].annotation
        properties = document["$defs"][getattr(model, "__name__", "")]["properties"]
        for key in section_fields(section).keys() & families.keys():
            _enumerate(properties[key], list(families[key]))
    if print_it:
        write_json(document, STDOUT)
        return Outcome()
    return Outcome(facts=document)


def _enumerate(entry: dict[str, Any], names: list[str]) -> None:
    """Only these names, where a text is allowed."""
    for kind in entry.get("anyOf", [entry]):
        if kind.get("type") == "string":
            kind["enum"] = names


def _shown(value: Any, origin: str) -> str:
    if value is None:
        return DERIVED if origin == DEFAULT else "none"
    return dump_yaml(value)
