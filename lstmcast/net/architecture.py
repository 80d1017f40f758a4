"""The plain description of a Forecaster: enough to build it again from a model directory."""

from __future__ import annotations

from dataclasses import dataclass

WORD = 8
"""Numbers that a word is learned as, at most; never more than there are words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Every value is explicit; nothing is derived when the network is built.

    ``context`` T rows in, ``horizon`` H rows out, ``targets`` D, ``classes`` K where the target is one of K
    classes (0: a number), ``past`` covariates known over the context only,
    ``future`` covariates known over context and horizon; ``static`` says how many words each covariate of a whole
    series has, 0 for a number. ``quantiles`` Q levels in (0, 1), ascending, with .5 among them; a point loss keeps
    (.5,). ``seasons`` are the lags of the seasonal base and of the season-mean normaliser, in rows. Family names are
    those of the tables in ``net/*/__init__.py``. ``encoder`` is "stack", "tree", "hierarchy" or "none";
    ``memory``, ``heads``, ``form`` ("product" or "additive") and ``forget_bias`` ("one", "zero" or "chrono") are told
    to the cell; ``variational`` to ``zoneout`` are the shares of ``stack.Regularisation``, and ``forget_bias`` and the
    three that end in ``init`` those of ``initial.Initial``. ``attention`` is "none", "additive" or "dot".

    ``history`` rows before the context are read by statistics only; ``season`` in rows (1: none) is what these take
    out of the series. ``spread`` says in which unit the context is measured, ``error`` in which the loss is. Without
    ``correction`` the network only weighs the methods of a statistical base; ``facts`` about the history go into every
    query. ``blend`` is the share of the mean of Theta and Holt in the forecast.
    """

    context: int
    horizon: int
    targets: int = 1
    classes: int = 0
    past: int = 0
    future: int = 0
    static: tuple[int, ...] = ()
    cell: str = "lstm"
    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    residual: bool = False
    dropout: float = 0.1
    patch: int = 1
    transform: str = "none"
    transform_parameter: float = 0.0
    normaliser: str = "last"
    spread: str = "deviation"
    base: str = "none"
    seasons: tuple[int, ...] = ()
    highway: bool = False
    decoder: str = "parallel"
    loss: str = "quantile"
    quantiles: tuple[float, ...] = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
    stateful: bool = False
    history: int = 0
    season: int = 1
    correction: bool = True
    facts: bool = False
    error: str = "normalised"
    blend: float = 0.0
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
    attention: str = "none"
    depth_gate: bool = False
    input_init: str = "xavier"
    recurrent_init: str = "orthogonal"
    candidate_init: str = "same"

    @property
    def measured_by_all(self) -> bool:
        """Whether a context is measured by all rows of its series up to the cutoff."""
        return self.spread == "history" or self.normaliser == "series"

    @property
    def columns(self) -> int:
        """Columns in which the context is read: one for each target, or for each class."""
        return self.classes or self.targets

    @property
    def outputs(self) -> int:
        """Numbers forecast for each step and target: quantiles, or probabilities of classes."""
        return self.classes or len(self.quantiles)

    @property
    def standing(self) -> int:
        """Numbers that the static covariates become; they go into every row."""
        return sum(min(WORD, count) if count else 1 for count in self.static)

    @property
    def ahead(self) -> int:
        """Numbers known of each row ahead: of future covariates and of static ones."""
        return self.future + self.standing

    @property
    def reach(self) -> int:
        """Rows before the cutoff that the network is given."""
        return self.context + self.history

    @property
    def summarises(self) -> bool:
        """Whether statistics of the history are needed."""
        return (
            self.base == "statistical"
            or self.normaliser == "level"
            or self.spread == "change"
            or self.error == "relative"
            or self.facts
            or self.season > 1
        )
