"""The history of a home's tickets: where it lies, what it says now, and adding to it.

What belongs here: the log of a home. What does not: what the events mean (`loop.life`), a line of the file
(`loop.ticket_log`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date
from pathlib import Path

from codex_loop_assets import clock
from codex_loop_assets.loop import due, life, ticket_log
from codex_loop_assets.resources.homes import Home


def path(home: Home) -> Path:
    """The log of all tickets."""
    return home.root / "tickets" / "log.jsonl"


def events(home: Home) -> list[life.Event]:
    """Everything that happened, in the order of the file."""
    return ticket_log.read(path(home))


def states(home: Home) -> dict[str, life.State]:
    """Every ticket as of its newest event, by ticket id."""
    return life.fold(events(home))


def append(home: Home, added: Iterable[life.Event]) -> None:
    """Add events under the log's lock; those it holds already are left out."""
    with home.lake.locked("ticket_log"):
        ticket_log.append(path(home), added)


def note(home: Home, ticket_id: str, kind: str, who: str, reason: str, until: date | None = None) -> life.State:
    """Record what a person (or a measurement) says about a ticket; its state afterwards. Raises KeyError for a ticket
    that was never opened."""
    state = states(home)[ticket_id]
    data = {"until": until.isoformat()} if until else {}
    append(home, [life.Event(ticket_id, state.fingerprint, _today(), kind, who, reason, data)])
    return states(home)[ticket_id]


def due_clusters(home: Home) -> list[str]:
    """Clusters that did not change and whose ticket does, because of the day it is."""
    lake = home.lake
    members = lake.read("cluster_members", lake.keys("cluster_members")[-1:])
    frames = {"cluster_members": members, "signals": lake.read("signals"), "sessions": lake.read("sessions")}
    return due.due(states(home).values(), frames, _today(), home.section("tickets"))


def being_measured(home: Home, cluster_id: str) -> None:
    """A cluster whose trials belong to two arms has a change under measurement: somebody is fixing its open ticket. When
    the change reaches people is for them to say. Nothing happens to one that is closed, ignored or being fixed."""
    arms = home.lake.read("eval_runs", cluster_id)["arm"].unique().sort().to_list()
    if len(arms) < 2:
        return
    for state in states(home).values():
        if state.cluster_id == cluster_id and state.status in ("new", "escalating", "regressed"):
            note(
                home, state.ticket_id, "measured", life.SYSTEM, f"a change is being measured: {' against '.join(arms)}"
            )


def _today() -> date:
    return clock.now().astimezone(UTC).date()
