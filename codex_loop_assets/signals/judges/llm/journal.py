"""The memory of batches: what was meant to be sent, what was sent, what came of it. An append-only log and its fold.

An intent is on disk before anything leaves the machine; so after a crash at any instant it is known which requests may
be under way, and none is sent twice.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from codex_loop_assets.signals.judges.llm.exchange import Request


@dataclass(frozen=True)
class Sent:
    """A request in an intent, without its text: enough to file the answer and settle the ledger."""

    key: str
    thread_id: str
    window_key: str
    asked: Mapping[str, str]
    worst_usd: float

    def request(self) -> Request:
        return Request(self.thread_id, self.window_key, self.key, self.asked, {})


@dataclass
class Intent:
    """One batch from the decision to send it until its results are in. Several threads may share a request."""

    id: str
    at: datetime
    requests: dict[str, list[Sent]]
    batch_id: str | None = None
    closed: str | None = None
    unanswered: Mapping[str, str] = field(default_factory=dict)

    def reservation(self, key: str) -> str:
        return f"{self.id}:{key}"


@dataclass
class Journal:
    """All intents by id, and the threads that were forgotten since they were made."""

    intents: dict[str, Intent] = field(default_factory=dict)
    forgotten: dict[str, set[str]] = field(default_factory=dict)

    def open(self) -> list[Intent]:
        return [intent for intent in self.intents.values() if intent.closed is None]

    def in_flight(self) -> dict[str, Intent]:
        """Request key -> the open intent it is in."""
        return {key: intent for intent in self.open() for key in intent.requests}

    def submissions(self) -> Counter[str]:
        """How often each request was in an intent."""
        return Counter(key for intent in self.intents.values() for key in intent.requests)

    def last_reason(self, key: str) -> str:
        """Why the newest closed intent with this request brought no answer."""
        reasons = [intent.unanswered[key] for intent in self.intents.values() if key in intent.unanswered]
        return reasons[-1] if reasons else "no answer came"


def read_journal(path: Path) -> Journal:
    """Fold the log. A last line cut off by a crash was never acted upon and counts for nothing."""
    journal = Journal()
    if path.exists():
        for line in path.read_text("utf-8").split("\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            _apply(journal, entry)
    return journal


def append(path: Path, kind: str, at: datetime, **fields: object) -> None:
    """Add one entry and wait until it is on disk."""
    line = json.dumps({"kind": kind, "at": at.isoformat(), **fields}, ensure_ascii=True)
    with path.open("ab") as file:
        # A line cut off by a crash would swallow this one: an empty line costs nothing.
        file.write(f"\n{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def sent_fields(requests: Mapping[str, Sequence[Sent]]) -> list[dict]:
    """The `requests` field of an intent entry."""
    return [
        {
            "key": sent.key,
            "thread_id": sent.thread_id,
            "window_key": sent.window_key,
            "asked": dict(sent.asked),
            "worst_usd": sent.worst_usd,
        }
        for group in requests.values()
        for sent in group
    ]


def _apply(journal: Journal, entry: dict) -> None:
    if entry["kind"] == "intent":
        requests: dict[str, list[Sent]] = {}
        for fields in entry["requests"]:
            requests.setdefault(fields["key"], []).append(Sent(**fields))
        journal.intents[entry["intent"]] = Intent(entry["intent"], datetime.fromisoformat(entry["at"]), requests)
    elif entry["kind"] == "submitted":
        journal.intents[entry["intent"]].batch_id = entry["batch"]
    elif entry["kind"] == "closed":
        intent = journal.intents[entry["intent"]]
        intent.closed, intent.unanswered = entry["status"], entry["unanswered"]
    elif entry["kind"] == "forget":
        for intent in journal.open():
            journal.forgotten.setdefault(intent.id, set()).add(entry["thread_id"])
