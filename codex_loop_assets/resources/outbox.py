"""What is ready to leave a home: its tickets, checked again, and what each webhook has been told so far.

What belongs here: reading tickets for the sinks and remembering deliveries. What does not: protocols (`loop.sinks`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from codex_loop_assets import clock
from codex_loop_assets.discovery.ask import open_asker
from codex_loop_assets.loop import append_log
from codex_loop_assets.loop.sinks.delivery import Outgoing
from codex_loop_assets.loop.tickets import NEEDED, Ticket, build
from codex_loop_assets.resources import ticket_history
from codex_loop_assets.resources.homes import Home


def opened(home: Home) -> list[Ticket]:
    """Every ticket that was ever opened, built from the tables as they are now, its claims checked on them."""
    lake, settings = home.lake, home.section("tickets")
    frames = {table: lake.read(table) for table in NEEDED}
    log, today = ticket_history.events(home), clock.now().date()
    asker = open_asker(home.section("discovery")["model"], home.cache / "ticket_advice")
    clusters = lake.read("tickets").drop_nulls("path").sort("ticket_id")["cluster_id"]
    built = (build(cluster_id, frames, log, today, settings, asker=asker) for cluster_id in clusters)
    return [ticket for ticket in built if ticket.row]


def stale(home: Home, tickets: Iterable[Ticket]) -> list[str]:
    """Clusters whose written ticket is not what the tables give now."""
    return [ticket.row["cluster_id"] for ticket in tickets if _written(home, ticket) != _bytes(ticket.markdown)]


def _written(home: Home, ticket: Ticket) -> bytes | None:
    path = home.root / (ticket.row["path"] or "")
    return path.read_bytes() if path.is_file() else None


def _bytes(text: str) -> bytes:
    # As files.write_text writes it: lone surrogates of a trace have become question marks.
    return text.encode("utf-8", "replace")


def news(tickets: Iterable[Outgoing], told: Mapping[str, str]) -> list[Outgoing]:
    """Tickets of which a digest would say something else than it did last; a closed one only where it was told about
    when it was open. `told`: ticket_id -> digest of what was said."""
    return [
        ticket
        for ticket in tickets
        if told.get(ticket.ticket_id) != said(ticket) and (ticket.ticket_id in told or not ticket.closed)
    ]


def said(ticket: Outgoing) -> str:
    """Digest of what a message says about a ticket: not its text, whose numbers grow by the day."""
    parts = (ticket.ticket_id, ticket.title, ticket.status, ticket.priority, ticket.reason)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def told(home: Home, url: str) -> dict[str, str]:
    """ticket_id -> what this webhook was told about it last."""
    lines = append_log.read(_deliveries(home))
    return {line["ticket_id"]: line["said"] for line in lines if line["webhook"] == _name(url)}


def remember(home: Home, url: str, tickets: Iterable[Outgoing]) -> None:
    """Note what a webhook was told. Its URL is a credential, so only a hash of it and the host are kept."""
    at = clock.now().isoformat()
    lines = [
        {
            "webhook": _name(url),
            "host": urlsplit(url).hostname,
            "ticket_id": ticket.ticket_id,
            "said": said(ticket),
            "at": at,
        }
        for ticket in tickets
    ]
    keyed = [
        line | {"delivery_id": hashlib.sha256(repr(sorted(line.items())).encode()).hexdigest()[:16]} for line in lines
    ]
    append_log.append(_deliveries(home), keyed, "delivery_id")


def _deliveries(home: Home) -> Path:
    return home.root / "tickets" / "deliveries.jsonl"


def _name(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]
