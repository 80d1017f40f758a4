"""Optimiser, learning-rate schedule, gradient clipping and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lstmcast.config import TrainingSettings

_FUSED = {"cpu", "cuda"}  # where torch updates all weights in one pass
_WARM = 0.2  # share of the steps in which one-cycle rises


def build(network: nn.Module, settings: TrainingSettings, *, learning_rate: float) -> Optimizer:
    """The optimiser named in ``settings``. The linear highway learns at a third of the rate with its own decay."""
    highway = [p for name, p in network.named_parameters() if name.startswith("highway")]
    others = [p for name, p in network.named_parameters() if not name.startswith("highway")]
    groups = [{"params": others, "lr": learning_rate, "weight_decay": settings.weight_decay}]
    if highway:
        groups.append({"params": highway, "lr": learning_rate / 3, "weight_decay": max(settings.weight_decay, 1e-3)})
    fused = all(parameter.device.type in _FUSED for parameter in network.parameters())
    builders: dict[str, Callable[[], Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=fused),
        "adam": lambda: torch.optim.Adam(groups, betas=(0.9, 0.99), fused=fused),
        "rmsprop": lambda: torch.optim.RMSprop(groups, alpha=0.99),
        "sgd": lambda: torch.optim.SGD(groups, momentum=0.9, fused=fused),
    }
    return builders[settings.optimizer]()


def schedule(optimiser: Optimizer, settings: TrainingSettings, *, steps: int) -> LambdaLR:
    """Learning rate over ``steps``: one-cycle (cosine up for a fifth, cosine down to zero), cosine, or constant."""

    def one_cycle(step: int) -> float:
        done = min(step / max(steps, 1), 1.0)
        if done < _WARM:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * done / _WARM)) / 2
        return max(1e-4, (1 + math.cos(math.pi * (done - _WARM) / (1 - _WARM))) / 2)

    def cosine(step: int) -> float:
        return max(1e-4, (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0))) / 2)

    rules = {"one-cycle": one_cycle, "cosine": cosine, "constant": lambda _: 1.0}
    return LambdaLR(optimiser, rules[settings.schedule])


def told(settings: TrainingSettings, step: int, *, steps: int) -> float:
    """The share of patches told to a decoder that reads its own, at ``step`` of ``steps``: from ``teacher_forcing``
    down to next to nothing (Bengio et al. 2015)."""
    done = min(step / max(steps, 1), 1.0)
    rules: dict[str, float] = {
        "linear": 1 - done,
        "exponential": math.pow(0.01, done),
        "sigmoid": 1 / (1 + math.exp(12 * (done - 0.5))),
    }
    return settings.teacher_forcing * rules[settings.teacher_decay]


def clip(parameters: Sequence[nn.Parameter], settings: TrainingSettings) -> Tensor:
    """Clip the gradients by value, then by global norm; returns the norm in between."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if settings.clip_value is not None:
        torch._foreach_clamp_min_(gradients, -settings.clip_value)
        torch._foreach_clamp_max_(gradients, settings.clip_value)
    norm: Tensor = torch.linalg.vector_norm(torch.cat([gradient.flatten() for gradient in gradients]))
    if settings.clip_norm and not norm <= settings.clip_norm:  # whatever is not a number has to be seen
        torch._foreach_mul_(gradients, settings.clip_norm / (norm + 1e-6))
    return norm


class WeightAverage:
    """Exponential moving average of all weights, warmed up so that early steps do not linger."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        current = network.state_dict()
        self.weights = {name: tensor.detach().clone() for name, tensor in current.items()}
        self._moving = {name: tensor for name, tensor in current.items() if tensor.is_floating_point()}

    def update(self, step: int) -> None:
        """Take in the weights after optimiser step ``step`` (from 0). Decay 0 keeps just the latest."""
        decay = min(self.decay, (step + 1) / (step + 10)) if self.decay else 0.0
        averages = [self.weights[name] for name in self._moving]
        torch._foreach_lerp_(averages, list(self._moving.values()), 1 - decay)
