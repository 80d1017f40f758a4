"""Layers: what files, environment and flags say of the settings, merged into one; every fault is told at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from lstmcast.config import Settings
from lstmcast.errors import UsageError
from lstmcast.yaml_text import NotYamlError, load_yaml

SETTINGS_FILE = "lstmcast.yaml"
PREFIX = "LSTMCAST_"
"""What the names of environment variables that hold settings begin with: LSTMCAST_TRAINING__SEED."""

Choices = Mapping[str, Collection[str]]


def resolve(layers: list[tuple[str, Mapping[str, Any]]], *, choices: Choices, verb: str = "train") -> Settings:
    """Merge settings, later layers winning, and validate once. The flags among them are those of ``verb``.

    ``layers`` pairs an origin ("lstmcast.yaml", "command line") with nested settings. Raises ``UsageError`` that lists
    every fault at once, each with the key, its origin and the nearest known name.
    """
    merged: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    faults: list[str] = []
    for origin, layer in layers:
        for section, given in layer.items():
            values = {} if given is None else given  # a section whose keys are all commented out
            if not isinstance(values, Mapping):
                faults.append(_no_section(origin, section, values))
                continue
            merged.setdefault(section, {})
            for key, value in values.items():
                merged[section][key] = value
                origins[f"{section}.{key}"] = origin
    try:
        settings = Settings.model_validate(merged, context=choices)
    except ValidationError as error:
        faults += [_sentence(fault, origins) for fault in error.errors() if not _only_follows(fault)]
    if faults:
        typed = all(fault.startswith("--") and not fault.startswith("--set") for fault in faults)
        shown = verb if typed else "train"  # which has a flag for nearly every key
        raise UsageError("\n".join(faults), remedy=f"correct these settings; `lstmcast {shown} --help` shows each flag")
    return settings


def read_settings_file(path: Path, *, what: str = "settings file", where: str = "--config") -> Mapping[str, Any]:
    """The nested settings of a YAML file, called ``what`` and named ``where``.

    Raises ``UsageError`` if it is missing, not YAML, or not a mapping.
    """
    try:
        loaded = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the {what} {path} cannot be read: {error.strerror}", remedy=f"check {where}") from error
    except (NotYamlError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {error}", remedy="correct the file") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, Mapping):
        raise UsageError(f"{path} must hold sections such as `network:`", remedy=f"sections: {', '.join(_sections())}")
    return loaded


def find_settings_file(start: Path) -> Path | None:
    """The nearest ``lstmcast.yaml`` in ``start`` or a folder above it."""
    for folder in [start, *start.parents]:
        if (folder / SETTINGS_FILE).is_file():
            return folder / SETTINGS_FILE
    return None


def assignment(text: str) -> tuple[str, str, Any]:
    """``section.key=value`` as (section, key, value); the value is read as YAML. Raises ``UsageError``."""
    name, equals, raw = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise UsageError(f"--set {text!r} is not SECTION.KEY=VALUE", remedy="write for example --set training.ema=0.99")
    try:
        return section, key, load_yaml(raw)
    except NotYamlError as error:
        raise UsageError(
            f"--set {text!r}: the value is not valid YAML", remedy="put it in quotes: --set 'reader.decimal=\",\"'"
        ) from error


def _sections() -> list[str]:
    return list(Settings.model_fields)


def _sentence(fault: Any, origins: Mapping[str, str]) -> str:
    place = [str(part) for part in fault["loc"]]
    key = ".".join(place[:2])
    origin = origins.get(key) or next((o for k, o in origins.items() if k.startswith(f"{key}.")), "settings")
    if fault["type"] == "extra_forbidden":
        return f"{origin}: unknown key {'.'.join(place)!r}; {_hint(place)}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{origin}: {'.'.join(place)}: {message[:1].lower()}{message[1:]} (got {fault['input']!r})"


def _only_follows(fault: Any) -> bool:
    """A list that is too short because what it held was refused: that has been said."""
    return fault["type"] == "too_short" and bool(fault["input"])


def _no_section(origin: str, section: str, value: Any) -> str:
    spelled = {key: (name, key) for name in _sections() for key in section_fields(name)}
    spelled |= {f"{name}_{key}": (name, key) for name in _sections() for key in section_fields(name)}
    close = difflib.get_close_matches(section, list(spelled), n=1)
    if section in _sections() or not close:
        return f"{origin}: {section} must be a section with keys, not {value!r}"
    home, key = spelled[close[0]]
    meant = f"{PREFIX}{home.upper()}__{key.upper()}" if origin.startswith(PREFIX) else f"{home}.{key}"
    return f"{origin}: the key {section!r} stands outside any section; did you mean {meant}?"


def _hint(place: list[str]) -> str:
    known = _sections() if len(place) == 1 else list(section_fields(place[0]))
    homes = [name for name in _sections() if place[-1] in section_fields(name)]
    close = difflib.get_close_matches(place[-1], known, n=1)
    if homes:
        return f"did you mean '{homes[0]}.{place[-1]}'?"
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def section_fields(section: str) -> dict[str, FieldInfo]:
    """The keys of a section and what is said about each."""
    model = Settings.model_fields[section].annotation
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
