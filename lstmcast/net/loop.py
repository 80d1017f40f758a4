"""The one loop over time that every cell shares, with its back-propagation written out, as a function of autograd.

``net.outward`` goes through the steps, ``net.homeward`` back. Gradients of gradients take the readable road instead.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lstmcast.net.homeward import homeward
from lstmcast.net.outward import GIVEN, Course, Given, Journey, Kept


def run(course: Course, given: Given, parameters: tuple[Tensor, ...], state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """h (T, B, R) of all steps and the final state, or, traced, all state tensors of all steps."""
    if not torch.is_grad_enabled() and not course.traced:
        course = course._replace(segment=math.isqrt(len(given.x)) + 1)
    outputs: tuple[Tensor, ...] = _Loop.apply(course, *given, *parameters, *state)  # type: ignore[no-untyped-call]
    return outputs


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, course: Course, *tensors: Any) -> tuple[Tensor, ...]:
        given, parameters, state = _sorted(course, tensors)
        journey = Journey(course, given, parameters, state)
        kept = journey.forward(state)
        ctx.course, ctx.parts = course, [len(part) if isinstance(part, tuple) else -1 for part in kept]
        flat = [tensor for part in kept for tensor in (part if isinstance(part, tuple) else (part,))]
        ctx.given = len(tensors)
        ctx.save_for_backward(*tensors, *flat)
        ctx.set_materialize_grads(False)
        h = kept.h[1:, :, : journey.outputs]
        if course.traced:
            return h, *(part[1:] for part in kept.memory)
        return h, h[-1].clone(), *(part[journey.last_length].clone() for part in kept.memory)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("the fast road has no second derivative; use scan(..., readable=True)")
        saved = list(ctx.saved_tensors)
        given, parameters, state = _sorted(ctx.course, saved[: ctx.given])
        rest = iter(saved[ctx.given :])
        kept = Kept(*(next(rest) if n < 0 else tuple(next(rest) for _ in range(n)) for n in ctx.parts))  # type: ignore[arg-type]
        journey = Journey(ctx.course, given, parameters, state)
        return None, *homeward(journey, kept, upstream, needs_x=ctx.needs_input_grad[1])


def _sorted(course: Course, tensors: Any) -> tuple[Given, tuple[Tensor, ...], tuple[Tensor, ...]]:
    end = GIVEN + course.parameters
    return Given(*tensors[:GIVEN]), tuple(tensors[GIVEN:end]), tuple(tensors[end:])
