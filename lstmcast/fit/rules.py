"""Rules: how facts about a panel become a network. One function per regime, each value with its reason."""

from __future__ import annotations

from typing import Any, Literal

from lstmcast.config import Settings
from lstmcast.fit.facts import Facts
from lstmcast.net.heads import CLASSES

SHORT = 300  # rows up to which a series counts as short
LONG = 5_000  # rows per series from which it counts as long
FEW = 500  # windows below which corrections of classical methods would be learned by heart
CLEAR = 0.3  # autocorrelation from which a season decides how far to look back
NEAR, FAR = 336, 720  # rows that the members of a long series look back
SHORT_SEASON = 12  # the longest season whose indices a short series can tell
_HISTORY = 240  # rows of a short series that statistics read at most

Regime = Literal["short", "panel", "long", "stateful", "classes"]
Rules = dict[str, tuple[Any, str]]


def regime(settings: Settings, facts: Facts) -> tuple[Regime, str]:
    """Which way of forecasting suits the panel, and why."""
    rows = f"{facts.median_length:,} rows in the median series"
    if settings.network.loss == CLASSES:
        return "classes", "the target holds classes"
    if settings.training.stateful:
        return "stateful", "the state is carried along each series"
    if facts.median_length <= SHORT and main_season(facts) <= SHORT_SEASON and _allows_statistics(settings):
        return "short", f"{rows}: too few for a network alone, it weighs and corrects classical methods"
    return ("long" if facts.median_length > LONG else "panel"), rows


def _allows_statistics(settings: Settings) -> bool:
    """Whether the user's own choices leave room for a base of classical methods."""
    wish = settings.network
    return (
        wish.base in (None, "statistical")
        and wish.decoder in ("parallel", "direct")
        and wish.loss in ("quantile", "mae")
        and wish.normaliser in (None, "last", "level")
    )


def main_season(facts: Facts) -> int:
    """The first season found, 1 where there is none."""
    return facts.seasons[0] if facts.seasons else 1


def network_rules(
    chosen: Regime, settings: Settings, facts: Facts, *, horizon: int, usual_season: int, windows: int
) -> Rules:
    """Value and reason of every network setting that a user may leave open, but for size, loss and transform.

    ``windows`` the panel has for training, roughly.
    """
    if chosen == "stateful":
        return _carried(settings)
    if chosen == "classes":
        return _labelled(settings, facts, horizon, usual_season)
    if chosen == "short":
        return _short(settings, facts, usual_season, windows)
    return _windowed(chosen, settings, facts, horizon)


def _short(settings: Settings, facts: Facts, season: int, windows: int) -> Rules:
    season = season if season <= SHORT_SEASON else 1
    told = f"season {season}" if season > 1 else "no season"
    patch = settings.network.patch or (season if season > 1 else 2)
    look = 6 if season == 1 else season * max(2, SHORT_SEASON // season)
    context = -(-look // patch) * patch
    history = max(min(facts.longest, _HISTORY) - context, 0)
    statistical = "classical methods know short series best"
    return {
        "patch": (patch, told),
        "context": (context, f"{told}: what lies farther back is left to statistics"),
        "history": (history, f"{facts.longest:,} rows in the longest series, {_HISTORY} at most"),
        "deseasonalise": (season > 1, told),
        "normaliser": ("last", "the last value is the level"),
        "spread": ("change", "changes from row to row are what a short series tells best"),
        "base": ("statistical", statistical),
        "highway": (False, statistical),
        "correction": (
            windows >= FEW,
            f"{windows:,} windows to learn from; below {FEW} the network only weighs methods",
        ),
        "facts": (settings.network.decoder == "parallel", "length, level and spread of the history"),
        "error": ("relative", "series of all sizes count alike"),
        "blend": (0.3, statistical),
    }


def _windowed(chosen: Regime, settings: Settings, facts: Facts, horizon: int) -> Rules:
    season = main_season(facts)
    told = f"seasons {', '.join(map(str, facts.seasons))}" if facts.seasons else "no season found"
    rows = f"{facts.median_length:,} rows in the median series"
    short = facts.median_length <= SHORT
    clear = facts.strength >= CLEAR
    patch = _patch(season if clear else 1, facts.median_length)
    longest = max(facts.seasons, default=1) if clear else 1
    context = _context(chosen, longest, settings.network.patch or patch, horizon, facts)
    fits = 2 * season <= (settings.network.context or context)
    by_series = settings.network.normaliser == "series"
    strong = season >= 7 and fits and not short and chosen == "panel" and facts.strength >= 0.5
    return {
        "patch": (patch, told if clear else f"{told}, none of them clear"),
        "context": (
            context,
            f"{NEAR} rows or the horizon; {rows}"
            if chosen == "long"
            else f"3 clear seasons, 2 horizons or 5 patches; {rows}",
        ),
        "normaliser": ("season-mean", told) if strong else ("last", "the last value is the level"),
        "spread": ("history", "of the whole series") if by_series else ("deviation", "of the context"),
        "base": ("seasonal", told) if strong else ("none", f"{told}, {rows}"),
        "highway": (not short, rows),
        **_WITHOUT_STATISTICS,
    }


def _labelled(settings: Settings, facts: Facts, horizon: int, season: int) -> Rules:
    """Classes have no level to measure, no spread and no classical methods: the network reads which came when."""
    why = "classes are names, not numbers"
    told = f"season {season}" if season > 1 else "no season"
    patch = settings.network.patch or (season if 1 < season <= 48 else 1 if facts.median_length < 100 else 4)
    rows = min(max(3 * min(season, 200), 2 * horizon, 8 * patch), 60 * patch)
    context = max(patch, min(rows, affordable_context(facts, horizon, patch)) // patch * patch)
    return {
        "patch": (patch, told),
        "context": (context, f"3 seasons, 2 horizons or 8 patches; {facts.median_length:,} rows in the median series"),
        "normaliser": ("last", why),
        "spread": ("deviation", why),
        "base": ("none", why),
        "highway": (facts.median_length > SHORT, f"{facts.median_length:,} rows in the median series"),
        **_WITHOUT_STATISTICS,
    }


def _carried(settings: Settings) -> Rules:
    """What a carried state allows: a window statistic or a look-back of fixed length is not defined for it."""
    why = "the state is carried row by row"
    patch = settings.network.patch or 1
    rows = settings.training.tbptt[0] if settings.training.tbptt else max(-(-48 // patch), 16) * patch
    return {
        "patch": (1, why),
        "context": (rows, "rows per chunk (k1)"),
        "normaliser": ("causal", why),
        "spread": ("deviation", why),
        "base": ("none", why),
        "highway": (False, why),
        **_WITHOUT_STATISTICS,
    }


_WITHOUT_STATISTICS: Rules = {
    "correction": (True, "the network forecasts"),
    "history": (0, "only statistics read farther back"),
    "deseasonalise": (False, "the network learns the season"),
    "facts": (False, "the context tells enough"),
    "error": ("normalised", "the context's own spread"),
    "blend": (0.0, "classical methods add nothing here"),
}


def _patch(season: int, length: int) -> int:
    if season == 1:
        return 1 if length < 100 else 2 if length <= SHORT else 13
    if season <= 48:
        return season
    return min((p for p in range(2, 61) if season % p == 0), key=lambda p: abs(p - 24), default=24)


def _context(chosen: Regime, longest: int, patch: int, horizon: int, facts: Facts) -> int:
    wanted = max(3 * min(longest, 200), 5 * patch, 2 * horizon)
    if chosen == "long":
        wanted = min(max(NEAR, horizon), FAR)
    rows = min(wanted, 60 * patch, 1024, affordable_context(facts, horizon, patch))
    return max(patch, rows // patch * patch)


def affordable_context(facts: Facts, horizon: int, patch: int) -> int:
    """The longest look-back that leaves a typical series windows to train on, in whole patches."""
    rows = max(int(0.6 * (facts.median_length - horizon)), 2 * patch)
    return max(patch, rows // patch * patch)


def transform(facts: Facts, loss: str, normaliser: str | None) -> tuple[str, str]:
    """The transform of values, and why."""
    if normaliser == "series":
        return "none", "the whole series is measured as it is"
    if loss == CLASSES:
        return "none", "classes are names, not numbers"
    if loss == "mse":
        return "none", "the mean of transformed values is not the transform of their mean"
    if facts.positive and facts.away_from_zero and facts.median_length <= LONG:
        return "log", "positive and never near zero: changes are relative"
    if facts.skewed and facts.positive:
        return "log", "positive, and the spread grows with the level or the maximum dwarfs the median"
    if facts.skewed and facts.nonnegative:
        return "log1p", "zeros among positive values whose spread grows with the level"
    return "none", "the spread does not grow with the level" if facts.nonnegative else "negative values"


def hidden(facts: Facts) -> int:
    """Units per layer."""
    return 32 if facts.rows < 3_000 else 64 if facts.rows < 2_000_000 else 128
