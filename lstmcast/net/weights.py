"""First values of weights. Every draw comes from the generator passed in, never from torch's global one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def xavier(rows: int, columns: int, *, generator: torch.Generator) -> nn.Parameter:
    """Input weights (rows, columns), uniform (Glorot & Bengio 2010)."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns), generator=generator))


def orthogonal(gates: int, hidden: int, columns: int | None = None, *, generator: torch.Generator) -> nn.Parameter:
    """Recurrent weights (gates·C, C), orthogonal gate by gate, so that no gate shrinks the state at the start."""
    shape = (hidden, columns or hidden)
    blocks = [nn.init.orthogonal_(torch.empty(shape), generator=generator) for _ in range(gates)]
    return nn.Parameter(torch.cat(blocks))


def zeros(*shape: int) -> nn.Parameter:
    """Biases."""
    return nn.Parameter(torch.zeros(*shape))


def ones(*shape: int) -> nn.Parameter:
    """Gains."""
    return nn.Parameter(torch.ones(*shape))


def stacked(on_h: Tensor, on_x: Tensor, bias: Tensor) -> Tensor:
    """(N, R), (N, F) and (N,) side by side: the weights of [h | x | 1]."""
    return torch.cat([on_h, on_x, bias.unsqueeze(1)], 1)


def remember(
    bias: Tensor, *, forget: int, admit: int | None, hidden: int, span: int | None, generator: torch.Generator
) -> None:
    """Start block ``forget`` of ``bias`` at +1 or, with ``span``, at the logarithms of memory lengths between 1 and
    span − 1 steps, and block ``admit`` at their negatives (chrono, Tallec & Ollivier 2018)."""
    blocks = torch.unflatten(bias.detach(), 0, (-1, hidden))
    if span is None:
        blocks[forget] = 1.0
        return
    lengths = torch.empty(hidden).uniform_(1, max(span - 1, 1), generator=generator)
    blocks[forget] = lengths.log()
    if admit is not None:
        blocks[admit] = -lengths.log()


def normal(*shape: int, generator: torch.Generator) -> nn.Parameter:
    """Learned vectors that must differ from the start, such as positions."""
    return nn.Parameter(torch.randn(*shape, generator=generator))


def linear(inputs: int, outputs: int, *, generator: torch.Generator) -> nn.Linear:
    """A linear layer with torch's usual bounds, ±1/√inputs."""
    layer = _undrawn(inputs, outputs)
    bound = 1 / math.sqrt(max(inputs, 1))
    for parameter in (layer.weight, layer.bias):
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def silent_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts at zero: it says nothing until training needs it."""
    layer = _undrawn(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _undrawn(inputs: int, outputs: int) -> nn.Linear:
    """A layer about to be filled. torch's own first draw is undone; its ``skip_init`` would cost half a second once."""
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(inputs, outputs)


def quieten(layer: nn.Linear) -> None:
    """Shrink a layer so far that it says almost nothing at the start, without losing its gradients."""
    with torch.no_grad():
        layer.weight.mul_(0.01 * math.sqrt(layer.in_features))
        layer.bias.zero_()
