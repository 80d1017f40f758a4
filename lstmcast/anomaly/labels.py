"""Labels: how well the scores find the incidents a person has marked, beside baselines that know nothing.

No point-adjustment: an alarm is true if it begins inside an incident; an incident is found if an alarm begins there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score

from lstmcast.anomaly.judge import Case
from lstmcast.anomaly.spans import Stretches
from lstmcast.errors import UsageError

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

_BARS = 60
_COMPONENTS = 0.9  # of the variance that the baseline's usual shapes explain


@dataclass(frozen=True, slots=True)
class Found:
    """How alarms compare with incidents: ``alarms`` of which ``true``, ``incidents`` of which ``hit``; median delay."""

    alarms: int
    true: int
    incidents: int
    hit: int
    delay_rows: float

    @property
    def precision(self) -> float:
        return self.true / self.alarms if self.alarms else 0.0

    @property
    def recall(self) -> float:
        return self.hit / self.incidents if self.incidents else 0.0

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def count(
    cases: Sequence[Case], raised: Sequence[NDArray[np.bool_]], labels: Stretches, *, after: float = 0.0
) -> Found:
    """Compare ``raised`` rows (n,) of each case with ``labels``; only rows and incidents after a share of each series.

    Rows of the warm-up do not count. Neighbouring alarms within a tenth of a day are one, of a day at most.
    """
    alarms = true = incidents = hit = 0
    delays: list[int] = []
    for case, flags in zip(cases, raised, strict=True):
        first = _first(case, after)
        begins = _alarms(np.flatnonzero(flags[first:]) + first, case.day)
        stretches = [
            (max(int(np.searchsorted(case.time, start)), first), int(np.searchsorted(case.time, end, side="right")))
            for start, end in zip(*labels.of(case.name), strict=True)
        ]
        stretches = [(start, stop) for start, stop in stretches if stop > start]
        alarms, incidents = alarms + len(begins), incidents + len(stretches)
        true += sum(any(a <= row < b for a, b in stretches) for row in begins)
        for a, b in stretches:
            inside = [row for row in begins if a <= row < b]
            hit += bool(inside)
            delays += [row - a for row in inside[:1]]
    return Found(alarms, true, incidents, hit, float(np.median(delays)) if delays else float("nan"))


def _first(case: Case, after: float) -> int:
    """The first row of ``case`` that counts: of its part, after the warm-up and after a share of the whole series."""
    return min(max(case.warm_up, case.part.first, int(after * case.part.total) - case.part.before), len(case.time))


def _middle(case: Case) -> int:
    """How many rows of ``case`` lie in the first half of the series."""
    return int(np.clip(case.part.total // 2 - case.part.before, 0, len(case.time)))


def best_bar(cases: Sequence[Case], labels: Stretches) -> float:
    """The score from which alarms had the best F1 in the first half of each series.

    Raises ``UsageError`` where a stream has gone on for so long that this half is no longer known.
    """
    begin = {case.name: case.part for case in reversed(cases)}  # the first part of each series
    if any(part.before + part.first > part.total // 2 for part in begin.values()):
        raise UsageError(
            "the first half of the history is no longer known, so that no threshold can be learnt from it",
            remedy="give the threshold that the first run told as a number: --threshold 17.5",
        )
    every = np.concatenate([case.scores.score[_first(case, 0.0) : _middle(case)] for case in cases])
    every = every[every > 0]
    if not len(every):
        return float("inf")
    bars = np.unique(np.quantile(every, 1 - np.geomspace(1e-4, 0.3, _BARS)))
    early = _first_half(cases, labels)
    open_ = [case.eligible & (np.arange(len(case.time)) < _middle(case)) for case in cases]
    found = [
        count(cases, [rows & (case.scores.score >= bar) for case, rows in zip(cases, open_, strict=True)], early)
        for bar in bars
    ]
    return float(bars[int(np.argmax([each.f1 for each in found]))])


def _first_half(cases: Sequence[Case], labels: Stretches) -> Stretches:
    kept: dict[str | None, tuple[Times, Times]] = {}
    for case in cases:
        start, end = labels.of(case.name)
        if case.part.first <= _middle(case) < len(case.time):
            early = start < case.time[_middle(case)]
            kept[case.name] = (start[early], end[early])
    return Stretches(kept)


def average_precision(cases: Sequence[Case], scores: Sequence[Floats], labels: Stretches) -> float:
    """Mean over the labelled series of the average precision of the rows' scores (n,); NaN if none is labelled."""
    values = []
    for case, rows in zip(cases, scores, strict=True):
        inside = labels.cover(case.name, case.time)
        known = np.isfinite(rows) & case.counted
        if inside[known].any():
            values.append(average_precision_score(inside[known], rows[known]))
    return float(np.mean(values)) if values else float("nan")


def metrics(
    cases: Sequence[Case],
    raised: Sequence[NDArray[np.bool_]],
    labels: Stretches,
    *,
    rows_per_week: float | None,
    after: float,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the alarms and scores were worth, as facts and in sentences; only rows ``after`` a share of each series.

    Beside the average precision of the scores stand those of noise and of a subsequence PCA: what a labelled history
    gives away for nothing.
    """
    found = count(cases, raised, labels, after=after)
    rows = sum(len(case.time) - _first(case, after) for case in cases)
    weeks = rows / rows_per_week if rows_per_week else None
    ranked = {
        "score": [case.scores.score for case in cases],
        "random": [random_scores(case) for case in cases],
        "subsequence_pca": [subsequence_pca(case) for case in cases],
    }
    precision = {name: round(average_precision(cases, scores, labels), 4) for name, scores in ranked.items()}
    facts = {
        "incidents": found.incidents,
        "incidents_found": found.hit,
        "alarms": found.alarms,
        "true_alarms": found.true,
        "precision": round(found.precision, 4),
        "recall": round(found.recall, 4),
        "f1": round(found.f1, 4),
        "false_alarms_per_week": round((found.alarms - found.true) / weeks, 4) if weeks else None,
        "median_delay_rows": None if np.isnan(found.delay_rows) else found.delay_rows,
        "average_precision": precision,
    }
    said = "; ".join(f"{name} {value:.3f}" for name, value in precision.items())
    return facts, (
        f"incidents found: {found.hit} of {found.incidents}; alarms that were right: {found.true} of {found.alarms} "
        f"(F1 {found.f1:.2f}{', second half only' if after else ''})",
        f"average precision of rows: {said}",
    )


def random_scores(case: Case) -> Floats:
    """Noise, the same in every run."""
    return np.random.default_rng(len(case.time)).random(len(case.time))


def subsequence_pca(case: Case) -> Floats:
    """How badly the usual shapes of a quarter day explain the one around each row (n,), summed over channels."""
    total = np.zeros(len(case.time))
    for channel, place in zip(case.channels, case.place, strict=True):
        width = int(min(max(8, case.day // 4), max(2, len(channel.y) // 4)))
        windows = np.lib.stride_tricks.sliding_window_view(channel.y, width)
        spread = windows.std()
        if len(windows) <= width or not spread > 0:
            continue
        model = PCA(n_components=_COMPONENTS, svd_solver="full").fit(windows / spread)
        left = model.inverse_transform(model.transform(windows / spread)) - windows / spread
        error = (left**2).mean(axis=1)
        total[place] += np.pad(error, (width // 2, width - 1 - width // 2), mode="edge")
    return total


def _alarms(rows: NDArray[np.int64], day: int) -> list[int]:
    begins: list[int] = []
    last = -1
    for row in rows.tolist():
        if not begins or row - last > max(1, round(0.1 * day)) or row - begins[-1] >= day:
            begins.append(row)
        last = row
    return begins
