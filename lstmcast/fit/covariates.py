"""Covariates: do those that only the reader chose help, or do the networks learn by heart when they were what?

A covariate that is known only up to now costs little and may lead the target; in a few long series it may as well name
the day, so that the network remembers instead of learning. The held-out rows tell which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lstmcast.config import Settings
from lstmcast.data.column_names import as_flag, listed
from lstmcast.data.panel import Panel
from lstmcast.fit.ensemble import Stage
from lstmcast.fit.loop import Fitted
from lstmcast.fit.objective import Pools
from lstmcast.fit.plan import Plan, Reason


@dataclass(frozen=True, slots=True)
class Worth:
    """What the first network made of the held-out rows with the covariates ``names`` and without them."""

    names: tuple[str, ...]
    measure: str
    error: float
    without: float

    @property
    def pays(self) -> bool:
        """Whether they are to be read. They are not where they change nothing: what is not needed cannot fail."""
        return not self.without <= self.error

    def sentence(self) -> str:
        """What a user is told."""
        names = listed(self.names)
        told = f"{self.measure} of the first network {self.error:.3f} with {names}, {self.without:.3f} without"
        if self.pays:
            return told
        flags = " ".join(f"--past {as_flag(name)}" for name in self.names)
        return f"{told}: left out ({flags} keeps {'it' if len(self.names) == 1 else 'them'})"

    def reason(self) -> Reason:
        """The same as a line of the plan."""
        value = listed(self.names) if self.pays else "none"
        return Reason(
            "past", value, f"{self.measure} {self.error:.3f} with {listed(self.names)}, {self.without:.3f} without"
        )


def in_question(panel: Panel, settings: Settings, plan: Plan) -> bool:
    """Whether ``panel`` has covariates known only up to now that nobody asked for, and ``plan`` rows to try them on."""
    shape = plan.architecture
    unasked = settings.reader.past is None and bool(panel.schema.past)
    return unasked and not shape.stateful and shape.encoder != "none" and plan.split.validation.size > 0


def without(plan: Plan) -> Plan:
    """``plan`` for a panel that has lost its covariates of the past."""
    members = tuple(replace(one, architecture=replace(one.architecture, past=0)) for one in plan.members)
    return replace(plan, architecture=replace(plan.architecture, past=0), members=members)


def bare(stage: Stage) -> Stage:
    """``stage`` with all it needs to train without the covariates of the past."""
    panel = stage.panel.without_past()
    pools = Pools(panel, stage.plan.split)
    return replace(stage, name=f"{stage.name}-without-past", panel=panel, plan=without(stage.plan), pools=pools)


def worth(stage: Stage, whole: Fitted, without: Fitted) -> Worth:
    """What the covariates of ``stage`` are worth to its first network, trained on them and without them."""
    measure = "log loss" if stage.plan.architecture.classes else "MASE"
    return Worth(stage.panel.schema.past, measure, whole.held_out_error, without.held_out_error)
