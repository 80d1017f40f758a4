"""Lineage: which series is part of which. Each has one parent at most, and nobody is an ancestor of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from lstmcast.data.calendar import Times
from lstmcast.data.counting import Places
from lstmcast.data.findings import Finding, RefusedError, refuse
from lstmcast.data.schema import Schema


def lineage(
    frame: pd.DataFrame, columns: Sequence[str], *, ids: Sequence[str], codes: Times, lines: Places
) -> dict[str, str]:
    """The parent of each series that has one, and of each parent that has one in turn.

    Row by row ``columns`` name the parent of the series ``codes`` (r,), the parent of that, and so on; an empty cell
    says nothing. Raises ``RefusedError`` for two parents of one series, for a circle and where no parent is named.
    """
    chains: list[list[str]] = [[name] for name in ids]
    first_line: dict[tuple[str, str], int] = {}
    for column in columns:
        texts = frame[column]
        cells, words = pd.factorize(texts if isinstance(texts.dtype, pd.CategoricalDtype) else texts.astype(object))
        names = np.array([str(word).strip() for word in words], dtype=object)
        known = (cells >= 0) & ~np.isin(cells, np.flatnonzero(names == ""))
        named = pd.DataFrame({"series": codes[known], "parent": names[cells[known]], "line": lines[known]})
        named = named.drop_duplicates(["series", "parent"])
        if (again := named[named.duplicated("series")]).size:
            other = again.iloc[0]
            child = int(other["series"])
            before = named.loc[named["series"] == child].iloc[0]
            raise _two_parents(ids[child], (before["parent"], other["parent"]), int(other["line"]), column)
        for place, parent, line in zip(named["series"], named["parent"], named["line"], strict=True):
            first_line.setdefault((chains[place][-1], parent), int(line))
            chains[place].append(parent)
    parents: dict[str, str] = {}
    for name, above in (link for chain in chains for link in pairwise(chain)):
        if parents.setdefault(name, above) != above:
            raise _two_parents(name, (parents[name], above), first_line[name, above], columns[-1])
    if not parents:
        raise refuse(
            "no-parents", f"column {columns[0]!r} names no parent", fix="leave out --parent", column=columns[0]
        )
    _refuse_circles(parents, first_line)
    return parents


def moved(now: Mapping[str, str], stored: Schema) -> list[Finding]:
    """A finding if series have other parents than when the model was trained."""
    others = [name for name in now if name in stored.parents and now[name] != stored.parents[name]]
    if not others:
        return []
    name = others[0]
    more = f", and {len(others) - 1} other series have moved" if len(others) > 1 else ""
    text = f"series {name} is part of {now[name]} and was of {stored.parents[name]} when the model was trained{more}"
    return [Finding("moved", "warning", text, unique_id=name, count=len(others), fix="train a new model")]


def heights(parents: Mapping[str, str]) -> dict[str, int]:
    """Of everything that is somebody's parent, how many levels are below it: 1 above leaves."""
    found: dict[str, int] = {}
    for start in parents:
        child, height = start, 0
        while child in parents:
            child, height = parents[child], height + 1
            if found.get(child, 0) >= height:
                break
            found[child] = height
    return found


def _two_parents(child: str, parents: tuple[str, str], line: int, column: str) -> RefusedError:
    return refuse(
        "two-parents",
        f"series {child} is part of {parents[0]} and, on line {line}, of {parents[1]}; it can have one parent",
        fix="leave out the other, or give the series of each parent names of their own",
        column=column,
        line=line,
    )


def _refuse_circles(parents: Mapping[str, str], first_line: Mapping[tuple[str, str], int]) -> None:
    sound: set[str] = set()
    for start in parents:
        path: list[str] = []
        seen: set[str] = set()
        name = start
        while name in parents and name not in sound:
            if name in seen:
                circle = path[path.index(name) :]
                line = min(first_line[child, parents[child]] for child in circle)
                told = " is part of ".join([*circle, name])
                raise refuse(
                    "circle",
                    f"{told}, says line {line}" if len(circle) == 1 else f"{told}: a circle, which line {line} begins",
                    fix="leave the cell empty where a series is part of nothing else",
                    line=line,
                )
            seen.add(name)
            path.append(name)
            name = parents[name]
        sound |= seen
