"""The review of a home: what to ask, and what becomes of an answer. The command line and Dagster's job both record here.

What belongs here: reading the queue's frames and writing the logs that an answer reaches. What does not: the order of the
queue (`loop.review`), the worth of answers (`loop.labels`), asking.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Set
from pathlib import Path

import polars as pl
from filelock import FileLock

from codex_loop_assets import clock
from codex_loop_assets.loop import append_log, life, review
from codex_loop_assets.resources import ticket_history
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.proposals import decide, proposals_now


def reviews_path(home: Home) -> Path:
    """The log of answers."""
    return home.root / "reviews.jsonl"


def verdicts(home: Home) -> list[review.Verdict]:
    """Every answer so far."""
    return [review.Verdict.from_dict(line) for line in append_log.read(reviews_path(home))]


def queue(home: Home, who: str, limit: int | None = None) -> list[review.Item]:
    """What to ask this person next, at most `limit` things (default: the review settings)."""
    settings = home.section("review")
    return review.queue(_frames(home), verdicts(home), who, settings | ({"limit": limit} if limit else {}))


def find(home: Home, item_id: str) -> review.Item:
    """The item of that id among all that could be asked, also when it was answered before: people may change their mind.
    Raises KeyError for an unknown id."""
    everything = home.section("review") | {"limit": sys.maxsize}
    for item in review.queue(_frames(home), [], "", everything):
        if item.item_id == item_id:
            return item
    raise KeyError(item_id)


def record(home: Home, item: review.Item, reply: review.Answer, who: str, reason: str) -> review.Verdict:
    """Record a person's answer, and act on it: a proposal is approved or rejected, a ticket gets an event in its history.

    Raises ValueError for a rejection without a reason, and DecisionError (a ValueError) when somebody has decided about
    the proposal before; then nothing is recorded.
    """
    verdict = review.answer(item, reply, who, clock.now().isoformat(), reason)
    if verdict.kind == "proposal" and verdict.answer != "skip":
        decide(home, verdict.item_id, approve=verdict.answer == "accept", who=who, reason=verdict.reason)
    append_log.append(reviews_path(home), [verdict.as_dict()], "verdict_id")
    events = review.ticket_events([verdict], clock.now().date(), home.section("review"))
    if events:
        ticket_history.append(home, events)
    return verdict


def forget(home: Home, threads: Set[str]) -> int:
    """Remove the answers about moments of these threads; how many those were."""
    path = reviews_path(home)
    if not path.is_file():
        return 0
    with FileLock(path.with_suffix(".lock")):  # The lock under which answers are appended.
        lines = append_log.read(path)
        kept = [line for line in lines if line["about"].get("thread_id") not in threads]
        if len(kept) < len(lines):
            write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))
    return len(lines) - len(kept)


def with_history(tickets: pl.DataFrame, states: Mapping[str, life.State]) -> pl.DataFrame:
    """Tickets with the status and reason that their history gives them now: a ticket that a person has ignored is not
    asked about again before its partition is made anew."""
    rows = [
        row | ({"status": state.status, "reason": state.reason} if (state := states.get(row["ticket_id"])) else {})
        for row in tickets.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=tickets.schema, orient="row")


def _frames(home: Home) -> dict[str, pl.DataFrame]:
    lake = home.lake
    return {
        "signals": lake.read("signals"),
        "cluster_members": lake.read("cluster_members", lake.keys("cluster_members")[-1:]),
        "schema_proposals": proposals_now(home),
        "harbor_datasets": lake.read("harbor_datasets"),
        "task_validations": lake.read("task_validations"),
        "tickets": with_history(lake.read("tickets"), ticket_history.states(home)),
    }
