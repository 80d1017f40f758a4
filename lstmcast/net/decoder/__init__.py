"""Decoders: how the horizon is written once the context has been read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    from torch import Tensor

    from lstmcast.net.encoding import Encoding


class Decoder(Protocol):
    """An ``nn.Module``, built as ``Decoder(architecture, stack, outputs=O, generator=...)``; it reads the sizes of the
    encoder's ``stack`` but does not own it. Every patch of the horizon must feel the newest value of the context."""

    def __call__(self, encoding: Encoding) -> Tensor:
        """-> (B, J, O): the raw numbers of each of the J = ⌈H/p⌉ patches of the horizon."""
        ...


DECODERS = Family(
    "decoder",
    {
        "parallel": Member("lstmcast.net.decoder.parallel:Parallel", "one step of the cell per patch, all at once"),
        "direct": Member("lstmcast.net.decoder.direct:Direct", "one linear layer writes the whole horizon"),
        "recursive": Member("lstmcast.net.decoder.recursive:Recursive", "feeds each forecast back into the encoder"),
        "seq2seq": Member("lstmcast.net.decoder.seq2seq:Seq2Seq", "a second cell writes, patch after patch"),
    },
)
