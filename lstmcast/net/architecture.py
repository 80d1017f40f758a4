"""The plain description of a Forecaster: enough to build it again from a model directory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Every value is explicit; nothing is derived when the network is built.

    ``context`` T rows in, ``horizon`` H rows out, ``targets`` D, ``past`` covariates known over the context only,
    ``future`` covariates known over context and horizon. ``quantiles`` Q levels in (0, 1), ascending, with .5 among
    them; a point loss keeps (.5,). ``seasons`` are the lags of the seasonal base and of the season-mean normaliser,
    in rows. Family names are those of the tables in ``net/*/__init__.py``. ``encoder`` is "stack" or "tree";
    ``memory``, ``heads``, ``form`` ("product" or "additive") and ``forget_bias`` ("one" or "chrono") are told to the
    cell; the last four are the shares of ``stack.Regularisation``.
    """

    context: int
    horizon: int
    targets: int = 1
    past: int = 0
    future: int = 0
    cell: str = "lstm"
    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    residual: bool = False
    dropout: float = 0.1
    patch: int = 1
    transform: str = "none"
    normaliser: str = "last"
    base: str = "none"
    seasons: tuple[int, ...] = ()
    highway: bool = False
    decoder: str = "parallel"
    loss: str = "quantile"
    quantiles: tuple[float, ...] = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
    stateful: bool = False
    encoder: str = "stack"
    memory: int | None = None
    heads: int | None = None
    form: str = "product"
    forget_bias: str = "one"
    shared_layers: bool = False
    checkpointing: bool = False
    variational: float = 0.0
    weight_drop: float = 0.0
    layer_drop: float = 0.0
    zoneout: float = 0.0
