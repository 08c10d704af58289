"""What to do about a cluster, from thresholds, with the reason. What does not belong here: doing it (see distill,
loop)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

CREATE_TICKET = "create_ticket"
EXPAND_EVAL_COVERAGE = "expand_eval_coverage"
INVESTIGATE = "investigate"
MONITOR = "monitor"


def recommend(cluster: Mapping[str, Any], day: date, settings: Mapping[str, Any]) -> tuple[str, str]:
    """Action and reason for a live cluster (a row of `clusters`) as of the day.

    `settings` is the `actions` table: for each action thresholds that must all hold, tried in the order of `order`;
    the first that fits wins, `monitor` is what remains.
    """
    facts = {
        "size": cluster["size"],
        "sessions": cluster["session_count"],
        "severity": cluster["severity"],
        "cohesion": cluster["cohesion"],
        "recent": sum(json.loads(cluster["trend"])[-settings["recent_days"] :]),
        "age_days": (day - cluster["born"]).days,
        "quiet_days": (day - cluster["last_arrival"]).days,
    }
    for action in settings["order"]:
        rule = settings[action]
        if cluster["type"] in rule["types"] and all(
            _holds(facts, name, bound) for name, bound in rule.items() if name not in ("types", "because")
        ):
            return action, f"{rule['because']}: {_words(facts, settings)}"
    return MONITOR, f"below every threshold: {_words(facts, settings)}"


def _holds(facts: Mapping[str, float], name: str, bound: float) -> bool:
    """A threshold `minimum_<fact>` or `maximum_<fact>`. Raises KeyError for one that names no fact."""
    side, _, fact = name.partition("_")
    if side not in ("minimum", "maximum"):
        raise KeyError(f"discovery.actions: {name} is neither minimum_… nor maximum_…")
    return facts[fact] >= bound if side == "minimum" else facts[fact] <= bound


def _words(facts: Mapping[str, float], settings: Mapping[str, Any]) -> str:
    return (
        f"{facts['size']} signals in {facts['sessions']} sessions, mean severity {facts['severity']:.1f}, "
        f"{facts['recent']} in the last {settings['recent_days']} days, {facts['age_days']} days old"
    )
