"""Where settings come from, which of them wins, and how they are shown."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lstmcast.cli.app import run
from lstmcast.config import Settings
from lstmcast.errors import UsageError
from lstmcast.layers import resolve, section_fields
from lstmcast.net.cells import CELLS
from lstmcast.origins import environment_layers, file_layer, files, user_file
from lstmcast.recipes.listing import choices

ROOT = Path(__file__).parents[1]


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``config show`` in a folder of its own, without a user file: key -> value and origin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))

    def show(*flags: str) -> dict[str, Any]:
        assert run(["config", "show", "--json", *flags]) == 0
        facts: dict[str, Any] = json.loads(capsys.readouterr().out)
        return facts

    return show


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_win_over_variables_over_files_over_the_users_file_over_defaults(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    personal = write(tmp_path / "xdg/lstmcast/config.yaml", "training: {seed: 2, threads: 2, epochs: 2, batch: 2}")
    project = write(tmp_path / "lstmcast.yaml", "training: {seed: 3, threads: 3, epochs: 3}")
    monkeypatch.setenv("LSTMCAST_TRAINING__SEED", "4")
    monkeypatch.setenv("LSTMCAST_TRAINING__THREADS", "4")
    facts = shown("--seed", "5", "--set", "training.ema=0.5")
    found = {key.partition(".")[2]: tuple(fact.values()) for key, fact in facts.items() if key.startswith("training.")}
    assert found["seed"] == (5, "--seed")
    assert found["ema"] == (0.5, "--set")
    assert found["threads"] == (4, "LSTMCAST_TRAINING__THREADS")
    assert found["epochs"] == (3, str(project))
    assert found["batch"] == (2, str(personal))
    assert found["max_steps"] == (None, "default")


def test_show_lists_every_key_as_a_table(tmp_path: Path, shown: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "--levels", "50,90"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["key", "value", "from"]
    keys = {f"{section}.{key}" for section in Settings.model_fields for key in section_fields(section)}
    assert {row[0] for row in rows[1:]} == keys
    assert ["network.levels", "[50.0, 90.0]", "--levels"] in rows
    assert ["network.horizon", "derived, or off", "default"] in rows


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("NETWORK__LEVELS", "50,90", (50.0, 90.0)),
        ("NETWORK__LEVELS", "[50, 90]", (50.0, 90.0)),
        ("READER__DECIMAL", ",", ","),
        ("READER__TARGET", "a, b", ("a", "b")),
        ("READER__PAST", "a", ("a",)),
        ("READER__QUERY_PARAM", "shop=007, day=1", {"shop": "007", "day": "1"}),
        ("READER__WIDE", "true", True),
        ("READER__ID_COL", "007", "007"),
        ("NETWORK__BASE", "none", "none"),
        ("TRAINING__CLIP_NORM", "null", None),
        ("TRAINING__TBPTT", "24,96", (24, 96)),
    ],
)
def test_variables_are_read_by_the_kind_of_their_setting(name: str, text: str, expected: object) -> None:
    settings = resolve(environment_layers({f"LSTMCAST_{name}": text, "HOME": "x"}), choices=choices())
    section, _, key = name.lower().partition("__")
    assert getattr(getattr(settings, section), key) == expected


def test_the_switch_of_memory_tuning_is_no_setting() -> None:
    assert environment_layers({"LSTMCAST_TUNING": "0"}) == []


def test_all_faults_of_all_origins_are_told_at_once_with_the_nearest_name(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "lstmcast.yaml", "horizon: 7\ntraining: {hidden: 3}\nnetwrk: {x: 1}\nreader: 5\n")
    monkeypatch.setenv("LSTMCAST_TRAINING_SEED", "2")
    monkeypatch.setenv("LSTMCAST_NETWORK__HORIZN", "3")
    assert run(["config", "show", "--cell", "lsmt", "--seed", "x"]) == 2
    told = capsys.readouterr().err
    for part in (
        "the key 'horizon' stands outside any section; did you mean network.horizon?",
        "LSTMCAST_TRAINING_SEED: the key 'training_seed' stands outside any section; did you mean "
        "LSTMCAST_TRAINING__SEED?",
        "LSTMCAST_NETWORK__HORIZN: unknown key 'network.horizn'; did you mean 'horizon'?",
        "unknown key 'training.hidden'; did you mean 'network.hidden'?",
        "unknown key 'netwrk'; did you mean 'network'?",
        "reader must be a section with keys, not 5",
        "--cell: network.cell: there is no cell called 'lsmt'; did you mean 'lstm'?",
        "--seed: training.seed",
    ):
        assert part in told


def test_a_settings_file_may_be_named_by_a_variable_and_then_must_be_there(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "lstmcast.yaml", "network: {horizon: 7}")
    other = write(tmp_path / "deep/other.yaml", "network: {horizon: 9}")
    monkeypatch.setenv("LSTMCAST_CONFIG", str(other))
    assert shown()["network.horizon"] == {"value": 9, "from": str(other)}
    monkeypatch.setenv("LSTMCAST_CONFIG", str(tmp_path / "gone.yaml"))
    assert run(["config", "show"]) == 2


def test_the_users_file_is_where_xdg_says(tmp_path: Path) -> None:
    assert user_file({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}) == Path("/x/lstmcast/config.yaml")
    assert user_file({"HOME": "/h"}) == Path("/h/.config/lstmcast/config.yaml")
    assert user_file({}) is None
    assert files(None, start=tmp_path, environ={}) == []


def test_a_settings_file_that_is_no_mapping_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must hold sections such as `network:`"):
        file_layer(write(tmp_path / "a.yaml", "- 1"))
    with pytest.raises(UsageError, match="is not valid YAML"):
        file_layer(write(tmp_path / "a.yaml", "a: [1"))


@pytest.fixture(scope="module")
def validator() -> Any:
    with redirect_stdout(io.StringIO()) as out:
        assert run(["config", "schema"]) == 0
    document = json.loads(out.getvalue())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_schema_accepts_every_settings_file_shipped(path: Path, validator: Any) -> None:
    validator.validate(yaml.safe_load(path.read_text("utf-8")))


@pytest.mark.parametrize(
    "wrong", [{"network": {"cell": "lsmt"}}, {"network": {"horizn": 3}}, {"training": {"seed": -1}}, {"netwrk": {}}]
)
def test_the_schema_refuses_what_the_program_refuses(wrong: dict[str, Any], validator: Any) -> None:
    assert not validator.is_valid(wrong)
    with pytest.raises(UsageError):
        resolve([("file", wrong)], choices=choices())


def test_the_schema_lists_the_members_of_every_family(validator: Any) -> None:
    network = validator.schema["$defs"]["NetworkSettings"]["properties"]
    assert network["cell"]["enum"] == list(CELLS)
    assert {"enum", "type"} <= set(network["base"]["anyOf"][0])


def test_the_schema_with_json_is_the_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exit_code"] == 0


def test_a_section_may_be_empty() -> None:
    assert resolve([("file", {"network": None, "reader": {}})], choices=choices()) == Settings()
