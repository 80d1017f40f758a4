"""The model directory: everything a forecast needs, verified, and nothing that can execute.

    manifest.json         versions, Schema, resolved settings, architectures, training summary, sha256 of the others,
                          and a seal: its own
    weights.safetensors   the networks
    calibration.json      what held-out windows taught about its errors
    metrics.csv           held-out metrics, tidy
    history.csv           loss by step
    state.safetensors     stateful networks only: what they carry after the last row of each series
    advanced.safetensors  the same after later rows, where `predict --advance` has been at work; bound to the manifest
                          but not listed there, so that the model stays the one it was
    checkpoints/          only while training is interrupted (see ``fit.checkpoint``)

It is written to a temporary sibling and swapped in by rename, after the copy on disk has been loaded again and has
passed the caller's own check.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as arrays_of
from safetensors.numpy import save as packed
from safetensors.torch import load_file, save_file

from lstmcast import __version__
from lstmcast.atomic import replace_file, replace_folder, whole_folder
from lstmcast.config import NetworkSettings, Settings, TrainingSettings
from lstmcast.data.panel import Panel
from lstmcast.data.schema import Schema
from lstmcast.data.writer import write_json
from lstmcast.errors import LstmcastError, ModelError, UsageError
from lstmcast.net.architecture import Architecture
from lstmcast.net.ensemble import EARLIER, Ensemble
from lstmcast.net.forecaster import Forecaster

FORMAT_VERSION = 1
MANIFEST, WEIGHTS, CALIBRATION = "manifest.json", "weights.safetensors", "calibration.json"
METRICS, HISTORY, CHECKPOINTS = "metrics.csv", "history.csv", "checkpoints"
STATE, ADVANCED, GATES = "state.safetensors", "advanced.safetensors", "gates.csv"
_HASHED = (WEIGHTS, CALIBRATION, METRICS, HISTORY)
_SOME = (STATE, GATES)  # not every model has them
_COMMON = (
    "horizon",
    "targets",
    "classes",
    "past",
    "future",
    "static",
    "quantiles",
    "stateful",
)  # what the members of an ensemble share
_LARGEST_MANIFEST = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Model:
    """A trained forecaster with all that belongs to it.

    ``settings`` are fully resolved. ``sources`` and ``fingerprint`` tell what it was trained on; ``trained_until``
    maps each series to the time (clock units) of the last row that training or validation saw. ``summary`` holds plain
    JSON facts: steps, loss, seconds, held-out metrics, the reasons of the plan. ``calibration`` is plain JSON too.
    ``state`` are the named arrays of what a stateful network carries, the newest there are, and ``trained_state`` those
    of the training; None for others.
    """

    schema: Schema
    settings: Settings
    forecaster: Ensemble
    sources: tuple[str, ...]
    fingerprint: str
    trained_until: Mapping[str, int]
    summary: Mapping[str, Any]
    calibration: Mapping[str, Any]
    identity: str = ""
    state: Mapping[str, NDArray[Any]] | None = None
    trained_state: Mapping[str, NDArray[Any]] | None = None

    @property
    def architecture(self) -> Architecture:
        """That of the first member: horizon, targets, covariates and quantile levels are the same in all."""
        return self.forecaster.architecture


def save(
    model: Model,
    path: Path,
    *,
    metrics: pd.DataFrame,
    history: pd.DataFrame,
    gates: pd.DataFrame | None = None,
    verify: Callable[[Model], None],
) -> Model:
    """Write ``model`` to the folder ``path``, load it back, let ``verify`` judge the copy, then swap it in.

    Returns the model as loaded from disk. The old folder stays if anything fails. Raises ``ModelError`` when the copy
    does not load or ``verify`` refuses it, ``ResourceError`` when it cannot be written.
    """
    with replace_folder(path) as folder:
        weights = {name: tensor.contiguous() for name, tensor in model.forecaster.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        write_json(model.calibration, folder / CALIBRATION)
        metrics.to_csv(folder / METRICS, index=False, lineterminator="\n")
        history.to_csv(folder / HISTORY, index=False, lineterminator="\n")
        if gates is not None:
            gates.to_csv(folder / GATES, index=False, lineterminator="\n")
        if model.state is not None:
            (folder / STATE).write_bytes(packed(dict(model.state)))
        manifest = {
            "format_version": FORMAT_VERSION,
            "lstmcast_version": __version__,
            "torch_version": torch.__version__,
            "schema": model.schema.model_dump(mode="json"),
            "settings": model.settings.model_dump(mode="json"),
            "architectures": [asdict(shape) for shape in model.forecaster.architectures],
            "parameters": sum(p.numel() for p in model.forecaster.parameters()),
            "sources": list(model.sources),
            "fingerprint": model.fingerprint,
            "trained_until": dict(model.trained_until),
            "summary": dict(model.summary),
            "sha256": {name: _sha256(folder / name) for name in (*_HASHED, *_SOME) if (folder / name).exists()},
        }
        write_json(manifest, folder / MANIFEST)
        written = json.loads((folder / MANIFEST).read_bytes())
        write_json(written | {"seal": seal(written)}, folder / MANIFEST)
        loaded = load(folder)
        verify(loaded)
    return loaded


def require_free_place(path: Path) -> None:
    """Raises ``UsageError`` if ``path`` holds anything but a model: saving there would replace it."""
    if path.is_dir():
        foreign = sorted({file.name for file in path.iterdir()} - {MANIFEST, *_HASHED, *_SOME, CHECKPOINTS, ADVANCED})
        if foreign:
            raise UsageError(
                f"the folder {path} holds {foreign[0]!r}, which is no part of a model; a new model would replace it",
                remedy=f"name a folder of its own: -m {path / 'model'}",
            )
    elif path.exists():
        raise UsageError(f"{path} is a file, not a model folder", remedy="name a folder: -m lstmcast-model")


def load(path: Path) -> Model:
    """Read and verify a model directory. Never executes code from it.

    Raises ``ModelError`` if it is missing, incomplete, altered, inconsistent or of a newer format.
    """
    path = whole_folder(path)
    manifest = _manifest(path)
    _verify_hashes(path, manifest)
    try:
        settings = Settings.model_validate(manifest["settings"])
        shapes = _architectures(manifest["architectures"], settings)
        calibration = _calibration(path, shapes[0])
        forecaster = Ensemble([Forecaster(shape, generator=torch.Generator().manual_seed(0)) for shape in shapes])
        forecaster.load_state_dict(EARLIER | load_file(path / WEIGHTS))
        model = Model(
            schema=Schema.model_validate(manifest["schema"]),
            settings=settings,
            forecaster=forecaster.eval(),
            sources=tuple(manifest["sources"]),
            fingerprint=manifest["fingerprint"],
            trained_until=manifest["trained_until"],
            summary=manifest["summary"],
            calibration=calibration,
            identity=_sha256(path / MANIFEST),
        )
    except (KeyError, TypeError, ValueError, RuntimeError, ValidationError, SafetensorError, LstmcastError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the model in {path} is inconsistent: {reason}", remedy="train it again") from error
    if not all(bool(torch.isfinite(p).all()) for p in forecaster.parameters()):
        raise ModelError(f"the model in {path} holds weights that are not finite", remedy="train it again")
    of_training = _trained_state(path, manifest, stateful=shapes[0].stateful)
    newest = of_training if of_training is None else _advanced_state(path) or of_training
    return replace(model, state=newest, trained_state=of_training)


def advance(path: Path, model: Model, state: Mapping[str, NDArray[Any]]) -> None:
    """Keep ``state`` beside the ``model`` in the folder ``path``; the next ``load`` goes on from there.

    Nothing else in the folder changes, nor does the model's identity. Raises ``ResourceError`` if it cannot be written.
    """
    metadata = {"seal": f"{model.identity} {_digest(state)}"}  # one entry: their order would change from run to run
    with replace_file(whole_folder(path) / ADVANCED, mode="wb") as file:
        file.write(packed(dict(state), metadata=metadata))


def state_digest(model: Model) -> str | None:
    """The sha256 of what ``model`` carries now; None where it carries nothing."""
    return None if model.state is None else _digest(model.state)


def seen_until(model: Model, panel: Panel) -> NDArray[np.int64]:
    """int64 (N,) time of the last row of each series that ``model`` saw in training; the least int64 for none.

    A lone series without an id column goes by its file's name, which may change: it is the same series.
    """
    seen = model.trained_until
    if len(seen) == len(panel.ids) == 1 and panel.schema.id_col is None and not panel.schema.wide:
        return np.array(list(seen.values()), dtype=np.int64)
    never = np.iinfo(np.int64).min
    return np.array([seen.get(name, never) for name in panel.ids], dtype=np.int64)


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        if (path / CHECKPOINTS).is_dir():
            raise ModelError(
                f"the training of {path} was interrupted before a model was saved",
                remedy=f"finish it with: lstmcast train DATA -m {path} --resume",
            )
        raise ModelError(f"there is no model in {path}", remedy="train one with: lstmcast train DATA -m " + str(path))
    for name in (MANIFEST, *_HASHED, *_SOME, ADVANCED):
        if (path / name).is_symlink():
            raise ModelError(f"{path / name} is a symbolic link; a model directory holds plain files", remedy="copy it")
    if file.stat().st_size > _LARGEST_MANIFEST:
        raise ModelError(f"{file} is too large to be a manifest", remedy="train the model again")
    try:
        manifest = json.loads(file.read_bytes())
        version = int(manifest["format_version"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{file} is not a model manifest", remedy="train the model again") from error
    if version > FORMAT_VERSION:
        raise ModelError(
            f"the model in {path} has format {version}; this lstmcast {__version__} reads up to {FORMAT_VERSION}",
            remedy="upgrade lstmcast, or train the model again with this version",
        )
    if manifest.pop("seal", None) != seal(manifest):
        raise ModelError(
            f"{file} is not as it was saved: its seal does not fit",
            remedy="restore it from a backup, or train the model again",
        )
    return dict(manifest)


def seal(manifest: Mapping[str, Any]) -> str:
    """sha256 of what the manifest says, without the seal: it tells damage, not malice."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _verify_hashes(path: Path, manifest: Mapping[str, Any]) -> None:
    expected = manifest.get("sha256")
    if not isinstance(expected, Mapping) or set(expected) - {*_SOME} != set(_HASHED):
        raise ModelError(f"the manifest in {path} does not list its files", remedy="train the model again")
    for name in expected:
        if not (path / name).is_file():
            raise ModelError(f"{path / name} is missing", remedy="restore it from a backup, or train the model again")
        if _sha256(path / name) != expected[name]:
            raise ModelError(
                f"{path / name} is not the file that was saved: its sha256 differs from the manifest",
                remedy="restore it from a backup, or train the model again",
            )


def _architectures(listed: Sequence[Mapping[str, Any]], settings: Settings) -> list[Architecture]:
    """One for each member. The settings are bounded, so no manifest asks for networks without end."""
    shapes = [_architecture(values) for values in listed]
    TrainingSettings(members=len(shapes))
    for shape in shapes:
        if differing := [name for name in _COMMON if getattr(shape, name) != getattr(shapes[0], name)]:
            raise ValueError(f"the networks differ in {differing[0]}")
        NetworkSettings(hidden=shape.hidden, layers=shape.layers)
        if shape.layers != settings.network.layers:
            raise ValueError(f"layers is {shape.layers} in an architecture, but not in the settings")
    if shapes[0].hidden != settings.network.hidden:
        raise ValueError(f"hidden is {shapes[0].hidden} in the first architecture, but not in the settings")
    return shapes


def _trained_state(path: Path, manifest: Mapping[str, Any], *, stateful: bool) -> dict[str, NDArray[Any]] | None:
    if STATE not in manifest["sha256"]:
        return None
    if not stateful:
        raise ModelError(f"the model in {path} has {STATE}, but reads windows", remedy="train it again")
    try:
        return dict(arrays_of((path / STATE).read_bytes()))
    except SafetensorError as error:
        raise ModelError(f"{path / STATE} is damaged: {error}", remedy="train the model again") from error


def _advanced_state(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays a later run has kept, if any. Raises ``ModelError`` if they are damaged.

    Those of another model, left by a run that began before this one was trained, are passed by.
    """
    file = path / ADVANCED
    if not file.exists():
        return None
    remedy = f"delete it: forecasts then go on from the state of the training, in {STATE}"
    try:
        with safe_open(file, framework="np") as opened:
            model, _, digest = (opened.metadata() or {}).get("seal", "").partition(" ")
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a mapping
    except SafetensorError as error:
        raise ModelError(f"{file} is damaged: {error}", remedy=remedy) from error
    if digest != _digest(arrays):
        raise ModelError(f"{file} is not the file that was saved: its sha256 differs", remedy=remedy)
    return arrays if model == _sha256(path / MANIFEST) else None


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    return hashlib.sha256(packed(dict(arrays))).hexdigest()


def _architecture(values: Mapping[str, Any]) -> Architecture:
    known = {field.name for field in fields(Architecture)}
    if unknown := set(values) - known:
        raise ValueError(f"unknown architecture keys: {', '.join(sorted(unknown))}")
    plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Architecture(**plain)


def _calibration(path: Path, shape: Architecture) -> dict[str, Any]:
    """Coverage, a width factor for every interval and step (P, H), dependence (H,) and, if series are part of each
    other, the errors of each: all there and finite."""
    calibration: dict[str, Any] = json.loads((path / CALIBRATION).read_bytes())
    if not isinstance(calibration["coverage"], Mapping):
        raise TypeError(f"{CALIBRATION} tells no coverage")
    middle = shape.quantiles.index(0.5)
    intervals = min(middle, len(shape.quantiles) - 1 - middle)
    for name, wanted in (("width_factors", (intervals, shape.horizon)), ("dependence", (shape.horizon,))):
        values = np.asarray(calibration[name], dtype=np.float64)
        if values.size != np.prod(wanted) or (values.size and values.shape != wanted):
            raise ValueError(f"{name} in {CALIBRATION} are of shape {values.shape}, not {wanted}")
        if not np.isfinite(values).all():
            raise ValueError(f"{CALIBRATION} holds {name} that are not finite")
    if "errors" in calibration:
        told = calibration["errors"]
        rows = np.asarray([told["pooled"], *told["variance"].values()], dtype=np.float64)
        if rows.shape[1:] != (shape.targets,) or not (np.isfinite(rows).all() and rows.min() >= 0):
            raise ValueError(f"the errors in {CALIBRATION} are no mean squares")
    return calibration


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
