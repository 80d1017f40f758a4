"""Windows: lazy (samples, timesteps, features) batches, gathered by index from the flat arrays of a Panel.

Nothing is materialised: memory is bounded by the batch. A window never crosses a segment; what lies before the start
of its segment is padding, and the mask says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstmcast.data.panel import Panel


@dataclass(frozen=True, slots=True)
class Batch:
    """B windows (T rows of context, H rows of horizon), or B lanes of a stream.

    ``context``         float32 (B, T, D) values less the series' shift; 0 where not observed
    ``observed``        bool (B, T, D) False also in the padding before a segment
    ``past``            float32 (B, T, K) all covariates over the context; NaN where missing
    ``future``          float32 (B, H, Kf) the future-known ones over the horizon; NaN where missing
    ``target``          float32 (B, H, D); lanes: (B, T, H, D)
    ``target_observed`` bool, as ``target``
    ``starts``          bool (B,) the lane begins a segment here: its carried state must be reset first
    ``cutoff``          int64 (B,) flat panel row of the first target
    ``series``          int64 (B,)
    ``static``          float32 (B, S) what is said of each series as a whole; NaN where missing
    ``spread``          float32 (B, 2, D) mean and deviation of all values of the series before the cutoff, where asked
    ``parents``         int64 (B,) the lane of the series each one is part of, -1 for none; where told
    """

    context: Tensor
    observed: Tensor
    past: Tensor
    future: Tensor
    target: Tensor
    target_observed: Tensor
    starts: Tensor
    cutoff: Tensor
    series: Tensor
    static: Tensor
    spread: Tensor | None = None
    parents: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        if device.type == "cpu":
            return self
        moved = {name: getattr(self, name) for name in self.__slots__}
        return replace(self, **{name: part.to(device) for name, part in moved.items() if part is not None})

    def lanes(self, begin: int, end: int) -> Batch:
        """Windows ``begin`` to ``end`` of a batch whose windows know nothing of each other."""
        parts: dict[str, Tensor | None] = {name: getattr(self, name) for name in self.__slots__}
        return replace(self, **{name: part[begin:end] for name, part in parts.items() if part is not None})


@dataclass(frozen=True, slots=True)
class Split:
    """Where training ends and validation begins, per segment, in flat panel rows.

    ``first``, ``last`` int64 (S,): training cutoffs are first .. last (none where last < first), so that every training
    target lies before ``limit``. ``limit`` int64 (S,): training rows end here. ``validation`` int64 (V,) cutoffs whose
    targets all lie at or after the limit of their segment.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    limit: NDArray[np.int64]
    validation: NDArray[np.int64]

    @property
    def windows(self) -> int:
        """Number of distinct training windows."""
        return int(np.maximum(self.last - self.first + 1, 0).sum())


def split(panel: Panel, *, context: int, horizon: int, folds: int, minimum: int, recent: int | None = None) -> Split:
    """Hold out the last ``folds`` horizons of each series as validation; everything before them trains.

    A segment trains from the row where ``minimum`` rows of history exist (more in long segments, up to the whole
    context). A series too short to give up its last horizons keeps all its rows for training; a segment that is not
    the last of its series has nothing to hold out. Only the last ``recent`` cutoffs of a segment train, if given. No
    training target lies at or after a validation cutoff.
    """
    begin, end = panel.offsets[:-1], panel.ends
    length = end - begin
    history = np.minimum(context, np.maximum.reduce([np.full_like(length, minimum), length // 3]))
    is_last = np.zeros(len(length), dtype=bool)
    is_last[panel.last_segment()] = True
    held = np.where(is_last, np.minimum(folds, (length - history - horizon) // horizon), 0).clip(min=0)
    limit = end - held * horizon
    validation = [end[s] - np.arange(held[s], 0, -1) * horizon for s in np.flatnonzero(held)]
    first, final = begin + history, limit - horizon
    return Split(
        first=first if recent is None else np.maximum(first, final - recent + 1),
        last=final,
        limit=limit,
        validation=np.concatenate(validation) if validation else np.empty(0, dtype=np.int64),
    )


class _Flat:
    """The arrays of a Panel as tensors that share its memory."""

    def __init__(self, panel: Panel) -> None:
        self.values = torch.from_numpy(panel.values)
        self.observed = torch.from_numpy(panel.observed)
        self.covariates = torch.from_numpy(panel.covariates)
        self.offsets = torch.from_numpy(panel.offsets)
        self.series = torch.from_numpy(panel.series)
        self.static = torch.from_numpy(panel.static)
        self.future = slice(len(panel.schema.past), None)

    def gather(self, rows: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values, mask and covariates at ``rows`` of any shape; nothing where not ``inside``."""
        rows = rows.clamp(0, len(self.values) - 1)
        observed = self.observed[rows] & inside[..., None]
        if self.covariates.shape[1]:
            covariates = self.covariates[rows].masked_fill(~inside[..., None], torch.nan)
        else:
            covariates = self.covariates.new_empty(*rows.shape, 0)
        return self.values[rows] * observed, observed, covariates


class _Past:
    """Running sums of values and squares along each series: what it was like before any cutoff.

    Each series has sums of its own: differences of sums over all would lose the digits of a small series after a large.

    Where the panel is a tail, what is known of the rows before it is added as Chan, Golub & LeVeque (1979) do.
    """

    def __init__(self, panel: Panel) -> None:
        observed = torch.from_numpy(panel.observed)
        values = torch.from_numpy(panel.values).double() * observed
        first = panel.offsets[np.searchsorted(panel.series, np.arange(len(panel.ids)))]
        lengths = np.diff(first, append=len(panel.values)).tolist()
        self._sums = [_running(part, lengths) for part in (observed.double(), values, values.square())]
        self._earlier = None
        if panel.earlier is not None:
            known = panel.earlier.of(panel.ids)
            parts = (known.count, known.mean - panel.shift, known.squares)
            self._earlier = [torch.from_numpy(part) for part in parts]

    def moments(self, cutoff: Tensor, series: Tensor) -> Tensor:
        """float32 (B, 2, D) mean and deviation (root mean square) of the rows of ``series`` (B,) before ``cutoff``."""
        count, total, squares = (part[cutoff - 1] for part in self._sums)
        mean = total / count.clamp(min=1)
        variance = (squares / count.clamp(min=1) - mean.square()).clamp(min=0)
        if self._earlier is not None:
            before, level, deviations = (part[series] for part in self._earlier)
            everything = (before + count).clamp(min=1)
            apart = (mean - level).square() * before * count / everything
            variance = (deviations + variance * count + apart) / everything
            mean = (level * before + mean * count) / everything
        return torch.stack([mean, variance.sqrt()], 1).float()


def _running(part: Tensor, lengths: list[int]) -> Tensor:
    """(R, D) -> (R, D) sums of the rows of a series up to each row; its ``lengths`` in rows."""
    return torch.cat([rows.cumsum(0) for rows in torch.split(part, lengths)])


class Windows:
    """All windows of a Panel with ``context`` T rows before and ``horizon`` H rows from each cutoff.

    With ``spread`` each batch tells how widely the series has varied up to the cutoff.
    """

    def __init__(self, panel: Panel, *, context: int, horizon: int, spread: bool = False) -> None:
        self.context, self.horizon = context, horizon
        self._flat = _Flat(panel)
        self._past = _Past(panel) if spread else None

    def gather(self, cutoff: Tensor, parents: Tensor | None = None) -> Batch:
        """The windows at ``cutoff`` int64 (B,), which are lanes of each other's ``parents`` (B,) where that is told."""
        flat = self._flat
        segment = torch.searchsorted(flat.offsets, cutoff - 1, right=True) - 1
        series = flat.series[segment]
        begin, stop = flat.offsets[segment], flat.offsets[segment + 1]
        rows = cutoff[:, None] + torch.arange(-self.context, self.horizon)
        values, observed, covariates = flat.gather(rows, (rows >= begin[:, None]) & (rows < stop[:, None]))
        past, ahead = slice(None, self.context), slice(self.context, None)
        return Batch(
            context=values[:, past],
            observed=observed[:, past],
            past=covariates[:, past],
            future=covariates[:, ahead, flat.future],
            target=values[:, ahead],
            target_observed=observed[:, ahead],
            starts=torch.ones(len(cutoff), dtype=torch.bool),
            cutoff=cutoff,
            series=series,
            static=flat.static[series],
            spread=None if self._past is None else self._past.moments(cutoff, series),
            parents=parents,
        )

    def batches(self, cutoffs: NDArray[np.int64], *, size: int) -> Iterator[Batch]:
        """The windows at ``cutoffs`` in order, ``size`` at a time."""
        for chunk in torch.split(torch.from_numpy(cutoffs), size):
            yield self.gather(chunk)


class Sampler:
    """Draws training cutoffs: a series uniformly, then one of its windows uniformly."""

    def __init__(self, panel: Panel, parts: Split) -> None:
        counts = np.maximum(parts.last - parts.first + 1, 0)
        self._first = torch.from_numpy(parts.first)
        self._total = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
        of_series = np.bincount(panel.series, weights=counts, minlength=len(panel.ids)).astype(np.int64)
        begin = np.concatenate([[0], np.cumsum(of_series)[:-1]])
        usable = np.flatnonzero(of_series)
        self._begin, self._count = torch.from_numpy(begin[usable]), torch.from_numpy(of_series[usable])

    def draw(self, size: int, generator: torch.Generator) -> Tensor:
        """int64 (size,) cutoffs."""
        series = torch.randint(len(self._count), (size,), generator=generator)
        within = torch.rand(size, generator=generator, dtype=torch.float64) * self._count[series]
        window = self._begin[series] + within.long()
        segment = torch.searchsorted(self._total, window, right=True) - 1
        return self._first[segment] + window - self._total[segment]


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows ``begin`` .. ``stop`` of one lane; its targets may reach to ``limit``. Unless it ``starts``, the state that
    is there goes on."""

    begin: int
    stop: int
    limit: int
    starts: bool = True


class Lanes:
    """Contiguous lanes for stateful use: every row once, in order, ``rows`` at a time.

    A lane is a list of ranges, taken one after the other. Each begins at a chunk boundary with ``starts`` set; its last
    chunk is padded with unobserved rows. A lane that ends early idles on padding.
    """

    def __init__(self, panel: Panel, streams: list[list[Piece]], *, rows: int, horizon: int) -> None:
        self.rows, self._horizon = rows, horizon
        self._flat = _Flat(panel)
        self.lanes = len(streams)
        cut = [[piece for whole in stream for piece in _chunks(whole, rows)] for stream in streams]
        self.chunks = max(map(len, cut))
        idle = Piece(begin=0, stop=0, limit=0)
        self._pieces = [[stream[k] if k < len(stream) else idle for stream in cut] for k in range(self.chunks)]

    def chunk(self, index: int) -> Batch:
        """Chunk ``index`` of every lane: T rows, the covariates of the H rows after them, and targets (B, T, H, D)."""
        pieces, flat = self._pieces[index], self._flat
        begin = torch.tensor([piece.begin for piece in pieces])
        stop = torch.tensor([piece.stop for piece in pieces])
        limit = torch.tensor([piece.limit for piece in pieces])
        rows = begin[:, None] + torch.arange(self.rows + self._horizon)
        values, observed, covariates = flat.gather(rows, rows < limit[:, None])
        now, ahead = slice(None, self.rows), slice(self.rows, None)
        inside = (rows < stop[:, None])[:, now, None]
        series = flat.series[torch.searchsorted(flat.offsets, begin, right=True) - 1]
        origin = torch.arange(self.rows)[:, None] + torch.arange(1, self._horizon + 1)
        return Batch(
            context=values[:, now] * inside,
            observed=observed[:, now] & inside,
            past=covariates[:, now],
            future=covariates[:, ahead, flat.future],
            target=values[:, origin],
            target_observed=observed[:, origin] & inside[..., None],
            starts=torch.tensor([piece.starts for piece in pieces]),
            cutoff=begin + 1,
            series=series,
            static=flat.static[series],
        )


def deal(panel: Panel, limit: NDArray[np.int64], *, lanes: int, rows: int) -> list[list[Piece]]:
    """Deal the training rows of all segments, up to ``limit`` (S,), to at most ``lanes`` lanes of about equal length.

    A segment is cut into contiguous shards only while there are fewer segments than lanes.
    """
    bounds = zip(panel.offsets[:-1].tolist(), limit.tolist(), strict=True)
    pieces = [Piece(begin, stop, stop) for begin, stop in bounds if stop > begin]
    if len(pieces) < lanes:
        total = sum(piece.stop - piece.begin for piece in pieces)
        size = max(1, -(-total // (lanes * rows))) * rows
        pieces = [
            replace(piece, begin=row, stop=min(row + size, piece.stop))
            for piece in pieces
            for row in range(piece.begin, piece.stop, size)
        ]
    pieces.sort(key=lambda piece: piece.begin - piece.stop)
    streams: list[list[Piece]] = [[] for _ in range(min(lanes, len(pieces)))]
    filled = [0] * len(streams)
    for piece in pieces:  # longest first, always to the emptiest lane: balanced within one piece
        lane = filled.index(min(filled))
        streams[lane].append(piece)
        filled[lane] += -(-(piece.stop - piece.begin) // rows)
    return streams


def whole(panel: Panel, segments: NDArray[np.int64], *, starts: bool = True) -> list[list[Piece]]:
    """One lane for each of ``segments``, from its first to its last observed row."""
    return [[Piece(int(panel.offsets[s]), int(panel.ends[s]), int(panel.offsets[s + 1]), starts)] for s in segments]


def _chunks(piece: Piece, rows: int) -> Iterator[Piece]:
    for row in range(piece.begin, piece.stop, rows):
        yield replace(piece, begin=row, starts=piece.starts and row == piece.begin)
