"""The application: its verbs, and the one place where a run ends."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from lstmcast.cli.console import Console, Manners
from lstmcast.cli.failures import Terminated, failure
from lstmcast.cli.options import GENERAL, VERSION, completed
from lstmcast.cli.verb import declare
from lstmcast.errors import UsageError
from lstmcast.family import nearest
from lstmcast.process import prepare

VERBS = {
    "train": ("train.train", "Fit a network to your data and save it."),
    "predict": ("predict.predict", "Forecast what comes after the last row."),
    "detect-anomalies": ("detect.detect_anomalies", "Flag rows that are not as expected."),
    "backtest": ("backtest.backtest", "Forecast the known past and score it."),
    "compare": ("compare.compare", "Train several cells on equal footing."),
    "inspect": ("inspect.inspect", "Look into a model: parts, gates, dependence."),
    "evaluate": ("evaluate.evaluate", "Score an old forecast against what came true."),
    "check": ("check.check", "Read and validate data; trains nothing."),
    "future-frame": ("future_frame.future_frame", "The rows to fill with covariates known ahead."),
    "run": ("run.run", "Carry out a scheduled job once."),
    "history": ("history.history", "How good a job's forecasts turned out."),
    "model": ("model.model", "Show, verify or upgrade a model folder."),
    "plot": ("plot.plot", "Draw a forecast or anomalies file."),
    "init": ("init.init", "Write a commented settings file."),
    "config": ("config.config", "Every setting: its value and origin, or the schema."),
    "list": ("listing.list_members", "The cells, losses and other choices."),
    "doctor": ("doctor.doctor", "Versions, devices and a self-test."),
}
"""Of each verb where its function is, below ``lstmcast.cli.verbs``, and what it does."""

EXIT_CODES = """\b
Exit codes:
    0  done, or nothing to do
    1  the check said no (check, --min-skill, --fail-below-skill)
    2  command line or settings
    3  the input data cannot be used
    4  model missing, corrupt, too new, or not made for these data
    5  training diverged after its retry; the old model is kept
    6  partial: written, but some series failed or fell back
    7  memory, device, disk or permissions
   10  an anomaly, with --fail-on-anomaly
   11  old data, with --fail-on-stale or a job's stale_after
   12  too little history in every series
   70  a fault of lstmcast; a crash report is written
   75  try later: the job is running, or its input is still being written
  130  interrupted (143: terminated)"""
_HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class Verb(TyperCommand):
    """A command whose help is plain text in panels: it costs no start-up time and survives pipes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        parameters: list[Any] = self.get_params(ctx)
        taking = {
            name for parameter in parameters if not getattr(parameter, "is_flag", True) for name in parameter.opts
        }
        rest: list[str] = super().parse_args(ctx, completed(args, taking))
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[Any]] = {"Arguments": [], "Options": []}
        parameters: list[Any] = self.get_params(ctx)
        for parameter in parameters:
            if parameter.param_type_name == "argument":
                sections["Arguments"].append((parameter.metavar, parameter.help))
            else:
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                sections.setdefault(panel, []).append(parameter.get_help_record(ctx))
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=28)


class Verbs(TyperGroup):
    """The group of verbs, which knows the nearest name of a misspelt one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise UsageError(f"there is no verb called {args[0]!r}", remedy=nearest(args[0], list(self.commands)))
        return super().resolve_command(ctx, args)


def application(wanted: Collection[str]) -> typer.Typer:
    """The application with the verbs ``wanted``; of the others it knows the name and what they do.

    Reading the options of all verbs takes longer than anything else that a short command does.
    """
    app = typer.Typer(
        name="lstmcast",
        cls=Verbs,
        help="Train an LSTM on any CSV, forecast the real future, flag anomalies.\n\n"
        "\b\nStart with:\n  lstmcast train sales.csv --horizon 28\n  lstmcast predict\n  lstmcast detect-anomalies",
        epilog=EXIT_CODES,
        add_completion=False,
        rich_markup_mode=None,
        invoke_without_command=True,
        context_settings=_HELP_NAMES,
        pretty_exceptions_enable=False,
    )
    app.callback()(declare(_before_verb, VERSION, *GENERAL))
    for name, (place, summary) in VERBS.items():
        function = _function(place) if name in wanted else _unread
        app.command(name, cls=Verb, short_help=summary, context_settings=_HELP_NAMES)(function)
    return app


def _function(place: str) -> Callable[..., None]:
    module, _, name = place.partition(".")
    function: Callable[..., None] = getattr(importlib.import_module(f"lstmcast.cli.verbs.{module}"), name)
    return function


def _unread() -> None:
    """A verb that was not asked for."""


def _before_verb(context: typer.Context, **_: Any) -> None:
    if context.invoked_subcommand is None:
        raise UsageError("a verb is missing", remedy="begin with `lstmcast train DATA`; `lstmcast --help` lists all")


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line. Returns the exit code; nothing escapes but what the interpreter itself raises."""
    command = typer.main.get_command(application(set(arguments)))
    # Faults of the command line itself must already be told in the form that was asked for.
    console = Console(Manners(json="--json" in arguments, debug="--debug" in arguments))
    try:
        with command.make_context("lstmcast", list(arguments), obj=console) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except BrokenPipeError:
        _let_go_of_stdout()
        return 0
    except BaseException as error:  # noqa: BLE001  # the last door: every kind of end gets its sentence and its code
        return _tell(console, error)
    else:
        return 0
    finally:
        console.close()


def main() -> NoReturn:
    """Entry point of the installed command."""
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a script starts with & would else not be stopped by it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare()
    # Looking for plugins of pydantic reads the metadata of every installed package; none is used here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if "--debug" not in sys.argv:
        warnings.simplefilter("ignore")  # of libraries, to their callers; what concerns the user is said by name
    sys.exit(run(sys.argv[1:]))


def _tell(console: Console, error: BaseException) -> int:
    ending = failure(error)
    try:
        console.fail(ending, error)
    except BrokenPipeError:
        _let_go_of_stdout()
    return ending.code


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise Terminated


def _let_go_of_stdout() -> None:
    """The reader has left; without this the interpreter complains when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
