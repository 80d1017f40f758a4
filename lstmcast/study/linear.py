"""The linear highway alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from lstmcast.errors import UsageError
from lstmcast.net import weights
from lstmcast.net.architecture import Architecture
from lstmcast.net.encoding import Encoding
from lstmcast.net.forecaster import Forecaster
from lstmcast.study import UNASKED

State = tuple[Tensor, ...]


class Linear:
    """One linear map from the normalised context to the horizon (Zeng et al. 2023), and a spread that is the same for
    every window: what is left of the forecaster once its encoder is taken out. Covariates are not read."""

    def architecture(self, given: Architecture) -> Architecture:
        if given.stateful:
            raise UsageError(
                "comparator 'linear' reads whole windows and carries no state from row to row",
                remedy="leave it out of --cells, or leave out --stateful",
            )
        plain = {
            "cell": "rnn",
            "layers": 1,
            "residual": False,
            "bidirectional": False,
            "decoder": "direct",
            "facts": False,
            **UNASKED,
        }
        return replace(given, highway=True, **plain)

    def move_into(self, network: Forecaster, *, generator: torch.Generator) -> None:  # noqa: ARG002  # nothing is drawn
        shape = network.architecture
        patches = -(-shape.horizon // shape.patch)
        network.add_module("embed", _Blind())
        network.add_module("stack", _Nothing())
        network.add_module("decoder", _Constant(patches, shape.patch * shape.targets * network.width))


class _Blind(nn.Module):
    def forward(self, z: Tensor, observed: Tensor, covariates: Tensor) -> Tensor:  # noqa: ARG002
        return z.new_zeros(len(z), 1, 0)


class _Nothing(nn.Module):
    state_widths: tuple[int, ...] = ()

    def initial_state(self, lanes: int) -> State:  # noqa: ARG002
        return ()

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x, state

    def last(self, outputs: Tensor) -> Tensor:
        return outputs[:, -1]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:  # noqa: ARG002
        raise UsageError("a linear map has no next step to take", remedy="use decoder direct")


class _Constant(nn.Module):
    def __init__(self, patches: int, outputs: int) -> None:
        super().__init__()
        self.raw = weights.zeros(patches, outputs)

    def forward(self, encoding: Encoding) -> Tensor:
        return self.raw.expand(len(encoding.outputs), *self.raw.shape)
