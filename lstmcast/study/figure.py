"""Figure: one number found out about a network, with what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import pandas as pd


@dataclass(frozen=True, slots=True)
class Figure:
    """``measure`` of ``subject`` (a gate, a target, a covariate) in ``part`` of ``member``, numbered from 1.

    ``member`` is None for the forecast as a whole. ``lag`` counts rows back from the cutoff, or between two states;
    ``step`` is the step of the horizon.
    """

    member: int | None
    part: str
    subject: str
    measure: str
    value: float
    lag: int | None = None
    step: int | None = None


def tidy(figures: Sequence[Figure]) -> pd.DataFrame:
    """One row per figure; a member, lag or step it does not have stays empty."""
    columns = [field.name for field in fields(Figure)]
    order = [*columns[:4], "lag", "step", "value"]
    frame = pd.DataFrame([asdict(figure) for figure in figures], columns=columns)[order]
    return frame.astype({"member": "Int64", "lag": "Int64", "step": "Int64"})
