"""``init``: a commented settings file that holds what the data say and what the flags said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from lstmcast.atomic import replace_file
from lstmcast.config import ReaderSettings, Settings
from lstmcast.data.dialect import Dialect
from lstmcast.data.reader import examine, read
from lstmcast.data.schema import Schema
from lstmcast.data.sources import STDIN
from lstmcast.errors import UsageError
from lstmcast.layers import Choices, section_fields
from lstmcast.outcome import Notice, OnProgress, Outcome, silent
from lstmcast.yaml_text import dump_yaml

_TIMES = ("tz", "date_format", "day_first", "epoch_unit", "freq")
_MARKS = ("delimiter", "decimal", "thousands", "encoding", "skip_rows", "na_values")
_LEFT_OUT = (
    ("day_first",),  # the format says it
    ("date_format",),  # unless there are more ways to write it than a format knows, such as 3.4. for 03.04.
    ("day_first", "tz"),
    ("date_format", "tz"),
    _TIMES,
    _MARKS,
    (*_TIMES, *_MARKS),
)


def init(
    sources: list[str],
    *,
    settings: Settings,
    families: Choices,
    output: Path,
    force: bool = False,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Write a settings file to ``output``: every key, commented out where it says nothing new.

    ``settings`` are the flags alone; with ``sources`` it also says how these are read. Training with the file is the
    same as training with the flags. Raises ``UsageError`` if the file is there already (unless ``force``), and what
    reading raises.
    """
    if output.exists() and not force:
        raise UsageError(f"{output} is there already", remedy="replace it with --force, or name another file with -o")
    if STDIN in sources:
        raise UsageError(
            "standard input is gone once it is read, so init needs a file", remedy="name the data by a path"
        )
    inferred = _inferred(sources, settings.reader, on_progress) if sources else {}
    given = settings.model_dump(mode="json", exclude_unset=True)
    said = {section: dict(given.get(section, {})) for section in Settings.model_fields}
    said["reader"] = inferred | said["reader"]
    named = " ".join(sources) or "DATA"
    with replace_file(output) as file:
        file.write(_document(said, families, command=f"lstmcast train {named} --config {output}"))
    facts = {"output": str(output), "settings": {section: values for section, values in said.items() if values}}
    return Outcome(
        facts=facts, lines=(f"settings written to {output}", f"next: lstmcast train {named} --config {output}")
    )


def _inferred(sources: list[str], asked: ReaderSettings, on_progress: OnProgress) -> dict[str, Any]:
    """The reader's settings that lead to the same reading without any guess left."""
    schema = read(sources, asked, on_progress=on_progress).panel.schema
    found = _as_settings(schema)
    # what cannot be said by settings alone stays a guess, which is made the same way every time
    for left_out in _LEFT_OUT:
        kept = {key: value for key, value in found.items() if key not in left_out}
        again = asked.model_copy(update=ReaderSettings.model_validate(kept).model_dump(exclude_unset=True))
        if examine(sources, again).schema == schema:
            return kept
    on_progress(Notice("how the data are read is left out of the file: it is inferred anew every time", "warning"))
    return {}


def _as_settings(schema: Schema) -> dict[str, Any]:
    dialect, clock, usual = schema.dialect, schema.clock, Dialect()
    found: dict[str, Any] = {
        "time_col": schema.time_col,
        "id_col": schema.id_col,
        "target": schema.targets,
        "wide": schema.wide or None,
        "past": schema.past,
        "future": schema.future or None,
        "parent": schema.parent or None,
        "static": schema.static or None,
        "classes": bool(schema.classes) or None,
        "freq": schema.frequency.name,
        "tz": clock.tz,
        "date_format": clock.formats or None,
        "day_first": clock.day_first,
        "epoch_unit": clock.epoch_unit,
        "max_gap": schema.max_gap,
    }
    found |= {key: getattr(dialect, key) for key in _MARKS if getattr(dialect, key) != getattr(usual, key)}
    listed = {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}
    return {key: value for key, value in listed.items() if value is not None}


def _document(said: Mapping[str, Mapping[str, Any]], families: Choices, *, command: str) -> str:
    lines = [
        f"# {command}",
        "#",
        "# A key that is commented out has the value shown, or none: then it is derived from the data, or off.",
    ]
    for section in Settings.model_fields:
        lines += ["", f"{section}:"]
        for key, field in section_fields(section).items():
            choices = list(families.get(key, ())) or [c for c in _choices(field.annotation) if isinstance(c, str)]
            lines.append(f"  # {field.description}" + (f": {', '.join(choices)}" if choices else ""))
            if key in said[section]:
                lines.append(f"  {key}: {dump_yaml(said[section][key])}")
            else:
                default = field.get_default()
                lines.append(f"  # {key}:" + ("" if default is None else f" {dump_yaml(_plain(default))}"))
    return "\n".join(lines) + "\n"


def _choices(annotation: Any) -> list[Any]:
    """The members of a Literal, wherever in the annotation it is."""
    inner = get_args(annotation)
    return [*(c for c in inner if isinstance(c, str)), *(c for kind in inner for c in _choices(kind))]


def _plain(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default
