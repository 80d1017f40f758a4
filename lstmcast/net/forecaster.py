"""The forecaster: transform, normalise, embed, recur, decode, and back into the user's units.

z    = (g(x) − μ) / s                    instance normalisation of the context
b    = Σ w_k base_k(z)                   simple forecasts of the same context, weighed by a gate where there are several
l    = A z                               linear highway, zero at the start
S    = cells(embed(patches of z))        the recurrent encoder
r    = decode(S)                         what is left to say, with its spread
ŷ    = g⁻¹( s·(b + l + r) + μ )
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.errors import UsageError
from lstmcast.net import encoder, masked, weights
from lstmcast.net.architecture import Architecture
from lstmcast.net.attention import Attention, Kind
from lstmcast.net.bases import BASES, Base
from lstmcast.net.cells import State
from lstmcast.net.decoder import DECODERS
from lstmcast.net.embed import Embed
from lstmcast.net.encoding import Encoding
from lstmcast.net.framing import LARGEST, Frame, normalised, plain, summarised, transformed
from lstmcast.net.heads import LOSSES, Head, UnitHead, Units
from lstmcast.net.labels import labelled, log_shares
from lstmcast.net.normalise import NORMALISERS, Normaliser, StreamingNormaliser
from lstmcast.net.phase import Departure, Phase
from lstmcast.net.refusals import architecture_faults
from lstmcast.net.relative import relative_loss
from lstmcast.net.smoothing import ANCHORS, Summary, summarise
from lstmcast.net.stack import Stack
from lstmcast.net.standing import Standing
from lstmcast.net.teacher import Teacher, Told
from lstmcast.net.transforms import TRANSFORMS, Transform

__all__ = ["Forecaster", "Prediction", "architecture_faults"]


class Prediction(NamedTuple):
    """Raw head outputs with what is needed to read them. Streams have an axis T after B.

    ``raw`` (B, H, D, ·) and ``base`` (B, H, D), highway included, are normalised; ``location`` and ``scale``
    (B, 1, D) are in transformed units. Where a season was taken out, ``factor`` and ``offset`` (B, H, D) put it back;
    ``anchor`` (B, H, D) is the normalised forecast of Theta and Holt, and ``ruler`` (B, 2, D) magnitude and seasonal
    change in the user's units.
    """

    raw: Tensor
    location: Tensor
    scale: Tensor
    base: Tensor
    factor: Tensor
    offset: Tensor
    anchor: Tensor
    ruler: Tensor


def _straight_on(h: Tensor) -> Tensor:
    """Without attention."""
    return h


class Forecaster(nn.Module):
    """A network that turns contexts into forecasts.

    Raises ``UsageError`` listing everything that keeps ``architecture`` from being built. Weights are drawn from
    ``generator``; dropout in training draws from torch's own generator.
    """

    covariate_mean: Tensor
    covariate_scale: Tensor

    def __init__(self, architecture: Architecture, *, generator: torch.Generator) -> None:
        super().__init__()
        if faults := architecture_faults(architecture):
            raise UsageError("\n".join(faults), remedy="`lstmcast train --help` shows the flag of each setting")
        a = self.architecture = architecture
        self.transform: Transform = TRANSFORMS.load(a.transform)(a.transform_parameter)
        self.normaliser: Normaliser = NORMALISERS.load(a.normaliser)(context=a.context, seasons=a.seasons)
        self.base: Base = BASES.load(a.base)(horizon=a.horizon, seasons=a.seasons)
        sort = {"classes": a.classes} if a.classes else {}
        self.head: Head = LOSSES.load(a.loss)(a.quantiles, **sort)
        known = a.past + a.ahead
        reads = a.encoder != "none"
        self.embed = (
            Embed(patch=a.patch, targets=a.columns, covariates=known, hidden=a.hidden, generator=generator)
            if reads
            else None
        )
        self.phase = Phase(a.patch, width=2 * a.columns + known)
        self.stack = encoder.build(a, generator=generator)
        self.kinship = encoder.kinship(a, self.stack, generator=generator)
        self.width = self.head.width + (self.base.methods if self.base.methods > 1 else 0)
        outputs = a.patch * a.targets * self.width
        self.decoder = DECODERS.load(a.decoder)(a, self.stack, outputs=outputs, generator=generator)
        if self.base.methods > 1:
            weights.quieten(self.decoder.write)
        self.attention: Attention | None = None
        if a.attention != "none":
            kind, width = cast(Kind, a.attention), self.stack.width
            self.attention = Attention(kind, hidden=a.hidden, width=width, generator=generator)
        self.highway = weights.silent_linear(a.context, a.horizon) if a.highway else None
        self.standing = Standing(a.static, generator=generator) if a.static else None
        self.register_buffer("covariate_mean", torch.zeros(a.past + a.future))
        self.register_buffer("covariate_scale", torch.ones(a.past + a.future))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.covariate_mean.device

    @property
    def reach(self) -> int:
        """Rows before the cutoff that the network is given."""
        return self.architecture.reach

    @property
    def needs_spread(self) -> bool:
        """Whether the network is measured by the mean or the deviation of the whole series."""
        return self.architecture.measured_by_all

    def set_covariate_scale(self, mean: Tensor, scale: Tensor) -> None:
        """Standardise covariates with these means and deviations (K,) from now on; a deviation of 0 counts as 1."""
        self.covariate_mean.copy_(mean)
        self.covariate_scale.copy_(torch.where(scale > 0, scale, 1.0))

    def set_static_scale(self, mean: Tensor, scale: Tensor) -> None:
        """Standardise static numbers with these means and deviations (S,) from now on."""
        if self.standing is not None:
            self.standing.set_scale(mean, scale)

    def summarise(self, context: Tensor, observed: Tensor) -> Summary | None:
        """Statistics of histories (B, reach, D) for ``forward``; None where the architecture has no use for them."""
        a = self.architecture
        return summarise(context, observed, horizon=a.horizon, season=a.season) if a.summarises else None

    def forward(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        future: Tensor,
        summary: Summary | None = None,
        spread: Tensor | None = None,
        *,
        static: Tensor | None = None,
        parents: Tensor | None = None,
        teacher: Teacher | None = None,
    ) -> Prediction:
        """Forecast the H rows after a context.

        context (B, reach, D) in the user's units and observed (B, reach, D) bool; past (B, reach, K) all covariates
        over the context, future (B, H, Kf) those known ahead, NaN = missing. ``summary`` is that of ``summarise``,
        where it has been made already; ``spread`` (B, 2, D) are mean and deviation of the whole series up to the
        cutoff, which spread 'history' and normaliser 'series' need; ``static`` (B, S) what is said of the series as a
        whole; ``parents`` int64 (B,) the lane of each one's parent, -1 where it has none, which encoder 'hierarchy'
        goes by. ``teacher`` knows some of what comes, for decoders that read what they have written.
        """
        a = self.architecture
        frame = self._framed(context, observed, summary, spread)
        z = frame.z
        stands = self._stands(static, context)
        embedded = self._embedded(z, frame.observed, self._known(past[:, -a.context :], stands))
        outputs, state = self.stack(embedded, self.stack.initial_state(len(z)))
        candidates = self.base.forecast(z, frame.observed, frame.classical)
        centre = candidates.mean(-1)
        straight = 0.0 if self.highway is None else self.highway(z.transpose(1, 2)).transpose(1, 2)
        if a.classes:
            straight = straight + log_shares(z, frame.observed)
        ahead = self._known_ahead(future, stands)
        head = self._head(frame.location, frame.scale)
        last = self.stack.last(outputs)
        if self.kinship is not None:
            last, state = self.kinship(last, state, parents)
        raw = self._write(
            Departure(last, state, embedded[:, -1]),
            ahead,
            centre + straight,
            head,
            facts=frame.facts,
            look=self._look(outputs, frame.observed),
            told=None if teacher is None else self._told(teacher, frame),
        )
        if self.base.methods > 1:
            raw, gate = torch.split(raw, [self.head.width, self.base.methods], -1)
            centre = (candidates * torch.softmax(gate, -1)).sum(-1)
        if not a.correction:
            raw = torch.where(torch.arange(self.head.width, device=raw.device) == self.head.median, 0.0, raw)
        return Prediction(
            raw, frame.location, frame.scale, centre + straight, frame.factor, frame.offset, _anchor(frame), frame.ruler
        )

    def _framed(self, context: Tensor, observed: Tensor, summary: Summary | None, spread: Tensor | None) -> Frame:
        a = self.architecture
        if a.classes:
            return labelled(context, observed, classes=a.classes)
        if summary is None:
            summary = self.summarise(context, observed)
        if summary is not None:
            return summarised(a, self.transform, self.normaliser, context, observed, summary)
        if not (isinstance(self.normaliser, StreamingNormaliser) and a.stateful):
            told = spread if a.measured_by_all else None
            return plain(self.transform, self.normaliser, context, observed, told, whole=a.spread == "history")
        y, observed = transformed(self.transform, context, observed)
        locations, scales, _ = self.normaliser.stream(y, observed, self.normaliser.initial_state(len(y), y))
        one = y.new_ones(1, 1, 1)
        z = normalised(y, observed, locations, scales)
        return Frame(z, observed, locations[:, -1:], scales[:, -1:], one, torch.zeros_like(one), None, None, one)

    def loss(self, prediction: Prediction, target: Tensor, target_observed: Tensor) -> Tensor:
        """Mean loss over the observed entries of target (B, H, D), user's units.

        In normalised, transformed units, or relative to magnitude and seasonal change (half sMAPE, half MASE), as the
        architecture has it. A context that is all zero or was never observed has no unit to measure an error in, and
        is left out.
        """
        p = prediction
        y, observed = transformed(self.transform, (target - p.offset) / p.factor, target_observed)
        observed = observed & (p.scale > masked.TINY)
        if self.architecture.error == "relative":
            return relative_loss(self._quantiles(p, 0.0), self.architecture.quantiles, target, observed, p.ruler)
        return self._head(p.location, p.scale).loss(p.raw, p.base, (y - p.location) / p.scale, observed)

    def quantiles(self, prediction: Prediction) -> Tensor:
        """Quantiles (B, H, D, Q) in the user's units, ascending along Q. Point losses have Q = 1.

        Of a target of classes their probabilities, Q = K.
        """
        return self._quantiles(prediction, self.architecture.blend)

    def _quantiles(self, p: Prediction, blend: float) -> Tensor:
        z = self._head(p.location, p.scale).quantiles(p.raw, p.base)
        if blend:
            z = z + blend * (p.anchor - z[..., self.head.median]).unsqueeze(-1)
        x = self.transform.inverse(p.scale.unsqueeze(-1) * z + p.location.unsqueeze(-1))
        return x * p.factor.unsqueeze(-1) + p.offset.unsqueeze(-1)

    def initial_state(self, lanes: int) -> State:
        """The state of ``lanes`` series that have not begun. Stateful architectures only."""
        like = self.stack.initial_state(1)[0].new_zeros(self.architecture.targets)
        running, waiting = self._streaming().initial_state(lanes, like), self.phase.initial_state(lanes, like)
        return (*running, *waiting, *self.stack.initial_state(lanes))

    def stream(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        future: Tensor,
        state: State,
        starts: Tensor,
        *,
        origins: Tensor | None = None,
        static: Tensor | None = None,
        teacher: Teacher | None = None,
    ) -> tuple[Prediction, State]:
        """Read a chunk of each lane's series and forecast from every row of it.

        context, observed (B, T, D) and past (B, T, K) are the rows of the chunk, future (B, H, Kf) the covariates
        known ahead of the H rows after it. ``starts`` (B,) bool resets a lane before its first row. Every field of
        the prediction is as in ``forward`` with an axis T after B. Where the chunks are cut changes nothing.

        Decoding costs ⌈H/p⌉ steps for each row, and one more where p > 1. With ``origins`` int64 (V,), places
        lane·T + row, only those rows are decoded, and the prediction is that of V windows; ``teacher`` then knows
        those.
        """
        stands = self._stands(static, context)
        known = self._known(past, stands)
        rows, location, scale, running, waiting, recurrent = self._arrived(context, observed, known, state, starts)
        encoder, embed = cast(Stack, self.stack), cast(Embed, self.embed)
        start, waiting, after = self.phase.stream(encoder, embed, rows, waiting, recurrent, origins)

        lead = context.shape[:2] if origins is None else (len(origins), 1)
        ahead = torch.cat([known[..., self.architecture.past :], self._known_ahead(future, stands)], 1)
        ahead = ahead.unfold(1, self.architecture.horizon, 1)[:, 1:].transpose(2, 3)  # (B, T, H, Kf+E)

        def taken(part: Tensor) -> Tensor:
            return part.flatten(0, 1) if origins is None else part.flatten(0, 1)[origins]

        centre = rows.new_zeros(lead[0] * lead[1], self.architecture.horizon, self.architecture.targets)
        location, scale = (taken(part).unsqueeze(1) for part in (location, scale))
        head = self._head(location, scale)
        one = centre.new_ones(1, 1, 1)
        told = None
        if teacher is not None:
            told = teacher.told(self.transform, location, scale, one, torch.zeros_like(one))
        raw = self._write(start, taken(ahead), centre, head, told=told)
        fields = [torch.unflatten(part, 0, lead) for part in (raw, location, scale, centre)]
        raw, location, scale, centre = fields if origins is None else [part.squeeze(1) for part in fields]
        prediction = Prediction(
            raw, location, scale, centre, factor=one, offset=torch.zeros_like(one), anchor=one, ruler=one
        )
        return prediction, (*running, *waiting, *after)

    def carry(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        state: State,
        starts: Tensor,
        *,
        static: Tensor | None = None,
    ) -> State:
        """The state after a chunk, without forecasting from its rows. Arguments as in ``stream``."""
        known = self._known(past, self._stands(static, context))
        rows, _, _, running, waiting, recurrent = self._arrived(context, observed, known, state, starts)
        waiting, after = self.phase.carry(cast(Stack, self.stack), cast(Embed, self.embed), rows, waiting, recurrent)
        return (*running, *waiting, *after)

    def _arrived(
        self, context: Tensor, observed: Tensor, known: Tensor, state: State, starts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, State, State, State]:
        """The rows of a chunk (B, T, F) in normalised units, their locations and scales (B, T, D), the normaliser's
        state after them, and the rows waiting and the recurrent state before them."""
        normaliser = self._streaming()
        fresh = self.initial_state(len(context))
        state = tuple(torch.where(starts[:, None], new, old) for new, old in zip(fresh, state, strict=True))
        recurrent = len(state) - len(self.stack.state_widths)
        waiting = recurrent - self.phase.parts
        y, observed = transformed(self.transform, context, observed)
        location, scale, running = normaliser.stream(y, observed, state[:waiting])
        rows = cast(Embed, self.embed).rows(normalised(y, observed, location, scale), observed, known)
        return rows, location, scale, running, state[waiting:recurrent], state[recurrent:]

    def _told(self, teacher: Teacher, frame: Frame) -> Told:
        """What ``teacher`` tells, as the network reads it in the units of ``frame``."""
        if not self.architecture.classes:
            return teacher.told(self.transform, frame.location, frame.scale, frame.factor, frame.offset)
        truth = labelled(teacher.target, teacher.observed, classes=self.architecture.classes)
        return teacher.read_as(truth.z, truth.observed)

    def _look(self, outputs: Tensor, observed: Tensor) -> Callable[[Tensor], Tensor]:
        """What attention makes of a decoder's h, given the encoder's outputs (B, P, W) over rows (B, T, D)."""
        if self.attention is None:
            return _straight_on
        rows = F.pad(observed.any(-1), (-observed.shape[1] % self.architecture.patch, 0))
        return self.attention.over(outputs, torch.unflatten(rows, 1, (outputs.shape[1], -1)).any(-1))

    def _write(
        self,
        start: Departure,
        ahead: Tensor,
        centre: Tensor,
        head: Head,
        *,
        facts: Tensor | None = None,
        look: Callable[[Tensor], Tensor] = _straight_on,
        told: Told | None = None,
    ) -> Tensor:
        """Decode: ahead (B, H, Kf+E), centre (B, H, D) -> raw (B, H, D, width). ``head`` reads in units."""
        a = self.architecture
        spare = -a.horizon % a.patch
        ahead = F.pad(ahead, (0, 0, 0, spare))
        unknown = F.pad(ahead, (a.past, 0))  # covariates of the past have no values ahead
        observed = torch.ones(len(centre), a.patch, a.columns, dtype=torch.bool, device=centre.device)

        def feedback(raw: Tensor, j: int) -> Tensor:
            rows = slice(j * a.patch, (j + 1) * a.patch)
            written = torch.unflatten(raw, -1, (a.patch, a.targets, self.width))
            made = head.quantiles(written, centre[:, rows])
            value = (made[:, :, 0] if a.classes else made[..., self.head.median]).clamp(-LARGEST, LARGEST)
            if told is not None:
                value = torch.where(told.given[:, rows], told.z[:, rows], value)
            return self._embedded(value, observed, unknown[:, rows])[:, 0]

        folded = ahead.reshape(len(ahead), ahead.shape[1] // a.patch, a.patch * a.ahead)
        raw: Tensor = self.decoder(
            Encoding(start.outputs, start.state, self.stack.step, start.newest, folded, facts, feedback, look)
        )
        return raw.reshape(len(raw), a.horizon + spare, a.targets, self.width)[:, : a.horizon]

    def _embedded(self, z: Tensor, observed: Tensor, covariates: Tensor) -> Tensor:
        """What the encoder reads (B, P, C); a single step of nothing where there is no encoder."""
        if self.embed is None:
            return z.new_zeros(len(z), 1, self.architecture.hidden)
        embedded: Tensor = self.embed(z, observed, covariates)
        return embedded

    def _head(self, location: Tensor, scale: Tensor) -> Head:
        """The head, told what its values stand for where it asks."""
        if isinstance(self.head, UnitHead):
            return self.head.in_units(Units(location, scale, self.transform))
        return self.head

    def _stands(self, static: Tensor | None, like: Tensor) -> Tensor:
        """What the static covariates become, (B, E)."""
        if self.standing is None:
            return like.new_zeros(len(like), 0)
        if static is None:
            raise UsageError("the network was trained with static covariates", remedy="give it those of each series")
        vectors: Tensor = self.standing(static)
        return vectors

    def _known(self, past: Tensor, stands: Tensor) -> Tensor:
        """Covariates of rows (B, T, K) standardised, with what stands for the series: (B, T, K+E)."""
        return _beside(_standardised(past, self.covariate_mean, self.covariate_scale), stands)

    def _known_ahead(self, future: Tensor, stands: Tensor) -> Tensor:
        """As ``_known``, for covariates known ahead (B, H, Kf)."""
        first = self.architecture.past
        return _beside(_standardised(future, self.covariate_mean[first:], self.covariate_scale[first:]), stands)

    def _streaming(self) -> StreamingNormaliser:
        if not (self.architecture.stateful and isinstance(self.normaliser, StreamingNormaliser)):
            raise UsageError(
                "this network was built to read windows and carries no state from row to row",
                remedy="train it with --stateful",
            )
        return self.normaliser


def _anchor(frame: Frame) -> Tensor:
    """The mean of Theta and Holt, normalised (B, H, D), where the history is summarised."""
    return frame.offset if frame.classical is None else frame.classical[..., ANCHORS].mean(-1)


def _beside(rows: Tensor, stands: Tensor) -> Tensor:
    if not stands.shape[1]:
        return rows
    return torch.cat([rows, stands.unsqueeze(1).expand(-1, rows.shape[1], -1)], -1)


def _standardised(covariates: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return torch.nan_to_num((covariates - mean) / scale, nan=0.0).clamp(-LARGEST, LARGEST)
