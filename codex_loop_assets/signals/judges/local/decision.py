"""From log-odds to findings: which categories a message shows, and how sure that is.

Thresholds and calibration are data (section `decision` of config/local_judge.toml). What does not belong here: weights,
wording, severity.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from codex_loop_assets.signals.judges.local.model import probability


def decide(log_odds: Mapping[str, float], settings: Mapping[str, Any], names: Collection[str]) -> dict[str, float]:
    """Those of the categories `names` that a message shows, with a calibrated confidence each.

    A friction category needs the message to look like friction of some kind (`any_friction`, over all categories), and
    then either to pass its own threshold or to be the likeliest one: something is wrong, and that is the best name for
    it. Delight categories stand alone.
    """
    margins = {name: log_odds[name] - limit for name, limit in settings["threshold"].items() if name in names}
    friction = {name: margins[name] for name in settings["friction"] if name in margins}
    shown = {name for name, margin in margins.items() if name not in settings["friction"] and margin >= 0}
    if friction and any_friction(log_odds, settings["friction"]) >= settings["any_friction"]:
        shown |= {name for name, margin in friction.items() if margin >= 0}
        shown.add(max(sorted(friction), key=lambda name: friction[name]))
    return {name: _confidence(margins[name], name in friction, settings) for name in sorted(shown)}


def any_friction(log_odds: Mapping[str, float], friction: Sequence[str]) -> float:
    """Log-odds that at least one of the categories is shown, taken as independent of one another."""
    none = -sum(math.log1p(math.exp(log_odds[name])) for name in friction)
    return math.log(-math.expm1(none)) - none


def _confidence(margin: float, is_friction: bool, settings: Mapping[str, Any]) -> float:
    """Probability that a careful reader agrees with the category, from how far it passes its threshold."""
    line = settings["calibration"]["friction" if is_friction else "delight"]
    return probability(line["margin"] * margin + line["offset"])
