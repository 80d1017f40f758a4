"""Origins: the places settings come from, and which of them wins.

From the weakest: defaults, the user's file, the project's file, environment variables; flags, which only the command
line knows, stand above them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from lstmcast.config import Settings
from lstmcast.layers import PREFIX, find_settings_file, read_settings_file, section_fields
from lstmcast.yaml_text import NotYamlError, load_yaml

CONFIG_VARIABLE = "LSTMCAST_CONFIG"
TUNING_VARIABLE = "LSTMCAST_TUNING"
"""0 leaves the memory of the process as it is: a switch of the machine, no setting."""

DEFAULT = "default"

Layer = tuple[str, Mapping[str, Any]]
"""An origin in words, and the nested settings it gives."""


def files(config: Path | None, *, start: Path, environ: Mapping[str, str]) -> list[Path]:
    """The settings files that count, the weakest first.

    The user's own, then ``config``, else the file named by LSTMCAST_CONFIG, else the nearest ``lstmcast.yaml`` in
    ``start`` or above. One that was named need not exist yet: reading it says so.
    """
    named = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    nearest = named or find_settings_file(start)
    personal = user_file(environ)
    found = [personal] if personal is not None and personal.is_file() else []
    return [*found, *([nearest] if nearest else [])]


def user_file(environ: Mapping[str, str]) -> Path | None:
    """Where the user's own settings are, by the XDG rules; None where there is no home."""
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"]) / "lstmcast" / "config.yaml"
    return Path(environ["HOME"]) / ".config" / "lstmcast" / "config.yaml" if environ.get("HOME") else None


def file_layer(path: Path) -> Layer:
    """The settings of one file. Raises ``UsageError`` if it cannot be read."""
    return str(path), read_settings_file(path)


def environment_layers(environ: Mapping[str, str]) -> list[Layer]:
    """A layer per variable such as LSTMCAST_TRAINING__SEED; whoever merges them refuses those that nobody knows."""
    layers: list[Layer] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in {CONFIG_VARIABLE, TUNING_VARIABLE}:
            continue
        section, _, key = name.removeprefix(PREFIX).lower().partition("__")
        fields = section_fields(section) if section in Settings.model_fields else {}
        value = _from_text(fields[key].annotation, environ[name]) if key in fields else environ[name]
        layers.append((name, {section: {key: value} if key else value}))
    return layers


def key_origins(layers: Sequence[Layer]) -> dict[str, str]:
    """``section.key`` -> the origin whose word counts, for every key that any layer gives."""
    return {
        f"{section}.{key}": origin
        for origin, layer in layers
        for section, values in layer.items()
        if isinstance(values, Mapping)
        for key in values
    }


def _from_text(annotation: Any, text: str) -> Any:
    """Lists are separated by commas, pairs are ``name=value``; whatever opens a bracket is YAML; null is no value."""
    kinds = {get_origin(kind) or kind for kind in (annotation, *get_args(annotation))}
    if text.strip() in {"", "null"}:
        return None
    if text.lstrip()[:1] in {"[", "{"}:
        try:
            return load_yaml(text)
        except NotYamlError:
            return text
    parts = [part.strip() for part in text.split(",")]
    if tuple in kinds:
        return parts
    if Mapping in kinds:
        return {name.strip(): value for name, _, value in (part.partition("=") for part in parts)}
    return text
