"""Verdict on a ticket: close, keep or reopen it, by rule, from measured comparisons and from production.

What belongs here: the rule and its explanation. What does not: the statistics of trials (`measure.statistics`), running
trials (`resources.harbor`), the ticket's statuses (`life`).

The friction that gave birth to the task is the first endpoint, reward the guard: a change that earns the reward while
the friction stays has not solved the problem, and one that removes the friction by no longer solving the task has not
either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import polars as pl

from codex_loop_assets.loop import life
from codex_loop_assets.loop.excerpt import code, escape, excerpt
from codex_loop_assets.loop.pages import environment
from codex_loop_assets.settings import section

Outcome = Literal["close", "keep", "reopen"]
REWARD = "reward"
NOT_JUDGED = "not judged"
_EVENT = {"close": "verified", "reopen": "regressed", "keep": "proof_kept_open"}


@dataclass(frozen=True)
class Check:
    """One comparison and what it means for the ticket. `row` is a row of `regressions`; `role` is target, neighbour or
    delight_guard; `effect` is helps, harms or undecided, or `not judged` where it is about another arm than the verdict."""

    role: str
    row: Mapping[str, Any]
    effect: str
    message: str


@dataclass(frozen=True)
class Period:
    """A share of sessions in production: of `exposed` sessions in which the problem could be seen, `affected` show
    it."""

    name: str
    affected: int
    exposed: int
    low: float | None
    high: float | None

    @property
    def rate(self) -> float | None:
        return self.affected / self.exposed if self.exposed else None


@dataclass(frozen=True)
class Production:
    """Before and after a change, and by release; `difference` is after minus before with its 95 % interval, None
    where a side has too few sessions to say anything."""

    since: date
    before: Period
    after: Period
    releases: tuple[Period, ...]
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Verdict:
    """What becomes of the ticket and why, with the statistics behind it and the event for the log. `shortfalls`: the sets that
    were too small to say anything, in words."""

    outcome: Outcome
    reason: str
    checks: tuple[Check, ...]
    production: Production | None
    event: life.Event
    shortfalls: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The verdict for people: the rule's reason, then every comparison with its numbers."""
        return (
            environment().get_template("verdict.md.j2").render(verdict=self, code=code, escape=escape, excerpt=excerpt)
        )


def decide(
    state: life.State,
    category: str | None,
    comparisons: Mapping[str, pl.DataFrame],
    today: date,
    production: Production | None = None,
    settings: Mapping | None = None,
    *,
    shortfalls: Mapping[str, str] | None = None,
    candidate: str | None = None,
    provable: bool = True,
) -> Verdict:
    """The verdict on a ticket. `comparisons` maps target, neighbour and delight_guard to rows of `regressions`; `shortfalls`
    maps those of them whose set has too few proven tasks to why (`distill.sets.shortfalls`): whatever was measured on
    such a set decides nothing. `candidate`: the arm that the verdict is about; what other arms did is shown and decides
    nothing (a weak model tried since must not reopen what a fix has closed). None: all are.

    Closes when the target's friction (or, where no trial could show it, its reward) improves, its reward does not get
    worse, no neighbour and no guard gets worse, and production does not say otherwise. Reopens a verified ticket when
    the same evidence now speaks against it. Everything else keeps the ticket as it is, and the reason says what is
    missing.
    """
    rule = (settings or section("tickets"))["verify"]
    short = dict(shortfalls or {})
    shown = tuple(
        _check(role, row, rule, short.get(role))
        if candidate in (None, row["candidate_arm"])
        else Check(role, row, NOT_JUDGED, "")
        for role in ("target", "neighbour", "delight_guard")
        for row in comparisons.get(role, pl.DataFrame()).to_dicts()
    )
    checks = tuple(check for check in shown if check.effect != NOT_JUDGED)
    harms = [check.message for check in checks if check.effect == "harms"]
    missing = _missing(checks, category, rule, short)
    worse = _production_worse(production)
    if worse:
        harms.append(worse)
    if harms:
        outcome: Outcome = "reopen" if state.status == "verified" else "keep"
        reason = "; ".join(harms)
    elif not checks and not provable and _production_better(production):
        outcome, reason = "close", f"no task can show it, and {_in_production(production, 'got better')}"
    elif missing:
        outcome, reason = "keep", "; ".join(missing)
    else:
        outcome = "close"
        reason = "; ".join([*(check.message for check in checks if check.effect == "helps"), *short.values()])
    event = life.Event(
        state.ticket_id,
        state.fingerprint,
        today,
        _EVENT[outcome],
        life.SYSTEM,
        reason,
        {"comparisons": _digest(checks)},
    )
    return Verdict(outcome, reason, shown, production, event, tuple(short.values()))


def _check(role: str, row: Mapping[str, Any], rule: Mapping, shortfall: str | None) -> Check:
    name = f"{role.replace('_', ' ')}, {row['endpoint']}"
    numbers = _numbers(row)
    if shortfall:
        return Check(role, row, "undecided", f"{name}: {shortfall}")
    contradiction = _contradiction(row)
    if contradiction:
        return Check(role, row, "undecided", f"{name}: {contradiction} ({numbers})")
    significant = row["p_adjusted"] is not None and row["p_adjusted"] <= rule["alpha"]
    if row["verdict"] == "regressed":
        return Check(role, row, "harms", f"{name} got worse ({numbers})")
    if row["verdict"] == "improved" and significant and role == "target":
        if row["tasks"] < rule["minimum_tasks"]:
            return Check(
                role, row, "undecided", f"{name}: only {row['tasks']} paired tasks, {rule['minimum_tasks']} needed"
            )
        return Check(role, row, "helps", f"{name} improved ({numbers})")
    if row["verdict"] == "not_enough_data":
        return Check(role, row, "undecided", f"{name}: not enough data ({excerpt(row['reason'], None, 160)})")
    seen = row["minimum_detectable_effect"]
    power = f"; a difference of {seen:.2f} could have been seen" if seen is not None else ""
    return Check(role, row, "undecided", f"{name}: no change shown ({numbers}{power})")


def _contradiction(row: Mapping[str, Any]) -> str | None:
    """A verdict that its own interval does not support is not believed. For friction, down is better; for reward,
    up."""
    if row["verdict"] not in {"improved", "regressed"} or row["interval_low"] is None or row["interval_high"] is None:
        return None
    up = (row["verdict"] == "improved") == (row["endpoint"] == REWARD)
    supported = row["interval_low"] > 0 if up else row["interval_high"] < 0
    return None if supported else f"the verdict {row['verdict']} does not follow from its interval"


def _numbers(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return f"{row['tasks']} tasks"
    interval = (
        "no interval" if row["interval_low"] is None else f"{row['interval_low']:+.2f} to {row['interval_high']:+.2f}"
    )
    p = "" if row["p_adjusted"] is None else f", adjusted p {row['p_adjusted']:.3g}"
    return f"{row['difference']:+.2f}, 95 % interval {interval}{p}, {row['tasks']} tasks × {row['repeats']:g} repeats"


def _missing(
    checks: tuple[Check, ...], category: str | None, rule: Mapping, shortfalls: Mapping[str, str]
) -> list[str]:
    """What keeps the ticket from closing although nothing got worse."""
    targets = [check for check in checks if check.role == "target"]
    friction = [check for check in targets if check.row["endpoint"] == category]
    reward = [check for check in targets if check.row["endpoint"] == REWARD]
    # Only a friction endpoint that was measured can decide; otherwise the reward has to.
    deciding = [check for check in friction if check.row["verdict"] != "not_enough_data"] or reward
    found = []
    if not targets:
        found.append("the ticket's own dataset was not compared")
    elif "target" in shortfalls:
        found.append(shortfalls["target"])
    elif not any(check.effect == "helps" for check in deciding):
        found += [check.message for check in deciding] or ["neither friction nor reward was measured on the target"]
    for role, needed in (("neighbour", rule["require_neighbours"]), ("delight_guard", rule["require_guard"])):
        told = [check for check in checks if check.role == role and check.row["verdict"] != "not_enough_data"]
        if needed and role in shortfalls:
            found.append(shortfalls[role])
        elif needed and not told:
            found.append(f"the {role.replace('_', ' ')} set was not compared")
    return found


def _production_worse(production: Production | None) -> str | None:
    if production is None or production.low is None or production.low <= 0:
        return None
    return _in_production(production, "got worse")


def _production_better(production: Production | None) -> bool:
    return production is not None and production.high is not None and production.high < 0


def _in_production(change: Production, how: str) -> str:
    return (
        f"production {how} since {change.since}: {change.before.affected} of {change.before.exposed} sessions before,"
        f" {change.after.affected} of {change.after.exposed} after"
    )


def _digest(checks: tuple[Check, ...]) -> list[dict]:
    kept = ("dataset", "baseline_arm", "candidate_arm", "endpoint", "verdict", "difference", "p_adjusted", "tasks")
    return [{"role": check.role, **{name: check.row[name] for name in kept}} for check in checks]


def production_change(
    affected: pl.Series, sessions: pl.DataFrame, exposed: pl.Series, since: date, settings: Mapping | None = None
) -> Production:
    """The problem's rate in production before and after `since`, and by release after it.

    `affected` are thread ids with a signal of the cluster, `exposed` those in which its categories could be seen. Of
    these, sessions in repositories where the problem has never been seen count on neither side (they would thin out
    both rates), nor do excluded ones. The day of the change itself belongs to neither side: half of it had the
    change.
    """
    rule = (settings or section("tickets"))["verify"]
    window = timedelta(days=rule["production_days"])
    hit = pl.col("thread_id").is_in(affected.unique().implode())
    # What was seen could be seen.
    counted = sessions.filter(~pl.col("excluded")).filter(hit | pl.col("thread_id").is_in(exposed.unique().implode()))
    places = counted.filter(hit).select("repository").unique()
    counted = counted.join(places, on="repository", how="semi", nulls_equal=True)
    counted = counted.with_columns(day=pl.col("started_at").dt.date(), hit=hit)
    before = counted.filter((pl.col("day") < since) & (pl.col("day") >= since - window))
    after = counted.filter((pl.col("day") > since) & (pl.col("day") <= since + window))
    releases = tuple(
        _period(excerpt(version, None, 60), after.filter(pl.col("cli_version") == version))
        for version in after["cli_version"].drop_nulls().unique().sort().to_list()
    )
    difference, low, high = _difference(before, after, rule["production_sessions"])
    return Production(since, _period("before", before), _period("after", after), releases, difference, low, high)


def _period(name: str, frame: pl.DataFrame) -> Period:
    affected, exposed = int(frame["hit"].sum()), frame.height
    if not exposed:
        return Period(name, 0, 0, None, None)
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(affected, exposed, alpha=0.05, method="wilson")
    return Period(name, affected, exposed, float(low), float(high))


def _difference(
    before: pl.DataFrame, after: pl.DataFrame, minimum: int
) -> tuple[float | None, float | None, float | None]:
    if min(before.height, after.height) < max(1, minimum):
        return None, None, None
    from statsmodels.stats.proportion import confint_proportions_2indep

    counts = (int(after["hit"].sum()), after.height, int(before["hit"].sum()), before.height)
    low, high = confint_proportions_2indep(*counts, method="newcomb")
    return counts[0] / counts[1] - counts[2] / counts[3], float(low), float(high)
