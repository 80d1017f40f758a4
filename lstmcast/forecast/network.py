"""Network: what forecasting asks of a network, whether it is one or an ensemble."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from lstmcast.data.windows import Batch
from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import State


class Network(Protocol):
    """A ``Forecaster`` or an ``Ensemble`` of them."""

    @property
    def architecture(self) -> Architecture: ...

    @property
    def reach(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def needs_spread(self) -> bool: ...

    def __call__(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        future: Tensor,
        *,
        spread: Tensor | None = None,
        static: Tensor | None = None,
        parents: Tensor | None = None,
    ) -> Any: ...

    def quantiles(self, prediction: Any) -> Tensor: ...

    def initial_state(self, lanes: int) -> State: ...

    def carry(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        state: State,
        starts: Tensor,
        *,
        static: Tensor | None = None,
    ) -> State: ...

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
    ) -> tuple[Any, State]: ...


def predicted(network: Network, batch: Batch, **besides: Any) -> Any:
    """What ``network`` predicts from the windows of ``batch``; ``besides`` is what a ``Forecaster`` alone takes."""
    return network(
        batch.context,
        batch.observed,
        batch.past,
        batch.future,
        spread=batch.spread,
        static=batch.static,
        parents=batch.parents,
        **besides,
    )


def carried(network: Network, batch: Batch, state: State) -> State:
    """The ``state`` of ``network`` after the lanes of ``batch``."""
    return network.carry(batch.context, batch.observed, batch.past, state, batch.starts, static=batch.static)


def predicted_along(network: Network, batch: Batch, state: State, **besides: Any) -> tuple[Any, State]:
    """What ``network`` predicts from rows of the lanes of ``batch``, and its ``state`` after them."""
    return network.stream(
        batch.context,
        batch.observed,
        batch.past,
        batch.future,
        state,
        batch.starts,
        static=batch.static,
        **besides,
    )
