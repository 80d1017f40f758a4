"""Carried: what a stateful model takes along from one delivery to the next, so that it reads new rows only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MEMORY, _SAID = "memory.", "said"


@dataclass(frozen=True, slots=True)
class Carried:
    """``memory`` of the ``model`` (its identity) after the newest rows, as named arrays, and what it said before them.

    ``said`` float64 (N, A, len(BACKS), D, len(LEVELS)): of each series remembered the forecasts of the A rows after its
    newest that were made before that, in the user's units; NaN where there is none.
    """

    model: str
    memory: Mapping[str, NDArray[Any]]
    said: NDArray[np.float64]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but ``model``, for a file."""
        return {_SAID: self.said} | {_MEMORY + name: array for name, array in self.memory.items()}

    @classmethod
    def of(cls, model: str, arrays: Mapping[str, NDArray[Any]]) -> Carried:
        """The inverse of ``arrays``."""
        memory = {name.removeprefix(_MEMORY): part for name, part in arrays.items() if name.startswith(_MEMORY)}
        return cls(model, memory, arrays[_SAID])
