"""``init``: the settings file it writes says the same as the flags and the data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lstmcast.cli.app import run
from lstmcast.config import ReaderSettings, Settings
from lstmcast.data.reader import examine
from lstmcast.errors import LstmcastError, UsageError
from lstmcast.layers import read_settings_file, resolve
from lstmcast.recipes.init import init
from lstmcast.recipes.listing import choices

MESSY = sorted((Path(__file__).parent / "golden" / "messy").glob("*.csv"))
GERMAN = "Datum;Laden;Umsatz\n" + "".join(f"{d:02d}.03.2024;{s};{d},5\n" for s in "AB" for d in range(1, 31))


def written(sources: list[str], folder: Path, settings: Settings = Settings()) -> Settings:  # noqa: B008  # frozen
    path = folder / "lstmcast.yaml"
    init(sources, settings=settings, families=choices(), output=path, force=True)
    return resolve([("file", read_settings_file(path))], choices=choices())


def test_without_data_every_key_is_there_and_commented_out(tmp_path: Path) -> None:
    assert written([], tmp_path) == Settings()
    text = (tmp_path / "lstmcast.yaml").read_text("utf-8")
    unfolded = yaml.safe_load(re.sub(r"^  # (\w+:(?: .*)?)$", r"  \1", text, flags=re.MULTILINE))
    assert resolve([("file", unfolded)], choices=choices()) == Settings()
    assert {section: set(keys) for section, keys in unfolded.items()} == {
        section: set(keys) for section, keys in Settings().model_dump().items()
    }


def test_what_was_inferred_is_written_in_plain_keys(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(GERMAN, encoding="utf-8")
    reader = written([str(tmp_path / "a.csv")], tmp_path).reader
    assert (reader.time_col, reader.id_col, reader.target) == ("Datum", "Laden", ("Umsatz",))
    assert (reader.delimiter, reader.decimal, reader.day_first, reader.freq) == (";", ",", True, "D")
    text = (tmp_path / "lstmcast.yaml").read_text("utf-8")
    assert text.startswith("# lstmcast train ")
    assert "  # recurrent cell; `lstmcast list cells`: lstm, " in text


@pytest.mark.parametrize("path", MESSY, ids=lambda path: path.stem)
def test_the_file_reads_every_messy_file_as_it_was_read_without(path: Path, tmp_path: Path) -> None:
    try:
        settings = written([str(path)], tmp_path)
    except LstmcastError:
        assert any(finding.severity == "error" for finding in examine([str(path)], ReaderSettings()).findings)
        return
    assert examine([str(path)], settings.reader).schema == examine([str(path)], ReaderSettings()).schema


def test_training_with_the_file_is_training_with_the_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(GERMAN, encoding="utf-8")
    flags = "--horizon 3 --context 8 --cell gru --levels 50,90 --min 0 --clip none --tbptt 4,8 --stateful --seed 7"

    def plan(*words: str) -> Any:
        assert run(["train", "a.csv", "--dry-run", "--json", *words]) == 0
        told = json.loads(capsys.readouterr().out)
        assert {told.pop(name) for name in ("expected_seconds", "peak_mb")}  # no two runs are alike in these
        return told

    asked = plan(*flags.split())
    assert run(["init", "a.csv", *flags.split(), "-o", "my.yaml"]) == 0
    assert "next: lstmcast train a.csv --config my.yaml" in capsys.readouterr().err
    assert plan("--config", "my.yaml") == asked


def test_a_file_that_is_there_is_replaced_only_with_force(tmp_path: Path) -> None:
    path = tmp_path / "lstmcast.yaml"
    path.write_text("network: {horizon: 7}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"lstmcast\.yaml is there already\nreplace it with --force"):
        init([], settings=Settings(), families=choices(), output=path)
    assert path.read_text("utf-8") == "network: {horizon: 7}\n"
    assert written([], tmp_path) == Settings()


def test_standard_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="standard input is gone once it is read"):
        init(["-"], settings=Settings(), families=choices(), output=tmp_path / "a.yaml")


def test_data_that_cannot_be_read_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init", "gone.csv"]) == 3
    assert not list(tmp_path.iterdir())
