"""The forecaster: transform, normalise, embed, recur, decode, and back into the user's units.

z    = (g(x) − μ) / s                    instance normalisation of the context
b    = base(z)                           a simple forecast of the same context
l    = A z                               linear highway, zero at the start
S    = cells(embed(patches of z))        the recurrent encoder
r    = decode(S)                         what is left to say, with its spread
ŷ    = g⁻¹( s·(b + l + r) + μ )
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.errors import UsageError
from lstmcast.net import encoder, masked, weights
from lstmcast.net.architecture import Architecture
from lstmcast.net.bases import BASES, Base
from lstmcast.net.cells import State
from lstmcast.net.decoder import DECODERS
from lstmcast.net.embed import Embed
from lstmcast.net.encoding import Encoding
from lstmcast.net.heads import LOSSES, Head
from lstmcast.net.normalise import NORMALISERS, Normaliser, StreamingNormaliser
from lstmcast.net.refusals import architecture_faults
from lstmcast.net.transforms import TRANSFORMS, Transform

__all__ = ["Forecaster", "Prediction", "architecture_faults"]

LARGEST = 20.0
"""Normalised inputs are cut off here, so that one absurd value cannot drown a context."""


class Prediction(NamedTuple):
    """Raw head outputs with what is needed to read them. Streams have an axis T after B.

    ``raw`` (B, H, D, ·) and ``base`` (B, H, D), highway included, are normalised; ``location`` and ``scale``
    (B, 1, D) are in transformed units.
    """

    raw: Tensor
    location: Tensor
    scale: Tensor
    base: Tensor


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
        self.transform: Transform = TRANSFORMS.load(a.transform)()
        self.normaliser: Normaliser = NORMALISERS.load(a.normaliser)(context=a.context, seasons=a.seasons)
        self.base: Base = BASES.load(a.base)(horizon=a.horizon, seasons=a.seasons)
        self.head: Head = LOSSES.load(a.loss)(a.quantiles)
        covariates = a.past + a.future
        self.embed = Embed(
            patch=a.patch, targets=a.targets, covariates=covariates, hidden=a.hidden, generator=generator
        )
        self.stack = encoder.build(a, generator=generator)
        outputs = a.patch * a.targets * self.head.width
        self.decoder = DECODERS.load(a.decoder)(a, self.stack, outputs=outputs, generator=generator)
        self.highway = weights.silent_linear(a.context, a.horizon) if a.highway else None
        self.register_buffer("covariate_mean", torch.zeros(covariates))
        self.register_buffer("covariate_scale", torch.ones(covariates))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.covariate_mean.device

    def set_covariate_scale(self, mean: Tensor, scale: Tensor) -> None:
        """Standardise covariates with these means and deviations (K,) from now on; a deviation of 0 counts as 1."""
        self.covariate_mean.copy_(mean)
        self.covariate_scale.copy_(torch.where(scale > 0, scale, 1.0))

    def forward(self, context: Tensor, observed: Tensor, past: Tensor, future: Tensor) -> Prediction:
        """Forecast the H rows after a context.

        context (B, T, D) in the user's units and observed (B, T, D) bool; past (B, T, K) all covariates over the
        context, future (B, H, Kf) those known ahead, NaN = missing.
        """
        y, observed = self._transformed(context, observed)
        if isinstance(self.normaliser, StreamingNormaliser) and self.architecture.stateful:
            running = self.normaliser.initial_state(len(y), y)
            locations, scales, _ = self.normaliser.stream(y, observed, running)
            location, scale = locations[:, -1:], scales[:, -1:]
            z = _normalised(y, observed, locations, scales)
        else:
            location, scale = self.normaliser.locate(y, observed)
            z = _normalised(y, observed, location, scale)
        embedded = self.embed(z, observed, self._standardised(past))
        outputs, state = self.stack(embedded, self.stack.initial_state(len(y)))
        centre = self.base.forecast(z, observed)
        if self.highway is not None:
            centre = centre + self.highway(z.transpose(1, 2)).transpose(1, 2)
        ahead = self._standardised_ahead(future)
        raw = self._write(self.stack.last(outputs), state, embedded[:, -1], ahead, centre)
        return Prediction(raw, location, scale, centre)

    def loss(self, prediction: Prediction, target: Tensor, target_observed: Tensor) -> Tensor:
        """Mean loss in normalised, transformed units over the observed entries of target (B, H, D), user's units.

        A context that is all zero or was never observed has no unit to measure an error in, and is left out.
        """
        raw, location, scale, base = prediction
        y, observed = self._transformed(target, target_observed)
        observed = observed & (scale > masked.TINY)
        return self.head.loss(raw, base, (y - location) / scale, observed)

    def quantiles(self, prediction: Prediction) -> Tensor:
        """Quantiles (B, H, D, Q) in the user's units, ascending along Q. Point losses have Q = 1."""
        raw, location, scale, base = prediction
        z = self.head.quantiles(raw, base)
        return self.transform.inverse(scale.unsqueeze(-1) * z + location.unsqueeze(-1))

    def initial_state(self, lanes: int) -> State:
        """The state of ``lanes`` series that have not begun. Stateful architectures only."""
        like = self.stack.initial_state(1)[0].new_zeros(self.architecture.targets)
        return (*self._streaming().initial_state(lanes, like), *self.stack.initial_state(lanes))

    def stream(
        self, context: Tensor, observed: Tensor, past: Tensor, future: Tensor, state: State, starts: Tensor
    ) -> tuple[Prediction, State]:
        """Read a chunk of each lane's series and forecast from every row of it.

        context, observed (B, T, D) and past (B, T, K) are the rows of the chunk, future (B, H, Kf) the covariates
        known ahead of the H rows after it. ``starts`` (B,) bool resets a lane before its first row. Every field of
        the prediction is as in ``forward`` with an axis T after B. Where the chunks are cut changes nothing.
        """
        known = self._standardised(past)
        embedded, location, scale, running, recurrent = self._arrived(context, observed, known, state, starts)
        outputs, states = self.stack.trace(embedded, recurrent)

        lanes, rows = context.shape[:2]
        ahead = torch.cat([known[..., self.architecture.past :], self._standardised_ahead(future)], 1)
        ahead = ahead.unfold(1, self.architecture.horizon, 1)[:, 1:].transpose(2, 3)  # (B, T, H, Kf)
        centre = embedded.new_zeros(lanes * rows, self.architecture.horizon, self.architecture.targets)
        origins = tuple(part.flatten(0, 1) for part in states)
        raw = self._write(outputs.flatten(0, 1), origins, embedded.flatten(0, 1), ahead.flatten(0, 1), centre)
        prediction = Prediction(
            torch.unflatten(raw, 0, (lanes, rows)),
            location.unsqueeze(2),
            scale.unsqueeze(2),
            torch.unflatten(centre, 0, (lanes, rows)),
        )
        return prediction, (*running, *(part[:, -1] for part in states))

    def carry(self, context: Tensor, observed: Tensor, past: Tensor, state: State, starts: Tensor) -> State:
        """The state after a chunk, without forecasting from its rows. Arguments as in ``stream``."""
        embedded, _, _, running, recurrent = self._arrived(context, observed, self._standardised(past), state, starts)
        return (*running, *self.stack(embedded, recurrent)[1])

    def _arrived(
        self, context: Tensor, observed: Tensor, known: Tensor, state: State, starts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, State, State]:
        """A chunk embedded (B, T, C), its locations and scales (B, T, D), the normaliser's state after it and the
        recurrent state before it."""
        normaliser = self._streaming()
        fresh = self.initial_state(len(context))
        state = tuple(torch.where(starts[:, None], new, old) for new, old in zip(fresh, state, strict=True))
        recurrent = len(self.stack.state_widths)
        y, observed = self._transformed(context, observed)
        location, scale, running = normaliser.stream(y, observed, state[:-recurrent])
        z = _normalised(y, observed, location, scale)
        return self.embed(z, observed, known), location, scale, running, state[-recurrent:]

    def _write(self, outputs: Tensor, state: State, newest: Tensor, ahead: Tensor, centre: Tensor) -> Tensor:
        """Decode: ahead (B, H, Kf) standardised, centre (B, H, D) -> raw (B, H, D, width)."""
        a = self.architecture
        spare = -a.horizon % a.patch
        ahead = F.pad(ahead, (0, 0, 0, spare))
        unknown = F.pad(ahead, (a.past, 0))  # covariates of the past have no values ahead
        observed = torch.ones(len(centre), a.patch, a.targets, dtype=torch.bool, device=centre.device)

        def feedback(raw: Tensor, j: int) -> Tensor:
            rows = slice(j * a.patch, (j + 1) * a.patch)
            written = torch.unflatten(raw, -1, (a.patch, a.targets, self.head.width))
            median = self.head.quantiles(written, centre[:, rows])[..., self.head.median]
            embedded: Tensor = self.embed(median.clamp(-LARGEST, LARGEST), observed, unknown[:, rows])[:, 0]
            return embedded

        folded = ahead.reshape(len(ahead), ahead.shape[1] // a.patch, a.patch * a.future)
        raw: Tensor = self.decoder(Encoding(outputs, state, self.stack.step, newest, folded, feedback))
        return raw.reshape(len(raw), a.horizon + spare, a.targets, self.head.width)[:, : a.horizon]

    def _transformed(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        y = self.transform.forward(x)
        observed = observed & y.isfinite()
        return torch.where(observed, y, 0.0), observed

    def _standardised(self, covariates: Tensor) -> Tensor:
        return _standardised(covariates, self.covariate_mean, self.covariate_scale)

    def _standardised_ahead(self, future: Tensor) -> Tensor:
        first = self.architecture.past
        return _standardised(future, self.covariate_mean[first:], self.covariate_scale[first:])

    def _streaming(self) -> StreamingNormaliser:
        if not (self.architecture.stateful and isinstance(self.normaliser, StreamingNormaliser)):
            raise UsageError(
                "this network was built to read windows and carries no state from row to row",
                remedy="train it with --stateful",
            )
        return self.normaliser


def _normalised(y: Tensor, observed: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    read = observed & (scale > masked.TINY)
    return torch.where(read, ((y - location) / scale).clamp(-LARGEST, LARGEST), 0.0)


def _standardised(covariates: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return torch.nan_to_num((covariates - mean) / scale, nan=0.0).clamp(-LARGEST, LARGEST)
