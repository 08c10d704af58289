"""The review queue: what to ask people, and what an answer is.

What belongs here: ranking what to ask, answers. What does not: asking (the command line), what answers are worth
(`labels`), the log's file (`append_log`), deciding about proposals (`discovery.governance`).

Most signals are asked about because the answer is uncertain and matters. A share is drawn by chance, since precision
measured only on doubtful signals would be too low; only those count towards the scorecard.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

import polars as pl

from codex_loop_assets.distill.reviewed import CHECK as REVIEWED
from codex_loop_assets.loop import life
from codex_loop_assets.loop.evidence import quotations
from codex_loop_assets.loop.excerpt import excerpt
from codex_loop_assets.settings import section

Kind = Literal["signal", "proposal", "task", "ticket"]
Answer = Literal["accept", "reject", "skip"]


@dataclass(frozen=True)
class Item:
    """One thing to decide. `lines` are the redacted evidence; `why` says why it is asked (`uncertain`, `audit` or
    `open`); `about` identifies what a verdict on it is about, also after the tables have been rebuilt."""

    kind: Kind
    item_id: str
    title: str
    question: str
    lines: tuple[str, ...]
    uncertainty: float
    impact: float
    why: str
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return self.uncertainty * self.impact


@dataclass(frozen=True)
class Verdict:
    """A person's answer about an item. The newest answer of a person about an item counts; `skip` counts for
    nothing."""

    kind: Kind
    item_id: str
    answer: Answer
    who: str
    at: str
    reason: str
    why: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The line of the log."""
        content = {
            "kind": self.kind,
            "item_id": self.item_id,
            "answer": self.answer,
            "who": self.who,
            "at": self.at,
            "reason": self.reason,
            "why": self.why,
            "about": dict(self.about),
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
        return {"verdict_id": f"rev_{digest}", **content}

    @staticmethod
    def from_dict(line: Mapping[str, Any]) -> Verdict:
        """Inverse of `as_dict`. Raises KeyError for a line that is no verdict."""
        names = ("kind", "item_id", "answer", "who", "at", "reason", "why")
        return Verdict(*(line[name] for name in names), line.get("about", {}))


def queue(
    frames: Mapping[str, pl.DataFrame], verdicts: Iterable[Verdict], who: str, settings: Mapping | None = None
) -> list[Item]:
    """What to ask a person next, most useful first; what that person has answered (or skipped) is not asked again.

    `frames` holds signals, cluster_members, schema_proposals, harbor_datasets, task_validations and tickets.
    """
    limits = settings or section("review")
    answered = {(verdict.kind, verdict.item_id) for verdict in verdicts if verdict.who == who}
    open_items = [*_proposals(frames, limits), *_tasks(frames, limits), *_tickets(frames, limits)]
    asked = [item for item in open_items if (item.kind, item.item_id) not in answered]
    signals = [item for item in _signals(frames, limits) if ("signal", item.item_id) not in answered]
    room = max(limits["limit"] - len(asked), math.ceil(limits["limit"] * limits["signal_share"]))
    by_chance = sorted((item for item in signals if item.why == "audit"), key=lambda item: _chance(item.item_id))
    audited = by_chance[: math.ceil(room * limits["audit_share"])]
    doubtful = sorted((item for item in signals if item.why == "uncertain"), key=_best_first)
    return _mixed([*asked, *audited, *doubtful[: room - len(audited)]], limits)


def _best_first(item: Item) -> tuple:
    return (-item.score, item.kind, item.item_id)


def _mixed(items: Iterable[Item], limits: Mapping) -> list[Item]:
    """Items of all kinds among one another, each kind best first and as often as its weight says: thirty tickets must not
    stand before the first moment."""
    kinds: dict[str, list[Item]] = {}
    for item in sorted(items, key=_best_first):
        kinds.setdefault(item.kind, []).append(item)
    turns = [
        ((position + 1) / limits["impact"][kind], _best_first(item), item)
        for kind, ranked in kinds.items()
        for position, item in enumerate(ranked)
    ]
    return [item for _, _, item in sorted(turns, key=lambda turn: turn[:2])][: limits["limit"]]


def _chance(name: str) -> float:
    """A number in [0, 1) that depends on the name alone: the same draw for everybody and on every day."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def _doubt(probability: float) -> float:
    """Entropy of a yes with this probability, in bits: 1 where nobody knows, 0 where everybody does."""
    p = min(1 - 1e-9, max(1e-9, probability))
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


def _signals(frames: Mapping[str, pl.DataFrame], limits: Mapping) -> list[Item]:
    members = frames["cluster_members"]
    newest = members.filter(pl.col("dt") == members["dt"].max()) if members.height else members
    sizes = newest.drop_nulls("cluster_id").with_columns(size=pl.len().over("cluster_id")).select("signal_id", "size")
    rows = frames["signals"].join(sizes, on="signal_id", how="left").to_dicts()
    return [_signal(row, limits) for row in rows]


def _signal(row: Mapping, limits: Mapping) -> Item:
    # Severity and company make an answer matter: a label in a cluster of thirty decides about a ticket.
    impact = limits["impact"]["signal"] * (row["severity"] / 3) * (1 + math.log10(row["size"] or 1))
    quotes = [record["quote"] for record in quotations(row, 240) if record["quote"]]
    place = {
        name: row[name] for name in ("thread_id", "run", "seq_start", "category", "type", "detector", "confidence")
    }
    return Item(
        "signal",
        row["signal_id"],
        f"{row['category']} ({row['type']}, {row['detector']})",
        f"Is this {row['category'].replace('_', ' ')}?",
        (
            excerpt(row["description"], row["thread_id"], 400),
            *quotes,
            f"session {row['thread_id']}, seq {row['seq_start']}",
        ),
        _doubt(row["confidence"]),
        min(1.0, impact),
        "audit" if _chance("draw " + row["signal_id"]) < limits["audit_share"] else "uncertain",
        place,
    )


def _proposals(frames: Mapping[str, pl.DataFrame], limits: Mapping) -> list[Item]:
    rows = frames["schema_proposals"]
    newest = rows.filter((pl.col("dt") == rows["dt"].max()) & (pl.col("status") == "open")) if rows.height else rows
    return [
        Item(
            "proposal",
            row["proposal_id"],
            f"Category {row['name']} ({row['type']})",
            "Should this be looked for from now on?",
            (
                excerpt(row["definition"], None, 400),
                *(f"counts when: {excerpt(text, None, 200)}" for text in row["inclusion_criteria"]),
                *(f"does not count when: {excerpt(text, None, 200)}" for text in row["exclusion_criteria"]),
                f"{row['sample_count']} moments in {row['session_count']} sessions, confidence {row['confidence']:.2f}",
            ),
            _doubt(row["confidence"]),
            limits["impact"]["proposal"],
            "open",
            {"cluster_id": row["cluster_id"]},
        )
        for row in newest.to_dicts()
    ]


def _tasks(frames: Mapping[str, pl.DataFrame], limits: Mapping) -> list[Item]:
    checks = frames["task_validations"]
    doubtful = checks.filter((pl.col("check") == "verdict") & (pl.col("status") == "needs_review"))
    accepted = checks.filter(pl.col("check") == REVIEWED)
    waiting = doubtful.join(accepted, on=["candidate_id", "digest"], how="anti")
    tasks = waiting.select("cluster_id", "candidate_id", "digest", why="reason").join(
        frames["harbor_datasets"].drop("digest"), on=["cluster_id", "candidate_id"]
    )
    return [
        Item(
            "task",
            row["candidate_id"],
            f"Task {row['task_name']}",
            "Is this a fair task?",
            (
                excerpt(row["instruction"], row["thread_id"], 400),
                f"checked by {row['verifier_kind']}: {excerpt(row['verifier_command'], row['thread_id'], 200)}",
                f"in doubt because: {excerpt(row['why'], row['thread_id'], 200)}",
            ),
            1.0,
            limits["impact"]["task"],
            "open",
            {name: row[name] for name in ("cluster_id", "digest", "core_digest")},
        )
        for row in tasks.to_dicts()
    ]


def _tickets(frames: Mapping[str, pl.DataFrame], limits: Mapping) -> list[Item]:
    rows = frames["tickets"].filter(pl.col("status").is_in(["new", "escalating", "regressed"])).to_dicts()
    return [
        Item(
            "ticket",
            row["ticket_id"],
            excerpt(row["title"], None, 120),
            "Is this worth fixing?",
            (
                f"{row['status']}, {row['priority']}: {excerpt(row['reason'], None, 240)}",
                f"{row['signal_count']} moments in {row['session_count']} sessions",
                f"{row['validated_tasks']} validated tasks",
                f"text: {row['path']}",
            ),
            1.0,
            limits["impact"]["ticket"],
            "open",
            {"cluster_id": row["cluster_id"], "fingerprint": row["fingerprint"]},
        )
        for row in rows
    ]


def answer(item: Item, reply: Answer, who: str, at: str, reason: str) -> Verdict:
    """The verdict of a person on an item. `at` is ISO 8601, UTC. A rejection needs a reason: ValueError without one."""
    if reply == "reject" and not reason.strip():
        raise ValueError("say why: a rejection without a reason teaches nothing")
    return Verdict(item.kind, item.item_id, reply, who, at, reason.strip(), item.why, item.about)


def ticket_events(verdicts: Iterable[Verdict], today: date, settings: Mapping | None = None) -> list[life.Event]:
    """Life events that verdicts on tickets mean: a rejected ticket is ignored for a while, an accepted one stays open
    and has the acceptance in its history."""
    limits = settings or section("review")
    until = (today + timedelta(days=limits["ignore_days"])).isoformat()
    events = []
    for verdict in verdicts:
        if verdict.kind != "ticket" or verdict.answer == "skip":
            continue
        kind, data = ("ignored", {"until": until}) if verdict.answer == "reject" else ("accepted", {})
        events.append(
            life.Event(verdict.item_id, verdict.about["fingerprint"], today, kind, verdict.who, verdict.reason, data)
        )
    return events
