"""What sinks take and give back: a ticket ready to be sent, and what was or would be done with it.

What belongs here: the shapes all sinks share. What does not: any protocol.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from codex_loop_assets.loop.tickets import Ticket
from codex_loop_assets.signals.redaction import redact

Action = Literal["create", "update", "close", "reopen", "none", "withheld"]
CLOSED = frozenset({"verified", "ignored", "merged"})


@dataclass(frozen=True)
class Outgoing:
    """A ticket as it may leave the machine: redacted title and Markdown, its status, labels and a digest of all of
    it."""

    ticket_id: str
    title: str
    body: str
    status: str
    priority: str
    labels: tuple[str, ...]
    reason: str

    @property
    def digest(self) -> str:
        parts = (self.ticket_id, self.title, self.body, self.status, *self.labels)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def closed(self) -> bool:
        return self.status in CLOSED


@dataclass(frozen=True)
class Delivery:
    """What a sink did (`sent`) or would do with a ticket. `place` says where, without credentials."""

    ticket_id: str
    action: Action
    place: str
    sent: bool
    detail: str = ""


def outgoing(ticket: Ticket) -> Outgoing | None:
    """A ticket ready to be sent; None for one that was not opened, or that the checker of claims rejected."""
    row = ticket.row
    if row is None or row["status"] == "not_opened" or ticket.findings:
        return None
    return Outgoing(
        row["ticket_id"],
        redact(row["title"]),
        redact(ticket.markdown),
        row["status"],
        row["priority"],
        tuple(redact(label) for label in row["labels"]),
        redact(row["reason"]),
    )
