"""Attention: a decoder looks back at what the encoder said at each patch of the context."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from lstmcast.net import weights

Kind: TypeAlias = Literal["additive", "dot"]


class Attention(nn.Module):
    """Turns the output h of a decoder's step into h + V Σ_t a_t s_t, the weights a from h and the encoder's outputs s.

    additive  a = softmax v·tanh(W h + U s)       (Bahdanau, Cho & Bengio 2015)
    dot       a = softmax (W h)·(U s) / √C        (Luong, Pham & Manning 2015; scaled as in Vaswani et al. 2017)

    Variables: ``ask`` W (C, C), ``offer`` U (C, W), ``weigh`` v (1, C) where additive, ``tell`` V (C, W); all uniform
    within ±1/√inputs.
    """

    def __init__(self, kind: Kind, *, hidden: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.ask = weights.linear(hidden, hidden, generator=generator)
        self.offer = weights.linear(width, hidden, generator=generator)
        self.weigh = weights.linear(hidden, 1, generator=generator) if kind == "additive" else None
        self.tell = weights.linear(width, hidden, generator=generator)

    def over(self, outputs: Tensor, known: Tensor) -> Callable[[Tensor], Tensor]:
        """outputs s (B, P, W) and known (B, P) bool -> a function from h (B, C) or (B, J, C) to the same shape.

        A patch of which nothing was observed has no weight, but for the newest where there is no other.
        """
        offered = self.offer(outputs)
        nothing = ~known.any(1, keepdim=True) & (
            torch.arange(known.shape[1], device=known.device) == known.shape[1] - 1
        )
        hidden = ~(known | nothing).unsqueeze(1)

        def look(h: Tensor) -> Tensor:
            asked = self.ask(h if h.dim() == 3 else h.unsqueeze(1))
            share = torch.softmax(self._scores(asked, offered).masked_fill(hidden, -torch.inf), -1)  # (B, J, P)
            told: Tensor = self.tell(share @ outputs)
            return h + (told if h.dim() == 3 else told.squeeze(1))

        return look

    def _scores(self, asked: Tensor, offered: Tensor) -> Tensor:
        if self.weigh is None:
            return asked @ offered.transpose(1, 2) / math.sqrt(asked.shape[-1])
        scores: Tensor = self.weigh(torch.tanh(asked.unsqueeze(2) + offered.unsqueeze(1))).squeeze(-1)
        return scores
