"""Classes: a probability for each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked


class CategoricalHead:
    """Softmax over ``classes``, trained by cross-entropy. ``centre`` (..., K) are the logits before the network's say.

    In the place of quantiles stand the probabilities of the classes, in their order; they sum to 1 and nothing else
    about the order of the K axis means anything.
    """

    probabilistic = False

    def __init__(self, quantiles: tuple[float, ...], *, classes: int = 2) -> None:
        del quantiles
        self.width, self.median = classes, 0

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        """raw (..., D, K), centre (..., K) -> probabilities (..., D, K)."""
        return torch.softmax(raw + centre.unsqueeze(-2), -1)

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        """Mean cross-entropy; target (..., D) holds the number of the class."""
        logits = F.log_softmax(raw + centre.unsqueeze(-2), -1)
        code = torch.where(observed, target, 0.0).round().long().clamp(0, self.width - 1)
        surprise = -logits.gather(-1, code.unsqueeze(-1)).squeeze(-1)
        return masked.mean_of_all(surprise.clamp(max=masked.LARGEST_ERROR) * observed, observed)
