"""Checkpoints: the whole state of a training run in one safetensors file, no pickle.

A nested structure of dicts, lists, tensors and JSON scalars is written as named tensors plus one JSON skeleton in the
file's metadata. Loading gives the same structure back, bit for bit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lstmcast.atomic import replace_file
from lstmcast.errors import ModelError

_FILE = "latest.safetensors"


def write(state: dict[str, Any], folder: Path) -> None:
    """Replace the checkpoint in ``folder`` by ``state``. Raises ``ResourceError`` if it cannot be written."""
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_take(state, "", tensors))
    with replace_file(folder / _FILE, mode="wb") as file:
        file.write(save(tensors, metadata={"skeleton": skeleton}))


def exists(folder: Path) -> bool:
    """Whether there is a checkpoint in ``folder``."""
    return (folder / _FILE).is_file()


def read(folder: Path) -> dict[str, Any]:
    """The checkpoint in ``folder``. Raises ``ModelError`` if there is none or it cannot be read."""
    if not (folder / _FILE).is_file():
        raise ModelError(f"there is no checkpoint in {folder}", remedy="train without --resume")
    try:
        with safe_open(folder / _FILE, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            skeleton = json.loads((file.metadata() or {})["skeleton"])
        state: dict[str, Any] = _give(skeleton, tensors)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ModelError(
            f"the checkpoint in {folder} cannot be read: {error}", remedy="train without --resume"
        ) from error
    return state


def _take(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, dict):
        return {"dict": [[key, _take(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_take(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    return {"value": value}


def _give(value: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _give(item, tensors) for key, item in content}
    if kind in {"list", "tuple"}:
        items = [_give(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content
