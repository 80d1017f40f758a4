"""Write docs/reference.md again from the program itself: ``.venv/bin/python docs/make_reference.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from lstmcast.cli.app import VERBS, application
from lstmcast.config import Settings
from lstmcast.recipes.listing import FAMILIES

GENERAL = "General"
HEAD = """\
# Reference

Every verb, option, family member and settings key. This page is written by `.venv/bin/python docs/make_reference.py`
from the program itself; `lstmcast VERB --help` shows the same.
"""


def reference() -> str:
    """The whole page as Markdown."""
    group: Any = typer.main.get_command(application(VERBS))
    context = group.make_context("lstmcast", [], resilient_parsing=True)
    parts = [HEAD, *_general(group, context)]
    for name in group.list_commands(context):
        parts += _verb(name, group.get_command(context, name), context)
    parts += [*_families(), *_settings(), *_exit_codes(group)]
    return "\n".join(parts).rstrip() + "\n"


def _general(group: Any, context: Any) -> Iterator[str]:
    yield "## General options\n\nEvery verb takes these; they may also stand before the verb.\n"
    yield from _options(group.get_params(context), context)


def _verb(name: str, command: Any, parent: Any) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield f"## lstmcast {name}\n"
    yield _prose(command.help or "")
    yield f"`{' '.join(['lstmcast', name, *command.collect_usage_pieces(context)])}`\n"
    panels: dict[str, list[Any]] = {}
    for parameter in command.get_params(context):
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(parameter)
    for panel, parameters in panels.items():
        own = [parameter for parameter in parameters if parameter.name != "help"]
        if panel != GENERAL and any(parameter.param_type_name == "option" for parameter in own):
            yield from ([f"{panel}\n"] if panel else [])
            yield from _options(own, context)


def _options(parameters: list[Any], context: Any) -> Iterator[str]:
    yield "| option | meaning |\n|---|---|"
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is not None and parameter.param_type_name == "option":
            yield f"| `{_cell(record[0])}` | {_cell(record[1])} |"
    yield ""


def _prose(text: str) -> str:
    """Help text as Markdown: what click must not rewrap (after ``\\b``) becomes a code block."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b"):
            lines = [line.strip() for line in paragraph.splitlines()[1:]]
            paragraphs.append("\n".join(["```", *(line for line in lines if line != "Example:"), "```"]))
        else:
            paragraphs.append(re.sub(r"\s+", " ", paragraph))
    return "\n\n".join(paragraphs) + "\n"


def _families() -> Iterator[str]:
    yield "## Families\n"
    for kind, table in FAMILIES.items():
        yield f"| {kind} | |\n|---|---|"
        yield from (f"| `{name}` | {_cell(row.summary)} |" for name, row in table.items())
        yield ""


def _settings() -> Iterator[str]:
    yield "## Settings keys\n"
    yield "The keys of `lstmcast.yaml`, of `--config` and of `--set SECTION.KEY=VALUE`. Where there is no"
    yield "default, the value is derived from the data or the thing is off.\n"
    for section, field in Settings.model_fields.items():
        yield f"| {section} | default | meaning |\n|---|---|---|"
        model: Any = field.annotation
        for key, entry in model.model_fields.items():
            default = entry.get_default()
            shown = "" if default in (None, ()) else f"`{_plain(default)}`"
            yield f"| `{section}.{key}` | {shown} | {_cell(entry.description)} |"
        yield ""


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(f'{item:g}' for item in value)}]" if isinstance(value, tuple) else str(value)


def _exit_codes(group: Any) -> Iterator[str]:
    yield "## Exit codes\n\n```"
    yield from (line.strip() for line in group.epilog.splitlines() if re.match(r"\s*\d+ ", line))
    yield "```"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(reference(), encoding="utf-8")
