"""Tonight: the forecasts of a night, taken a few series at a time from the file that ``predict`` left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.data.writer import write_frames
from lstmcast.ops import outputs, scoring

_ROWS = 100_000  # of the forecasts held at once, about


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of the forecasts. Of each (r,): which ``series`` and ``target`` of the panel it is, and what seasonal
    ``naive`` says of it."""

    frame: pd.DataFrame
    series: NDArray[np.int64]
    target: NDArray[np.int64]
    naive: NDArray[np.float64]


class Tonight:
    """The forecasts in the CSV file ``path``, made from ``panel``: nothing of them is held as a whole."""

    def __init__(self, path: Path, panel: Panel, *, horizon: int, season: int) -> None:
        self._path, self._panel = path, panel
        self._horizon, self._season = horizon, season
        self._names = pd.Index(panel.ids)

    def finish(self, *, asked: Mapping[float, float], stale: NDArray[np.bool_]) -> pd.DataFrame:
        """Write the file again as it will be published (see ``outputs.finished``); how each series fared."""
        fared = []

        def mended() -> Iterator[pd.DataFrame]:
            for part in self._parts():
                level = self._panel.shift[part.series, part.target]
                frame = outputs.finished(part.frame, naive=part.naive, level=level, asked=asked)
                frame.loc[stale[part.series], "status"] = "stale"
                fared.append(frame.drop_duplicates("unique_id")[["unique_id", "status"]])
                yield frame

        write_frames(mended(), str(self._path))
        return outputs.series_status(pd.concat(fared), self._panel)

    def frames(self) -> Iterator[pd.DataFrame]:
        """The rows of the file, whole series together."""
        return outputs.read_frames(self._path, rows=self._rows_at_once())

    def rows(self, *, job: str, run: int) -> Iterator[list[dict[str, Any]]]:
        """The rows for the table ``forecasts`` of the store, once the file is finished."""
        for part in self._parts():
            yield scoring.forecast_rows(
                part.frame, self._panel, series=part.series, target=part.target, naive=part.naive, job=job, run=run
            )

    def _parts(self) -> Iterator[Part]:
        names = pd.Index(self._panel.target_names)
        for frame in self.frames():
            series = self._names.get_indexer(pd.Index(frame["unique_id"]))
            target = names.get_indexer(pd.Index(frame["target"])) if "target" in frame else np.zeros(len(frame), int)
            those, place = np.unique(series, return_inverse=True)
            known = scoring.baseline(self._panel, those, horizon=self._horizon, season=self._season)
            step = frame["step"].to_numpy(dtype=np.int64) - 1
            yield Part(frame, series, target, known[place, step, target])

    def _rows_at_once(self) -> int:
        each = self._horizon * len(self._panel.target_names)
        return each * max(1, _ROWS // each)
