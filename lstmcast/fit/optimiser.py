"""Optimiser, learning-rate schedule, gradient clipping and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lstmcast.config import TrainingSettings

_WARM = 0.2  # share of the steps in which one-cycle rises


def build(network: nn.Module, settings: TrainingSettings, *, learning_rate: float) -> Optimizer:
    """The optimiser named in ``settings``. The linear highway learns at a third of the rate with its own decay."""
    highway = [p for name, p in network.named_parameters() if name.startswith("highway")]
    others = [p for name, p in network.named_parameters() if not name.startswith("highway")]
    groups = [{"params": others, "lr": learning_rate, "weight_decay": settings.weight_decay}]
    if highway:
        groups.append({"params": highway, "lr": learning_rate / 3, "weight_decay": max(settings.weight_decay, 1e-3)})
    builders: dict[str, Callable[[], Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(groups, betas=(0.9, 0.99)),
        "adam": lambda: torch.optim.Adam(groups, betas=(0.9, 0.99)),
        "rmsprop": lambda: torch.optim.RMSprop(groups, alpha=0.99),
        "sgd": lambda: torch.optim.SGD(groups, momentum=0.9),
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


def clip(network: nn.Module, settings: TrainingSettings) -> Tensor:
    """Clip by value, then by global norm; returns the norm in between."""
    parameters = list(network.parameters())
    if settings.clip_value is not None:
        nn.utils.clip_grad_value_(parameters, settings.clip_value)
    return nn.utils.clip_grad_norm_(parameters, settings.clip_norm or math.inf)


class WeightAverage:
    """Exponential moving average of all weights, warmed up so that early steps do not linger."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after optimiser step ``step`` (from 0). Decay 0 keeps just the latest."""
        decay = min(self.decay, (step + 1) / (step + 10)) if self.decay else 0.0
        current = network.state_dict()
        moving = [name for name, tensor in self.weights.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.weights[n] for n in moving], [current[n] for n in moving], 1 - decay)
