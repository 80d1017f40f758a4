"""Study: networks measured side by side and looked into. What is learned here changes no model.

Comparators are forecasters that are trained beside the cells to show what a recurrence is worth; they are not offered
for production. A member is a class without arguments that says what it cannot be combined with, which architecture it
starts from, and which parts of the network it replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    import torch

    from lstmcast.net.architecture import Architecture
    from lstmcast.net.forecaster import Forecaster


UNASKED: Mapping[str, Any] = {
    "attention": "none",
    "candidate_init": "same",
    "checkpointing": False,
    "depth_gate": False,
    "forget_bias": "one",
    "form": "product",
    "heads": None,
    "layer_drop": 0.0,
    "memory": None,
    "shared_layers": False,
}
"""What only recurrent cells and their layers understand: a comparator passes it by."""


class Comparator(Protocol):
    """Something else than a recurrent cell between the normalised context and the head."""

    def architecture(self, given: Architecture) -> Architecture:
        """The architecture of the network whose parts are replaced. Raises ``UsageError`` where it cannot stand in."""
        ...

    def move_into(self, network: Forecaster, *, generator: torch.Generator) -> None:
        """Replace the encoder of ``network``, and what else does not apply."""
        ...


COMPARATORS = Family(
    "comparator",
    {
        "transformer": Member("lstmcast.study.transformer:Transformer", "self-attention over the same patches"),
        "linear": Member("lstmcast.study.linear:Linear", "the linear highway alone, without an encoder"),
    },
)
