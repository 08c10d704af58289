"""What to do about a cluster, from thresholds, with the reason. What does not belong here: doing it (see distill,
loop)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

CREATE_TICKET = "create_ticket"
EXPAND_EVAL_COVERAGE = "expand_eval_coverage"
INVESTIGATE = "investigate"
MONITOR = "monitor"


def recommend(
    cluster: Mapping[str, Any], day: date, settings: Mapping[str, Any], reach: Mapping[str, int]
) -> tuple[str, str]:
    """Action and reason for a live cluster (a row of `clusters`) as of the day.

    `settings` is the `actions` table: for each action thresholds that must all hold, tried in the order of `order`;
    the first that fits wins, `monitor` is what remains. `reach`: how many `repositories` and `users` there are at all:
    where a team has one, a pattern cannot be seen in two, and no more than there are is asked for. The reason says what
    kept the cluster from each stronger action.
    """
    facts = {
        "size": cluster["size"],
        "sessions": cluster["session_count"],
        "repositories": cluster["repository_count"],
        "users": cluster["user_count"],
        "severity": cluster["severity"],
        "cohesion": cluster["cohesion"],
        "recent": sum(json.loads(cluster["trend"])[-settings["recent_days"] :]),
        "age_days": (day - cluster["born"]).days,
        "quiet_days": (day - cluster["last_arrival"]).days,
    }
    failed = []
    for action in settings["order"]:
        rule = settings[action]
        if cluster["type"] not in rule["types"]:
            continue
        bounds = {name: bound for name, bound in rule.items() if name not in ("types", "because")}
        why_not = [why for name, bound in bounds.items() if (why := _unmet(facts, name, bound, reach))]
        if not why_not:
            return action, _reason(rule["because"], failed, facts, settings)
        failed.append(f"no {action}: {why_not[0]}")
    return MONITOR, _reason("below every threshold", failed, facts, settings)


def _reason(because: str, failed: Sequence[str], facts: Mapping[str, float], settings: Mapping[str, Any]) -> str:
    kept_from = f" ({'; '.join(failed)})" if failed else ""
    return f"{because}{kept_from}: {_words(facts, settings)}"


def _unmet(facts: Mapping[str, float], name: str, bound: float, reach: Mapping[str, int]) -> str | None:
    """In words why a threshold `minimum_<fact>` or `maximum_<fact>` does not hold; None when it does. Raises KeyError for
    one that names no fact."""
    side, _, fact = name.partition("_")
    if side not in ("minimum", "maximum"):
        raise KeyError(f"discovery.actions: {name} is neither minimum_… nor maximum_…")
    bound = min(bound, reach.get(fact, bound)) if side == "minimum" else bound
    holds = facts[fact] >= bound if side == "minimum" else facts[fact] <= bound
    return None if holds else f"{fact.replace('_', ' ')} {facts[fact]:.3g}, {side} {bound:g}"


def _words(facts: Mapping[str, float], settings: Mapping[str, Any]) -> str:
    where = f"{_many(facts['repositories'], 'repository', 'repositories')} and {_many(facts['users'], 'user', 'users')}"
    return (
        f"{_many(facts['size'], 'signal', 'signals')} in {_many(facts['sessions'], 'session', 'sessions')} of {where},"
        f" mean severity {facts['severity']:.1f}, {facts['recent']} in the last {settings['recent_days']} days, a pattern for"
        f" {_many(facts['age_days'], 'day', 'days')}"
    )


def _many(count: float, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
