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
from codex_loop_assets.distill.dataset import drop_tasks
from codex_loop_assets.distill.reviewed import TaskAnswer, rejections, with_acceptances, without_rejected
from codex_loop_assets.loop import append_log, life, review
from codex_loop_assets.loop.labels import newest_answers
from codex_loop_assets.resources import ticket_history
from codex_loop_assets.resources.evaluation_sets import write_sets
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.proposals import decide, proposals_now


def reviews_path(home: Home) -> Path:
    """The log of answers."""
    return home.root / "reviews.jsonl"


def verdicts(home: Home) -> list[review.Verdict]:
    """Every answer so far."""
    return [review.Verdict.from_dict(line) for line in append_log.read(reviews_path(home))]


def task_answers(home: Home) -> list[TaskAnswer]:
    """The newest answer of each person about each task."""
    return [
        TaskAnswer(
            answer.item_id,
            answer.about["digest"],
            answer.answer == "accept",
            answer.who,
            answer.reason,
            answer.about.get("core_digest"),
        )
        for answer in newest_answers(verdicts(home))
        if answer.kind == "task"
    ]


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
    # A task that was rejected is in no table of tasks any more.
    for told in reversed(verdicts(home)):
        if told.kind == "task" and told.item_id == item_id:
            return review.Item("task", item_id, f"Task {item_id}", "", (), 1.0, 1.0, told.why, told.about)
    raise KeyError(item_id)


def record(home: Home, item: review.Item, reply: review.Answer, who: str, reason: str) -> review.Verdict:
    """Record a person's answer, and act on it: a proposal is approved or rejected, a ticket gets an event in its history,
    a rejected task leaves every dataset and set, and a task in doubt that is accepted may be measured.

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
    if verdict.kind == "task" and verdict.answer != "skip":
        _apply_to_tasks(home, verdict.item_id)
    return verdict


def clusters_of(home: Home, candidate_id: str) -> list[str]:
    """The clusters in whose rows a candidate is."""
    rows = home.lake.read("harbor_datasets").filter(pl.col("candidate_id") == candidate_id)
    return rows["cluster_id"].unique().sort().to_list()


def _apply_to_tasks(home: Home, candidate_id: str) -> None:
    """Make the tables and the dataset folders what they would be had they been made knowing the answers."""
    answers = task_answers(home)
    rejected = rejections(answers)
    lake = home.lake
    for cluster_id in clusters_of(home, candidate_id):
        made_from = {table: lake.made_from(table, cluster_id) for table in ("harbor_datasets", "task_validations")}
        before = lake.read("harbor_datasets", cluster_id)
        gone = before.filter(pl.col("candidate_id").is_in(list(rejected)) & (pl.col("stage") == "built"))
        for folder, places in gone.group_by("dataset_dir").agg("task_dir").iter_rows():
            drop_tasks(home.root / folder, {place.removeprefix(f"{folder}/") for place in places})
        if gone.height:
            after = without_rejected(before, rejected)
            lake.write("harbor_datasets", cluster_id, after, made_from["harbor_datasets"])
        told = with_acceptances(lake.read("task_validations", cluster_id), answers, rejected)
        lake.write("task_validations", cluster_id, told, made_from["task_validations"])
        write_sets(home, cluster_id)


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
