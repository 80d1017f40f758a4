"""The command line: what each verb hands to its recipe, whose word counts, and what the help says."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import typer

from lstmcast.cli import options
from lstmcast.cli.app import EXIT_CODES, VERBS, application, run
from lstmcast.cli.options import COMPUTE, DETECTION, NETWORK, READER, TRAINING
from lstmcast.config import ReaderSettings, Settings
from lstmcast.outcome import Notice, Outcome, Table

FLAGS = [flag for panel in (READER, NETWORK, TRAINING, DETECTION, COMPUTE) for flag in panel.flags]
ONLY_BY_SET = {
    *(f"training.{name}" for name in ("weight_decay", "clip_value", "ema", "checkpoint_steps", "refit", "shrink")),
    *(f"training.{name}" for name in ("ablation", "calibrate", "teacher_forcing", "teacher_decay", "gate_steps")),
    *(f"network.{name}" for name in ("spread", "history", "deseasonalise", "correction", "facts", "error", "blend")),
    *(f"network.{name}" for name in ("memory", "heads", "form", "forget_bias")),
    *(f"reader.{name}" for name in ("cache_above_mb", "cache_gb")),
    *(f"network.{name}" for name in ("shared_layers", "checkpointing", "layer_drop", "depth_gate")),
    *(f"network.{name}" for name in ("input_init", "recurrent_init", "candidate_init")),
}

Recorded = dict[str, Any]
Fake = Callable[..., Recorded]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    """Put a recorder in the place of a recipe; what it was called with is filled in when the verb runs."""
    monkeypatch.chdir(tmp_path)

    def replace(module: str, function: str, outcome: Outcome | None = None) -> Recorded:
        seen: Recorded = {}

        def recipe(*positional: Any, **named: Any) -> Outcome:
            seen.update(named, positional=positional)
            return outcome or Outcome()

        stand_in = ModuleType(f"lstmcast.recipes.{module}")
        setattr(stand_in, function, recipe)
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
        return seen

    return replace


def command(name: str) -> Any:
    return typer.main.get_command(application([name])).commands[name]  # type: ignore[attr-defined]


def test_train_hands_data_and_flags_to_its_recipe(fake: Fake) -> None:
    seen = fake("train", "train")
    line = "train a.csv b.csv -m out --horizon 24 --cell gru --no-highway --levels 50,90 --min 0 --min-skill 1 --resume"
    assert run(shlex.split(line)) == 0
    network = seen["settings"].network
    assert seen["positional"] == (["a.csv", "b.csv"],)
    assert (seen["model"], seen["resume"], seen["dry_run"], seen["min_skill"]) == (Path("out"), True, False, 1)
    assert (network.horizon, network.cell, network.highway, network.levels) == (24, "gru", False, (50.0, 90.0))
    assert network.minimum == 0


def test_flags_not_given_leave_the_defaults(fake: Fake) -> None:
    seen = fake("train", "train")
    assert run(["train", "a.csv"]) == 0
    assert seen["settings"] == Settings()
    assert seen["model"] == Path("lstmcast-model")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--tbptt 24", {"tbptt": (24, 24)}),
        ("--tbptt 24,96", {"tbptt": (24, 96)}),
        ("--clip 0.3", {"clip_norm": 0.3, "clip_value": None}),
        ("--clip value:0.5", {"clip_norm": None, "clip_value": 0.5}),
        ("--clip none", {"clip_norm": None, "clip_value": None}),
        ("--lr 0.01 --epochs 1.5", {"learning_rate": 0.01, "epochs": 1.5}),
        ("--set training.ema=0.9", {"ema": 0.9}),
    ],
)
def test_training_flags_in_short_form_reach_the_settings(fake: Fake, flags: str, expected: dict[str, Any]) -> None:
    seen = fake("train", "train")
    assert run(["train", "a.csv", *flags.split()]) == 0
    assert {name: getattr(seen["settings"].training, name) for name in expected} == expected


def test_reader_flags_reach_the_settings(fake: Fake) -> None:
    seen = fake("check", "check")
    line = "check a.csv --target y1 --target y2 --decimal , --day-first --na-values ? --future promo --strict --fix b"
    assert run(shlex.split(line)) == 0
    settings = seen["settings"]
    assert isinstance(settings, ReaderSettings)
    assert (settings.target, settings.decimal, settings.day_first) == (("y1", "y2"), ",", True)
    assert (settings.na_values, settings.future) == (("?",), ("promo",))
    assert (seen["strict"], seen["fix"], seen["report"]) == (True, Path("b"), None)


def test_predict_without_data_leaves_the_choice_of_files_to_the_model(fake: Fake) -> None:
    seen = fake("predict", "predict")
    assert run(["predict"]) == 0
    assert seen["positional"] == ([],)
    assert (seen["output"], seen["horizon"], seen["levels"], seen["on_error"]) == ("forecasts.csv", None, None, "naive")


def test_predict_takes_the_future_as_a_file(fake: Fake) -> None:
    seen = fake("predict", "predict")
    line = "predict a.csv --future promo.csv --levels 90 --as-of 2024-05 --format jsonl -o - --device cpu --threads 2"
    assert run(line.split()) == 0
    assert (seen["future"], seen["levels"], seen["as_of"]) == ("promo.csv", (90.0,), "2024-05")
    assert (seen["format"], seen["output"], seen["device"], seen["threads"]) == ("jsonl", "-", "cpu", 2)


def test_predict_hands_over_reader_flags_but_not_the_settings_file(fake: Fake) -> None:
    Path("lstmcast.yaml").write_text("reader: {time_col: when}\ntraining: {threads: 3}\n", encoding="utf-8")
    seen = fake("predict", "predict")
    assert run(["predict", "a.csv", "--id-col", "shop"]) == 0
    assert seen["reader"].model_fields_set == {"id_col"}
    assert seen["threads"] == 3


def test_detect_uses_the_default_model_only_where_no_data_are_named(fake: Fake) -> None:
    seen = fake("detect", "detect_anomalies")
    assert run(["detect-anomalies", "a.csv", "--budget", "1/week", "--fail-on-anomaly"]) == 0
    assert (seen["model"], seen["fail_on_anomaly"]) == (None, "info")
    assert (seen["output"], seen["events"]) == ("anomalies.csv", "events.csv")
    assert seen["settings"].detection.budget == "1/week"
    Path("lstmcast-model").mkdir()
    assert run(["detect-anomalies", "a.csv"]) == 0
    assert seen["model"] is None
    assert run(["detect-anomalies"]) == 0
    assert seen["model"] == Path("lstmcast-model")


def test_a_model_asked_for_is_handed_over_even_if_it_is_not_there(fake: Fake) -> None:
    seen = fake("backtest", "backtest")
    assert run(["backtest", "a.csv", "-m", "gone"]) == 0
    assert seen["model"] == Path("gone")


def test_backtest_splits_its_baselines(fake: Fake) -> None:
    seen = fake("backtest", "backtest")
    assert run(shlex.split("backtest a.csv --windows 8 --stride 2 --refit --baselines naive,theta")) == 0
    assert (seen["windows"], seen["stride"], seen["refit"]) == (8, 2, True)
    assert seen["baselines"] == ("naive", "theta")


def test_evaluate_and_plot_hand_over_their_files(fake: Fake) -> None:
    seen = fake("evaluate", "evaluate")
    assert run(shlex.split("evaluate f.csv a.csv --history h.csv --season 7 -o m.csv --time-col when")) == 0
    assert seen["positional"] == ("f.csv", "a.csv")
    assert (seen["history"], seen["season"], seen["output"]) == ("h.csv", 7, "m.csv")
    assert seen["reader"].time_col == "when"
    seen = fake("plot", "plot")
    assert run(shlex.split("plot f.csv --series A --series B -o c.png")) == 0
    assert (seen["series"], seen["output"]) == (("A", "B"), Path("c.png"))


def test_flags_win_over_the_settings_file_and_it_over_the_defaults(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = fake("train", "train")
    Path("lstmcast.yaml").write_text("network: {horizon: 7, hidden: 16}\n", encoding="utf-8")
    below = tmp_path / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert run(["train", "a.csv", "--horizon", "9"]) == 0
    network = seen["settings"].network
    assert (network.horizon, network.hidden, network.layers) == (9, 16, 1)
    assert f"settings from {tmp_path / 'lstmcast.yaml'}" in capsys.readouterr().err


def test_a_settings_file_named_stands_in_for_the_nearest_one(fake: Fake) -> None:
    seen = fake("train", "train")
    Path("lstmcast.yaml").write_text("network: {hidden: 16}\n", encoding="utf-8")
    Path("other.yaml").write_text("network: {horizon: 5}\n", encoding="utf-8")
    assert run(["train", "a.csv", "--config", "other.yaml"]) == 0
    assert (seen["settings"].network.horizon, seen["settings"].network.hidden) == (5, None)


def test_all_faults_of_the_settings_are_told_at_once_by_the_name_they_were_given(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake("train", "train")
    Path("lstmcast.yaml").write_text("netwrk: {hidden: 3}\n", encoding="utf-8")
    assert run(shlex.split("train a.csv --horizon two --cell lsmt --clip x --set training.emma=1")) == 2
    told = capsys.readouterr().err
    for part in ("--horizon:", "--cell:", "did you mean 'lstm'", "--clip:", "did you mean 'ema'", "'network'"):
        assert part in told
    assert "pydantic" not in told.lower()
    assert told.rstrip().splitlines()[-1].startswith("correct these settings")


@pytest.mark.parametrize("value", ["[1", "reader.decimal=,", "reader.decimal=[1"])
def test_a_broken_set_is_a_usage_error(fake: Fake, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    fake("train", "train")
    assert run(["train", "a.csv", "--set", value]) == 2
    assert "--set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("check a.csv --units strp", "check"),
        ("backtest a.csv --units strp --cell lstn", "backtest"),
        ("check a.csv --units strp --set network.cell=lstn", "train"),
    ],
)
def test_faults_of_settings_point_to_the_help_that_has_their_flags(
    line: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    told = capsys.readouterr().err.rstrip().splitlines()
    assert told[-1] == f"correct these settings; `lstmcast {shown} --help` shows each flag"


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("trian a.csv", "there is no verb called 'trian'", "did you mean 'train'?"),
        ("train a.csv --horizn 3", "no such option: --horizn", "did you mean '--horizon'?"),
        ("train a.csv --zzz", "no such option: --zzz", "`lstmcast train --help` shows the options"),
        ("train", "missing argument 'DATA'", "`lstmcast train --help` shows the options"),
        ("train a.csv --horizon", "--horizon", "`lstmcast VERB --help` shows the options"),
        ("predict --format xml", "'--format'", "`lstmcast predict --help` shows the options"),
        ("backtest a.csv --windows 0", "'--windows'", "`lstmcast backtest --help` shows the options"),
        ("", "a verb is missing", "begin with `lstmcast train DATA`; `lstmcast --help` lists all"),
        ("list cell", "there is no family called 'cell'", "did you mean 'cells'?"),
        ("predict --json -o -", "both want stdout", "name a file, or leave out --json"),
    ],
)
def test_a_wrong_command_line_exits_2_and_ends_with_the_remedy(
    line: str, message: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    shown = capsys.readouterr()
    told = shown.err.rstrip().splitlines()
    assert told[0].startswith("error: ")
    assert message in shown.err
    assert told[-1] == remedy


@pytest.mark.parametrize("line", ["trian --json", "train a.csv --json --horizn 3", "train --json", "--json train"])
def test_a_wrong_command_line_is_told_in_json_too(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 2
    assert told["error"]
    assert told["remedy"]


def test_general_options_may_stand_before_or_after_the_verb(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake("train", "train", Outcome(facts={"skill": 0.2}))
    for line in ("train a.csv --json", "--json train a.csv"):
        assert run(line.split()) == 0
        assert json.loads(capsys.readouterr().out) == {"skill": 0.2, "exit_code": 0}


def test_the_outcome_decides_the_exit_code_and_what_is_shown(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("scores", ("metric", "value"), (("mae", 0.5),))
    fake("train", "train", Outcome(code=6, lines=("one series fell back",), table=table))
    assert run(["train", "a.csv"]) == 6
    shown = capsys.readouterr()
    assert shown.out == "metric\tvalue\nmae\t0.5\n"
    assert shown.err == "one series fell back\n"


def test_with_json_stdout_holds_one_document_and_notices_stay_on_stderr(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake("train", "train")

    def recipe(*_: Any, on_progress: Any, **__: Any) -> Outcome:
        on_progress(Notice("step inferred: h"))
        return Outcome(code=1, facts={"skill": float("nan")}, table=Table("t", ("a",), ((1,),)))

    monkeypatch.setattr(sys.modules["lstmcast.recipes.train"], "train", recipe)
    assert run(["train", "a.csv", "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"skill": None, "exit_code": 1}
    assert shown.err == "step inferred: h\n"


def test_list_names_every_member_of_a_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "cells"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "family\tname\tsummary"
    assert "lstm" in [line.split("\t")[1] for line in lines[1:]]
    assert run(["list", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"cells", "losses", "decoders", "baselines"} <= set(facts)


def test_the_version_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("lstmcast ")


def test_the_help_lists_the_verbs_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in VERBS:
        assert f"  {verb} " in shown
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 10, 12, 70, 130):
        assert f"\n{code:>5}  " in EXIT_CODES
    assert "143" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_opens_with_an_example_that_parses(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([verb, "-h"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[1] == "Example:"
    example = shlex.split(lines[2])
    assert example[:2] == ["lstmcast", verb]
    command(verb).make_context(verb, example[2:])


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_and_argument_says_what_it_is_for(verb: str) -> None:
    for parameter in command(verb).params:
        assert parameter.help, f"{verb} {parameter.name}"


def test_every_settings_key_has_a_flag_or_is_left_to_set() -> None:
    keys = {
        f"{section}.{name}"
        for section, field in Settings.model_fields.items()
        for name in field.annotation.model_fields  # type: ignore[union-attr]
    }
    assert {flag.key for flag in FLAGS} == keys - ONLY_BY_SET


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.key)
def test_a_flag_is_of_the_kind_of_its_setting(flag: options.Flag) -> None:
    section, _, name = flag.key.partition(".")
    field = Settings.model_fields[section].annotation.model_fields[name]  # type: ignore[union-attr]
    kinds = get_args(field.annotation) or (field.annotation,)
    assert (flag.kind is bool) == (bool in kinds)
    assert ("/--no-" in flag.names) == (bool in kinds)
    choices = {choice for kind in kinds for choice in (get_args(kind) or (kind,)) if isinstance(choice, str)}
    assert set((flag.metavar or "").split("|")) == choices or not choices
