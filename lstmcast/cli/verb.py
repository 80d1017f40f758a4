"""A verb: a function that collects options, calls its recipe and returns the outcome. The rest is done here, once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lstmcast.cli.console import Console, Manners
from lstmcast.cli.options import ASSIGNMENTS, GENERAL, MODEL_FOLDER, Flag, Panel
from lstmcast.errors import UsageError
from lstmcast.outcome import OnProgress, Outcome

if TYPE_CHECKING:
    from lstmcast.config import Frozen, Settings

_MANNERS = tuple(field.name for field in fields(Manners))


class Call:
    """What one command line said, for the verb that asks."""

    def __init__(
        self, console: Console, *, verb: str, given: Mapping[Flag, Any], assignments: list[str], config: Path | None
    ):
        self._console = console
        self._verb = verb
        self._given = given
        self._assignments = assignments
        self._config = config

    @property
    def on_progress(self) -> OnProgress:
        return self._console.on_progress

    @property
    def wants_json(self) -> bool:
        """Whether stdout is for one JSON document."""
        return self._console.manners.json

    def keep_stdout_for_json(self, *outputs: str) -> None:
        """Raises ``UsageError`` if data and the JSON document would share stdout."""
        if self._console.manners.json and "-" in outputs:
            raise UsageError("--json and an output of - both want stdout", remedy="name a file, or leave out --json")

    def settings(self) -> Settings:
        """Defaults, under files, the environment and the flags. Raises ``UsageError`` listing every fault."""
        return self._resolve(self.layers())

    def layers(self) -> list[tuple[str, Mapping[str, Any]]]:
        """What files, the environment and the flags say, the weakest first, each with its origin in words."""
        from lstmcast.origins import environment_layers

        return [*self._file_layers(), *environment_layers(os.environ), *self._flag_layers()]

    def settings_of(self, path: Path) -> Settings:
        """As ``settings``, with the settings file ``path`` above all others."""
        from lstmcast.layers import read_settings_file
        from lstmcast.origins import environment_layers

        own = (str(path), read_settings_file(path))
        return self._resolve([*self._file_layers(), own, *environment_layers(os.environ), *self._flag_layers()])

    def flags(self) -> Settings:
        """The flags alone: for verbs in which a saved model's own settings stand below them."""
        return self._resolve(self._flag_layers())

    @staticmethod
    def chosen(section: Frozen, name: str) -> Any:
        """The value of a settings key somebody gave, else None: where None asks the model."""
        return getattr(section, name) if name in section.model_fields_set else None

    @staticmethod
    def model_for(folder: Path | None, data: list[str] | None) -> Path | None:
        """The model folder asked for; where no data are given either, the default one if it is there."""
        return folder or (MODEL_FOLDER if not data and MODEL_FOLDER.is_dir() else None)

    def _resolve(self, layers: list[tuple[str, Mapping[str, Any]]]) -> Settings:
        from lstmcast.layers import resolve
        from lstmcast.recipes.listing import choices

        return resolve(layers, choices=choices(), verb=self._verb)

    def _file_layers(self) -> list[tuple[str, Mapping[str, Any]]]:
        from lstmcast.origins import file_layer, files

        paths = files(self._config, start=Path.cwd(), environ=os.environ)
        for path in paths:
            if path != self._config:
                self._console.say(f"settings from {path}")
        return [file_layer(path) for path in paths]

    def _flag_layers(self) -> list[tuple[str, Mapping[str, Any]]]:
        layers = [_assigned(text) for text in self._assignments]
        return layers + [(flag.spelling, flag.settings(value)) for flag, value in self._given.items()]


def _assigned(text: str) -> tuple[str, Mapping[str, Any]]:
    from lstmcast.layers import assignment

    section, key, value = assignment(text)
    return "--set", {section: {key: value}}


def verb(*panels: Panel, example: str) -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """Give a function the flags of ``panels`` and the general options, show its outcome, exit with its code.

    The function takes its own options, and ``call`` if it asks for settings or progress; its docstring, opened by
    ``example``, is the help.
    """

    def decorate(function: Callable[..., Outcome]) -> Callable[..., None]:
        flags = {flag.parameter: flag for panel in panels for flag in panel.flags}
        wanted = inspect.signature(function, eval_str=True).parameters
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in wanted.values() if p.name != "call"]
        declared = [flag.declare(panel.title) for panel in panels for flag in panel.flags]

        def run(context: typer.Context, **values: Any) -> None:
            console: Console = context.obj
            general = _general(context, values)
            console.adopt(Manners(**{name: general[name] for name in _MANNERS}))
            given = {flags[name]: value for name, value in values.items() if name in flags and value is not None}
            call = Call(
                console,
                verb=context.command_path.partition(" ")[2],
                given=given,
                assignments=values.get(ASSIGNMENTS.name) or [],
                config=general["config"],
            )
            arguments = {p.name: values[p.name] for p in own} | ({"call": call} if "call" in wanted else {})
            outcome = function(**arguments)
            console.show(outcome)
            raise typer.Exit(outcome.code)

        run.__name__ = function.__name__
        run.__doc__ = f"\b\nExample:\n  {example}\n\n{inspect.getdoc(function)}"
        return declare(run, *own, *([ASSIGNMENTS] if panels else []), *declared, *GENERAL)

    return decorate


def declare(function: Callable[..., None], *parameters: inspect.Parameter) -> Callable[..., None]:
    """Give ``function(context, **values)`` the parameters Typer is to see."""
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    signature = inspect.Signature([context, *parameters])
    function.__signature__ = signature  # type: ignore[attr-defined]  # where inspect looks; typeshed does not know it
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    return function


def _general(context: typer.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """The general options: those after the verb win over those before it."""
    before = context.parent.params if context.parent else {}
    return {p.name: values[p.name] or before.get(p.name) for p in GENERAL}
