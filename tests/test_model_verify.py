"""``lstmcast model``: what a folder holds, whether it is whole, and folders that mean harm."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcast import artifact
from lstmcast.artifact import load, seal
from lstmcast.cli.app import run
from lstmcast.errors import ModelError
from lstmcast.forecast.predict import forecast
from lstmcast.recipes import model as recipe

GOLDEN = sorted((Path(__file__).parent / "golden" / "models").iterdir())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the newest golden model."""
    return shutil.copytree(GOLDEN[-1] / "model", tmp_path / "model")


def reseal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as somebody would who knows how it is sealed."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["seal"]
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "seal": seal(manifest)}))


def rehash(folder: Path, name: str) -> None:
    reseal(folder, lambda manifest: manifest["sha256"].update({name: artifact._sha256(folder / name)}))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_a_model_of_every_released_format_loads_and_forecasts_as_it_did(golden: Path) -> None:
    loaded = load(golden / "model")
    recipe.verify(golden / "model")
    made = forecast(loaded.forecaster, recipe._made_up(loaded)).quantiles
    told = np.array(json.loads((golden / "forecast.json").read_text()))
    np.testing.assert_allclose(made, told, rtol=1e-4)


def test_the_card_of_a_model_tells_what_it_reads_and_how_good_it_was(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["model", "show", str(model)]) == 0
    shown = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert (shown["targets"], shown["horizon"], shown["frequency"]) == ("y", "12", "h")
    assert "lstm" in shown["network"]
    assert shown["members"] == "2"
    assert run(["model", "show", str(model), "--json"]) == 0
    skill = json.loads(capsys.readouterr().out)["skill"]
    assert shown["skill"] == f"{skill:.3g}" != repr(skill)


def test_verify_tells_a_whole_model_from_a_damaged_one(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "verify", str(model)]) == 0
    assert "is whole" in capsys.readouterr().err
    (model / "history.csv").write_text("step,loss\n")
    assert run(["model", "verify", str(model)]) == 4
    assert "history.csv is not the file that was saved" in capsys.readouterr().err


def test_an_unknown_action_is_a_usage_error(model: Path) -> None:
    assert run(["model", "explode", str(model)]) == 2


def test_a_model_of_the_present_format_needs_no_upgrade(model: Path) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert recipe.upgrade(model).facts["noop"] is True
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_a_model_of_an_older_format_becomes_one_of_the_present(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = forecast(load(model).forecaster, recipe._made_up(load(model))).quantiles
    later = artifact.FORMAT_VERSION + 1
    monkeypatch.setattr(artifact, "FORMAT_VERSION", later)
    monkeypatch.setattr(recipe, "FORMAT_VERSION", later)
    outcome = recipe.upgrade(model)
    assert (outcome.facts["from"], outcome.facts["to"]) == (later - 1, later)
    assert json.loads((model / "manifest.json").read_text())["format_version"] == later
    assert np.array_equal(forecast(load(model).forecaster, recipe._made_up(load(model))).quantiles, before)
    assert recipe.upgrade(model).facts["noop"] is True


@pytest.mark.fault
@pytest.mark.parametrize("flips", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_any_byte_flipped_anywhere_is_refused(model: Path, flips: int) -> None:
    files, dice = sorted(path for path in model.iterdir()), random.Random(flips)
    for _ in range(flips):
        path = dice.choice(files)
        whole = path.read_bytes()
        place, bit = dice.randrange(len(whole)), 1 << dice.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        damaged = json.loads(whole) if path.name == "manifest.json" else None
        try:
            same = damaged is not None and json.loads(path.read_bytes()) == damaged  # white space says nothing
        except ValueError:
            same = False
        if not same:
            with pytest.raises(ModelError):
                load(model)
        path.write_bytes(whole)
    load(model)


def header(values: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(values).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.fault
@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"\x80\x04\x95\x1f\x00\x00\x00cposix\nsystem\n\x94\x8c\x04true\x94\x85\x94R\x94.",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\x00" * 4),
        header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\x00" * 4),
    ],
    ids=["empty", "pickle", "huge header", "large header", "huge tensor", "other tensor", "negative shape"],
)  # fmt: skip
def test_weights_that_are_no_weights_are_refused_even_if_their_hash_fits(model: Path, weights: bytes) -> None:
    (model / "weights.safetensors").write_bytes(weights)
    rehash(model, "weights.safetensors")
    with pytest.raises(ModelError, match="inconsistent"):
        load(model)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.update(format_version=artifact.FORMAT_VERSION + 1), "has format"),
        (lambda m: m.update(format_version="x"), "not a model manifest"),
        (lambda m: m["sha256"].update({"../../escape": "0"}), "does not list its files"),
        (lambda m: m.update(sha256=None), "does not list its files"),
        (lambda m: m["architectures"][0].update(hidden=10**9), "inconsistent"),
        (lambda m: m["architectures"][0].update(layers=10**6), "inconsistent"),
        (lambda m: m["architectures"][1].update(hidden=10**9), "inconsistent"),
        (lambda m: m["architectures"][1].update(layers=10**6), "inconsistent"),
        (lambda m: m["architectures"][1].update(horizon=6), "inconsistent"),
        (lambda m: m["architectures"].extend(m["architectures"] * 10**4), "inconsistent"),
        (lambda m: m.update(architectures=[]), "inconsistent"),
        (lambda m: m["architectures"][0].update(cell="os:system"), "inconsistent"),
        (lambda m: m["architectures"][0].update(cell="../../cell"), "inconsistent"),
        (lambda m: m["architectures"][0].update(quantiles=[]), "inconsistent"),
        (lambda m: m["schema"].update(surprise=1), "inconsistent"),
        (lambda m: m.pop("settings"), "inconsistent"),
        (lambda m: m.pop("calibration", None) or m.pop("schema"), "inconsistent"),
    ],
)
def test_a_manifest_that_means_harm_is_refused_even_if_its_seal_fits(
    model: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    reseal(model, change)
    with pytest.raises(ModelError, match=told):
        load(model)


@pytest.mark.fault
@pytest.mark.parametrize("manifest", [b"[" * 100_000, b'{"format_version": 1e999}', b'"' + b"a" * 10**6, b"\xff\xfe{}"])
def test_a_manifest_that_is_no_manifest_is_refused(model: Path, manifest: bytes) -> None:
    (model / "manifest.json").write_bytes(manifest)
    with pytest.raises(ModelError):
        load(model)


@pytest.mark.fault
@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "calibration.json"])
def test_a_link_out_of_the_folder_is_refused(model: Path, name: str) -> None:
    (model / name).rename(model.parent / name)
    (model / name).symlink_to(model.parent / name)
    with pytest.raises(ModelError, match="symbolic link"):
        load(model)


@pytest.mark.fault
@pytest.mark.parametrize("value", ["null", "[]", "{}", '{"width_factors": "no"}', "["])
def test_a_calibration_that_is_none_is_refused(model: Path, value: str) -> None:
    (model / "calibration.json").write_text(value)
    rehash(model, "calibration.json")
    with pytest.raises(ModelError, match="inconsistent"):
        load(model)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("width_factors", value) for value in (None, "no", [], [[float("inf")] * 12] * 3, [[1.0] * 5] * 3)),
        *(("dependence", value) for value in (None, "no", [float("nan")] * 12, [1.0])),
        ("coverage", [1]),
        ("coverage", None),
    ],
)
def test_a_calibration_with_a_part_that_is_of_no_use_is_refused(model: Path, key: str, value: Any) -> None:
    calibration = json.loads((model / "calibration.json").read_text())
    (model / "calibration.json").write_text(json.dumps({**calibration, key: value}))
    rehash(model, "calibration.json")
    with pytest.raises(ModelError, match="inconsistent"):
        load(model)
