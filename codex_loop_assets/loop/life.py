"""The life of a ticket: a pure fold over an append-only log, and the events that a day's evidence adds to it.

What belongs here: statuses, their transitions, identity. What does not: the log's file (`ticket_log`), the wording
(`tickets`), the statistics behind a proof (`verify`).

A ticket is the same problem for as long as its cluster's lineage lives: growth, renaming, a merge or a split never
make a second ticket of it. Statuses: new, escalating, fixing, verified, regressed, ignored, merged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import polars as pl

OPEN = frozenset({"new", "escalating", "fixing", "regressed"})
SYSTEM = "codex-loop"


@dataclass(frozen=True)
class Event:
    """One line of the log. `event_id` is a hash of everything else, so that a repeated run adds nothing."""

    ticket_id: str
    fingerprint: str
    day: date
    kind: str
    who: str
    reason: str
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def event_id(self) -> str:
        return "tev_" + hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:16]

    def _content(self) -> dict:
        return {
            "ticket_id": self.ticket_id,
            "fingerprint": self.fingerprint,
            "day": self.day.isoformat(),
            "kind": self.kind,
            "who": self.who,
            "reason": self.reason,
            "data": dict(self.data),
        }

    def as_dict(self) -> dict:
        """The event as the log stores it."""
        return {"event_id": self.event_id, **self._content()}

    @staticmethod
    def from_dict(line: Mapping[str, Any]) -> Event:
        """Inverse of `as_dict`. Raises KeyError or ValueError for a line that is no event."""
        return Event(
            line["ticket_id"],
            line["fingerprint"],
            date.fromisoformat(line["day"]),
            line["kind"],
            line["who"],
            line["reason"],
            line.get("data", {}),
        )


@dataclass(frozen=True)
class State:
    """A ticket as of its newest event."""

    ticket_id: str
    fingerprint: str
    cluster_id: str
    status: str
    reason: str
    opened_on: date
    updated_on: date
    title: str = ""
    cause: Mapping[str, str] | None = None
    fixing_since: date | None = None
    verified_on: date | None = None
    ignored_until: date | None = None
    merged_into: str | None = None


@dataclass(frozen=True)
class Observation:
    """What a day's evidence says about a cluster: `moments` are (day it occurred, thread_id) of every member signal."""

    cluster_id: str
    day: date
    moments: tuple[tuple[date, str], ...]

    def arrivals(self, first: date, last: date) -> int:
        """Signals that occurred from `first` to `last`, both included."""
        return sum(first <= day <= last for day, _ in self.moments)

    def sessions_after(self, day: date) -> set[str]:
        """Sessions with a signal after `day` and up to the observation's own day."""
        return {thread for occurred, thread in self.moments if day < occurred <= self.day}


def ticket_id(fingerprint: str) -> str:
    """`tkt_` and a hash of the fingerprint."""
    return "tkt_" + hashlib.sha256(fingerprint.encode()).hexdigest()[:12]


def fingerprint(cluster_id: str, registry: pl.DataFrame, states: Mapping[str, State]) -> str:
    """Identity of the problem a cluster is about: the root of its lineage, or the cluster itself where a split left the
    lineage's ticket to another part. What once got a ticket of its own keeps it."""
    row = registry.filter(pl.col("cluster_id") == cluster_id)
    if not row.height or ticket_id(cluster_id) in states:
        return cluster_id
    root = row["lineage_root"][0]
    return root if row["status"][0] != "live" or holder(root, registry, states) == cluster_id else cluster_id


def holder(root: str, registry: pl.DataFrame, states: Mapping[str, State]) -> str | None:
    """The cluster that has the ticket of a lineage: of its live clusters (of all, where none lives) the root itself,
    else the one the ticket was about last or its heir, else the largest. None for an unknown root."""
    family = registry.filter(pl.col("lineage_root") == root)
    live = family.filter(pl.col("status") == "live")
    chosen = (live if live.height else family).sort(["size", "cluster_id"], descending=[True, False])["cluster_id"]
    known = states.get(ticket_id(root))
    wanted = [root, *([_heir(known.cluster_id, registry)] if known else []), *chosen.to_list()]
    return next((name for name in wanted if name in set(chosen.to_list())), None)


def _heir(cluster_id: str, registry: pl.DataFrame) -> str:
    row = registry.filter(pl.col("cluster_id") == cluster_id)
    return row["heir_id"][0] if row.height else cluster_id


def fold(events: Iterable[Event]) -> dict[str, State]:
    """State of every ticket, by ticket id: the events in order of their day, each once.

    An event about a ticket that was never opened is left out: nothing can happen to a ticket that does not exist.
    """
    states: dict[str, State] = {}
    for event in ordered(events):
        state = states.get(event.ticket_id)
        if event.kind == "opened" and state is None:
            states[event.ticket_id] = _opened(event)
        elif state is not None:
            states[event.ticket_id] = _applied(state, event)
    return states


def ordered(events: Iterable[Event]) -> tuple[Event, ...]:
    """The events in order of their day, each once."""
    once = {event.event_id: event for event in events}
    return tuple(sorted(once.values(), key=lambda event: event.day))


def _opened(event: Event) -> State:
    return State(
        ticket_id=event.ticket_id,
        fingerprint=event.fingerprint,
        cluster_id=event.data["cluster_id"],
        status="new",
        reason=event.reason,
        opened_on=event.day,
        updated_on=event.day,
        title=event.data.get("title", ""),
        cause=event.data.get("cause"),
    )


def _applied(state: State, event: Event) -> State:
    changed = replace(state, updated_on=event.day, reason=event.reason)
    match event.kind:
        case "escalated":
            return replace(changed, status="escalating")
        case "calmed" | "unignored":
            return replace(changed, status="new", ignored_until=None)
        case "fixing":
            return replace(changed, status="fixing", fixing_since=event.day, verified_on=None)
        case "measured":  # A change is tried out; it has not reached anybody, so production is not compared yet.
            return replace(changed, status="fixing")
        case "verified":
            return replace(changed, status="verified", verified_on=event.day)
        case "regressed":
            return replace(changed, status="regressed", verified_on=None)
        case "ignored":
            until = event.data.get("until")
            return replace(changed, status="ignored", ignored_until=date.fromisoformat(until) if until else None)
        case "merged":
            return replace(changed, status="merged", merged_into=event.data["into"])
        case "retitled":
            return replace(changed, title=event.data["title"], cause=event.data["cause"], reason=state.reason)
        case "moved":
            return replace(changed, cluster_id=event.data["cluster_id"], reason=state.reason)
        case _:  # A note (a proof that decided nothing, a comment) changes no status.
            return replace(changed, reason=state.reason)


@dataclass(frozen=True)
class Naming:
    """What a ticket is called and the shared thing it is called after ({name, value}); `anew`: what an open ticket was
    called after went elsewhere with a split, so that it needs this name."""

    title: str = ""
    cause: Mapping[str, str] | None = None
    anew: bool = False


def advance(
    state: State | None,
    identity: str,
    seen: Observation,
    opening: str,
    settings: Mapping,
    naming: Naming | None = None,
) -> list[Event]:
    """Events that the day's evidence adds to a ticket. `opening` says why a ticket opens and `naming` what it is called,
    where there is none yet: a ticket keeps its title for as long as what it names is there.

    A rerun of the same day gives the same events. People's decisions (fixing, ignored) are never overruled by growth;
    an ignored ticket wakes when its day has come, and a verified one when the problem comes back.
    """
    name = ticket_id(identity)

    def event(kind: str, reason: str, **data: Any) -> Event:
        return Event(name, identity, seen.day, kind, SYSTEM, reason, data)

    naming = naming or Naming()
    if state is None:
        named = {"title": naming.title} | ({"cause": dict(naming.cause)} if naming.cause else {})
        return [event("opened", opening, cluster_id=seen.cluster_id, **named)]
    if seen.day < state.updated_on:
        return []  # A replayed older day must not rewrite what happened since.
    moved = (
        [event("moved", "the cluster's lineage goes on here", cluster_id=seen.cluster_id)]
        if state.cluster_id != seen.cluster_id
        else []
    )
    renamed = (
        [event("retitled", f"what it named went on elsewhere: {state.title}", title=naming.title, cause=naming.cause)]
        if naming.anew and naming.cause and state.status != "merged"
        else []
    )
    return moved + renamed + _transition(state, seen, settings["life"], event)


def _transition(state: State, seen: Observation, life: Mapping, event) -> list[Event]:
    if state.status == "ignored":
        due = state.ignored_until is not None and seen.day >= state.ignored_until
        return [event("unignored", f"ignored until {state.ignored_until}; that day has come")] if due else []
    if state.status == "verified":
        back = seen.sessions_after(state.verified_on + timedelta(days=life["grace_days"]))
        if len(back) >= life["recurrence_sessions"]:
            return [
                event("regressed", f"came back in {len(back)} session(s) after it was verified on {state.verified_on}")
            ]
        return []
    # A rerun of the day on which a ticket opened adds nothing to that day.
    if state.status in {"new", "escalating"} and state.opened_on < seen.day:
        return _growth(state, seen, life, event)
    return []


def _growth(state: State, seen: Observation, life: Mapping, event) -> list[Event]:
    days = life["escalation_days"]
    newer = seen.arrivals(seen.day - timedelta(days=days - 1), seen.day)
    older = seen.arrivals(seen.day - timedelta(days=2 * days - 1), seen.day - timedelta(days=days))
    known_for = (seen.day - min((day for day, _ in seen.moments), default=seen.day)).days + 1
    # A problem younger than both windows has nothing to grow from: that is news, not an escalation.
    grows = newer >= life["escalation_minimum"] and newer >= life["escalation_growth"] * older and known_for >= 2 * days
    numbers = f"{newer} signals in the last {days} days, {older} in the {days} before"
    if grows and state.status == "new":
        return [event("escalated", numbers)]
    if not grows and state.status == "escalating":
        return [event("calmed", numbers)]
    return []


def merge(state: State, into: str, day: date, why: str) -> list[Event]:
    """The event that closes a ticket as part of another one (`why` leads to its id); [] when that was said before."""
    if state.status == "merged" and state.merged_into == into:
        return []
    return [
        Event(
            state.ticket_id,
            state.fingerprint,
            day,
            "merged",
            SYSTEM,
            f"{why} {into}",
            {"into": into},
        )
    ]
