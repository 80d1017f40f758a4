"""Cells: what was read from all sources, before anybody says what each column is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.counting import Places
from lstmcast.data.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Cells:
    """All n rows of all sources.

    ``frame``   the columns: texts (each distinct one once, where they repeat) and numbers
    ``lines``   (n,) the line of each row; ``origin`` (n,) its source, whose names are ``stems``
    ``looks``   what the first cells of each of the ``names`` of the file look like; empty where a schema is followed
    ``time``    the time column
    ``spelled`` how often each spelling of a missing value comes in these columns
    ``later``   bool (n,) the rows known ahead, where such were read too
    ``stamped`` where the time column was read as int64 on the way (nanoseconds of the wall clock, or of instants where
                the texts name them): some of its texts, all of which are written alike
    """

    frame: pd.DataFrame
    lines: Places
    origin: Places
    stems: tuple[str, ...]
    dialect: Dialect
    names: tuple[str, ...]
    looks: Mapping[str, str]
    time: str | None
    spelled: Callable[[list[str]], Counter[str]]
    later: NDArray[np.bool_] | None = None
    stamped: NDArray[np.object_] | None = None
