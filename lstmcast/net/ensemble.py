"""Ensemble: several forecasters that look like one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from lstmcast.net import masked
from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import State
from lstmcast.net.forecaster import Forecaster, Prediction
from lstmcast.net.smoothing import Summary

EARLIER = {"seasonal": torch.tensor(0.0, dtype=torch.float64), "season": torch.tensor(1)}
"""Entries that the weights of models saved by earlier versions lack."""


class Joint(NamedTuple):
    """What each member predicts, and the forecasts (B, H, D) they are drawn towards, each with its share.

    Nothing draws in a stream.
    """

    members: tuple[Prediction, ...]
    towards: tuple[tuple[Tensor, Tensor], ...] = ()


class Ensemble(nn.Module):
    """The mean of its members' quantiles, level by level, drawn towards the last value and the last season.

    ``trust`` is the share of the members in the median, ``seasonal`` that of the last ``season`` rows, repeated; the
    rest is that of the last value. Intervals move with the median and keep their widths.

    All members forecast the same rows, targets and quantile levels from the same covariates; everything else may
    differ. The interface is that of a ``Forecaster``; ``architecture`` is the first member's, ``reach`` the rows the
    longest-sighted member is given.
    """

    trust: Tensor
    seasonal: Tensor
    season: Tensor

    def __init__(
        self, members: Sequence[Forecaster], *, trust: float = 1.0, seasonal: float = 0.0, season: int = 1
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("trust", torch.tensor(trust, dtype=torch.float64))
        self.register_buffer("seasonal", torch.tensor(seasonal, dtype=torch.float64))
        self.register_buffer("season", torch.tensor(season, dtype=torch.int64))

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """One for each member."""
        return tuple(member.architecture for member in self._members())

    @property
    def architecture(self) -> Architecture:
        """The first member's."""
        return self.architectures[0]

    @property
    def reach(self) -> int:
        """Rows before the cutoff that the network is given."""
        return max(shape.reach for shape in self.architectures)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.trust.device

    @property
    def needs_spread(self) -> bool:
        """Whether some member is measured by the mean or the deviation of the whole series."""
        return any(shape.measured_by_all for shape in self.architectures)

    def forward(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        future: Tensor,
        *,
        spread: Tensor | None = None,
        static: Tensor | None = None,
        parents: Tensor | None = None,
    ) -> Joint:
        """Arguments as ``Forecaster.forward``, with ``reach`` rows of context."""
        summaries: dict[tuple[int, int], Summary | None] = {}
        predictions = []
        for member in self._members():
            shape = member.architecture
            rows = slice(context.shape[1] - shape.reach, None)
            key = (shape.reach, shape.season)
            if shape.summarises and key not in summaries:
                summaries[key] = member.summarise(context[:, rows], observed[:, rows])
            summary = summaries[key] if shape.summarises else None
            predictions.append(
                member(
                    context[:, rows],
                    observed[:, rows],
                    past[:, rows],
                    future,
                    summary,
                    spread,
                    static=static,
                    parents=parents,
                )
            )
        return Joint(tuple(predictions), self._towards(context, observed))

    def quantiles(self, prediction: Joint) -> Tensor:
        """Quantiles (B, H, D, Q) in the user's units, ascending along Q."""
        parts = [member.quantiles(part) for member, part in zip(self._members(), prediction.members, strict=True)]
        mean = parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)
        median = mean[..., self.architecture.quantiles.index(0.5)]
        for share, other in prediction.towards:
            mean = mean + (share.to(mean.dtype) * (other - median)).unsqueeze(-1)
        return mean

    def _towards(self, context: Tensor, observed: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        if float(self.trust) == 1.0:
            return ()
        horizon, last = self.architecture.horizon, masked.last(context, observed)
        found = [(1 - self.trust - self.seasonal, last.expand(-1, horizon, -1))]
        if float(self.seasonal) > 0:
            found.append((self.seasonal, masked.repeat(context, observed, season=int(self.season), horizon=horizon)))
        return tuple(found)

    def initial_state(self, lanes: int) -> State:
        """The states of all members, one after the other."""
        return tuple(part for member in self._members() for part in member.initial_state(lanes))

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
    ) -> tuple[Joint, State]:
        """Arguments as ``Forecaster.stream``."""
        predictions: list[Prediction] = []
        after: list[Tensor] = []
        for member, own in self._shares(state):
            prediction, new = member.stream(
                context, observed, past, future, own, starts, origins=origins, static=static
            )
            predictions.append(prediction)
            after += new
        return Joint(tuple(predictions)), tuple(after)

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
        """Arguments as ``Forecaster.carry``."""
        parts = [
            member.carry(context, observed, past, own, starts, static=static) for member, own in self._shares(state)
        ]
        return tuple(part for own in parts for part in own)

    def _shares(self, state: State) -> list[tuple[Forecaster, State]]:
        shares, taken = [], 0
        for member in self._members():
            size = len(member.initial_state(1))
            shares.append((member, state[taken : taken + size]))
            taken += size
        return shares

    def _members(self) -> list[Forecaster]:
        return cast("list[Forecaster]", list(self.members))
